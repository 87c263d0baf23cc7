"""Figures about a data set, as plain data: its parts, its values by date, seasons and rhythms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from data.parts import Part, Parts, spans
from data.profile import Peak, Rhythm
from data.splits import Floats
from pages._parts.figures import COLOURS, MUTED, columns_over_time, layout
from pages._parts.live_chart import Figure

PART_COLOURS = {"training": COLOURS[0], "validation": COLOURS[1], "test": COLOURS[2]}
UNUSED = "not used"
MOST_POINTS = 1500  # of an autocorrelation, beyond which every k-th lag is drawn


def moment_text(moment: pd.Timestamp) -> str:
    """Return a date, with the time of day where it is not midnight."""
    return f"{moment:%Y-%m-%d}" if moment == moment.normalize() else f"{moment:%Y-%m-%d %H:%M}"


def parts_bar(parts: Sequence[Part], unused: int) -> Figure:
    """Draw the rows of training, validation and test after each other on one bar."""
    rows = {part.name: part.rows for part in parts} | ({UNUSED: unused} if unused else {})
    total = sum(rows.values())
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": [count],
            "y": [""],
            "text": [f"{name} {100 * count / total:.3g} %"],
            "textposition": "inside",
            "insidetextanchor": "middle",
            "textangle": 0,
            "textfont": {"color": "#FFFFFF"},
            "marker": {"color": PART_COLOURS.get(name, MUTED)},
            "hovertemplate": f"{name}: {count:,} rows<extra></extra>",
        }
        for name, count in rows.items()
    ]
    layout_ = layout("", "", "parts")
    layout_ |= {"barmode": "stack", "showlegend": False, "bargap": 0.1}
    layout_["uniformtext"] = {"minsize": 9, "mode": "hide"}
    layout_["xaxis"] = {"visible": False, "fixedrange": True, "range": [0, total]}
    layout_["yaxis"] = {"visible": False, "fixedrange": True}
    layout_["margin"] = {"l": 0, "r": 0, "t": 0, "b": 0}
    return {"data": data, "layout": layout_}


def series_by_part(frame: pd.DataFrame, names: Sequence[str], parts: Parts | None) -> Figure:
    """Draw columns of (T, C) by date, with a line where validation and test begin."""
    figure = columns_over_time(frame, names)
    found = spans(pd.DatetimeIndex(frame.index), parts) if parts and sum(parts) else []
    figure["layout"]["shapes"] = [
        {
            "type": "line",
            "x0": str(part.first),
            "x1": str(part.first),
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": MUTED, "width": 1.2, "dash": "dash"},
            "label": {
                "text": part.name,
                "textposition": "end",
                "textangle": 0,
                "xanchor": "left",
                "yanchor": "top",
                "font": {"size": 11, "color": MUTED},
            },
        }
        for part in found[1:]
    ]
    return figure


def autocorrelation_lines(
    of_values: Floats, without_trend: Floats, peaks: Sequence[Peak], seasons: Sequence[int]
) -> Figure:
    """Draw the autocorrelation by lag, of the values and without trend, with the peaks named."""
    every = -(-len(of_values) // MOST_POINTS)
    lags = list(range(0, len(of_values), every))
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": lags,
            "y": [round(float(values[lag]), 4) for lag in lags],
            "line": {"color": ink, "width": width, "dash": dash},
            "hovertemplate": f"lag %{{x}}: %{{y:.2f}} {name}<extra></extra>",
        }
        for name, values, ink, width, dash in (
            ("of the values", of_values, MUTED, 1.3, "dot"),
            ("without trend", without_trend, COLOURS[0], 1.8, "solid"),
        )
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": "peaks",
            "x": [peak.lag for peak in peaks],
            "y": [peak.correlation for peak in peaks],
            "text": [str(peak.lag) for peak in peaks],
            "textposition": "top center",
            "marker": {"symbol": "diamond", "size": 8, "color": COLOURS[1]},
            "cliponaxis": False,
            "hovertemplate": "lag %{x}: %{y:.2f}<extra></extra>",
        }
    )
    layout_ = layout("Lag in steps", "", "autocorrelation")
    layout_["yaxis"] |= {"title": {"text": "Autocorrelation"}, "range": [-1.05, 1.15]}
    if seasons:
        layout_["xaxis"]["dtick"] = min(seasons) * max(1, len(of_values) // (12 * min(seasons)))
    return {"data": data, "layout": layout_}


def rhythm_band(rhythm: Rhythm) -> Figure:
    """Draw mean and median by place in a cycle, over the band of the middle half of the values."""
    ink = COLOURS[0]
    shared = {"type": "scatter", "x": list(rhythm.labels)}
    data = [
        {**shared, "mode": "lines", "y": _finite(rhythm.low), "line": {"width": 0}}
        | {"showlegend": False, "hoverinfo": "skip"},
        {**shared, "mode": "lines", "y": _finite(rhythm.high), "line": {"width": 0}}
        | {"fill": "tonexty", "fillcolor": "rgba(59,130,246,0.22)", "name": "quartiles"}
        | {"hoverinfo": "skip"},
        {**shared, "mode": "lines", "y": _finite(rhythm.middle), "name": "median"}
        | {"line": {"color": MUTED, "width": 1.6, "dash": "dot"}},
        {**shared, "mode": "lines+markers", "y": _finite(rhythm.mean), "name": "mean"}
        | {"line": {"color": ink, "width": 2}, "marker": {"size": 4}},
    ]
    layout_ = layout(rhythm.cycle.capitalize(), "", rhythm.cycle)
    layout_["yaxis"]["title"]["text"] = ""
    layout_["xaxis"]["type"] = "category"
    layout_["showlegend"] = False  # three charts side by side have no room for it: a caption says
    return {"data": data, "layout": layout_}


def _finite(values: Sequence[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
