"""Figures and settings of trials side by side: what differs, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import pandas as pd
import regex

from informer.config import fields
from nas_engine.store.rows import TrialRow
from pages._parts.effects import relative_change
from pages._parts.selection import Key
from pages._parts.states import SOURCES, trial_state
from pages._parts.text import (
    count_text,
    error_text,
    mean_text,
    percent_text,
    seconds_text,
    value_text,
)

MOST_TRIALS = 30
ROW = "Row"  # the name of the column that says what a row is
Difference = Callable[[float | None, float | None], str]
_SECONDS = 0.1
"""That a pattern may take: some take years on a short name."""


class PatternError(ValueError):
    """A pattern that cannot be looked for; the message is one sentence that says why."""


def key_of(trial: TrialRow) -> Key:
    """Return a trial's search and number."""
    return trial.search_id, trial.number


def figures_of(
    trials: Sequence[TrialRow],
    reference: TrialRow | None,
    comparable: Callable[[int, int], bool],
    shapes: Mapping[Key, str],
) -> dict[str, list[str]]:
    """Return the figures of trials by what they are, with differences to the reference.

    Args:
        trials: the columns.
        reference: that the others are held against.
        comparable: tells of two searches whether errors of both mean the same.
        shapes: what a trial's curve is like, in a word.
    """
    others = [reference is not None and row is not reference for row in trials]
    same = [
        other and reference is not None and comparable(row.search_id, reference.search_id)
        for row, other in zip(trials, others, strict=True)
    ]

    def against(figure: str, differ: Difference, at: Sequence[bool] = same) -> list[str]:
        base = getattr(reference, figure, None)
        values = [getattr(row, figure) for row in trials]
        pairs = zip(values, at, strict=True)
        return [differ(value, base if held else None) for value, held in pairs]

    return {
        "state": [trial_state(row.state) for row in trials],
        "verdict": [_verdict(row) for row in trials],
        "source": [SOURCES.get(row.source, row.source) for row in trials],
        "val_mse ↓": [mean_text(row.val_mse, row.spread, row.seeds) for row in trials],
        "Δ val_mse": against("val_mse", _absolute),
        "Δ val_mse %": against("val_mse", _relative),
        "val_mae ↓": [error_text(row.val_mae) for row in trials],
        "Δ val_mae": against("val_mae", _absolute),
        "Δ val_mae %": against("val_mae", _relative),
        "parameters": [count_text(row.parameters) for row in trials],
        "Δ parameters %": against("parameters", _relative, others),
        "training time": [seconds_text(row.seconds) for row in trials],
        "Δ training time %": against("seconds", _relative, others),
        "epochs (best)": [
            "–" if row.epochs is None else f"{row.epochs} ({row.best_epoch})" for row in trials
        ],
        "curve": [shapes.get(key_of(row), "–") for row in trials],
        "device": [row.device or "–" for row in trials],
    }


def settings_of(
    trials: Sequence[TrialRow], everything: bool, without: Collection[str] = ()
) -> dict[str, list[str]]:
    """Return the settings of trials by dotted key: those that differ, or all; some left out.

    Settings of an earlier version, which this one does not know, come last.
    """
    keys = dict.fromkeys([*fields(), *(key for row in trials for key in row.config)])
    rows = {key: [row.config.get(key) for row in trials] for key in keys if key not in without}
    return {
        key: [value_text(value) for value in values]
        for key, values in rows.items()
        if everything or any(value != values[0] for value in values)
    }


def matching(rows: Mapping[str, list[str]], pattern: str) -> dict[str, list[str]]:
    """Return the rows whose name the pattern, a word or a regular expression, is found in.

    Raises:
        PatternError: it is no regular expression, or one that takes too long.
    """
    try:
        wanted = regex.compile(pattern.strip(), regex.IGNORECASE)
        return {
            name: cells for name, cells in rows.items() if wanted.search(name, timeout=_SECONDS)
        }
    except regex.error as error:
        raise PatternError(
            f"The filter of rows is no regular expression ({error}); a plain word is one."
        ) from None
    except TimeoutError:
        raise PatternError(
            "The filter of rows takes too long; ask for less repetition in it, or for a word."
        ) from None


def side_by_side(rows: Mapping[str, list[str]], names: Sequence[str]) -> pd.DataFrame:
    """Return rows as a table with trials as columns."""
    frame = pd.DataFrame.from_dict(dict(rows), orient="index", columns=list(names), dtype="object")
    return frame.reset_index(names=ROW)


def _verdict(row: TrialRow) -> str:
    if row.accepted is None:
        return "–"
    return f"{'accepted' if row.accepted else 'rejected'}: {row.rule}"


def _absolute(value: float | None, base: float | None) -> str:
    return "–" if value is None or base is None else f"{value - base:+.4g}".replace("-", "−")


def _relative(value: float | None, base: float | None) -> str:
    return percent_text(relative_change(value, base))
