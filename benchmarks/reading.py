"""How fast a file is read and checked, and what memory it takes: `python -m benchmarks.reading`.

Writes a file of random values of about the size asked for, and reads it in this process.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import numpy as np
import pandas as pd

from benchmarks.marks import announce
from data.choices import Choices
from data.intake import read
from data.quality import inspect

COLUMNS = 7
BYTES_OF_ROW = 72


def write(path: Path, megabytes: int, dates: str, *, parquet: bool) -> None:
    """Write a table of seven columns, a row for each minute."""
    rows = megabytes * 1_000_000 // BYTES_OF_ROW
    generator = np.random.default_rng(0)
    with path.open("w") as file:
        for start in range(0, rows, 1_000_000):
            count = min(1_000_000, rows - start)
            first = pd.Timestamp("1990-01-01") + pd.Timedelta(start, "min")
            index = pd.date_range(first, periods=count, freq="min", name="time")
            values = generator.normal(size=(count, COLUMNS)).round(5)
            frame = pd.DataFrame(values, index, [f"c{at}" for at in range(COLUMNS)])
            if parquet:  # all at once: for a file that fits
                frame.to_parquet(path)
                return
            written = frame.set_axis(index.strftime(dates), axis=0).rename_axis("time")
            written.to_csv(file, header=start == 0)


@click.command()
@click.option("--megabytes", default=100, show_default=True)
@click.option("--dates", default="%Y-%m-%d %H:%M:%S", show_default=True)
@click.option("--file", type=click.Path(path_type=Path), help="Read this one, written before.")
@click.option("--parquet", is_flag=True)
def main(megabytes: int, dates: str, file: Path | None, parquet: bool) -> None:
    """Print what reading, the first check and the next one take."""
    announce()
    with tempfile.TemporaryDirectory() as folder:
        path = file or Path(folder) / "file"
        if not path.exists():
            write(path, megabytes, dates, parquet=parquet)
        size = path.stat().st_size / 1e6
        before = peak_memory()
        began = time.process_time()
        table = timed(f"reading {size:,.0f} MB", lambda: read(path))
        pace = size / (time.process_time() - began)
        print(f"{table.rows:,} rows, {len(table.columns)} columns, {pace:.0f} MB a second")
        report = timed("first check", lambda: inspect(table))
        timed("check again", lambda: inspect(table, Choices(drop=("c3",))))
        print(f"usable: {report.usable}; peak memory {peak_memory():.2f} GB ({before:.2f} before)")
        for found in report.findings[:3]:
            print(found.level, found.text)


T = TypeVar("T")


def timed(what: str, call: Callable[[], T]) -> T:
    """Print what a call takes, and return what it returns."""
    began, began_cpu = time.perf_counter(), time.process_time()
    result = call()
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    print(f"{what}: {seconds:.2f} s, {cpu:.2f} s of processors")
    return result


def peak_memory() -> float:
    """Return the most memory that this process had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
