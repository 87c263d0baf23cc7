"""Review: approve, edit or reject what a planner wants to try, before it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import streamlit as st

from informer.config import Value
from nas_engine.commands import Decide
from nas_engine.liveness import LIVING, EngineState, engine_state
from nas_engine.proposals import Record, differences
from nas_engine.space import step_type
from nas_engine.store.reader import SearchRow, TrialRow
from nas_engine.store.table import Query, TriedRow, page, parse
from pages._parts.all_trials import all_tried
from pages._parts.editor import edit, show_estimate, weights
from pages._parts.opening import LIVE, choose_search, give_and_show, searched, show_answer
from pages._parts.states import SOURCES
from pages._parts.text import (
    changes_text,
    count_text,
    error_text,
    expected_text,
    plain,
    readable,
    value_text,
)

TICK_SECONDS = 2.0
ANSWER = "review-answer"
WAITING = parse("state=proposed")
DECIDED = parse("decision=approved,edited,rejected")
Decision = Literal["approved", "edited", "rejected"]


@dataclass(frozen=True)
class Snapshot:
    """The search and its trials, read in one go."""

    search: SearchRow
    engine: EngineState
    waiting: list[TrialRow]
    decided: list[TrialRow]  # by people, the newest first
    parents: dict[int, Mapping[str, Value]]  # configurations of the trials that these change
    earlier: Sequence[TriedRow]  # read where something waits

    @property
    def ticking(self) -> bool:
        """Whether the page looks for news by itself: never while somebody may be editing."""
        return not self.waiting and self.engine in LIVING

    def record_before(self, trial: TrialRow) -> Record:
        """Return what the proposal of a trial is checked against."""
        earlier = [other for other in self.earlier if other.number < trial.number]
        return Record(self.search.spec, earlier)

    def parent_of(self, trial: TrialRow) -> Mapping[str, Value]:
        """Return the configuration that a proposal changes."""
        start = self.search.spec.start()
        return start if trial.parent is None else self.parents.get(trial.parent, start)


def read(search_id: int) -> Snapshot:
    """Read what the page shows."""
    with searched() as reader:
        search = reader.search(search_id)
        if search is None:
            st.error(f"Search {search_id} is no longer in this workspace.")
            st.stop()
        waiting = page(reader, Query((search_id,), WAITING))
        decided = page(reader, Query((search_id,), DECIDED, descending=True))
        parents = {row.parent for row in (*waiting, *decided) if row.parent is not None}
        return Snapshot(
            search=search,
            engine=engine_state(reader.engine(search_id)),
            waiting=waiting,
            decided=decided,
            parents={
                row.number: row.config
                for row in reader.listed([(search_id, number) for number in parents])
            },
            earlier=all_tried(reader, search_id) if waiting else (),
        )


# -- one proposal -------------------------------------------------------------------------------


def decide(
    trial: TrialRow, search_id: int, decision: Decision, comment: str, changes: dict[str, Value]
) -> None:
    """Send a decision on the version that was shown; its answer is shown with the next run."""
    with st.spinner("Waiting for the engine…"):
        command = Decide(
            proposal_id=trial.proposal_id,
            version=trial.version,
            decision=decision,
            changes=changes,
            comment=comment,
        )
        give_and_show(command, search_id, ANSWER)
    st.rerun()


def show_proposal(snapshot: Snapshot, trial: TrialRow) -> None:
    """Draw a proposal with its reasons and the three ways to decide on it."""
    search = snapshot.search
    parent, record = snapshot.parent_of(trial), snapshot.record_before(trial)
    prefix = f"review-{trial.proposal_id}-{trial.version}"
    with st.container(border=True, key=f"{prefix}-card"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(f"Trial {trial.number}", anchor=False, width="content")
            st.badge(f"proposed by {plain(SOURCES.get(trial.source, trial.source))}", color="blue")
            st.badge(f"{trial.step_type} step", color="violet")
            st.badge("changes " + parent_name(trial, search), color="gray")
        left, right = st.columns([5, 6], gap="medium")
        with left:
            show_difference(record, parent, trial.config)
        with right:
            st.markdown("**Hypothesis**")
            st.text(readable(trial.hypothesis) or "None was given.")
            if expected := expected_text(trial.expected_low, trial.expected_high):
                st.caption(plain(expected))
            if trial.reasons:
                st.markdown("**Reasons**")
                st.text(readable(trial.reasons))
        show_approve_and_reject(trial, search.id, prefix)
        with st.expander("Edit before approving", key=f"{prefix}-edit", icon=":material/edit:"):
            show_editor(trial, search.id, record, parent, prefix)


def parent_name(trial: TrialRow, search: SearchRow) -> str:
    """Return what a proposal changes, in words."""
    if trial.parent is None:
        return "the starting configuration"
    return f"trial {trial.parent}" + (" ★" if trial.parent == search.incumbent else "")


def show_difference(
    record: Record, parent: Mapping[str, Value], config: Mapping[str, Value]
) -> None:
    """Draw what differs from the parent, and what that does to size, memory and time."""
    before, after = weights(parent), weights(config)
    rows = [
        (key, value_text(old), value_text(new), step_type({key: new}))
        for key, (old, new) in differences(parent, config).items()
    ]
    frame = pd.DataFrame(rows, columns=["Setting", "Parent", "Proposed", "Step"])
    st.dataframe(frame, hide_index=True, alt="Proposed settings beside the parent's")
    growth = f" (x {after / before:.2f})" if before and after and before != after else ""
    st.caption(f"Parameters: {count_text(before)} → {count_text(after)}{growth}")
    show_estimate(record, config)


def show_approve_and_reject(trial: TrialRow, search_id: int, prefix: str) -> None:
    """Draw the buttons that decide on the proposal as it stands."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        comment = st.text_input(
            "Comment",
            key=f"{prefix}-comment",
            placeholder="Comment, kept with the trial (optional)",
            label_visibility="collapsed",
            max_chars=4000,
            width=360,
        )
        if st.button("Approve", type="primary", key=f"{prefix}-approve", icon=":material/check:"):
            decide(trial, search_id, "approved", comment, {})
        with st.popover("Reject", key=f"{prefix}-reject", icon=":material/close:"):
            reason = st.text_area(
                "Reason",
                key=f"{prefix}-reason",
                placeholder="The planner is told this reason.",
                max_chars=4000,
            )
            if st.button("Reject the proposal", key=f"{prefix}-reject-confirmed", type="primary"):
                if reason.strip():
                    decide(trial, search_id, "rejected", reason.strip(), {})
                st.error("Say why: the planner learns from the reason.")


def show_editor(
    trial: TrialRow, search_id: int, record: Record, parent: Mapping[str, Value], prefix: str
) -> None:
    """Draw the form of an edited proposal."""
    changes, problems = edit(
        record, parent, trial.config, differences(parent, trial.config), prefix
    )
    comment = st.text_input(
        "Why this edit", key=f"{prefix}-edit-comment", max_chars=4000, placeholder="Optional"
    )
    if st.button(
        "Approve edited",
        type="primary",
        key=f"{prefix}-approve-edited",
        disabled=bool(problems) or not changes,
        help="Mend what is listed above first." if problems else None,
        icon=":material/check:",
    ):
        decide(trial, search_id, "edited", comment, changes)


# -- what else ----------------------------------------------------------------------------------


def show_nothing_waits(snapshot: Snapshot) -> None:
    """Say why there is nothing to decide, and where to look instead."""
    search = snapshot.search
    if search.spec.mode == "auto":
        st.info("This search runs in auto mode: proposals are trained without a review.")
    elif search.state == "completed":
        st.info("The search is complete; nothing waits for a decision.")
    elif snapshot.ticking:
        st.info("Nothing waits for a decision. The next proposal appears here by itself.")
    else:
        st.info(f"Nothing waits for a decision: the search is {search.state} and has no engine.")
    st.page_link(
        LIVE,
        label="Watch the search",
        icon=":material/arrow_forward:",
        query_params={"search": str(search.id)},
    )


def show_decisions(snapshot: Snapshot) -> None:
    """Draw the decisions that people took in this search."""
    st.markdown("**Past decisions**", help="The newest 100.")
    if not snapshot.decided:
        st.caption("No person has decided on a proposal of this search yet.")
        return
    frame = pd.DataFrame(
        [
            {
                "Trial": trial.number,
                "Decision": trial.decision,
                "By": readable(trial.author),
                "Comment": readable(trial.comment),
                "Proposed by": SOURCES.get(trial.source, trial.source),
                "Proposed": readable(changes_text(trial.original, snapshot.parent_of(trial))),
                "Tried": ""
                if trial.decision == "rejected"
                else readable(changes_text(trial.changes, snapshot.parent_of(trial))),
                "val_mse ↓": error_text(trial.val_mse),
            }
            for trial in snapshot.decided
        ]
    )
    wide = st.column_config.TextColumn(width=230)
    st.dataframe(
        frame,
        hide_index=True,
        key="review-decisions",
        column_config={
            "Comment": wide,
            "Proposed by": st.column_config.TextColumn(width=125),
            "Proposed": wide,
            "Tried": wide,
        },
        alt="Decisions of people, newest first",
    )


# -- page ---------------------------------------------------------------------------------------


def draw(search_id: int, ticking: bool) -> None:
    """Draw the page; the ticking ends with a full run when a proposal arrives."""
    snapshot = read(search_id)
    if snapshot.ticking != ticking:
        st.rerun()
    show_answer(ANSWER)
    for trial in snapshot.waiting:
        show_proposal(snapshot, trial)
    if snapshot.waiting and snapshot.engine in ("none", "lost"):
        st.caption("This search has no engine at the moment; a decision starts one.")
    if not snapshot.waiting:
        show_nothing_waits(snapshot)
    show_decisions(snapshot)


chosen = choose_search("Review")
looks = read(chosen.id).ticking
st.fragment(draw, run_every=TICK_SECONDS if looks else None)(chosen.id, looks)
