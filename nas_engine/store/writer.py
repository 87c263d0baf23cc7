"""Everything that the engine writes, one method per event.

Each thread of the engine has a writer, and so a connection, of its own. Every method is one
transaction and may be repeated: a crash before the next step must not count anything twice.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from informer.config import RunConfig, Value
from informer.rundir import Epoch, Progress, Success
from nas_engine.evaluator import Verdict
from nas_engine.liveness import engine_state
from nas_engine.proposals import Proposal
from nas_engine.search import SPENDING, Limits, SearchSpec
from nas_engine.service.cost import Booking, Usage, beyond
from nas_engine.service.fault import ErrorClass
from nas_engine.store.reader import BaselineRow, Reader
from nas_engine.store.schema import open_database, transaction
from nas_engine.workspace import Workspace

SearchState = Literal["running", "paused", "stopping", "stopped", "completed"]


@dataclass(frozen=True)
class PendingCommand:
    """A command as it lies in its row, still unchecked."""

    id: int
    search_id: int | None
    payload: str
    author: str


class LeaseLost(RuntimeError):
    """Another engine has taken over the search: this one must end without another write."""


class LimitReached(RuntimeError):
    """A limit of the search forbids another call of a language model; the text says which."""


class Writer:
    """The engine's side of the database."""

    def __init__(self, workspace: Workspace) -> None:
        """Open the database and bring it up to date; raises StoreError."""
        workspace.create()
        self._db = open_database(workspace.db)
        self.read = Reader(self._db.conn)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    # -- searches, engines, commands ------------------------------------------------------------

    def open_search(self, spec: SearchSpec) -> int:
        """Return the id of the search with the settings of `spec`, created if there is none."""
        with transaction(self._db.conn):
            if (existing := self.read.search_like(spec)) is not None:
                return existing.id
            row = self._execute(
                """INSERT INTO searches (fingerprint, spec, max_trials, state, created_at)
                VALUES (?, ?, ?, 'running', ?) RETURNING id""",
                (spec.fingerprint(), spec.model_dump_json(), spec.max_trials, time.time()),
            )
            assert row is not None
            return int(row[0])

    def extend(self, search_id: int, max_trials: int, limits: Limits) -> None:
        """Raise the number of trials (a smaller one changes nothing), and set what may be spent.

        A limit that is not given stays as it was, lest a search lose it unawares.
        """
        with transaction(self._db.conn):
            search = self.read.search(search_id)
            assert search is not None, f"search {search_id} has just been started"
            spending = limits.model_dump(include=set(SPENDING), exclude_none=True)
            spec = search.spec.model_copy(
                update={"limits": search.spec.limits.model_copy(update=spending)}
            )
            self._execute(
                "UPDATE searches SET max_trials = max(max_trials, ?), spec = ? WHERE id = ?",
                (max_trials, spec.model_dump_json(), search_id),
            )

    def set_search_state(self, search_id: int, state: SearchState, reason: str = "") -> None:
        """Record a new state of the search, and why."""
        self._execute(
            "UPDATE searches SET state = ?, reason = ? WHERE id = ?", (state, reason, search_id)
        )

    def take_lease(self, search_id: int, pid: int, process_created: float) -> bool:
        """Become the engine of the search; False if another one lives."""
        now = time.time()
        with transaction(self._db.conn):
            if engine_state(self.read.engine(search_id)) in ("alive", "stalled"):
                return False
            self._execute(
                """INSERT INTO engines (search_id, pid, process_created, started_at, heartbeat)
                VALUES (?, ?, ?, ?, ?) ON CONFLICT (search_id) DO UPDATE SET pid = excluded.pid,
                process_created = excluded.process_created, started_at = excluded.started_at,
                heartbeat = excluded.heartbeat""",
                (search_id, pid, process_created, now, now),
            )
            return True

    def release_lease(self, search_id: int, pid: int) -> None:
        """Give the lease back: the engine ends as it should."""
        self._execute("DELETE FROM engines WHERE search_id = ? AND pid = ?", (search_id, pid))

    def beat(self, search_id: int, pid: int, active_seconds: float) -> None:
        """Show that the engine lives, and add the time since the last beat to the search.

        Raises:
            LeaseLost: the lease belongs to another process by now.
        """
        with transaction(self._db.conn):
            mine = self._execute(
                "UPDATE engines SET heartbeat = ? WHERE search_id = ? AND pid = ? RETURNING pid",
                (time.time(), search_id, pid),
            )
            if mine is None:
                raise LeaseLost(f"Search {search_id} has another engine.")
            self._execute(
                "UPDATE searches SET active_seconds = active_seconds + ? WHERE id = ?",
                (active_seconds, search_id),
            )

    def pending_commands(self, search_id: int) -> list[PendingCommand]:
        """Return the unanswered commands of the search, oldest first."""
        rows = self._db.query(
            """SELECT id, search_id, payload, author FROM commands
            WHERE search_id = ? AND state = 'pending' ORDER BY id""",
            [search_id],
        )
        return [PendingCommand(**row) for row in rows]

    def pending_command(self, command_id: int) -> PendingCommand | None:
        """Return a command that is not yet answered."""
        rows = self._db.query(
            """SELECT id, search_id, payload, author FROM commands
            WHERE id = ? AND state = 'pending'""",
            [command_id],
        )
        return next((PendingCommand(**row) for row in rows), None)

    def address_command(self, command_id: int, search_id: int) -> None:
        """Say which search a command is for, once that is known."""
        self._execute("UPDATE commands SET search_id = ? WHERE id = ?", (search_id, command_id))

    def answer(self, command_id: int, applied: bool, text: str) -> None:
        """Record what became of a command."""
        self._execute(
            "UPDATE commands SET state = ?, answer = ?, answered_at = ? WHERE id = ?",
            ("applied" if applied else "refused", text, time.time(), command_id),
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
        with transaction(self._db.conn):
            for row in rows:
                self._execute(
                    """INSERT OR REPLACE INTO baselines (search_id, name, split, mse, mae)
                    VALUES (?, ?, ?, ?, ?)""",
                    (search_id, row.name, row.split, row.mse, row.mae),
                )

    # -- the life of a trial --------------------------------------------------------------------

    def propose(
        self, search_id: int, number: int, proposal: Proposal, config: RunConfig, waiting: bool
    ) -> int:
        """Create a trial from its proposal and return the proposal's id.

        Where the trial exists, its proposal is returned as it stands: planning is not repeated.
        """
        with transaction(self._db.conn):
            if (existing := self.read.trial(search_id, number)) is not None:
                return existing.proposal_id
            now = time.time()
            changes = json.dumps(proposal.changes)
            row = self._execute(
                """INSERT INTO proposals (search_id, number, parent, source, step_type, hypothesis,
                reasons, changes, original, config, decision, created_at, decided_at, expected_low,
                expected_high)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
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
                    None if waiting else "auto",
                    now,
                    None if waiting else now,
                    *(proposal.expected or (None, None)),
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
    ) -> bool:
        """Record a person's decision on a version of a proposal; False if none is waited for.

        Args:
            proposal_id: the proposal.
            version: the version that the person saw.
            decision: what was decided.
            author: who decided.
            comment: the reason given.
            edited: new changes, configuration and step type, where the person edited.
        """
        with transaction(self._db.conn):
            row = self._execute(
                """UPDATE proposals SET decision = ?, author = ?, comment = ?, decided_at = ?
                WHERE id = ? AND version = ? AND decision IS NULL RETURNING search_id, number""",
                (decision, author, _storable(comment), time.time(), proposal_id, version),
            )
            if row is None:
                return False
            if edited is not None:
                changes, config, step = edited
                self._execute(
                    """UPDATE proposals SET version = version + 1, changes = ?, config = ?,
                    step_type = ? WHERE id = ?""",
                    (json.dumps(dict(changes)), json.dumps(config.flat()), step, proposal_id),
                )
            state = "rejected" if decision == "rejected" else "queued"
            self._execute(
                "UPDATE trials SET state = ?, ended_at = ? WHERE search_id = ? AND number = ?",
                (state, time.time() if decision == "rejected" else None, *row),
            )
            return True

    def end_open_trials(self, search_id: int) -> None:
        """End the trials that wait or were left unfinished, because their search is stopped."""
        why = "The search was stopped."
        with transaction(self._db.conn):
            self._execute(
                """UPDATE trials SET ended_at = ?, error = ?,
                state = CASE WHEN seeds > 0 THEN 'completed' ELSE 'stopped' END
                WHERE search_id = ? AND ended_at IS NULL""",
                (time.time(), why, search_id),
            )
            self._execute(
                """UPDATE runs SET state = 'stopped', error_class = 'stopped', error = ?
                WHERE search_id = ? AND state = 'running'""",
                (why, search_id),
            )

    def begin_run(self, search_id: int, number: int, seed: int) -> int:
        """Book a training before it starts, drop what an unfinished attempt left, return its id."""
        with transaction(self._db.conn):
            row = self._execute(
                """INSERT INTO runs (search_id, number, seed) VALUES (?, ?, ?)
                ON CONFLICT (search_id, number, seed) DO UPDATE SET attempt = attempt + 1,
                state = 'running', epoch = NULL, step = NULL, steps = NULL RETURNING id""",
                (search_id, number, seed),
            )
            assert row is not None
            self._execute("DELETE FROM epochs WHERE run_id = ?", (row[0],))
            self._execute(
                """UPDATE trials SET state = 'running', started_at = coalesce(started_at, ?)
                WHERE search_id = ? AND number = ?""",
                (time.time(), search_id, number),
            )
            return int(row[0])

    def set_worker(self, run_id: int, pid: int) -> None:
        """Record which process trains the run."""
        self._execute("UPDATE runs SET worker_pid = ? WHERE id = ?", (pid, run_id))

    def add_metrics(self, run_id: int, records: Iterable[Progress | Epoch]) -> None:
        """Store what a worker reported since the last call."""
        with transaction(self._db.conn):
            for record in records:
                if isinstance(record, Progress):
                    self._execute(
                        "UPDATE runs SET epoch = ?, step = ?, steps = ? WHERE id = ?",
                        (record.epoch, record.step, record.steps, run_id),
                    )
                else:
                    self._execute(
                        """INSERT OR REPLACE INTO epochs
                        (run_id, epoch, train_loss, val_mse, val_mae, lr, seconds)
                        VALUES (?, ?, ?, ?, ?, ?, ?)""",
                        (
                            run_id,
                            record.epoch,
                            record.train_loss,
                            record.val_mse,
                            record.val_mae,
                            record.lr,
                            record.seconds,
                        ),
                    )

    def complete(self, search_id: int, number: int, run_id: int, result: Success) -> None:
        """Record the result of a training that ended well; the trial has the mean of its runs."""
        with transaction(self._db.conn):
            self._execute(
                """UPDATE runs SET state = 'completed', val_mse = :val_mse, val_mae = :val_mae,
                test_mse = :test_mse, test_mae = :test_mae, best_epoch = :best_epoch,
                epochs = :epochs, parameters = :parameters, seconds = :seconds, device = :device
                WHERE id = :run""",
                result.model_dump(exclude={"status"}) | {"run": run_id},
            )
            runs = self.read.runs(search_id, number)
            mses = [run.val_mse for run in runs if run.val_mse is not None]
            maes = [run.val_mae for run in runs if run.val_mae is not None]
            self._execute(
                """UPDATE trials SET state = 'completed', val_mse = ?, val_mae = ?, seeds = ?,
                spread = ?, error_class = '', error = '' WHERE search_id = ? AND number = ?""",
                (
                    statistics.mean(mses),
                    statistics.mean(maes),
                    len(mses),
                    statistics.stdev(mses) if len(mses) > 1 else None,
                    search_id,
                    number,
                ),
            )

    def end_without_result(
        self,
        search_id: int,
        number: int,
        run_id: int,
        state: Literal["failed", "crashed", "stopped"],
        error_class: str,
        error: str,
    ) -> None:
        """Record that a training ended without a result, and why.

        The trial is what its finished runs make it; it has this state where there are none.
        """
        how = (state, error_class, _storable(error))
        with transaction(self._db.conn):
            self._execute(
                "UPDATE runs SET state = ?, error_class = ?, error = ? WHERE id = ?", (*how, run_id)
            )
            self._execute(
                """UPDATE trials SET state = 'completed'
                WHERE search_id = ? AND number = ? AND seeds > 0""",
                (search_id, number),
            )
            self._execute(
                """UPDATE trials SET state = ?, error_class = ?, error = ?
                WHERE search_id = ? AND number = ? AND seeds = 0""",
                (*how, search_id, number),
            )

    def save_verdict(self, search_id: int, number: int, verdict: Verdict) -> None:
        """Record verdict and incumbent together; a verdict that exists stands."""
        figures, noise = verdict.figures, verdict.figures.noise
        with transaction(self._db.conn):
            new = self._execute(
                """INSERT INTO verdicts (search_id, number, accepted, rule, value, seeds, tried,
                incumbent, incumbent_value, incumbent_seeds, noise, noise_degrees, improvement,
                margin, sentence, opinion, created_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
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
                    time.time(),
                ),
            )
            if new is None:
                return
            self._execute(
                "UPDATE trials SET ended_at = ? WHERE search_id = ? AND number = ?",
                (time.time(), search_id, number),
            )
            if verdict.accepted:
                self._execute(
                    """UPDATE searches SET incumbent = (
                        SELECT t.number FROM trials t JOIN verdicts v USING (search_id, number)
                        WHERE t.search_id = searches.id AND v.accepted AND t.val_mse IS NOT NULL
                        ORDER BY t.val_mse, t.number)
                    WHERE id = ?""",
                    (search_id,),
                )

    # -- exchanges with language models ---------------------------------------------------------

    def reserve_call(
        self,
        search_id: int,
        number: int,
        role: Literal["planner", "evaluator"],
        attempt: int,
        model: str,
        messages: list[dict[str, str]],
        worst: Booking,
        base_url: str,
        temperature: float | None,
        max_tokens: int,
    ) -> int:
        """Book a call at its worst case before it is made, and return its id.

        Raises:
            LimitReached: it could exceed what the search may spend.
        """
        with transaction(self._db.conn):
            search = self.read.search(search_id)
            assert search is not None, f"search {search_id} asks a language model"
            problem = beyond(search.spec.limits, self.read.spend(search_id), worst)
            if problem is not None:
                raise LimitReached(problem)
            row = self._execute(
                """INSERT INTO llm_calls (search_id, number, role, attempt, model, messages,
                booked_tokens, booked_usd, base_url, temperature, max_tokens, created_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
                (
                    *(search_id, number, role, attempt, model, json.dumps(messages)),
                    *(worst.tokens, worst.usd, base_url, temperature, max_tokens, time.time()),
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
        """
        self._execute(
            """UPDATE llm_calls SET outcome = ?, reply = ?, problem = ?, seconds = ?,
            error_class = ?, prompt_tokens = ?, completion_tokens = ?, cost_usd = ?,
            booked_tokens = coalesce(?, booked_tokens), booked_usd = coalesce(?, booked_usd)
            WHERE id = ?""",
            (
                *(outcome, _storable(reply), _storable(problem), seconds, error_class),
                *(dataclasses.astuple(usage) if usage else (None, None, None)),
                *(dataclasses.astuple(booked) if booked else (None, None)),
                call_id,
            ),
        )

    def _execute(
        self, sql: str, parameters: tuple[object, ...] | dict[str, object] = ()
    ) -> tuple[Any, ...] | None:
        """Run a statement and return the first row of its RETURNING clause, if any."""
        with transaction(self._db.conn):
            row: tuple[Any, ...] | None = self._db.execute(sql, parameters).fetchone()
            return row


def _storable(text: str) -> str:
    """Return text that SQLite can hold: lone surrogates, which a model may send, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
