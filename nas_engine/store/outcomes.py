"""Trials by what a search wants low, in little room: what fronts of many trials are taken from."""

from __future__ import annotations

from typing import NamedTuple

from nas_engine.store.table import Results


class Outcome(NamedTuple):
    """What a trial came to: a `front.Measured`, and what is told of it beside that."""

    search: int
    number: int
    state: str
    source: str
    accepted: bool | None
    ended_at: float | None
    spread: float | None
    val_mse: float | None
    latency_ms: float | None
    parameters: float | None
    flops: float | None
    seconds: float | None
    memory_mb: float | None
    differences: str  # JSON: settings that are not those of trial 0

    @property
    def name(self) -> str:
        """How an address names it."""
        return f"{self.search}.{self.number}"


def outcomes(results: Results) -> list[Outcome]:
    """Return the trials of `results`, in order."""
    columns = [getattr(results, name) for name in Outcome._fields]
    at = Outcome._fields.index("accepted")
    columns[at] = [None if flag is None else bool(flag) for flag in results.accepted]
    return [Outcome(*row) for row in zip(*columns, strict=True)]
