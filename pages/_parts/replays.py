"""Replay: what another planner would have proposed, beside what was proposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import pandas as pd
import streamlit as st

from informer.config import ConfigError, Value, from_flat
from nas_engine.commands import Replay
from nas_engine.proposals import differences, repeats
from nas_engine.search import ASKING, PlannerName
from nas_engine.store import wishes
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow, TrialRow
from nas_engine.store.wishes import ReplayRow
from pages._parts.address import write
from pages._parts.all_trials import all_tried
from pages._parts.choice import task_differences
from pages._parts.opening import (
    TRIAL,
    asked_trial,
    give_and_show,
    nothing_yet,
    settings,
    show_answer,
)
from pages._parts.people import acting
from pages._parts.selection import reference_of
from pages._parts.states import PLANNERS, proposer, verdict_text
from pages._parts.text import error_text, expected_text, percent_text, plain, readable, value_text

MOST_SEARCHES = 20
"""Newest other searches of the same task in which a known result is looked for."""

ANSWER = "hindsight-answer"
STATES = {"asked": "▶ asked", "answered": "✓ answered", "failed": "✕ failed"}


def show_replays(reader: Reader, search: SearchRow) -> None:
    """Draw the form of a replay, and those that were asked for."""
    last = max(reader.numbers(search.id), default=0)
    if last == 0:
        nothing_yet("No planner has proposed a trial yet; there is nothing to replay.", search.id)
        return
    show_form(search, last)
    show_answer(ANSWER)
    rows = wishes.replays(reader, search.id)
    if not rows:
        st.caption(
            "No replay yet. Choose a trial and a planner to see what it would have proposed from "
            "what was known then, and what came of that where it was ever trained."
        )
        return
    known = {row.id: row for row in rows}
    asked_for = st.query_params.get("replay", "")
    chosen = known.get(int(asked_for)) if asked_for.isdecimal() else None
    st.session_state["hindsight-replay"] = (chosen or rows[0]).id
    picked = st.selectbox(
        f"Replays ({len(rows)})",
        list(known),
        format_func=lambda key: replay_label(known[key]),
        key="hindsight-replay",
        on_change=lambda: write("replay", st.session_state["hindsight-replay"]),
    )
    row = known[picked]
    trial = reader.trial(search.id, row.number)
    if trial is not None:
        show_replay(reader, search, trial, row)


def show_form(search: SearchRow, last: int) -> None:
    """Draw what a replay needs: trial, planner and, for a language model, its name."""
    from_address = asked_trial()
    with st.container(border=True, horizontal=True, vertical_alignment="bottom"):
        trial = st.number_input(
            "Trial",
            min_value=1,
            max_value=last,
            value=from_address if from_address and 1 <= from_address <= last else last,
            key=f"hindsight-trial-{search.id}",
            width=110,
            help="What was known when this trial was first proposed is all that is told.",
        )
        planner = st.selectbox(
            "Planner",
            get_args(PlannerName),
            format_func=PLANNERS.__getitem__,
            key="hindsight-planner",
            width=140,
            help="LLM and Hybrid ask a language model, which costs; the call counts against "
            "the budget of the search.",
        )
        asking = planner in ASKING
        model = st.text_input(
            "Model",
            key="hindsight-model",
            placeholder=settings().planner_model if asking else "asks no model",
            disabled=not asking,
            max_chars=200,
            width=280,
        )
        st.button(
            "Replay",
            key="hindsight-ask",
            type="primary",
            icon=":material/history:",
            on_click=ask,
            args=(search.id, trial, planner, model.strip() if asking else ""),
            **acting(help="Nothing is trained. An engine is started where none runs."),
        )


def ask(search_id: int, trial: int, planner: PlannerName, model: str) -> None:
    """Have the planner asked, and show what comes of it."""
    st.query_params.pop("replay", None)
    give_and_show(Replay(number=trial, planner=planner, model=model), search_id, ANSWER)


# -- one replay ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """A trial that has trained a configuration already."""

    search_id: int
    number: int
    val_mse: float


def known_result(reader: Reader, search: SearchRow, config: Mapping[str, Value]) -> Known | None:
    """Return the result of a configuration in this search, else in another of the same task."""
    try:
        wanted = from_flat(config)
    except ConfigError:  # of a search from before a rule
        return None
    others = [row for row in reader.searches() if row.id != search.id]
    same = [row.id for row in others if not task_differences([search, row])][:MOST_SEARCHES]
    for search_id in (search.id, *same):
        for row in repeats(wanted, all_tried(reader, search_id)):
            if row.val_mse is not None:
                return Known(search_id, row.number, row.val_mse)
    return None


def replay_label(row: ReplayRow) -> str:
    """Return a replay in one line, for lists."""
    model = f" ({readable(row.model)})" if row.model else ""
    return f"{STATES[row.state]} · trial {row.number} · {planner_of(row)}{model}"


def planner_of(row: ReplayRow) -> str:
    """Return the planner that a replay asks, as the form calls it."""
    return next((name for key, name in PLANNERS.items() if key == row.planner), row.planner)


def show_replay(reader: Reader, search: SearchRow, trial: TrialRow, row: ReplayRow) -> None:
    """Draw what was proposed and what would have been proposed side by side."""
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        show_proposed(reader, search, trial)
    with right.container(border=True, height="stretch"):
        show_answer_of(reader, search, trial, row)


def show_proposed(reader: Reader, search: SearchRow, trial: TrialRow) -> None:
    """Draw what the search's own planner proposed, and what came of it."""
    st.markdown(f"**Trial {trial.number}, as it was proposed**")
    st.badge(f"by {plain(proposer(trial.source, trial.hypothesis))}", color="blue")
    parent = parent_config(reader, search, trial.parent)
    show_changes(parent, {**parent, **trial.original}, trial.parent)
    show_expected(trial.expected_low, trial.expected_high, trial.decision == "edited")
    show_surrogate(trial.surrogate_low, trial.surrogate_high, "then")
    if trial.decision == "edited":
        st.caption("A person edited it before it was trained: the result is that of the edit.")
    verdict = verdict_text(trial, search.incumbent)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if trial.val_mse is None:
            st.markdown(f"Result: none, the trial is {trial.state}.", width="content")
        else:
            result = f"Result: val_mse **{error_text(trial.val_mse)}**, {plain(verdict)}."
            st.markdown(result, width="content")
        show_link(search.id, search.id, trial.number)


def show_answer_of(reader: Reader, search: SearchRow, trial: TrialRow, row: ReplayRow) -> None:
    """Draw what a replay has come to."""
    whose = plain(planner_of(row)) + (f", {plain(row.model, 80)}" if row.model else "")
    st.markdown(f"**What {whose} would have proposed**")
    if row.state == "asked":
        st.info("The planner is being asked; its answer appears here by itself.")
        return
    if row.state == "failed":
        st.error(plain(row.problem))
        return
    st.badge(f"by {plain(proposer(row.source, row.hypothesis))}", color="blue")
    if row.config == {**parent_config(reader, search, trial.parent), **trial.original}:
        st.caption("This is the configuration that was proposed.")
    show_changes(parent_config(reader, search, row.parent), row.config, row.parent)
    show_expected(row.expected_low, row.expected_high)
    show_result(reader, search, row)
    if row.hypothesis:
        st.markdown("**Hypothesis**")
        st.text(readable(row.hypothesis))
    if row.reasons:
        with st.expander("Reasons", key=f"hindsight-reasons-{row.id}"):
            st.text(readable(row.reasons))


def show_result(reader: Reader, search: SearchRow, row: ReplayRow) -> None:
    """Say what came of the configuration where it was trained, else what the surrogate expects."""
    known = known_result(reader, search, row.config)
    if known is None:
        st.markdown("Result: never trained on this task in this workspace.")
        show_surrogate(row.surrogate_low, row.surrogate_high, "now")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"Result: val_mse **{error_text(known.val_mse)}**, trained as", width="content")
        show_link(search.id, known.search_id, known.number)


def show_link(search_id: int, of: int, number: int) -> None:
    """Draw the way to a trial of the search `of`, on a page about `search_id`."""
    st.page_link(
        TRIAL,
        label=f"Trial {number}" if of == search_id else f"Trial {number} of search {of}",
        query_params={"trial": reference_of((of, number))},
        icon=":material/arrow_forward:",
        width="content",
    )


def parent_config(reader: Reader, search: SearchRow, number: int | None) -> Mapping[str, Value]:
    """Return the configuration that a proposal changes."""
    trial = None if number is None else reader.trial(search.id, number)
    return search.spec.start() if trial is None else trial.config


def show_changes(
    parent: Mapping[str, Value], config: Mapping[str, Value], number: int | None
) -> None:
    """Draw what a configuration changes in its parent."""
    name = "the start" if number is None else f"trial {number}"
    rows = [
        (key, value_text(old), value_text(new))
        for key, (old, new) in differences(parent, config).items()
    ]
    frame = pd.DataFrame(rows, columns=["Setting", f"Parent: {name}", "Proposed"])
    st.dataframe(frame, hide_index=True, alt=f"Proposed settings beside those of {name}")


def show_expected(low: float | None, high: float | None, edited: bool = False) -> None:
    """Say what its proposer expected, if it said so."""
    if expected := expected_text(low, high):
        st.caption(plain(f"{'By the edit: ' if edited else ''}{expected}"))


def show_surrogate(low: float | None, high: float | None, when: str) -> None:
    """Say what the surrogate expects, if it has results enough."""
    if low is not None and high is not None:
        st.caption(
            f"By the surrogate, from what is known {when}: {percent_text(low)} to "
            f"{percent_text(high)} better than the parent's val_mse."
            if when == "now"
            else f"By the surrogate, before it was trained: {percent_text(low)} to "
            f"{percent_text(high)} better than the parent's val_mse."
        )
