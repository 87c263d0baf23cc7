"""What the writers of one process share: whose turn it is, and what many threads report at once.

Threads that want to write wait for each other here, in memory: SQLite has those that find the
database locked sleep and try again, up to a tenth of a second at a time, which hundreds of slots
cannot afford. Reports of trainings are gathered: whoever comes first writes what all of them have
brought, in one transaction. Each returns when its own is written, so nobody has to remember
anything.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlite_utils import Database

Change = Callable[[sqlite3.Connection], object]

GATHER_SECONDS = 0.001
"""For each slot, between two transactions with reports: one slot waits for nobody."""
GATHER_MOST = 0.25


@dataclass
class _Brought:
    change: Change
    done: bool = False
    error: BaseException | None = None


class Together:
    """The turn to write, and the connection for reports, of all writers of a process."""

    def __init__(self, metrics: Database) -> None:
        """Take the connection for reports, which is closed with this."""
        self.turn = threading.RLock()  # held for a transaction
        self.metrics = metrics
        self._seconds = 0.0
        self._waiting: list[_Brought] = []
        self._gathering = threading.Lock()
        self._adding = threading.Lock()
        self._last = time.monotonic()

    def gather(self, slots: int) -> None:
        """Prepare for the reports of so many slots."""
        self._seconds = min(GATHER_MOST, GATHER_SECONDS * slots) if slots > 1 else 0.0

    def report(
        self, change: Change, transaction: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """Write a change together with what other threads have brought meanwhile.

        Args:
            change: what to write; of the same thread, in order.
            transaction: a transaction of the connection for reports.

        Raises:
            sqlite3.Error, LeaseLost: nothing was written, of this change and of those with it.
        """
        brought = _Brought(change)
        with self._adding:
            self._waiting.append(brought)
        with self._gathering:
            if not brought.done:
                time.sleep(max(0.0, self._last + self._seconds - time.monotonic()))
                with self._adding:
                    together, self._waiting = self._waiting, []
                self._write(together, transaction)
                self._last = time.monotonic()
        if brought.error is not None:
            raise brought.error

    def _write(
        self, together: list[_Brought], transaction: Callable[[], AbstractContextManager[None]]
    ) -> None:
        error: BaseException | None = None
        try:
            with transaction():
                for brought in together:
                    brought.change(self.metrics.conn)
        except BaseException as raised:
            error = raised
        for brought in together:
            brought.done, brought.error = True, error

    def close(self) -> None:
        """Close the connection for reports."""
        self.metrics.close()
