"""Searches as files: one to take along, one from elsewhere to take in."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import cast

import streamlit as st

from data.registry import own_names
from nas_engine.exchange.archive import ExchangeError
from nas_engine.exchange.exporting import Weights, export_search
from nas_engine.exchange.importing import NAME_LENGTH, import_search
from nas_engine.store.rows import SearchRow
from nas_engine.store.schema import StoreError
from nas_engine.supervisor import Answer
from pages._parts.download import file_name
from pages._parts.opening import LIVE, leave, settings, show_answer
from pages._parts.people import acting

ANSWER = "exchange-answer"
TAKEN = "exchange-taken"  # number of the search that was imported last
ROUND = "exchange-round"  # counts imports: each has an uploader of its own, which is empty
WEIGHTS: dict[Weights, str] = {"none": "No weights", "incumbent": "Weights of the incumbent"}


def show_export(search: SearchRow) -> None:
    """Draw how a search is taken along as one file."""
    with st.popover("Export", icon=":material/archive:", key="exchange-export"):
        st.caption(
            "Proposals, trials, curves, verdicts, exchanges with language models and files of runs "
            "as one file, which Import reads on another machine. Keys are taken out of it."
        )
        weights = st.selectbox(
            "Weights",
            list(WEIGHTS),
            format_func=WEIGHTS.__getitem__,
            key="exchange-weights",
            help=f"Those of all trials: `python -m nas_engine export-search {search.id} "
            "--weights all`.",
        )
        own = str(search.spec.start()["data.dataset"]) in own_names()
        with_data = own and st.checkbox(
            "With your data set",
            value=True,
            key="exchange-data",
            help="Others cannot train or forecast without it.",
        )
        st.download_button(
            f"Download search {search.id}",
            exporter(search.id, weights, with_data),
            file_name=file_name(["search", search.id], "nas.zip"),
            mime="application/zip",
            key="exchange-download",
            icon=":material/download:",
            on_click="ignore",
        )


def exporter(search_id: int, weights: Weights, with_data: bool) -> Callable[[], bytes]:
    """Return what writes the file of a search once it is asked for."""
    found = settings()

    def export() -> bytes:
        file = io.BytesIO()
        export_search(found.workspace, search_id, file, found.secrets(), weights, with_data)
        return file.getvalue()

    return export


def show_import() -> None:
    """Draw how a search from elsewhere is taken in."""
    number = st.session_state.get(ROUND, 0)
    with st.popover("Import", icon=":material/input:", key="exchange-import"):
        st.caption(
            "A search that was exported elsewhere becomes a new search here. Nothing in the file "
            "is executed; one that was changed or cut is refused as a whole."
        )
        file = st.file_uploader(
            "File of a search",
            "zip",
            key=f"exchange-file-{number}",
            **acting(help="Larger ones: `python -m nas_engine import-search FILE`."),
        )
        st.text_input(
            "Name",
            key=f"exchange-name-{number}",
            placeholder="As it was",
            max_chars=NAME_LENGTH,
        )
        st.button(
            "Import",
            key="exchange-take",
            type="primary",
            on_click=take,
            args=(number,),
            **acting(file is None),
        )


def take(number: int) -> None:
    """Take in the file that was uploaded, and leave what came of it."""
    file = st.session_state.get(f"exchange-file-{number}")
    if file is None:
        return
    name = cast(str, st.session_state.get(f"exchange-name-{number}", "")).strip()
    st.session_state[ROUND] = number + 1
    try:
        taken = import_search(settings().workspace, file, file.name, name or None)
    except (ExchangeError, StoreError) as error:
        leave(ANSWER, Answer(False, str(error), None))
        st.session_state.pop(TAKEN, None)
        return
    leave(ANSWER, Answer(True, taken.sentence, taken.search_id))
    st.session_state[TAKEN] = taken.search_id


def show_imported() -> None:
    """Say what came of the last import, and lead to the search."""
    show_answer(ANSWER)
    if (number := st.session_state.get(TAKEN)) is not None:
        st.page_link(
            LIVE,
            label=f"Open search {number}",
            icon=":material/arrow_forward:",
            query_params={"search": str(number)},
        )
