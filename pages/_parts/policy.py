"""Which proposals wait for a person, and what becomes of those on which nobody decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st

from nas_engine.search import Mode, Timer

REVIEWS: dict[Mode, str] = {"auto": "None", "radical": "Radical steps", "review": "All"}
REVIEW_HELP = (
    "Which proposals wait for a person, who approves, edits or rejects them: none, those that "
    "change the structure of the model, or every one after trial 0."
)
TIMERS: dict[str, str] = {"wait": "Wait", "approve": "Approve", "reject": "Reject"}
TIMER_HELP = (
    "What becomes of a proposal on which nobody decides: it waits for as long as it takes, or a "
    "timer approves or rejects it. What a chat has drafted always waits."
)
MINUTES = 30.0
NAMES = ("mode", "timer", "minutes")
"""Of the widgets, after the prefix of their keys."""


def choose_policy(mode: Mode, timer: Timer | None, prefix: str) -> tuple[Mode, Timer | None]:
    """Draw the choice and return it.

    Args:
        mode: what it begins with, as is `timer`.
        timer: None where a proposal waits for as long as it takes.
        prefix: of the widgets' keys, unique to the page and the form.
    """
    held: dict[str, Any] = {
        "mode": st.segmented_control(
            "Review",
            list(REVIEWS),
            default=mode,
            required=True,
            format_func=REVIEWS.__getitem__,
            key=f"{prefix}-mode",
            help=REVIEW_HELP,
        )
    }
    if held["mode"] == "auto":
        return policy_of(held, timer)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        held["timer"] = st.segmented_control(
            "If nobody decides",
            list(TIMERS),
            default=timer.then if timer else "wait",
            required=True,
            format_func=TIMERS.__getitem__,
            key=f"{prefix}-timer",
            help=TIMER_HELP,
        )
        held["minutes"] = st.number_input(
            "After minutes",
            0.1,
            10_080.0,
            timer.minutes if timer else MINUTES,
            step=5.0,
            format="%g",
            key=f"{prefix}-minutes",
            disabled=held["timer"] == "wait",
            width=130,
        )
    return policy_of(held, timer)


def policy_of(held: Mapping[str, Any], timer: Timer | None) -> tuple[Mode, Timer | None]:
    """Return the policy that the widgets of `choose_policy` hold, by `NAMES`.

    Where nothing is reviewed there is no choice of a timer, and `timer` stays as it is.
    """
    mode: Mode = held["mode"] or "auto"
    if mode == "auto" or held.get("timer") is None:
        return mode, timer
    then: Literal["approve", "reject", "wait"] = held["timer"]
    return mode, None if then == "wait" else Timer(minutes=held["minutes"], then=then)


def policy_text(mode: Mode, timer: Timer | None) -> str:
    """Return a policy in a few words."""
    reviewed = {"auto": "no review", "radical": "radical steps reviewed", "review": "all reviewed"}
    if mode == "auto" or timer is None:
        return reviewed[mode]
    decided = {"approve": "approved", "reject": "rejected"}[timer.then]
    return f"{reviewed[mode]}, {decided} after {timer.minutes:g} min"
