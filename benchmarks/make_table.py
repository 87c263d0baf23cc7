"""Record real trainings for searches that train nothing: `python -m benchmarks.make_table`.

Trains what is missing in the tables of `tests/recorded/table.py` on ETTh1, each training on one
thread, so that an interrupted command goes on where it was. `make_table space` makes one alone.
Needs ETTh1, which is downloaded where it is not found.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from pydantic import TypeAdapter
from tqdm import tqdm

from informer.baselines import Baseline, compute
from informer.config import RunConfig
from informer.files import replace_text
from informer.records import Epoch, Failure
from informer.rundir import RunDir
from informer.training import train, use_threads
from tests.recorded.rows import Row, Settings
from tests.recorded.table import BASELINES, COMPARED, TESTED, Table

Task = tuple[Settings, RunConfig]
"""What is varied, and the whole configuration that this means."""

TABLES = {table.path.stem: table for table in (TESTED, COMPARED)}


def trained(task: Task) -> Row:
    """Train once, in a folder of its own.

    The seconds are those of the processor for the whole training with its test, in equal shares for
    the epochs: other work on the machine prolongs a training, but leaves them much as they are.
    """
    settings, config = task
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder))
        run.create(config)
        began = time.process_time()
        outcome = train(config, run)
        seconds = time.process_time() - began
        epochs = [record for record in run.read_metrics()[0] if isinstance(record, Epoch)]
    shares = (epoch.model_copy(update={"seconds": seconds / len(epochs)}) for epoch in epochs)
    return Row(settings, config.training.seed, tuple(shares), outcome)


def fill(table: Table, workers: int) -> None:
    """Train what is missing in a table, several at a time, and write each as it ends."""
    rows = {(row.key, row.seed): row for row in table.read()}
    left = [
        (settings, table.configuration(settings, seed))
        for settings, seed in table.trainings()
        if (tuple(settings.values()), seed) not in rows
    ]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(workers, initializer=use_threads, initargs=(1,)) as pool:
        done = pool.imap_unordered(trained, left)
        for row in tqdm(done, total=len(left), unit="training", desc=table.path.name):
            if isinstance(row.outcome, Failure) and row.outcome.error_class in ("config", "data"):
                raise SystemExit(row.outcome.message)  # no result, but a table that cannot be made
            rows[row.key, row.seed] = row
            table.write(rows.values())
    click.echo(f"{table.path} has {len(rows)} trainings.")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(TABLES)))
@click.option("--workers", default=1, show_default=True, help="Trainings at a time.")
def main(names: Sequence[str], workers: int) -> None:
    """Fill all tables or the named, and write the forecasts without training that are not there."""
    if not BASELINES.exists():
        found = TypeAdapter(list[Baseline]).dump_json(compute(TESTED.first), indent=2)
        replace_text(BASELINES, found.decode() + "\n")
    for name in names or TABLES:
        fill(TABLES[name], workers)


if __name__ == "__main__":
    main()
