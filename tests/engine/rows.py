"""Rows as the reader returns them, without a database."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from informer.config import Value
from nas_engine.search import SearchSpec
from nas_engine.store.reader import TrialRow


def trial_row(number: int, changes: Mapping[str, Value], **facts: Any) -> TrialRow:
    """Return a finished trial that changed the start of the default search."""
    row: dict[str, Any] = {field.name: None for field in dataclasses.fields(TrialRow)}
    known = {"state": "completed", "val_mse": 0.4123456789, "accepted": False, "error_class": ""}
    config = {**SearchSpec().base().flat(), **changes}
    return TrialRow(**{**row, **known, "number": number, "config": config, **facts})
