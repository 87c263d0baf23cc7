"""Trainings side by side: a trainer for each slot, driven from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from informer.rundir import RunDir, Success
from nas_engine.store.reader import BaselineRow
from nas_engine.trainers.base import Ended, Trainer, Watch

WAIT_SECONDS = 0.05


class Pool:
    """Trains in as many slots as there are; who comes first is served first.

    To the kernel a worker is the child of the thread that started it, and dies with it: each slot
    keeps its thread for as long as it keeps its trainer.
    """

    def __init__(self, make: Callable[[int], Trainer], slots: int) -> None:
        self._make = make
        self._slots: dict[int, tuple[Trainer, ThreadPoolExecutor]] = {}
        self._free: list[int] = []
        self._wanted = 0
        self._changed = threading.Condition()
        self.resize(slots)

    def resize(self, slots: int) -> None:
        """Have this many slots from now on; what trains beyond them is finished."""
        with self._changed:
            self._wanted = slots
            for slot in range(slots):
                if slot not in self._slots:
                    self._slots[slot] = (self._make(slot), ThreadPoolExecutor(1))
                    self._free.append(slot)
            self._changed.notify_all()

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        """Train in the next slot that is free; may be called from any thread."""
        while True:
            if (ended := watch.ending()) is not None:
                return ended
            with self._changed:
                slot = next((s for s in sorted(self._free) if s < self._wanted), None)
                if slot is not None:
                    self._free.remove(slot)
                    break
                self._changed.wait(WAIT_SECONDS)
        trainer, thread = self._slots[slot]
        try:
            return thread.submit(trainer.train, run, watch).result()
        finally:
            with self._changed:
                self._free.append(slot)
                self._changed.notify_all()

    def baselines(self, folder: RunDir) -> list[BaselineRow]:
        """Compute the baselines; raises TrainerError."""
        return self._slots[0][0].baselines(folder)

    def close(self) -> None:
        """End all workers."""
        for trainer, thread in self._slots.values():
            thread.submit(trainer.close).result()
            thread.shutdown()
