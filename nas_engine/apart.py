"""Asks a process of its own one thing: the order goes to its stdin, the answer is its last line.

Where the work needs torch, or may take more time or memory than there is, the process pays for it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from nas_engine.settings import Settings
from nas_engine.workspace import PROJECT


def ask(
    module: str,
    order: str,
    settings: Settings,
    seconds: float,
    *arguments: str,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[str, int]:
    """Return the last line that `python -m module` printed, "" without any, and its exit code.

    Args:
        module: of this project.
        order: what it reads from its stdin.
        settings: give the environment that a training would have.
        seconds: after which the process is killed; so it is where whoever waits for it ends.
        arguments: of its command line.
        tell: is given each line as soon as it is printed, the answer too.

    Raises:
        OSError: no process could be started.
        subprocess.TimeoutExpired: it took too long.
    """
    late = threading.Event()
    with subprocess.Popen(  # noqa: S603
        (sys.executable, "-m", module, *arguments),
        cwd=PROJECT,
        env=settings.worker_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:

        def give_up() -> None:
            late.set()
            process.kill()

        patience = threading.Timer(seconds, give_up)
        patience.start()
        try:
            answer = _conversed(process, order, tell)
        except BaseException:
            process.kill()
            raise
        finally:
            patience.cancel()
    if late.is_set():
        raise subprocess.TimeoutExpired(process.args, seconds)
    return answer, process.returncode


def _conversed(process: subprocess.Popen[str], order: str, tell: Callable[[str], None]) -> str:
    """Give a process its order and read until its output ends; return the last line."""
    assert process.stdin is not None and process.stdout is not None, "both are pipes"
    with suppress(BrokenPipeError):  # it has ended before it read all of it
        process.stdin.write(order)
        process.stdin.close()
    line = ""
    for line in filter(None, map(str.strip, process.stdout)):
        tell(line)
    return line
