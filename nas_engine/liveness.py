"""Whether the process of an engine's lease lives."""

from __future__ import annotations

import time
from typing import Literal

import psutil

from nas_engine.store.reader import EngineRow

HEARTBEAT_SECONDS = 1.0
STALE_SECONDS = 10.0

EngineState = Literal["none", "alive", "stalled", "lost"]


def engine_state(engine: EngineRow | None, now: float | None = None) -> EngineState:
    """Return whether the process of a lease lives.

    A process counts only if it was created when the lease says (process ids are reused) and is no
    zombie; `stalled` means that it lives but has not shown it for `STALE_SECONDS`.
    """
    if engine is None:
        return "none"
    try:
        process = psutil.Process(engine.pid)
        if (
            abs(process.create_time() - engine.process_created) > 1.0
            or process.status() == psutil.STATUS_ZOMBIE
        ):
            return "lost"
    except psutil.NoSuchProcess:
        return "lost"
    silent = (time.time() if now is None else now) - engine.heartbeat
    return "stalled" if silent > STALE_SECONDS else "alive"
