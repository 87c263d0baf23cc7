"""Slots: several trainings at once, each in a worker of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from informer.config import RunConfig
from informer.records import Success
from informer.rundir import RunDir
from nas_engine.liveness import same_process
from nas_engine.trainers.base import STOPPED, Ended, Trainer, Watch, Worker
from nas_engine.trainers.local import LocalTrainer
from nas_engine.trainers.pool import Pool, PoolClosed, device_share
from tests.fakes.trainer import FakeTrainer
from tests.fakes.worker import COMMAND

CONFIG = RunConfig().with_changes({"training.epochs": 3})


class Bench:
    """Trains in a pool, from a thread for each training."""

    def __init__(self, pool: Pool, path: Path) -> None:
        self.pool = pool
        self.workers: list[Worker] = []  # of the trainings in the order in which they began
        self.names: list[str] = []
        self.stopped: set[str] = set()
        self._path = path
        self._threads = ThreadPoolExecutor(16)

    def train(self, name: str) -> Future[Success | Ended]:
        """Ask for a training, and return once it has begun or waits."""
        run = RunDir(self._path / name)
        run.create(CONFIG)
        asked = threading.Event()

        def started(worker: Worker) -> None:
            self.names.append(name)
            self.workers.append(worker)

        def ending() -> Ended | None:
            asked.set()
            return STOPPED if name in self.stopped else None

        watch = Watch(started, lambda records: None, ending, 60, 2**40)
        future = self._threads.submit(self.pool.train, run, watch)
        assert asked.wait(10)
        return future

    def until_begun(self, count: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.names) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def close(self) -> None:
        self.pool.close()
        self._threads.shutdown()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(slots: int, trainer: Callable[[int], Trainer]) -> Bench:
        made.append(Bench(Pool(trainer, slots), tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


def slow(slot: int) -> FakeTrainer:
    return FakeTrainer(epoch_seconds=20, slot=slot)


def local(tmp_path: Path) -> Callable[[int], LocalTrainer]:
    environment = {**os.environ, "FAKE_EPOCH_SECONDS": "20"}
    return lambda slot: LocalTrainer(environment, tmp_path / "output", slot, command=COMMAND)


def test_as_many_train_at_once_as_there_are_slots_and_the_others_wait_their_turn(
    bench: Callable[..., Bench],
) -> None:
    full = bench(2, slow)
    trainings = {name: full.train(name) for name in "abcde"}
    full.until_begun(2)
    assert sorted(full.names) == ["a", "b"]
    for count, name in enumerate("abc", 3):
        full.stopped.add(name)
        assert trainings[name].result(10) == STOPPED
        full.until_begun(count)
    assert full.names[2:] == ["c", "d", "e"]
    assert sorted(worker.slot for worker in full.workers[:2]) == [0, 1]


def test_a_training_that_waits_for_a_slot_can_be_ended(bench: Callable[..., Bench]) -> None:
    full = bench(1, slow)
    full.train("a")
    full.until_begun(1)
    waiting, later = full.train("b"), full.train("c")
    full.stopped.add("b")
    assert waiting.result(10) == STOPPED
    full.stopped.add("a")
    full.until_begun(2)
    assert full.names == ["a", "c"]
    assert not later.done()


def test_a_pool_grows_and_shrinks_while_it_trains(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    pooled = bench(1, local(tmp_path))
    trainings = {name: pooled.train(name) for name in "abc"}
    pooled.until_begun(1)
    pooled.pool.resize(3)
    pooled.until_begun(3)
    assert sorted(worker.slot for worker in pooled.workers) == [0, 1, 2]
    pooled.pool.resize(1)
    assert not any(training.done() for training in trainings.values())
    waiting = pooled.train("d")
    for name in "ab":
        pooled.stopped.add(name)
        assert trainings[name].result(10) == STOPPED
    assert sorted(pooled.names) == ["a", "b", "c"], "two trained although there is one slot"
    pooled.stopped.add("c")
    pooled.until_begun(4)
    assert not waiting.done()
    assert [same_process(w.pid, w.process_start) for w in pooled.workers] == [False] * 3 + [True]


def test_closing_a_pool_kills_its_workers_and_gives_no_training_an_end(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    pooled = bench(2, local(tmp_path))
    trainings = [pooled.train(name) for name in "abc"]
    pooled.until_begun(2)
    pooled.pool.close()
    for training in trainings:
        with pytest.raises(PoolClosed):
            training.result(10)
    assert not any(same_process(w.pid, w.process_start) for w in pooled.workers)


def test_what_a_training_raises_reaches_its_caller_and_frees_the_slot(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    pooled = bench(1, lambda slot: FakeTrainer(fail=lambda config: 1 / 0))  # type: ignore[arg-type, return-value]
    for name in "ab":
        with pytest.raises(ZeroDivisionError):
            pooled.train(name).result(10)


def test_a_slot_trains_from_one_thread_for_as_long_as_it_lives(
    bench: Callable[..., Bench],
) -> None:
    """A worker dies with the thread that has started it."""
    threads: list[int] = []

    class Told(FakeTrainer):
        def train(self, run: RunDir, watch: Watch) -> Success | Ended:
            threads.append(threading.get_ident())
            return super().train(run, watch)

    pooled = bench(1, lambda slot: Told())
    for name in "abc":
        assert isinstance(pooled.train(name).result(10), Success)
    assert len(set(threads)) == 1


@pytest.mark.parametrize(
    ("slots", "devices", "given", "shares"),
    [
        (4, ["0", "1"], ["0", "1", "0", "1"], [0.5, 0.5, 0.5, 0.5]),
        (3, ["0", "1"], ["0", "1", "0"], [0.5, 1, 0.5]),
        (2, ["GPU-a", "GPU-b", "GPU-c"], ["GPU-a", "GPU-b"], [1, 1]),
    ],
)
def test_slots_are_dealt_to_the_gpus_in_turn_and_share_their_memory(
    slots: int, devices: list[str], given: list[str], shares: list[float]
) -> None:
    dealt = [device_share(slot, slots, devices) for slot in range(slots)]
    assert [environment for environment, _ in dealt] == [
        {"CUDA_VISIBLE_DEVICES": device} for device in given
    ]
    assert [share for _, share in dealt] == shares
