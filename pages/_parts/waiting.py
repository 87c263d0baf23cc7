"""What waits for a person, on every page: a badge in the sidebar, and a note on the desktop."""

from __future__ import annotations

import sqlite3

import streamlit as st

from nas_engine.settings import SettingsError, load_settings
from nas_engine.store.inbox import Waiting, waiting
from nas_engine.store.reader import reading
from nas_engine.store.schema import StoreError
from pages._parts.desktop import announce
from pages._parts.opening import REVIEW

TICK_SECONDS = 5.0


@st.fragment(run_every=TICK_SECONDS)
def show_waiting() -> None:
    """Draw how many proposals wait, as a link to the oldest; nothing where none does."""
    found = waiting_now()
    if not found:
        return
    with st.container(key="waiting", gap="small"):
        st.page_link(
            REVIEW,
            label=label(found),
            icon=":material/rate_review:",
            query_params={"search": str(found[0].search_id)},
            help="Opens the search whose proposal has waited longest.",
        )
        announce(found)


def label(found: list[Waiting]) -> str:
    """Return how many proposals wait, in words."""
    many = "1 proposal waits" if len(found) == 1 else f"{len(found)} proposals wait"
    searches = len({row.search_id for row in found})
    return f"**{many}**" + (f" in {searches} searches" if searches > 1 else "")


def waiting_now() -> list[Waiting]:
    """Return what waits; nothing where the workspace cannot be read, which the page says."""
    try:
        with reading(load_settings().workspace) as reader:
            return waiting(reader) if reader else []
    except (SettingsError, StoreError, sqlite3.Error):
        return []
