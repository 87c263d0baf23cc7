"""Errors by horizon step and by column: what lies behind one figure. Pure functions."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from informer.records import PartErrors
from pages._parts.figures import colour, dash, layout
from pages._parts.live_chart import Figure
from pages._parts.selection import Key, reference_of
from pages._parts.text import readable

Measure = Literal["mse", "mae"]
MEASURES: dict[Measure, str] = {"mse": "MSE", "mae": "MAE"}
MOST_BARS = 80
"""Bars that can still be told apart; above, a map of colours is drawn."""


@dataclass(frozen=True)
class Broken:
    """The errors of one trial on one part of the data, taken apart."""

    key: Key
    name: str
    errors: PartErrors

    def by_column(self, measure: Measure, own_units: bool) -> dict[str, float]:
        """Return its errors by column, on scaled data or in the units of the data."""
        errors = self.errors
        if own_units:
            values = errors.own_mse_by_column if measure == "mse" else errors.own_mae_by_column
        else:
            values = errors.mse_by_column if measure == "mse" else errors.mae_by_column
        return dict(zip(errors.columns, values, strict=True))


def by_step(trials: Sequence[Broken], measure: Measure) -> Figure:
    """Draw the error of each step of the horizon, on scaled data, a line per trial."""
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": html.escape(trial.name),
            "x": list(range(1, len(values) + 1)),
            "y": list(values),
            "customdata": [reference_of(trial.key)] * len(values),
            "line": {"color": colour(*reversed(trial.key)), "dash": dash(*reversed(trial.key))},
            "hovertemplate": f"{html.escape(trial.name)}, step %{{x}}: %{{y:.4g}}<extra></extra>",
        }
        for trial in trials
        for values in [trial.errors.mse_by_step if measure == "mse" else trial.errors.mae_by_step]
    ]
    drawing = layout("Step ahead", MEASURES[measure], f"step-{measure}")
    drawing["xaxis"] |= {"tickformat": "d", "zeroline": False}
    return {"data": data, "layout": drawing}


def columns_of(trials: Sequence[Broken]) -> list[str]:
    """Return the columns that any of the trials forecasts, in order of appearance."""
    return list(dict.fromkeys(name for trial in trials for name in trial.errors.columns))


def by_column(trials: Sequence[Broken], measure: Measure, own_units: bool) -> Figure:
    """Draw the error of each column: grouped bars where these are few, else a map of colours.

    Args:
        trials: the trials.
        measure: of the error.
        own_units: of the data (squared for MSE), else on scaled data.
    """
    names = columns_of(trials)
    table = [[trial.by_column(measure, own_units).get(name) for name in names] for trial in trials]
    shown = [html.escape(readable(name)) for name in names]
    if len(names) * len(trials) > MOST_BARS:
        return _map(trials, shown, table, measure)
    data = [
        {
            "type": "bar",
            "name": html.escape(trial.name),
            "x": shown,
            "y": values,
            "customdata": [reference_of(trial.key)] * len(names),
            "marker": {"color": colour(*reversed(trial.key)), "pattern": _pattern(trial.key)},
            "hovertemplate": f"{html.escape(trial.name)}, %{{x}}: %{{y:.4g}}<extra></extra>",
        }
        for trial, values in zip(trials, table, strict=True)
    ]
    drawing = layout("", MEASURES[measure], f"column-{measure}-{own_units}")
    drawing["xaxis"] |= {"type": "category"}
    return {"data": data, "layout": drawing | {"barmode": "group"}}


def _pattern(key: Key) -> dict[str, Any]:
    """Tell trials of the same colour apart, as dashes do for lines."""
    shapes = {"solid": "", "dash": "/", "dot": ".", "dashdot": "x"}
    return {"shape": shapes[dash(*reversed(key))], "fillmode": "overlay"}


def _map(
    trials: Sequence[Broken],
    names: Sequence[str],
    table: Sequence[Sequence[float | None]],
    measure: Measure,
) -> Figure:
    drawing = layout("", "", f"map-{measure}")
    drawing["xaxis"] |= {"type": "category"}
    drawing["yaxis"] = {"type": "category", "automargin": True, "autorange": "reversed"}
    data = [
        {
            "type": "heatmap",
            "x": list(names),
            "y": [html.escape(trial.name) for trial in trials],
            "z": [list(row) for row in table],
            "colorscale": "Cividis",
            "colorbar": {"title": {"text": f"{MEASURES[measure]} ↓"}, "thickness": 12},
            "hovertemplate": "%{y}, %{x}: %{z:.4g}<extra></extra>",
        }
    ]
    return {"data": data, "layout": drawing}
