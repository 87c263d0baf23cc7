"""Start: choose what is forecast, where the search starts and who plans it, and start it."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from pydantic import ValidationError
from streamlit.delta_generator import DeltaGenerator

from informer.config import PRESETS, ConfigError, Value, fields
from informer.cost import parameters
from nas_engine.backends import backend_problems
from nas_engine.machine import default_slots, gpus, memory_needed
from nas_engine.proposals import too_large, untimeable
from nas_engine.search import (
    ASKING,
    Limits,
    Narrowing,
    PlannerName,
    Pruning,
    Rules,
    SearchSpec,
    default_planner,
)
from nas_engine.settings import Settings
from nas_engine.space import SpaceError, describe, parse_all, problems_of, space, written
from pages._parts.aims import choose_aims, start_text
from pages._parts.beginning import Origin, origin
from pages._parts.cluster import choose_backend
from pages._parts.findings_carried import show_carried
from pages._parts.forms import figures_in_grid, setting, settings_by_section
from pages._parts.inheriting import choose_inherits
from pages._parts.lessons import choose_lessons
from pages._parts.opening import settings
from pages._parts.people import acting
from pages._parts.policy import choose_policy
from pages._parts.starting import show_same_search, start_and_watch
from pages._parts.states import PLANNER_WORDS, PLANNERS
from pages._parts.task import TASK_SETTINGS, choose_task
from pages._parts.text import count_text, plain, seconds_text

PRUNING: dict[str, str] = {
    "none": "Off",
    "successive_halving": "Successive halving",
    "hyperband": "Hyperband",
}
PRUNING_HELP = (
    "Trials that fall behind others at the same epoch end early. Successive halving: at each step "
    "the best go on. Hyperband: the same with several first steps, for tasks in which early epochs "
    "say little."
)
SPACE_HELP = """
One setting a line; what is not named keeps its range.
- `model.d_model=64` pins it
- `model.d_model=32,64` lists what it may be
- `training.optimizer_params.lr=1e-4..1e-3` bounds it
- `model.attention!=none,prob` bans values
"""


# -- parts of the form --------------------------------------------------------------------------


def choose_preset(origin: Origin) -> str:
    """Let the preset be chosen; without another search the machine decides what is proposed."""
    found = gpus()
    names = list(PRESETS)
    preset = st.segmented_control(
        "Preset",
        names,
        default=origin.spec.preset,
        required=True,
        key=f"{origin.form}-preset",
        help=" ".join(f"{name}: {preset.description}." for name, preset in PRESETS.items()),
    )
    machine = f"Found {', '.join(gpu.name for gpu in found)}" if found else "Found no NVIDIA GPU"
    st.caption(f"{plain(machine)}. {PRESETS[preset or names[0]].description}.")
    return preset or names[0]


def choose_planner(config: Settings, origin: Origin) -> PlannerName:
    """Let the planner be chosen; those that ask a language model need a key."""
    offered = [name for name in PLANNERS if config.has_key or name not in ASKING]
    planner = st.segmented_control(
        "Planner",
        offered,
        default=wished if (wished := origin.spec.planner) in offered else default_planner(False),
        required=True,
        format_func=PLANNERS.__getitem__,
        key=f"{origin.form}-planner",
        help="\n".join(f"- {PLANNERS[name]}: {PLANNER_WORDS[name]}" for name in PLANNERS),
    )
    planner = planner or default_planner(False)
    asks = f" Asks {plain(config.planner_model)}." if planner in ASKING else ""
    st.caption(f"{PLANNER_WORDS[planner]}{asks}")
    if not config.has_key:
        st.caption(
            "No planner here needs a key. For those that ask a language model set "
            "`OPENROUTER_API_KEY` in `.env` and reload this page."
        )
    return planner


def choose_guidance(planner: PlannerName, origin: Origin) -> str:
    """Let a person tell the language model what it should know."""
    if planner not in ASKING:
        return ""
    return st.text_area(
        "Guidance for the language model",
        origin.spec.guidance,
        key=f"{origin.form}-guidance",
        placeholder="What you know of the data, what to try first, what to leave alone.",
        max_chars=4000,
        height=90,
    )


def choose_space(origin: Origin) -> tuple[dict[str, Narrowing], list[str]]:
    """Let the space be narrowed; return that, and a sentence where a line cannot be read."""
    text = st.text_area(
        "Narrow the search space",
        "\n".join(written(origin.spec.space)),
        key=f"{origin.form}-space",
        help=SPACE_HELP,
        max_chars=20_000,
        height=90,
    )
    try:
        return parse_all(filter(None, map(str.strip, text.splitlines()))), []
    except SpaceError as error:
        return {}, [str(error)]


def choose_pruning(origin: Origin) -> Pruning:
    """Let early ends of trials be chosen, and how eager they are."""
    start = origin.spec.pruning
    with st.grid(3, min_column_width=190, vertical_alignment="bottom"):
        method = st.segmented_control(
            "Pruning",
            list(PRUNING),
            default=start.method,
            required=True,
            format_func=PRUNING.__getitem__,
            key=f"{origin.form}-pruning",
            help=PRUNING_HELP,
        )
        figures = {
            name: st.number_input(
                str(Pruning.model_fields[name].description),
                least,
                most,
                getattr(start, name),
                key=f"{origin.form}-pruning-{name}",
                disabled=method == "none",
            )
            for name, least, most in (("reduction", 2, 16), ("min_epochs", 1, 1000))
        }
    return Pruning.model_validate({"method": method, **figures}) if method != "none" else Pruning()


def choose_advanced(
    start: dict[str, Value], prefix: str, origin: Origin
) -> tuple[dict[str, Value], Pruning, bool, Limits, Rules]:
    """Let everything else be chosen."""
    with st.expander(
        "Advanced: architecture, training, pruning, limits, rules", key="start-advanced"
    ):
        st.caption("Values of trial 0. Planners change those that the search space lists.")
        keys = [key for key in fields() if key not in (*TASK_SETTINGS, "training.epochs")]
        held = settings_by_section(keys, start, prefix)
        st.markdown("**Early ends**")
        pruning = choose_pruning(origin)
        inherits = choose_inherits(origin.form, origin.spec.inherits)
        st.markdown("**Limits**")
        limits = figures_in_grid(origin.spec.limits, f"{origin.form}-limit")
        st.markdown("**Rules of the evaluator**")
        rules = figures_in_grid(origin.spec.rules, f"{origin.form}-rule")
    return held, pruning, inherits, limits, rules


# -- what the choices come to -------------------------------------------------------------------


def show_cost(spec: SearchSpec) -> list[str]:
    """Show what trial 0 is and how large the space is; return a sentence if it is too large."""
    try:
        config = spec.base()
    except ConfigError:
        return []
    weights = parameters(config)
    st.caption(
        f"Trial 0 has {count_text(weights)} parameters and needs about "
        f"{memory_needed(config) / 1e6:,.0f} MB · planners vary {len(space(spec))} "
        f"settings · {spec.max_trials} trials of at most {config.training.epochs} epochs, "
        f"{spec.slots} at once.{time_text(spec.limits.hours)}"
    )
    if told := start_text(spec, config):
        st.caption(plain(told))
    return [
        *(f"Trial 0: {sentence}" for sentence in too_large(spec, config)),
        *untimeable(spec),
    ]


def time_text(hours: float | None) -> str:
    """Say when the budget of time ends; empty where there is none."""
    return "" if hours is None else f" No trial begins after {seconds_text(3600 * hours)}."


def show_space(spec: SearchSpec, place: DeltaGenerator) -> None:
    """Draw what planners may choose from."""
    dimensions, start = space(spec), spec.start()
    frame = pd.DataFrame(
        [
            (key, str(start[key]), describe(search), search.step, fields()[key].help)
            for key, search in dimensions.items()
        ],
        columns=["Setting", "Trial 0", "May be", "Step", "Meaning"],
    )
    place.dataframe(frame, hide_index=True, height=280, alt="Settings that planners may change")


# -- page ---------------------------------------------------------------------------------------

heading = st.empty()
heading.title("Start a search", anchor=False)
environment = settings()
begins = origin(environment)
if begins.like is not None:
    heading.title(f"Start a search like search {begins.like}", anchor=False)
if begins.like is not None or begins.named:
    st.button(
        "Begin with a preset instead",
        key="start-afresh",
        type="tertiary",
        icon=":material/restart_alt:",
        on_click=st.query_params.clear,
    )

task_column, search_column, model_column = st.columns([13, 13, 9])
with model_column, st.container(border=True, height="stretch"):
    st.subheader("Start from", anchor=False)
    preset_name = choose_preset(begins)
    base = PRESETS[preset_name].config().flat()
    first = base | begins.spec.settings
    form = f"{begins.form}-{preset_name}"
    epochs = setting("training.epochs", first["training.epochs"], form, "Epochs per trial")
with task_column, st.container(border=True, height="stretch"):
    st.subheader("Forecast", anchor=False)
    task = choose_task(first, form)
with search_column, st.container(border=True, height="stretch"):
    st.subheader("Plan", anchor=False)
    left, right = st.columns(2)
    max_trials = left.number_input(
        "Trial budget",
        1,
        100_000,
        begins.spec.max_trials,
        key=f"{begins.form}-trials",
        help="Trial 0 is the starting point",
    )
    slots = right.number_input(
        "Slots",
        1,
        1024,
        default_slots(PRESETS[preset_name].config()) if begins.like is None else begins.spec.slots,
        key=f"{form}-slots",
        help="Trials that are trained at once: one on each GPU, else on each core, is a good start",
    )
    planner_name = choose_planner(environment, begins)
    guidance = choose_guidance(planner_name, begins)
    aims, unread_bounds = choose_aims(begins.spec, begins.form)
    mode, timer = choose_policy(begins.spec.mode, begins.spec.timer, begins.form)
show_carried(begins.form, begins.spec, begins.like, planner_name)
with st.expander("Search space", key="start-space-expander"):
    narrowed, unread = choose_space(begins)
    space_table = st.container()
backend = choose_backend(begins.spec.backend, begins.form)
advanced, pruning, inherits, limits, rules = choose_advanced(first, form, begins)

values = {**task, **advanced, "training.epochs": epochs}
try:
    search = SearchSpec(
        preset="paper" if preset_name == "paper" else "small",
        settings={key: value for key, value in values.items() if value != base[key]},
        planner=planner_name,
        mode=mode,
        timer=timer,
        space=narrowed,
        guidance=guidance,
        max_trials=max_trials,
        slots=slots,
        backend=backend,
        pruning=pruning,
        inherits=inherits,
        rules=rules,
        limits=limits,
        **aims,
    )
except ValidationError as error:  # a browser may send what no widget offers
    refusal = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
    st.error(plain(f"{refusal[0].upper()}{refusal[1:]}."))
    st.stop()
problems = unread + unread_bounds + (problems_of(search) or backend_problems(search))
if not problems:
    lessons = choose_lessons(form, begins.spec, search)
    search = search.model_copy(update={"lessons": lessons})
    show_space(search, space_table)
    problems = show_cost(search)
for problem in problems:
    st.error(plain(problem))
if not problems:
    show_same_search(search)
if st.button(
    "Start search", type="primary", key="start-go", icon=":material/play_arrow:", **acting()
):
    if problems:
        st.error("The search was not started: mend what is listed above first.")
    else:
        start_and_watch(search)
