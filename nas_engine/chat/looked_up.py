"""Rows that a language model was given for an answer, as they are kept and shown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Cell = str | int | float | bool | None

Chart = Literal["", "curves", "history"]
"""How rows may be drawn: not, epochs by trial (trial, epoch, error), or errors by trial."""

WITH_QUESTION = "told with the question"
"""The name of the rows for which the model called no tool."""


@dataclass(frozen=True)
class LookedUp:
    """One look into the store: what was asked, and the rows that came."""

    tool: str
    arguments: dict[str, Any]
    columns: list[str]
    rows: list[list[Cell]]
    chart: Chart = ""
    note: str = field(default="")  # what was left out, or why there are no rows

    def plain(self) -> dict[str, Any]:
        """Return it as the store keeps it."""
        return dataclasses.asdict(self)

    def told(self, most_characters: int) -> str:
        """Return it as the model reads it, with as many of its rows as there is room for."""
        kept = len(self.rows)
        while kept and len(text := self._as_json(kept)) > most_characters:
            kept = kept * 3 // 4
        return text if kept else self._as_json(0)

    def _as_json(self, kept: int) -> str:
        cut = "" if kept == len(self.rows) else f"the first {kept} of {len(self.rows)} rows fit"
        note = "; ".join(part for part in (self.note, cut) if part)
        facts: dict[str, Any] = {"columns": self.columns, "rows": self.rows[:kept]}
        return json.dumps(facts | ({"note": note} if note else {}), ensure_ascii=False)


def looked_up(plain: Mapping[str, Any]) -> LookedUp:
    """Return what `LookedUp.plain` gave."""
    return LookedUp(**plain)


def cell(value: object, most_characters: int = 600) -> Cell:
    """Return a value as a cell: numbers with six significant digits, texts cut short."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}")
    text = str(value)
    return text if len(text) <= most_characters else f"{text[:most_characters]}…"
