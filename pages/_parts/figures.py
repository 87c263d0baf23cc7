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

from nas_engine.store.rows import BaselineRow, EpochRow
from pages._parts.live_chart import Figure
from pages._parts.text import error_text, readable

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
MOST_DATES = 2000  # of a line, beyond which a screen shows no more
_FAR = 1.6  # a baseline beyond this multiple of the worst drawn value would flatten all else


def colour(number: int, search_id: int = 1) -> str:
    """Return the colour of a trial; those of the same number in other searches have others."""
    return COLOURS[colour_place(number, search_id)]


def colour_place(number: int, search_id: int) -> int:
    """Return the place of a trial's colour among `COLOURS`."""
    return (number + 3 * (search_id - 1)) % len(COLOURS)


def dash(number: int, search_id: int = 1) -> str:
    """Return the dash of a trial, which tells trials of the same colour apart."""
    return DASHES[(number // len(COLOURS) + search_id - 1) % len(DASHES)]


def trial_name(number: int, incumbent: int | None) -> str:
    """Return a trial's name in a legend."""
    return f"Trial {number} ★" if number == incumbent else f"Trial {number}"


def curves(
    epochs: Iterable[EpochRow],
    metric: Metric,
    baselines: Sequence[BaselineRow],
    incumbent: int | None,
    log: bool = False,
    emphasised: Collection[int] = (),
    search_id: int = 1,
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
        _line(search_id, number, rows, metric, incumbent, thick=number in emphasised)
        for number, rows in sorted(lines.items())
    ]
    data += [
        not_finite_marks(f"trial {number}", rows, found, colour(number, search_id))
        for number, rows in lines.items()
        if None in (found := [_figure(row, metric) for row in rows])
    ]
    layout_ = layout("Epoch", METRICS[metric], f"curves-{metric}-{log}")
    layout_["shapes"] = baseline_lines(near(of_split(baselines, "val"), values, metric), metric)
    layout_["xaxis"] |= {"tickformat": "d", "zeroline": False}
    if last < 12:
        layout_["xaxis"]["dtick"] = 1
    if log:
        layout_["yaxis"]["type"] = "log"
    if not lines:
        layout_["xaxis"]["range"] = [0.8, 5.2]
    if not data:
        layout_["yaxis"]["showticklabels"] = False
    return {"data": data, "layout": layout_}


def columns_over_time(frame: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Draw columns of (T, C) by date, in their own units; gaps stay gaps.

    Where there are more than `MOST_DATES` rows, every k-th is drawn.
    """
    drawn = frame[:: -(-len(frame) // MOST_DATES) or 1]
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
    layout_ = layout("", "", "|".join(names))
    layout_["yaxis"]["title"]["text"] = ""
    layout_["showlegend"] = True
    return {"data": data, "layout": layout_}


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


def of_split(baselines: Sequence[BaselineRow], split: str) -> list[BaselineRow]:
    """Return the baselines on one part of the data."""
    return [row for row in baselines if row.split == split]


def _figure(row: EpochRow, metric: Metric) -> float | None:
    return {"val_mse": row.val_mse, "train_loss": row.train_loss, "val_mae": row.val_mae}[metric]


def _baseline_value(row: BaselineRow, metric: Metric) -> float:
    return row.mae if metric == "val_mae" else row.mse


def layout(x_title: str, y_title: str, revision: str) -> dict[str, Any]:
    """Return the layout that the charts of errors share; zoom is kept while `revision` is."""
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


def not_finite_marks(
    who: str,
    rows: Sequence[EpochRow],
    values: Sequence[float | None],
    ink: str,
    line: tuple[Sequence[float], Sequence[float | None]] | None = None,
) -> dict[str, Any]:
    """Mark the epochs without a finite figure by triangles where the line was before.

    Args:
        who: has the line; safe where Plotly reads tags.
        rows: (n) epochs.
        values: (n) the figure of each, None where it was not finite.
        ink: colour of the line.
        line: x and y (n) that are drawn; None: the epochs and `values`.
    """
    x, y = line or ([row.epoch for row in rows], values)
    lost = [at for at, value in enumerate(values) if value is None]
    before, places = next((value for value in y if value is not None), 1.0), []
    for value in y:
        before = before if value is None else value
        places.append(before)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{who}: {len(lost)} of {len(rows)} epochs not finite",
        "x": [x[at] for at in lost],
        "y": [places[at] for at in lost],
        "text": [str(rows[at].epoch) for at in lost],
        "marker": {"symbol": "triangle-down-open", "size": 10, "color": ink, "line": {"width": 2}},
        "hovertemplate": f"{who}, epoch %{{text}}: not finite<extra></extra>",
    }


def baseline_lines(baselines: Sequence[BaselineRow], metric: Metric) -> list[dict[str, Any]]:
    """Return dashed lines over the whole width, each named above its end."""
    return [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": value,
            "y1": value,
            "layer": "below",
            "line": {"color": MUTED, "width": 1.2, "dash": "dash"},
            "label": {
                "text": f"{html.escape(readable(row.name))} {error_text(value)}",
                "textposition": "end",
                "yanchor": "bottom",
                "font": {"size": 10, "color": MUTED},
            },
        }
        for row in baselines
        if (value := _baseline_value(row, metric)) is not None
    ]


def _line(
    search_id: int,
    number: int,
    rows: Sequence[EpochRow],
    metric: Metric,
    incumbent: int | None,
    thick: bool,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": trial_name(number, incumbent),
        "x": [row.epoch for row in rows],
        "y": [_figure(row, metric) for row in rows],
        "connectgaps": False,
        "line": {
            "color": colour(number, search_id),
            "dash": dash(number, search_id),
            "width": 3 if thick else 1.8,
        },
        "marker": {"size": 6 if thick else 4},
        "hovertemplate": f"trial {number}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    }
