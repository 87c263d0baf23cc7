"""Errors over settings: slices along one, and contours and ranks over two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pages._parts.analysis.axes import Axis, Numbers, colours, sent
from pages._parts.analysis.points import chosen_points, evenly, figure_axis, layout, points
from pages._parts.figures import COLOURS, MUTED
from pages._parts.live_chart import Figure
from pages._parts.selection import Key

FEW = 20  # trials, below which no mean over cells is drawn
_DENSE = 200  # trials, from which strips let each other shine through
_CELLS = 16  # along a number with many values
_BINS = 8  # of a median
_DISC = 0.38  # of the room between two values: the radius within which their trials lie


def slice_figure(trials: pd.DataFrame, along: Axis, chosen: Sequence[Key]) -> Figure:
    """Draw val_mse over one setting, and its median over the values of the setting.

    Where the setting has a few values, trials are strips of short lines, the accepted ones dots.

    Args:
        trials: (n) results, each with a val_mse, the best first; `MOST_DRAWN` are drawn.
        along: the setting's axis, of the same trials.
        chosen: trials that stand out.
    """
    errors = trials["val_mse"].to_numpy(float)
    at = evenly(len(trials))
    hover = f"{along.name} %{{x}}<br>val_mse %{{y:.4g}}"
    dots = points(trials.iloc[at], along.places[at], errors[at], hover)
    if along.ticks:
        _make_strips(dots["marker"])
    axes = along.layout(), figure_axis("val_mse", errors[at])
    return {
        "data": [
            dots,
            *_medians(along, errors),
            *chosen_points(trials, along.places, errors, chosen),
        ],
        "layout": layout(*axes, f"slice-{along.key}") | {"showlegend": False},
    }


def contour_figure(trials: pd.DataFrame, x: Axis, y: Axis, chosen: Sequence[Key]) -> Figure:
    """Draw the mean val_mse over cells of two settings, and the trials.

    Between numbers the colours run on; cells of categories stand apart, since nothing lies between
    them. Fewer than `FEW` trials are drawn as coloured points alone.

    Args:
        trials: (n) results, each with a val_mse, the best first; `MOST_DRAWN` are drawn.
        x: the axis of one setting, of the same trials.
        y: that of another.
        chosen: trials that stand out.
    """
    errors = trials["val_mse"].to_numpy(float)
    surface = [] if len(errors) < FEW else _surface(x, y, errors)
    at = evenly(len(trials))
    dots = points(trials.iloc[at], x.places[at], y.places[at], _hover(x, y))
    dots["text"] = [f"val_mse {error:.4g}" for error in errors[at]]
    dots["marker"]["symbol"] = "circle"
    if surface:
        dots["marker"] |= {"size": 5, "color": "#FFFFFF", "opacity": 1.0}
        dots["marker"]["line"] = {"width": 1, "color": "#17202B"}
    else:
        dots["marker"] |= {"size": 10, "color": sent(errors), "coloraxis": "coloraxis"}
        dots["marker"]["line"] = {"width": 0}
    shown = np.asarray(surface[0]["z"] if surface else errors, dtype=float).ravel()
    title = "mean val_mse" if surface else "val_mse"
    plane = layout(x.layout(), y.layout(), f"contour-{x.key}-{y.key}")
    return {
        "data": [*surface, dots, *chosen_points(trials, x.places, y.places, chosen)],
        "layout": plane | {"coloraxis": colours(shown, title), "showlegend": False},
    }


def rank_figure(trials: pd.DataFrame, x: Axis, y: Axis, chosen: Sequence[Key]) -> Figure:
    """Draw trials by two settings, coloured by the rank of val_mse; better ones lie on top.

    Where both settings have a few values, the trials of one place lie around it, the best in the
    middle. The arguments are those of `contour_figure`.
    """
    ranks = trials["val_mse"].rank(method="min").to_numpy(np.float64)
    places = _apart(x, y, ranks)
    at = evenly(len(trials))[::-1]
    dots = points(trials.iloc[at], places[0][at], places[1][at], "%{text}")
    dots["marker"] |= {
        "symbol": "circle",
        "size": 9,
        "color": ranks[at].tolist(),
        "coloraxis": "coloraxis",
        "line": {"width": 0},
    }
    across, up, errors = x.texts(), y.texts(), trials["val_mse"].to_numpy(float)
    dots["text"] = [
        f"{x.name} {across[row]}<br>{y.name} {up[row]}<br>"
        f"rank {ranks[row]:.0f} of {len(ranks)}, val_mse {errors[row]:.4g}"
        for row in at
    ]
    scale = colours(ranks, "rank of val_mse") | {"cmin": 1, "cmax": max(len(ranks), 2)}
    scale["colorbar"]["tickformat"] = "d"
    plane = layout(x.layout(), y.layout(), f"rank-{x.key}-{y.key}")
    return {
        "data": [dots, *chosen_points(trials, *places, chosen)],
        "layout": plane | {"coloraxis": scale, "showlegend": False},
    }


def _make_strips(marker: dict[str, Any]) -> None:
    """Have points that are not accepted be short lines."""
    accepted = [symbol == "circle" for symbol in marker["symbol"]]
    marker |= {
        "symbol": ["circle" if is_ else "line-ew-open" for is_ in accepted],
        "size": [7 if is_ else 18 for is_ in accepted],
        "opacity": 0.75 if len(accepted) < _DENSE else 0.45,
    }
    marker["line"]["width"] = 2 if len(accepted) < _DENSE else 1


def _hover(x: Axis, y: Axis) -> str:
    return f"{x.name} %{{x}}<br>{y.name} %{{y}}<br>%{{text}}"


def _apart(x: Axis, y: Axis, ranks: Numbers) -> tuple[Numbers, Numbers]:
    """Return places (n) at which trials of the same two values do not hide each other.

    They follow the spiral of a sunflower (Vogel 1979), which fills a disc evenly, by rank.
    """
    if not (x.ticks and y.ticks):
        return x.places, y.places
    inside = (
        pd.Series(ranks)
        .groupby([x.places, y.places], dropna=False)
        .rank(method="first")
        .to_numpy(float)
        - 1
    )
    radius = _DISC * np.sqrt(inside / max(inside.max(), 1))
    angle = inside * np.pi * (3 - np.sqrt(5))
    return x.moved(radius * np.cos(angle)), y.moved(radius * np.sin(angle))


def _medians(along: Axis, errors: Numbers) -> list[dict[str, Any]]:
    """Return the median error of each value, or around evenly spaced ones of a number."""
    known = np.isfinite(along.places)
    if np.count_nonzero(known) < FEW:
        return []
    centres = _cells(along, _BINS)
    nearest = _nearest(centres, along)
    groups = [(centre, errors[known & (nearest == cell)]) for cell, centre in enumerate(centres)]
    filled = [(centre, float(np.median(found))) for centre, found in groups if len(found)]
    return [
        {
            "type": "scatter",
            "mode": "lines+markers" if along.kind != "category" else "markers",
            "name": "median",
            "x": sent(np.array([centre for centre, _ in filled])),
            "y": sent(np.array([median for _, median in filled])),
            "line": {"color": COLOURS[1], "width": 2},
            "marker": {
                "color": COLOURS[1],
                "size": 8,
                "symbol": "x-thin-open" if along.kind == "category" else "circle",
                "line": {"width": 2.5, "color": COLOURS[1]},
            },
            "hovertemplate": "median %{y:.4g}<extra></extra>",
        }
    ]


def _surface(x: Axis, y: Axis, errors: Numbers) -> list[dict[str, Any]]:
    """Return the mean errors over cells (y, x); cells without a trial are empty."""
    known = np.isfinite(x.places) & np.isfinite(y.places)
    if not known.any():
        return []
    columns, rows = _cells(x, _CELLS), _cells(y, _CELLS)
    shape = (len(rows), len(columns))
    cells = _nearest(rows, y)[known] * len(columns) + _nearest(columns, x)[known]
    counts = np.bincount(cells, minlength=shape[0] * shape[1])
    sums = np.bincount(cells, weights=errors[known], minlength=shape[0] * shape[1])
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).reshape(shape)
    smooth = "category" not in (x.kind, y.kind) and min(shape) > 1
    trace: dict[str, Any] = {
        "type": "contour" if smooth else "heatmap",
        "name": "mean",
        "x": sent(columns),
        "y": sent(rows),
        "z": [sent(row) for row in means],
        "coloraxis": "coloraxis",
        "hoverinfo": "skip",
        "hoverongaps": False,
    }
    if smooth:
        trace |= {"connectgaps": True, "line": {"width": 0.5, "color": MUTED}, "ncontours": 12}
    else:
        trace |= {"xgap": 2, "ygap": 2}
    return [trace]


def _cells(along: Axis, most: int) -> Numbers:
    """Return the centres of cells: each category or value, or evenly spaced ones of a number.

    They end where the trials do, except for categories, which have no order to go beyond.
    """
    if along.kind == "category":
        return np.arange(len(along.ticks), dtype=float)
    distinct = np.unique(along.places[np.isfinite(along.places)])
    if along.kind == "ordered":
        return np.arange(distinct[0], distinct[-1] + 1)
    if len(distinct) <= most:
        return distinct
    if along.kind == "log":
        return np.geomspace(distinct[0], distinct[-1], most)
    return np.linspace(distinct[0], distinct[-1], most)


def _nearest(centres: Numbers, along: Axis) -> NDArray[np.intp]:
    """Return the cell (n) of each trial; that of one without a value means nothing."""
    scale = np.log if along.kind == "log" else np.asarray
    inner = scale(centres)
    edges = (inner[1:] + inner[:-1]) / 2
    return np.searchsorted(edges, scale(along.places), side="right")
