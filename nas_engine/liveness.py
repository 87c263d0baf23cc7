"""Whether the process of an engine's lease lives.

Nothing here reads the wall clock, which may jump: times are seconds since the machine started, and
a process is told by when it started from a later one with the same id.
"""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import Literal

import psutil

from nas_engine.store.rows import EngineRow

HEARTBEAT_SECONDS = 1.0
STALE_SECONDS = 2 * HEARTBEAT_SECONDS
"""Of silence after which an engine that lives is called stalled."""
LEASE_SECONDS = 10.0
"""Of silence after which another engine may take a stalled one's place."""

EngineState = Literal["none", "alive", "stalled", "lost"]
LIVING: frozenset[EngineState] = frozenset({"alive", "stalled"})
"""The states of an engine whose process is there."""

_TICKS = os.sysconf("SC_CLK_TCK")


def boot_clock() -> float:
    """Return seconds since this machine started, the same for all its processes."""
    if hasattr(time, "CLOCK_BOOTTIME"):  # goes on while the machine sleeps, as people's time does
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@functools.cache
def boot_id() -> str:
    """Return a name for the time since this machine was started."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text("ascii").strip() if path.exists() else f"{psutil.boot_time():.0f}"


def process_start(pid: int) -> float | None:
    """Return when a process started; None where there is none or it is a zombie.

    On Linux it is read from the kernel, in seconds since the boot: psutil counts from the wall
    clock, and would take every process for another one once that has jumped.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _start_elsewhere(pid)
    fields = stat.rpartition(")")[2].split()  # the name before may hold blanks and brackets
    return None if fields[0] in "ZX" else int(fields[19]) / _TICKS


def _start_elsewhere(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def same_process(pid: int, start: float) -> bool:
    """Tell whether the process `pid` lives and started at `start`."""
    found = process_start(pid)
    return found is not None and abs(found - start) < 0.02


def engine_state(
    engine: EngineRow | None, now: float | None = None, stale: float = STALE_SECONDS
) -> EngineState:
    """Return whether the process of a lease lives; `now` is of `boot_clock`.

    `stalled` means that it lives but has not shown it for `stale` seconds; `none` that there is no
    engine, because none was started or the last one has ended as it should.
    """
    if engine is None or engine.released:
        return "none"
    if engine.boot != boot_id() or not same_process(engine.pid, engine.process_start):
        return "lost"
    silent = (boot_clock() if now is None else now) - engine.heartbeat
    return "stalled" if silent > stale else "alive"
