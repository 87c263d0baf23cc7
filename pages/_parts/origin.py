"""Where a search comes from, if not from this workspace, and what of it is missing here."""

from __future__ import annotations

import streamlit as st

from data.registry import DataError, find
from nas_engine.store.rows import SearchRow
from pages._parts.text import plain


def badge(search: SearchRow) -> None:
    """Mark a search that was imported; nothing where it was not."""
    if search.origin:
        st.badge("imported", icon=":material/input:", color="violet", help=plain(search.origin))


def show_origin(search: SearchRow, numbered: bool = False) -> None:
    """Say where an imported search comes from, and whether its data is here.

    Where several may be shown, each is `numbered`.
    """
    if not search.origin:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        badge(search)
        which = f"Search {search.id}: " * numbered
        st.caption(which + plain(search.origin), width="stretch")
    name = str(search.spec.start()["data.dataset"])
    try:
        find(name)
    except DataError:
        st.info(
            f"The data set {plain(name, 60)} is not on this machine. Results can be looked at and "
            "compared; to train or to forecast, add the data under this name on the Data page.",
            icon=":material/database_off:",
        )
