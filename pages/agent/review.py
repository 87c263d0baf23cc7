"""Review: approve, edit, reject or ask again for what a planner wants to try."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from nas_engine.commands import Change
from nas_engine.liveness import LIVING
from nas_engine.store.inbox import Waiting
from nas_engine.store.reader import Reader, SearchRow
from pages._parts.enqueue import show_enqueue
from pages._parts.inbox import AT_ONCE, Inbox, Mark, mark_of, prefix_of, read
from pages._parts.inbox_card import show_card
from pages._parts.inbox_decide import ANSWER, OPENED, show_refusal
from pages._parts.inbox_past import show_decided
from pages._parts.opening import LIVE, choose_search, give_and_show, searched, show_answer
from pages._parts.policy import choose_policy, policy_text
from pages._parts.text import plain

TICK_SECONDS = 2.0
DRAWN, POLICY, ENQUEUE = "review-drawn", "review-policy", "review-enqueue"


# -- news while somebody looks ------------------------------------------------------------------


@st.fragment(run_every=TICK_SECONDS)
def show_news(search_id: int) -> None:
    """Draw the page anew when something has happened; while somebody edits, only say so."""
    drawn: Mark | None = st.session_state.get(DRAWN)
    with searched() as reader:
        search = reader.search(search_id)
        now = None if search is None else mark_of(reader, search)
        if drawn is None or now is None or now == drawn:
            return
        sentences = list(news(reader, search_id, drawn, now))
    if not any(st.session_state.get(key) for key in openings(drawn)):
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


def openings(drawn: Mark) -> Iterator[str]:
    """Yield the keys under which the session knows what a person may have open."""
    yield from (POLICY, ENQUEUE)
    yield from st.session_state.get("review-openings", ())


# -- page ---------------------------------------------------------------------------------------


@st.fragment
def draw(search_id: int) -> None:
    """Draw the inbox; what is typed in it draws it anew, and nothing else does."""
    inbox = read(search_id)
    st.session_state[DRAWN] = inbox.mark
    st.session_state["review-openings"] = [
        f"{prefix_of(trial)}-{name}" for trial in inbox.waiting for name in OPENED
    ]
    show_answer(ANSWER)
    show_refusal(inbox)
    show_policy(inbox.search)
    for trial in inbox.waiting:
        show_card(inbox, trial)
    if (more := len(inbox.mark[2]) - len(inbox.waiting)) > 0:
        st.caption(f"{more} more wait; they follow when these {AT_ONCE} are decided.")
    if inbox.waiting and inbox.engine in ("none", "lost"):
        st.caption("This search has no engine at the moment; a decision starts one.")
    if not inbox.waiting:
        show_nothing_waits(inbox)
    show_enqueue(search_id, key=ENQUEUE)
    show_decided(inbox)


def show_policy(search: SearchRow) -> None:
    """Draw which proposals wait, and the form that changes it."""
    spec = search.spec
    place = st.popover(
        f"Policy: {policy_text(spec.mode, spec.timer)}",
        key=POLICY,
        icon=":material/policy:",
        on_change="rerun",
    )
    with place:
        mode, timer = choose_policy(spec.mode, spec.timer, f"{POLICY}-{search.id}-{search.version}")
        changed = Change(
            version=search.version,
            mode=None if mode == spec.mode else mode,
            timer=None if timer == spec.timer else timer or "none",
        )
        nothing = changed == Change(version=search.version)
        if st.button("Apply", key=f"{POLICY}-apply", type="primary", disabled=nothing):
            give_and_show(changed, search.id, ANSWER)
            st.rerun()


def show_nothing_waits(inbox: Inbox) -> None:
    """Say why there is nothing to decide, and where to look instead."""
    search = inbox.search
    if search.spec.mode == "auto":
        st.info("This search runs in auto mode: proposals are trained without a review.")
    elif search.state == "completed":
        st.info("The search is complete; nothing waits for a decision.")
    elif inbox.engine in LIVING:
        which = "radical step" if search.spec.mode == "radical" else "proposal"
        st.info(f"Nothing waits for a decision. The next {which} appears here by itself.")
    else:
        st.info(f"Nothing waits for a decision: the search is {search.state} and has no engine.")
    st.page_link(
        LIVE,
        label="Watch the search",
        icon=":material/arrow_forward:",
        query_params={"search": str(search.id)},
    )


chosen = choose_search("Review")
above = st.container()
draw(chosen.id)
with above:
    show_news(chosen.id)
