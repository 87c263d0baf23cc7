"""The data sets that are known: their table, what is recorded of one, which searches used it."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from data import own
from data.registry import DataError, Dataset, Record, find, names, own_names, record
from data.source import load, locate, on_this_machine
from nas_engine.settings import SettingsError, load_settings
from nas_engine.store.reader import reading
from nas_engine.store.schema import StoreError
from pages._parts.data_look import Subject, show_look, show_parts
from pages._parts.opening import OVERVIEW, START
from pages._parts.people import acting
from pages._parts.selection import at_rows
from pages._parts.text import count_text, plain, readable, value_text

ASIDE = "data-removed"  # where the data set lies that was removed last
REFUSAL = "data-refusal"


# -- the table ----------------------------------------------------------------------------------


def show_known() -> Dataset | None:
    """Draw the table of data sets and what is wrong with damaged ones; return the one chosen."""
    for name, sentence in own.damaged().items():
        st.warning(plain(sentence))
        show_removal(name)
    for sentence in own.hidden().values():
        st.warning(plain(sentence))
    if refusal := st.session_state.pop(REFUSAL, None):
        st.error(plain(refusal))
    show_removed()
    listed, mine = names(), own_names()
    asked = st.query_params.get("dataset")
    chosen = listed.index(asked) if asked in listed else None
    # Rows are chosen by place: with other rows it is another table.
    key = f"data-known-{zlib.crc32(' '.join(listed).encode()):08x}"
    st.dataframe(
        pd.DataFrame([_row(find(name), name in mine) for name in listed]),
        hide_index=True,
        key=key,
        on_select=lambda: _choose(listed, st.session_state[key].selection.rows),
        selection_mode="single-row",
        selection_default=None if chosen is None else {"selection": {"rows": [chosen]}},
        column_config={
            "Name": st.column_config.TextColumn(pinned=True, width=110),
            "Whose": st.column_config.TextColumn(width=85),
            "Rows": st.column_config.NumberColumn(format="localized", width=80),
            "Forecast": st.column_config.TextColumn(width=260),
            "Description": st.column_config.TextColumn(width=420),
        },
        alt="Known data sets",
    )
    if asked is not None and chosen is None:
        st.error(f"There is no data set {plain(asked, 60)}; choose one in the table.")
    return None if chosen is None else find(listed[chosen])


def _choose(listed: Sequence[str], rows: Sequence[int]) -> None:
    picked = at_rows(rows, listed)
    if picked:
        st.query_params["dataset"] = picked[0]
    else:
        st.query_params.pop("dataset", None)


def _row(dataset: Dataset, mine: bool) -> dict[str, Any]:
    return {
        "Name": dataset.name,
        "Whose": "own" if mine else "not here yet" if absent(dataset) else "built in",
        "Rows": sum(dataset.split_rows),
        "Step": dataset.frequency,
        "Season": dataset.season,
        "Forecast": readable(", ".join(dataset.targets)),
        "Past only": readable(", ".join(dataset.past_only)) or "–",
        "Known future": readable(", ".join(dataset.known_future)) or "–",
        "Description": readable(dataset.description),
    }


# -- one of them --------------------------------------------------------------------------------


@st.cache_resource(max_entries=3, show_spinner="Reading the data set…")
def values_of(name: str, sha256: str) -> pd.DataFrame:
    """Return the values of a data set, kept for the next run of the page; raises DataError."""
    return load(name)


def show_dataset(dataset: Dataset) -> None:
    """Draw what is recorded of a data set and what it is like."""
    mine = dataset.name in own_names()
    st.subheader(plain(dataset.name), anchor=False)
    st.caption(plain(f"{dataset.description}."))
    show_acts(dataset, mine)
    try:
        if not brought(dataset):
            show_facts(dataset, mine)
            return
        frame = values_of(dataset.name, dataset.sha256)
    except DataError as error:
        st.error(plain(str(error)))
        show_facts(dataset, mine)
        return
    show_parts(pd.DatetimeIndex(frame.index), dataset.split_rows, "data-set")
    show_facts(dataset, mine)
    subject = Subject(dataset, frame, f"{dataset.name} {dataset.sha256}", "data-set")
    show_look(subject, None)


def brought(dataset: Dataset) -> bool:
    """Tell whether a data set is on this machine; where it is not, offer to download it.

    Raises:
        DataError: it was to be downloaded and could not be.
    """
    if not absent(dataset):
        return True
    place = st.empty()
    with place.container():
        st.info(
            f"It is not on this machine yet. Its file has {dataset.size / 1e6:.1f} MB and comes "
            "from the address below; its checksum is verified."
        )
        pressed = st.button(
            "Download it",
            key=f"data-fetch-{dataset.name}",
            icon=":material/download:",
            **acting(),
        )
    if not pressed:
        return False
    bar = place.progress(0.0, "Downloading…")
    try:
        locate(dataset.name, told=lambda so_far, whole: _tell(bar, so_far, whole))
    finally:
        place.empty()
    return True


def _tell(bar: DeltaGenerator, so_far: int, whole: int) -> None:
    bar.progress(min(1.0, so_far / max(whole, 1)), f"Downloading… {so_far / 1e6:.1f} MB")


def absent(dataset: Dataset) -> bool:
    """Tell whether the file of a published data set is not on this machine."""
    return dataset.url is not None and on_this_machine(dataset.name) is None


def show_acts(dataset: Dataset, mine: bool) -> None:
    """Draw where a data set leads to, and how it is removed."""
    used = searches_on(dataset.name)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            START,
            label=f"Start a search with {plain(dataset.name)}",
            icon=":material/arrow_forward:",
            query_params={"dataset": dataset.name},
        )
        if used:
            count = f"{len(used)} search{'es' * (len(used) > 1)}"
            st.page_link(
                OVERVIEW,
                label=f"See the {count} on it",
                icon=":material/manage_search:",
                query_params={"overview-words": dataset.name},
            )
        if mine:
            show_removal(dataset.name)
    if used == []:
        st.caption("No search has used it yet.")


def show_removal(name: str) -> None:
    """Let a data set be removed, after a second press that says what it means for searches."""
    with st.popover(f"Remove {plain(name)}", key=f"data-remove-{name}", icon=":material/delete:"):
        st.caption(
            "Its copy is put aside, where it can be brought back from; the file it came from stays."
        )
        used = searches_on(name)
        if used:
            listed = ", ".join(str(number) for number in used[:8]) + ", …" * (len(used) > 8)
            st.caption(
                f"Search{'es' * (len(used) > 1)} {listed} used it: results stay, but none of them "
                "can go on without it."
            )
        elif used is None:
            st.caption("The database cannot be read, so that searches which used it are not known.")
        st.button(
            "Remove it",
            key=f"data-remove-{name}-confirmed",
            on_click=remove,
            args=(name,),
            **acting(),
        )


def remove(name: str) -> None:
    """Remove a data set of the user's own."""
    try:
        st.session_state[ASIDE] = own.remove(name)
    except DataError as error:
        st.session_state[REFUSAL] = str(error)
    else:
        st.query_params.pop("dataset", None)


def show_removed() -> None:
    """Say which data set was removed last in this visit, and let it be brought back."""
    aside: Path | None = st.session_state.get(ASIDE)
    if aside is None or not aside.is_dir():
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.success(f"Data set {plain(aside.name)} is removed. It lies in {plain(str(aside))}.")
        st.button(
            "Bring it back",
            key="data-bring-back",
            icon=":material/undo:",
            on_click=bring_back,
            args=(aside,),
            **acting(),
        )


def bring_back(aside: Path) -> None:
    """Make a data set known again that was removed."""
    try:
        own.bring_back(aside)
    except DataError as error:
        st.session_state[REFUSAL] = str(error)
    else:
        st.query_params["dataset"] = aside.name


def searches_on(name: str) -> list[int] | None:
    """Return the searches on a data set, the newest first; None where they cannot be read."""
    try:
        with reading(load_settings().workspace) as reader:
            rows = reader.searches() if reader else []
            found = [row.id for row in rows if row.spec.start()["data.dataset"] == name]
    except (StoreError, SettingsError, sqlite3.Error):
        return None
    return sorted(found, reverse=True)


# -- what is recorded ---------------------------------------------------------------------------


def show_facts(dataset: Dataset, mine: bool) -> None:
    """Draw where a data set comes from, by what it is told apart, and what was done to it."""
    facts = facts_of(dataset, record(dataset.name) if mine else None)
    with st.expander("Where it comes from and what was done to it", key="data-record"):
        for name, value in facts:
            with st.container(horizontal=True, vertical_alignment="top", gap="small"):
                st.caption(name, width=150)
                st.text(readable(value))


def facts_of(dataset: Dataset, recorded: Record | None) -> list[tuple[str, str]]:
    """Return what is recorded of a data set, in names and values."""
    facts = [
        ("Source", recorded.source if recorded else dataset.url or "generated"),
        ("SHA-256 of the source", recorded.source_sha256 if recorded else ""),
        ("SHA-256 of the copy" if recorded else "SHA-256", dataset.sha256),
        ("Licence", dataset.licence),
        ("Citation", dataset.citation),
        ("Step and season", f"{dataset.frequency}, {count_text(dataset.season)} steps"),
        ("Scaling", dataset.scaling),
        ("Target", dataset.target),
    ]
    if dataset.seq_len and dataset.pred_len:
        facts.append(("Task", f"look-back {dataset.seq_len}, horizon {dataset.pred_len}"))
    if recorded:
        chosen = recorded.choices.model_dump(exclude_defaults=True, mode="json")
        facts += [
            (f"Choice: {name.replace('_', ' ')}", _text(value)) for name, value in chosen.items()
        ]
        facts += [("Done", sentence) for sentence in recorded.done]
    return [(name, value) for name, value in facts if value]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value_text(part) for part in value)
    return str(value)
