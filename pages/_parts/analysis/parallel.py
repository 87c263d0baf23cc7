"""Parallel coordinates: one line per trial through its settings to its val_mse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pages._parts.analysis.axes import Axis, axis, colours, sent, short_names
from pages._parts.live_chart import Figure

MOST_DIMENSIONS = 10
USUAL_DIMENSIONS = 6
FEW_LINES = 300

Brush = Mapping[str, Sequence[Sequence[float]]]
"""Ranges by the name of a dimension, in the numbers of the axis; a line passes one of each."""


def dimensions(trials: pd.DataFrame, settings: pd.DataFrame, keys: Sequence[str]) -> list[Axis]:
    """Return the axes of settings, and last that of val_mse.

    Args:
        trials: (n) results, each with a val_mse.
        settings: values of at least these trials.
        keys: which settings.
    """
    names = short_names(list(settings.columns))
    drawn = settings.loc[trials.index]
    axes = [axis(key, drawn[key], names[key]) for key in keys]
    return [*axes, Axis("val_mse", "val_mse", "number", trials["val_mse"].to_numpy(float), ())]


def parallel_figure(axes: Sequence[Axis], brush: Brush) -> Figure:
    """Draw a line per trial through `axes`, coloured by the last.

    Plotly's parallel coordinates know numbers alone: a log axis holds logarithms, and a trial
    without a value lies below all others. The trials that `brush` lets pass stand out.
    """
    errors = axes[-1].places
    line = {"color": sent(errors), **colours(errors, "val_mse"), "showscale": True}
    line["colorbar"] |= {"len": 1.0, "y": 0.5}
    trace = {
        "type": "parcoords",
        "uid": "parallel",
        "uirevision": "parallel",
        "dimensions": [_dimension(item, brush) for item in axes],
        "line": line,
        "labelangle": -25,
        "unselected": {"line": {"color": "#8A94A3", "opacity": 0.12}},
    }
    layout = {"margin": {"l": 64, "r": 24, "t": 92, "b": 24}, "uirevision": "parallel"}
    return {"data": [trace], "layout": layout}


def passing(axes: Sequence[Axis], brush: Brush) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which of the n trials pass the ranges of `brush`; all, where there is none."""
    passed = np.ones(len(axes[-1].places), dtype=bool)
    for item in axes:
        if ranges := brush.get(item.key):
            places = _drawn(item)
            passed &= np.any([(low <= places) & (places <= high) for low, high in ranges], axis=0)
    return passed


def _dimension(item: Axis, brush: Brush) -> dict[str, Any]:
    places = _drawn(item)
    dimension: dict[str, Any] = {"name": item.key, "label": item.name, "values": sent(places)}
    ticks = _ticks(item, places)
    if ticks:
        dimension["tickvals"] = [round(place, 6) for place, _ in ticks]
        dimension["ticktext"] = [text for _, text in ticks]
    else:
        dimension["tickformat"] = ".3~g"
    low, high = _span([*places, *(place for place, _ in ticks)])
    dimension["range"] = [low, high]
    if ranges := brush.get(item.key):
        dimension["constraintrange"] = [list(limits) for limits in ranges]
    return dimension


def _drawn(item: Axis) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return places as drawn: logarithms on a log axis, and missing ones below all others."""
    places = np.log10(item.places) if item.kind == "log" else item.places
    low, high = _span(places[np.isfinite(places)])
    return np.where(np.isfinite(places), places, low - 0.1 * (high - low))


def _ticks(item: Axis, places: np.ndarray[Any, np.dtype[np.float64]]) -> list[tuple[float, str]]:
    if item.kind != "log":
        return list(item.ticks)
    if item.ticks:
        return [(float(np.log10(place)), text) for place, text in item.ticks]
    low, high = _span(places)
    return [(place, f"{10**place:.2g}") for place in np.linspace(low, high, 5).tolist()]


def _span(places: Sequence[float] | np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    """Return the ends of an axis; one that holds a single number has some room around it."""
    if not len(places):
        return 0.0, 1.0
    low, high = float(min(places)), float(max(places))
    return (low, high) if high > low else (low - 0.5, high + 0.5)
