"""Record the trainings that `benchmarks/transfer.py` learns from: `-m benchmarks.transfer_tables`.

The tables have the form of `tests/recorded/etth1.csv` and the same starting point, but another
task: a horizon of 96 steps on ETTh1, which is much like the 24 of that table, and random walks
without a season, which are not. Each configuration is trained with one seed. A training that is in
a table is not done again. Takes ten minutes on two idle cores.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd

from benchmarks.make_table import fill
from data import intake, own
from data.choices import Choices
from tests.recorded.table import FOLDER, TESTED, Table

WALKS = "walks"

NEAR = Table(
    path=FOLDER / "etth1_96.csv",
    grid={**TESTED.grid, "model.d_model": (64,), "data.seq_len": (48, 96)},
    start={**TESTED.start, "data.pred_len": 96},
)
FAR = Table(
    path=FOLDER / "walks.csv",
    grid={**TESTED.grid, "model.d_model": (64,), "data.seq_len": (96,)},
    start={**TESTED.start, "data.dataset": WALKS, "data.target": "c"},
)
"""Can be read only where `add_walks` has added its data."""


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
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        add_walks()
        for table in (NEAR, FAR):
            fill(table, workers)


if __name__ == "__main__":
    main()
