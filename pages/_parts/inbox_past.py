"""What people decided on proposals, what came of it, and whether the planner was told."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from nas_engine.store.inbox import TOLD
from nas_engine.store.rows import TrialRow
from pages._parts.inbox import Inbox
from pages._parts.states import SOURCES
from pages._parts.text import changes_text, error_text, percent_text, readable

SEEN_HELP = "The first trial in whose planning the language model was told of the decision."


def show_decided(inbox: Inbox) -> None:
    """Draw the decisions that were taken in this search."""
    st.markdown("**Past decisions**", help="The newest 100.")
    if not inbox.decided:
        st.caption("No person has decided on a proposal of this search yet.")
        return
    if not inbox.reads_words:
        planner = SOURCES.get(inbox.search.spec.planner, inbox.search.spec.planner)
        st.caption(f"{planner} learns from results alone: it reads no comments and no reasons.")
    wide, link = st.column_config.TextColumn(width=165), st.column_config.LinkColumn
    st.dataframe(
        pd.DataFrame([_row(inbox, trial) for trial in inbox.decided]),
        hide_index=True,
        key="review-decisions",
        column_config={
            "Trial": st.column_config.NumberColumn(pinned=True, width=60, format="%d"),
            "Comment": wide,
            "Proposed by": st.column_config.TextColumn(width=125),
            "Proposed": wide,
            "Tried": wide,
            "vs parent": st.column_config.TextColumn(
                width=90, help="Improvement of val_mse over the parent's"
            ),
            "Planner told": st.column_config.TextColumn(width=100, help=SEEN_HELP),
            "Exchange": link(display_text="open", width=80, help=SEEN_HELP),
            "Page": link(display_text="open", width=65),
        },
        alt="Decisions of people, newest first",
    )


def _row(inbox: Inbox, trial: TrialRow) -> dict[str, object]:
    parent, search_id = inbox.parent_of(trial), inbox.search.id
    row: dict[str, object] = {
        "Trial": trial.number,
        "Decision": trial.decision,
        "By": readable(trial.author),
        "Comment": readable(trial.comment),
    }
    told = inbox.told.get(trial.number)
    if inbox.reads_words:
        known = "not yet" if told is None else f"at trial {told}"
        row["Planner told"] = known if trial.decision in TOLD else "the result alone"
    row |= {
        "Proposed": readable(changes_text(trial.original, parent)),
        "Tried": ""
        if trial.decision == "rejected"
        else readable(changes_text(trial.changes, parent)),
        "State": trial.state,
        "Proposed by": SOURCES.get(trial.source, trial.source),
        "val_mse ↓": error_text(trial.val_mse),
        "vs parent": percent_text(_improvement(trial.val_mse, inbox.parent_error(trial))),
    }
    if inbox.reads_words:
        there = f"./transcript?search={search_id}&trial={told}"
        row["Exchange"] = None if told is None else there
    return row | {"Page": f"./trial?trial={search_id}.{trial.number}"}


def _improvement(value: float | None, parent: float | None) -> float | None:
    return (parent - value) / parent if value is not None and parent else None
