"""How errors are distributed: the empirical distribution function of val_mse, by group."""

from __future__ import annotations

import html
from typing import Any, Literal

import numpy as np
import pandas as pd

from pages._parts.analysis.axes import sent
from pages._parts.analysis.points import figure_axis, layout
from pages._parts.figures import COLOURS, DASHES
from pages._parts.live_chart import Figure
from pages._parts.states import SOURCES
from pages._parts.text import readable

_STEPS = 400  # of a line, beyond which a screen shows no more
MOST_LINES = 20

By = Literal["search", "source"]


def distribution_figure(results: pd.DataFrame, by: By) -> Figure:
    """Draw the share of a group's trials with a val_mse of at most x, among those that have one.

    The legend counts them, and the trials without one. Of more than `MOST_LINES` groups, those
    with the most trials are drawn, which `lines_cut` tells.

    Args:
        results: all trials in scope.
        by: what makes a group.
    """
    most = _with_result(results, by)[:MOST_LINES]
    groups = {name: results.loc[results[by] == name, "val_mse"] for name in sorted(most)}
    data = [
        _steps(f"{group_name(name, by)}: {_counted(errors)}", errors.dropna().sort_values(), place)
        for place, (name, errors) in enumerate(groups.items())
    ]
    share = {
        "title": {"text": "share of trials", "standoff": 8},
        "range": [0, 1.02],
        "tickformat": ".0%",
        "automargin": True,
    }
    errors = figure_axis("val_mse", results["val_mse"].to_numpy(float))
    revision = f"distribution-{by}"
    return {"data": data, "layout": layout(errors, share, revision) | {"showlegend": True}}


def distribution_text(results: pd.DataFrame, by: By) -> str:
    """Say in words what the figure shows: the median of each group."""
    medians = results.groupby(by)["val_mse"].median().dropna().sort_values()
    groups = ", ".join(
        f"{group_name(group, by)} {median:.4g}" for group, median in medians.head(8).items()
    )
    return f"Distribution of val_mse by {by}; medians: {groups or 'none'}"


def lines_cut(results: pd.DataFrame, by: By) -> str:
    """Say that not all groups are drawn; empty where all are."""
    groups = len(_with_result(results, by))
    if groups <= MOST_LINES:
        return ""
    return f"{MOST_LINES} of {groups:,} lines are drawn: those of the most trials."


def group_name(group: Any, by: By) -> str:
    """Return a group as a legend names it."""
    if by == "search":
        return f"search {group}"
    return html.escape(readable(SOURCES.get(group, str(group))))


def _with_result(results: pd.DataFrame, by: By) -> pd.Index[Any]:
    """Return the groups that have a trial with a val_mse, that of the most first."""
    return results.loc[results["val_mse"].notna(), by].value_counts().index


def _counted(errors: pd.Series) -> str:
    lost = int(errors.isna().sum())
    trials = f"{errors.count():,} trial{'' if errors.count() == 1 else 's'}"
    return f"{trials}, {lost:,} without a result" if lost else trials


def _steps(name: str, errors: pd.Series, place: int) -> dict[str, Any]:
    """Return the line of sorted errors (n > 0), through at most `_STEPS` of its steps."""
    at = np.unique(np.linspace(0, len(errors) - 1, _STEPS).round().astype(int))
    return {
        "type": "scatter",
        "mode": "lines" if len(errors) > 1 else "lines+markers",
        "name": name,
        "x": sent(errors.to_numpy(float)[np.r_[0, at]]),
        "y": sent(np.r_[0, (at + 1) / len(errors)]),
        "line": {
            "shape": "hv",
            "width": 2,
            "color": COLOURS[place % len(COLOURS)],
            "dash": DASHES[place // len(COLOURS) % len(DASHES)],
        },
        "hovertemplate": "%{y:.0%} have at most %{x:.4g}",
    }
