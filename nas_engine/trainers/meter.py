"""Measures what the process of a training, and all that it has started, take of this machine."""

from __future__ import annotations

import math
import shutil
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from nas_engine.trainers.base import Load

GPU_SECONDS = 5.0
"""Between two questions to nvidia-smi."""
ANSWER_SECONDS = 5.0
"""That it may take to answer one."""


class Meter:
    """Follows one process and its children, and the GPU that it computes on, if any."""

    def __init__(self, pid: int, gpu: str = "") -> None:
        """Begin to measure.

        Args:
            pid: the process.
            gpu: its name in CUDA_VISIBLE_DEVICES; empty where the training has none.
        """
        self._pid, self._gpu = pid, gpu
        self._since = time.monotonic()
        self._seconds = {process: spent for process, spent, _ in _tree(pid)}

    def load(self) -> Load | None:
        """Return what they take now, the processor's share since the last call; None: all ended."""
        tree, now = list(_tree(self._pid)), time.monotonic()
        memory = sum(held for _, _, held in tree)
        if not memory:  # what has ended may still be there, without any
            return None
        # What a process computed before it was first seen counts: it began after the last look.
        worked = sum(spent - self._seconds.get(process, 0.0) for process, spent, _ in tree)
        percent = 100 * worked / (now - self._since)
        self._seconds = {process: spent for process, spent, _ in tree}
        self._since = now
        gpu = self._gpu_load()
        on_gpu = [gpu.memory[p.pid] for p, _, _ in tree if p.pid in gpu.memory] if gpu else []
        return Load(
            cpu_percent=percent,
            memory=memory,
            gpu_percent=gpu.percent if gpu else None,
            gpu_memory=sum(on_gpu) if on_gpu else None,
        )

    def _gpu_load(self) -> GPULoad | None:
        if not self._gpu:
            return None
        loads = NVIDIA.newest()
        begins = (
            name for name in loads if self._gpu.startswith("GPU-") and name.startswith(self._gpu)
        )
        return loads.get(self._gpu) or loads.get(next(begins, ""))


def _tree(pid: int) -> Iterator[tuple[psutil.Process, float, int]]:
    """Yield a process and all below it, with their seconds of computing and bytes of memory."""
    try:
        parent = psutil.Process(pid)
        processes = [parent, *_below(parent)]
    except psutil.NoSuchProcess:
        return
    for process in processes:
        with suppress(psutil.Error), process.oneshot():
            times = process.cpu_times()
            yield process, times.user + times.system, process.memory_info().rss


def _below(parent: psutil.Process) -> list[psutil.Process]:
    """Return all processes below one.

    Linux lists the children of each; elsewhere every process of the machine is looked at, which
    takes milliseconds, twice a second for each slot.
    """
    if not _LISTED.exists():
        return parent.children(recursive=True)
    found, left = list[psutil.Process](), [parent.pid]
    while left:
        for listed in Path(f"/proc/{left.pop()}/task").glob("*/children"):
            children = list[int]()
            with suppress(OSError):
                children += map(int, listed.read_text("ascii").split())
            for pid in children:
                with suppress(psutil.Error):
                    found.append(psutil.Process(pid))
                    left.append(pid)
    return found


_LISTED = Path("/proc/thread-self/children")


@dataclass(frozen=True)
class GPULoad:
    """How much of a GPU is in use: all of it, and the memory of each process in bytes."""

    percent: float | None
    memory: Mapping[int, int]


class Nvidia:
    """What `nvidia-smi` says about the GPUs: asked in the background, for it may take seconds."""

    def __init__(self) -> None:
        """Know nothing yet; nobody is asked before somebody wants to know."""
        self._lock = threading.Lock()
        self._asked = -math.inf
        self._loads: Mapping[str, GPULoad] = {}

    def newest(self) -> Mapping[str, GPULoad]:
        """Return the last answer, by the names of the GPUs, and ask again where it is old."""
        with self._lock:
            loads = self._loads
            if time.monotonic() - self._asked >= GPU_SECONDS:
                self._asked = time.monotonic()
                threading.Thread(target=self._ask, daemon=True).start()
        return loads

    def _ask(self) -> None:
        self._loads = gpu_loads()


NVIDIA = Nvidia()


def gpu_loads() -> dict[str, GPULoad]:
    """Return how much of each GPU is in use, by its number and by its UUID; empty if unknown."""
    memory: dict[str, dict[int, int]] = defaultdict(dict)
    loads: dict[str, GPULoad] = {}
    try:
        # In a container the ids may be those outside of it, or none be told.
        for pid, uuid, mebibytes in _table("--query-compute-apps=pid,gpu_uuid,used_gpu_memory"):
            if pid.isdecimal() and mebibytes.isdecimal():
                memory[uuid][int(pid)] = int(mebibytes) * 2**20
        for number, uuid, percent in _table("--query-gpu=index,uuid,utilization.gpu"):
            used = float(percent) if percent.isdecimal() else None
            loads[number] = loads[uuid] = GPULoad(used, memory[uuid])
    except (subprocess.SubprocessError, OSError, ValueError):
        return {}
    return loads


def _table(query: str) -> list[list[str]]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, query, "--format=csv,noheader,nounits"]
    said = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
    ).stdout
    return [[cell.strip() for cell in line.split(",")] for line in said.splitlines()]
