"""Trials as points of a chart: a click tells which one it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pages._parts.analysis.axes import Numbers, log_axis, sent
from pages._parts.figures import COLOURS, MUTED
from pages._parts.figures import colour as trial_colour
from pages._parts.selection import Key, reference_of

MOST_DRAWN = 1000  # of a chart. More need WebGL, which lies above all else and soon runs out
ERROR_RATIO, COST_RATIO = 20.0, 4.0
"""Figures that span this ratio stand on a log scale: a model of twice the size costs one step."""


def evenly(trials: int) -> NDArray[np.intp]:
    """Return the rows of at most `MOST_DRAWN` trials at even distances, from first to last."""
    return np.linspace(0, trials - 1, min(trials, MOST_DRAWN)).round().astype(np.intp)


def points(
    trials: pd.DataFrame, x: Numbers, y: Numbers, hover: str, colour: str = COLOURS[0]
) -> dict[str, Any]:
    """Return trials (n) as points at `x`, `y` (n). Filled: accepted. Open: not.

    `hover` is a Plotly template for what follows the name of a trial.
    """
    accepted = trials["accepted"].to_numpy(float) == 1
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "trials",
        "x": sent(x),
        "y": sent(y),
        "customdata": trials.index.tolist(),
        "marker": {
            "symbol": np.where(accepted, "circle", "circle-open").tolist(),
            "size": 7,
            "color": colour,
            "opacity": 0.75,
            "line": {"width": 1.2, "color": colour},
        },
        "hovertemplate": f"trial %{{customdata}}<br>{hover}<extra></extra>",
    }


def chosen_points(
    trials: pd.DataFrame, x: Numbers, y: Numbers, chosen: Sequence[Key]
) -> list[dict[str, Any]]:
    """Return those of the trials (n) that are chosen as diamonds in their own colours, if any."""
    names = {reference_of(trial): trial for trial in chosen}
    at = np.flatnonzero(trials.index.isin(list(names)))
    found = [names[ref] for ref in trials.index[at]]
    if not found:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "chosen",
            "x": sent(x[at]),
            "y": sent(y[at]),
            "customdata": [reference_of(trial) for trial in found],
            "marker": {
                "symbol": "diamond",
                "size": 12,
                "color": [trial_colour(number, search) for search, number in found],
                "line": {"width": 1.5, "color": MUTED},
            },
            "hovertemplate": "chosen: trial %{customdata}<extra></extra>",
        }
    ]


def layout(x: dict[str, Any], y: dict[str, Any], revision: str) -> dict[str, Any]:
    """Return the layout of a chart with these axes; zoom is kept while `revision` is the same."""
    return {
        "xaxis": x,
        "yaxis": y,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8, "pad": 2},
        "hovermode": "closest",
        "uirevision": revision,
    }


def figure_axis(
    title: str, values: Numbers, tickformat: str = ".3~g", far: float = ERROR_RATIO
) -> dict[str, Any]:
    """Return an axis of figures (n) that are better when lower; log where they span `far`."""
    finite = values[np.isfinite(values)]
    wide = len(finite) > 0 and finite.min() > 0 and finite.max() / far > finite.min()
    return {
        "title": {"text": f"{title} (lower is better)", "standoff": 8},
        **(log_axis(finite) if wide else {"type": "linear"}),
        "tickformat": tickformat,
        "automargin": True,
        "zeroline": False,
    }
