"""How a person decides on a proposal: approve, edit, reject, ask again; what the engine says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from informer.config import Value
from nas_engine.commands import AskAgain, Decide, Enqueue
from nas_engine.proposals import Record, differences
from nas_engine.search import ASKING
from nas_engine.space import editable_keys
from nas_engine.store.rows import SearchRow, TrialRow
from nas_engine.supervisor import Answer
from pages._parts.editor import choose_expected, edit, edited_changes, expected_now
from pages._parts.forms import held_settings
from pages._parts.inbox import Inbox, prefix_of
from pages._parts.opening import give, leave
from pages._parts.people import acting
from pages._parts.states import SOURCES
from pages._parts.text import changes_text, plain
from pages._parts.trying import UNTRIED, dry_run_button, show_dry_run, tried

ANSWER = "review-answer"
REFUSED = "review-refused"
"""In the session's state: a decision that was not taken, until the person puts it away."""
OPENED = ("edit", "reject", "again")
"""What a person may have open on a card, after the prefix of its keys."""
Decision = Literal["approved", "edited", "rejected"]
_COMMENTS: dict[Decision, str] = {
    "approved": "comment",
    "edited": "edit-comment",
    "rejected": "reason",
}
"""Ends of the keys of what a person may write with a decision."""


@dataclass(frozen=True)
class Refusal:
    """A decision that was not taken, and why; of an edit what was to be tried."""

    text: str
    search_id: int
    number: int
    parent: int | None
    before: Mapping[str, Value]  # the parent's configuration
    edit: Decide | None


def decide(
    trial: TrialRow, search_id: int, decision: Decision, parent: Mapping[str, Value]
) -> None:
    """Send a decision on the version that was drawn, with what the card holds now.

    It is called back by buttons: they are pressed also where the proposal waits no longer, and the
    page that is drawn next has no card of it any more.
    """
    prefix, held = prefix_of(trial), st.session_state
    comment = held.get(f"{prefix}-{_COMMENTS[decision]}", "").strip()
    if decision == "rejected" and not comment:
        held[f"{prefix}-unreasoned"] = True
        return
    edited = decision == "edited"
    expected, faults = expected_now(prefix) if edited else (None, [])
    if faults:
        leave(ANSWER, Answer(False, faults[0], search_id))
        return
    values = held_settings(editable_keys(), prefix) if edited else {}
    command = Decide(
        proposal_id=trial.proposal_id,
        version=trial.version,
        decision=decision,
        changes=edited_changes(parent, values),
        expected=expected,
        comment=comment,
    )
    _send(command, trial, search_id, parent)


def ask_again(trial: TrialRow, search_id: int) -> None:
    """Ask for another proposal in the place of the version that was drawn."""
    hint = st.session_state.get(f"{prefix_of(trial)}-hint", "").strip()
    command = AskAgain(proposal_id=trial.proposal_id, version=trial.version, hint=hint)
    _send(command, trial, search_id, {})


def _send(
    command: Decide | AskAgain, trial: TrialRow, search_id: int, parent: Mapping[str, Value]
) -> None:
    answer = give(command, search_id)
    st.session_state.pop(REFUSED, None)
    if answer.ok:
        leave(ANSWER, answer)
        return
    edited = command if isinstance(command, Decide) and command.changes else None
    told = Refusal(answer.text, search_id, trial.number, trial.parent, parent, edited)
    st.session_state[REFUSED] = told


def show_refusal(inbox: Inbox) -> None:
    """Say what became of a decision that came too late; an edit can be queued all the same."""
    told: Refusal | None = st.session_state.get(REFUSED)
    if told is None or told.search_id != inbox.search.id:
        return
    with st.container(border=True, key="review-refusal"):
        st.error(plain(told.text))
        waits = any(trial.number == told.number for trial in inbox.waiting)
        with st.container(horizontal=True, vertical_alignment="center"):
            if told.edit is not None and not waits:
                listed = changes_text(told.edit.changes, told.before)
                st.caption(f"Your edit of it: {plain(listed, 600)}", width="stretch")
                if st.button(
                    "Enqueue your edit", key="review-enqueue-edit", type="primary", **acting()
                ):
                    _enqueue(told, told.edit)
            if st.button("Put this away", key="review-put-away"):
                del st.session_state[REFUSED]
                st.rerun()


def _enqueue(told: Refusal, edited: Decide) -> None:
    command = Enqueue(
        parent=told.parent,
        changes=edited.changes,
        expected=edited.expected,
        comment=edited.comment,
    )
    answer = give(command, told.search_id)
    if answer.ok:
        del st.session_state[REFUSED]
    leave(ANSWER, answer)
    st.rerun()


# -- on the proposal as it stands ---------------------------------------------------------------


def show_decisions(trial: TrialRow, search: SearchRow, parent: Mapping[str, Value]) -> None:
    """Draw the buttons that decide on the proposal as it stands."""
    prefix = prefix_of(trial)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Comment",
            key=f"{prefix}-comment",
            placeholder="Comment, kept with the trial (optional)",
            label_visibility="collapsed",
            max_chars=4000,
            width=330,
        )
        dry_run_button(trial.config, prefix)
        st.button(
            "Approve",
            type="primary",
            key=f"{prefix}-approve",
            icon=":material/check:",
            on_click=decide,
            args=(trial, search.id, "approved", parent),
            **acting(help=None if tried(trial.config, prefix) else UNTRIED),
        )
        _show_reject(trial, search, parent, prefix)
        _show_ask_again(trial, search, prefix)
    show_dry_run(trial.config, prefix)


def _show_reject(
    trial: TrialRow, search: SearchRow, parent: Mapping[str, Value], prefix: str
) -> None:
    asking = search.spec.planner in ASKING
    place = st.popover("Reject", key=f"{prefix}-reject", icon=":material/close:", on_change="rerun")
    with place:
        st.text_area(
            "Reason",
            key=f"{prefix}-reason",
            placeholder="The planner is told this reason." if asking else "Kept with the trial.",
            max_chars=4000,
        )
        st.button(
            "Reject the proposal",
            key=f"{prefix}-reject-confirmed",
            type="primary",
            on_click=decide,
            args=(trial, search.id, "rejected", parent),
            **acting(),
        )
        if st.session_state.pop(f"{prefix}-unreasoned", False):
            learns = "the planner learns from the reason" if asking else "others read the reason"
            st.error(f"Say why: {learns}.")


def _show_ask_again(trial: TrialRow, search: SearchRow, prefix: str) -> None:
    place = st.popover(
        "Ask again",
        key=f"{prefix}-again",
        icon=":material/refresh:",
        disabled=trial.asked_again,
        on_change="rerun",
    )
    with place:
        planner = search.spec.planner
        words = planner in ASKING
        st.text_area(
            "Hint",
            key=f"{prefix}-hint",
            placeholder="What to do otherwise: smaller, another part of the model…",
            max_chars=4000,
        )
        if not words:
            name = SOURCES.get(planner, planner)
            st.caption(f"{name} reads no words: it proposes something else, whatever they say.")
        st.button(
            "Ask for another proposal",
            key=f"{prefix}-again-confirmed",
            type="primary",
            on_click=ask_again,
            args=(trial, search.id),
            **acting(),
        )


# -- edited -------------------------------------------------------------------------------------


def show_editor(
    trial: TrialRow, search_id: int, record: Record, parent: Mapping[str, Value]
) -> None:
    """Draw the form of an edited proposal where it is asked for; once drawn, it stays."""
    prefix = prefix_of(trial)
    place = st.expander(
        "Edit before approving",
        key=f"{prefix}-edit",
        icon=":material/edit:",
        on_change="rerun",
    )
    kept = f"{prefix}-edited"  # closing it must not lose what was typed
    if not (place.open or st.session_state.get(kept)):
        return
    st.session_state[kept] = True
    with place:
        first = differences(parent, trial.config)
        changes, problems = edit(record, parent, trial.config, first, prefix, search_id)
        _, faults = choose_expected(prefix)
        for fault in faults:
            st.error(fault)
        st.text_input(
            "Why this edit", key=f"{prefix}-edit-comment", max_chars=4000, placeholder="Optional"
        )
        config, wrong = {**parent, **changes}, bool(problems or faults)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            dry_run_button(config, f"{prefix}-edit", disabled=bool(problems) or not changes)
            mend = "Mend what is listed above first." if wrong else None
            st.button(
                "Approve edited",
                type="primary",
                key=f"{prefix}-approve-edited",
                icon=":material/check:",
                on_click=decide,
                args=(trial, search_id, "edited", parent),
                **acting(
                    wrong or not changes,
                    mend or (None if tried(config, f"{prefix}-edit") else UNTRIED),
                ),
            )
        show_dry_run(config, f"{prefix}-edit")
