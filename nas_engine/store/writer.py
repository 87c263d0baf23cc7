"""The engine's side of the database: who may write, and what is written of searches and the queue.

What is written of proposals, trainings, verdicts, calls of language models and what people want
beside the trials is in `proposing`, `trainings`, `judging`, `calling` and `wishes`, functions that
take a writer. Each thread of the engine has one of its own. Every event is one transaction and may
be repeated: a crash before the next step must not count anything twice. Metrics, which can be read
again from the run folder, have a connection that does not wait for the disk, and that all threads
share.

An engine's writer has a lease, and writes only while that is the newest one of its search: a
process that was held up, and replaced meanwhile, can do no harm when it goes on.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlite_utils import Database

from informer.records import UsedData
from nas_engine.liveness import (
    LEASE_SECONDS,
    boot_clock,
    boot_id,
    engine_state,
    process_start,
)
from nas_engine.search import SearchSpec
from nas_engine.store.reader import Reader, fingerprints
from nas_engine.store.rows import BaselineRow, EngineRow
from nas_engine.store.schema import open_database, storable, transaction
from nas_engine.store.together import Change, Together
from nas_engine.trainers.base import Ended
from nas_engine.workspace import Workspace

SearchState = Literal["running", "paused", "stopping", "stopped", "completed"]


@dataclass(frozen=True)
class PendingCommand:
    """A command as it lies in its row, still unchecked."""

    id: int
    search_id: int | None
    payload: bytes  # which need not be text
    author: str


@dataclass(frozen=True)
class Lease:
    """The right to write on a search."""

    search_id: int
    token: int


class LeaseLost(RuntimeError):
    """Another engine has taken over the search: this one must end without another write."""


class Writer:
    """The engine's side of the database; without a lease, of what comes before an engine."""

    def __init__(
        self, workspace: Workspace, lease: Lease | None = None, together: Together | None = None
    ) -> None:
        """Open the database and bring it up to date; raises StoreError.

        Args:
            workspace: where the database is.
            lease: the engine's; None: of what comes before an engine.
            together: what it shares with the writer that it is another one of.
        """
        workspace.create()
        self.workspace = workspace
        self.lease = lease
        self._db = open_database(workspace.db)
        self._owns = together is None
        self._together = together or Together(open_database(workspace.db, durable=False))
        self.read = Reader(self._db.conn)

    def another(self) -> Writer:
        """Return a writer with the same lease, for another thread; this one outlives it."""
        return Writer(self.workspace, self.lease, self._together)

    def gather(self, slots: int) -> None:
        """Prepare for the reports of so many slots, in all writers of the process."""
        self._together.gather(slots)

    def close(self) -> None:
        """Close the connections."""
        if self._owns:
            self._together.close()
        self._db.close()

    @property
    def _metrics(self) -> Database:
        return self._together.metrics

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all that is written inside together, or nothing of it.

        Raises:
            LeaseLost: the lease is not the newest one of its search.
        """
        with self._transaction(self._db.conn):
            yield

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        outermost = not connection.in_transaction
        # What the engine itself writes, its heartbeat, waits for no other.
        with self._together.turn.taken(urgent=self._owns), transaction(connection):
            if outermost and self.lease is not None:
                self._check(connection, self.lease)
            yield

    def report(self, change: Change) -> None:
        """Write what a training reports, together with what others do."""
        self._together.report(change, lambda: self._transaction(self._metrics.conn))

    def _check(self, connection: sqlite3.Connection, lease: Lease) -> None:
        newest = connection.execute(
            "SELECT token FROM engines WHERE search_id = ? AND NOT released", (lease.search_id,)
        ).fetchone()
        if newest != (lease.token,):
            raise LeaseLost(f"Search {lease.search_id} has another engine.")

    def open_search(self, spec: SearchSpec) -> int:
        """Return the id of the search with the settings of `spec`, created if there is none."""
        with self.transaction():
            if (existing := self.read.search_like(spec)) is not None:
                return existing.id
            data, (first, second) = spec.data(), fingerprints(spec)
            taken = self.execute("SELECT 1 FROM searches WHERE fingerprint = ?", (first,))
            row = self.execute(
                """INSERT INTO searches (fingerprint, spec, data, max_trials, state, created_at)
                VALUES (?, ?, ?, ?, 'running', ?) RETURNING id""",
                (
                    *(second if taken else first, spec.model_dump_json(), data.model_dump_json()),
                    *(spec.max_trials, time.time()),
                ),
            )
            assert row is not None
            return int(row[0])

    def note_data(self, search_id: int, data: UsedData) -> None:
        """Record which data a search sees, of a search from before that was kept."""
        self.execute(
            "UPDATE searches SET data = ? WHERE id = ? AND data = ''",
            (data.model_dump_json(), search_id),
        )

    def note_traits(self, search_id: int, traits: str) -> None:
        """Record what the data of a search are like, as JSON, where that is not known yet."""
        self.execute(
            "UPDATE searches SET traits = ? WHERE id = ? AND traits = ''", (traits, search_id)
        )

    def keep_lessons(self, search_id: int, lessons: str) -> None:
        """Record what a search takes from earlier ones, as JSON; what was recorded once stays."""
        self.execute(
            "UPDATE searches SET lessons = ? WHERE id = ? AND lessons = ''", (lessons, search_id)
        )

    def change(self, search_id: int, spec: SearchSpec) -> None:
        """Set what may be changed while a search runs: budgets, slots and mode."""
        self.execute(
            "UPDATE searches SET max_trials = ?, spec = ? WHERE id = ?",
            (spec.max_trials, spec.model_dump_json(), search_id),
        )

    def go_on(self, search_id: int) -> None:
        """Let a search run, and forgive the failures that it may have paused for."""
        self.execute(
            """UPDATE searches SET state = 'running', reason = '',
            forgiven = (SELECT coalesce(max(id), 0) FROM verdicts) WHERE id = ?""",
            (search_id,),
        )

    def set_search_state(self, search_id: int, state: SearchState, reason: str = "") -> None:
        """Record a new state of the search, and why."""
        self.execute(
            "UPDATE searches SET state = ?, reason = ? WHERE id = ?", (state, reason, search_id)
        )

    def pause(self, search_id: int, reason: str) -> None:
        """Pause a search that runs; one that a person has stopped goes on stopping."""
        self.execute(
            "UPDATE searches SET state = 'paused', reason = ? WHERE id = ? AND state = 'running'",
            (reason, search_id),
        )

    def take_lease(self, search_id: int, pid: int | None = None) -> EngineRow | None:
        """Make a process, this one by default, the engine of the search and this writer its own.

        Returns:
            The lease that it replaces, if any.

        Raises:
            LeaseLost: another engine lives. One that lives but has shown nothing for
                `LEASE_SECONDS` is replaced all the same: its writes are refused from now on.
        """
        pid = os.getpid() if pid is None else pid
        start = process_start(pid)
        assert start is not None, "only a process that lives can be an engine"
        with self.transaction():
            before = self.read.engine(search_id)
            if engine_state(before, stale=LEASE_SECONDS) == "alive":
                raise LeaseLost(f"Search {search_id} has an engine that lives.")
            row = self.execute(
                """INSERT INTO engines (search_id, token, boot, pid, process_start, started_at,
                heartbeat) VALUES (?, 1, ?, ?, ?, ?, ?)
                ON CONFLICT (search_id) DO UPDATE SET token = token + 1, boot = excluded.boot,
                pid = excluded.pid, process_start = excluded.process_start, released = 0,
                started_at = excluded.started_at, heartbeat = excluded.heartbeat RETURNING token""",
                (search_id, boot_id(), pid, start, time.time(), boot_clock()),
            )
            assert row is not None
        self.lease = Lease(search_id, int(row[0]))
        return before

    def release_lease(self) -> None:
        """Give the lease back: the engine ends as it should. One that was lost stays as it is."""
        assert self.lease is not None, "only an engine releases"
        lease, self.lease = self.lease, None
        self.execute(
            "UPDATE engines SET released = 1 WHERE search_id = ? AND token = ?",
            dataclasses.astuple(lease),
        )

    def beat(self, active_seconds: float) -> None:
        """Show that the engine lives, and add the time since the last beat to the search.

        Raises:
            LeaseLost: the lease belongs to another process by now.
        """
        assert self.lease is not None, "only an engine beats"
        search_id = self.lease.search_id
        with self.transaction():
            self.execute(
                "UPDATE engines SET heartbeat = ? WHERE search_id = ?", (boot_clock(), search_id)
            )
            self.execute(
                "UPDATE searches SET active_seconds = active_seconds + ? WHERE id = ?",
                (active_seconds, search_id),
            )

    def pending_commands(self, search_id: int) -> list[PendingCommand]:
        """Return the unanswered commands of the search, oldest first."""
        return self._pending("search_id = ? ORDER BY id", search_id)

    def pending_command(self, command_id: int) -> PendingCommand | None:
        """Return a command that is not yet answered."""
        return next(iter(self._pending("id = ?", command_id)), None)

    def _pending(self, condition: str, number: int) -> list[PendingCommand]:
        rows = self._db.execute(
            f"""SELECT id, search_id, CAST(payload AS BLOB), CAST(author AS BLOB) FROM commands
            WHERE state = 'pending' AND {condition}""",  # noqa: S608
            [number],
        )
        return [
            PendingCommand(row_id, search_id, payload, author.decode("utf-8", "replace"))
            for row_id, search_id, payload, author in rows
        ]

    def address_command(self, command_id: int, search_id: int) -> None:
        """Say which search a command is for, once that is known."""
        self.execute("UPDATE commands SET search_id = ? WHERE id = ?", (search_id, command_id))

    def answer(self, command_id: int, applied: bool, text: str) -> None:
        """Record what became of a command."""
        self.execute(
            "UPDATE commands SET state = ?, answer = ?, answered_at = ? WHERE id = ?",
            ("applied" if applied else "refused", text, time.time(), command_id),
        )

    def touch(self, search_id: int, number: int | None = None) -> None:
        """Give the search, or one of its trials, a new version: a person has changed it."""
        if number is None:
            self.execute("UPDATE searches SET version = version + 1 WHERE id = ?", (search_id,))
        else:
            self.execute(
                "UPDATE trials SET version = version + 1 WHERE search_id = ? AND number = ?",
                (search_id, number),
            )

    def log(
        self,
        search_id: int,
        text: str,
        number: int | None = None,
        level: Literal["debug", "info", "warning", "error"] = "info",
    ) -> None:
        """Add a line to the search's log."""
        self.execute(
            """INSERT INTO events (search_id, number, level, text, created_at)
            VALUES (?, ?, ?, ?, ?)""",
            (search_id, number, level, storable(text), time.time()),
        )

    def add_baselines(self, search_id: int, rows: Iterable[BaselineRow]) -> None:
        """Store the baselines of a search, replacing earlier ones."""
        with self.transaction():
            for row in rows:
                self.execute(
                    """INSERT OR REPLACE INTO baselines (search_id, name, split, mse, mae)
                    VALUES (?, ?, ?, ?, ?)""",
                    (search_id, row.name, row.split, row.mse, row.mae),
                )

    def end_unfinished(self, search_id: int, ended: Ended, number: int | None = None) -> None:
        """End a trial that waits or was left unfinished, or all of them; it is not judged."""
        error = storable(ended.message)
        with self.transaction():
            now = time.time()
            self.execute(
                """UPDATE runs SET state = 'stopped', error_class = ?, error = ?, ended_at = ?
                WHERE search_id = ? AND state = 'running' AND number = coalesce(?, number)""",
                (ended.error_class, error, now, search_id, number),
            )
            self.execute(
                """UPDATE trials SET ended_at = ?1, error_class = ?2, error = ?3,
                state = CASE WHEN seeds > 0 THEN 'completed' ELSE 'stopped' END
                WHERE search_id = ?4 AND ended_at IS NULL AND number = coalesce(?5, number)""",
                (now, ended.error_class, error, search_id, number),
            )

    def reopen(
        self, search_id: int, number: int, author: str, wanted: int, anew: bool = False
    ) -> None:
        """Queue a trial again that has ended, to be trained and judged; till then it is as it was.

        Args:
            search_id: the search.
            number: the trial.
            author: who wants it, and so approves of it where nobody has.
            wanted: trainings, at least.
            anew: whether those that gave no result begin anew.
        """
        with self.transaction():
            self.execute(
                """UPDATE proposals SET decision = 'approved', author = ?, decided_at = ?
                WHERE search_id = ? AND number = ? AND decision IS NULL""",
                (author, time.time(), search_id, number),
            )
            self.execute(
                """UPDATE trials SET state = 'queued', ended_at = NULL, round = round + 1,
                stopping = 0, error_class = '', error = '', wanted = ?
                WHERE search_id = ? AND number = ?""",
                (wanted, search_id, number),
            )
            if anew:
                self.execute(
                    """UPDATE runs SET state = 'running', crashes = 0, error_class = '', error = ''
                    WHERE search_id = ? AND number = ? AND state != 'completed'
                    AND kind = 'scratch'""",
                    (search_id, number),
                )

    def to_front(self, search_id: int, number: int) -> None:
        """Let a queued trial be the next one."""
        self.execute(
            """UPDATE trials SET priority =
            (SELECT 1 + max(priority) FROM trials WHERE search_id = ?1)
            WHERE search_id = ?1 AND number = ?2""",
            (search_id, number),
        )

    def stop_trial(self, search_id: int, number: int) -> None:
        """Have the training of a trial ended, now and whenever it would be begun again."""
        self.execute(
            "UPDATE trials SET stopping = 1 WHERE search_id = ? AND number = ?",
            (search_id, number),
        )

    def execute(
        self, sql: str, parameters: tuple[object, ...] | dict[str, object] = ()
    ) -> tuple[Any, ...] | None:
        """Run a statement and return the first row of its RETURNING clause, if any.

        For the other modules of this package; raises LeaseLost as `transaction` does.
        """
        with self.transaction():
            row: tuple[Any, ...] | None = self._db.execute(sql, parameters).fetchone()
            return row
