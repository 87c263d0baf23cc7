"""What the engine asks of a trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from informer.records import Epoch, Failure, Progress, Success
from informer.rundir import RunDir
from nas_engine.store.rows import BaselineRow


@dataclass(frozen=True)
class Ended:
    """A training that ended without a result, and why."""

    state: Literal["failed", "crashed", "stopped", "pruned"]
    error_class: str
    message: str
    latency_ms: float | None = None  # of a batch of forecasts, where that is why

    @classmethod
    def by(cls, failure: Failure) -> Ended:
        """Return what a worker's failure means: a model that breaks a bound is nobody's fault."""
        state: Literal["failed", "pruned"]
        state = "pruned" if failure.error_class == "infeasible" else "failed"
        return cls(state, failure.error_class, failure.message, failure.latency_ms)


STOPPED = Ended("stopped", "stopped", "Stopped by a person.")


@dataclass(frozen=True)
class Worker:
    """A process that trains: `process_start` tells it from a later one with the same id."""

    pid: int
    process_start: float  # see liveness.process_start
    slot: int
    node: str = ""  # the machine of a cluster that it runs on; empty: this one
    after: int = field(default=0, compare=False)  # epoch of the checkpoint that was found there


@dataclass(frozen=True)
class Load:
    """What a worker and all that it has started take of their machine. Memory is in bytes."""

    cpu_percent: float  # of one core, so that it may be more than 100
    memory: int
    gpu_percent: float | None = None  # of the whole GPU, whoever uses it
    gpu_memory: int | None = None


@dataclass(frozen=True)
class NodeSeen:
    """A machine of a cluster as it was last seen, and what is in use of it, whoever uses it.

    Memory is in bytes; what is not measured is None.
    """

    node: str  # the cluster's id of it
    name: str
    alive: bool
    cpus: float
    gpus: float
    cpu_percent: float | None = None  # of all its cores
    memory: int | None = None
    memory_total: int | None = None
    gpu_percent: float | None = None
    gpu_memory: int | None = None


def nobody_looks(load: Load) -> None:
    """Do nothing with what was measured."""


@dataclass(frozen=True)
class Watch:
    """How the engine follows a training and ends it early."""

    started: Callable[[Worker], None]
    report: Callable[[Sequence[Progress | Epoch]], None]
    ending: Callable[[], Ended | None]  # asked all the time: how the training shall end now
    limit_seconds: float
    memory_bytes: int  # that the process may take
    measured: Callable[[Load], None] = nobody_looks  # called all the time while it trains


class TrainerError(RuntimeError):
    """Something that no trial of the search could be trained with, such as a missing data set."""


class BaselinesEnded(RuntimeError):
    """The baselines were ended before they were computed, as their caller wanted."""


class Trainer(Protocol):
    """Trains run folders, one after another."""

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        """Train the folder's configuration and return when that has ended, however it did."""
        ...

    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        """Compute the forecasts without training for the folder's configuration.

        Args:
            folder: where that is, and where the work is done.
            ending: asked all the time, as that of a watch; what it raises ends the work too.

        Raises:
            TrainerError: they cannot be computed; the message is one sentence.
            BaselinesEnded: `ending` said so.
        """
        ...

    def close(self) -> None:
        """End the worker and free what it holds."""
        ...
