"""One proposal that waits for a person: what it changes, why, and what it may bring and cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from informer.config import Value, fields
from nas_engine.proposals import Record, Tried, differences
from nas_engine.space import step_type
from nas_engine.store.rows import RevisionRow, SearchRow, TrialRow
from pages._parts.editor import show_near, show_trials
from pages._parts.facts import show_facts
from pages._parts.inbox import Inbox, prefix_of
from pages._parts.inbox_decide import show_decisions, show_editor
from pages._parts.inbox_figures import (
    Estimate,
    aims_line,
    broken,
    cost_text,
    estimate,
    estimate_text,
    expectations,
    references,
)
from pages._parts.opening import TRANSCRIPT, TRIAL, settings
from pages._parts.states import proposer
from pages._parts.text import (
    changes_text,
    clock_text,
    plain,
    readable,
    seconds_text,
    value_text,
)


def show_card(inbox: Inbox, trial: TrialRow) -> None:
    """Draw a proposal with all that speaks for and against it, and the ways to decide on it."""
    search, prefix = inbox.search, prefix_of(trial)
    parent, record = inbox.parent_of(trial), inbox.record_before(trial)
    with st.container(border=True, key=f"{prefix}-card"):
        show_head(inbox, trial)
        show_difference(parent, trial.config)
        left, right = st.columns(2, gap="medium")
        with left:
            show_reasons(inbox, trial, record.trials)
        with right:
            after = show_cost(inbox, trial, record)
            show_near(record, trial.config, search.id)
            show_trials("Refers to:", references(trial, record.trials), search.id)
        for sentence in broken(inbox.constraints, trial.config, after):
            st.warning(f"Breaks what the search was told: {plain(sentence)}")
        show_decisions(trial, search, parent)
        show_editor(trial, search.id, record, parent)
        show_versions(inbox, trial, parent)


def show_head(inbox: Inbox, trial: TrialRow) -> None:
    """Draw what kind of proposal it is, how long it waits, and whether something comes of that."""
    source = proposer(trial.source, trial.hypothesis)
    asked = inbox.planning.get(trial.number)
    model = f" ({asked.model})" if asked is not None and trial.source in ("llm", "hybrid") else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"Trial {trial.number}", anchor=False, width="content")
        by = "drafted in the chat" if trial.drafted else f"proposed by {source}{model}"
        st.badge(plain(by), color="blue")
        st.badge(f"{trial.step_type} step", color="violet")
        if trial.waiting_since is not None:
            waited = seconds_text(max(0.0, time.time() - trial.waiting_since))
            st.badge(f"waits {waited}", color="gray", help="When this page was drawn.")
        if timer := timer_text(inbox, trial):
            st.badge(timer, color="orange", icon=":material/timer:")
        show_links(trial, inbox.search)
    if trial.asked_again:
        label = "The planner is asked again" + (f": {trial.hint}" if trial.hint else "")
        st.status(plain(label, 300), state="running", type="compact")
    elif warning := not_replaced(inbox, trial):
        st.warning(plain(warning))


def timer_text(inbox: Inbox, trial: TrialRow) -> str:
    """Return what the timer of the search will do with a proposal, and when; empty without one."""
    timer = inbox.search.spec.timer
    if timer is None or trial.drafted:
        return ""
    if (due := inbox.due.get(trial.number)) is not None:
        return f"the timer {timer.then}s it at {clock_text(due)}"
    return "the timer rests" + (" meanwhile" if trial.asked_again else " while nothing runs")


def not_replaced(inbox: Inbox, trial: TrialRow) -> str:
    """Return why a proposal stands as it was although its planner was asked again."""
    versions = inbox.versions.get(trial.number, [])
    kept = versions and versions[-1].why == "asked again" and versions[-1].config == trial.config
    return inbox.warnings.get(trial.number, "") if kept else ""


def show_links(trial: TrialRow, search: SearchRow) -> None:
    """Draw the ways to what a proposal changes and to the exchanges that led to it."""
    if trial.parent is None:
        st.badge("changes the starting configuration", color="gray")
    else:
        st.page_link(
            TRIAL,
            label=f"changes trial {trial.parent}" + " ★" * (trial.parent == search.incumbent),
            query_params={"trial": f"{search.id}.{trial.parent}"},
        )
    st.page_link(
        TRANSCRIPT,
        label="Transcript",
        query_params={"search": str(search.id), "trial": str(trial.number)},
        help="What the planner was asked and answered, word for word.",
    )


def show_difference(parent: Mapping[str, Value], config: Mapping[str, Value]) -> None:
    """Draw what differs from the parent."""
    rows = [
        (key, value_text(old), value_text(new), step_type({key: new}), fields()[key].help)
        for key, (old, new) in differences(parent, config).items()
    ]
    columns = ["Setting", "Parent", "Proposed", "Step", "Meaning"]
    widths = dict(zip(columns, (205, 85, 90, 65, 400), strict=True))
    st.dataframe(
        pd.DataFrame(rows, columns=columns),
        hide_index=True,
        column_config={
            name: st.column_config.TextColumn(width=width, pinned=name == "Setting")
            for name, width in widths.items()
        },
        alt="Proposed settings beside the parent's",
    )


def show_cost(inbox: Inbox, trial: TrialRow, record: Record) -> Estimate | None:
    """Draw what is expected of the proposal and what it will take, and return the latter."""
    person = "The person" if trial.source == "human" else "The planner"
    source = "The chat" if trial.drafted else person
    expected = expectations(trial, source, inbox.parent_error(trial))
    st.markdown("**Expected**")
    for sentence in expected or ["Nobody has said what effect to expect."]:
        st.markdown(plain(sentence))
    if inbox.noise is not None:
        st.caption(f"Seeds alone make trainings differ by {inbox.noise.relative:.2%} here.")
    after, before = estimate(record, trial.config), estimate(record, inbox.parent_of(trial))
    if after is not None:
        st.caption(plain(estimate_text(after, before)))
        if told := aims_line(after, inbox.spec):
            st.markdown(plain(told))
        asked, price = inbox.planning.get(trial.number), settings().nas_usd_per_hour
        if cost := cost_text(asked, after.seconds, inbox.budgets, price):
            st.caption(plain(cost))
    return after


def show_reasons(inbox: Inbox, trial: TrialRow, earlier: Sequence[Tried]) -> None:
    """Draw the hypothesis and the reasons, with what the fact check says of them."""
    search = inbox.search
    st.markdown("**Hypothesis**")
    st.text(readable(trial.hypothesis) or "None was given.")
    show_facts(trial.hypothesis, earlier, inbox.baselines, search.incumbent, search.id)
    if trial.reasons:
        with st.expander("Reasons", key=f"{prefix_of(trial)}-reasons"):
            st.text(readable(trial.reasons))
            show_facts(trial.reasons, earlier, inbox.baselines, search.incumbent, search.id)


def show_versions(inbox: Inbox, trial: TrialRow, parent: Mapping[str, Value]) -> None:
    """Draw what the proposal said before it was asked for again."""
    versions = inbox.versions.get(trial.number, [])
    if not versions:
        return
    with st.expander(f"Earlier versions ({len(versions)})", key=f"{prefix_of(trial)}-versions"):
        for row in reversed(versions):
            _show_version(row, parent)


def _show_version(row: RevisionRow, parent: Mapping[str, Value]) -> None:
    hint = f" with the hint “{row.comment}”" if row.comment else ""
    by = f"{row.why} by {row.author} at {clock_text(row.created_at)}{hint}"
    st.markdown(f"**Version {row.version}**, {plain(by, 600)}")
    st.caption(plain(changes_text(row.changes, parent), 600))
    st.text(readable(row.hypothesis))
    for sentence in expectations(row, "The planner", None):
        st.caption(plain(sentence))
