"""Everything that is read from the database, as typed rows, through read-only connections.

Nothing here writes. Pages and the command line see a workspace through this module and those beside
it that read with it: `judging`, `trainings`, `wishes` and others.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

import orjson

from informer.records import UsedData
from nas_engine.guidance import Constraint
from nas_engine.private import make_private
from nas_engine.search import SearchSpec
from nas_engine.store.rows import (
    AnsweredCall,
    BaselineRow,
    EngineRow,
    EpochRow,
    EventRow,
    LLMCallRow,
    RunRow,
    SearchRow,
    Spend,
    TrialRow,
    used_data,
)
from nas_engine.store.schema import StoreError, explained, open_database, refuse_foreign
from nas_engine.workspace import Workspace

Row = TypeVar("Row")


class Reader:
    """Typed queries on one read-only connection. Not for use by two threads at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def searches(self) -> list[SearchRow]:
        """Return all searches, newest first."""
        return self.rows(SearchRow, f"{_SEARCH} ORDER BY s.id DESC", ())

    def any_search(self) -> bool:
        """Tell whether there is a search at all."""
        return bool(self.fetch("SELECT EXISTS (SELECT 1 FROM searches)")[0][0])

    def search(self, search_id: int) -> SearchRow | None:
        """Return one search."""
        return self.first(SearchRow, f"{_SEARCH} WHERE s.id = ?", (search_id,))

    def data(self, search_id: int) -> UsedData | None:
        """Return the data that a search saw when it began; None where that was not recorded."""
        rows = self.fetch("SELECT data FROM searches WHERE id = ?", (search_id,))
        return used_data(rows[0][0]) if rows else None

    def traits(self) -> dict[int, str]:
        """Return what the data of the searches are like, as JSON, where that is known."""
        return dict(self.fetch("SELECT id, traits FROM searches WHERE traits <> ''"))

    def lessons(self, search_id: int) -> str:
        """Return what a search took from earlier ones when it began, as JSON; '' for nothing."""
        found = self.fetch("SELECT lessons FROM searches WHERE id = ?", (search_id,))
        return str(found[0][0]) if found else ""

    def search_like(self, spec: SearchSpec) -> SearchRow | None:
        """Return the search that has the settings of `spec`, whatever its budget.

        One that saw other data than there are now by that name is another search.

        Raises:
            ConfigError: the settings are not valid, or their data set is not known.
        """
        where = "WHERE s.fingerprint IN (?, ?) ORDER BY s.id"
        found = self.rows(SearchRow, f"{_SEARCH} {where}", fingerprints(spec))
        now = spec.data()
        same = (row for row in found if row.used is None or not row.used.differences(now))
        return next(same, None)

    def trials(self, search_id: int) -> list[TrialRow]:
        """Return the trials of a search by number."""
        return self.rows(
            TrialRow, f"{_TRIAL} WHERE t.search_id = ? ORDER BY t.number", (search_id,)
        )

    def trial(self, search_id: int, number: int) -> TrialRow | None:
        """Return one trial."""
        where = "WHERE t.search_id = ? AND t.number = ?"
        return self.first(TrialRow, f"{_TRIAL} {where}", (search_id, number))

    def numbers(self, search_id: int) -> set[int]:
        """Return the numbers of all trials of a search."""
        rows = self._connection.execute(
            "SELECT number FROM trials WHERE search_id = ?", (search_id,)
        )
        return {number for (number,) in rows}

    def runs(self, search_id: int, number: int, every: bool = False) -> list[RunRow]:
        """Return the trainings of a trial in the order in which they began.

        They are those from scratch, of which alone a trial has its figures; with `every`, those
        too that began with the weights of another trial.
        """
        return self.rows(
            RunRow,
            """SELECT id, seed, state, data_sha256, val_mse, val_mae, best_epoch, epochs, seconds,
            attempt, crashes, error_class, error, slot, node, worker_pid, worker_start, started_at,
            ended_at, cpu_percent, memory_mb, peak_memory_mb, gpu_percent, gpu_memory_mb, kind,
            inherited_from, inherited_share, latency_ms, flops
            FROM runs WHERE search_id = ? AND number = ? AND (kind = 'scratch' OR ?) ORDER BY id""",
            (search_id, number, every),
        )

    def epochs(
        self, search_id: int, numbers: list[int] | None = None, seed: int | None = None
    ) -> list[EpochRow]:
        """Return the epochs of all trials, or of those in `numbers`, by trial and epoch.

        They are those of the run that stands for a trial, or those of its run with `seed`.
        """
        among = "" if numbers is None else "AND t.number IN (SELECT value FROM json_each(?2))"
        return self.rows(
            EpochRow,
            f"""SELECT r.number, e.epoch, e.train_loss, e.val_mse, e.val_mae, e.lr, e.seconds
            FROM trials t JOIN runs r ON r.search_id = t.search_id AND r.number = t.number
            JOIN epochs e ON e.run_id = r.id
            WHERE t.search_id = ?1 {among}
            AND (r.seed = ?3 AND r.kind = 'scratch' OR ?3 IS NULL AND r.id = {STANDS})
            ORDER BY r.number, e.epoch""",  # noqa: S608
            (search_id, json.dumps(numbers), seed),
        )

    def baselines(self, search_id: int) -> list[BaselineRow]:
        """Return the baselines of a search, best first."""
        return self.rows(
            BaselineRow,
            "SELECT name, split, mse, mae FROM baselines WHERE search_id = ? ORDER BY mse",
            (search_id,),
        )

    def llm_calls(self, search_id: int, number: int | None = None) -> list[LLMCallRow]:
        """Return the exchanges of a search, or of one trial, in order."""
        where = f"WHERE search_id = ?1 AND {one_or_all(number)} ORDER BY id"
        return self.rows(LLMCallRow, f"{_CALL} {where}", (search_id, number))

    def llm_call(self, search_id: int, call_id: int) -> LLMCallRow | None:
        """Return one exchange of a search."""
        where = "WHERE search_id = ? AND id = ?"
        return self.first(LLMCallRow, f"{_CALL} {where}", (search_id, call_id))

    def answered_call(
        self,
        search_id: int,
        number: int | None,
        role: str,
        messages: list[dict[str, str]],
        replay_id: int | None = None,
    ) -> AnsweredCall | None:
        """Return the call about a trial or a replay that has answered these messages, if any."""
        return self.first(
            AnsweredCall,
            """SELECT id, attempt, completion, booked_tokens, booked_usd, seconds FROM llm_calls
            WHERE search_id = ? AND number IS ? AND role = ? AND messages = ? AND replay_id IS ?
            AND completion <> '' ORDER BY id""",
            (search_id, number, role, json.dumps(messages), replay_id),
        )

    def spend(
        self, search_id: int, without: int | None = None, before: float | None = None
    ) -> Spend:
        """Return what the calls of a search came to, but for those about the trial `without`.

        Calls in flight count at their worst case. Of a past moment, `before`, only those count that
        had been answered.
        """
        (row,) = self.rows(
            Spend,
            """SELECT count(*) AS calls, coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
            coalesce(sum(completion_tokens), 0) AS completion_tokens,
            coalesce(sum(cost_usd), 0.0) AS usd, coalesce(sum(booked_tokens), 0) AS booked_tokens,
            coalesce(sum(booked_usd), 0.0) AS booked_usd FROM llm_calls
            WHERE search_id = ?1 AND (?2 IS NULL OR number IS NOT ?2)
            AND (?3 IS NULL OR created_at + seconds <= ?3)""",
            (search_id, without, before),
        )
        return row

    def events(self, search_id: int, limit: int = 200, after: int = 0) -> list[EventRow]:
        """Return the newest `limit` events with an id above `after`, oldest of them first."""
        newest = self.rows(
            EventRow,
            """SELECT id, number, level, text, created_at FROM events
            WHERE search_id = ? AND id > ? ORDER BY id DESC LIMIT ?""",
            (search_id, after, limit),
        )
        return newest[::-1]

    def engine(self, search_id: int) -> EngineRow | None:
        """Return the newest lease of a search's engine, whether it still lives or not."""
        return self.first(EngineRow, f"{_ENGINE} WHERE search_id = ?", (search_id,))

    def engines(self) -> dict[int, EngineRow]:
        """Return the newest lease of each search that has had an engine."""
        return {row.search_id: row for row in self.rows(EngineRow, _ENGINE, ())}

    def views(self, page: str) -> dict[str, str]:
        """Return the saved addresses of a page by their names, in order of these."""
        rows = self.fetch("SELECT name, address FROM views WHERE page = ? ORDER BY name", (page,))
        return dict(rows)

    def listed(self, keys: Sequence[tuple[int, int]]) -> list[TrialRow]:
        """Return the trials with these (search, number), in this order, but unknown ones."""
        wanted = json.dumps([list(key) for key in keys])
        rows = self.rows(
            TrialRow,
            f"""{_TRIAL} WHERE (t.search_id, t.number) IN (SELECT json_extract(value, '$[0]'),
            json_extract(value, '$[1]') FROM json_each(?))""",  # noqa: S608
            (wanted,),
        )
        found = {(row.search_id, row.number): row for row in rows}
        return [found[key] for key in keys if key in found]

    def fetch(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query as they are: for the other modules of this package."""
        return self._connection.execute(sql, parameters).fetchall()

    def stream(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Return the rows of a query one after another, as `fetch` does all at once."""
        return self._connection.execute(sql, parameters)

    def copy(self, target: Path) -> None:
        """Write the database, as it is at this moment, to a new file; writers go on meanwhile.

        Raises:
            StoreError: the file cannot be written.
        """
        made = make_private(target)
        try:
            with explained(target):
                self._connection.execute("VACUUM INTO ?", (str(target),))
        except StoreError:
            if made:
                target.unlink(missing_ok=True)
            raise

    def rows(self, kind: type[Row], sql: str, parameters: tuple[object, ...]) -> list[Row]:
        """Return the rows of a query, whose columns are the fields of `kind`, as such.

        Raises:
            TypeError: columns and fields differ.
        """
        cursor = self._connection.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        wanted = [field.name for field in fields(cast(Any, kind))]
        if missing := set(wanted) ^ set(names):
            raise TypeError(f"query and {kind.__name__} differ in {sorted(missing)}")
        places = [names.index(name) for name in wanted]
        converted = [(at, _CONVERTED[name]) for at, name in enumerate(wanted) if name in _CONVERTED]
        rows = []
        for found in cursor:
            values = [found[place] for place in places]
            for at, convert in converted:
                if values[at] is not None:
                    values[at] = convert(values[at])
            rows.append(kind(*values))
        return rows

    def first(self, kind: type[Row], sql: str, parameters: tuple[object, ...]) -> Row | None:
        """Return the first row of a query, as `rows` does all; None where there is none."""
        return next(iter(self.rows(kind, sql, parameters)), None)


def fingerprints(spec: SearchSpec) -> tuple[str, str]:
    """Return under which fingerprints a search is found: the second where other data had the first.

    They had it when a data set was replaced by another one of its name. Raises ConfigError.
    """
    first = spec.fingerprint()
    deciding = {"sha256", "splits", "scaling", "past_only", "known_future"}
    facts = spec.data().model_dump_json(include=deciding)
    return first, f"{first}:{hashlib.sha256(facts.encode()).hexdigest()}"


def one_or_all(number: int | None) -> str:
    """Return the condition that ?2, which is None for all, sets; one trial is found by an index."""
    return "?2 IS NULL" if number is None else "number = ?2"


@contextmanager
def reading(workspace: Workspace) -> Iterator[Reader | None]:
    """Open the workspace's database for reading; yields None where there is none yet.

    Raises:
        StoreError: the file is no database of this project, a newer version wrote it, or it cannot
            be read.
    """
    if not workspace.db.exists():
        yield None
        return
    with explained(workspace.db), closing(_read_only(workspace.db)) as connection:
        if not refuse_foreign(connection, workspace.db):
            open_database(workspace.db).close()  # brings a file of an earlier version up to date
        migrated = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE name = 'searches'"
        ).fetchone()[0]
        yield Reader(connection) if migrated else None


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)


_SEARCH = """
    SELECT s.id, s.spec, s.data, s.max_trials, s.state, s.reason, s.incumbent, s.created_at,
        s.active_seconds, s.version, s.name, s.tags, s.notes, s.archived, s.edition,
        s.origin,
        best.val_mse AS best,
        (SELECT count(*) FROM trials t WHERE t.search_id = s.id)
            - (SELECT count(*) FROM trials t WHERE t.search_id = s.id AND t.ended_at IS NULL)
            AS finished  -- as a difference, since indices hold both
    FROM searches s
    LEFT JOIN trials best ON best.search_id = s.id AND best.number = s.incumbent
"""

_ALL_RUNS = "FROM runs o WHERE o.search_id = t.search_id AND o.number = t.number"
_RUNS_OF_TRIAL = f"{_ALL_RUNS} AND o.kind = 'scratch'"
STANDS = f"(SELECT o.id {_RUNS_OF_TRIAL} ORDER BY o.val_mse IS NULL, o.id LIMIT 1)"

MEANS = f"""
    (SELECT avg(o.seconds) {_RUNS_OF_TRIAL}) AS seconds,
    (SELECT avg(o.latency_ms) {_RUNS_OF_TRIAL}) AS latency_ms,
    (SELECT avg(o.flops) {_RUNS_OF_TRIAL}) AS flops,
    (SELECT avg(o.peak_memory_mb) {_RUNS_OF_TRIAL}) AS memory_mb
"""

_TRIAL = f"""
    SELECT t.search_id, t.number, t.state, t.proposal_id, p.version, p.parent, p.source,
        p.step_type, p.hypothesis, p.reasons, p.changes, p.original, p.config, p.decision,
        p.author, p.comment,
        t.val_mse, t.val_mae, (SELECT avg(o.test_mse) {_RUNS_OF_TRIAL}) AS test_mse,
        (SELECT avg(o.test_mae) {_RUNS_OF_TRIAL}) AS test_mae, t.seeds, t.spread,
        v.accepted, v.rule, v.improvement, v.margin, v.sentence AS verdict, v.opinion,
        t.error_class, t.error,
        r.id AS run_id, n.attempt, n.worker_pid, n.epoch, n.step, n.steps, r.best_epoch, r.epochs,
        r.parameters, r.device, {MEANS},
        t.created_at, t.started_at, t.ended_at, p.expected_low, p.expected_high,
        (SELECT coalesce(sum(c.seconds), 0.0) FROM llm_calls c
            WHERE c.search_id = t.search_id AND c.number = t.number AND c.role = 'planner')
            AS asked_seconds, t.version AS trial_version, t.priority, t.round, t.wanted, t.stopping,
            n.slot, t.spark, p.surrogate_low, p.surrogate_high, p.drafted, p.waiting_since,
            p.asked_again, p.hint
    FROM trials t
    JOIN proposals p ON p.id = t.proposal_id
    LEFT JOIN runs r ON r.id = {STANDS}
    LEFT JOIN runs n ON n.id = (SELECT max(o.id) {_ALL_RUNS})
    LEFT JOIN verdicts v ON v.search_id = t.search_id AND v.number = t.number
"""  # noqa: S608

_CALL = """
    SELECT id, number, role, attempt, model, messages, reply, outcome, problem, error_class,
        base_url, temperature, max_tokens, prompt_tokens, completion_tokens, cost_usd,
        booked_tokens, booked_usd, seconds, created_at
    FROM llm_calls
"""


_ENGINE = """
    SELECT search_id, token, boot, pid, process_start, started_at, heartbeat, released FROM engines
"""

_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("accepted", "archived", "released", "stopping", "drafted", "asked_again"), bool
    ),
    **dict.fromkeys(("changes", "original", "messages", "spark", "tags", "looked_up"), json.loads),
    "config": orjson.loads,  # of all that a page reads each second, the most text by far
    "spec": SearchSpec.model_validate_json,
    "constraint": Constraint.model_validate_json,
}
"""How columns become what their names mean; NULL stays None."""
