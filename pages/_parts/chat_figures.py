"""What an answer was given, as tables and charts: pure functions from rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nas_engine.chat.looked_up import Cell, LookedUp
from nas_engine.store.rows import EpochRow
from nas_engine.store.table import Results
from pages._parts.figures import METRICS, MUTED, colour, layout, trial_name
from pages._parts.live_chart import Figure
from pages._parts.overlay import Line, Look, overlay
from pages._parts.text import readable, value_text


def rows_frame(found: LookedUp) -> pd.DataFrame:
    """Return the rows as a table; a column that is not of numbers alone is of texts."""
    columns = zip(*found.rows, strict=True) if found.rows else [()] * len(found.columns)
    named = zip(found.columns, columns, strict=True)
    return pd.DataFrame({readable(name): _column(values) for name, values in named})


def figure_of(
    found: LookedUp, results: Results, incumbent: int | None, search_id: int
) -> Figure | None:
    """Return the chart of a look-up; None where it has none.

    Args:
        found: the rows.
        results: of all trials of the search.
        incumbent: number of the best accepted trial.
        search_id: the search.
    """
    match found.chart:
        case "curves":
            return learning_curves(found, search_id)
        case "history":
            return errors_by_trial(found, results, incumbent, search_id)
    return None


def learning_curves(found: LookedUp, search_id: int) -> Figure | None:
    """Draw rows of (trial, epoch, error), a line for each trial."""
    metric = found.columns[2]
    if metric not in METRICS:
        return None
    lines: dict[int, list[EpochRow]] = {}
    for trial, epoch, value in found.rows:
        figures = dict.fromkeys(METRICS) | {metric: value}
        row = EpochRow(number=trial, epoch=epoch, lr=0.0, seconds=0.0, **figures)  # type: ignore[arg-type]
        lines.setdefault(row.number, []).append(row)
    drawn = [
        Line((search_id, number), f"Trial {number}", rows) for number, rows in sorted(lines.items())
    ]
    return overlay(drawn, Look(metric=metric))


def errors_by_trial(
    found: LookedUp, results: Results, incumbent: int | None, search_id: int
) -> Figure:
    """Draw val_mse by trial, over the errors of those that were accepted, one after the other."""
    number, value = found.columns.index("number"), found.columns.index("val_mse")
    drawn = [(row[number], row[value]) for row in found.rows if row[value] is not None]
    figure = layout("Trial", "val_mse", "told")
    figure["xaxis"] |= {"tickformat": "d", "zeroline": False}
    if max(results.number, default=0) < 12:
        figure["xaxis"]["dtick"] = 1
    return {"data": [_accepted(results), *(_dot(*at, incumbent, search_id) for at in drawn)]} | {
        "layout": figure | {"showlegend": True}
    }


def _accepted(results: Results) -> dict[str, Any]:
    best: list[tuple[int, float]] = []
    for at, value in enumerate(results.val_mse):
        if results.accepted[at] and value is not None and (not best or value < best[-1][1]):
            best.append((results.number[at], value))
    last = max(results.number, default=0)
    ended = [(last, best[-1][1])] if best and best[-1][0] != last else []
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best accepted so far",
        "x": [number for number, _ in [*best, *ended]],
        "y": [value for _, value in [*best, *ended]],
        "line": {"color": MUTED, "width": 2, "shape": "hv"},
        "hoverinfo": "skip",
    }


def _dot(number: Any, value: Any, incumbent: int | None, search_id: int) -> dict[str, Any]:
    star = number == incumbent
    return {
        "type": "scatter",
        "mode": "markers",
        "name": trial_name(number, incumbent),
        "x": [number],
        "y": [value],
        "customdata": [f"{search_id}.{number}"],
        "cliponaxis": False,
        "marker": {
            "symbol": "star" if star else "circle",
            "size": 13 if star else 9,
            "color": colour(number, search_id),
        },
        "hovertemplate": f"trial {number}: %{{y:.4g}}<extra></extra>",
    }


def _column(values: Sequence[Cell]) -> pd.Series[Any]:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float) and type(value) is not bool for value in known):
        whole = all(isinstance(value, int) for value in known)
        return pd.Series(list(values), dtype="Int64" if whole else "Float64")
    return pd.Series(
        ["" if value is None else value_text(value) for value in values], dtype="object"
    )
