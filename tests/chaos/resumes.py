"""Real trainings that are killed in an epoch, and go on: to the same bits, or not at all."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

from data.registry import DATASETS
from informer.config import PRESETS, RunConfig, Value
from informer.records import Epoch, Progress, Success
from informer.rundir import RunDir
from tests.chaos.forks import ended_within, fork

KILLED_IN_EPOCH = 2
SECONDS = 120.0
TINY: dict[str, Value] = {
    "data.dataset": "tiny",
    "data.seq_len": 24,
    "data.label_len": 12,
    "data.pred_len": 6,
    "data.batch_size": 16,
    "model.d_model": 16,
    "model.n_heads": 2,
    "model.d_ff": 32,
    "model.dropout": 0.2,
    "training.epochs": 3,
    "training.device": "cpu",
}


def resumed_trainings(root: Path, change: Callable[[], None] = lambda: None) -> Iterator[str]:
    """Yield a sentence for each training that does not end like one that was never killed.

    `change` alters the code of the training that goes on.
    """
    tiny = dataclasses.replace(DATASETS["synthetic"], name="tiny", split_rows=(300, 60, 60))
    with patch.dict("data.registry.DATASETS", tiny=tiny):
        yield from _compared(root, root / "trainings.log", change)


def _compared(root: Path, log: Path, change: Callable[[], None]) -> Iterator[str]:
    config = PRESETS["small"].config(TINY)
    for what, again in (
        ("the same configuration", config),
        ("another configuration", config.with_changes({"training.seed": 7})),
    ):
        whole, killed = root / f"whole {what}", root / f"killed {what}"
        steps: list[tuple[int, Callable[[], int | None]]] = [
            (0, partial(_train, again, whole)),
            (-signal.SIGKILL, partial(_train, config, killed, _kill)),
            (0, partial(_changed, change, again, killed)),
        ]
        for wanted, step in steps:
            code = ended_within(fork(step, log), SECONDS)
            if code != wanted:
                yield f"{what}: a training ended with {code}; {log} says why"
                return
        found, other = RunDir(killed), RunDir(whole)
        if _without_time(found) != _without_time(other):
            yield f"{what}: a training that went on has another result"
        elif found.weights.read_bytes() != other.weights.read_bytes():
            yield f"{what}: a training that went on has other weights"


def _changed(change: Callable[[], None], config: RunConfig, folder: Path) -> None:
    change()
    _train(config, folder)


def _train(
    config: RunConfig, folder: Path, on_record: Callable[[Progress | Epoch], None] | None = None
) -> None:
    import torch

    from informer.training import train

    torch.set_num_threads(1)
    run = RunDir(folder)
    run.create(config)
    result = train(config, run, on_record)
    assert isinstance(result, Success), result


def _kill(record: Progress | Epoch) -> None:
    if isinstance(record, Progress) and record.epoch == KILLED_IN_EPOCH:
        os.kill(os.getpid(), signal.SIGKILL)


def _without_time(run: RunDir) -> dict[str, object]:
    result = run.read_result()
    assert isinstance(result, Success), result
    return result.model_dump(exclude={"seconds", "memory_mb"})
