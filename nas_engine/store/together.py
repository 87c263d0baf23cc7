"""What the writers of one process share: whose turn it is, and what many threads report at once.

Threads that want to write wait for each other here, in memory, first come, first served: SQLite has
those that find the database locked sleep and try again, up to a tenth of a second at a time, and
with hundreds of slots some would wait for ever. Reports of trainings are gathered: whoever comes
first writes what all of them have brought, in one transaction. Each returns when its own is
written, so nobody has to remember anything.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from sqlite_utils import Database

Change = Callable[[sqlite3.Connection], object]

GATHER_SECONDS = 0.001
"""For each slot, between two transactions with reports: one slot waits for nobody."""
GATHER_MOST = 0.25


class Turn:
    """A lock that is handed on in the order in which it was asked for, but to the urgent first."""

    def __init__(self) -> None:
        """Nobody has it."""
        self._lock = threading.Lock()
        self._holder: int | None = None
        self._waiting: deque[tuple[int, threading.Lock]] = deque()

    @contextmanager
    def taken(self, urgent: bool = False) -> Iterator[None]:
        """Have the turn; inside of this, the same thread has it already."""
        me = threading.get_ident()
        if self._holder == me:
            yield
            return
        self._take(me, urgent)
        try:
            yield
        finally:
            self._hand_on()

    def _take(self, me: int, urgent: bool) -> None:
        with self._lock:
            if self._holder is None:
                self._holder = me
                return
            called = threading.Lock()
            called.acquire()
            (self._waiting.appendleft if urgent else self._waiting.append)((me, called))
        called.acquire()  # released by the one before, who has made this thread the holder

    def _hand_on(self) -> None:
        with self._lock:
            self._holder, called = self._waiting.popleft() if self._waiting else (None, None)
            if called is not None:
                called.release()


@dataclass
class _Brought:
    """A change that waits; when it is called it is written, or has to write for all."""

    change: Change
    called: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    error: BaseException | None = None


class Together:
    """The turn to write, and the connection for reports, of all writers of a process."""

    def __init__(self, metrics: Database) -> None:
        """Take the connection for reports, which is closed with this."""
        self.turn = Turn()  # had for a transaction
        self.metrics = metrics
        self._seconds = 0.0
        self._waiting: list[_Brought] = []
        self._led = False  # whether somebody writes for all
        self._lock = threading.Lock()
        self._last = time.monotonic()

    def gather(self, slots: int) -> None:
        """Prepare for the reports of so many slots."""
        self._seconds = min(GATHER_MOST, GATHER_SECONDS * slots) if slots > 1 else 0.0

    def report(
        self, change: Change, transaction: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """Write a change together with what other threads bring meanwhile.

        Args:
            change: what to write.
            transaction: a transaction of the connection for reports.

        Raises:
            sqlite3.Error, LeaseLost: nothing of this change was written.
        """
        brought = _Brought(change)
        with self._lock:
            self._waiting.append(brought)
            brought.leads, self._led = not self._led, True
        if not brought.leads:
            brought.called.wait()
        if brought.leads:
            self._write_all(transaction)
        if brought.error is not None:
            raise brought.error

    def _write_all(self, transaction: Callable[[], AbstractContextManager[None]]) -> None:
        """Write what waits, this thread's own too, then have the next one write what came since."""
        time.sleep(max(0.0, self._last + self._seconds - time.monotonic()))
        with self._lock:
            together, self._waiting = self._waiting, []
        self._write(together, transaction)
        self._last = time.monotonic()
        with self._lock:
            self._led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].called.set()
        for brought in together:
            brought.leads = False
            brought.called.set()

    def _write(
        self, together: list[_Brought], transaction: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """Write changes at once, or each on its own where one of them is what cannot be written."""
        try:
            with transaction():
                for brought in together:
                    brought.change(self.metrics.conn)
        except BaseException as error:
            # Locked, or the disk is full: each of them alone would wait as long, and fail too.
            of_all = isinstance(error, sqlite3.OperationalError) or not isinstance(error, Exception)
            if len(together) > 1 and not of_all:
                for brought in together:
                    self._write([brought], transaction)
                return
            for brought in together:
                brought.error = error

    def close(self) -> None:
        """Close the connection for reports."""
        self.metrics.close()
