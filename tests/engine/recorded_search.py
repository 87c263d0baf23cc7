"""Searches over a recorded table: the space is its grid, every other setting is pinned."""

from __future__ import annotations

from typing import Any

from informer.config import Value
from nas_engine.search import TASK_KEYS, Narrowing, SearchSpec
from nas_engine.space import space
from tests.recorded.table import TESTED, Table


def recorded_spec(seed: int = 2021, table: Table = TESTED, **facts: Any) -> SearchSpec:
    """Return a search of which every trial is in the table."""
    settings: dict[str, Value] = {**table.start, "training.seed": seed}
    everything = space(SearchSpec(settings=settings))
    start = SearchSpec(settings=settings).start()
    pinned = {
        key: Narrowing(values=(start[key],))
        for key in everything
        if key not in table.grid and key not in TASK_KEYS
    }
    narrowed = {key: Narrowing(values=values) for key, values in table.grid.items()}
    return SearchSpec(settings=settings, space=pinned | narrowed, **facts)
