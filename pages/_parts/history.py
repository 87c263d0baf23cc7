"""The history of a search: val_mse of every trial, the best so far, and what came to nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from nas_engine.objectives import Objective
from nas_engine.store.rows import BaselineRow
from nas_engine.store.table import Results
from pages._parts.figures import (
    COLOURS,
    MUTED,
    baseline_lines,
    colour_place,
    layout,
    near,
    of_split,
)
from pages._parts.live_chart import Figure

MOST_POINTS = 1000
"""Drawn one by one; of more trials, those that stand out in each of `COLUMNS` parts."""
COLUMNS = 250
_BEYOND = 3.0  # times the upper tenth: what is higher would flatten all else

OPEN = ("proposed", "queued", "running", "stalled", "paused")
_FOOT = {  # what trials without a result are called and marked by, and their states
    "open": ("triangle-right-open", OPEN),
    "pruned": ("line-ns-open", ("pruned",)),
    "stopped": ("square-open", ("stopped",)),
    "no result": ("x-thin-open", ("completed", "failed", "crashed", "rejected")),
}


AtMost = tuple[tuple[Objective, float], ...]
"""Bounds that a trial must keep, each a figure of `Results`."""


def history(
    results: Results,
    baselines: Sequence[BaselineRow],
    incumbent: int | None,
    log: bool = False,
    at_most: AtMost = (),
) -> Figure:
    """Draw val_mse by trial, the best so far, the baselines, and the trials without a result.

    Args:
        results: of one search.
        baselines: of the search; those near enough to be drawn beside the trials are.
        incumbent: number of the best accepted trial, which is marked and named.
        log: whether errors have a logarithmic axis.
        at_most: bounds; trials that break them are marked, and no best so far.
    """
    beyond = beyond_bounds(results, at_most)
    last = max(results.number, default=0)
    scored = [at for at, value in enumerate(results.val_mse) if value is not None]
    values = [value for value in results.val_mse if value is not None]
    top = ceiling(values)
    rivals = near(of_split(baselines, "val"), [min(value, top) for value in values], "val_mse")
    data: list[dict[str, Any]] = []
    if scored:
        drawn = worth_drawing(results, scored)
        within = [at for at in scored if at not in beyond]
        data += [_best_so_far(results, within, last)] if within else []
        data += _dots(results, drawn, incumbent, top, beyond)
    data += (foot := _at_the_foot(results))
    figure = layout("Trial", "val_mse", f"history-{log}")
    figure["shapes"] = baseline_lines(rivals, "val_mse")
    figure["xaxis"] |= {"range": [-0.6, max(last, 4) + 0.6], "tickformat": "d", "zeroline": False}
    if last < 12:
        figure["xaxis"]["dtick"] = 1
    if log:
        figure["yaxis"]["type"] = "log"
    if foot:  # a strip of its own below the scale of errors
        figure["yaxis"]["domain"] = [0.1, 1]
        figure["yaxis2"] = {"domain": [0, 0.08], "visible": False, "fixedrange": True}
        figure["xaxis"]["anchor"] = "y2"
    return {"data": data, "layout": figure}


def beyond_bounds(results: Results, at_most: AtMost) -> set[int]:
    """Return the positions of the trials that are known to break a bound."""
    return {
        at
        for name, bound in at_most
        for at, value in enumerate(getattr(results, name))
        if value is not None and value > bound
    }


def history_text(results: Results, incumbent: int | None) -> str:
    """Return in words what the history shows."""
    values = [value for value in results.val_mse if value is not None]
    count = len(results.number)
    if not values:
        return f"val_mse of {count:,} trials, none of which has a result"
    best = f"; the best is {min(values):.4g}"
    accepted = "" if incumbent is None else f", trial {incumbent} is the incumbent"
    return f"val_mse of {len(values):,} of {count:,} trials{best}{accepted}"


def history_notes(results: Results) -> list[str]:
    """Return what the history leaves out or moves, a sentence each."""
    scored = [at for at, value in enumerate(results.val_mse) if value is not None]
    values = [value for value in results.val_mse if value is not None]
    top, notes = ceiling(values), []
    if len(drawn := worth_drawing(results, scored)) < len(scored):
        notes.append(
            f"{len(drawn):,} of {len(scored):,} results are drawn: all that were accepted, and the "
            f"best and the worst of each of {COLUMNS} parts."
        )
    if beyond := sum(value > top for value in values):
        notes.append(f"{beyond:,} beyond {top:.3g} are marked ▲ at the upper edge.")
    return notes


def ceiling(values: Sequence[float]) -> float:
    """Return the error up to which results are drawn where they are; infinity: all are."""
    if len(values) < 3:
        return float("inf")
    upper = sorted(values)[int(0.9 * (len(values) - 1))]
    return _BEYOND * upper if max(values) > _BEYOND * upper else float("inf")


def worth_drawing(results: Results, scored: Sequence[int]) -> list[int]:
    """Return the positions of the results that are drawn."""
    if len(scored) <= MOST_POINTS:
        return list(scored)
    kept = {at for at in scored if results.accepted[at]}
    errors = [0.0 if value is None else value for value in results.val_mse]
    for part in range(COLUMNS):
        block = scored[part * len(scored) // COLUMNS : (part + 1) * len(scored) // COLUMNS]
        kept |= {min(block, key=errors.__getitem__), max(block, key=errors.__getitem__)}
    return sorted(kept)


def _best_so_far(results: Results, scored: Sequence[int], last: int) -> dict[str, Any]:
    x: list[int] = []
    y: list[float] = []
    for at in scored:
        value = results.val_mse[at]
        if value is not None and (not y or value < y[-1]):
            x.append(results.number[at])
            y.append(value)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [*x, last],
        "y": [*y, y[-1]],
        "line": {"color": MUTED, "width": 2, "shape": "hv"},
        "hoverinfo": "skip",
    }


def _dots(
    results: Results,
    drawn: Sequence[int],
    incumbent: int | None,
    top: float,
    beyond: Collection[int],
) -> list[dict[str, Any]]:
    """Filled: accepted. Open: rejected. Star: the incumbent, which is also named."""
    groups: dict[str, list[int]] = {symbol: [] for symbol in _NAMES if symbol != "star"}
    stars = []
    for at in drawn:
        value = results.val_mse[at]
        if results.number[at] == incumbent:
            stars.append(at)
        elif value is not None and value > top:
            groups["triangle-up-open"].append(at)
        elif at in beyond:
            groups["x-open"].append(at)
        else:
            groups[_JUDGED[results.accepted[at]]].append(at)
    traces = [_markers(results, found, symbol, top) for symbol, found in groups.items() if found]
    for at in stars:
        star = _markers(results, [at], "star", top)
        star |= {"mode": "markers+text", "text": ["incumbent"], "textposition": "top center"}
        star["marker"]["size"] = 13
        traces.append(star)
    return traces


_NAMES = {
    "circle": "accepted",
    "circle-open": "rejected",
    "circle-open-dot": "not judged yet",
    "triangle-up-open": "beyond the scale",
    "x-open": "breaks the bounds",
    "star": "incumbent",
}


_JUDGED = {1: "circle", 0: "circle-open", None: "circle-open-dot"}


def _markers(results: Results, found: Sequence[int], symbol: str, top: float) -> dict[str, Any]:
    many = len(found) > 200
    numbers = [results.number[at] for at in found]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": _NAMES[symbol],
        "x": numbers,
        "y": [_rounded(min(results.val_mse[at] or 0.0, top)) for at in found],
        "customdata": [f"{results.search[at]}.{results.number[at]}" for at in found],
        "cliponaxis": False,
        # Colours as numbers of a scale: a tenth of the bytes of their names.
        "marker": {
            "symbol": symbol,
            "color": [
                colour_place(number, results.search[at])
                for at, number in zip(found, numbers, strict=True)
            ],
            "colorscale": _SCALE,
            "cmin": -0.5,
            "cmax": len(COLOURS) - 0.5,
            "size": 5 if many else 9,
            # An open symbol is its line, in the colour; a filled one would get a dark rim.
            "line": {"width": 0 if symbol in ("circle", "star") else 1 if many else 2},
        },
        "hovertemplate": f"trial %{{x}}, {_NAMES[symbol]}<br>val_mse %{{y:.4g}}<extra></extra>",
    }
    if symbol == "triangle-up-open":
        trace["text"] = [f"{results.val_mse[at]:.4g}" for at in found]
        trace["hovertemplate"] = "trial %{x}: val_mse %{text}<extra></extra>"
    if not many:
        trace["error_y"] = {
            "type": "data",
            "array": [results.spread[at] for at in found],
            "color": MUTED,
            "thickness": 1.2,
        }
    return trace


_SCALE = [
    [(at + side) / len(COLOURS), colour] for at, colour in enumerate(COLOURS) for side in (0, 1)
]


def _at_the_foot(results: Results) -> list[dict[str, Any]]:
    """Mark trials without a result at the foot of the chart, outside the scale of errors."""
    traces = []
    for name, (symbol, states) in _FOOT.items():
        found = [
            at
            for at, state in enumerate(results.state)
            if state in states and results.val_mse[at] is None
        ]
        if found:
            drawn = found[:: -(-len(found) // COLUMNS)]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": f"{name} ({len(found):,})",
                    "x": [results.number[at] for at in drawn],
                    "y": [0] * len(drawn),
                    "yaxis": "y2",
                    "customdata": [f"{results.search[at]}.{results.number[at]}" for at in drawn],
                    "marker": {"symbol": symbol, "size": 9, "color": MUTED, "line": {"width": 2}},
                    "hovertemplate": f"trial %{{x}}: {name}<extra></extra>",
                }
            )
    return traces


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
