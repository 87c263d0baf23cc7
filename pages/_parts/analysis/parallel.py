"""Parallel coordinates: one line per trial through its settings to its val_mse."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pages._parts.analysis.axes import Axis, Numbers, axis, colours, sent, short_names
from pages._parts.figures import MUTED
from pages._parts.live_chart import Figure

MOST_DIMENSIONS = 10
USUAL_DIMENSIONS = 6
FEW_LINES = 300
MOST_LINES = 2000
_SPREAD = 0.5  # of the room between two values; a drag along an axis keeps as much
_ROOM = 0.04  # of an axis beyond its last ticks, where a drag that takes them in can begin

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

    Plotly's parallel coordinates know numbers alone: a log axis holds logarithms, a trial without a
    value lies below all others, and where values stand at even distances, the trials of one are
    spread by their val_mse, since lines would else hide each other. Those that `brush` lets pass
    stand out.
    """
    errors = axes[-1].places
    trace = {
        "type": "parcoords",
        "uirevision": "parallel",
        "dimensions": [
            _dimension(item, places, brush) for item, places in zip(axes, _drawn(axes), strict=True)
        ],
        "line": {"color": sent(errors), "showscale": True, **colours(errors, "")},
        "labelangle": -25,
        "unselected": {"line": {"color": MUTED, "opacity": 0.12}},
    }
    left = max((len(text) for _, text in axes[0].ticks), default=0)
    margin = {"l": max(64, 16 + 7 * left), "r": 24, "t": 62, "b": 24}
    layout = {"margin": margin, "uirevision": "parallel"}
    return {"data": [trace], "layout": layout}


def brushed(axes: Sequence[Axis], brush: Brush) -> bool:
    """Tell whether `brush` has ranges on any of `axes`."""
    return any(brush.get(_name(item)) for item in axes)


def passing(axes: Sequence[Axis], brush: Brush) -> NDArray[np.bool_]:
    """Return which of the n trials pass the ranges of `brush`; all, where there is none."""
    passed = np.ones(len(axes[-1].places), dtype=bool)
    for item, places in zip(axes, _drawn(axes), strict=True):
        if ranges := brush.get(_name(item)):
            passed &= np.any([(low <= places) & (places <= high) for low, high in ranges], axis=0)
    return passed


def _dimension(item: Axis, places: Numbers, brush: Brush) -> dict[str, Any]:
    ticks = _ticks(item, places)
    low, high = _span(np.array([*places, *(place for place, _ in ticks)]))
    room = _ROOM * (high - low) if ticks else 0.0
    dimension: dict[str, Any] = {
        "name": _name(item),
        "label": item.name,
        "values": sent(places),
        "range": [low - room, high + room],
    }
    if ticks:
        dimension["tickvals"] = [round(place, 6) for place, _ in ticks]
        dimension["ticktext"] = [html.unescape(text) for _, text in ticks]  # no tags are read here
    else:
        dimension["tickformat"] = ".3~g"
    if ranges := brush.get(_name(item)):
        dimension["constraintrange"] = [list(limits) for limits in ranges]
    return dimension


def _name(item: Axis) -> str:
    """Return what the brush calls an axis, on which its ranges mean what they meant.

    Ranges mean nothing on an axis of another kind, nor do positions once values have others.
    """
    values = [text for _, text in item.ticks] if item.even else []
    return " ".join([item.key, item.kind, *values])


def _drawn(axes: Sequence[Axis]) -> Iterator[Numbers]:
    """Give the places (n) of each axis as they are drawn."""
    for item in axes:
        places = np.log10(item.places) if item.kind == "log" else item.places
        if item.even:
            places = places + _spread(places, axes[-1].places, len(item.ticks) - 1)
        low, high = _span(places[np.isfinite(places)])
        yield np.where(np.isfinite(places), places, low - 0.1 * (high - low))


def _spread(places: Numbers, errors: Numbers, last: int) -> Numbers:
    """Return how far trials (n) are drawn from the place of their value, by their error.

    At the ends of an axis, inwards alone: what a drag along the axis keeps ends there.
    """
    _, group, sizes = np.unique(places, return_inverse=True, return_counts=True)
    order = np.lexsort((errors, group))
    inside = np.empty(len(places))
    inside[order] = np.arange(len(places)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    share = (inside + 0.5) / sizes[group]
    at_ends = [share / 2, share / 2 - 0.5]
    return _SPREAD * np.select([places == 0, places == last], at_ends, share - 0.5)


def _ticks(item: Axis, places: Numbers) -> list[tuple[float, str]]:
    """Return the ticks as drawn; where there are any, what a drag keeps ends near one."""
    if item.kind != "log":
        return list(item.ticks)
    if item.ticks:
        return [(float(np.log10(place)), text) for place, text in item.ticks]
    low, high = _span(places)
    round_ = [
        (np.log10(digit) + decade, f"{digit * 10.0**decade:g}" if digit in (1, 2, 5) else "")
        for decade in range(int(np.floor(low)), int(np.ceil(high)) + 1)
        for digit in range(1, 10)
    ]
    inside = [(float(place), text) for place, text in round_ if low <= place <= high]
    # Plotly finds the place of a tick by its text: no two may be the same, not even blank ones.
    return [(place, text or " " * at) for at, (place, text) in enumerate(inside, 1)]


def _span(places: Numbers) -> tuple[float, float]:
    """Return the ends of an axis; one that holds a single number has some room around it."""
    if not len(places):
        return 0.0, 1.0
    low, high = float(places.min()), float(places.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
