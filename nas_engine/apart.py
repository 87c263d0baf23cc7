"""Asks a process of its own one thing: the order goes to its stdin, the answer is its last line.

Where the work needs torch, or may take more time or memory than there is, the process pays for it.
"""

from __future__ import annotations

import subprocess
import sys

from nas_engine.settings import Settings
from nas_engine.workspace import PROJECT


def ask(
    module: str, order: str, settings: Settings, seconds: float, *arguments: str
) -> tuple[str, int]:
    """Return the last line that `python -m module` printed, "" without any, and its exit code.

    Args:
        module: of this project.
        order: what it reads from its stdin.
        settings: give the environment that a training would have.
        seconds: after which the process is killed; so it is where whoever waits for it ends.
        arguments: of its command line.

    Raises:
        OSError: no process could be started.
        subprocess.TimeoutExpired: it took too long.
    """
    with subprocess.Popen(  # noqa: S603
        (sys.executable, "-m", module, *arguments),
        cwd=PROJECT,
        env=settings.worker_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            printed, _ = process.communicate(order, timeout=seconds)
        except BaseException:
            process.kill()
            raise
    lines = printed.strip().splitlines()
    return lines[-1] if lines else "", process.returncode
