"""Lists of searches: which are shown, their key figures, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from informer.config import Value
from informer.records import UsedData
from nas_engine.labels import hidden
from nas_engine.liveness import LIVING, EngineState, engine_state
from nas_engine.search import ASKING
from nas_engine.store.listing import Listed
from nas_engine.store.rows import SearchRow
from pages._parts.effects import relative_change
from pages._parts.states import SEARCH_STATES, shown_state
from pages._parts.tables import ERROR_FORMAT
from pages._parts.text import readable


@dataclass(frozen=True)
class Shown:
    """A search as a list shows it."""

    search: SearchRow
    engine: EngineState
    baseline: float | None
    booked_usd: float
    judged: int
    active_at: float

    @property
    def state(self) -> str:
        """The state to show, one of `SEARCH_STATES`."""
        return shown_state(self.search, self.engine)

    @property
    def works(self) -> bool:
        """Whether an engine works on it."""
        return self.engine in LIVING

    @property
    def start(self) -> dict[str, Value]:
        """The settings of its trial 0."""
        return self.search.spec.start()


@dataclass(frozen=True)
class Best:
    """The best search of one task, whose errors can be compared."""

    task: str
    search: SearchRow
    value: float
    baseline: float | None


def seen(listed: Sequence[Listed]) -> list[Shown]:
    """Return searches with the state of their engines at this moment."""
    return [
        Shown(
            search=row.search,
            engine=engine_state(row.engine),
            baseline=row.baseline,
            booked_usd=row.booked_usd,
            judged=row.judged,
            active_at=row.active_at,
        )
        for row in listed
    ]


def found(rows: Iterable[Shown], words: str, archived: bool) -> list[Shown]:
    """Return the searches that a list shows: those with all words, and archived ones if asked."""
    wanted = words.casefold().split()
    return [
        row
        for row in rows
        if (archived or not hidden(row.search, row.engine))
        and all(word in _searchable(row) for word in wanted)
    ]


def _searchable(row: Shown) -> str:
    search = row.search
    said = (search.name, search.spec.title(), *search.tags, search.notes, row.state, search.origin)
    return "\n".join((f"search {search.id}", *said)).casefold()


def task(row: Shown) -> str:
    """Return what searches must share for their errors to be comparable, in a few words."""
    start = row.start
    columns = str(start["data.features"])
    if columns != "M":
        columns += f" {start['data.target']}"
    return f"{start['data.dataset']} {columns}, horizon {start['data.pred_len']}"


def best_by_task(rows: Iterable[Shown]) -> list[Best]:
    """Return the search with the least val_mse of each task, the task last worked on first.

    Where searches of one task saw different data of one name, these are different tasks.
    """
    shown = sorted(rows, key=lambda row: -row.active_at)
    data: dict[str, list[UsedData]] = {}  # of each task, those that differ
    for row in shown:
        known, used = data.setdefault(task(row), []), row.search.used
        if used is not None and all(used.differences(other) for other in known):
            known.append(used)
    best: dict[str, Best] = {}
    for row in shown:
        value, name = row.search.best, task(row)
        if len(data[name]) > 1:
            used = row.search.used
            name += f", {used.told_from(data[name]) if used else 'data not recorded'}"
        if value is not None and (name not in best or value < best[name].value):
            best[name] = Best(name, row.search, value, row.baseline)
    return list(best.values())


def search_frame(
    rows: Sequence[Shown],
    best_so_far: Callable[[Shown], Sequence[float]],
    standing: Callable[[Shown], str],
) -> pd.DataFrame:
    """Return one row per search, in the order given; without columns of which none has any.

    Args:
        rows: the searches.
        best_so_far: returns the best val_mse of a search by trial, at some of them.
        standing: returns how far a search with costs or bounds is, in words.
    """
    facts = [
        {
            "Search": row.search.id,
            "": "Open",
            "State": f"{SEARCH_STATES[row.state].symbol} {row.state}"
            + (" · archived" if row.search.archived else "")
            + (" · imported" if row.search.origin else ""),
            "Name": readable(row.search.name) or None,
            "Best": row.search.best,
            "Front": standing(row) or None,
            "vs baseline %": _percent(relative_change(row.search.best, row.baseline)),
            "Best so far": list(best_so_far(row)),
            "Progress": 100 * min(1.0, row.search.finished / row.search.max_trials),
            "Trials": f"{row.search.finished:,} of {row.search.max_trials:,}",
            "Data": f"{row.start['data.dataset']} {row.start['data.features']}",
            "Horizon": row.start["data.pred_len"],
            "Planner": row.search.spec.planner,
            "Tags": [readable(tag) for tag in row.search.tags],
            "USD": row.booked_usd if row.search.spec.planner in ASKING else None,
            "Active": row.search.active_seconds,
            "Last activity": pd.Timestamp(row.active_at, unit="s", tz="UTC").floor("s"),
        }
        for row in rows
    ]
    frame = pd.DataFrame(facts)
    said = {"Name": any(row.search.name for row in rows), "Tags": any(r.search.tags for r in rows)}
    said["Front"] = bool(frame["Front"].notna().any())
    frame = frame.drop(columns=[name for name, given in said.items() if not given])
    return frame.astype(dict.fromkeys(("Best", "vs baseline %", "USD"), "Float64"))


def search_columns(open_: Callable[[], None]) -> dict[str, Any]:
    """Return how the columns of `search_frame` are shown; `open_` is called by its buttons."""
    config = st.column_config
    number, text = config.NumberColumn, config.TextColumn
    return {
        "Search": number(pinned=True, width=55, format="%d"),
        "": config.ButtonColumn(
            pinned=True, width=60, type="tertiary", key=OPENED, on_click=open_, help="To Live"
        ),
        "State": text(width=135),
        "Name": text(width=160),
        "Data": text(width=90),
        "Horizon": number(width=65, help="Time steps that are forecast"),
        "Planner": text(width=70),
        "Progress": config.ProgressColumn(
            width=90, min_value=0, max_value=100, format="%.0f %%", help="Finished trials"
        ),
        "Trials": text(width=95),
        "Best": number(
            "Best ↓",
            format=ERROR_FORMAT,
            width=75,
            help="val_mse of the incumbent; lower is better. With bounds, of the best trial within "
            "them, or of the nearest while there is none",
        ),
        "Front": text(
            "Front, bounds",
            width=210,
            help="Of searches that trade the error: how many trials are on the front, and which "
            "share of the box it dominates. Of searches with bounds alone: whether the best trial "
            "keeps them.",
        ),
        "vs baseline %": number(
            format="%+.2f",
            width=95,
            help="Best relative to the best forecast without training; below 0 is better",
        ),
        "Best so far": config.LineChartColumn(
            width=120, help="Least val_mse by trial, each on a scale of its own"
        ),
        "USD": number(
            format="%.4f",
            width=70,
            help="Booked for language models; a call without a report at its worst case",
        ),
        "Active": number(
            format="duration", width=85, help="Time in which an engine worked on the search"
        ),
        "Tags": config.MultiselectColumn(
            width=140, color="gray", options=None, help="Given by people"
        ),
        "Last activity": config.DatetimeColumn(format="distance", width=115),
    }


OPENED = "overview-opened"
"""Key of the row whose button was pressed."""


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
