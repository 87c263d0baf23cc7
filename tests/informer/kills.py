"""`python -m tests.informer.kills FOLDER`: kill trainings and take them up again.

Prints a line of JSON for each case: what was done to it, and how it ended, which is to be as the
undisturbed training ended. torch is imported once; each training is a fork of this process.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from data.registry import DATASETS
from data.series import series
from informer.__main__ import serve
from informer.commit import PROJECT, commit_of
from informer.config import RunConfig
from informer.files import checkpoints
from informer.records import Epoch, Success
from informer.rundir import RunDir
from informer.training import Training
from tests.informer.conftest import TINY, tiny_dataset

EPOCHS, STEPS = 3, 2
SEED = 11

CONFIG_CHANGES = {
    "training.epochs": EPOCHS,
    "training.steps_per_epoch": STEPS,
    "training.optimizer_params.lr": 0.02,
    "training.scheduler_class": "Constant",
    "training.seed": 0,  # with which the second epoch is the best
    "model.dropout": 0.2,
    "model.e_layers": 1,
    "model.d_layers": 1,
}


def main() -> None:
    torch.set_num_threads(1)
    DATASETS["tiny"] = tiny_dataset()
    config = RunConfig().with_changes({**TINY, **CONFIG_CHANGES})
    series("tiny", config.data.features, config.data.target)  # made once, for all forks
    commit_of(PROJECT)  # as is this
    folder, dice = Path(sys.argv[1]), random.Random(SEED)
    for name, arm, then in cases(dice):
        run = RunDir(folder / name.replace(" ", "-"))
        run.create(config)
        for before in arm:
            assert forked(run, before) < 0, f"{name}: it was not killed"
            then(run)
            run.create(config)
        resume: Callable[[], None] = forget_generators if name.startswith("control") else nothing
        assert forked(run, resume) == 0, f"{name}: {run.log_tail()}"
        print(json.dumps({"name": name, "end": end(run)}))


Case = tuple[str, list[Callable[[], None]], Callable[[RunDir], None]]


def cases(dice: random.Random) -> Iterator[Case]:
    yield "undisturbed", [], keep
    total = EPOCHS * STEPS
    for number in range(5):
        yield f"SIGKILL {number}", [at_step(dice.randrange(total), signal.SIGKILL)], keep
    for number in range(3):  # in another epoch each
        steps = [number, STEPS + 1]
        yield f"SIGTERM twice {number}", [at_step(n, signal.SIGTERM) for n in steps], keep
    yield "control", [at_step(2 * STEPS, signal.SIGKILL)], keep
    for number in range(1, WRITES + 1):
        yield f"write {number}", [at_write(number)], keep
    for number in DAMAGED:
        yield f"write {number} and a damaged checkpoint", [at_write(number)], damage_newest


WRITES = 4 * EPOCHS + 15
"""Boundaries of a training: first three of the environment, per epoch the record and three of the
checkpoint, at the end three each of weights, details, forecasts and result."""
DAMAGED = range(2, WRITES + 1, 4)


def forked(run: RunDir, before: Callable[[], None]) -> int:
    """Train in a fork, and return its exit code or the negative signal that ended it."""
    child = os.fork()
    if child == 0:
        before()
        serve(run, memory_share=1.0)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def nothing() -> None:
    pass


def at_step(number: int, kind: signal.Signals) -> Callable[[], None]:
    """End the process inside the optimiser step after `number` others."""

    def arm() -> None:
        step, passed = Training.step, iter(range(10**9))

        def step_or_end(self: Training, batch: Any) -> torch.Tensor:
            if next(passed) == number:
                os.kill(os.getpid(), kind)
            return step(self, batch)

        Training.step = step_or_end  # type: ignore[method-assign]

    return arm


def at_write(number: int) -> Callable[[], None]:
    """End the process before the `number`-th time that it puts something on the disk for good."""

    def arm() -> None:
        passed = iter(range(1, 10**9))

        def or_end(write: Callable[..., None]) -> Callable[..., None]:
            def write_or_end(*arguments: Any) -> None:
                if next(passed) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                write(*arguments)

            return write_or_end

        os.fsync, os.replace = or_end(os.fsync), or_end(os.replace)  # type: ignore[assignment]

    return arm


def forget_generators() -> None:
    torch.set_rng_state = lambda state: None


def keep(run: RunDir) -> None:
    pass


def damage_newest(run: RunDir) -> None:
    for _, path in checkpoints(run.path)[:1]:
        path.write_bytes(path.read_bytes()[:-1])


def end(run: RunDir) -> dict[str, Any]:
    """Return all that a training ends with, but the time it took."""
    result = run.read_result()
    assert isinstance(result, Success), result
    epochs = [record for record in run.read_metrics()[0] if isinstance(record, Epoch)]
    return {
        "weights": hashlib.sha256(run.weights.read_bytes()).hexdigest(),
        "details": hashlib.sha256(run.details.read_bytes()).hexdigest(),
        "forecasts": hashlib.sha256(run.forecasts.read_bytes()).hexdigest(),
        "epochs": [record.model_dump(exclude={"seconds"}) for record in epochs],
        "result": result.model_dump(exclude={"seconds", "memory_mb"}),
        "checkpoints": len(checkpoints(run.path)),
    }


if __name__ == "__main__":
    main()
