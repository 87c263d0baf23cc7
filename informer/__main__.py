"""The warm worker: `python -m informer` trains the run folders that stdin names, one a line.

It pays for its imports once, and ends at the end of stdin or with the process that started it.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from informer.conduct import die_with_parent, yield_to_others
from informer.files import is_torn
from informer.records import Failure
from informer.rundir import RunDir


@click.command()
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads; by default one for each core."
)
@click.option(
    "--memory-share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    help="Of the memory of the GPU that a training has; by default all of it.",
)
@click.option(
    "--parent", type=int, help="Process to end with; by default the one that has started this one."
)
def main(threads: int | None, memory_share: float, parent: int | None) -> None:
    """Train the run folders that stdin names, one a line, until stdin ends.

    Exit code 74 means that a result could not be written; stderr says why.
    """
    die_with_parent(parent or os.getppid())
    yield_to_others()
    # Only now: importing torch takes seconds, in which the parent may be lost.
    from informer import training

    training.use_threads(threads or os.cpu_count() or 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that the log is live
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for line in sys.stdin:
        if folder := line.rstrip("\n"):
            try:
                serve(RunDir(Path(folder)), memory_share)
            except OSError as error:
                click.echo(f"No result could be written to {folder}: {error}.", err=True)
                sys.exit(os.EX_IOERR)


def serve(run: RunDir, memory_share: float) -> None:
    """Train the configuration of a run folder, and leave a result there whatever happens."""
    if not run.path.is_dir():
        click.echo(f"{run.path} is not a folder; nothing was trained.", err=True)
        return
    from informer.training import AskedToEnd, train

    with _output_in(run.log):
        try:
            config = run.read_config()
        except (OSError, ValueError, RecursionError) as error:
            text = traceback.format_exc()
            message = f"{run.config} is not a valid configuration: {error}"
            run.write_result(Failure(error_class="config", message=message, traceback=text))
            return
        try:
            train(config, run, memory_share=memory_share)
        except AskedToEnd:
            click.echo("The training was asked to end.")
        run.end.unlink(missing_ok=True)


@contextmanager
def _output_in(log: Path) -> Iterator[None]:
    """Send all that this process prints, libraries in C included, to the end of a file."""
    with log.open("ab+") as file:
        if is_torn(file):
            file.write(b"\n")
            file.flush()
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


if __name__ == "__main__":
    main()
