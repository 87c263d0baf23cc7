"""When a service that failed, or asked to be left alone, may be asked again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

FIRST_PAUSE = 60.0
LONGEST_PAUSE = 3600.0


@dataclass
class _Record:
    failures: int = 0
    not_before: float = 0.0


class Patience:
    """Remembers the failures of each service, as long as the engine lives.

    After a question that failed because of the service it is left alone for a minute, then two,
    four, at most an hour, or for as long as it asked; an answer clears its record.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._records: dict[tuple[str, str], _Record] = {}

    def failed(self, base_url: str, model: str, retry_after: float | None) -> None:
        """Take note that a question to a model failed because of its service."""
        record = self._records.setdefault((base_url, model), _Record())
        pause = min(FIRST_PAUSE * 2**record.failures, LONGEST_PAUSE)
        record.failures = min(record.failures + 1, 30)
        record.not_before = self._clock() + max(pause, retry_after or 0.0)

    def answered(self, base_url: str, model: str) -> None:
        """Take note that the service answers."""
        self._records.pop((base_url, model), None)

    def failing(self, base_url: str, model: str) -> bool:
        """Whether the last question failed, so that the next one is only a trial of the service."""
        return (base_url, model) in self._records

    def waiting(self, base_url: str, model: str) -> str | None:
        """Return a sentence while it is too early to ask again."""
        record = self._records.get((base_url, model))
        if record is None or self._clock() >= record.not_before:
            return None
        until = datetime.fromtimestamp(record.not_before).astimezone()
        return (
            "The language model service failed or asked to wait; it is not asked again before "
            f"{until:%H:%M:%S on %d %B}."
        )
