"""The Pareto front of a search and the growth of its hypervolume as figures: pure functions."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from nas_engine.amounts import amount, in_a_sentence
from nas_engine.front import Growth, figures, keeps
from nas_engine.objectives import MEASURES, Objective
from nas_engine.search import SearchSpec
from nas_engine.store.outcomes import Outcome
from nas_engine.store.rows import BaselineRow
from pages._parts.figures import COLOURS, MUTED, baseline_lines, layout, near, of_split
from pages._parts.history import OPEN, ceiling
from pages._parts.live_chart import Figure
from pages._parts.states import SOURCES
from pages._parts.text import error_text

MOST_POINTS = 600
"""Drawn beside the front; of more trials, the best and the worst of each of `PARTS` costs."""
PARTS = 250
_WIDE = 4.0  # costs that span this ratio stand on a log scale
_ABOVE = 1.15  # times the worst error of front and start
_ROOM = 0.06  # of an axis, on either side of what is drawn


# -- the front ----------------------------------------------------------------------------------


def front_figure(
    trials: Sequence[Outcome],
    members: Sequence[Outcome],
    cost: Objective,
    spec: SearchSpec,
    baselines: Sequence[BaselineRow] = (),
) -> Figure:
    """Draw the error over a cost: the front as stairs, what it dominates, what breaks the bounds.

    Nothing that was accepted lies below the stairs. Where a search has a third objective, members
    that are worth keeping for it alone lie above them. At the foot stand trials without an error
    whose cost is known: those that train, and those that were too dear to be trained.

    Args:
        trials: of one search, with exact costs of those that have not ended.
        members: those of them on the front, by error.
        cost: what lies along x.
        spec: of the search.
        baselines: forecasts without training; those near enough to be drawn are.
    """
    scored = [row for row in trials if figures(row, ("val_mse", cost)) is not None]
    foot = [row for row in trials if row.val_mse is None and getattr(row, cost) is not None]
    errors = [row.val_mse for row in scored if row.val_mse is not None]
    top = _top(scored, members)
    drawn = worth_drawing(scored, members, cost)
    data = [*_others(drawn, members, cost, spec, top), *_stairs(members, cost, spec)]
    data += (below := _at_the_foot(foot, cost))
    costs = [value for row in (*drawn, *foot) if (value := getattr(row, cost)) is not None]
    bound = spec.at_most.get(cost)
    figure = layout(axis_title(cost), "val_mse", f"front-{cost}")
    figure["xaxis"] |= (along := _along(cost, costs, bound))
    figure["shapes"] = baseline_lines(
        near(of_split(baselines, "val"), [min(value, top) for value in errors], "val_mse"),
        "val_mse",
    )
    if bound is not None:
        figure["shapes"] += _bound(cost, bound, along)
    if below:  # a strip of its own below the scale of errors
        figure["yaxis"]["domain"] = [0.1, 1]
        figure["yaxis2"] = {"domain": [0, 0.08], "visible": False, "fixedrange": True}
        figure["xaxis"]["anchor"] = "y2"
    return {"data": data, "layout": figure | {"showlegend": True}}


def front_text(
    trials: Sequence[Outcome], members: Sequence[Outcome], cost: Objective, spec: SearchSpec
) -> str:
    """Return in words what the figure shows."""
    scored = sum(row.val_mse is not None for row in trials)
    head = f"val_mse over {axis_title(cost)} of {scored:,} trials"
    if not members:
        return f"{head}; the front is empty"
    ends = [min(members, key=lambda row: getattr(row, name)) for name in ("val_mse", cost)]
    told = " to ".join(
        f"trial {row.number} ({error_text(row.val_mse)}, {amount(cost, getattr(row, cost))})"
        for row in ends
    )
    return f"{head}; {len(members)} are on the front, from {told}"


def axis_title(name: Objective) -> str:
    """Return what an axis of an objective is called."""
    unit = MEASURES[name].unit
    return f"{in_a_sentence(name)} in {unit}" if unit else in_a_sentence(name)


def worth_drawing(
    scored: Sequence[Outcome], members: Sequence[Outcome], cost: Objective
) -> list[Outcome]:
    """Return the trials with a result that are drawn: all, or the outline of many."""
    if len(scored) <= MOST_POINTS:
        return list(scored)
    by_cost = sorted(scored, key=lambda row: getattr(row, cost))
    kept = {row.number for row in members} | {0}
    for part in range(PARTS):
        block = by_cost[part * len(scored) // PARTS : (part + 1) * len(scored) // PARTS]
        kept |= {pick(block, key=_error).number for pick in (min, max)}
    return [row for row in scored if row.number in kept]


def _top(scored: Sequence[Outcome], members: Sequence[Outcome]) -> float:
    """Return the error up to which trials are drawn where they are: a bit above front and start."""
    shown = [_error(row) for row in (*members, *(row for row in scored if row.number == 0))]
    return min(ceiling([_error(row) for row in scored]), _ABOVE * max(shown, default=math.inf))


def _error(row: Outcome) -> float:
    return math.inf if row.val_mse is None else row.val_mse


def _stairs(members: Sequence[Outcome], cost: Objective, spec: SearchSpec) -> list[dict[str, Any]]:
    """Return the stairs through the members that are best in error and cost, and all members."""
    if not members:
        return []
    by_cost = sorted(members, key=lambda row: (getattr(row, cost), _error(row)))
    steps = [by_cost[0]]
    for row in by_cost[1:]:
        if _error(row) < _error(steps[-1]):
            steps.append(row)
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [_rounded(getattr(row, cost)) for row in steps],
        "y": [_rounded(row.val_mse) for row in steps],
        "line": {"shape": "hv", "color": COLOURS[1], "width": 2},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    best = min(members, key=_error)
    marks = []
    for name, symbol, rows in (
        ("front", "circle", [row for row in members if row is not best]),
        ("lowest error", "star", [best]),
    ):
        if rows:
            trace = _markers(name, symbol, rows, cost, spec, COLOURS[1])
            trace["marker"] |= {"size": 10 if symbol == "circle" else 14, "line": {"width": 0}}
            trace["error_y"] = {
                "type": "data",
                "array": [row.spread for row in rows],
                "color": MUTED,
                "thickness": 1.2,
            }
            marks.append(trace)
    return [line, *marks]


def _others(
    drawn: Sequence[Outcome],
    members: Sequence[Outcome],
    cost: Objective,
    spec: SearchSpec,
    top: float,
) -> list[dict[str, Any]]:
    """Return the trials beside the front, by what keeps them off it; trial 0 has its name."""
    on = {row.number for row in members}
    groups: dict[str, list[Outcome]] = {name: [] for name in _KINDS}
    for row in drawn:
        if row.number in on or row.number == 0:
            continue
        groups[_kind(row, spec, top)].append(row)
    traces = [
        _markers(name, _KINDS[name], rows, cost, spec, COLOURS[3] if name == BEYOND else MUTED, top)
        for name, rows in groups.items()
        if rows
    ]
    start = [row for row in drawn if row.number == 0 and row.number not in on]
    if start:
        trace = _markers("start", "diamond-open", start, cost, spec, COLOURS[0], top)
        trace |= {"mode": "markers+text", "text": ["trial 0"], "textposition": "middle right"}
        trace |= {"showlegend": False}
        traces.append(trace)
    return traces


BEYOND = "breaks the bounds"
_KINDS = {
    "dominated": "circle",
    "rejected": "circle-open",
    "not judged yet": "circle-open-dot",
    BEYOND: "x-open",
    "beyond the scale": "triangle-up-open",
}


def _kind(row: Outcome, spec: SearchSpec, top: float) -> str:
    if row.val_mse is not None and row.val_mse > top:
        return "beyond the scale"
    if spec.at_most and not keeps(row, spec.at_most):
        return BEYOND
    if row.accepted is None:
        return "not judged yet"
    return "dominated" if row.accepted else "rejected"


def _markers(
    name: str,
    symbol: str,
    rows: Sequence[Outcome],
    cost: Objective,
    spec: SearchSpec,
    ink: str,
    top: float = math.inf,
) -> dict[str, Any]:
    many = len(rows) > 200
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [_rounded(getattr(row, cost)) for row in rows],
        "y": [_rounded(min(_error(row), top)) for row in rows],
        "customdata": [row.name for row in rows],
        "hovertext": [hover(row, spec) for row in rows],
        "cliponaxis": False,
        "marker": {
            "symbol": symbol,
            "size": 5 if many else 8,
            "color": ink,
            "line": {"width": 0 if symbol in ("circle", "star") else 1 if many else 2},
        },
        "hovertemplate": f"%{{hovertext}}<br>{name}<extra></extra>",
    }


def hover(row: Outcome, spec: SearchSpec) -> str:
    """Return a trial's number, source and figures, a line each."""
    told = [
        amount(name, value) for name in spec.counted if (value := getattr(row, name)) is not None
    ]
    return "<br>".join([f"trial {row.number}, {SOURCES.get(row.source, row.source)}", *told])


_FOOT = {"not ended": "triangle-right-open", "too slow": "x-open"}


def _at_the_foot(rows: Sequence[Outcome], cost: Objective) -> list[dict[str, Any]]:
    traces = []
    for name, found in (
        ("not ended", [row for row in rows if row.state in OPEN]),
        ("too slow", [row for row in rows if row.state == "pruned"]),
    ):
        if found:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": f"{name} ({len(found):,})",
                    "x": [_rounded(getattr(row, cost)) for row in found],
                    "y": [0] * len(found),
                    "yaxis": "y2",
                    "customdata": [row.name for row in found],
                    "hovertext": [
                        f"trial {row.number}, {SOURCES.get(row.source, row.source)}<br>"
                        f"{amount(cost, getattr(row, cost))}"
                        for row in found
                    ],
                    "marker": {
                        "symbol": _FOOT[name],
                        "size": 9,
                        "color": MUTED,
                        "line": {"width": 2},
                    },
                    "hovertemplate": f"%{{hovertext}}<br>{name}<extra></extra>",
                }
            )
    return traces


def _along(cost: Objective, costs: Sequence[float], bound: float | None) -> dict[str, Any]:
    """Return the axis of a cost: as wide as what is drawn and the bound, log where that is far."""
    ends = [value for value in (*costs, *([] if bound is None else [bound])) if value > 0]
    counted = MEASURES[cost].exact
    axis: dict[str, Any] = {"zeroline": False, "tickformat": ".3~s" if counted else ".3~g"}
    if not ends:
        return axis
    low, high = min(ends), max(ends)
    if high / low >= _WIDE:
        low, high = math.log10(low), math.log10(high)
        axis |= {"type": "log", "dtick": "D2" if high - low < 1.5 else 1}
    room = _ROOM * (high - low) or 0.1 * abs(high) or 0.1
    return axis | {"range": [low - room, high + room]}


def _bound(cost: Objective, bound: float, along: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the line of a bound, and a light shade over what lies beyond it."""
    end = along["range"][1]
    return [
        {
            "type": "rect",
            "yref": "paper",
            "x0": bound,
            "x1": 10**end if along.get("type") == "log" else end,
            "y0": 0,
            "y1": 1,
            "layer": "below",
            "line": {"width": 0},
            "fillcolor": COLOURS[3],
            "opacity": 0.08,
        },
        {
            "type": "line",
            "yref": "paper",
            "x0": bound,
            "x1": bound,
            "y0": 0,
            "y1": 1,
            "layer": "below",
            "line": {"color": COLOURS[3], "width": 1.4, "dash": "dot"},
            "label": {
                "text": f"at most {amount(cost, bound)}",
                "textposition": "end",
                "textangle": 0,
                "xanchor": "right",
                "font": {"size": 10, "color": MUTED},
            },
        },
    ]


# -- hypervolume --------------------------------------------------------------------------------


def growth_figure(
    found: Sequence[Growth], ended: Sequence[float], began: float | None = None
) -> Figure:
    """Draw the share of the box that the front dominates, where it grew, to the last trial.

    Args:
        found: where it grew, by time.
        ended: when each trial ended, by time.
        began: draw over the hours since this moment; None: over the trials that had ended.
    """
    moments = [*(step.ended_at for step in found), *ended[-1:]]
    shares = [*(step.share for step in found), *([found[-1].share] if found else [])]
    numbers = [*(step.number for step in found), found[-1].number if found else 0]
    if began is None:
        x: list[float] = [bisect_right(ended, moment) for moment in moments]
    else:
        x = [_rounded((moment - began) / 3600) for moment in moments]
    figure = layout("trials ended" if began is None else "hours", "", f"growth-{began is None}")
    figure["xaxis"] |= {"tickformat": "d" if began is None else ".3~g", "rangemode": "tozero"}
    figure["yaxis"] |= {
        "title": {"text": "hypervolume (higher is better)", "standoff": 8},
        "tickformat": ".0%",
        "rangemode": "tozero",
    }
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(found) <= 60 else "lines",
            "name": "hypervolume",
            "x": x,
            "y": [_rounded(share) for share in shares],
            "text": numbers,
            "line": {"shape": "hv", "color": COLOURS[1], "width": 2},
            "marker": {"size": [*[6] * len(found), 0]},
            "hovertemplate": "%{y:.1%} since trial %{text}<extra></extra>",
        }
    ]
    return {"data": data if found else [], "layout": figure}


def growth_text(found: Sequence[Growth], ended: Sequence[float]) -> str:
    """Return in words how the hypervolume grew."""
    if not found:
        return f"Hypervolume of {len(ended):,} trials that have ended: 0 %"
    last = found[-1]
    after = f"{last.share:.1%} after {len(ended):,} trials"
    return f"Hypervolume: {after}; last grown by trial {last.number}"


def _rounded(value: float | None) -> float:
    return float(f"{value:.6g}")
