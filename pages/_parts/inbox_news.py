"""What has happened to proposals while somebody looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import streamlit as st

from nas_engine.store.inbox import Waiting
from nas_engine.store.reader import Reader
from pages._parts.inbox import Mark, mark_of
from pages._parts.opening import searched
from pages._parts.text import plain

TICK_SECONDS = 2.0
DRAWN = "review-drawn"
"""In the session's state: the mark of what is drawn, and what a person may have open there."""


def keep_drawn(mark: Mark, openings: Sequence[str]) -> None:
    """Remember what is drawn, and the keys of the forms that may be open in it."""
    st.session_state[DRAWN] = mark, tuple(openings)


@st.fragment(run_every=TICK_SECONDS)
def show_news(search_id: int) -> None:
    """Draw the page anew when something has happened; while somebody edits, only say so."""
    drawn, openings = st.session_state.get(DRAWN, (None, ()))
    with searched() as reader:
        search = reader.search(search_id)
        now = None if search is None else mark_of(reader, search)
        if drawn is None or now is None or now == drawn:
            return
        sentences = list(news(reader, search_id, drawn, now))
    if not any(st.session_state.get(key) for key in openings):
        st.rerun()
    with st.container(border=True, key="review-news"):
        st.info(" ".join(map(plain, sentences)) or "The state of the search has changed.")
        st.caption("The page is as it was, because you have a form open.")
        if st.button("Show what is new", key="review-show-news"):
            st.rerun()


def news(reader: Reader, search_id: int, drawn: Mark, now: Mark) -> Iterator[str]:
    """Yield a sentence for each proposal that is not as it was drawn."""
    before = {row.proposal_id: row for row in drawn[2]}
    after = {row.proposal_id: row for row in now[2]}
    for row in before.values():
        if row.proposal_id not in after:
            trial = reader.trial(search_id, row.number)
            became = "" if trial is None else trial.decision or trial.state
            by = f" by {trial.author}" if trial is not None and trial.author else ""
            yield f"The proposal of trial {row.number} was {became}{by} meanwhile."
        elif after[row.proposal_id] != row:
            yield _changed(row, after[row.proposal_id])
    for row in after.values():
        if row.proposal_id not in before:
            yield f"Trial {row.number} waits for a decision, too."


def _changed(before: Waiting, after: Waiting) -> str:
    if after.asked_again:
        return f"The planner was asked again for trial {before.number}."
    if before.asked_again and after.since == before.since:
        return f"The planner proposed nothing else for trial {before.number}."
    return f"Trial {before.number} has another proposal now."
