"""Figures as plain data: pure functions from rows to what Plotly draws.

One trial has one colour and dash on every chart, by its number. Errors are drawn as they are: lower
is better.
"""

from __future__ import annotations

import html
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

import pandas as pd

from nas_engine.store.reader import BaselineRow, EpochRow, TrialRow
from pages._parts.live_chart import Figure
from pages._parts.text import error_text, mean_text, readable

Metric = Literal["val_mse", "train_loss", "val_mae"]
METRICS: dict[Metric, str] = {
    "val_mse": "val_mse",
    "train_loss": "training loss",
    "val_mae": "val_mae",
}

# Of middle lightness, so that each can be told from a white and from a dark background.
COLOURS = (
    "#3B82F6",
    "#E08A00",
    "#12A87B",
    "#E5484D",
    "#8B5CF6",
    "#0FA3B8",
    "#DB4C95",
    "#7A9A01",
    "#A8693A",
    "#7C8799",
)
DASHES = ("solid", "dash", "dot", "dashdot")
MUTED = "#8A94A3"
MOST_POINTS = 2000  # of a line, beyond which a screen shows no more
_FAR = 1.6  # a baseline beyond this multiple of the worst drawn value would flatten all else


def colour(number: int, search_id: int = 1) -> str:
    """Return the colour of a trial; those of the same number in other searches have others."""
    return COLOURS[(number + 3 * (search_id - 1)) % len(COLOURS)]


def dash(number: int, search_id: int = 1) -> str:
    """Return the dash of a trial, which tells trials of the same colour apart."""
    return DASHES[(number // len(COLOURS) + search_id - 1) % len(DASHES)]


def trial_name(number: int, incumbent: int | None) -> str:
    """Return a trial's name in a legend."""
    return f"Trial {number} ★" if number == incumbent else f"Trial {number}"


def history(
    trials: Sequence[TrialRow], baselines: Sequence[BaselineRow], incumbent: int | None
) -> Figure:
    """Draw val_mse by trial, the best so far, the baselines, and the trials without a result."""
    scored = [trial for trial in trials if trial.val_mse is not None]
    unscored = [trial for trial in trials if trial.val_mse is None]
    last = max((trial.number for trial in trials), default=0)
    values = [trial.val_mse for trial in scored if trial.val_mse is not None]
    data = [
        _baseline(row.name, row.mse, (-0.5, last + 0.5))
        for row in near(_of_split(baselines, "val"), values, "val_mse")
    ]
    if scored:
        data.append(_best_so_far(scored, last))
        data.append(_dots(scored, incumbent))
    data += (foot := _at_the_foot(unscored))
    layout = _layout("Trial", "val_mse", "history")
    layout["xaxis"] |= {"range": [-0.6, max(last, 4) + 0.6], "tickformat": "d", "zeroline": False}
    if last < 12:
        layout["xaxis"]["dtick"] = 1
    if foot:  # a strip of its own below the scale of errors
        layout["yaxis"]["domain"] = [0.1, 1]
        layout["yaxis2"] = {"domain": [0, 0.08], "visible": False, "fixedrange": True}
        layout["xaxis"]["anchor"] = "y2"
    return {"data": data, "layout": layout}


def curves(
    epochs: Iterable[EpochRow],
    metric: Metric,
    baselines: Sequence[BaselineRow],
    incumbent: int | None,
    log: bool = False,
    emphasised: Collection[int] = (),
) -> Figure:
    """Draw a metric by epoch, one line per trial, and the baselines where they have the metric.

    Epochs without a finite figure leave a gap.
    """
    lines: dict[int, list[EpochRow]] = defaultdict(list)
    for row in epochs:
        lines[row.number].append(row)
    last = max((row.epoch for rows in lines.values() for row in rows), default=1)
    values = [
        value
        for rows in lines.values()
        for row in rows
        if (value := _figure(row, metric)) is not None
    ]
    data = [
        _baseline(row.name, _baseline_value(row, metric), (1, max(last, 2)))
        for row in near(_of_split(baselines, "val"), values, metric)
    ]
    data += [
        _line(number, rows, metric, incumbent, thick=number in emphasised)
        for number, rows in sorted(lines.items())
    ]
    layout = _layout("Epoch", METRICS[metric], f"curves-{metric}-{log}")
    layout["xaxis"] |= {"tickformat": "d", "zeroline": False}
    if last < 12:
        layout["xaxis"]["dtick"] = 1
    if log:
        layout["yaxis"]["type"] = "log"
    if not lines:
        layout["xaxis"]["range"] = [0.8, 5.2]
    if not data:
        layout["yaxis"]["showticklabels"] = False
    return {"data": data, "layout": layout}


def columns_over_time(frame: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Draw columns of (T, C) by date, in their own units; gaps stay gaps.

    Where there are more than `MOST_POINTS` rows, every k-th is drawn.
    """
    drawn = frame[:: -(-len(frame) // MOST_POINTS) or 1]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": html.escape(readable(name)),  # Plotly reads tags in names
            "x": [str(date) for date in drawn.index],
            "y": [float(value) if math.isfinite(value) else None for value in drawn[name]],
            "connectgaps": False,
            "line": {"color": colour(number), "width": 1.4},
        }
        for number, name in enumerate(names)
    ]
    layout = _layout("", "", "|".join(names))
    layout["yaxis"]["title"]["text"] = ""
    layout["showlegend"] = True
    return {"data": data, "layout": layout}


def near(
    baselines: Sequence[BaselineRow], values: Sequence[float], metric: Metric
) -> list[BaselineRow]:
    """Return the baselines that can be drawn beside `values` without flattening them.

    Where there are no values yet, the best baseline sets the scale.
    """
    if metric == "train_loss" or not baselines:
        return []
    scale = max(values) if values else min(_baseline_value(row, metric) for row in baselines)
    return [row for row in baselines if _baseline_value(row, metric) <= _FAR * scale]


def _of_split(baselines: Sequence[BaselineRow], split: str) -> list[BaselineRow]:
    return [row for row in baselines if row.split == split]


def _figure(row: EpochRow, metric: Metric) -> float | None:
    return {"val_mse": row.val_mse, "train_loss": row.train_loss, "val_mae": row.val_mae}[metric]


def _baseline_value(row: BaselineRow, metric: Metric) -> float:
    return row.mae if metric == "val_mae" else row.mse


def _layout(x_title: str, y_title: str, revision: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": x_title, "standoff": 6}, "automargin": True},
        "yaxis": {
            "title": {"text": f"{y_title} (lower is better)", "standoff": 8},
            "automargin": True,
            "tickformat": ".3~g",
        },
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8, "pad": 2},
        "hovermode": "closest",
        "uirevision": revision,
    }


def _baseline(name: str, value: float, span: tuple[float, float]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{name} {error_text(value)}",
        "x": list(span),
        "y": [value, value],
        "line": {"color": MUTED, "width": 1.2, "dash": "dash"},
        "hovertemplate": f"baseline {name}: {error_text(value)}<extra></extra>",
    }


def _best_so_far(scored: Sequence[TrialRow], last: int) -> dict[str, Any]:
    x: list[int] = []
    y: list[float] = []
    for trial in scored:
        if trial.val_mse is not None and (not y or trial.val_mse < y[-1]):
            x.append(trial.number)
            y.append(trial.val_mse)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [*x, last],
        "y": [*y, y[-1]],
        "line": {"color": MUTED, "width": 2, "shape": "hv"},
        "hoverinfo": "skip",
    }


def _dots(scored: Sequence[TrialRow], incumbent: int | None) -> dict[str, Any]:
    """Filled: accepted. Open: rejected. Star: the incumbent, which is also named."""

    def symbol(trial: TrialRow) -> str:
        if trial.number == incumbent:
            return "star"
        return "circle" if trial.accepted else "circle-open"

    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": "trials",
        "showlegend": False,
        "x": [trial.number for trial in scored],
        "y": [trial.val_mse for trial in scored],
        "error_y": {
            "type": "data",
            "array": [trial.spread for trial in scored],
            "color": MUTED,
            "thickness": 1.2,
        },
        "text": ["incumbent" if trial.number == incumbent else "" for trial in scored],
        "textposition": "top center",
        "cliponaxis": False,
        "marker": {
            "symbol": [symbol(trial) for trial in scored],
            "color": [colour(trial.number) for trial in scored],
            "size": [13 if trial.number == incumbent else 9 for trial in scored],
            "line": {"width": 2, "color": [colour(trial.number) for trial in scored]},
        },
        "hovertext": [
            f"trial {trial.number}, {_verdict(trial)}<br>"
            f"val_mse {mean_text(trial.val_mse, trial.spread, trial.seeds)}"
            for trial in scored
        ],
        "hoverinfo": "text",
    }


def _verdict(trial: TrialRow) -> str:
    if trial.accepted is None:
        return trial.state
    return "accepted" if trial.accepted else "rejected"


_FOOT = {  # what trials without a result are called and marked by, and their states
    "open": ("triangle-right-open", ("proposed", "queued", "running", "stalled", "paused")),
    "pruned": ("line-ns-open", ("pruned",)),
    "stopped": ("square-open", ("stopped",)),
    "no result": ("x-thin-open", ("completed", "failed", "crashed", "rejected")),
}


def _at_the_foot(trials: Sequence[TrialRow]) -> list[dict[str, Any]]:
    """Mark trials without a result at the foot of the chart, outside the scale of errors."""
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [trial.number for trial in found],
            "y": [0] * len(found),
            "yaxis": "y2",
            "marker": {"symbol": symbol, "size": 9, "color": MUTED, "line": {"width": 2}},
            "hovertext": [f"trial {trial.number}: {trial.state}" for trial in found],
            "hoverinfo": "text",
        }
        for name, (symbol, states) in _FOOT.items()
        if (found := [trial for trial in trials if trial.state in states])
    ]


def _line(
    number: int, rows: Sequence[EpochRow], metric: Metric, incumbent: int | None, thick: bool
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": trial_name(number, incumbent),
        "x": [row.epoch for row in rows],
        "y": [_figure(row, metric) for row in rows],
        "connectgaps": False,
        "line": {"color": colour(number), "dash": dash(number), "width": 3 if thick else 1.8},
        "marker": {"size": 6 if thick else 4},
        "hovertemplate": f"trial {number}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    }
