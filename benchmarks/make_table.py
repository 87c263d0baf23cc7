"""Record real trainings for the tests of planners: `python -m benchmarks.make_table`.

Trains every configuration of the grid in `tests/recorded/table.py` on ETTh1, and some of them with
further seeds, each on one thread. A training that is in the table is not done again, so that an
interrupted command goes on where it was. Needs ETTh1, which is downloaded where it is not found.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import click
from pydantic import TypeAdapter
from tqdm import tqdm

from informer.baselines import Baseline, compute
from informer.config import Value
from informer.files import replace_text
from informer.rundir import Epoch, Failure, RunDir
from informer.training import train, use_threads
from tests.recorded.table import (
    BASELINES,
    GRID,
    TABLE,
    Row,
    Settings,
    combinations,
    configuration,
    read_rows,
    start,
    write_rows,
)

MORE_SEEDS = 2
REPEATED = 60  # configurations that are trained with more seeds, besides that of trial 0

Task = tuple[Settings, int]


def tasks() -> list[Task]:
    """Return the trainings of the table: the settings that vary, and the seed."""
    first = start().training.seed
    grid = combinations()
    values = start().flat()
    begins = {key: values[key] for key in GRID}
    repeated = [
        begins,
        *random.Random(0).sample([each for each in grid if each != begins], REPEATED),
    ]
    return [(settings, first) for settings in grid] + [
        (settings, first + more) for settings in repeated for more in range(1, MORE_SEEDS + 1)
    ]


def trained(task: Task, others: Mapping[str, Value] = MappingProxyType({})) -> Row:
    """Train once, in a folder of its own; `others` are settings that the grid leaves alone."""
    settings, seed = task
    config = configuration(settings, seed).with_changes(others)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder))
        run.create(config)
        outcome = train(config, run)
        epochs = [record for record in run.read_metrics()[0] if isinstance(record, Epoch)]
    return Row(settings, seed, tuple(epochs), outcome)


@click.command()
@click.option("--workers", default=1, show_default=True, help="Trainings at a time.")
@click.option("--table", type=click.Path(path_type=Path), default=TABLE, show_default=True)
@click.option("--baselines", type=click.Path(path_type=Path), default=BASELINES, show_default=True)
def main(workers: int, table: Path, baselines: Path) -> None:
    """Fill the table, and write the forecasts without training beside it."""
    found = TypeAdapter(list[Baseline]).dump_json(compute(start()), indent=2)
    replace_text(baselines, found.decode() + "\n")
    rows = {row.key: row for row in read_rows(table)}
    left = [task for task in tasks() if (*task[0].values(), task[1]) not in rows]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(workers, initializer=use_threads, initargs=(1,)) as pool:
        done = pool.imap_unordered(trained, left)
        for row in tqdm(done, total=len(left), unit="training"):
            if isinstance(row.outcome, Failure) and row.outcome.error_class in ("config", "data"):
                raise SystemExit(row.outcome.message)  # no result, but a table that cannot be made
            rows[row.key] = row
            write_rows(table, rows.values())
    click.echo(f"{table} has {len(rows)} trainings.")


if __name__ == "__main__":
    main()
