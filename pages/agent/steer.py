"""Steer: tell a search something at any time, see what is in force and what it has learned."""

from __future__ import annotations

import streamlit as st

from nas_engine.liveness import LIVING, engine_state
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow
from pages._parts.findings import show_findings
from pages._parts.opening import choose_search, searched
from pages._parts.steering import show_box
from pages._parts.steering_held import show_in_force, show_told, steered_spec

TICK_SECONDS = 2.0
FINDINGS_SECONDS = 5.0


def looks(reader: Reader, search_id: int) -> tuple[SearchRow, bool]:
    """Return the search, and whether its page looks for news by itself."""
    search = reader.search(search_id)
    if search is None:
        st.error(f"Search {search_id} is no longer in this workspace.")
        st.stop()
    return search, engine_state(reader.engine(search_id)) in LIVING


def draw_held(search_id: int, ticking: bool) -> None:
    """Draw what is in force and what the planner is told; the ticking ends with a full run."""
    with searched() as reader:
        search, lives = looks(reader, search_id)
        if lives != ticking:
            st.rerun()
        left, right = st.columns(2, gap="medium")
        with left:
            show_in_force(reader, search, steered_spec(reader, search))
        with right:
            show_told(reader, search)


def draw_findings(search_id: int) -> None:
    """Draw what the search has learned."""
    with searched() as reader:
        search, _ = looks(reader, search_id)
        show_findings(reader, search)


chosen = choose_search("Steer")
with searched() as opened:
    _, live = looks(opened, chosen.id)
show_box(chosen.id)
st.fragment(draw_held, run_every=TICK_SECONDS if live else None)(chosen.id, live)
st.fragment(draw_findings, run_every=FINDINGS_SECONDS if live else None)(chosen.id)
