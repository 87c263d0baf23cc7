from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from informer.config import RunConfig
from informer.records import Epoch, Failure, Progress, Success
from informer.rundir import RunDir
from tests.informer.conftest import figures

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "informer", "--threads", "1"]


@pytest.fixture
def config() -> RunConfig:
    return RunConfig().with_changes(
        {
            "data.dataset": "synthetic",
            "data.seq_len": 24,
            "data.label_len": 12,
            "data.pred_len": 6,
            "data.batch_size": 256,
            "model.d_model": 8,
            "model.n_heads": 1,
            "model.d_ff": 8,
            "training.epochs": 1,
            "training.steps_per_epoch": 1,
            "training.device": "cpu",
        }
    )


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    with ExitStack() as started:

        def start() -> subprocess.Popen[str]:
            process = subprocess.Popen(
                COMMAND,
                cwd=PROJECT,
                env={**os.environ, "NAS_DATA_DIRS": str(tmp_path)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield start


@pytest.fixture
def worker(start_worker: Callable[[], subprocess.Popen[str]]) -> subprocess.Popen[str]:
    return start_worker()


def run_folder(path: Path, config: RunConfig) -> RunDir:
    run = RunDir(path)
    run.create(config)
    return run


def write_line(worker: subprocess.Popen[str], folder: Path) -> None:
    assert worker.stdin is not None
    worker.stdin.write(f"{folder}\n")
    worker.stdin.flush()


def ask(worker: subprocess.Popen[str], run: RunDir) -> Success | Failure:
    write_line(worker, run.path)
    deadline = time.monotonic() + 60
    while (result := run.read_result()) is None:
        assert worker.poll() is None, "the worker is lost"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return result


def test_one_worker_serves_folder_after_folder_and_survives_a_bad_one(
    worker: subprocess.Popen[str], config: RunConfig, tmp_path: Path
) -> None:
    good, bad, lost, again = (tmp_path / name for name in ("good", "bad", "lost", "a gain"))
    run = run_folder(good, config)
    assert isinstance(ask(worker, run), Success)
    assert "parameters" in run.log.read_text()
    assert any(isinstance(record, Epoch) for record in run.read_metrics()[0])

    broken = run_folder(bad, config)
    broken.config.write_text('{"model": {"d_model": "wide"}}')
    result = ask(worker, broken)
    assert isinstance(result, Failure) and result.error_class == "config"
    assert "model.d_model" in result.message and "Traceback" in result.traceback

    lost.mkdir()
    result = ask(worker, RunDir(lost))
    assert isinstance(result, Failure) and result.error_class == "config"

    (tmp_path / "ETTh1.csv").write_text("not the published file")
    dataless = run_folder(tmp_path / "dataless", config.with_changes({"data.dataset": "ETTh1"}))
    result = ask(worker, dataless)
    assert isinstance(result, Failure) and result.error_class == "data"
    assert "DataError" in dataless.log.read_text()

    assert isinstance(ask(worker, run_folder(again, config)), Success)
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(f"{tmp_path / 'nowhere'}\n")
    worker.stdin.close()
    assert worker.wait(20) == 0
    assert "nowhere is not a folder" in worker.stdout.read()


def until_inside_epoch(run: RunDir, number: int) -> None:
    deadline = time.monotonic() + 60
    while not any(r.epoch == number for r in run.read_metrics()[0] if isinstance(r, Progress)):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_worker_that_is_killed_inside_an_epoch_costs_no_bit_of_the_result(
    start_worker: Callable[[], subprocess.Popen[str]], config: RunConfig, tmp_path: Path
) -> None:
    config = config.with_changes({"training.epochs": 2, "model.dropout": 0.2})
    run = run_folder(tmp_path / "killed", config)
    for kind in (signal.SIGKILL, signal.SIGTERM):
        process = start_worker()
        write_line(process, run.path)
        until_inside_epoch(run, 2)
        process.send_signal(kind)
        assert process.wait(10) == -kind
        assert run.read_result() is None
        assert run.create(config) == 1
    last, whole = start_worker(), run_folder(tmp_path / "whole", config)
    results = [ask(last, folder) for folder in (run, whole)]
    assert figures(results[0]) == figures(results[1])
    assert run.weights.read_bytes() == whole.weights.read_bytes()
    assert run.details.read_bytes() == whole.details.read_bytes()
    assert run.forecasts.read_bytes() == whole.forecasts.read_bytes()
    tables = [
        [r.model_dump(exclude={"seconds"}) for r in each.read_metrics()[0] if isinstance(r, Epoch)]
        for each in (run, whole)
    ]
    assert tables[0] == tables[1] and len(tables[0]) == 2


def test_a_worker_ends_a_training_that_is_asked_to_end_and_takes_the_next(
    worker: subprocess.Popen[str], config: RunConfig, tmp_path: Path
) -> None:
    run = run_folder(tmp_path / "pruned", config.with_changes({"training.epochs": 1000}))
    write_line(worker, run.path)
    until_inside_epoch(run, 2)
    run.end.touch()
    deadline = time.monotonic() + 10
    while run.end.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert run.read_result() is None and run.checkpoint() is not None
    assert "asked to end" in run.log.read_text()
    assert isinstance(ask(worker, run_folder(tmp_path / "next", config)), Success)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is needed")
def test_a_worker_that_cannot_write_its_result_exits_and_says_why(
    worker: subprocess.Popen[str], config: RunConfig, tmp_path: Path
) -> None:
    run = run_folder(tmp_path / "run", config)
    (run.path / ".result.json.tmp").symlink_to("/dev/full")
    write_line(worker, run.path)
    assert worker.wait(60) == os.EX_IOERR
    assert worker.stdout is not None
    said = worker.stdout.read()
    assert f"No result could be written to {run.path}" in said and "No space left" in said
    assert "Traceback" not in said


def test_the_worker_dies_with_its_parent(tmp_path: Path, config: RunConfig) -> None:
    run = run_folder(tmp_path / "run", config.with_changes({"training.epochs": 1000}))
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({COMMAND!r}, stdin=subprocess.PIPE, text=True)\n"
        f"print({str(run.path)!r}, file=child.stdin, flush=True)\n"
        "print(child.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        deadline = time.monotonic() + 30
        while not run.metrics.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _alive(pid):
        assert time.monotonic() < deadline, "the worker outlives its parent"
        time.sleep(0.05)
    assert run.read_result() is None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
