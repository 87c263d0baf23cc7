"""When each slot trained what, over the whole life of a search."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nas_engine.store.rows import BarRow
from pages._parts.figures import layout
from pages._parts.live_chart import Figure
from pages._parts.states import TRIAL_STATES
from pages._parts.text import seconds_text

PARTS = 400
"""Neighbours in a slot, of one state, that a screen could not tell apart are drawn as one bar."""

COLOURS = {  # of Optuna's timeline, as far as it has these states; each also has a pattern
    "running": "#3B82F6",
    "completed": "#12A87B",
    "pruned": "#E08A00",
    "stopped": "#7C8799",
    "failed": "#E5484D",
    "crashed": "#DB4C95",
}
EDGE = "rgba(128, 136, 148, 0.9)"  # between bars, on light and on dark
PATTERNS = {"pruned": "/", "stopped": "-", "failed": "x", "crashed": ".", "running": "|"}


@dataclass(frozen=True)
class Bar:
    """What a slot did for a while: one training, or several of one state that adjoin."""

    slot: int
    state: str
    start: float
    end: float
    first: int  # trial
    last: int
    count: int
    kind: str  # of its trainings, see RunRow


def merged(rows: Sequence[BarRow], now: float) -> list[Bar]:
    """Return what is drawn: no two alike in slot, state and kind nearer than a part of the whole.

    Args:
        rows: trainings in order of their start.
        now: where a training that goes on ends for the moment, in seconds since the epoch.
    """
    if not rows:
        return []
    spans = [(row, max(row.started_at, row.ended_at or now)) for row in rows]
    width = (max(end for _, end in spans) - rows[0].started_at) / PARTS
    open_bars: dict[tuple[int, str, str], Bar] = {}
    bars: list[Bar] = []
    for row, end in spans:
        slot = -1 if row.slot is None else row.slot
        key = slot, row.state, row.kind
        before = open_bars.get(key)
        short = before is not None and end - before.start < width
        if before is not None and short and row.started_at - before.end < width:
            open_bars[key] = Bar(
                *(slot, row.state, before.start, max(before.end, end), before.first),
                *(row.number, before.count + 1, row.kind),
            )
            continue
        if before is not None:
            bars.append(before)
        facts = (row.started_at, end, row.number, row.number, 1, row.kind)
        open_bars[key] = Bar(slot, row.state, *facts)
    return sorted([*bars, *open_bars.values()], key=lambda bar: (bar.start, bar.slot))


def timeline(rows: Sequence[BarRow], now: float, search_id: int) -> Figure:
    """Draw trainings as bars by slot over time; local time of this machine."""
    groups: dict[str, list[Bar]] = defaultdict(list)
    for bar in merged(rows, now):
        groups[bar.state].append(bar)
    figure = layout("", "", "timeline")
    figure["yaxis"] = {"type": "category", "automargin": True, "title": {"text": ""}}
    slots = sorted({bar.slot for bars in groups.values() for bar in bars}, reverse=True)
    figure["yaxis"] |= {"categoryarray": [_slot(slot) for slot in slots]}
    figure["xaxis"] |= {"type": "date", "title": {"text": ""}}
    figure |= {"barmode": "overlay", "bargap": 0.25, "showlegend": True}
    return {
        "data": [_bars(state, bars, search_id) for state, bars in groups.items()],
        "layout": figure,
    }


def timeline_text(rows: Sequence[BarRow], now: float) -> str:
    """Return in words what the timeline shows."""
    if not rows:
        return "No training has begun."
    spent = sum((row.ended_at or now) - row.started_at for row in rows)
    whole = max(row.ended_at or now for row in rows) - rows[0].started_at
    slots = {row.slot for row in rows}
    share = spent / whole / len(slots) if whole > 0 else 1.0
    return (
        f"{len(rows):,} trainings in {seconds_text(whole)} over {len(slots)} "
        f"{'slot' if len(slots) == 1 else 'slots'}, which were busy for {min(1.0, share):.0%} of it"
    )


def _bars(state: str, bars: Sequence[Bar], search_id: int) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": f"{TRIAL_STATES[state].symbol} {state}",
        "y": [_slot(bar.slot) for bar in bars],
        "base": [_moment(bar.start) for bar in bars],
        "x": [round(1000 * max(bar.end - bar.start, 0.001)) for bar in bars],  # in ms
        "customdata": [f"{search_id}.{bar.first}" for bar in bars],
        "text": [_told(bar) for bar in bars],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": COLOURS[state],
            "pattern": {"shape": PATTERNS.get(state, ""), "size": 5, "solidity": 0.3},
            "line": {"width": 1, "color": EDGE},
        },
    }


def _told(bar: Bar) -> str:
    what = (
        f"trial {bar.first}"
        if bar.count == 1
        else f"{bar.count} trainings, trials {bar.first} to {bar.last}"
    )
    how = "" if bar.kind == "scratch" else " with inherited weights"
    return f"{what}{how}: {bar.state}, {seconds_text(bar.end - bar.start)}"


def _slot(slot: int) -> str:
    return "no slot" if slot < 0 else f"slot {slot}"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) + f"{seconds % 1:.3f}"[1:]
