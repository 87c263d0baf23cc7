"""Named points at which a test kills the process, to prove that nothing is lost there.

In use, none is armed and a point costs one look into an empty table. The environment may arm one
in a process that is yet to start: NAS_FAILPOINT=name:3 kills it at the third pass.
"""

from __future__ import annotations

import os
import signal

ARMED: dict[str, int] = {}  # by name, the passes that are left


def arm(name: str, occurrence: int = 1) -> None:
    """Have this process killed when it passes the point for the `occurrence`-th time from now."""
    ARMED[name] = occurrence


def failpoint(name: str) -> None:
    """Kill this process with SIGKILL if it is time: nothing of it runs any more."""
    if name in ARMED:
        ARMED[name] -= 1
        if ARMED[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)


if _given := os.environ.get("NAS_FAILPOINT"):
    _name, _, _occurrence = _given.partition(":")
    arm(_name, int(_occurrence or 1))
