"""Searches over the recorded table: the space is a grid of it, every other setting is pinned."""

from __future__ import annotations

from typing import Any

from informer.config import Value
from nas_engine.search import TASK_KEYS, Narrowing, SearchSpec
from nas_engine.space import space
from tests.recorded.table import CORE, START, Grid


def recorded_spec(seed: int = 2021, grid: Grid = CORE, **facts: Any) -> SearchSpec:
    """Return a search of which every trial is in the table: of the whole one, if `grid` is GRID."""
    settings: dict[str, Value] = {**START, "training.seed": seed}
    everything = space(SearchSpec(settings=settings))
    start = SearchSpec(settings=settings).start()
    pinned = {
        key: Narrowing(values=(start[key],))
        for key in everything
        if key not in grid and key not in TASK_KEYS
    }
    narrowed = {key: Narrowing(values=values) for key, values in grid.items()}
    return SearchSpec(settings=settings, space=pinned | narrowed, **facts)
