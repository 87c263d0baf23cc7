"""Several trainers side by side, one for each slot."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from informer.records import Success
from informer.rundir import RunDir
from nas_engine.store.rows import BaselineRow
from nas_engine.trainers.base import Ended, Trainer, Watch

POLL_SECONDS = 0.05


def device_share(slot: int, slots: int, devices: Sequence[str]) -> tuple[Mapping[str, str], float]:
    """Return the environment that gives a slot its GPU, and its share of that GPU's memory.

    Slots are dealt to `devices` (as CUDA names them) in turn; without devices, all share the one
    that the configuration names.
    """
    if not devices:
        return {}, 1 / slots
    number = slot % len(devices)
    return {"CUDA_VISIBLE_DEVICES": devices[number]}, 1 / len(range(number, slots, len(devices)))


class PoolClosed(RuntimeError):
    """The pool was closed while work was under way, which has no end that could be recorded."""


class _Slot:
    """A trainer and the thread that all its calls are made from, made anew when slots change."""

    def __init__(self, number: int, trainer: Trainer, generation: int) -> None:
        self.number, self.trainer, self.generation = number, trainer, generation
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"slot-{number}")

    def close(self) -> None:
        self.thread.submit(self.trainer.close).result()
        self.thread.shutdown()


class Pool:
    """A trainer with slots: `train` may be called from any thread and waits for a free slot.

    The functions of a watch are called from the slot's thread, and `ending` also from the caller's.
    """

    def __init__(self, make: Callable[[int], Trainer], slots: int) -> None:
        """Prepare `slots` slots; `make` returns the trainer of a slot when it is first needed."""
        self._make = make
        self._slots = slots
        self._generation = 0
        self._free: dict[int, _Slot] = {}
        self._busy: dict[int, _Slot] = {}
        self._waiting: deque[object] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        """Train in a free slot, first come, first served.

        Returns what `watch.ending` says if that comes before a slot is free.
        """
        taken = self._take(watch)
        if isinstance(taken, Ended):
            return taken
        closing = dataclasses.replace(watch, ending=lambda: self._ending(watch.ending))
        try:
            return taken.thread.submit(taken.trainer.train, run, closing).result()
        finally:
            self._give_back(taken)

    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        """Compute the baselines in a process of their own, which takes no slot."""
        return self._make(0).baselines(folder, lambda: self._ending(ending))

    def resize(self, slots: int) -> None:
        """Change the number of slots; trainings under way are not disturbed.

        Workers are replaced, since their share of a GPU depends on the number: at once where they
        are free, the others when their training has ended.
        """
        if slots != self._slots:
            self._slots = slots
            self.renew()

    def renew(self) -> None:
        """Replace all trainers: at once where they are free, the others when they become so."""
        with self._changed:
            self._generation += 1
            replaced, self._free = list(self._free.values()), {}
            self._changed.notify_all()
        for slot in replaced:
            slot.close()

    def close(self) -> None:
        """Kill all workers; what is under way or waits, baselines too, raises PoolClosed."""
        with self._changed:
            self._closed = True
            free, self._free = list(self._free.values()), {}
            self._changed.notify_all()
        for slot in free:
            slot.close()
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)

    def _ending(self, ending: Callable[[], Ended | None]) -> Ended | None:
        if self._closed:
            raise PoolClosed
        return ending()

    def _take(self, watch: Watch) -> _Slot | Ended:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
        try:
            while (ending := self._ending(watch.ending)) is None:
                with self._changed:
                    if self._waiting[0] is ticket and len(self._busy) < self._slots:
                        return self._occupy()
                    self._changed.wait(POLL_SECONDS)
            return ending
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _occupy(self) -> _Slot:
        number = min(set(range(self._slots)) - set(self._busy))
        slot = self._free.pop(number, None)
        if slot is None:
            slot = _Slot(number, self._make(number), self._generation)
        self._busy[number] = slot
        return slot

    def _give_back(self, slot: _Slot) -> None:
        with self._changed:
            stays = slot.generation == self._generation and not self._closed
            if stays:
                self._free[slot.number] = self._busy.pop(slot.number)
                self._changed.notify_all()
        if not stays:
            slot.close()
            with self._changed:
                del self._busy[slot.number]
                self._changed.notify_all()
