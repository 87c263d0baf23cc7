"""Learning curves of any trials over each other: pure functions from epochs to a figure."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from nas_engine.store.rows import BaselineRow, CurvePoint, EpochRow
from pages._parts.effects import relative_change
from pages._parts.figures import (
    METRICS,
    MUTED,
    Metric,
    baseline_lines,
    colour,
    dash,
    layout,
    near,
    not_finite_marks,
    of_split,
)
from pages._parts.live_chart import Figure
from pages._parts.selection import Key, reference_of

MOST_LINES = 20
SAMPLE = 500
"""Trials of which a band is made, at most."""

Relative = Literal["raw", "reference", "first"]
Axis = Literal["epoch", "seconds"]
RELATIVE: dict[Relative, str] = {
    "raw": "As they are",
    "reference": "% above the reference",
    "first": "% above the own first epoch",
}
AXES: dict[Axis, str] = {"epoch": "Epoch", "seconds": "Seconds of training"}


@dataclass(frozen=True)
class Line:
    """The epochs of one trial, in order."""

    key: Key
    name: str
    epochs: Sequence[EpochRow]

    def values(self, metric: Metric) -> list[float | None]:
        """Return a metric by epoch; None where it was not finite."""
        return [getattr(row, metric) for row in self.epochs]


@dataclass(frozen=True)
class Look:
    """How curves are drawn."""

    metric: Metric = "val_mse"
    relative: Relative = "raw"
    smoothing: float = 0.0
    log: bool = False
    axis: Axis = "epoch"

    @property
    def title(self) -> str:
        """What the y axis shows."""
        return METRICS[self.metric] + (
            "" if self.relative == "raw" else f", {RELATIVE[self.relative]}"
        )


@dataclass(frozen=True)
class Band:
    """Where most trials lie, by epoch."""

    epochs: Sequence[int]
    low: Sequence[float]  # 10 %
    median: Sequence[float]
    high: Sequence[float]  # 90 %
    trials: int  # of which it is made


def smoothed(values: Sequence[float | None], weight: float) -> list[float | None]:
    """Return the exponential moving average with the bias of its start taken out.

    m_t = weight m_(t-1) + (1 - weight) x_t with m_0 = 0, and m_t / (1 - weight^t) is drawn: Kingma
    & Ba, "Adam" (2015), section 3. What is None stays so and moves nothing.
    """
    mean, steps, found = 0.0, 0, list[float | None]()
    for value in values:
        if value is None:
            found.append(None)
            continue
        steps += 1
        mean = weight * mean + (1 - weight) * value
        found.append(mean / (1 - weight**steps))
    return found


def percent_above(
    values: Sequence[float | None], bases: Sequence[float | None]
) -> list[float | None]:
    """Return by how many percent values lie above bases; None where that is no number."""
    changes = [relative_change(value, base) for value, base in zip(values, bases, strict=True)]
    return [None if change is None else 100 * change for change in changes]


def drawn(line: Line, look: Look, reference: Line | None) -> list[float | None]:
    """Return what is drawn of a line, by epoch: smoothed, then held against what it is held to."""
    values = smoothed(line.values(look.metric), look.smoothing)
    match look.relative:
        case "raw":
            return values
        case "first":
            return percent_above(values, values[:1] * len(values))
        case "reference":
            held = _by_epoch(reference, look)
            return percent_above(values, [held.get(row.epoch) for row in line.epochs])


def not_finite(line: Line, metric: Metric) -> list[int]:
    """Return the epochs at which a metric was not finite."""
    pairs = zip(line.epochs, line.values(metric), strict=True)
    return [row.epoch for row, value in pairs if value is None]


def band_of(points: Sequence[CurvePoint], look: Look, reference: Line | None) -> Band | None:
    """Return where most of the trials with these epochs lie; None where nothing can be drawn.

    Nothing is smoothed. Values that were not finite count at no epoch.
    """
    at = {"train_loss": 3, "val_mse": 4, "val_mae": 5}[look.metric]
    trials = {key: row for row, key in enumerate(dict.fromkeys((p[0], p[1]) for p in points))}
    if not trials:
        return None
    table = np.full((len(trials), max(point[2] for point in points)), np.nan)
    for point in points:
        if (value := point[at]) is not None:
            table[trials[point[0], point[1]], point[2] - 1] = value
    if look.relative == "first":
        bases = table[:, :1]
    if look.relative == "reference":
        held = _by_epoch(reference, Look(look.metric))
        bases = np.array([held.get(epoch, np.nan) for epoch in range(1, table.shape[1] + 1)], float)
    if look.relative != "raw":
        with np.errstate(all="ignore"):  # by 0, or beyond all numbers: as `relative_change` has it
            table = 100 * ((table - bases) / bases)
        table[~np.isfinite(table)] = np.nan
    there = np.flatnonzero(np.isfinite(table).any(axis=0))
    if not there.size:
        return None
    low, median, high = np.nanquantile(table[:, there], [0.1, 0.5, 0.9], axis=0)
    epochs = [int(column) + 1 for column in there]
    return Band(epochs, low.tolist(), median.tolist(), high.tolist(), len(trials))


def overlay(
    lines: Sequence[Line],
    look: Look,
    reference: Line | None = None,
    band: Band | None = None,
    baselines: Sequence[BaselineRow] = (),
) -> Figure:
    """Draw curves over each other; epochs that were not finite leave a gap and a triangle."""
    if look.relative == "reference":
        lines = [_as_far_as(reference, line) for line in lines]
    values = {line.key: drawn(line, look, reference) for line in lines}
    x = {line.key: _x(line, look.axis) for line in lines}
    data = _band(band) if band and look.axis == "epoch" else []
    data += [_trace(line, x[line.key], values[line.key], look) for line in lines]
    data += [
        _triangles(line, x[line.key], values[line.key], look)
        for line in lines
        if not_finite(line, look.metric)
    ]
    revision = f"{look.metric}-{look.relative}-{look.log}-{look.axis}"
    drawing = layout(AXES[look.axis], look.title, revision)
    drawing["xaxis"]["zeroline"] = False
    drawing["legend"] = {"traceorder": "normal"}  # a band would turn it round
    if look.axis == "epoch":
        drawing["xaxis"]["tickformat"] = "d"
    if look.relative == "raw":
        shown = [value for row in values.values() for value in row if value is not None]
        drawing["shapes"] = baseline_lines(
            near(of_split(baselines, "val"), shown, look.metric), look.metric
        )
        drawing["yaxis"]["type"] = "log" if look.log else "linear"
    return {"data": data, "layout": drawing}


def _as_far_as(reference: Line | None, line: Line) -> Line:
    """Return a line without the epochs that the reference has not had."""
    last = len(reference.epochs) if reference else 0
    return replace(line, epochs=line.epochs[:last])


def _by_epoch(line: Line | None, look: Look) -> Mapping[int, float | None]:
    if line is None:
        return {}
    values = smoothed(line.values(look.metric), look.smoothing)
    return {row.epoch: value for row, value in zip(line.epochs, values, strict=True)}


def _x(line: Line, axis: Axis) -> list[float]:
    if axis == "seconds":
        return list(accumulate(row.seconds for row in line.epochs))
    return [row.epoch for row in line.epochs]


def _trace(line: Line, x: Sequence[float], y: Sequence[float | None], look: Look) -> dict[str, Any]:
    search, number = line.key
    unit = "" if look.relative == "raw" else " %"
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) <= 60 else "lines",
        "name": html.escape(line.name),
        "x": list(x),
        "y": list(y),
        "customdata": [reference_of(line.key)] * len(x),
        "connectgaps": False,
        "line": {"color": colour(number, search), "dash": dash(number, search), "width": 1.8},
        "marker": {"size": 4},
        "hovertemplate": f"{html.escape(line.name)}, {AXES[look.axis].lower()} %{{x:.6~g}}: "
        f"%{{y:.4g}}{unit}<extra></extra>",
    }


def _triangles(
    line: Line, x: Sequence[float], y: Sequence[float | None], look: Look
) -> dict[str, Any]:
    search, number = line.key
    values, ink = line.values(look.metric), colour(number, search)
    marks = not_finite_marks(html.escape(line.name), line.epochs, values, ink, (x, y))
    return marks | {
        "showlegend": False,
        "customdata": [reference_of(line.key)] * len(marks["x"]),
    }


def _band(band: Band) -> list[dict[str, Any]]:
    common = {"type": "scatter", "mode": "lines", "x": list(band.epochs), "hoverinfo": "skip"}
    edge = {**common, "showlegend": False, "line": {"width": 0, "color": MUTED}}
    return [
        {**edge, "name": "90 %", "y": list(band.high)},
        {
            **edge,
            "name": f"10–90 % of {band.trials} trials",
            "showlegend": True,
            "y": list(band.low),
            "fill": "tonexty",
            "fillcolor": "rgba(138,148,163,0.22)",
        },
        {
            **common,
            "name": "median",
            "y": list(band.median),
            "line": {"width": 1.4, "color": MUTED, "dash": "dot"},
        },
    ]
