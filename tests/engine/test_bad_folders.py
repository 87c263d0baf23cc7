"""Run folders that hold what they should not: one sentence each, and nothing outside is read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from informer.config import RunConfig
from informer.records import Epoch, Success
from informer.rundir import RunDir
from nas_engine.trainers.base import Ended, Watch, Worker
from nas_engine.trainers.local import LocalTrainer

CONFIG = RunConfig()
RESULT = Success(
    val_mse=0.5,
    val_mae=0.5,
    test_mse=0.6,
    test_mae=0.6,
    best_epoch=2,
    epochs=3,
    parameters=1000,
    seconds=3,
    device="cpu",
)
HUGE = 100 * 2**20


def epoch(number: int) -> Epoch:
    val_mse = 0.5 if number == 2 else 0.7
    return Epoch(epoch=number, train_loss=1, val_mse=val_mse, val_mae=1, lr=0.1, seconds=1)


def finish(run: RunDir) -> None:
    """Leave what a worker leaves."""
    for number in (1, 2, 3):
        run.append(epoch(number))
    run.write_result(RESULT)


def result_with(**changes: Any) -> Callable[[RunDir], None]:
    def plant(run: RunDir) -> None:
        finish(run)
        file = json.loads(run.result.read_text())
        run.result.write_text(json.dumps({**file, "result": {**file["result"], **changes}}))

    return plant


def result_of(content: bytes) -> Callable[[RunDir], None]:
    def plant(run: RunDir) -> None:
        finish(run)
        run.result.write_bytes(content)

    return plant


def half(run: RunDir) -> None:
    finish(run)
    content = run.result.read_bytes()
    run.result.write_bytes(content[: len(content) // 2])


def without_digest(run: RunDir) -> None:
    finish(run)
    run.result.write_text(RESULT.model_dump_json())


def of_another_run(run: RunDir) -> None:
    other = RunDir(run.path.parent / "other")
    other.create(CONFIG.with_changes({"training.seed": 1}))
    finish(other)
    finish(run)
    shutil.copy(other.result, run.result)


def more_epochs_than_the_result(run: RunDir) -> None:
    finish(run)
    run.append(epoch(4))


def an_epoch_of_texts(run: RunDir) -> None:
    finish(run)
    lines = run.metrics.read_text().splitlines()
    run.metrics.write_text("\n".join([lines[0], lines[1].replace("0.5", '"half"'), lines[2], ""]))


def linked(name: str) -> Callable[[RunDir], None]:
    """Move a file out of the folder and put a link to it in its place."""

    def plant(run: RunDir) -> None:
        finish(run)
        outside = run.path.parent / f"canary-{name}"
        shutil.move(run.path / name, outside)
        (run.path / name).symlink_to(outside)

    return plant


def grown(name: str) -> Callable[[RunDir], None]:
    def plant(run: RunDir) -> None:
        finish(run)
        os.truncate(run.path / name, HUGE)

    return plant


def instead(name: str, make: Callable[[Path], None]) -> Callable[[RunDir], None]:
    def plant(run: RunDir) -> None:
        finish(run)
        (run.path / name).unlink()
        make(run.path / name)

    return plant


def endless(path: Path) -> None:
    path.write_bytes(b"{" * 10_000_000)


FOLDERS: dict[str, Callable[[RunDir], None]] = {
    "no folder": lambda run: shutil.rmtree(run.path),
    "empty result": result_of(b""),
    "half a result": half,
    "no JSON": result_of(b"\x00\xff" * 50),
    "a list": result_of(b"[1, 2]"),
    "too deep": result_of(b'{"result": ' * 10_000),
    "no digest": without_digest,
    "another run's result": of_another_run,
    "a key too many": result_with(state="best of all"),
    "a text for a number": result_with(val_mse="0.1"),
    "a number for a text": result_with(device=7),
    "not a number": result_with(val_mse=float("nan")),
    "infinite": result_with(test_mse=float("-inf")),
    "none for a number": result_with(val_mse=None),
    "unknown status": result_with(status="splendid"),
    "unknown class": result_with(status="failed", error_class="spite", message=""),
    "a better error than any epoch": result_with(val_mse=0.1),
    "a best epoch that was not": result_with(best_epoch=0),
    "fewer epochs than the result": lambda run: run.write_result(RESULT),
    "metrics after the result": more_epochs_than_the_result,
    "texts in the metrics": an_epoch_of_texts,
    "result is a link": linked("result.json"),
    "metrics are a link": linked("metrics.jsonl"),
    "configuration is a link": linked("config.json"),
    "result of 100 MB": grown("result.json"),
    "metrics of 100 MB": grown("metrics.jsonl"),
    "result is a folder": instead("result.json", Path.mkdir),
    "result is a pipe": instead("result.json", lambda path: os.mkfifo(path)),
    "metrics are a pipe": instead("metrics.jsonl", lambda path: os.mkfifo(path)),
    "a line without end": instead("metrics.jsonl", endless),
}


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[LocalTrainer]:
    """A worker that does nothing, so that the folder stays as the test leaves it."""
    idle = LocalTrainer(os.environ, tmp_path / "output", command=("sh", "-c", "exec sleep 60"))
    yield idle
    idle.close()


@pytest.mark.parametrize("plant", FOLDERS.values(), ids=FOLDERS)
def test_a_bad_folder_ends_the_training_with_a_sentence(
    trainer: LocalTrainer, tmp_path: Path, plant: Callable[[RunDir], None]
) -> None:
    run = RunDir(tmp_path / "run")
    run.create(CONFIG)

    def started(worker: Worker) -> None:
        plant(run)

    ended = trainer.train(run, Watch(started, lambda records: None, lambda: None, 10, 2**40))
    assert isinstance(ended, Ended), "it was taken for a success"
    assert (ended.state, ended.error_class) == ("failed", "protocol")
    assert str(run.path) in ended.message and ended.message.endswith(".")
    assert "\n" not in ended.message and len(ended.message) < 400
    assert run.create(CONFIG) == 0
    finish(run)
    assert run.read_result() == RESULT, "the folder cannot be used again"


def test_the_folder_that_the_bad_ones_are_made_of_is_good(
    trainer: LocalTrainer, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    run.create(CONFIG)
    watch = Watch(lambda worker: finish(run), lambda records: None, lambda: None, 10, 2**40)
    assert trainer.train(run, watch) == RESULT
