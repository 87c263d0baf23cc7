"""The choice on the Start page whether trials begin with the weights of the one they change."""

from __future__ import annotations

import streamlit as st

from nas_engine.inheritance import ALL_THE_SAME, LEAST_PAIRS, ONE_IN


def choose_inherits(form: str, start: bool) -> bool:
    """Let it be chosen; `form` is the prefix of the widget's key."""
    return st.checkbox(
        "Begin with the weights of the trial that is changed",
        start,
        key=f"{form}-inherits",
        help=f"Each trial is first trained for one epoch in {ONE_IN} with those weights of its "
        "parent that fit. What it comes to is never its result: it only tells, once "
        f"{LEAST_PAIRS} trials were trained both ways, which trials are clearly worse, and those "
        f"are not trained from scratch (but every {ALL_THE_SAME}th, to check). Where no "
        "trial is given up, it costs a third more.",
    )
