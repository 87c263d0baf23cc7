"""The rows that are read from the database, as everybody sees them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError

from informer.config import Value
from informer.records import UsedData
from nas_engine.search import SearchSpec

CurvePoint = tuple[int, int, int, float | None, float | None, float | None]
"""Search, number, epoch, train_loss, val_mse, val_mae; None where they were not finite."""


@dataclass(frozen=True)
class SearchRow:
    """A search with the figures that a list of searches shows."""

    id: int
    spec: SearchSpec
    data: str  # JSON of an informer.records.UsedData; empty where it was not recorded
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
        return used_data(self.data)


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


@functools.lru_cache(maxsize=1024)
def used_data(data: str) -> UsedData | None:
    """Return the data that a search saw, of its JSON; None where that cannot be read."""
    try:
        return UsedData.model_validate_json(data)
    except ValidationError:  # empty, or of a version that knew other facts
        return None
