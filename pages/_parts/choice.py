"""What is compared: searches, a filter and an order of their trials, and the trials chosen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from informer.config import Value
from nas_engine.search import TASK_KEYS
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow
from nas_engine.store.table import (
    ALL,
    COLUMNS,
    Pulse,
    Query,
    QueryError,
    column,
    keys,
    known,
    page,
    parse,
    pulse,
    varying,
)
from pages._parts.address import mirrored, words, write
from pages._parts.opening import search_labels, settings
from pages._parts.selection import Key, reference_of, trial_of
from pages._parts.text import plain

CHOSEN = "compare-chosen"  # where callbacks find the chosen trials
HELP = """Words are looked for in what was proposed and said; all conditions must hold.
`val_mse<0.4` · `d_model>=128` · `state=failed` · `verdict=accepted` · `source!=tpe` ·
`"two words"` · `seeds>1` · `val_mse=` (has none)

`state` is what the engine last wrote: `state=running` finds a trial whose engine is gone, too,
which the table shows as paused."""


@dataclass(frozen=True)
class Scope:
    """The trials that can be chosen."""

    known: Mapping[int, SearchRow]  # all searches of the workspace
    searches: tuple[int, ...]  # those in scope
    query: Query | None  # None: what was asked means nothing, which the page has said
    settings: tuple[str, ...]  # that are not the same in all of their trials
    pulses: tuple[Pulse, ...]  # of the searches: a key for what is computed of their results

    def comparable(self, one: int, other: int) -> bool:
        """Tell whether errors of two searches are on the same data and horizon."""
        return not task_differences([self.known[one], self.known[other]])


def task_differences(searches: Sequence[SearchRow]) -> dict[str, list[Value | None]]:
    """Return what of the task is not the same in all searches, with the value of each.

    A seed makes no task: errors over it are comparable.
    """
    starts = [search.spec.start() for search in searches]
    found: dict[str, list[Value | None]] = {
        key: [start.get(key) for start in starts] for key in TASK_KEYS
    }
    used = [search.used for search in searches]
    known = [data for data in used if data is not None]
    pairs = itertools.combinations(known, 2)
    if any(one.name == other.name and one.differences(other) for one, other in pairs):
        found["data"] = [data.told_from(known) if data else "not recorded" for data in used]
    return {
        key: values
        for key, values in found.items()
        if key != "training.seed" and any(value != values[0] for value in values)
    }


# -- searches, filter and order -----------------------------------------------------------------


def choose_searches(reader: Reader) -> tuple[Mapping[int, SearchRow], tuple[int, ...]]:
    """Draw the choice of searches; return all there are and those chosen.

    They are those of the address, else the last seen, else the newest.
    """
    found = {row.id: row for row in reader.searches()}
    names = {str(key): key for key in found}
    labels = search_labels(reader, found.values())
    asked = words("searches") or words("search")
    last = str(st.session_state.get("chosen-search"))
    chosen = [names[name] for name in asked if name in names]
    unknown = [name for name in asked if name not in names]
    if not asked:
        chosen = [names.get(last, next(iter(found)))]
    st.multiselect(
        "Searches",
        list(found),
        format_func=labels.__getitem__,
        placeholder="Choose searches",
        **mirrored("searches", chosen, drops="page"),
    )
    if unknown:
        st.error(f"There is no search {plain(', '.join(unknown), 60)} in this workspace.")
    if not chosen:
        st.info("Choose one or more searches.")
        st.stop()
    write("searches", chosen)
    st.query_params.pop("search", None)
    if len(chosen) == 1:
        st.session_state["chosen-search"] = chosen[0]
    return found, tuple(chosen)


def choose_scope(reader: Reader) -> Scope:
    """Draw the choice of searches, the filter and the order, and return what they come to."""
    found, searches = choose_searches(reader)
    pulses = tuple(pulse(reader, key) for key in searches)
    varied = tuple(_varying(reader, str(settings().workspace.db), pulses))
    left, middle, right = st.columns([3, 2, 1], vertical_alignment="bottom")
    text = st.query_params.get("q", "")
    left.text_input(
        "Filter",
        type="search",
        placeholder='val_mse<0.4 d_model>=128 "instance norm"',
        help=HELP,
        **mirrored("q", text, drops="page"),
    )
    sort = st.query_params.get("sort", "val_mse")
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    try:
        name, terms = column(name), parse(text)
    except QueryError as error:
        st.error(plain(str(error)))
        return Scope(found, searches, None, varied, pulses)
    options = list(dict.fromkeys([*COLUMNS, *varied, name]))
    st.session_state["compare-by"] = name
    st.session_state["compare-order"] = "↓" if descending else "↑"
    middle.selectbox("Sort by", options, key="compare-by", on_change=_sort)
    right.segmented_control(
        "Order",
        ["↑", "↓"],
        required=True,
        key="compare-order",
        on_change=_sort,
        help="↑ smallest first, ↓ largest first; trials without a value come last",
    )
    return Scope(found, searches, Query(searches, terms, name, descending), varied, pulses)


def _sort() -> None:
    sign = "-" if st.session_state["compare-order"] == "↓" else ""
    write("sort", f"{sign}{st.session_state['compare-by']}", "val_mse")
    st.query_params.pop("page", None)


@st.cache_data(max_entries=16, show_spinner=False)
def _varying(_reader: Reader, db: str, pulses: tuple[Pulse, ...]) -> list[str]:
    return varying(_reader, [row.search_id for row in pulses])


# -- the chosen trials --------------------------------------------------------------------------


def chosen_trials(reader: Reader, scope: Scope) -> list[Key]:
    """Return the trials that the address names, else the reference points of the scope.

    What it names that is no trial, the page says.
    """
    if "trials" not in st.query_params:
        chosen = default_trials(reader, scope)
    else:
        only = scope.searches[0] if len(scope.searches) == 1 else None
        asked = {name: trial_of(name, only) for name in words("trials") if name != "none"}
        there = known(reader, [key for key in asked.values() if key])
        chosen = list(dict.fromkeys(key for key in asked.values() if key in there and key))
        if unknown := [name for name, key in asked.items() if key not in there]:
            st.warning(f"There is no trial {plain(', '.join(unknown), 80)}.")
    st.session_state[CHOSEN] = chosen
    return chosen


def default_trials(reader: Reader, scope: Scope) -> list[Key]:
    """Return trial 0 and the incumbent of each search, and the best up to three of all."""
    wanted = {(key, 0) for key in scope.searches}
    for key in scope.searches:
        if (incumbent := scope.known[key].incumbent) is not None:
            wanted.add((key, incumbent))
    wanted |= set(best(reader, scope, Query(scope.searches), 3))
    return sorted(known(reader, sorted(wanted)))


def best(reader: Reader, scope: Scope, query: Query, most: int) -> list[Key]:
    """Return the trials of a query with the lowest val_mse."""
    ordered = replace(query, sort="val_mse", descending=False, offset=0, limit=most)
    return _first(reader, str(settings().workspace.db), scope.pulses, ordered)


def matching_trials(reader: Reader, scope: Scope) -> tuple[Key, ...]:
    """Return all trials that the filter leaves, in order; none where it means nothing."""
    if scope.query is None:
        return ()
    return _matching(reader, str(settings().workspace.db), scope.pulses, scope.query)


@st.cache_resource(max_entries=8, show_spinner=False)
def _matching(_reader: Reader, db: str, pulses: tuple[Pulse, ...], query: Query) -> tuple[Key, ...]:
    return tuple(keys(_reader, replace(query, offset=0, limit=ALL)))


@st.cache_data(max_entries=16, show_spinner=False)
def _first(_reader: Reader, db: str, pulses: tuple[Pulse, ...], query: Query) -> list[Key]:
    return [(row.search_id, row.number) for row in page(_reader, query) if row.val_mse is not None]


def choose(keys: Sequence[Key]) -> None:
    """Put the chosen trials into the address, which is what the page reads."""
    st.query_params["trials"] = ",".join(reference_of(key) for key in keys) or "none"


def reference_trial(reader: Reader, scope: Scope, chosen: Sequence[Key]) -> Key | None:
    """Return the trial that others are held against: the address's, else an incumbent."""
    incumbents = [
        (key, number)
        for key in dict.fromkeys([*scope.searches, *(search for search, _ in chosen)])
        if (number := scope.known[key].incumbent) is not None
    ]
    first = next(iter([*incumbents, *chosen]), None)
    if (asked := st.query_params.get("ref")) is None:
        return first
    key = trial_of(asked)
    if key is None or key not in known(reader, [key]):
        st.warning(f"There is no trial {plain(asked, 40)} to hold the others against.")
        return first
    return key


def show_chosen(scope: Scope, chosen: Sequence[Key], reference: Key | None) -> None:
    """Draw what is chosen, to remove one or all, and what the others are held against."""
    names = [reference_of(key) for key in chosen]
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    st.session_state["compare-trials"] = names
    left.multiselect(
        f"Compared: {len(chosen)}",
        names,
        format_func=lambda name: _label(scope, name),
        key="compare-trials",
        placeholder="Select rows in the table above",
        on_change=lambda: choose(
            [key for name in st.session_state["compare-trials"] if (key := trial_of(name))]
        ),
    )
    held = [] if reference is None else [reference_of(reference)]
    options = list(dict.fromkeys([*held, *names]))
    right.selectbox(
        "Reference",
        options,
        format_func=lambda name: _label(scope, name),
        help="The trial that others are held against: the incumbent, unless you choose another.",
        disabled=not options,
        **mirrored("ref", next(iter(held), None)),
    )


def _label(scope: Scope, name: str) -> str:
    key = trial_of(name)
    assert key is not None, "options name trials"
    return trial_label(scope, key)


def trial_label(scope: Scope, key: Key) -> str:
    """Return a trial's name; a star marks the incumbent of its search."""
    search = scope.known.get(key[0])
    return f"{reference_of(key)}{' ★' if search and search.incumbent == key[1] else ''}"
