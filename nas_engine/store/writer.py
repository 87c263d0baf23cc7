"""Everything that the engine writes, one method per event.

Each thread of the engine has a writer of its own. Every method is one transaction and may be
repeated: a crash before the next step must not count anything twice. Metrics, which can be read
again from the run folder, have a connection that does not wait for the disk, and that all threads
share.

An engine's writer has a lease, and writes only while that is the newest one of its search: a
process that was held up, and replaced meanwhile, can do no harm when it goes on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlite_utils import Database

from informer.config import RunConfig, Value
from informer.rundir import Epoch, Progress, Success, UsedData
from nas_engine.evaluator import Verdict, compared_text
from nas_engine.liveness import (
    LEASE_SECONDS,
    boot_clock,
    boot_id,
    engine_state,
    process_start,
)
from nas_engine.proposals import Proposal
from nas_engine.search import SearchSpec
from nas_engine.service.cost import Booking, Usage, beyond
from nas_engine.service.fault import ErrorClass
from nas_engine.settings import RoleName
from nas_engine.store.reader import BaselineRow, EngineRow, Reader, fingerprints
from nas_engine.store.schema import differing, open_database, sampled, transaction
from nas_engine.store.together import Change, Together
from nas_engine.trainers.base import Ended, Load, NodeSeen, Worker
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


class LimitReached(RuntimeError):
    """A limit of the search forbids another call of a language model; the text says which."""


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

    def _report(self, change: Change) -> None:
        """Write what a training reports, together with what others do."""
        self._together.report(change, lambda: self._transaction(self._metrics.conn))

    def _check(self, connection: sqlite3.Connection, lease: Lease) -> None:
        newest = connection.execute(
            "SELECT token FROM engines WHERE search_id = ? AND NOT released", (lease.search_id,)
        ).fetchone()
        if newest != (lease.token,):
            raise LeaseLost(f"Search {lease.search_id} has another engine.")

    # -- searches, engines, commands ------------------------------------------------------------

    def open_search(self, spec: SearchSpec) -> int:
        """Return the id of the search with the settings of `spec`, created if there is none."""
        with self.transaction():
            if (existing := self.read.search_like(spec)) is not None:
                return existing.id
            data, (first, second) = spec.data(), fingerprints(spec)
            taken = self._execute("SELECT 1 FROM searches WHERE fingerprint = ?", (first,))
            row = self._execute(
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
        self._execute(
            "UPDATE searches SET data = ? WHERE id = ? AND data = ''",
            (data.model_dump_json(), search_id),
        )

    def note_traits(self, search_id: int, traits: str) -> None:
        """Record what the data of a search are like, as JSON, where that is not known yet."""
        self._execute(
            "UPDATE searches SET traits = ? WHERE id = ? AND traits = ''", (traits, search_id)
        )

    def keep_lessons(self, search_id: int, lessons: str) -> None:
        """Record what a search takes from earlier ones, as JSON; what was recorded once stays."""
        self._execute(
            "UPDATE searches SET lessons = ? WHERE id = ? AND lessons = ''", (lessons, search_id)
        )

    def change(self, search_id: int, spec: SearchSpec) -> None:
        """Set what may be changed while a search runs: budgets, slots and mode."""
        self._execute(
            "UPDATE searches SET max_trials = ?, spec = ? WHERE id = ?",
            (spec.max_trials, spec.model_dump_json(), search_id),
        )

    def go_on(self, search_id: int) -> None:
        """Let a search run, and forgive the failures that it may have paused for."""
        self._execute(
            """UPDATE searches SET state = 'running', reason = '',
            forgiven = (SELECT coalesce(max(id), 0) FROM verdicts) WHERE id = ?""",
            (search_id,),
        )

    def set_search_state(self, search_id: int, state: SearchState, reason: str = "") -> None:
        """Record a new state of the search, and why."""
        self._execute(
            "UPDATE searches SET state = ?, reason = ? WHERE id = ?", (state, reason, search_id)
        )

    def pause(self, search_id: int, reason: str) -> None:
        """Pause a search that runs; one that a person has stopped goes on stopping."""
        self._execute(
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
            row = self._execute(
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
        self._execute(
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
            self._execute(
                "UPDATE engines SET heartbeat = ? WHERE search_id = ?", (boot_clock(), search_id)
            )
            self._execute(
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
        self._execute("UPDATE commands SET search_id = ? WHERE id = ?", (search_id, command_id))

    def answer(self, command_id: int, applied: bool, text: str) -> None:
        """Record what became of a command."""
        self._execute(
            "UPDATE commands SET state = ?, answer = ?, answered_at = ? WHERE id = ?",
            ("applied" if applied else "refused", text, time.time(), command_id),
        )

    def touch(self, search_id: int, number: int | None = None) -> None:
        """Give the search, or one of its trials, a new version: a person has changed it."""
        if number is None:
            self._execute("UPDATE searches SET version = version + 1 WHERE id = ?", (search_id,))
        else:
            self._execute(
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
        self._execute(
            """INSERT INTO events (search_id, number, level, text, created_at)
            VALUES (?, ?, ?, ?, ?)""",
            (search_id, number, level, _storable(text), time.time()),
        )

    def add_baselines(self, search_id: int, rows: Iterable[BaselineRow]) -> None:
        """Store the baselines of a search, replacing earlier ones."""
        with self.transaction():
            for row in rows:
                self._execute(
                    """INSERT OR REPLACE INTO baselines (search_id, name, split, mse, mae)
                    VALUES (?, ?, ?, ?, ?)""",
                    (search_id, row.name, row.split, row.mse, row.mae),
                )

    # -- the life of a trial --------------------------------------------------------------------

    def propose(
        self,
        search_id: int,
        number: int,
        proposal: Proposal,
        config: RunConfig,
        waiting: bool = False,
        author: str = "",
        drafted: bool = False,
    ) -> int:
        """Create a trial from its proposal and return the proposal's id.

        It waits for a decision, or is queued: approved by `author` where a person made it. What a
        chat has `drafted` waits and holds up no other trial. Where the trial exists, its proposal
        is returned as it stands: planning is not repeated.
        """
        with self.transaction():
            if (existing := self.read.trial(search_id, number)) is not None:
                return existing.proposal_id
            now = time.time()
            decision = None if waiting else "approved" if author else "auto"
            changes = json.dumps(proposal.changes)
            differences = self._differences(search_id, number, config)
            row = self._execute(
                """INSERT INTO proposals (search_id, number, parent, source, step_type, hypothesis,
                reasons, changes, original, config, decision, author, created_at, decided_at,
                expected_low, expected_high, differences, waiting_since, drafted)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
                (
                    search_id,
                    number,
                    proposal.parent,
                    proposal.source,
                    proposal.step_type,
                    _storable(proposal.hypothesis),
                    _storable(proposal.reasons),
                    changes,
                    changes,
                    json.dumps(config.flat()),
                    decision,
                    author,
                    now,
                    None if waiting else now,
                    *(proposal.expected or (None, None)),
                    *(differences, now if waiting else None, drafted),
                ),
            )
            assert row is not None
            self._execute(
                """INSERT INTO trials (search_id, number, proposal_id, state, created_at)
                VALUES (?, ?, ?, ?, ?)""",
                (search_id, number, row[0], "proposed" if waiting else "queued", now),
            )
            return int(row[0])

    def decide(
        self,
        proposal_id: int,
        version: int,
        decision: Literal["approved", "edited", "rejected"],
        author: str,
        comment: str,
        edited: tuple[Mapping[str, Value], RunConfig, str] | None = None,
        expected: tuple[float, float] | None = None,
    ) -> bool:
        """Record a decision on a version of a proposal; False if none is waited for.

        Args:
            proposal_id: the proposal.
            version: the version that the person saw.
            decision: what was decided.
            author: who decided.
            comment: the reason given.
            edited: new changes, configuration and step type, where the person edited.
            expected: what the person who edited expects of it.
        """
        with self.transaction():
            row = self._execute(
                """UPDATE proposals SET decision = ?, author = ?, comment = ?, decided_at = ?,
                asked_again = 0
                WHERE id = ? AND version = ? AND decision IS NULL AND EXISTS (SELECT 1
                    FROM trials t WHERE t.proposal_id = proposals.id AND t.state = 'proposed')
                RETURNING search_id, number""",
                (decision, author, _storable(comment), time.time(), proposal_id, version),
            )
            if row is None:
                return False
            if edited is not None:
                changes, config, step = edited
                self._keep_version(proposal_id, "edited", author, comment)
                self._execute(
                    """UPDATE proposals SET version = version + 1, changes = ?, config = ?,
                    step_type = ?, differences = ?, expected_low = ?, expected_high = ?,
                    surrogate_low = NULL, surrogate_high = NULL WHERE id = ?""",
                    (
                        *(json.dumps(dict(changes)), json.dumps(config.flat()), step),
                        self._differences(row[0], row[1], config),
                        *(expected or (None, None)),
                        proposal_id,
                    ),
                )
            state = "rejected" if decision == "rejected" else "queued"
            self._execute(
                "UPDATE trials SET state = ?, ended_at = ? WHERE search_id = ? AND number = ?",
                (state, time.time() if decision == "rejected" else None, *row),
            )
            return True

    def ask_again(self, proposal_id: int, version: int, author: str, hint: str) -> bool:
        """Wish for another proposal in the place of a version; False if that does not wait.

        What stands until then counts as the next version: who saw it without the wish is told.
        """
        with self.transaction():
            waits = self._execute(
                """SELECT 1 FROM proposals p JOIN trials t ON t.proposal_id = p.id WHERE p.id = ?
                AND p.version = ? AND p.decision IS NULL AND NOT p.asked_again
                AND t.state = 'proposed'""",
                (proposal_id, version),
            )
            if waits is None:
                return False
            self._keep_version(proposal_id, "asked again", author, hint)
            self._execute(
                """UPDATE proposals SET version = version + 1, asked_again = 1, hint = ?
                WHERE id = ?""",
                (_storable(hint), proposal_id),
            )
            return True

    def propose_again(
        self, proposal_id: int, version: int, proposal: Proposal, config: RunConfig
    ) -> bool:
        """Put what the planner proposed anew in the place of a version; False if it has gone."""
        with self.transaction():
            row = self._execute(
                """UPDATE proposals SET version = version + 1, asked_again = 0, parent = ?,
                source = ?, step_type = ?, hypothesis = ?, reasons = ?, changes = ?, original = ?,
                config = ?, expected_low = ?, expected_high = ?, surrogate_low = NULL,
                surrogate_high = NULL, waiting_since = ?
                WHERE id = ? AND version = ? AND decision IS NULL AND asked_again
                AND EXISTS (SELECT 1
                    FROM trials t WHERE t.proposal_id = proposals.id AND t.state = 'proposed')
                RETURNING search_id, number""",
                (
                    *(proposal.parent, proposal.source, proposal.step_type),
                    *(_storable(proposal.hypothesis), _storable(proposal.reasons)),
                    *(json.dumps(proposal.changes), json.dumps(proposal.changes)),
                    json.dumps(config.flat()),
                    *(proposal.expected or (None, None)),
                    *(time.time(), proposal_id, version),
                ),
            )
            if row is None:
                return False
            self._execute(
                "UPDATE proposals SET differences = ? WHERE id = ?",
                (self._differences(row[0], row[1], config), proposal_id),
            )
            return True

    def keep_proposal(self, proposal_id: int) -> None:
        """Ask the planner no longer: what it proposed before stands, and waits."""
        self._execute("UPDATE proposals SET asked_again = 0 WHERE id = ?", (proposal_id,))

    def _keep_version(
        self, proposal_id: int, why: Literal["edited", "asked again"], author: str, comment: str
    ) -> None:
        """Keep what a proposal says before it is replaced."""
        self._execute(
            """INSERT INTO revisions (proposal_id, version, source, step_type, hypothesis, reasons,
            changes, config, expected_low, expected_high, surrogate_low, surrogate_high, why,
            author, comment, created_at)
            SELECT id, version, source, step_type, hypothesis, reasons, changes, config,
            expected_low, expected_high, surrogate_low, surrogate_high, ?, ?, ?, ?
            FROM proposals WHERE id = ?""",
            (why, author, _storable(comment), time.time(), proposal_id),
        )

    def foresee(self, proposal_id: int, version: int, interval: tuple[float, float]) -> None:
        """Keep what the surrogate expects of a version of a proposal."""
        self._execute(
            """UPDATE proposals SET surrogate_low = ?, surrogate_high = ?
            WHERE id = ? AND version = ?""",
            (*interval, proposal_id, version),
        )

    def announced(self, proposal_id: int, version: int) -> None:
        """Record that people are told, outside of the dashboard, that a version waits."""
        self._execute(
            "UPDATE proposals SET announced = ? WHERE id = ? AND announced < ?",
            (version, proposal_id, version),
        )

    # -- what people want beside the trials -----------------------------------------------------

    def add_turn(self, search_id: int, question: str, author: str) -> int:
        """Keep a question and return the id of its turn."""
        row = self._execute(
            """INSERT INTO turns (search_id, author, question, created_at) VALUES (?, ?, ?, ?)
            RETURNING id""",
            (search_id, author, _storable(question), time.time()),
        )
        assert row is not None
        return int(row[0])

    def stop_turn(self, turn_id: int) -> bool:
        """Wish for the end of an answer; False if it has ended already."""
        row = self._execute(
            """UPDATE turns SET stopping = 1 WHERE id = ? AND state IN ('asked', 'answering')
            RETURNING id""",
            (turn_id,),
        )
        return row is not None

    def answer_so_far(
        self, turn_id: int, text: str, looked_up: Sequence[Mapping[str, Any]]
    ) -> bool:
        """Keep as much of an answer as there is; return whether somebody wants it stopped."""
        row = self._execute(
            """UPDATE turns SET state = 'answering', answer = ?, looked_up = ? WHERE id = ?
            RETURNING stopping""",
            (_storable(text), _storable(json.dumps(looked_up)), turn_id),
        )
        return row is not None and bool(row[0])

    def end_turn(
        self,
        turn_id: int,
        state: Literal["answered", "stopped", "failed"],
        problem: str = "",
    ) -> None:
        """Record how an answer ended; what there is of it stays."""
        self._execute(
            "UPDATE turns SET state = ?, problem = ?, ended_at = ? WHERE id = ?",
            (state, _storable(problem), time.time(), turn_id),
        )

    def note_draft(self, turn_id: int, number: int) -> None:
        """Record which trial an answer has proposed; it proposes one at most."""
        self._execute(
            "UPDATE turns SET drafted = ? WHERE id = ? AND drafted IS NULL", (number, turn_id)
        )

    def add_replay(self, search_id: int, number: int, planner: str, model: str, author: str) -> int:
        """Keep the wish to see what another planner would have proposed; return its id."""
        row = self._execute(
            """INSERT INTO replays (search_id, number, planner, model, author, created_at)
            VALUES (?, ?, ?, ?, ?, ?) RETURNING id""",
            (search_id, number, planner, _storable(model), author, time.time()),
        )
        assert row is not None
        return int(row[0])

    def end_replay(
        self,
        replay_id: int,
        proposal: Proposal,
        config: RunConfig,
        foreseen: tuple[float, float] | None = None,
    ) -> None:
        """Record what would have been proposed, and what the surrogate expects of it now."""
        self._execute(
            """UPDATE replays SET state = 'answered', source = ?, parent = ?, changes = ?,
            config = ?, hypothesis = ?, reasons = ?, expected_low = ?, expected_high = ?,
            surrogate_low = ?, surrogate_high = ?, ended_at = ? WHERE id = ?""",
            (
                *(proposal.source, proposal.parent, json.dumps(proposal.changes)),
                *(json.dumps(config.flat()), _storable(proposal.hypothesis)),
                *(_storable(proposal.reasons), *(proposal.expected or (None, None))),
                *(foreseen or (None, None)),
                *(time.time(), replay_id),
            ),
        )

    def fail_replay(self, replay_id: int, problem: str) -> None:
        """Record why nothing would have been proposed."""
        self._execute(
            "UPDATE replays SET state = 'failed', problem = ?, ended_at = ? WHERE id = ?",
            (_storable(problem), time.time(), replay_id),
        )

    def steer(self, search_id: int, words: str, constraint: str, author: str) -> int:
        """Keep what a person told the search, a constraint's JSON or words, and return its id."""
        row = self._execute(
            """INSERT INTO steering (search_id, words, constraint_, author, created_at)
            VALUES (?, ?, ?, ?, ?) RETURNING id""",
            (search_id, _storable(words), constraint, author, time.time()),
        )
        assert row is not None
        return int(row[0])

    def lift(self, search_id: int, steering_id: int, author: str) -> bool:
        """End a constraint or a word of guidance; False if it holds no longer."""
        row = self._execute(
            """UPDATE steering SET ended_by = ?, ended_at = ?
            WHERE id = ? AND search_id = ? AND ended_at IS NULL RETURNING id""",
            (author, time.time(), steering_id, search_id),
        )
        return row is not None

    def _differences(self, search_id: int, number: int, config: RunConfig) -> str:
        """Return how a configuration differs from trial 0's, as JSON."""
        first = self.read.trial(search_id, 0) if number else None
        return json.dumps(differing(first.config if first else {}, config.flat()))

    def _draw_spark(self, search_id: int, number: int) -> None:
        """Keep a few points of the learning curve that stands for the trial."""
        curve = [row.val_mse for row in self.read.epochs(search_id, [number])]
        self._execute(
            "UPDATE trials SET spark = ? WHERE search_id = ? AND number = ?",
            (json.dumps(sampled(curve)), search_id, number),
        )

    def end_unfinished(self, search_id: int, ended: Ended, number: int | None = None) -> None:
        """End a trial that waits or was left unfinished, or all of them; it is not judged."""
        error = _storable(ended.message)
        with self.transaction():
            now = time.time()
            self._execute(
                """UPDATE runs SET state = 'stopped', error_class = ?, error = ?, ended_at = ?
                WHERE search_id = ? AND state = 'running' AND number = coalesce(?, number)""",
                (ended.error_class, error, now, search_id, number),
            )
            self._execute(
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
            self._execute(
                """UPDATE proposals SET decision = 'approved', author = ?, decided_at = ?
                WHERE search_id = ? AND number = ? AND decision IS NULL""",
                (author, time.time(), search_id, number),
            )
            self._execute(
                """UPDATE trials SET state = 'queued', ended_at = NULL, round = round + 1,
                stopping = 0, error_class = '', error = '', wanted = ?
                WHERE search_id = ? AND number = ?""",
                (wanted, search_id, number),
            )
            if anew:
                self._execute(
                    """UPDATE runs SET state = 'running', crashes = 0, error_class = '', error = ''
                    WHERE search_id = ? AND number = ? AND state != 'completed'
                    AND kind = 'scratch'""",
                    (search_id, number),
                )

    def to_front(self, search_id: int, number: int) -> None:
        """Let a queued trial be the next one."""
        self._execute(
            """UPDATE trials SET priority =
            (SELECT 1 + max(priority) FROM trials WHERE search_id = ?1)
            WHERE search_id = ?1 AND number = ?2""",
            (search_id, number),
        )

    def stop_trial(self, search_id: int, number: int) -> None:
        """Have the training of a trial ended, now and whenever it would be begun again."""
        self._execute(
            "UPDATE trials SET stopping = 1 WHERE search_id = ? AND number = ?",
            (search_id, number),
        )

    def begin_run(
        self,
        search_id: int,
        number: int,
        seed: int,
        inherited_from: int | None = None,
        epochs: int | None = None,
    ) -> int:
        """Book a training before it starts, drop what an unfinished attempt left, return its id.

        Args:
            search_id: the search.
            number: the trial.
            seed: of the training.
            inherited_from: the trial with whose weights it begins; None: it begins from scratch.
            epochs: that it has at most, where that is not what the trial's configuration says.
        """
        with self.transaction():
            now = time.time()
            kind = "scratch" if inherited_from is None else "inherited"
            row = self._execute(
                """INSERT INTO runs (search_id, number, seed, started_at, kind, inherited_from,
                epochs) VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (search_id, number, seed, kind) DO UPDATE SET attempt = attempt + 1,
                state = 'running', error_class = '', error = '', epoch = NULL, step = NULL,
                steps = NULL, ended_at = NULL, inherited_from = excluded.inherited_from,
                epochs = excluded.epochs RETURNING id""",
                (search_id, number, seed, now, kind, inherited_from, epochs),
            )
            assert row is not None
            self._execute("DELETE FROM epochs WHERE run_id = ?", (row[0],))
            self._execute(
                """UPDATE trials SET state = 'running', started_at = coalesce(started_at, ?)
                WHERE search_id = ? AND number = ?""",
                (now, search_id, number),
            )
            return int(row[0])

    def set_worker(self, run_id: int, worker: Worker) -> None:
        """Record which process trains the run, and in which slot."""
        self._execute(
            "UPDATE runs SET worker_pid = ?, worker_start = ?, slot = ?, node = ? WHERE id = ?",
            (worker.pid, worker.process_start, worker.slot, worker.node, run_id),
        )

    def add_metrics(
        self,
        search_id: int,
        number: int,
        run_id: int,
        records: Iterable[Progress | Epoch],
        seconds: float = 0.0,
    ) -> None:
        """Store what a worker reported in the `seconds` since the last call, and log its epochs."""
        kept, now = list(records), time.time()

        def store(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE runs SET spent = spent + ? WHERE id = ?", (seconds, run_id))
            for record in kept:
                if isinstance(record, Progress):
                    connection.execute(
                        "UPDATE runs SET epoch = ?, step = ?, steps = ? WHERE id = ?",
                        (record.epoch, record.step, record.steps, run_id),
                    )
                    continue
                connection.execute(
                    """INSERT OR REPLACE INTO epochs
                    (run_id, epoch, train_loss, val_mse, val_mae, lr, seconds)
                    VALUES (:run, :epoch, :train_loss, :val_mse, :val_mae, :lr, :seconds)""",
                    record.model_dump(exclude={"kind"}) | {"run": run_id},
                )
                connection.execute(
                    """INSERT INTO events (search_id, number, level, text, created_at)
                    SELECT search_id, number, 'debug', 'Trial ' || number || CASE kind
                        WHEN 'inherited' THEN ' with inherited weights' ELSE '' END || ?, ?
                    FROM runs WHERE id = ?""",
                    (f", {_told(record)}", now, run_id),
                )

        self._report(store)

    def set_load(self, run_id: int, load: Load) -> None:
        """Record what the worker of a run takes now, in megabytes of 10^6 bytes, and its peak."""
        memory, on_gpu = load.memory / 1e6, load.gpu_memory and load.gpu_memory / 1e6
        self._report(
            lambda connection: connection.execute(
                """UPDATE runs SET cpu_percent = ?1, memory_mb = ?2,
                peak_memory_mb = max(coalesce(peak_memory_mb, 0), ?2), gpu_percent = ?3,
                gpu_memory_mb = ?4 WHERE id = ?5""",
                (load.cpu_percent, memory, load.gpu_percent, on_gpu, run_id),
            )
        )

    def see_nodes(self, search_id: int, seen: Iterable[NodeSeen]) -> None:
        """Record the machines of a cluster as they are now; those that are not named are lost."""
        rows = [(search_id, *dataclasses.astuple(node), time.time()) for node in seen]

        def store(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE nodes SET alive = 0 WHERE search_id = ?", (search_id,))
            connection.executemany(
                """INSERT INTO nodes (search_id, node, name, alive, cpus, gpus, cpu_percent,
                memory_mb, memory_total_mb, gpu_percent, gpu_memory_mb, seen_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 / 1e6, ?9 / 1e6, ?10, ?11 / 1e6, ?12)
                ON CONFLICT (search_id, node) DO UPDATE SET name = ?3, alive = ?4, cpus = ?5,
                gpus = ?6, cpu_percent = ?7, memory_mb = ?8 / 1e6,
                memory_total_mb = coalesce(?9 / 1e6, memory_total_mb), gpu_percent = ?10,
                gpu_memory_mb = ?11 / 1e6, seen_at = iif(?4, ?12, seen_at)""",
                rows,
            )

        self._report(store)

    def complete(
        self,
        search_id: int,
        number: int,
        run_id: int,
        result: Success,
        data: UsedData | None = None,
        flops: int | None = None,
    ) -> None:
        """Record the result of a training that ended well; the trial has the mean of its runs.

        One that began with the weights of another trial changes nothing of the trial.

        Args:
            search_id: the search.
            number: the trial.
            run_id: the training.
            result: its result.
            data: what it saw; None where it left no record of that.
            flops: of the forecast of one window; None where they are not known.
        """
        with self.transaction():
            kind = self._execute(
                """UPDATE runs SET state = 'completed', val_mse = :val_mse, val_mae = :val_mae,
                test_mse = :test_mse, test_mae = :test_mae, best_epoch = :best_epoch,
                epochs = :epochs, parameters = :parameters, seconds = :seconds, device = :device,
                latency_ms = :latency_ms, flops = :flops,
                peak_memory_mb = coalesce(:memory_mb, peak_memory_mb),
                inherited_share = :inherited_share, data_sha256 = :data, ended_at = :now
                WHERE id = :run RETURNING kind""",
                result.model_dump(exclude={"status"})
                | {
                    "run": run_id,
                    "now": time.time(),
                    "data": (data and data.sha256) or "",
                    "flops": flops,
                },
            )
            if kind != ("scratch",):
                return
            runs = self.read.runs(search_id, number)
            mses = [run.val_mse for run in runs if run.val_mse is not None]
            maes = [run.val_mae for run in runs if run.val_mae is not None]
            self._execute(
                f"""UPDATE trials SET state = {_BUSY_OR} 'completed' END, val_mse = ?, val_mae = ?,
                seeds = ?, spread = ?, error_class = '', error = ''
                WHERE search_id = ? AND number = ?""",  # noqa: S608
                (
                    statistics.mean(mses),
                    statistics.mean(maes),
                    len(mses),
                    statistics.stdev(mses) if len(mses) > 1 else None,
                    search_id,
                    number,
                ),
            )
            self._draw_spark(search_id, number)

    def end_without_result(
        self,
        search_id: int,
        number: int,
        run_id: int,
        ended: Ended,
    ) -> None:
        """Record that a training ended without a result, and why.

        The trial is what its finished runs make it; it has this state where there are none. One
        that began with the weights of another trial changes nothing of the trial.
        """
        how = (ended.state, ended.error_class, _storable(ended.message))
        with self.transaction():
            kind = self._execute(
                """UPDATE runs SET state = ?1, error_class = ?2, error = ?3, ended_at = ?4,
                crashes = crashes + (?1 = 'crashed'), latency_ms = ?6,
                epochs = (SELECT max(epoch) FROM epochs WHERE run_id = ?5),
                seconds = (SELECT sum(seconds) FROM epochs WHERE run_id = ?5) WHERE id = ?5
                RETURNING kind""",
                (*how, time.time(), run_id, ended.latency_ms),
            )
            if kind != ("scratch",):
                return
            self._execute(
                f"""UPDATE trials SET state = {_BUSY_OR} 'completed' END
                WHERE search_id = ? AND number = ? AND seeds > 0""",  # noqa: S608
                (search_id, number),
            )
            self._execute(
                f"""UPDATE trials SET state = {_BUSY_OR} ? END, error_class = ?, error = ?
                WHERE search_id = ? AND number = ? AND seeds = 0""",  # noqa: S608
                (*how, search_id, number),
            )
            self._draw_spark(search_id, number)

    def give_up(self, search_id: int, number: int, why: str) -> None:
        """End a trial that is not trained from scratch, as it is not expected to compare."""
        self._execute(
            """UPDATE trials SET state = 'pruned', error_class = '', error = ?
            WHERE search_id = ? AND number = ?""",
            (_storable(why), search_id, number),
        )

    def save_verdict(self, search_id: int, number: int, verdict: Verdict) -> bool:
        """Record verdict and incumbent together; the verdict of this round stands if there is one.

        Returns:
            False, and nothing is recorded, where the trial was compared with an incumbent that is
            none any more, or with another front: it must be judged anew.
        """
        figures, noise = verdict.figures, verdict.figures.noise
        with self.transaction():
            now = self.read.figures(search_id, number)
            if figures.value is not None and figures.rival != now.rival:
                return False
            self._execute(
                """DELETE FROM verdicts WHERE search_id = ?1 AND number = ?2 AND round <
                (SELECT round FROM trials WHERE search_id = ?1 AND number = ?2)""",
                (search_id, number),
            )
            new = self._execute(
                """INSERT INTO verdicts (search_id, number, round, accepted, rule, value, seeds,
                tried, incumbent, incumbent_value, incumbent_seeds, noise, noise_degrees,
                improvement, margin, sentence, opinion, compared, created_at)
                VALUES (?1, ?2, (SELECT round FROM trials WHERE search_id = ?1 AND number = ?2),
                ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT DO NOTHING RETURNING number""",
                (
                    search_id,
                    number,
                    int(verdict.accepted),
                    _storable(verdict.rule),
                    figures.value,
                    figures.seeds,
                    figures.tried,
                    figures.incumbent,
                    figures.incumbent_value,
                    figures.incumbent_seeds,
                    noise.relative if noise else None,
                    noise.degrees if noise else None,
                    figures.improvement,
                    verdict.margin,
                    _storable(verdict.sentence),
                    _storable(verdict.opinion),
                    compared_text(figures.compared),
                    time.time(),
                ),
            )
            if new is None:
                return True
            ended = (time.time(), search_id, number)
            self._execute(
                """UPDATE runs SET state = 'stopped', error_class = 'stopped', ended_at = ?,
                error = 'It was not needed any more.'
                WHERE search_id = ? AND number = ? AND state = 'running'""",
                ended,
            )
            self._execute(
                """UPDATE trials SET ended_at = ?,
                state = CASE WHEN state != 'running' THEN state WHEN seeds > 0 THEN 'completed'
                    WHEN error_class = 'stopped' THEN 'stopped' ELSE 'failed' END
                WHERE search_id = ? AND number = ?""",
                ended,
            )
            self._execute(
                "UPDATE searches SET incumbent = ? WHERE id = ?",
                (self.read.best(search_id), search_id),
            )
            return True

    # -- exchanges with language models ---------------------------------------------------------

    def reserve_call(
        self,
        search_id: int,
        number: int | None,
        role: RoleName,
        attempt: int,
        model: str,
        messages: list[dict[str, str]],
        worst: Booking,
        base_url: str,
        temperature: float | None,
        max_tokens: int,
        turn_id: int | None = None,
        replay_id: int | None = None,
    ) -> int:
        """Book a call at its worst case before it is made, and return its id.

        Raises:
            LimitReached: it could exceed what the search may spend.
        """
        with self.transaction():
            search = self.read.search(search_id)
            assert search is not None, f"search {search_id} asks a language model"
            problem = beyond(search.spec.limits, self.read.spend(search_id), worst)
            if problem is not None:
                raise LimitReached(problem)
            row = self._execute(
                """INSERT INTO llm_calls (search_id, number, role, attempt, model, messages,
                booked_tokens, booked_usd, base_url, temperature, max_tokens, created_at, turn_id,
                replay_id)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
                (
                    *(search_id, number, role, attempt, model, json.dumps(messages)),
                    *(worst.tokens, worst.usd, base_url, temperature, max_tokens, time.time()),
                    *(turn_id, replay_id),
                ),
            )
            assert row is not None
            return int(row[0])

    def finish_call(
        self,
        call_id: int,
        outcome: Literal["used", "refused", "failed"],
        reply: str,
        problem: str,
        seconds: float,
        error_class: ErrorClass | Literal[""] = "",
        usage: Usage | None = None,
        booked: Booking | None = None,
        completion: str = "",
    ) -> None:
        """Record the answer to a call and what was made of it.

        Args:
            call_id: the call.
            outcome: what became of it.
            reply: the words of the model.
            problem: why the answer was refused or the call failed.
            seconds: from the request to the response.
            error_class: the kind of the problem.
            usage: what the service reports.
            booked: what the call took; None: the worst case stands.
            completion: the whole answer as JSON, for when the same question comes up again.
        """
        self._execute(
            """UPDATE llm_calls SET outcome = ?, reply = ?, problem = ?, seconds = ?,
            error_class = ?, prompt_tokens = ?, completion_tokens = ?, cost_usd = ?,
            booked_tokens = coalesce(?, booked_tokens), booked_usd = coalesce(?, booked_usd),
            completion = ? WHERE id = ?""",
            (
                *(outcome, _storable(reply), _storable(problem), seconds, error_class),
                *(dataclasses.astuple(usage) if usage else (None, None, None)),
                *(dataclasses.astuple(booked) if booked else (None, None)),
                *(_storable(completion), call_id),
            ),
        )

    def forget_answers(
        self, search_id: int, number: int | None, role: str, replay_id: int | None = None
    ) -> None:
        """Keep the whole answers about a trial or a replay no longer; the transcript stays."""
        self._execute(
            """UPDATE llm_calls SET completion = ''
            WHERE search_id = ? AND number IS ? AND role = ? AND replay_id IS ?""",
            (search_id, number, role, replay_id),
        )

    def _execute(
        self, sql: str, parameters: tuple[object, ...] | dict[str, object] = ()
    ) -> tuple[Any, ...] | None:
        """Run a statement and return the first row of its RETURNING clause, if any."""
        with self.transaction():
            row: tuple[Any, ...] | None = self._db.execute(sql, parameters).fetchone()
            return row


_BUSY_OR = """CASE WHEN EXISTS (SELECT 1 FROM runs r WHERE r.search_id = trials.search_id
    AND r.number = trials.number AND r.state = 'running') THEN 'running' ELSE"""
"""The state of a trial of which another training is still under way."""


def _told(epoch: Epoch) -> str:
    loss, error = (
        "not finite" if value is None else f"{value:.4g}"
        for value in (epoch.train_loss, epoch.val_mse)
    )
    return f"epoch {epoch.epoch}: train_loss {loss}, val_mse {error}, {epoch.seconds:.1f} s."


def _storable(text: str) -> str:
    """Return text that SQLite can hold: lone surrogates, which a model may send, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
