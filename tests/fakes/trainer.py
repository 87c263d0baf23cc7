"""A trainer without torch that keeps the contract of the run folder.

Its val_mse is a smooth function of the configuration, so that planners have something to find.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

from informer.config import RunConfig
from informer.records import Epoch, Failure, Progress, Success
from informer.rundir import RunDir
from nas_engine.liveness import process_start
from nas_engine.store.rows import BaselineRow
from nas_engine.trainers.base import Ended, Watch, Worker


def error_of(config: RunConfig) -> float:
    """Return the val_mse that the fake reports: lowest for wide, standardised, lr near 1e-3."""
    model, training = config.model, config.training
    return (
        0.4
        + 0.05 * abs(math.log10(training.optimizer_params.lr) + 3)
        + 0.2 * (model.normalisation == "none")
        + 0.02 * abs(math.log2(model.d_model) - 6)
        + 0.1 * model.dropout
    )


def this_process(slot: int) -> Worker:
    """Return this process as the worker of a slot."""
    start = process_start(os.getpid())
    assert start is not None
    return Worker(os.getpid(), start, slot)


class FakeTrainer:
    """Trains in no time, or in `epoch_seconds` for each epoch, to the val_mse that `value` gives.

    `fail` may make a run fail.
    """

    def __init__(
        self,
        epoch_seconds: float = 0.0,
        fail: Callable[[RunConfig], Failure | None] = lambda config: None,
        value: Callable[[RunConfig], float] = error_of,
        slot: int = 0,
        latency: Callable[[RunConfig], float] = lambda config: 1.0,
    ) -> None:
        self.slot = slot
        self.latency = latency
        self.epoch_seconds = epoch_seconds
        self.fail = fail
        self.value = value
        self.trained: list[RunDir] = []

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        config = run.read_config()
        self.trained.append(run)
        watch.started(this_process(self.slot))
        if (failure := self.fail(config)) is not None:
            run.write_result(failure)
            return Ended.by(failure)
        orders = run.read_orders()
        latency = self.latency(config) if orders.timing is not None else None
        if latency is not None and latency > (orders.latency_at_most or math.inf):
            message = f"A forecast takes {latency:g} ms, and this search allows less."
            return Ended.by(Failure(error_class="infeasible", message=message, latency_ms=latency))
        value = self.value(config)
        for epoch in range(1, config.training.epochs + 1):
            record = Epoch(
                epoch=epoch,
                train_loss=value * 0.9,
                val_mse=value * (2 - epoch / config.training.epochs),
                val_mae=value,
                lr=config.training.optimizer_params.lr,
                seconds=self.epoch_seconds,
            )
            for part in (Progress(epoch=epoch, step=1, steps=2), record):
                run.append(part)
                watch.report([part])
            ends = time.monotonic() + self.epoch_seconds
            while (ending := watch.ending()) is None and time.monotonic() < ends:
                time.sleep(0.01)
            if ending is not None:
                return ending
        result = Success(
            val_mse=value,
            val_mae=value,
            test_mse=value,
            test_mae=value,
            best_epoch=config.training.epochs,
            epochs=config.training.epochs,
            parameters=1000,
            seconds=self.epoch_seconds * config.training.epochs,
            device="fake",
            latency_ms=latency,
            memory_mb=50.0,
        )
        run.write_result(result)
        return result

    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        return [BaselineRow("repeat-last", split, 1.3, 0.7) for split in ("val", "test")]

    def close(self) -> None:
        pass
