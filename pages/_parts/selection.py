"""Which trials are compared: the selection by number, however the table is sorted or grows."""

from __future__ import annotations

from collections.abc import Sequence

from nas_engine.store.reader import TrialRow

MOST = 12  # trials compared at a time


def default_numbers(trials: Sequence[TrialRow], incumbent: int | None) -> list[int]:
    """Return trial 0, the incumbent and the best up to three."""
    scored = sorted(
        (trial for trial in trials if trial.val_mse is not None), key=lambda row: row.val_mse or 0.0
    )
    chosen = {0, incumbent, *(trial.number for trial in scored[:3])}
    return [trial.number for trial in trials if trial.number in chosen]


def asked_numbers(text: str, known: Sequence[int]) -> tuple[list[int], list[str]]:
    """Return the trials that the address names, and what it names that is none."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    numbers = {str(number): number for number in known}
    chosen = sorted({numbers[word] for word in words if word in numbers})
    return chosen[:MOST], [word for word in words if word not in numbers]


def rows_to_numbers(rows: Sequence[int], shown: Sequence[int]) -> list[int]:
    """Return the trials of selected rows, by the table that the person saw."""
    return [shown[row] for row in rows if 0 <= row < len(shown)]
