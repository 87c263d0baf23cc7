"""Who was right: predictions beside what came of them, and what each source cost, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nas_engine.calibration import (
    Opinions,
    Prediction,
    Predictor,
    Score,
    Worth,
    of,
    score,
    shared,
)
from nas_engine.proposals import LEVEL
from nas_engine.store.hindsight import Asked
from pages._parts.figures import COLOURS, MUTED, layout
from pages._parts.live_chart import Figure
from pages._parts.selection import reference_of
from pages._parts.states import SOURCES
from pages._parts.text import count_text, percent_text, seconds_text

FEW = 20
"""Predictions below which a share says little: its interval is wider than 30 points."""

MOST_POINTS = 400  # of a source, the newest
PREDICTORS: dict[Predictor, str] = {
    "model": "Language model",
    "person": "Person",
    "surrogate": "Surrogate",
}
_LOOKS: dict[Predictor, tuple[str, str]] = {
    "model": ("circle", COLOURS[4]),
    "person": ("diamond", COLOURS[1]),
    "surrogate": ("square-open", COLOURS[0]),
}


def calibration(found: Sequence[Prediction], search_id: int) -> Figure:
    """Draw each predicted interval over what the improvement was; the diagonal is the truth."""
    low, high = _reach([each.actual for each in found])
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "what came",
            "x": [low, high],
            "y": [low, high],
            "line": {"color": MUTED, "width": 1.5, "dash": "dash"},
            "hoverinfo": "skip",
        },
        *(
            _intervals(rows[-MOST_POINTS:], by, search_id)
            for by in PREDICTORS
            if (rows := of(found, by))
        ),
    ]
    drawing = layout("", "", "calibration")
    axis = {"ticksuffix": " %", "zeroline": True, "tickformat": ".3~g"}
    drawing["xaxis"] |= axis | {
        "title": {"text": "Improvement over the parent that came", "standoff": 6},
        "range": [low, high],
    }
    drawing["yaxis"] |= axis | {
        "title": {"text": "Improvement that was expected", "standoff": 8},
        "range": list(_reach([end for each in found for end in (each.low, each.high)])),
    }
    drawing["showlegend"] = True
    return {"data": data, "layout": drawing}


def scores_frame(found: Sequence[Prediction]) -> pd.DataFrame:
    """Return how good each source was: on all that it predicted, and beside the surrogate."""
    rows: list[dict[str, object]] = []
    for by, name in PREDICTORS.items():
        if (own := score(of(found, by))) is None:
            continue
        rows.append(_row(name, "all that it predicted", own))
        both = shared(found, (by, "surrogate"))
        if by == "surrogate" or not both:
            continue
        pair: tuple[tuple[Predictor, str], ...] = ((by, "the surrogate"), ("surrogate", _the(name)))
        for one, other in pair:
            told = score([each for each in of(found, one) if each.number in both])
            assert told is not None, "both have predicted these"
            rows.append(_row(PREDICTORS[one], f"what {other} predicted too", told))
    return pd.DataFrame(rows)


def verdicts(found: Sequence[Prediction]) -> list[str]:
    """Return what the scores allow to say, a sentence for each source."""
    sentences = []
    for by, name in PREDICTORS.items():
        told = score(of(found, by))
        if told is None:
            continue
        if told.count < FEW:
            sentences.append(
                f"{name}: only {told.count} {'prediction' if told.count == 1 else 'predictions'} "
                f"so far; a share of them means little below about {FEW}."
            )
            continue
        honest = told.share_low <= LEVEL <= told.share_high
        how = (
            "which agrees with it"
            if honest
            else "which is too few: it is surer than it is right"
            if told.share < LEVEL
            else "which is too many: its intervals are wider than they need be"
        )
        hope = "" if abs(told.bias) < 0.001 else _hope(told.bias)
        sentences.append(
            f"{name}: {told.share:.0%} of {told.count} intervals held what came "
            f"(should: {LEVEL:.0%}), {how}{hope}."
        )
    return sentences


def beyond_text(found: Sequence[Prediction]) -> str:
    """Return how much lies beyond what the figure shows at first, empty where nothing does."""
    low, high = _reach([each.actual for each in found])
    beyond = sum(not low <= 100 * each.actual <= high for each in found)
    older = sum(max(0, len(of(found, by)) - MOST_POINTS) for by in PREDICTORS)
    notes = [f"{beyond} lie beyond the edges; a double click shows them."] if beyond else []
    return " ".join([*notes, *([f"The oldest {older:,} are not drawn."] if older else [])])


def costs_frame(found: Sequence[Worth]) -> pd.DataFrame:
    """Return what each source of proposals gained and took."""
    return pd.DataFrame(
        [
            {
                "Proposed by": source_name(row.source),
                "Trials": row.trials,
                "Accepted": row.accepted,
                "Failed": row.failed,
                "Turned down": row.turned_down,
                "Best gain %": None if row.best is None else 100 * row.best,
                "Gain %": 100 * row.gained,
                "USD": row.usd or None,
                "Tokens": row.tokens or None,
                "Planning": seconds_text(row.planning_seconds or None),
                "Training": seconds_text(row.training_seconds or None),
                "Gain % per hour": None if row.per_hour is None else 100 * row.per_hour,
                "Gain % per USD": None if row.per_usd is None else 100 * row.per_usd,
            }
            for row in found
        ]
    )


def evaluator_text(asked: Asked, given: Opinions) -> str:
    """Return what asking for opinions cost and did, empty where none was asked for."""
    if not asked.calls:
        return ""
    return (
        f"The evaluator asked a language model {count_text(asked.calls)} times for "
        f"{asked.usd:.4f} USD ({count_text(asked.tokens)} tokens, as booked): {given.given} "
        f"opinions decided, and {given.changed} of them gave another verdict than the rules alone."
    )


def source_name(source: str) -> str:
    """Return what a source of proposals is called; `edited` are those that a person changed."""
    return "person, by an edit" if source == "edited" else SOURCES.get(source, source)


def _intervals(rows: Sequence[Prediction], by: Predictor, search_id: int) -> dict[str, Any]:
    symbol, ink = _LOOKS[by]
    middles = [50 * (each.low + each.high) for each in rows]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": PREDICTORS[by],
        "x": [_short(100 * each.actual) for each in rows],
        "y": [_short(middle) for middle in middles],
        "error_y": {
            "type": "data",
            "array": [_short(50 * (each.high - each.low)) for each in rows],
            "color": ink,
            "thickness": 1,
            "width": 3,
        },
        "customdata": [reference_of((search_id, each.number)) for each in rows],
        "text": [_told(each) for each in rows],
        "marker": {"symbol": symbol, "color": ink, "size": 8, "line": {"width": 1.5, "color": ink}},
        "hovertemplate": f"{PREDICTORS[by]}, %{{text}}<extra></extra>",
    }


def _told(each: Prediction) -> str:
    noise = "" if each.margin is None else f" (noise ±{100 * each.margin:.2g} %)"
    return (
        f"trial {each.number}: expected {percent_text(each.low)} to {percent_text(each.high)}"
        f"<br>came {percent_text(each.actual)}{noise}, {'inside' if each.inside else 'outside'}"
    )


def _row(name: str, where: str, told: Score) -> dict[str, object]:
    return {
        "Predicted by": name,
        "On": where,
        "Trials": told.count,
        "Held %": 100 * told.share,
        "95 % interval": f"{100 * told.share_low:.0f} to {100 * told.share_high:.0f} %",
        "Hoped too much by": 100 * told.bias,
        "Interval score": 100 * told.score,
    }


def _the(name: str) -> str:
    return f"the {name.lower()}"


def _hope(bias: float) -> str:
    size = f"{100 * abs(bias):.2g} points"
    return f"; on average it hoped for {size} {'too much' if bias > 0 else 'too little'}"


def _reach(shares: Sequence[float]) -> tuple[float, float]:
    """Return from where to where shares are drawn, in percent: the outermost 3 % may lie beyond."""
    if not shares:
        return -1.0, 1.0
    ranked = sorted(100 * share for share in shares)
    cut = int(0.03 * len(ranked))
    low, high = ranked[cut], ranked[-1 - cut]
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _short(value: float) -> float:
    return float(f"{value:.5g}")
