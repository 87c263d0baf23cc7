"""On what a benchmark was run, and what it measured beside what it should be.

Each benchmark begins with `announce()` and tells its marks with `judge()`. `python -m benchmarks`
runs them one after another and gathers the marks, through the file that `GATHERED` names.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import psutil

from informer.commit import PROJECT, commit_of

GATHERED = "NAS_BENCH_MARKS"
"""Environment variable with the path of the file to which marks are added, a JSON object a line."""

LIBRARIES = ("torch", "numpy", "optuna", "scikit-learn", "streamlit")


@dataclass(frozen=True)
class Mark:
    """A figure that was measured and the bound that it should keep.

    `measured` is None where nothing was measured, which misses the mark.
    """

    what: str
    measured: float | None
    bound: float
    unit: str = ""
    at_least: bool = False  # the bound is the least, not the most

    @property
    def met(self) -> bool:
        """Whether the figure keeps the bound."""
        if self.measured is None:
            return False
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    @property
    def text(self) -> str:
        """The mark in a line."""
        found = "not measured" if self.measured is None else f"{self.measured:.4g} {self.unit}"
        side = "at least" if self.at_least else "at most"
        return (
            f"{'met   ' if self.met else 'MISSED'}  {self.what}: {found.strip()} "
            f"({side} {self.bound:g})"
        )


def announce() -> None:
    """Print the command, machine, versions, commit and date of a benchmark."""
    click.echo("\n".join(conditions()) + "\n")


def conditions() -> list[str]:
    """Return what a figure depends on beside the code that made it, a line each."""
    name = Path(sys.argv[0])
    module = f"benchmarks.{name.stem}" if name.stem != "__main__" else "benchmarks"
    memory = psutil.virtual_memory().total / 2**30
    return [
        f"command   python -m {' '.join([module, *sys.argv[1:]])}",
        f"machine   {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"load {os.getloadavg()[0]:.1f} at the start; {platform.system()}",
        f"versions  Python {platform.python_version()}, {', '.join(_versions())}",
        f"commit    {_commit()}",
        f"date      {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    ]


def judge(marks: Iterable[Mark]) -> list[Mark]:
    """Print marks, and add them to the file that gathers them where one is named."""
    told = list(marks)
    for mark in told:
        click.echo(mark.text)
    if path := os.environ.get(GATHERED):
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(mark)) + "\n" for mark in told)
    return told


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _commit() -> str:
    commit, changed = commit_of(PROJECT)
    return f"{commit or 'unknown'}{', with changes' * bool(changed)}"


def _versions() -> Iterable[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
