"""What the engine asks of a trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from informer.rundir import Epoch, Progress, RunDir, Success
from nas_engine.store.reader import BaselineRow


@dataclass(frozen=True)
class Ended:
    """A training that ended without a result, and why."""

    state: Literal["failed", "crashed", "stopped"]
    error_class: str
    message: str


@dataclass(frozen=True)
class Watch:
    """How the engine follows a training and ends it early."""

    started: Callable[[int], None]  # told the process id of the worker
    report: Callable[[Sequence[Progress | Epoch]], None]
    cancelled: Callable[[], bool]
    limit_seconds: float


class TrainerError(RuntimeError):
    """Something that no trial of the search could be trained with, such as a missing data set."""


class Trainer(Protocol):
    """Trains run folders, one after another."""

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        """Train the folder's configuration and return when that has ended, however it did."""
        ...

    def baselines(self, folder: RunDir) -> list[BaselineRow]:
        """Compute the forecasts without training for the folder's configuration.

        Raises:
            TrainerError: they cannot be computed; the message is one sentence.
        """
        ...

    def close(self) -> None:
        """End the worker and free what it holds."""
        ...
