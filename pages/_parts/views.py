"""Saved views of a page: names for addresses, to open, to replace and to remove."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode, urlsplit

import streamlit as st

from nas_engine.labels import remove_view, save_view
from nas_engine.store.reader import Reader
from nas_engine.store.schema import StoreError
from nas_engine.supervisor import Answer
from pages._parts.opening import leave, settings, show_answer
from pages._parts.people import acting
from pages._parts.text import plain

REMOVED = "views-removed"  # page, name and address of the view that was removed last


def show_views(reader: Reader, page: str, script: str, address: dict[str, str]) -> None:
    """Draw a popover with the saved views of a page and its address to copy.

    Args:
        reader: of the workspace.
        page: path of the page in the address.
        script: path of its file.
        address: what shows the same as the page does now: names and values.
    """
    query = urlencode(sorted(address.items()), safe=",")
    with st.popover("Views", icon=":material/bookmark:", help="Saved views, and this address"):
        st.caption("The address of what is shown now:")
        st.code(f"{_base()}/{page}?{query}", language=None, wrap_lines=True)
        with st.form("views-new", border=False, enter_to_submit=True):
            st.text_input("Save it as", key="views-name", max_chars=100)
            st.form_submit_button(
                "Save",
                icon=":material/bookmark_add:",
                on_click=_save,
                args=(page, query),
                **acting(),
            )
        show_answer("views-answer")
        _show_removed(page)
        for position, (name, saved) in enumerate(reader.views(page).items()):
            _show_view(position, page, script, name, saved)


def _show_view(position: int, page: str, script: str, name: str, saved: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(script, label=plain(name, 60), query_params=parse_qsl(saved), width="stretch")
        asked = st.session_state.get("views-asked") == name
        st.button(
            "Really remove" if asked else "Remove",
            key=f"views-remove-{position}",
            on_click=_remove if asked else _ask,
            args=(page, name, saved) if asked else (name,),
            **acting(help=f"Forget the view {plain(name, 60)}"),
        )


def _show_removed(page: str) -> None:
    """Let the view that was removed last in this visit be brought back."""
    of_page, name, saved = st.session_state.get(REMOVED, ("", "", ""))
    if of_page == page:
        st.button(
            f"Bring back {plain(name, 60)}",
            key="views-back",
            icon=":material/undo:",
            on_click=_bring_back,
            args=(page, name, saved),
            **acting(),
        )


def _bring_back(page: str, name: str, saved: str) -> None:
    del st.session_state[REMOVED]
    _answer(lambda: save_view(settings().workspace, page, name, saved))


def _base() -> str:
    parts = urlsplit(st.context.url or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _save(page: str, query: str) -> None:
    _answer(lambda: save_view(settings().workspace, page, st.session_state["views-name"], query))


def _ask(name: str) -> None:
    st.session_state["views-asked"] = name


def _remove(page: str, name: str, saved: str) -> None:
    st.session_state.pop("views-asked", None)
    st.session_state[REMOVED] = page, name, saved
    _answer(lambda: remove_view(settings().workspace, page, name))


def _answer(act: Callable[[], Answer]) -> None:
    try:
        leave("views-answer", act())
    except StoreError as error:
        leave("views-answer", Answer(False, str(error), None))
