"""Rows as the reader returns them, without a database."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from informer.config import Value
from nas_engine.search import SearchSpec
from nas_engine.store.rows import EpochRow, TrialRow


def trial_row(number: int, changes: Mapping[str, Value], **facts: Any) -> TrialRow:
    """Return a finished trial that changed the start of the default search."""
    row: dict[str, Any] = {field.name: None for field in dataclasses.fields(TrialRow)}
    known = {"state": "completed", "val_mse": 0.4123456789, "accepted": False}
    known |= {"comment": "", "error": "", "error_class": ""}
    known |= {"search_id": 1, "spark": []}
    config = {**SearchSpec().base().flat(), **changes}
    return TrialRow(**{**row, **known, "number": number, "config": config, **facts})


def no_epochs(numbers: list[int]) -> list[EpochRow]:
    """Return no epochs, whichever trials they are asked of."""
    return []


def epoch_rows(number: int, values: Sequence[float | None]) -> list[EpochRow]:
    """Return the epochs of a training with these val_mse."""
    return [EpochRow(number, at, 0.5, value, 0.5, 1e-3, 1.0) for at, value in enumerate(values, 1)]
