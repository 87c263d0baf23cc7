"""The history under other rules: what would have been accepted, as a figure, a table and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nas_engine.relabel import Relabelled
from pages._parts.figures import COLOURS, MUTED, layout
from pages._parts.history import COLUMNS, MOST_POINTS, ceiling
from pages._parts.live_chart import Figure
from pages._parts.selection import reference_of
from pages._parts.text import error_text

MOST_ROWS = 500  # of verdicts that change
_MARKS = {  # whether it was and would be accepted: name, symbol, colour
    (True, True): ("accepted, as it was", "circle", COLOURS[0]),
    (False, False): ("rejected, as it was", "circle-open", MUTED),
    (False, True): ("would be accepted", "triangle-up", COLOURS[2]),
    (True, False): ("would be rejected", "x", COLOURS[3]),
}


def what_if(found: Sequence[Relabelled], incumbent: int | None, search_id: int) -> Figure:
    """Draw val_mse by trial with both verdicts, and both lines of incumbents.

    Args:
        found: the trials as other rules would have judged them, in the order of the verdicts.
        incumbent: the number of the recorded one.
        search_id: their search.
    """
    scored = [row for row in found if row.figures.value is not None]
    top = ceiling([_value(row) for row in scored])
    drawn = worth_drawing(scored)
    data = [_incumbents(found, recorded=True), _incumbents(found, recorded=False)]
    for (was, would), (name, symbol, ink) in _MARKS.items():
        rows = [row for row in drawn if (row.was.accepted, row.accepted) == (was, would)]
        if rows:
            data.append(_points(rows, name, symbol, ink, top, search_id))
    would_be = found[-1].incumbent if found else None
    stars = {"incumbent, as it was": ("star-open", incumbent)} if incumbent != would_be else {}
    for name, (symbol, number) in {**stars, "incumbent": ("star", would_be)}.items():
        if rows := [row for row in scored if row.number == number]:
            star = _points(rows, name, symbol, COLOURS[1], top, search_id)
            star["marker"]["size"] = 15
            data.append(star)
    drawing = layout("Trial", "val_mse", "what-if")
    last = max((row.number for row in found), default=0)
    drawing["xaxis"] |= {"range": [-0.6, max(last, 4) + 0.6], "tickformat": "d", "zeroline": False}
    if last < 12:
        drawing["xaxis"]["dtick"] = 1
    drawing["showlegend"] = True
    return {"data": data, "layout": drawing}


def worth_drawing(scored: Sequence[Relabelled]) -> Sequence[Relabelled]:
    """Return the trials that are drawn: of many, the best and the worst of each part and kind."""
    if len(scored) <= MOST_POINTS:
        return scored
    kept: dict[int, Relabelled] = {}
    parts = COLUMNS // len(_MARKS)
    for kind in _MARKS:
        rows = [row for row in scored if (row.was.accepted, row.accepted) == kind]
        if len(rows) <= COLUMNS:
            kept |= {row.number: row for row in rows}
            continue
        for part in range(parts):
            block = rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]
            for row in (min(block, key=_value), max(block, key=_value)):
                kept[row.number] = row
    return [row for row in scored if row.number in kept]


def drawn_text(found: Sequence[Relabelled]) -> str:
    """Return what the figure leaves out or moves, empty where it is nothing."""
    scored = [row for row in found if row.figures.value is not None]
    top, notes = ceiling([_value(row) for row in scored]), []
    if len(drawn := worth_drawing(scored)) < len(scored):
        notes.append(f"{len(drawn):,} of {len(scored):,} results are drawn.")
    if beyond := sum(_value(row) > top for row in scored):
        notes.append(f"{beyond:,} beyond {top:.3g} are drawn at the upper edge.")
    return " ".join(notes)


def told(found: Sequence[Relabelled], incumbent: int | None) -> str:
    """Return in words what other rules would have come to."""
    changed = [row for row in found if row.changed]
    more = sum(row.accepted for row in changed)
    verdicts = (
        f"None of {len(found):,} verdicts changes."
        if not changed
        else f"{len(changed):,} of {len(found):,} verdicts change: {more:,} more accepted, "
        f"{len(changed) - more:,} fewer."
    )
    would_be = found[-1].incumbent if found else None
    if would_be == incumbent:
        same = "no trial" if incumbent is None else f"trial {incumbent}"
        return f"{verdicts} The incumbent would be {same} all the same."
    return f"{verdicts} The incumbent would be {_named(found, would_be)} instead of " + (
        f"{_named(found, incumbent)}."
    )


def uncertain(found: Sequence[Relabelled]) -> list[str]:
    """Return what cannot be known without training or asking, a sentence each."""
    lacking = sum(row.lacks_seed for row in found)
    aside = sum(row.set_aside for row in found)
    notes = []
    if lacking:
        notes.append(
            f"{lacking:,} {_trials(lacking)} would have been trained with another seed first; what "
            "was trained decides here."
        )
    if aside:
        do = "opinion of the language model does" if aside == 1 else "opinions of the model do"
        notes.append(f"{aside:,} {do} not count, since the question would have been another one.")
    return notes


def changed_frame(found: Sequence[Relabelled], search_id: int) -> pd.DataFrame:
    """Return a row for each verdict that changes, the newest `MOST_ROWS`."""
    rows = [row for row in found if row.changed][-MOST_ROWS:]
    return pd.DataFrame(
        {
            "Trial": [row.number for row in rows],
            "Page": [f"./trial?trial={reference_of((search_id, row.number))}" for row in rows],
            "val_mse": [row.figures.value for row in rows],
            "Was": [_verdict(row.was.accepted, row.was.rule) for row in rows],
            "Was against": [_against(row.was.figures.incumbent) for row in rows],
            "Was %": [_percent(row.was.figures.improvement) for row in rows],
            "Would be": [_verdict(row.accepted, row.rule) for row in rows],
            "Against": [_against(row.figures.incumbent) for row in rows],
            "%": [_percent(row.figures.improvement) for row in rows],
            "But": [_doubt(row) for row in rows],
        }
    )


def _incumbents(found: Sequence[Relabelled], recorded: bool) -> dict[str, Any]:
    """Return the line of the incumbents' val_mse, as it was or as it would have been."""
    x: list[int] = []
    y: list[float] = []
    last = 0
    for row in found:
        last = max(last, row.number)
        value = _best_after(row, recorded)
        if value is not None and (not y or value != y[-1]):
            x.append(last)
            y.append(value)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "incumbent's val_mse, as it was" if recorded else "incumbent's val_mse",
        "x": [*x, last] if x else [],
        "y": [*y, y[-1]] if y else [],
        "line": {
            "color": MUTED if recorded else COLOURS[1],
            "width": 1.5 if recorded else 2,
            "dash": "dot" if recorded else "solid",
            "shape": "hv",
        },
        "hoverinfo": "skip",
    }


def _best_after(row: Relabelled, recorded: bool) -> float | None:
    """Return the val_mse of the incumbent after a verdict."""
    figures, accepted = (
        (row.was.figures, row.was.accepted) if recorded else (row.figures, row.accepted)
    )
    values = [figures.value] if accepted else []
    known = [value for value in (*values, figures.incumbent_value) if value is not None]
    return min(known, default=None)


def _points(
    rows: Sequence[Relabelled], name: str, symbol: str, ink: str, top: float, search_id: int
) -> dict[str, Any]:
    many = len(rows) > 200
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [row.number for row in rows],
        "y": [float(f"{min(_value(row), top):.6g}") for row in rows],
        "customdata": [reference_of((search_id, row.number)) for row in rows],
        "text": [f"{_value(row):.4g}, {row.rule}" for row in rows],
        "cliponaxis": False,
        "marker": {
            "symbol": symbol,
            "color": ink,
            "size": 5 if many else 9,
            "line": {"width": (1 if many else 2) if symbol.endswith("open") else 0, "color": ink},
        },
        "hovertemplate": f"trial %{{x}}, {name}<br>val_mse %{{text}}<extra></extra>",
    }


def _value(row: Relabelled) -> float:
    assert row.figures.value is not None, "only trials with a result are drawn"
    return row.figures.value


def _named(found: Sequence[Relabelled], number: int | None) -> str:
    value = next((row.figures.value for row in found if row.number == number), None)
    return "none" if number is None else f"trial {number} (val_mse {error_text(value)})"


def _verdict(accepted: bool, rule: str) -> str:
    return f"{'✓ accepted' if accepted else '⊘ rejected'}: {rule}"


def _against(rival: int | None) -> str:
    return "–" if rival is None else f"trial {rival}"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _doubt(row: Relabelled) -> str:
    doubts = ["another seed would be trained first"] if row.lacks_seed else []
    return "; ".join([*doubts, *(["an opinion does not count"] if row.set_aside else [])])


def _trials(count: int) -> str:
    return "trial" if count == 1 else "trials"
