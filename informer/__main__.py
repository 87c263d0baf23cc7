"""The warm worker: `python -m informer` trains the run folders that stdin names, one a line.

It pays for its imports once, and ends at the end of stdin or with the process that started it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from informer.rundir import Failure, RunDir

PARENT_POLL_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


@click.command()
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads; by default one for each core."
)
def main(threads: int | None) -> None:
    """Train the run folders that stdin names, one a line, until stdin ends."""
    _die_with_parent()
    # Only now: importing torch takes seconds, in which the parent may be lost.
    from informer import training

    training.use_threads(threads or os.cpu_count() or 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that the log is live
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for line in sys.stdin:
        if folder := line.rstrip("\n"):
            serve(RunDir(Path(folder)))


def serve(run: RunDir) -> None:
    """Train the configuration of a run folder, and leave a result there whatever happens."""
    if not run.path.is_dir():
        click.echo(f"{run.path} is not a folder; nothing was trained.", err=True)
        return
    from informer.training import train

    with _output_in(run.log):
        try:
            config = run.read_config()
        except (OSError, ValueError, RecursionError) as error:
            text = traceback.format_exc()
            message = f"{run.config} is not a valid configuration: {error}"
            run.write_result(Failure(error_class="config", message=message, traceback=text))
            return
        train(config, run)


@contextmanager
def _output_in(log: Path) -> Iterator[None]:
    """Send all that this process prints, libraries in C included, to the end of a file."""
    with log.open("ab") as file:
        kept = [(stream, os.dup(stream.fileno())) for stream in (sys.stdout, sys.stderr)]
        for stream, _ in kept:
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    try:
        yield
    finally:
        for stream, descriptor in kept:
            stream.flush()
            os.dup2(descriptor, stream.fileno())
            os.close(descriptor)


def _die_with_parent() -> None:
    """End this process when its parent does: at once on Linux, within a second elsewhere."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
