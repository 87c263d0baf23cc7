"""Record the trainings that `benchmarks/transfer.py` learns from: `-m benchmarks.transfer_tables`.

The tables have the form of `tests/recorded/etth1.csv` and the same starting point, parts of its
core, but another task: a horizon of 96 steps on ETTh1, which is much like the 24 of that table, and
random walks without a season, which are not. Each configuration is trained with one seed. A
training that is in a table is not done again. Takes ten minutes on two idle cores.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.make_table import trained
from data import intake, own
from data.choices import Choices
from informer.config import Value
from informer.training import use_threads
from tests.recorded.table import CORE, FOLDER, Grid, combinations, read_rows, start, write_rows

WALKS = "walks"
NEAR, FAR = FOLDER / "etth1_96.csv", FOLDER / "walks.csv"


@dataclass(frozen=True)
class Recorded:
    """What was trained: the task, and to what `CORE` is narrowed, which makes a smaller space."""

    task: Mapping[str, Value]
    narrowed: Grid

    @property
    def grid(self) -> Grid:
        """The values of each setting that varies."""
        return {**CORE, **self.narrowed}


RECORDED: Mapping[Path, Recorded] = {
    NEAR: Recorded({"data.pred_len": 96}, {"model.d_model": (64,), "data.seq_len": (48, 96)}),
    FAR: Recorded(
        {"data.dataset": WALKS, "data.target": "c"},
        {"model.d_model": (64,), "data.seq_len": (96,)},
    ),
}


def add_walks() -> None:
    """Add three random walks, a step a day, to the data sets of the user's own."""
    steps = np.random.default_rng(7).normal(size=(2_500, 3))
    dates = pd.date_range("1990-01-01", periods=len(steps), freq="D")
    frame = pd.DataFrame(steps.cumsum(axis=0), columns=["a", "b", "c"])
    frame.insert(0, "date", dates)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "walks.csv"
        frame.to_csv(path, index=False)
        own.add(WALKS, intake.read(path, Choices()), path.name, Choices(), replace=True)


@click.command()
@click.option("--workers", default=1, show_default=True, help="Trainings at a time.")
def main(workers: int) -> None:
    """Fill the tables."""
    seed = start().training.seed
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        add_walks()
        spawn = multiprocessing.get_context("spawn")
        for path, what in RECORDED.items():
            rows = {row.key: row for row in read_rows(path)}
            left = [(s, seed) for s in combinations(what.grid) if (*s.values(), seed) not in rows]
            with spawn.Pool(workers, initializer=use_threads, initargs=(1,)) as pool:
                done = pool.imap_unordered(partial(trained, others=what.task), left)
                for row in tqdm(done, total=len(left), unit="training", desc=path.name):
                    rows[row.key] = row
                    write_rows(path, rows.values())
            click.echo(f"{path} has {len(rows)} trainings.")


if __name__ == "__main__":
    main()
