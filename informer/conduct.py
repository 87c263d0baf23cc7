"""How a worker process behaves towards its machine and the process that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

PARENT_POLL_SECONDS = 1.0
NICENESS = 5
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """End this process when process `parent` does: at once on Linux, within a second elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was lost before the kernel was told
        os._exit(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def answer_order(answer: Callable[[str], BaseModel], threads: int) -> None:
    """Print, as JSON, the answer to the order on stdin; end with the process that waits for it."""
    die_with_parent(os.getppid())
    yield_to_others()
    order = sys.stdin.read()
    from informer import training  # only now: importing torch takes seconds

    training.use_threads(threads)
    sys.stdout.write(f"{answer(order).model_dump_json()}\n")


def yield_to_others() -> None:
    """Let other processes go first, and this one be ended first where memory runs out."""
    os.nice(NICENESS)
    score = Path("/proc/self/oom_score_adj")
    if score.exists():
        score.write_text("1000")
