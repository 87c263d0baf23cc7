"""The searches that are killed: what they look for, who plans them, and the person at the page."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from informer.config import RunConfig
from informer.cost import parameters
from informer.estimate import forecast_flops
from informer.records import Epoch, Failure, Progress, Success
from informer.rundir import RunDir
from nas_engine.api import AgentState
from nas_engine.commands import AskAgain, Decide, send
from nas_engine.search import Rules, SearchSpec
from nas_engine.settings import load_settings
from nas_engine.store.rows import BaselineRow, TrialRow
from nas_engine.trainers.base import Ended, Trainer, Watch
from nas_engine.trainers.local import LocalTrainer
from nas_engine.workspace import Workspace
from tests.fakes.trainer import error_of, this_process
from tests.fakes.worker import COMMAND

TOLD_SECONDS = 50.0
"""Of an epoch, as the fake trainer says: beside them what a model took does not sway the hybrid."""

BASELINES = [BaselineRow("repeat-last", split, 1.3, 0.7) for split in ("val", "test")]


@dataclass(frozen=True)
class Kind:
    """A search, whether a person decides on its proposals, and what trains it."""

    spec: SearchSpec
    person: bool = False
    workers: bool = False  # processes, which go on from their last epoch
    epoch_seconds: float = 0.0

    @property
    def slots(self) -> int:
        """How many trainings run at once; where it is one, every start ends exactly the same."""
        return self.spec.slots

    @property
    def epochs(self) -> int:
        """Of one training."""
        return self.spec.base().training.epochs

    @property
    def epochs_lost(self) -> int:
        """Epochs that a kill repeats, at most."""
        return (1 if self.workers else self.epochs) * self.slots

    def trainer(self, ledger: Path, slot: int, failpoint: str = "") -> Trainer:
        """Return what trains in a slot; its first worker is killed at `failpoint`."""
        if self.workers:
            return FakeWorkerTrainer(ledger, self.epoch_seconds, slot, failpoint)
        return LedgerTrainer(ledger, self.epoch_seconds, slot)


def kind(
    trials: int,
    epochs: int = 2,
    person: bool = False,
    workers: bool = False,
    epoch_seconds: float = 0.0,
    **spec: object,
) -> Kind:
    """Return a search in which every difference is open, so that every trial has a further seed."""
    facts: dict[str, object] = {
        "max_trials": trials,
        "settings": {"training.epochs": epochs},
        "rules": Rules(seeds=2, extra_seeds=1, noise_multiple=4),
        "planner": "tpe",
    }
    return Kind(SearchSpec.model_validate(facts | spec), person, workers, epoch_seconds)


ONE_SEED = Rules(seeds=1, extra_seeds=0)
HALVING = {"method": "successive_halving"}
KINDS = {
    "tpe": kind(4),
    "llm": kind(4, planner="llm"),
    "hybrid": kind(7, planner="hybrid"),
    "review": kind(5, person=True, planner="llm", mode="review"),
    "pruning": kind(6, epochs=4, pruning=HALVING),
    "slots": kind(5, slots=2),
    "llm-slots": kind(5, planner="llm", slots=2),
    "inherits": kind(9, epochs=3, inherits=True, rules=ONE_SEED),
    "front": kind(6, objectives=["val_mse", "parameters", "latency_ms"]),
    "bounds": kind(7, at_most={"latency_ms": 20.0, "parameters": 300_000}),
    "worker": kind(3, epochs=4, workers=True, epoch_seconds=0.02),
}


class LedgerTrainer:
    """Trains in no time, or so, and keeps a ledger as the fake worker does, results among it."""

    def __init__(self, ledger: Path, epoch_seconds: float, slot: int) -> None:
        self._ledger = ledger
        self._epoch_seconds = epoch_seconds
        self._slot = slot

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        config, orders = run.read_config(), run.read_orders()
        latency = latency_of(config) if orders.timing else None
        self._note(run, began=0)
        watch.started(this_process(self._slot))
        if latency is not None and latency > (orders.latency_at_most or math.inf):
            failure = Failure(error_class="infeasible", message="Too slow.", latency_ms=latency)
            run.write_result(failure)
            return Ended.by(failure)
        value, epochs = noisy(config), config.training.epochs
        for epoch in range(1, epochs + 1):
            record = Epoch(
                epoch=epoch,
                train_loss=value * 0.9,
                val_mse=value * (2 - epoch / epochs),
                val_mae=value,
                lr=config.training.optimizer_params.lr,
                seconds=TOLD_SECONDS,
            )
            self._note(run, epoch=epoch)
            for part in (Progress(epoch=epoch, step=1, steps=2), record):
                run.append(part)
                watch.report([part])
            if (ended := watch.ending()) is not None:
                return ended
            time.sleep(self._epoch_seconds)
        result = Success(
            val_mse=value,
            val_mae=value,
            test_mse=value,
            test_mae=value,
            best_epoch=epochs,
            epochs=epochs,
            parameters=parameters(config),
            seconds=TOLD_SECONDS * epochs,
            device="fake",
            latency_ms=latency,
            inherited_share=None if orders.weights is None else 1.0,
        )
        run.weights.write_bytes(b"weights")
        run.write_result(result)
        self._note(run, result=True)
        return result

    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        return BASELINES

    def close(self) -> None: ...

    def _note(self, run: RunDir, **facts: object) -> None:
        with self._ledger.open("a") as file:
            file.write(json.dumps({"folder": str(run.path), **facts}) + "\n")


class FakeWorkerTrainer(LocalTrainer):
    """Trains in real worker processes, with the worker that knows no torch."""

    def __init__(self, ledger: Path, epoch_seconds: float, slot: int, failpoint: str) -> None:
        environment = {
            **load_settings().worker_environment(),
            "FAKE_LEDGER": str(ledger),
            "FAKE_EPOCH_SECONDS": str(epoch_seconds),
            "NAS_FAILPOINT": failpoint,
        }
        super().__init__(environment, ledger.with_name("workers.log"), slot, command=COMMAND)

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        try:
            return super().train(run, watch)
        finally:
            self._environment["NAS_FAILPOINT"] = ""  # the next worker lives

    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        return BASELINES


def noisy(config: RunConfig) -> float:
    """Return a val_mse that depends on the configuration and its seed."""
    return error_of(config) * random.Random(repr(config.flat())).gauss(1, 0.01)


def latency_of(config: RunConfig) -> float:
    """Return the milliseconds of a forecast: by its operations, and its seed."""
    return forecast_flops(config) / 1e6 * random.Random(repr(config.flat())).gauss(1, 0.05)


@dataclass
class Person:
    """Decides once on each proposal that the page shows, by the number of its trial.

    Every third is asked for again before it is approved.
    """

    workspace: Workspace
    decided: set[tuple[int, int]] = field(default_factory=set)  # trials and versions

    def look(self, state: AgentState) -> None:
        for trial in state.trials:
            seen = trial.number, trial.version
            if trial.state == "proposed" and not trial.asked_again and seen not in self.decided:
                send(self.workspace, self._decision(trial), state.search.id)
                self.decided.add(seen)

    def _decision(self, trial: TrialRow) -> Decide | AskAgain:
        seen = {"proposal_id": trial.proposal_id, "version": trial.version}
        match trial.number % 3:
            case 1 if trial.version == 1:
                return AskAgain(**seen, hint="Something else.")
            case 0:
                return Decide(**seen, decision="rejected", comment="Not this one.")
            case 1:
                return Decide(**seen, decision="approved", comment="")
            case _:
                changes = {"model.d_model": 48, "model.n_heads": 4}
                return Decide(**seen, decision="edited", changes=changes, comment="Narrower.")
