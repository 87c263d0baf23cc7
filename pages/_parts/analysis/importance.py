"""Which settings matter: the share of the variance of val_mse that each explains alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pages._parts.analysis.axes import short_names
from pages._parts.figures import COLOURS, MUTED
from pages._parts.live_chart import Figure

ENOUGH = 20  # trials, below which shares are shown as unsure
MOST_BINS = 8  # of a numeric setting
MOST_BARS = 20
PAIRS = 15  # of halves, for an interval

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """The share that a setting explains, and the 10 % and 90 % quantiles of its estimate."""

    key: str
    share: float
    low: float
    high: float


def importance(settings: pd.DataFrame, errors: pd.Series, pairs: int = PAIRS) -> list[Importance]:
    """Return the settings with more than one value, the most important first.

    The share is epsilon squared, the correlation ratio corrected for its bias (Kelley 1935, PNAS
    21:554), of the rank of an error over the values of a setting, or over quantile bins of a number
    with many values; ranks, since a few diverged trials would else be all that counts. It is the
    first-order Sobol index over the configurations that were tried: effects that appear only
    together with another setting are not in it, and settings that were changed together share one.

    The interval is that of random halves of the trials, whose spread about the estimate is that of
    the estimate itself (the delete-d jackknife, Shao and Wu 1989, with d = n / 2). Trials drawn
    twice, as a plain bootstrap has them, would look like an effect.

    Args:
        settings: (n, settings) values.
        errors: (n) finite errors with the same index.
        pairs: how often the trials are split in halves; 0: the interval is the share alone. Where
            halves are too small to tell anything, it is all from 0 to 1.
    """
    groups = {key: _groups(settings[key]) for key in settings.columns}
    groups = {key: codes for key, codes in groups.items() if codes.max(initial=0) > 0}
    if not groups:
        return []
    ranks = errors.rank().to_numpy(float)
    ranks = (ranks - ranks.mean()) / (ranks.std() or 1.0)
    shares = _epsilon_squared(list(groups.values()), ranks, _halves(len(ranks), pairs))
    low, high = np.quantile(shares[:, 1:] if pairs else shares, (0.1, 0.9), axis=1)
    share, low, high = np.nan_to_num(shares[:, 0]), np.nan_to_num(low), np.nan_to_num(high, nan=1.0)
    found = [
        Importance(key, float(share[row]), float(low[row]), float(high[row]))
        for row, key in enumerate(groups)
    ]
    return sorted(found, key=lambda item: -item.share)


def importance_figure(found: Sequence[Importance], trials: int) -> Figure:
    """Draw the shares as bars with their intervals, the most important on top."""
    shown = list(found[:MOST_BARS])
    names = short_names([item.key for item in found])
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": "share of the variance explained", "standoff": 6},
            "tickformat": ".0%",
            "rangemode": "tozero",
            "automargin": True,
        },
        "yaxis": {
            "tickvals": list(range(len(shown))),
            "ticktext": [names[item.key] for item in shown],
            "range": [max(len(shown), 1) - 0.5, -0.5],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        "margin": {"l": 8, "r": 16, "t": 8, "b": 8},
        "bargap": 0.35,
        "uirevision": "importance",
    }
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [round(item.share, 4) for item in shown],
        "y": list(range(len(shown))),
        "marker": {"color": COLOURS[0] if trials >= ENOUGH else MUTED},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [round(max(item.high - item.share, 0.0), 4) for item in shown],
            "arrayminus": [round(max(item.share - item.low, 0.0), 4) for item in shown],
            "color": MUTED,
            "thickness": 1.5,
        },
        "hovertext": [
            f"{names[item.key]}: {item.share:.0%} ({item.low:.0%} to {item.high:.0%})"
            for item in shown
        ],
        "hoverinfo": "text",
    }
    return {"data": [bars], "layout": layout}


def importance_text(found: Sequence[Importance]) -> str:
    """Say in words what the figure shows, for those who cannot see it."""
    names = short_names([item.key for item in found])
    shares = ", ".join(f"{names[item.key]} {item.share:.0%}" for item in found[:6])
    return f"Share of the variance of val_mse that settings explain: {shares or 'none vary'}"


def _groups(values: pd.Series) -> NDArray[np.intp]:
    """Return a group (n) from 0 for each trial: its value, or the quantile bin of it."""
    codes, levels = pd.factorize(values, use_na_sentinel=False)
    bins = min(MOST_BINS, max(2, len(values) // 5))
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if len(levels) <= bins or not numeric:
        return codes
    ranks = values.rank(pct=True).fillna(1.0).to_numpy(float)
    return np.minimum((ranks * bins).astype(np.intp), bins - 1)


def _halves(trials: int, pairs: int) -> NDArray[np.bool_]:
    """Return which trials are in the first half of each split, (n, pairs), always the same."""
    drawn = np.random.default_rng(0).random((trials, pairs), dtype=np.float32)
    middle: NDArray[np.float32] = np.partition(drawn, (trials - 1) // 2, axis=0)[(trials - 1) // 2]
    return drawn <= middle


def _epsilon_squared(
    groups: Sequence[NDArray[np.intp]], values: Matrix, halves: NDArray[np.bool_]
) -> Matrix:
    """Return epsilon squared, not below 0, by setting: of all trials, then of each half.

    It is NaN where there are as many groups as trials, and 0 where no values differ.

    Args:
        groups: for each setting, the group (n) of each trial.
        values: (n) with mean 0.
        halves: (n, pairs): which trials are in the first half of each split.
    """
    trials = len(halves)
    first = np.cumsum([0, *(codes.max() + 1 for codes in groups)])
    member = np.zeros((trials, first[-1]), dtype=np.float32)
    for start, codes in zip(first, groups, strict=False):
        member[np.arange(trials), start + codes] = 1
    subsets = np.column_stack([np.ones(trials), halves]).astype(np.float32)
    told = np.column_stack([subsets, subsets * values[:, None].astype(np.float32)])
    table = (member.T @ told).astype(float)  # one product of matrices: all else is small
    counts, sums = (_with_other_halves(part) for part in np.split(table, 2, axis=1))
    squares = _with_other_halves((values**2 @ subsets)[None])

    def over_groups(figures: Matrix) -> Matrix:
        return np.add.reduceat(figures, first[:-1], axis=0)

    size = over_groups(counts)
    mean = over_groups(sums) ** 2 / size
    spread = squares - mean
    between = over_groups(sums**2 / np.maximum(counts, 1)) - mean
    free = size - over_groups((counts > 0).astype(float))
    differ = spread > 1e-6
    within = (spread - between) / np.where(free > 0, free, np.nan)
    share = 1 - within / np.where(differ, spread / np.maximum(size - 1, 1), 1)
    return np.where(differ, np.clip(share, 0, 1), 0)


def _with_other_halves(figures: Matrix) -> Matrix:
    """Return sums over all trials and first halves with those over the other halves."""
    return np.column_stack([figures, figures[:, :1] - figures[:, 1:]])
