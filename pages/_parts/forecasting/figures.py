"""Figures of forecasts: a window beside the truth, errors by group, maps of differences."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nas_engine.hindcasts import Hindcast
from pages._parts.figures import COLOURS, MUTED, layout
from pages._parts.forecasting.errors import Floats
from pages._parts.live_chart import Figure
from pages._parts.text import error_text, readable

_A_BETTER, _EVEN, _B_BETTER = COLOURS[0], "rgba(138,148,163,0.12)", COLOURS[1]


@dataclass(frozen=True)
class Forecaster:
    """Who forecasts, as it is named and drawn everywhere on the page, and what it forecast."""

    role: Literal["A", "B", "baseline"]
    name: str
    colour: str
    dash: str
    made: Hindcast

    @property
    def label(self) -> str:
        """Its name in a legend, safe where Plotly reads tags."""
        name = html.escape(readable(self.name))
        return name if self.role == "baseline" else f"{self.role}: {name}"


@dataclass(frozen=True)
class Scale:
    """In what numbers a column is shown: its own units, or scaled to the training part."""

    own: bool
    centre: float
    scale: float

    @classmethod
    def of(cls, made: Hindcast, column: int | None, own: bool) -> Scale:
        """Return the scale of a column; all columns together have no units."""
        if column is None:
            return cls(False, 0.0, 1.0)
        return cls(own, made.facts.centre[column], made.facts.scale[column])

    def values(self, scaled: NDArray[np.floating]) -> Floats:
        """Return values to show."""
        found = np.asarray(scaled, np.float64)
        return found * self.scale + self.centre if self.own else found

    def factor(self, squared: bool) -> float:
        """Return what an error on scaled data is multiplied by."""
        return (self.scale**2 if squared else self.scale) if self.own else 1.0


# -- one window ---------------------------------------------------------------------------------


def window_figure(
    forecasters: Sequence[Forecaster], window: int, column: int, past: int, scale: Scale
) -> Figure:
    """Draw the end of the look-back, what came, and the forecasts of it.

    Args:
        forecasters: who forecast the same windows.
        window: its number.
        column: its number.
        past: rows of the look-back that are drawn.
        scale: of the values.
    """
    made = forecasters[0].made
    rows = made.rows(window, past)
    seen = rows.stop - made.facts.horizon - rows.start
    dates = np.datetime_as_string(made.dates[rows], unit="s").tolist()
    values = scale.values(made.values[rows, column])
    ahead = max(0, seen - 1)  # lines begin where the look-back ends
    data = [_line("look-back", dates[:seen], values[:seen], MUTED, "solid", 1.4)]
    if made.facts.part != "future":
        data.append(_line("truth", dates[ahead:], values[ahead:], MUTED, "solid", 2.6))
    for one in forecasters:
        forecast = scale.values(one.made.forecast[window, :, column])
        joined = np.concatenate((values[ahead:seen], forecast))
        data.append(_line(one.label, dates[ahead:], joined, one.colour, one.dash, 2.2))
    return {"data": data, "layout": _titled("", f"window-{window}-{column}-{scale.own}")}


def _line(
    name: str, x: Sequence[str], y: Floats, ink: str, dash: str, width: float
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": [float(f"{value:.7g}") for value in y],
        "line": {"color": ink, "dash": dash, "width": width},
        "hovertemplate": f"{name} %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def _titled(x: str, revision: str) -> dict[str, Any]:
    found = layout(x, "", revision)
    found["yaxis"]["title"]["text"] = ""
    found["showlegend"] = True
    return found


def band(figure: Figure, dates: Sequence[str], low: Floats, high: Floats, name: str) -> None:
    """Draw an interval behind the lines of a figure."""
    edge = {"width": 0, "color": MUTED}
    common = {"type": "scatter", "mode": "lines", "line": edge, "hoverinfo": "skip"}
    bounds = [
        common | {"x": list(dates), "y": high.tolist(), "showlegend": False},
        common
        | {
            "x": list(dates),
            "y": low.tolist(),
            "name": html.escape(name),
            "fill": "tonexty",
            "fillcolor": "rgba(59,130,246,0.18)",
        },
    ]
    figure["data"] = bounds + figure["data"]
    figure["layout"]["legend"] = {"traceorder": "normal"}  # an area would turn it round


# -- errors by group ----------------------------------------------------------------------------


def lines_figure(
    forecasters: Sequence[Forecaster], values: Sequence[Floats], x_title: str, y_title: str
) -> Figure:
    """Draw the error of each step of the horizon, a line for each forecaster."""
    data = [
        {
            "type": "scatter",
            "mode": "lines" if len(found) > 1 else "markers",
            "name": one.label,
            "x": list(range(1, len(found) + 1)),
            "y": found.tolist(),
            "line": {"color": one.colour, "dash": one.dash, "width": 2.2},
            "hovertemplate": f"{one.label}, step %{{x}}: %{{y:.4g}}<extra></extra>",
        }
        for one, found in zip(forecasters, values, strict=True)
    ]
    drawing = layout(x_title, y_title, f"{x_title}-{y_title}") | {"showlegend": True}
    drawing["xaxis"] |= {"tickformat": "d", "zeroline": False}
    drawing["yaxis"]["rangemode"] = "tozero"
    return {"data": data, "layout": drawing}


def bars_figure(
    forecasters: Sequence[Forecaster],
    values: Sequence[Floats],
    names: Sequence[str],
    x_title: str,
    y_title: str,
) -> Figure:
    """Draw the error of each group, a bar for each forecaster; a group without any has a gap."""
    shown = [html.escape(readable(name)) for name in names]
    shapes = {"A": "", "B": "/", "baseline": "."}
    data = [
        {
            "type": "bar",
            "name": one.label,
            "x": shown,
            "y": [None if np.isnan(value) else float(value) for value in found],
            "marker": {
                "color": one.colour,
                "pattern": {"shape": shapes[one.role], "fillmode": "overlay"},
            },
            "hovertemplate": f"{one.label}, %{{x}}: %{{y:.4g}}<extra></extra>",
        }
        for one, found in zip(forecasters, values, strict=True)
    ]
    drawing = layout(x_title, y_title, f"{x_title}-{y_title}") | {"showlegend": True}
    drawing["xaxis"] |= {"type": "category"}
    return {"data": data, "layout": drawing | {"barmode": "group"}}


# -- differences --------------------------------------------------------------------------------


def delta_figure(
    difference: Floats, rows: Sequence[str], y_title: str, better: tuple[str, str], measure: str
) -> Figure:
    """Draw a map of the error of A less that of the other, by row and step of the horizon.

    Args:
        difference: (R, H); NaN where there is nothing.
        rows: (R) their names.
        y_title: what rows are.
        better: the names of A and of the other.
        measure: of the error.
    """
    drawn = np.array([[float(f"{v:.4g}") for v in row] for row in difference])
    reach = float(np.nanmax(np.abs(drawn), initial=0.0)) or 1.0
    names = [html.escape(readable(name)) for name in rows]
    one, other = (html.escape(readable(name)) for name in better)
    heat = {
        "type": "heatmap",
        "x": list(range(1, difference.shape[1] + 1)),
        "y": names,
        "z": [[None if np.isnan(value) else value for value in row] for row in drawn.tolist()],
        "zmin": -reach,
        "zmax": reach,
        "colorscale": [[0, _A_BETTER], [0.5, _EVEN], [1, _B_BETTER]],
        "colorbar": {
            "thickness": 12,
            "tickvals": [-reach, 0, reach],
            "ticktext": [f"−{reach:.3g}<br>A better", "0", f"+{reach:.3g}<br>A worse"],
            "outlinewidth": 0,
        },
        "hovertemplate": f"%{{y}}, step %{{x}}: {measure} of {one} less that of {other} "
        "%{z:.4g}<extra></extra>",
    }
    drawing = layout("Step ahead", "", f"delta-{y_title}-{measure}")
    drawing["xaxis"] |= {"tickformat": "d", "zeroline": False, "showgrid": False}
    drawing["yaxis"] = {
        "type": "category",
        "showgrid": False,
        "automargin": True,
        "autorange": "reversed",
        "title": {"text": y_title, "standoff": 8},
        "nticks": 14,
    }
    return {"data": [heat], "layout": drawing}


# -- in words -----------------------------------------------------------------------------------


def lines_alt(forecasters: Sequence[Forecaster], values: Sequence[Floats], what: str) -> str:
    """Return what the errors by step show, in words."""
    parts = [
        f"{one.name} {error_text(float(found[0]))} at step 1, {error_text(float(found[-1]))} at "
        f"step {len(found)}"
        for one, found in zip(forecasters, values, strict=True)
    ]
    return f"{what} by step of the horizon: " + "; ".join(parts)


def bars_alt(
    forecasters: Sequence[Forecaster], values: Sequence[Floats], names: Sequence[str], what: str
) -> str:
    """Return where errors are largest, in words."""
    parts = [
        f"{one.name} is worst at {readable(names[at])} with {error_text(float(found[at]))}"
        for one, found in zip(forecasters, values, strict=True)
        if not np.isnan(found).all()
        for at in [int(np.nanargmax(found))]
    ]
    return f"{what}: " + "; ".join(parts)


def delta_alt(difference: Floats, rows: Sequence[str], better: tuple[str, str]) -> str:
    """Return where A is better and worse by most, in words."""
    if np.isnan(difference).all():
        return "There is nothing to compare."
    found = []
    for word, place in (("best", np.nanargmin(difference)), ("worst", np.nanargmax(difference))):
        row, step = np.unravel_index(place, difference.shape)
        found.append(
            f"{word} at {readable(rows[int(row)])}, step {int(step) + 1}, by "
            f"{error_text(abs(float(difference[row, step])))}"
        )
    share = float((difference < 0).sum() / (~np.isnan(difference)).sum())
    return (
        f"{better[0]} against {better[1]}: better in {100 * share:.0f} % of the cells; "
        + "; ".join(found)
    )
