"""A trainer that only reports, at the rates of real ones, and the engine that it works for.

`benchmarks.scale` starts the engine of a search in a process of its own with this trainer in each
slot. Everything else in that process is real: planner, workflow, database, commands. What was sent,
and what the engine took, is counted there and handed over at the end.
"""

from __future__ import annotations

import functools
import math
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any
from unittest import mock

from informer.config import RunConfig
from informer.records import Epoch, Progress, Success
from informer.rundir import RunDir
from nas_engine import machine, planning
from nas_engine.engine import serve
from nas_engine.liveness import process_start
from nas_engine.planners.base import View
from nas_engine.proposals import Proposal
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.store import writer
from nas_engine.store.rows import BaselineRow
from nas_engine.store.schema import transaction
from nas_engine.trainers.base import Ended, Load, Watch, Worker
from nas_engine.workspace import Workspace

EPOCHS = (3, 10)
"""Of a training, from the fewest to the most."""
REPORT_SECONDS, LOAD_SECONDS = 1.0, 0.5
"""Between two records inside an epoch, and between two looks at the load, as real workers have."""
POLL_SECONDS = 0.25
"""Between two questions whether a training shall end."""
MEMORY = 10**13
"""Of the machine that is simulated, in bytes: enough for all workers."""
SPREAD = 0.004
"""Relative deviation of the errors over seeds, as on ETTh1."""


@dataclass
class Counts:
    """What the trainers have sent, and what it took the engine; seconds are of `time.time`."""

    epochs: Counter[tuple[int, int]] = field(default_factory=Counter)  # by trial and seed
    reports: int = 0
    loads: int = 0
    busy: list[tuple[int, float, float]] = field(default_factory=list)  # slot, from, until
    plans: list[tuple[int, float]] = field(default_factory=list)  # trials known, seconds
    transactions: int = 0
    writing: float = 0.0  # seconds from asking for the lock to the end of the commit, all threads
    computed: float = 0.0  # seconds of the engine's processor
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the lock, which does not travel."""
        return {name: value for name, value in vars(self).items() if name != "lock"}


class SimulatedTrainer:
    """Reports epochs at the rate of a real worker, without one."""

    def __init__(self, counts: Counts, slot: int, epoch_seconds: tuple[float, float]) -> None:
        """Take a slot.

        Args:
            counts: where it notes what it sends.
            slot: its place.
            epoch_seconds: that an epoch takes, from the least to the most.
        """
        self._counts, self._slot, self._epoch_seconds = counts, slot, epoch_seconds

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        """Report 3 to 10 epochs, drawn by the trial and its seed."""
        began = time.time()
        try:
            return self._train(run, watch)
        finally:
            with self._counts.lock:
                self._counts.busy.append((self._slot, began, time.time()))

    def _train(self, run: RunDir, watch: Watch) -> Success | Ended:
        config = run.read_config()
        start = process_start(os.getpid())
        assert start is not None
        watch.started(Worker(os.getpid(), start, self._slot))
        draw = random.Random(str(config.flat()))
        epochs, value = draw.randint(*EPOCHS), error_of(config, draw)
        seconds = draw.uniform(*self._epoch_seconds)
        number = int(run.path.name.split("-")[1])
        if number == 0:  # the others wait for it
            epochs, seconds = EPOCHS[0], self._epoch_seconds[0] / 4
        for epoch in range(1, epochs + 1):
            ended = self._during(epoch, seconds, watch)
            if ended is not None:
                return ended
            above = 1 + 0.5 * math.exp(-epoch)
            record = Epoch(
                epoch=epoch,
                train_loss=value * above,
                val_mse=value * above,
                val_mae=value,
                lr=1e-3,
                seconds=seconds,
            )
            watch.report([record])
            with self._counts.lock:
                self._counts.epochs[number, config.training.seed] += 1
        result = Success(
            val_mse=value,
            val_mae=value,
            test_mse=value,
            test_mae=value,
            best_epoch=epochs,
            epochs=epochs,
            parameters=20_000,
            seconds=seconds * epochs,
            device="simulated",
        )
        run.write_result(result)
        return result

    def _during(self, epoch: int, seconds: float, watch: Watch) -> Ended | None:
        """Report progress and load while an epoch lasts, as a trainer of real workers does."""
        began = time.monotonic()
        report = load = began
        while (now := time.monotonic()) < began + seconds:
            if (ended := watch.ending()) is not None:
                return ended
            if now >= report:
                report = now + REPORT_SECONDS
                step = int(268 * (now - began) / seconds)
                watch.report([Progress(epoch=epoch, step=step, steps=268)])
                with self._counts.lock:
                    self._counts.reports += 1
            if now >= load:
                load = now + LOAD_SECONDS
                watch.measured(Load(cpu_percent=100.0, memory=500_000_000))
                with self._counts.lock:
                    self._counts.loads += 1
            time.sleep(max(0.0, min(POLL_SECONDS, began + seconds - now)))
        return None

    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        """Return one that is known."""
        return [BaselineRow("repeat-last", split, 1.3, 0.7) for split in ("val", "test")]

    def close(self) -> None:
        """End nothing."""


def error_of(config: RunConfig, draw: random.Random) -> float:
    """Return an error that depends on some settings, so that there is something to find."""
    model, training = config.model, config.training
    value = (
        0.4
        + 0.05 * abs(math.log10(training.optimizer_params.lr) + 3)
        + 0.2 * (model.normalisation == "none")
        + 0.02 * abs(math.log2(model.d_model) - 6)
        + 0.1 * model.dropout
    )
    return value * draw.lognormvariate(0, SPREAD)


def run_engine(
    workspace: Workspace, command: int, epoch_seconds: tuple[float, float], to: Connection
) -> None:
    """Be the engine of a search with simulated trainers; sends what it came to at the end."""
    counts = Counts()
    machine.main_memory = lambda: MEMORY  # type: ignore[assignment]

    def make(slot: int, spec: SearchSpec) -> SimulatedTrainer:
        return SimulatedTrainer(counts, slot, epoch_seconds)

    with counted(counts):
        serve(workspace, load_settings(), make, command)
    counts.computed = time.process_time()
    to.send(counts)


@contextmanager
def counted(counts: Counts) -> Iterator[None]:
    """Count transactions and proposals while this lasts."""
    proposal = planning.Planning._proposal

    @contextmanager
    def timed(connection: Any) -> Iterator[None]:
        if connection.in_transaction:
            with transaction(connection):
                yield
            return
        began = time.perf_counter()
        try:
            with transaction(connection):
                yield
        finally:
            with counts.lock:
                counts.transactions += 1
                counts.writing += time.perf_counter() - began

    @functools.wraps(proposal)
    def proposing(self: planning.Planning, view: View) -> Proposal:
        began = time.perf_counter()
        try:
            return proposal(self, view)
        finally:
            counts.plans.append((len(view.trials), time.perf_counter() - began))

    with (
        mock.patch.object(writer, "transaction", timed),
        mock.patch.object(planning.Planning, "_proposal", proposing),
    ):
        yield
