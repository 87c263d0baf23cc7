"""Review: approve, edit, reject or ask again for what a planner wants to try."""

from __future__ import annotations

import streamlit as st

from nas_engine.commands import Change
from nas_engine.liveness import LIVING
from nas_engine.store.rows import SearchRow
from pages._parts.enqueue import show_enqueue
from pages._parts.inbox import AT_ONCE, Inbox, prefix_of, read
from pages._parts.inbox_card import show_card
from pages._parts.inbox_decide import ANSWER, OPENED, show_refusal
from pages._parts.inbox_news import keep_drawn, show_news
from pages._parts.inbox_past import show_decided
from pages._parts.opening import LIVE, choose_search, give_and_show, show_answer
from pages._parts.people import acting
from pages._parts.policy import choose_policy, policy_text

POLICY, ENQUEUE = "review-policy", "review-enqueue"


@st.fragment
def draw(search_id: int) -> None:
    """Draw the inbox; what is typed in it draws it anew, and nothing else does."""
    inbox = read(search_id)
    cards = [f"{prefix_of(trial)}-{name}" for trial in inbox.waiting for name in OPENED]
    keep_drawn(inbox.mark, [POLICY, ENQUEUE, *cards])
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
        if st.button("Apply", key=f"{POLICY}-apply", type="primary", **acting(nothing)):
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
