"""What workers take of their machine: measured, and kept with their runs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from informer.records import Success
from informer.rundir import RunDir
from nas_engine.store.reader import reading
from nas_engine.trainers import meter
from nas_engine.trainers.base import Ended, Load, Watch
from nas_engine.trainers.meter import GPULoad, Meter, Nvidia, gpu_loads
from tests.engine.conftest import ONE_SEED, Bench
from tests.fakes.trainer import FakeTrainer

PATIENCE_SECONDS = 10.0
MIB = 2**20

PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "held = b'x' * 50_000_000\\nwhile True: pass"])
"""


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def parent() -> Iterator[psutil.Process]:
    """A process that waits for a child, which holds 50 MB and computes without end."""
    with subprocess.Popen([sys.executable, "-c", PARENT]) as started:
        process = psutil.Process(started.pid)
        until(lambda: bool(process.children()))
        yield process
        for child in process.children():
            child.kill()
        started.kill()


def test_a_process_is_measured_with_all_that_it_has_started(parent: psutil.Process) -> None:
    measured = Meter(parent.pid)
    loads: list[Load] = []

    def computes() -> bool:
        load = measured.load()
        assert load is not None
        loads.append(load)
        return load.cpu_percent > 0 and load.memory > parent.memory_info().rss + 50_000_000

    until(computes)
    assert all(load.gpu_percent is None and load.gpu_memory is None for load in loads)


def test_of_a_process_that_has_ended_nothing_is_measured() -> None:
    ended = subprocess.Popen(["true"])
    measured = Meter(ended.pid)
    until(lambda: measured.load() is None)  # it still has its id: nobody has waited for it
    ended.wait()
    assert measured.load() is None


# -- GPUs ---------------------------------------------------------------------------------------

FULL, HALF = "GPU-11aa-bb", "GPU-22cc-dd"


@pytest.fixture
def nvidia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Let `nvidia-smi` answer the questions for GPUs and for processes with these lines."""

    def say(gpus: str, processes: str) -> None:
        tool = tmp_path / "nvidia-smi"
        (tmp_path / "gpus").write_text(gpus)
        (tmp_path / "processes").write_text(processes)
        tool.write_text(
            f'#!/bin/sh\ncase "$1" in --query-gpu=*) cat {tmp_path}/gpus;; '
            f"*) cat {tmp_path}/processes;; esac\n"
        )
        tool.chmod(0o700)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return say


@pytest.mark.parametrize(
    ("gpus", "processes", "found"),
    [
        (
            f"0, {FULL}, 97\n1, {HALF}, 50\n",
            f"77, {HALF}, 512\n78, {HALF}, 256\n",
            {FULL: GPULoad(97, {}), HALF: GPULoad(50, {77: 512 * MIB, 78: 256 * MIB})},
        ),
        (
            f"0, {FULL}, [N/A]\n",  # a GPU in parts; a driver that hides the memory of others
            f"77, {FULL}, [N/A]\n[N/A], {FULL}, 5\n79, GPU-of-another, 5\n",
            {FULL: GPULoad(None, {})},
        ),
        ("No devices were found\n", "", {}),
        ("", "", {}),
    ],
    ids=["two", "hidden", "none", "silent"],
)
def test_what_nvidia_smi_says_is_known_by_number_and_uuid(
    nvidia: Callable[[str, str], None], gpus: str, processes: str, found: Mapping[str, GPULoad]
) -> None:
    nvidia(gpus, processes)
    by_number = {str(number): load for number, load in enumerate(found.values())}
    assert gpu_loads() == {**by_number, **found}


@pytest.mark.parametrize("name", ["1", HALF, "GPU-22"])
def test_a_training_has_the_load_of_its_gpu_and_the_memory_of_its_processes(
    nvidia: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    parent: psutil.Process,
    name: str,
) -> None:
    (child,) = parent.children()
    nvidia(
        f"0, {FULL}, 97\n1, {HALF}, 50\n",
        f"{parent.pid}, {HALF}, 100\n{child.pid}, {HALF}, 200\n1, {HALF}, 400\n1, {FULL}, 800\n",
    )
    monkeypatch.setattr(meter, "NVIDIA", Nvidia())
    measured = Meter(parent.pid, name)
    first = measured.load()
    assert first is not None and first.gpu_percent is None, "the first look waits for no answer"
    until(lambda: bool(meter.NVIDIA.newest()))
    load = measured.load()
    assert load is not None
    assert (load.gpu_percent, load.gpu_memory) == (50, 300 * MIB)


def test_nvidia_smi_is_not_asked_again_before_its_answer_is_old(
    nvidia: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "GPU_SECONDS", 3600)
    asked = Nvidia()
    nvidia(f"0, {FULL}, 97\n", "")
    until(lambda: bool(asked.newest()))
    nvidia(f"0, {FULL}, 12\n", "")
    assert asked.newest()[FULL].percent == 97
    monkeypatch.setattr(meter, "GPU_SECONDS", 0)
    until(lambda: asked.newest()[FULL].percent == 12)


def test_without_nvidia_smi_nothing_is_known_of_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_loads() == {}


# -- with the run -------------------------------------------------------------------------------


def test_the_newest_figures_of_a_run_and_its_peak_of_memory_stay_when_it_has_ended(
    bench: Bench,
) -> None:
    class Measured(FakeTrainer):
        def train(self, run: RunDir, watch: Watch) -> Success | Ended:
            watch.measured(Load(50.0, 800_000_000))
            watch.measured(Load(150.0, 600_000_000, 97.0, 1_500_000))
            ended = super().train(run, watch)
            assert isinstance(ended, Success)
            return ended.model_copy(update={"memory_mb": None})  # the worker could not tell

    bench.trainer = Measured()
    bench.search(max_trials=1, rules=ONE_SEED)
    with reading(bench.workspace) as reader:
        assert reader is not None
        (run,) = reader.runs(1, 0)
    assert run.state == "completed"
    assert (run.cpu_percent, run.memory_mb, run.peak_memory_mb) == (150, 600, 800)
    assert (run.gpu_percent, run.gpu_memory_mb) == (97, 1.5)
