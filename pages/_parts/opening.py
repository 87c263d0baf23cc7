"""How every page begins: the workspace, and the search that the address names."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import streamlit as st

from nas_engine.commands import Command
from nas_engine.liveness import engine_state
from nas_engine.settings import Settings, SettingsError, load_settings
from nas_engine.store.reader import Reader, reading
from nas_engine.store.rows import SearchRow
from nas_engine.store.schema import StoreError
from nas_engine.supervisor import Answer, request
from pages._parts.origin import show_origin
from pages._parts.states import SEARCH_STATES, shown_state
from pages._parts.text import plain, readable

OVERVIEW, START = "pages/search/overview.py", "pages/search/start.py"
FIRST, LIVE = "pages/search/first.py", "pages/search/live.py"
COMPARE, TRIAL, LINEAGE = (f"pages/runs/{name}.py" for name in ("compare", "trial", "lineage"))
FORECAST = "pages/runs/forecast.py"
DATA, SETTINGS = "pages/data/data.py", "pages/settings/settings.py"
REVIEW, TRANSCRIPT = "pages/agent/review.py", "pages/agent/transcript.py"
STEER = "pages/agent/steer.py"
ASK = "pages/agent/ask.py"
HINDSIGHT = "pages/agent/hindsight.py"

TRY_IT = "Try it: two minutes on built-in data"
"""The way to a first search that Overview offers."""

NO_TRIAL = "No trial of this search has begun yet. Live shows what it waits for."

ANSWER_SECONDS = 8.0
"""How long an answer stays on a page that draws itself anew all the time."""


def settings() -> Settings:
    """Return the settings; where they are not valid, say so and stop the page."""
    try:
        return load_settings()
    except SettingsError as error:
        st.error(plain(str(error)))
        st.stop()


@contextmanager
def stored() -> Iterator[Reader | None]:
    """Open the workspace's database; where it cannot be used, say so and stop the page."""
    try:
        with reading(settings().workspace) as reader:
            yield reader
    except (StoreError, sqlite3.Error) as error:
        st.error(plain(str(error)))
        st.stop()


@contextmanager
def searched(title: str = "") -> Iterator[Reader]:
    """Open the database of a page about a search; where there is none, lead to one and stop.

    Args:
        title: of the page, where it has not been drawn yet.
    """
    with stored() as reader:
        if reader is None or not reader.any_search():
            if title:
                st.title(title, anchor=False)
            st.info("There is no search yet. What this page shows comes with the first trials.")
            show_ways_to_start()
            st.stop()
        yield reader


def show_ways_to_start() -> None:
    """Draw what leads to a first search from a page that needs one."""
    for page, label, icon in (
        (OVERVIEW, TRY_IT, "rocket_launch"),
        (FIRST, "A search in three steps", "arrow_forward"),
        (START, "Start with all settings", "tune"),
    ):
        st.page_link(page, label=label, icon=f":material/{icon}:")


def nothing_yet(why: str, search_id: int) -> None:
    """Say why there is nothing to see, and where there is."""
    st.info(why)
    st.page_link(
        LIVE,
        label="Watch the search",
        icon=":material/arrow_forward:",
        query_params={"search": str(search_id)},
    )


def choose_search(title: str) -> SearchRow:
    """Draw the page's head and return the search to show: the address's, the last seen, the newest.

    The address holds the number alone. A bound selectbox would write its whole label there.
    """
    with searched(title) as reader:
        searches = {row.id: row for row in reader.searches()}
        labels = search_labels(reader, searches.values())
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    left.title(title, anchor=False)
    asked = st.query_params.get("search")
    number = asked if asked is not None else st.session_state.get("chosen-search")
    known = {str(search_id): search_id for search_id in searches}
    chosen = known.get(str(number), next(iter(searches)))
    unknown = asked is not None and asked not in known
    st.session_state["picker-search"] = None if unknown else chosen
    right.selectbox(
        "Search",
        list(searches),
        format_func=labels.__getitem__,
        key="picker-search",
        placeholder="Choose a search",
        label_visibility="collapsed",
        on_change=_remember_search,
    )
    if unknown:
        st.error(f"There is no search {plain(str(asked), 40)} in this workspace.")
        st.stop()
    st.session_state["chosen-search"] = chosen
    st.query_params["search"] = str(chosen)
    show_origin(searches[chosen])
    return searches[chosen]


def _remember_search() -> None:
    st.query_params.clear()
    st.query_params["search"] = str(st.session_state["picker-search"])


def search_labels(reader: Reader, searches: Iterable[SearchRow]) -> dict[int, str]:
    """Return searches in one line each, with the states that their engines leave them in."""
    engines = reader.engines()
    return {
        search.id: search_label(search, shown_state(search, engine_state(engines.get(search.id))))
        for search in searches
    }


def search_label(search: SearchRow, state: str) -> str:
    """Return a search in one line, for lists; `state` is the one to show, of `SEARCH_STATES`."""
    return f"{SEARCH_STATES[state].symbol} Search {search.id} · {readable(search.title)}"


def asked_trial() -> int | None:
    """Return the trial that the address names, if it is a number."""
    text = st.query_params.get("trial", "")
    return int(text) if is_number(text) else None


def is_number(text: str) -> bool:
    """Tell whether a part of an address may be the number of a search or a trial."""
    return text.isdecimal() and len(text) < 10


def give(command: Command, search_id: int) -> Answer:
    """Give a command to the engine of a search and return its answer."""
    try:
        return request(settings().workspace, command, search_id, wait_seconds=10.0)
    except StoreError as error:
        return Answer(False, str(error), search_id)


def give_and_show(command: Command, search_id: int, key: str) -> None:
    """Give a command and leave the answer where `show_answer` finds it."""
    leave(key, give(command, search_id))


def leave(key: str, answer: Answer) -> None:
    """Leave an answer where `show_answer` finds it."""
    st.session_state[key] = answer, time.monotonic()


def show_answer(key: str) -> None:
    """Show the answer that was left under `key`, for as long as it takes to read."""
    answer, since = st.session_state.get(key, (None, 0.0))
    if answer is not None and time.monotonic() - since < ANSWER_SECONDS:
        (st.success if answer.ok else st.error)(plain(answer.text))
