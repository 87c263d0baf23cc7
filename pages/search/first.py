"""First search: data, task and budget in three steps; all else has a sensible value."""

from __future__ import annotations

import streamlit as st

from data.registry import DATASETS, names
from data.source import on_this_machine
from informer.config import PRESETS, ConfigError, Value
from nas_engine.search import Limits, SearchSpec, default_planner
from nas_engine.space import problems_of
from pages._parts.beginning import address
from pages._parts.first_search import (
    BUDGETS,
    FEWEST,
    TRY_HOURS,
    estimate_text,
    sized,
    trials_expected,
)
from pages._parts.opening import DATA, START, settings
from pages._parts.people import acting
from pages._parts.starting import show_same_search, start_and_watch
from pages._parts.states import PLANNER_WORDS, PLANNERS
from pages._parts.task import (
    choose_dataset,
    choose_features,
    choose_lengths,
    choose_target,
    show_dataset,
)
from pages._parts.text import plain

PREFIX = "first"
BASE = PRESETS["small"].config().flat()


def nearest_data() -> str:
    """Return the data set that is proposed: one's own, one on this machine, the generated one."""
    own = [name for name in names() if name not in DATASETS]
    here = [name for name in DATASETS if on_this_machine(name)]
    return [*own, *here, "synthetic"][0]


def choose_task() -> dict[str, Value]:
    """Draw the first two steps and return the settings that they make."""
    begins = {**BASE, "data.dataset": nearest_data()}
    data, task = st.columns(2)
    with data, st.container(border=True, height="stretch"):
        st.subheader("1 Data", anchor=False)
        facts = choose_dataset(begins, PREFIX)
        show_dataset(facts)
        st.page_link(
            DATA,
            label="Add a file of your own",
            icon=":material/upload_file:",
            query_params={"for": "first"},
            help="CSV or Parquet. It is checked first, and nothing in it is changed unasked.",
        )
    with task, st.container(border=True, height="stretch"):
        st.subheader("2 Task", anchor=False)
        features = choose_features(begins, PREFIX)
        target = choose_target(facts, features, begins, PREFIX)
        lengths = choose_lengths(facts, begins, PREFIX, ("data.seq_len", "data.pred_len"))
    return {
        "data.dataset": facts.name,
        "data.features": features,
        "data.target": target,
        "data.label_len": min(int(BASE["data.label_len"]), int(lengths["data.seq_len"])),
        **lengths,
    }


def choose_budget(task: dict[str, Value]) -> tuple[SearchSpec, list[str]]:
    """Draw the third step; return the search, and a sentence for each thing wrong with it."""
    hours = st.segmented_control(
        "Time",
        list(BUDGETS),
        default=TRY_HOURS,
        required=True,
        format_func=lambda hours: BUDGETS[hours][0],
        key=f"{PREFIX}-hours",
        label_visibility="collapsed",
    )
    hours = hours or TRY_HOURS
    spec = SearchSpec(
        settings={key: value for key, value in task.items() if value != BASE[key]},
        planner=default_planner(settings().has_key),
        max_trials=BUDGETS[hours][1],
        limits=Limits(hours=hours),
    )
    try:
        spec = sized(spec)
    except ConfigError as error:
        return spec, error.problems
    st.caption(estimate_text(spec))
    if trials_expected(spec) < FEWEST:
        st.warning(
            "That is little to compare: choose more time, a shorter look-back, or fewer columns."
        )
    st.caption(f"Planned by **{PLANNERS[spec.planner]}**. {PLANNER_WORDS[spec.planner]}")
    return spec, problems_of(spec)


st.title("A search in three steps", anchor=False)
chosen = choose_task()
with st.container(border=True):
    st.subheader("3 Budget", anchor=False)
    search, problems = choose_budget(chosen)
for problem in problems:
    st.error(plain(problem))
if not problems:
    show_same_search(search)
with st.container(horizontal=True, vertical_alignment="center"):
    pressed = st.button(
        "Start search",
        type="primary",
        key="first-go",
        icon=":material/play_arrow:",
        **acting(bool(problems)),
    )
    st.page_link(
        START,
        label="More settings",
        icon=":material/tune:",
        query_params=address(search),
        help="Opens Start with what is chosen here: planner, review, space, limits, rules.",
    )
if pressed:
    start_and_watch(search)
