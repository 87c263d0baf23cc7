"""Processes that have all imports already: forked in milliseconds from one that has no threads."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def fork(body: Callable[[], int | None], log: Path) -> int:
    """Run `body` in a process that dies with this one, and return its id.

    It exits with what `body` returns, or with 1 after an exception, which goes to `log`.
    """
    if pid := os.fork():
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = body() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended_within(pid: int, seconds: float) -> int | None:
    """Return the exit code of a child, negative for a signal; None if it lives all that time."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.002)


def end(pid: int) -> None:
    """Kill a child that has not been waited for."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


ROOM = 2 << 30
"""Bytes that tests may need; in containers there may be less."""


def fast_folder() -> Path | None:
    """Return where files cost no disk, if there is such a place: a kill loses none of them."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else None
