"""The trainer and its worker process: how trainings end, and that nothing is left of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from informer.config import RunConfig
from informer.records import Epoch, Progress, Success
from informer.rundir import LOG_BYTES, RunDir
from nas_engine.liveness import same_process
from nas_engine.trainers import local
from nas_engine.trainers.base import (
    STOPPED,
    BaselinesEnded,
    Ended,
    Load,
    TrainerError,
    Watch,
    Worker,
)
from nas_engine.trainers.local import MARK, LocalTrainer
from nas_engine.trainers.pool import device_share
from tests.fakes.worker import COMMAND, FORKED

CONFIG = RunConfig().with_changes({"training.epochs": 3})
PRUNED = Ended("pruned", "pruned", "It fell behind.")
GONE_SECONDS = 5.0
GENEROUS = 2**40


class Log:
    """What a trainer tells about its trainings, and when they shall end."""

    def __init__(self, after_epoch: int = 10**9, ending: Ended = STOPPED) -> None:
        self.workers: list[Worker] = []
        self.records: list[Progress | Epoch] = []
        self.loads: list[Load] = []
        self._after_epoch, self._ending = after_epoch, ending

    def watch(self, limit_seconds: float = 60, memory_bytes: int = GENEROUS) -> Watch:
        report, started = self.records.extend, self.workers.append
        measured = self.loads.append
        return Watch(started, report, self.ending, limit_seconds, memory_bytes, measured)

    def ending(self) -> Ended | None:
        reached = max((record.epoch for record in self.records), default=0)
        return self._ending if reached > self._after_epoch else None

    @property
    def epochs(self) -> list[int]:
        return [record.epoch for record in self.records if isinstance(record, Epoch)]


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Callable[..., LocalTrainer]]:
    """Make trainers with the fake worker, and close them."""
    made: list[LocalTrainer] = []

    def make(**environment: str) -> LocalTrainer:
        output = tmp_path / "output.txt"
        made.append(LocalTrainer({**os.environ, **environment}, output, slot=3, command=COMMAND))
        return made[-1]

    yield make
    for each in made:
        each.close()


def folder(path: Path, config: RunConfig = CONFIG) -> RunDir:
    run = RunDir(path)
    run.create(config)
    return run


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes that a worker and all below it consist of."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def mark_of(worker: Worker) -> list[str]:
    """Return the mark of a worker's processes, which it does not show in its first moment."""
    return [value for name, value in psutil.Process(worker.pid).environ().items() if name == MARK]


def test_one_worker_trains_folder_after_folder_and_tells_who_it_is(
    trainer: Callable[..., LocalTrainer], tmp_path: Path
) -> None:
    warm, log = trainer(), Log()
    results = [warm.train(folder(tmp_path / name), log.watch()) for name in "ab"]
    assert all(isinstance(result, Success) for result in results)
    assert log.epochs == [1, 2, 3, 1, 2, 3]
    first, second = log.workers
    assert first == second and first.slot == 3
    assert same_process(first.pid, first.process_start)
    warm.close()
    assert not same_process(first.pid, first.process_start)


def test_a_pruned_training_leaves_the_worker_warm_and_goes_on_later_as_if_nothing_had_been(
    trainer: Callable[..., LocalTrainer], tmp_path: Path
) -> None:
    warm, log = trainer(FAKE_EPOCH_SECONDS="0.15"), Log(1, PRUNED)
    whole = warm.train(folder(tmp_path / "whole"), Log().watch())
    run = folder(tmp_path / "run")
    assert warm.train(run, log.watch()) == PRUNED
    assert run.read_result() is None and not run.end.exists()
    assert run.create(CONFIG) == 1
    later = Log()
    assert warm.train(run, later.watch()) == whole
    assert log.workers == later.workers


@pytest.mark.parametrize("ending", [STOPPED, PRUNED], ids=["stopped", "pruned"])
@pytest.mark.parametrize(("mode", "children"), [("hang", 0), ("stop", 0), ("fork", FORKED)])
def test_a_training_that_must_end_is_gone_with_all_that_it_started(
    trainer: Callable[..., LocalTrainer], tmp_path: Path, mode: str, children: int, ending: Ended
) -> None:
    """The worker ignores SIGTERM and the wish to end, is suspended, or has hidden children."""
    stubborn, log = trainer(FAKE_MODE=mode), Log()
    mark: list[str] = []
    asked_at: list[float] = []

    def once_it_is_at_it() -> Ended | None:
        if not log.workers:
            return None
        if not mark:
            mark.extend(mark_of(log.workers[0]))
        if not log.records or len(marked(*mark)) <= children:
            return None
        asked_at.append(time.monotonic())
        return ending

    watch = Watch(log.workers.append, log.records.extend, once_it_is_at_it, 60, GENEROUS)
    assert stubborn.train(folder(tmp_path / "run"), watch) == ending
    while marked(*mark):
        assert time.monotonic() - asked_at[0] < GONE_SECONDS


def test_a_training_ends_at_its_limit_of_time(
    trainer: Callable[..., LocalTrainer], tmp_path: Path
) -> None:
    log = Log()
    ended = trainer(FAKE_MODE="stop").train(folder(tmp_path / "run"), log.watch(0.6))
    assert ended == Ended("failed", "time", "The training was ended at its limit of 0.01 minutes.")
    assert not same_process(log.workers[0].pid, log.workers[0].process_start)


def test_a_training_that_takes_too_much_memory_fails_alone_and_says_what_to_lower(
    trainer: Callable[..., LocalTrainer], tmp_path: Path
) -> None:
    log = Log()
    ended = trainer(FAKE_MODE="memory").train(
        folder(tmp_path / "run"), log.watch(memory_bytes=100_000_000)
    )
    assert isinstance(ended, Ended)
    assert (ended.state, ended.error_class) == ("failed", "out_of_memory")
    assert "more than the 100 MB that it may; lower data.batch_size (32)" in ended.message
    assert not same_process(log.workers[0].pid, log.workers[0].process_start)
    assert log.loads[-1].memory > 100_000_000, "the measurement that decided was not reported"


def test_what_a_worker_takes_is_measured_while_it_trains(
    trainer: Callable[..., LocalTrainer], tmp_path: Path
) -> None:
    log = Log()

    def measured_twice() -> Ended | None:
        return STOPPED if len(log.loads) == 2 else None

    log.ending = measured_twice  # type: ignore[method-assign]
    assert trainer(FAKE_EPOCH_SECONDS="60").train(folder(tmp_path / "run"), log.watch()) == STOPPED
    assert all(load.memory > 1_000_000 and load.cpu_percent >= 0 for load in log.loads)
    assert all(load.gpu_percent is None for load in log.loads), "it has no GPU"


def test_a_worker_that_is_lost_is_told_as_such_and_replaced(
    trainer: Callable[..., LocalTrainer], tmp_path: Path
) -> None:
    replaced, log = trainer(FAKE_EPOCH_SECONDS="0.05"), Log()
    watch = log.watch()

    def kill(worker: Worker) -> None:
        log.workers.append(worker)
        os.kill(worker.pid, signal.SIGKILL)

    run = folder(tmp_path / "run")
    ended = replaced.train(run, Watch(kill, watch.report, watch.ending, 60, GENEROUS))
    assert isinstance(ended, Ended)
    assert (ended.state, ended.error_class) == ("crashed", "process lost")
    assert "(SIGKILL)" in ended.message and str(run.log) in ended.message
    assert isinstance(replaced.train(folder(tmp_path / "next"), log.watch()), Success)
    assert log.workers[0].pid != log.workers[1].pid


def test_a_worker_that_can_write_nothing_reports_the_disk(
    trainer: Callable[..., LocalTrainer], tmp_path: Path
) -> None:
    ended = trainer(FAKE_MODE="disk").train(folder(tmp_path / "run"), Log().watch())
    assert isinstance(ended, Ended)
    assert (ended.state, ended.error_class) == ("failed", "disk")
    assert str(tmp_path / "output.txt") in ended.message


def test_a_gigabyte_of_output_leaves_a_short_log(
    trainer: Callable[..., LocalTrainer], tmp_path: Path
) -> None:
    run = folder(tmp_path / "run", CONFIG.with_changes({"training.epochs": 1}))
    assert isinstance(trainer(FAKE_MODE="print").train(run, Log().watch()), Success)
    assert run.log.stat().st_size <= LOG_BYTES < 10_000_000
    assert set(run.log_tail().replace("done", "x").split()[-1]) == {"x"}


@pytest.mark.parametrize("raising", ["started", "report"])
def test_a_training_that_nobody_follows_any_more_is_killed_and_the_next_one_is_fine(
    trainer: Callable[..., LocalTrainer], tmp_path: Path, raising: str
) -> None:
    class LeaseLost(RuntimeError):
        pass

    log, freed = Log(), trainer(FAKE_EPOCH_SECONDS="0.3")

    def started(worker: Worker) -> None:
        log.workers.append(worker)
        if raising == "started":
            raise LeaseLost

    def report(records: object) -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        freed.train(folder(tmp_path / "run"), Watch(started, report, log.ending, 60, GENEROUS))
    assert not same_process(log.workers[0].pid, log.workers[0].process_start)
    next_run = folder(tmp_path / "next", CONFIG.with_changes({"training.epochs": 1}))
    assert isinstance(freed.train(next_run, Log().watch()), Success)


def test_a_worker_ends_with_the_process_that_started_it_even_before_it_has_begun(
    tmp_path: Path,
) -> None:
    """The parent may be lost before the worker has asked the kernel to be told of it."""
    dead = 2**22 + 1  # no process has this id
    for command in (COMMAND, local.COMMAND, local.BASELINES_COMMAND):
        worker = psutil.Popen(
            [*command, "--parent", str(dead)], stdin=-1, cwd=Path(__file__).parents[2]
        )
        assert worker.wait(20) == 1
        worker.stdin.close()


def test_baselines_are_computed_in_a_process_of_their_own_which_can_say_why_it_fails(
    trainer: Callable[..., LocalTrainer], tmp_path: Path
) -> None:
    small = {"data.dataset": "synthetic", "data.seq_len": 24, "data.label_len": 12}
    rows = trainer().baselines(folder(tmp_path / "folder", CONFIG.with_changes(small)))
    assert {row.split for row in rows} == {"val", "test"} and all(row.mse > 0 for row in rows)
    (tmp_path / "ETTh1.csv").write_text("not the published file")
    with pytest.raises(TrainerError, match="is not the published ETTh1"):
        trainer(NAS_DATA_DIRS=str(tmp_path)).baselines(folder(tmp_path / "without data"))


@pytest.mark.parametrize("raises", [False, True], ids=["stopped", "closed"])
def test_baselines_end_at_once_when_they_shall_and_nothing_of_them_is_left(
    trainer: Callable[..., LocalTrainer], tmp_path: Path, raises: bool
) -> None:
    class EngineClosed(RuntimeError):
        pass

    seen: list[psutil.Process] = []

    def ending() -> Ended | None:
        seen.extend(
            child for child in psutil.Process().children() if child.pid == os.getsid(child.pid)
        )
        if raises:
            raise EngineClosed
        return STOPPED

    with pytest.raises(EngineClosed if raises else BaselinesEnded):
        trainer().baselines(folder(tmp_path / "folder"), ending)
    assert len(seen) == 1 and not seen[0].is_running()


def test_a_worker_is_told_its_gpu_and_its_share_of_the_memory(tmp_path: Path) -> None:
    environment, share = device_share(2, 4, ["GPU-a", "GPU-b"])
    told = LocalTrainer(
        {**os.environ, **environment}, tmp_path / "output", 2, 1, share, command=COMMAND
    )
    log = Log()
    assert isinstance(told.train(folder(tmp_path / "run"), log.watch()), Success)
    worker = psutil.Process(log.workers[0].pid)
    assert worker.environ()["CUDA_VISIBLE_DEVICES"] == "GPU-a"
    assert "--memory-share 0.5" in " ".join(worker.cmdline())
    told.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has a score for it")
def test_a_worker_is_the_first_to_go_where_memory_runs_out(
    trainer: Callable[..., LocalTrainer], tmp_path: Path
) -> None:
    log = Log()
    trainer().train(folder(tmp_path / "run"), log.watch())
    pid = log.workers[0].pid
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)
