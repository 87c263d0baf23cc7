"""Everything that is read from the database, as typed rows, through read-only connections.

Nothing here writes; pages and the command line see a workspace only through this module.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal, NamedTuple, TypeVar, cast, get_args

import orjson
from pydantic import ValidationError

from informer.config import Value
from informer.rundir import UsedData
from nas_engine.evaluator import Compared, Figures, Noise, Rival, compared_of, pooled_noise
from nas_engine.front import excess, figures, front, incumbent
from nas_engine.guidance import Constraint, SteeringRow, steered
from nas_engine.objectives import MEASURES, Objective
from nas_engine.search import SearchSpec
from nas_engine.store.schema import explained, open_database, refuse_foreign
from nas_engine.workspace import Workspace

Row = TypeVar("Row")
CurvePoint = tuple[int, int, int, float | None, float | None, float | None]
"""Search, number, epoch, train_loss, val_mse, val_mae; None where they were not finite."""


@dataclass(frozen=True)
class SearchRow:
    """A search with the figures that a list of searches shows."""

    id: int
    spec: SearchSpec
    data: str  # JSON of an informer.rundir.UsedData; empty where it was not recorded
    max_trials: int
    state: str
    reason: str
    incumbent: int | None
    best: float | None  # val_mse of the incumbent
    finished: int  # trials that will not change any more
    created_at: float
    active_seconds: float  # engine time over all its starts
    version: int  # grows with every command that changed it
    name: str  # given by a person, as are tags and notes
    tags: list[str]
    notes: str
    archived: bool
    edition: int  # grows with every change of these
    origin: str = ""  # where it was imported from, in a sentence; empty for one of this workspace

    @property
    def title(self) -> str:
        """What the search is called: its own name, or what it does."""
        return self.name or self.spec.title()

    @property
    def used(self) -> UsedData | None:
        """The data that the search saw when it began; None where that was not recorded."""
        return _used(self.data)


@dataclass(frozen=True)
class TrialRow:
    """A trial with its proposal, its verdict and its run."""

    search_id: int
    number: int
    state: str
    proposal_id: int
    version: int
    parent: int | None
    source: str
    step_type: str
    hypothesis: str
    reasons: str
    changes: dict[str, Value]
    original: dict[str, Value]
    config: dict[str, Value]
    decision: str | None
    author: str
    comment: str
    val_mse: float | None  # errors and seconds are means over the finished runs
    val_mae: float | None
    test_mse: float | None
    test_mae: float | None
    seeds: int  # finished runs
    spread: float | None  # sample standard deviation of val_mse over them; None for one
    accepted: bool | None
    rule: str | None
    improvement: float | None  # relative to the incumbent of that moment, positive is better
    margin: float | None  # the size up to which an improvement was inside the spread
    verdict: str | None
    opinion: str | None
    error_class: str
    error: str
    run_id: int | None  # of the run that stands for the trial: the first finished, else the first
    attempt: int | None  # of the newest run, as are worker, epoch and step
    worker_pid: int | None
    epoch: int | None
    step: int | None
    steps: int | None
    best_epoch: int | None  # of run_id, as are epochs, parameters and device
    epochs: int | None
    parameters: int | None
    seconds: float | None
    device: str | None
    latency_ms: float | None  # means over the finished runs, as are the next two
    flops: float | None
    memory_mb: float | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    expected_low: float | None  # of the relative improvement that the proposer expected
    expected_high: float | None
    asked_seconds: float  # in which a language model planned it
    trial_version: int  # grows with every command that changed the trial
    priority: int  # of two queued trials the one with more comes first, else the lower number
    round: int  # how often a person had it trained again
    wanted: int  # trainings, at least
    stopping: bool  # a person has ended its training
    slot: int | None  # of the newest run
    spark: list[float | None]  # a few val_mse of the run that stands for the trial
    surrogate_low: float | None  # of the improvement that the surrogate expected
    surrogate_high: float | None
    drafted: bool  # by a chat: nothing waits for the decision on it
    waiting_since: float | None  # a proposal, in this version
    asked_again: bool  # the planner is being asked for another proposal, with this hint
    hint: str


@dataclass(frozen=True)
class AcceptedRow:
    """An accepted trial, as far as fronts and bounds look at it; its figures as in `TrialRow`."""

    number: int
    accepted: bool
    ended_at: float | None
    val_mse: float | None
    seeds: int
    latency_ms: float | None
    parameters: int | None
    flops: float | None
    seconds: float | None
    memory_mb: float | None


@dataclass(frozen=True)
class RunRow:
    """One training of a trial's configuration with one seed."""

    id: int
    seed: int
    state: str
    data_sha256: str  # of the data that it saw; empty where it has no result, or no file
    val_mse: float | None
    val_mae: float | None
    best_epoch: int | None
    epochs: int | None
    seconds: float | None
    attempt: int
    crashes: int  # workers that it lost
    error_class: str
    error: str
    slot: int | None
    node: str  # machine of a cluster; empty: this one
    worker_pid: int | None
    worker_start: float | None  # see liveness.process_start
    started_at: float | None
    ended_at: float | None
    cpu_percent: float | None  # of one core; the newest measurement, as are the next but `peak`
    memory_mb: float | None
    peak_memory_mb: float | None
    gpu_percent: float | None  # of the whole GPU
    gpu_memory_mb: float | None  # of this process
    kind: str  # scratch, or inherited: begun with the weights of another trial
    inherited_from: int | None
    inherited_share: float | None  # of its own weights
    latency_ms: float | None
    flops: float | None  # for the forecast of one window

    @property
    def begun(self) -> str:
        """What it began with, in words."""
        if self.kind == "scratch":
            return "from scratch"
        share = "" if self.inherited_share is None else f"{self.inherited_share:.0%} of the "
        return f"with {share}weights of trial {self.inherited_from}"


@dataclass(frozen=True)
class TrainingRow:
    """A run that trains now, or trained when its engine was lost: what a slot does."""

    number: int
    seed: int
    attempt: int
    slot: int | None
    worker_pid: int | None
    epoch: int | None
    step: int | None
    steps: int | None
    epochs: int  # that it is planned for
    epoch_seconds: float | None  # mean of those that have ended
    started_at: float | None
    cpu_percent: float | None  # these as in RunRow
    memory_mb: float | None
    peak_memory_mb: float | None
    gpu_percent: float | None
    gpu_memory_mb: float | None
    node: str = ""  # the name of the machine of a cluster; empty: this one
    kind: str = "scratch"  # as in RunRow


class BarRow(NamedTuple):
    """When a training held which slot, for the timeline; `ended_at` is None while it does."""

    number: int
    seed: int
    slot: int | None
    state: str
    started_at: float
    ended_at: float | None
    kind: str = "scratch"  # as in RunRow


@dataclass(frozen=True)
class EpochRow:
    """Figures of one epoch of a run; None where they were not finite."""

    number: int
    epoch: int
    train_loss: float | None
    val_mse: float | None
    val_mae: float | None
    lr: float
    seconds: float


@dataclass(frozen=True)
class BaselineRow:
    """A forecast without training, on one split."""

    name: str
    split: str
    mse: float
    mae: float


@dataclass(frozen=True)
class LLMCallRow:
    """One exchange with a language model."""

    id: int
    number: int | None  # None: it was about no trial
    role: str
    attempt: int
    model: str
    messages: list[dict[str, str]]
    reply: str
    outcome: str
    problem: str
    error_class: str  # a service.fault.ErrorClass, empty where the answer was used
    base_url: str
    temperature: float | None
    max_tokens: int | None
    prompt_tokens: int | None  # these three as the service reported them
    completion_tokens: int | None
    cost_usd: float | None
    booked_tokens: int  # these two count against the limits: the worst case until better is known
    booked_usd: float
    seconds: float | None
    created_at: float


@dataclass(frozen=True)
class AnsweredCall:
    """A call whose whole answer is kept."""

    id: int
    attempt: int
    completion: str  # JSON of a service.reply.Completion
    booked_tokens: int
    booked_usd: float
    seconds: float | None


@dataclass(frozen=True)
class Spend:
    """What the calls of a search came to: as reported by the service, and as booked by us."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float
    booked_tokens: int
    booked_usd: float


@dataclass(frozen=True)
class OpenTrial:
    """A trial that has not ended."""

    number: int
    state: str
    priority: int
    stopping: bool
    drafted: bool


@dataclass(frozen=True)
class RevisionRow:
    """What a proposal said in a version that was replaced."""

    proposal_id: int
    number: int  # of the trial
    version: int
    source: str
    step_type: str
    hypothesis: str
    reasons: str
    changes: dict[str, Value]
    config: dict[str, Value]
    expected_low: float | None
    expected_high: float | None
    surrogate_low: float | None
    surrogate_high: float | None
    why: str  # edited, or asked again
    author: str
    comment: str  # the reason, or the hint
    created_at: float  # when it was replaced


@dataclass(frozen=True)
class TurnRow:
    """A question about a search, and as much of the answer as there is."""

    id: int
    author: str
    question: str
    state: str
    stopping: bool
    answer: str
    looked_up: list[dict[str, Any]]  # see chat.LookedUp
    draft: int | None  # the trial that the answer proposed
    problem: str
    created_at: float
    ended_at: float | None
    cost_usd: float  # booked
    tokens: int  # booked


@dataclass(frozen=True)
class ReplayRow:
    """What another planner or model would have proposed as trial `number`."""

    id: int
    number: int
    planner: str
    model: str
    state: str
    source: str
    parent: int | None
    changes: dict[str, Value]
    config: dict[str, Value]
    hypothesis: str
    reasons: str
    expected_low: float | None
    expected_high: float | None
    surrogate_low: float | None  # expected by the surrogate, from what was known when it ended
    surrogate_high: float | None
    problem: str
    author: str
    created_at: float
    ended_at: float | None


@dataclass(frozen=True)
class Errand:
    """Something that a person wants of a language model or a planner, beside the trials."""

    kind: Literal["plan again", "answer", "replay"]
    id: int  # of the trial, the turn or the replay


@dataclass(frozen=True)
class EventRow:
    """A line of a search's log."""

    id: int
    number: int | None
    level: str
    text: str
    created_at: float


@dataclass(frozen=True)
class CommandRow:
    """What a person asked for and what the engine answered."""

    id: int
    search_id: int | None
    kind: str
    payload: str  # the command as JSON
    author: str
    state: str
    answer: str
    created_at: float
    answered_at: float | None


@dataclass(frozen=True)
class EngineRow:
    """The lease of a search's engine."""

    search_id: int
    token: int  # grows with each lease of the search
    boot: str  # see liveness.boot_id
    pid: int
    process_start: float  # see liveness.process_start
    started_at: float
    heartbeat: float  # see liveness.boot_clock
    released: bool  # the engine has ended as it should


class Reader:
    """Typed queries on one read-only connection. Not for use by two threads at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def searches(self) -> list[SearchRow]:
        """Return all searches, newest first."""
        return self._rows(SearchRow, f"{_SEARCH} ORDER BY s.id DESC", ())

    def any_search(self) -> bool:
        """Tell whether there is a search at all."""
        return bool(self.fetch("SELECT EXISTS (SELECT 1 FROM searches)")[0][0])

    def search(self, search_id: int) -> SearchRow | None:
        """Return one search."""
        return self._first(SearchRow, f"{_SEARCH} WHERE s.id = ?", (search_id,))

    def data(self, search_id: int) -> UsedData | None:
        """Return the data that a search saw when it began; None where that was not recorded."""
        rows = self.fetch("SELECT data FROM searches WHERE id = ?", (search_id,))
        return _used(rows[0][0]) if rows else None

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
        found = self._rows(SearchRow, f"{_SEARCH} {where}", fingerprints(spec))
        now = spec.data()
        same = (row for row in found if row.used is None or not row.used.differences(now))
        return next(same, None)

    def trials(self, search_id: int) -> list[TrialRow]:
        """Return the trials of a search by number."""
        return self._rows(
            TrialRow, f"{_TRIAL} WHERE t.search_id = ? ORDER BY t.number", (search_id,)
        )

    def trial(self, search_id: int, number: int) -> TrialRow | None:
        """Return one trial."""
        where = "WHERE t.search_id = ? AND t.number = ?"
        return self._first(TrialRow, f"{_TRIAL} {where}", (search_id, number))

    def numbers(self, search_id: int) -> set[int]:
        """Return the numbers of all trials of a search."""
        rows = self._connection.execute(
            "SELECT number FROM trials WHERE search_id = ?", (search_id,)
        )
        return {number for (number,) in rows}

    def open_trials(self, search_id: int) -> list[OpenTrial]:
        """Return the trials that have not ended, in the order in which they are to be trained."""
        return self._rows(
            OpenTrial,
            """SELECT t.number, t.state, t.priority, t.stopping, p.drafted
            FROM trials t JOIN proposals p ON p.id = t.proposal_id
            WHERE t.search_id = ? AND t.ended_at IS NULL
            ORDER BY t.state = 'running' DESC, t.priority DESC, t.number""",
            (search_id,),
        )

    def workers(self, search_id: int) -> list[tuple[int, float]]:
        """Return id and start of this machine's processes that train, or did for a lost engine."""
        return self._connection.execute(
            """SELECT DISTINCT worker_pid, worker_start FROM runs
            WHERE search_id = ? AND state = 'running' AND worker_start IS NOT NULL
            AND node = ''""",
            (search_id,),
        ).fetchall()

    def training_seconds(self, search_id: int) -> float:
        """Return for how many seconds trainings have held slots, whatever came of them."""
        (seconds,) = self._connection.execute(
            "SELECT coalesce(sum(spent), 0.0) FROM runs WHERE search_id = ?", (search_id,)
        ).fetchone()
        return float(seconds)

    def mean_trial_seconds(self, search_id: int) -> float | None:
        """Return how long a trial that has ended took from its first training on; None for none."""
        ((seconds,),) = self.fetch(
            """SELECT avg(ended_at - started_at) FROM trials
            WHERE search_id = ? AND ended_at IS NOT NULL""",
            (search_id,),
        )
        return None if seconds is None else float(seconds)

    def bars(self, search_id: int, since: float = 0.0) -> list[BarRow]:
        """Return the trainings that went on after the moment `since`, in order of their start."""
        rows = self.fetch(
            """SELECT number, seed, slot, state, started_at, ended_at, kind FROM runs
            WHERE search_id = ? AND started_at IS NOT NULL AND coalesce(ended_at, ?) >= ?
            ORDER BY started_at""",
            (search_id, since, since),
        )
        return [BarRow(*row) for row in rows]

    def failures_in_a_row(self, search_id: int) -> tuple[int, str, str]:
        """Return how many trials ended in the same class of error since the last other end.

        Returns:
            Their number, their class and the last one's error. What came before a person last
            resumed the search does not count, nor does what a person or a pruner ended.
        """
        rows = self._connection.execute(
            """SELECT t.state, t.error_class, t.error
            FROM verdicts v JOIN trials t USING (search_id, number)
            JOIN searches s ON s.id = v.search_id
            WHERE v.search_id = ? AND v.id > s.forgiven AND t.state NOT IN ('stopped', 'pruned')
            ORDER BY v.id DESC""",
            (search_id,),
        )
        count, kind, last = 0, "", ""
        for state, error_class, error in rows:
            if state not in ("failed", "crashed") or (count and error_class != kind):
                break
            count, kind, last = count + 1, error_class, last or error
        return count, kind, last

    def runs(self, search_id: int, number: int, every: bool = False) -> list[RunRow]:
        """Return the trainings of a trial in the order in which they began.

        They are those from scratch, of which alone a trial has its figures; with `every`, those
        too that began with the weights of another trial.
        """
        return self._rows(
            RunRow,
            """SELECT id, seed, state, data_sha256, val_mse, val_mae, best_epoch, epochs, seconds,
            attempt, crashes, error_class, error, slot, node, worker_pid, worker_start, started_at,
            ended_at, cpu_percent, memory_mb, peak_memory_mb, gpu_percent, gpu_memory_mb, kind,
            inherited_from, inherited_share, latency_ms, flops
            FROM runs WHERE search_id = ? AND number = ? AND (kind = 'scratch' OR ?) ORDER BY id""",
            (search_id, number, every),
        )

    def training(self, search_id: int) -> list[TrainingRow]:
        """Return what trains now, by slot."""
        return self._rows(
            TrainingRow,
            """SELECT r.number, r.seed, r.attempt, r.slot, r.worker_pid, r.epoch, r.step, r.steps,
            CASE r.kind WHEN 'scratch' THEN json_extract(p.config, '$."training.epochs"')
                ELSE r.epochs END AS epochs,
            (SELECT avg(e.seconds) FROM epochs e WHERE e.run_id = r.id) AS epoch_seconds,
            r.started_at, r.cpu_percent, r.memory_mb, r.peak_memory_mb, r.gpu_percent,
            r.gpu_memory_mb, coalesce((SELECT n.name FROM nodes n
            WHERE n.search_id = r.search_id AND n.node = r.node), r.node) AS node, r.kind
            FROM runs r JOIN trials t USING (search_id, number)
            JOIN proposals p ON p.id = t.proposal_id
            WHERE r.search_id = ? AND r.state = 'running'
            AND t.state = 'running' AND t.ended_at IS NULL ORDER BY r.slot, r.id""",
            (search_id,),
        )

    def noise(self, search_id: int) -> Noise | None:
        """Return how far trainings with other seeds lie apart; None while it is not known."""
        rows = self._connection.execute(
            "SELECT seeds, val_mse, spread FROM trials WHERE search_id = ? AND spread IS NOT NULL",
            (search_id,),
        )
        return pooled_noise(rows)

    def noises(self, search_id: int, before: float | None = None) -> dict[Objective, Noise]:
        """Return how far trainings with other seeds lie apart in each figure that is measured.

        What is not known is missing. Of a past moment, `before`, only trainings count that had
        ended.
        """
        names = [name for name in get_args(Objective) if not MEASURES[name].exact]
        columns = ", ".join("peak_memory_mb" if name == "memory_mb" else name for name in names)
        rows = self.fetch(
            f"""SELECT number, {columns} FROM runs
            WHERE search_id = ?1 AND state = 'completed' AND kind = 'scratch'
            AND (?2 IS NULL OR ended_at <= ?2)
            AND number IN (SELECT number FROM trials WHERE search_id = ?1 AND seeds > 1)""",  # noqa: S608
            (search_id, before),
        )
        by_trial: dict[int, list[tuple[float | None, ...]]] = defaultdict(list)
        for number, *values in rows:
            by_trial[number].append(tuple(values))
        found = {
            name: pooled_noise(_spreads(by_trial.values(), at)) for at, name in enumerate(names)
        }
        return {name: noise for name, noise in found.items() if noise is not None}

    def accepted(self, search_id: int) -> list[AcceptedRow]:
        """Return the accepted trials of a search that have a result, by number."""
        return self._rows(
            AcceptedRow,
            f"""SELECT t.number, v.accepted, t.ended_at, t.val_mse, t.seeds, r.parameters,
            {_MEANS} FROM verdicts v JOIN trials t USING (search_id, number)
            LEFT JOIN runs r ON r.id = {_STANDS}
            WHERE v.search_id = ? AND v.accepted AND t.val_mse IS NOT NULL ORDER BY t.number""",  # noqa: S608
            (search_id,),
        )

    def best(self, search_id: int, without: int | None = None) -> int | None:
        """Return the best accepted trial, as `front.incumbent` has it, but the trial `without`."""
        if not (bounds := self._spec(search_id).at_most):
            row = self._connection.execute(
                """SELECT t.number FROM trials t JOIN verdicts v USING (search_id, number)
                WHERE search_id = ? AND number IS NOT ? AND v.accepted AND t.val_mse IS NOT NULL
                ORDER BY t.val_mse, t.number LIMIT 1""",
                (search_id, without),
            ).fetchone()
            return None if row is None else int(row[0])
        return incumbent((t for t in self.accepted(search_id) if t.number != without), bounds)

    def figures(self, search_id: int, number: int) -> Figures:
        """Return what a trial is judged by, as things stand."""
        trial, rival = self.trial(search_id, number), self.best(search_id, without=number)
        assert trial is not None, "only trials that exist are judged"
        best = None if rival is None else self.trial(search_id, rival)
        return Figures(
            value=trial.val_mse,
            seeds=trial.seeds,
            tried=sum(run.state != "running" for run in self.runs(search_id, number)),
            failure=trial.error,
            pruned=trial.state == "pruned",
            incumbent=best.number if best else None,
            incumbent_value=best.val_mse if best else None,
            incumbent_seeds=best.seeds if best else 0,
            noise=self.noise(search_id),
            compared=self._compared(trial, best),
        )

    def _compared(self, trial: TrialRow, best: TrialRow | None) -> Compared | None:
        """Return what a trial is judged by beside its error; None where that alone counts."""
        spec = self._spec(trial.search_id)
        if spec.objectives == ("val_mse",) and not spec.at_most:
            return None
        others = [t for t in self.accepted(trial.search_id) if t.number != trial.number]
        several = len(spec.objectives) > 1
        noises = self.noises(trial.search_id) if several else {}
        return Compared(
            spec.objectives,
            values={name: getattr(trial, name) for name in (*spec.objectives, *spec.at_most)},
            at_most=dict(spec.at_most),
            rivals=tuple(
                Rival(member.number, point, member.seeds)
                for member in (front(others, spec) if several else ())
                if (point := figures(member, spec.objectives)) is not None
            ),
            incumbent_excess=None if best is None else excess(best, spec.at_most),
            noise={name: noises[name] for name in spec.objectives[1:] if name in noises},
        )

    def _spec(self, search_id: int) -> SearchSpec:
        search = self.search(search_id)
        assert search is not None, f"search {search_id} has just been read"
        return search.spec

    def judged_by(self, search_id: int, number: int | None = None) -> dict[int, Figures]:
        """Return the figures that the verdicts of a search, or of one trial, used, by trial."""
        rows = self._connection.execute(
            f"""SELECT number, noise, noise_degrees, compared, value, v.seeds, tried, error,
            incumbent, incumbent_value, incumbent_seeds
            FROM verdicts v JOIN trials t USING (search_id, number)
            WHERE search_id = ?1 AND {_one_or_all(number)}""",  # noqa: S608
            (search_id, number),
        )
        return {
            number: replace(
                Figures(*used),
                noise=None if relative is None else Noise(relative, degrees),
                compared=compared_of(compared),
            )
            for number, relative, degrees, compared, *used in rows
        }

    def epochs(
        self, search_id: int, numbers: list[int] | None = None, seed: int | None = None
    ) -> list[EpochRow]:
        """Return the epochs of all trials, or of those in `numbers`, by trial and epoch.

        They are those of the run that stands for a trial, or those of its run with `seed`.
        """
        among = "" if numbers is None else "AND t.number IN (SELECT value FROM json_each(?2))"
        return self._rows(
            EpochRow,
            f"""SELECT r.number, e.epoch, e.train_loss, e.val_mse, e.val_mae, e.lr, e.seconds
            FROM trials t JOIN runs r ON r.search_id = t.search_id AND r.number = t.number
            JOIN epochs e ON e.run_id = r.id
            WHERE t.search_id = ?1 {among}
            AND (r.seed = ?3 AND r.kind = 'scratch' OR ?3 IS NULL AND r.id = {_STANDS})
            ORDER BY r.number, e.epoch""",  # noqa: S608
            (search_id, json.dumps(numbers), seed),
        )

    def curves(self, keys: Sequence[tuple[int, int]]) -> list[CurvePoint]:
        """Return the epochs of the runs that stand for these (search, number), in order of both.

        They are plain tuples: for charts of hundreds of trials.
        """
        return self.fetch(
            f"""SELECT t.search_id, t.number, e.epoch, e.train_loss, e.val_mse, e.val_mae
            FROM json_each(?) k CROSS JOIN trials t
            ON t.search_id = json_extract(k.value, '$[0]')
            AND t.number = json_extract(k.value, '$[1]')
            JOIN epochs e ON e.run_id = {_STANDS} ORDER BY 1, 2, 3""",  # noqa: S608
            (json.dumps([list(key) for key in keys]),),
        )

    def baselines(self, search_id: int) -> list[BaselineRow]:
        """Return the baselines of a search, best first."""
        return self._rows(
            BaselineRow,
            "SELECT name, split, mse, mae FROM baselines WHERE search_id = ? ORDER BY mse",
            (search_id,),
        )

    def llm_calls(self, search_id: int, number: int | None = None) -> list[LLMCallRow]:
        """Return the exchanges of a search, or of one trial, in order."""
        where = f"WHERE search_id = ?1 AND {_one_or_all(number)} ORDER BY id"
        return self._rows(LLMCallRow, f"{_CALL} {where}", (search_id, number))

    def llm_call(self, search_id: int, call_id: int) -> LLMCallRow | None:
        """Return one exchange of a search."""
        where = "WHERE search_id = ? AND id = ?"
        return self._first(LLMCallRow, f"{_CALL} {where}", (search_id, call_id))

    def answered_call(
        self,
        search_id: int,
        number: int | None,
        role: str,
        messages: list[dict[str, str]],
        replay_id: int | None = None,
    ) -> AnsweredCall | None:
        """Return the call about a trial or a replay that has answered these messages, if any."""
        return self._first(
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
        (row,) = self._rows(
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

    def errands(self, search_id: int) -> list[Errand]:
        """Return what is wanted beside the trials, the oldest of a kind first."""
        return self._rows(
            Errand,
            """SELECT 'plan again' AS kind, number AS id FROM proposals
                WHERE search_id = ?1 AND asked_again
            UNION ALL SELECT 'answer', id FROM turns
                WHERE search_id = ?1 AND state IN ('asked', 'answering')
            UNION ALL SELECT 'replay', id FROM replays WHERE search_id = ?1 AND state = 'asked'""",
            (search_id,),
        )

    def revisions(self, search_id: int, number: int | None = None) -> list[RevisionRow]:
        """Return the replaced versions of proposals, of one trial or of all."""
        return self._rows(
            RevisionRow,
            f"""SELECT r.proposal_id, p.number, r.version, r.source, r.step_type, r.hypothesis,
            r.reasons, r.changes, r.config, r.expected_low, r.expected_high, r.surrogate_low,
            r.surrogate_high, r.why, r.author, r.comment, r.created_at
            FROM proposals p JOIN revisions r ON r.proposal_id = p.id
            WHERE p.search_id = ?1 AND {_one_or_all(number)}
            ORDER BY p.number, r.version""",  # noqa: S608
            (search_id, number),
        )

    def steering(self, search_id: int, in_force: bool = True) -> list[SteeringRow]:
        """Return what people told a search, oldest first: what holds, or all of it."""
        return self._rows(
            SteeringRow,
            """SELECT id, words, nullif(constraint_, '') AS "constraint", author, created_at,
            ended_by, ended_at
            FROM steering WHERE search_id = ?1 AND (ended_at IS NULL OR NOT ?2) ORDER BY id""",
            (search_id, in_force),
        )

    def steered_spec(self, search_id: int) -> SearchSpec:
        """Return what defines a search, with the constraints that are in force."""
        search = self.search(search_id)
        assert search is not None, f"search {search_id} has just been read"
        told = self.steering(search_id)
        return steered(search.spec, [row.constraint for row in told if row.constraint is not None])

    def turns(self, search_id: int) -> list[TurnRow]:
        """Return the questions about a search with their answers, oldest first."""
        return self._rows(TurnRow, f"{_TURN} WHERE t.search_id = ? ORDER BY t.id", (search_id,))

    def turn(self, turn_id: int) -> TurnRow | None:
        """Return one question with its answer."""
        return self._first(TurnRow, f"{_TURN} WHERE t.id = ?", (turn_id,))

    def turn_states(self, search_id: int) -> dict[int, str]:
        """Return how each question about a search stands, by the id of its turn."""
        rows = self.fetch("SELECT id, state FROM turns WHERE search_id = ?", (search_id,))
        return dict(rows)

    def replays(self, search_id: int, number: int | None = None) -> list[ReplayRow]:
        """Return what other planners would have proposed, newest first."""
        return self._rows(
            ReplayRow,
            """SELECT id, number, planner, model, state, source, parent, changes, config,
            hypothesis, reasons, expected_low, expected_high, surrogate_low, surrogate_high,
            problem, author, created_at, ended_at FROM replays
            WHERE search_id = ?1 AND (?2 IS NULL OR number = ?2) ORDER BY id DESC""",
            (search_id, number),
        )

    def events(self, search_id: int, limit: int = 200, after: int = 0) -> list[EventRow]:
        """Return the newest `limit` events with an id above `after`, oldest of them first."""
        newest = self._rows(
            EventRow,
            """SELECT id, number, level, text, created_at FROM events
            WHERE search_id = ? AND id > ? ORDER BY id DESC LIMIT ?""",
            (search_id, after, limit),
        )
        return newest[::-1]

    def command(self, command_id: int) -> CommandRow | None:
        """Return one command."""
        return next(iter(self._commands("id = ?", command_id)), None)

    def commands(self, search_id: int) -> list[CommandRow]:
        """Return the commands given to a search, in order."""
        return self._commands("search_id = ? ORDER BY id", search_id)

    def _commands(self, condition: str, number: int) -> list[CommandRow]:
        """Return commands; bytes that are no text, as anybody may write them, are replaced."""
        rows = self.fetch(f"{_COMMAND} WHERE {condition}", (number,))
        return [
            CommandRow(*row[:2], *(cell.decode("utf-8", "replace") for cell in row[2:7]), *row[7:])
            for row in rows
        ]

    def engine(self, search_id: int) -> EngineRow | None:
        """Return the newest lease of a search's engine, whether it still lives or not."""
        return self._first(EngineRow, f"{_ENGINE} WHERE search_id = ?", (search_id,))

    def engines(self) -> dict[int, EngineRow]:
        """Return the newest lease of each search that has had an engine."""
        return {row.search_id: row for row in self._rows(EngineRow, _ENGINE, ())}

    def views(self, page: str) -> dict[str, str]:
        """Return the saved addresses of a page by their names, in order of these."""
        rows = self.fetch("SELECT name, address FROM views WHERE page = ? ORDER BY name", (page,))
        return dict(rows)

    def listed(self, keys: Sequence[tuple[int, int]]) -> list[TrialRow]:
        """Return the trials with these (search, number), in this order, but unknown ones."""
        wanted = json.dumps([list(key) for key in keys])
        rows = self._rows(
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
        with explained(target):
            self._connection.execute("VACUUM INTO ?", (str(target),))

    def _rows(self, kind: type[Row], sql: str, parameters: tuple[object, ...]) -> list[Row]:
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

    def _first(self, kind: type[Row], sql: str, parameters: tuple[object, ...]) -> Row | None:
        return next(iter(self._rows(kind, sql, parameters)), None)


def _spreads(
    trials: Iterable[Sequence[tuple[float | None, ...]]], at: int
) -> Iterator[tuple[int, float, float]]:
    """Return number, mean and deviation of one figure of each trial's runs."""
    for runs in trials:
        values = [value for run in runs if (value := run[at]) is not None]
        if len(values) > 1:
            yield len(values), mean(values), stdev(values)


@functools.lru_cache(maxsize=1024)
def _used(data: str) -> UsedData | None:
    try:
        return UsedData.model_validate_json(data)
    except ValidationError:  # empty, or of a version that knew other facts
        return None


def fingerprints(spec: SearchSpec) -> tuple[str, str]:
    """Return under which fingerprints a search is found: the second where other data had the first.

    They had it when a data set was replaced by another one of its name. Raises ConfigError.
    """
    first = spec.fingerprint()
    deciding = {"sha256", "splits", "scaling", "past_only", "known_future"}
    facts = spec.data().model_dump_json(include=deciding)
    return first, f"{first}:{hashlib.sha256(facts.encode()).hexdigest()}"


def _one_or_all(number: int | None) -> str:
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
_STANDS = f"(SELECT o.id {_RUNS_OF_TRIAL} ORDER BY o.val_mse IS NULL, o.id LIMIT 1)"

_MEANS = f"""
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
        r.parameters, r.device, {_MEANS},
        t.created_at, t.started_at, t.ended_at, p.expected_low, p.expected_high,
        (SELECT coalesce(sum(c.seconds), 0.0) FROM llm_calls c
            WHERE c.search_id = t.search_id AND c.number = t.number AND c.role = 'planner')
            AS asked_seconds, t.version AS trial_version, t.priority, t.round, t.wanted, t.stopping,
            n.slot, t.spark, p.surrogate_low, p.surrogate_high, p.drafted, p.waiting_since,
            p.asked_again, p.hint
    FROM trials t
    JOIN proposals p ON p.id = t.proposal_id
    LEFT JOIN runs r ON r.id = {_STANDS}
    LEFT JOIN runs n ON n.id = (SELECT max(o.id) {_ALL_RUNS})
    LEFT JOIN verdicts v ON v.search_id = t.search_id AND v.number = t.number
"""  # noqa: S608

_CALL = """
    SELECT id, number, role, attempt, model, messages, reply, outcome, problem, error_class,
        base_url, temperature, max_tokens, prompt_tokens, completion_tokens, cost_usd,
        booked_tokens, booked_usd, seconds, created_at
    FROM llm_calls
"""

_TURN = """
    SELECT t.id, t.author, t.question, t.state, t.stopping, t.answer, t.looked_up,
        t.drafted AS draft, t.problem, t.created_at, t.ended_at,
        (SELECT total(c.booked_usd) FROM llm_calls c
            WHERE c.search_id = t.search_id AND c.turn_id = t.id) AS cost_usd,
        (SELECT coalesce(sum(c.booked_tokens), 0) FROM llm_calls c
            WHERE c.search_id = t.search_id AND c.turn_id = t.id) AS tokens
    FROM turns t
"""

_ENGINE = """
    SELECT search_id, token, boot, pid, process_start, started_at, heartbeat, released FROM engines
"""

_COMMAND = """
    SELECT id, search_id, CAST(kind AS BLOB), CAST(payload AS BLOB), CAST(author AS BLOB),
        CAST(state AS BLOB), CAST(answer AS BLOB), created_at, answered_at
    FROM commands
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
