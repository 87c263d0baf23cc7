"""Trade-offs of two figures, both the better the lower: the Pareto front and its hypervolume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nas_engine.objectives import COSTS
from pages._parts.analysis.axes import Numbers, sent
from pages._parts.analysis.fronts import Box, Point, hypervolumes
from pages._parts.analysis.points import (
    COST_RATIO,
    ERROR_RATIO,
    chosen_points,
    figure_axis,
    layout,
    points,
)
from pages._parts.figures import COLOURS, DASHES, MUTED
from pages._parts.live_chart import Figure
from pages._parts.selection import Key


@dataclass(frozen=True)
class Objective:
    """A figure to be low, and how Plotly writes it at an axis and on its own."""

    title: str
    tickformat: str = ".3~g"
    digits: str = ",.4~r"


OBJECTIVES: Mapping[str, Objective] = {
    "val_mse": Objective("val_mse"),
    "val_mae": Objective("val_mae"),
    "latency_ms": Objective("latency in ms"),
    "parameters": Objective("parameters", ".3~s", ",d"),
    "flops": Objective("FLOPs", ".3~s", ".4~s"),
    "seconds": Objective("seconds of training"),
    "memory_mb": Objective("memory in MB"),
}

Pair = tuple[str, str]
"""Two of `OBJECTIVES`: along x, and along y."""


def places(trials: pd.DataFrame, pair: Pair) -> list[Point]:
    """Return both figures of each trial."""
    return list(zip(trials[pair[0]].tolist(), trials[pair[1]].tolist(), strict=True))


def pareto_figure(
    trials: pd.DataFrame, pair: Pair, counts: pd.Series, chosen: Sequence[Key]
) -> Figure:
    """Draw trials by two figures, those that another one dominates muted, the front as stairs.

    Open: not accepted. Nothing was found below the stairs.

    Args:
        trials: (n) results that have both figures.
        pair: which figures.
        counts: how many others dominate a trial, with the index of `trials`.
        chosen: trials that stand out.
    """
    dominated = _points(trials[counts > 0], pair, counts, MUTED) | {"name": "dominated"}
    front = trials[counts == 0].sort_values(list(pair))
    stairs = _points(front, pair, counts, COLOURS[1]) | {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "Pareto front",
        "line": {"shape": "hv", "color": COLOURS[1], "width": 2},
    }
    stairs["marker"] |= {"size": 10, "opacity": 1.0}
    x, y = (trials[name].to_numpy(float) for name in pair)
    return {
        "data": [dominated, stairs, *chosen_points(trials, x, y, chosen)],
        "layout": layout(_axis(pair[0], x), _axis(pair[1], y), f"pareto-{'-'.join(pair)}")
        | {"showlegend": True},
    }


def hypervolume_figure(trials: pd.DataFrame, pair: Pair, within: Box) -> Figure:
    """Draw the hypervolume of each search over its trials by number, as a share of `within`.

    The area of `within` must be one that `measures`.
    """
    data = [
        _growth(f"search {search}", found.sort_values("number"), pair, within, place)
        for place, (search, found) in enumerate(trials.groupby("search"))
    ]
    plain = {"automargin": True, "zeroline": False}
    number = {"title": {"text": "trial", "standoff": 6}, "tickformat": "d", **plain}
    title = {"text": "hypervolume (higher is better)", "standoff": 8}
    share = {"title": title, "tickformat": ".0%", **plain}
    return {
        "data": data,
        "layout": layout(number, share, f"hypervolume-{'-'.join(pair)}")
        | {"showlegend": len(data) > 1},
    }


def _axis(name: str, values: Numbers) -> dict[str, Any]:
    objective = OBJECTIVES[name]
    far = COST_RATIO if name in COSTS else ERROR_RATIO
    return figure_axis(objective.title, values, objective.tickformat, far)


def _points(trials: pd.DataFrame, pair: Pair, counts: pd.Series, colour: str) -> dict[str, Any]:
    x, y = (OBJECTIVES[name] for name in pair)
    hover = f"{x.title} %{{x:{x.digits}}}<br>{y.title} %{{y:{y.digits}}}<br>dominated by %{{text}}"
    at = [trials[name].to_numpy(float) for name in pair]
    return points(trials, at[0], at[1], hover, colour) | {"text": counts.loc[trials.index].tolist()}


def _growth(name: str, trials: pd.DataFrame, pair: Pair, within: Box, place: int) -> dict[str, Any]:
    """Return the line of one search (n trials, by number): where it grows, and its end."""
    shares = np.array(hypervolumes(places(trials, pair), within.reference)) / within.area
    kept = np.r_[True, shares[1:] > shares[:-1]]
    kept[-1] = True
    return {
        "type": "scatter",
        "mode": "lines" if len(trials) > 1 else "markers",
        "name": name,
        "x": trials["number"].to_numpy()[kept].tolist(),
        "y": sent(shares[kept]),
        "line": {
            "shape": "hv",
            "width": 2,
            "color": COLOURS[place % len(COLOURS)],
            "dash": DASHES[place // len(COLOURS) % len(DASHES)],
        },
        "hovertemplate": f"{name}, trial %{{x}}: %{{y:.1%}}<extra></extra>",
    }
