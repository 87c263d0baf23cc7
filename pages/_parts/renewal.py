"""Widgets whose values the page sets, on pages that draw themselves anew all the time.

A tick carries the values of all widgets as the browser knows them. One that leaves it before a
value that the page has set arrives there brings the former value back, and Streamlit takes that
for what the person chose. So such a value is set under another key: a tick that is on its way
knows nothing of that widget, and what it says of the former one concerns nobody.
"""

from __future__ import annotations

import streamlit as st


def key_now(name: str) -> str:
    """Return the key of the widget that stands for `name` now; `name` itself before it is set."""
    times = st.session_state.get(f"{name}-renewed", 0)
    return f"{name}-{times}" if times else name


def renew(name: str, value: object) -> None:
    """Let a widget that has `value` take the place of the one that stands for `name`."""
    st.session_state[f"{name}-renewed"] = st.session_state.get(f"{name}-renewed", 0) + 1
    st.session_state[key_now(name)] = value
