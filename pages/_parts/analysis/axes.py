"""How values are laid out along an axis: by size, by order, or as categories."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from informer.config import Choices, Interval, Value, fields
from pages._parts.text import readable, value_text

# From blue to orange: told apart with any colour vision, its lightness rises all the way, and all
# of it can be seen on a white and on a dark background.
SCALE = [[0.0, "#2563EB"], [0.33, "#8A63D2"], [0.67, "#D9658B"], [1.0, "#F29A38"]]
_LONG = 18  # characters of a name
_FEW = 8  # values of a number that are all written at the axis

Numbers = NDArray[np.floating[Any]]


Kind = Literal["number", "log", "ordered", "category"]


@dataclass(frozen=True)
class Axis:
    """Where each trial lies along a setting.

    `places` is (n), NaN where a trial has no value: the number itself (number, log), or the
    position of the value among those of `ticks` (ordered, category). `ticks` are places with their
    text; none: the axis finds its own.
    """

    key: str
    name: str
    kind: Kind
    places: Numbers
    ticks: tuple[tuple[float, str], ...]

    @property
    def even(self) -> bool:
        """Whether values stand at even distances, whatever their size."""
        return self.kind in ("ordered", "category")

    def layout(self) -> dict[str, Any]:
        """Return the axis as a Plotly x or y axis."""
        layout: dict[str, Any] = {
            "title": {"text": self.name, "standoff": 6},
            **(log_axis(self.places) if self.kind == "log" else {"type": "linear"}),
            "tickformat": "~g",
            "automargin": True,
            "zeroline": False,
        }
        if self.ticks:
            layout |= {
                "tickmode": "array",
                "tickvals": [place for place, _ in self.ticks],
                "ticktext": [text for _, text in self.ticks],
            }
        if self.even:
            layout |= {"range": [-0.6, len(self.ticks) - 0.4], "showgrid": False}
        return layout

    def texts(self) -> list[str]:
        """Return the value (n) of each trial as it is written at the axis."""
        written = dict(self.ticks)
        return [written.get(place, f"{place:.4g}") for place in self.places.tolist()]

    def moved(self, steps: Numbers) -> Numbers:
        """Return the places (n), moved by shares of the least room between two ticks."""
        places = np.log(self.places) if self.kind == "log" else self.places
        ticks = np.array([place for place, _ in self.ticks])
        room = np.diff(np.log(ticks) if self.kind == "log" else ticks).min(initial=np.inf)
        places = places + steps * (room if np.isfinite(room) else 1.0)
        return np.exp(places) if self.kind == "log" else places


def axis(key: str, values: pd.Series, name: str) -> Axis:
    """Lay the values (n) of a setting along an axis.

    Numbers that planners draw from an interval stand by their size, on a log scale where the
    setting's definition says so; of other numbers, a few stand in order, at even distances.
    Categories stand in the order of the definition. What is listed there keeps its place when
    trials are added.
    """
    search = fields()[key].search if key in fields() else None
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return _even(
            key, name, "category", values, fields()[key].options if key in fields() else ()
        )
    places = values.to_numpy(float)
    distinct = np.unique(places[np.isfinite(places)])
    listed = search.values if isinstance(search, Choices) else ()
    if not isinstance(search, Interval) and len(distinct) <= _FEW:
        return _even(key, name, "ordered", values, sorted({*listed, *distinct.tolist()}, key=float))
    few = len(distinct) <= _FEW
    ticks = tuple((float(place), f"{place:g}") for place in distinct) if few else ()
    log = isinstance(search, Interval) and search.log and bool((distinct > 0).all())
    return Axis(key, name, "log" if log and len(distinct) else "number", places, ticks)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return a short name for each dotted key, no two alike, safe where Plotly reads tags.

    The last word of the key, with as many before it as it takes; of a long one, the middle goes.
    """
    names = {key: key for key in keys}
    for words in range(max((key.count(".") for key in keys), default=0), 0, -1):
        tails = {key: ".".join(key.split(".")[-words:]) for key in keys}
        names |= _single(tails)
    half = (_LONG - 1) // 2
    cut = {
        key: name if len(name) <= _LONG else f"{name[:half]}…{name[-half:]}"
        for key, name in names.items()
    }
    return {key: html.escape(readable(name)) for key, name in (names | _single(cut)).items()}


def colours(values: Numbers, title: str) -> dict[str, Any]:
    """Return the colour axis of errors (n): blue is best; the worst twentieth shares a colour."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), np.quantile(finite, 0.95)) if len(finite) else (0.0, 1.0)
    return {
        "colorscale": SCALE,
        "cmin": float(f"{low:.6g}"),
        "cmax": float(f"{high if high > low else low + 1e-6:.6g}"),
        "colorbar": {
            "title": {"text": title, "side": "right"},
            "thickness": 10,
            "outlinewidth": 0,
            "tickformat": ".3~g",
            "nticks": 6,
        },
    }


def log_axis(values: Numbers) -> dict[str, Any]:
    """Return what makes a Plotly axis of positive numbers (n) a log axis whose ticks have room."""
    decades = np.log10(np.nanmax(values)) - np.log10(np.nanmin(values))
    return {"type": "log", "dtick": "D2" if decades < 1.5 else 1}


def sent(values: Numbers) -> list[float | None]:
    """Return numbers (n) as they go to the browser: six digits, None where there is none."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]


def _even(
    key: str, name: str, kind: Kind, values: pd.Series, listed: Sequence[Value] | None
) -> Axis:
    """Give each value a position: first those listed, then the others by their text."""
    codes, levels = pd.factorize(values)  # -1 where there is no value
    order = [*(listed or ()), *sorted(set(levels).difference(listed or ()), key=str)]
    positions = {value: position for position, value in enumerate(order)}
    places = np.array([*(positions[level] for level in levels), np.nan], dtype=float)[codes]
    ticks = tuple((float(place), _cut(value_text(value))) for place, value in enumerate(order))
    return Axis(key, name, kind, places, ticks)


def _single(names: dict[str, str]) -> dict[str, str]:
    """Return those whose name is no other's."""
    counts = Counter(names.values())
    return {key: name for key, name in names.items() if counts[name] == 1}


def _cut(text: str) -> str:
    return html.escape(text if len(text) <= _LONG else f"{text[: _LONG - 1]}…")
