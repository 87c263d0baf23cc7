"""On what a benchmark was run, and what it measured beside what it should be.

Each benchmark begins with `announce()` and tells its marks with `judge()`. `python -m benchmarks`
runs them one after another and gathers the marks, through the file that `GATHERED` names.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
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
    def figure(self) -> str:
        """What was measured, with its unit."""
        if self.measured is None:
            return "not measured"
        return f"{amount(self.measured)} {self.unit}".strip()

    @property
    def allowed(self) -> str:
        """The bound in words."""
        return f"{'at least' if self.at_least else 'at most'} {amount(self.bound)}"

    @property
    def verdict(self) -> str:
        """Whether the mark is met, else by how much of its bound it is missed."""
        if self.met:
            return "met"
        if self.measured is None or not math.isfinite(self.measured):
            return "MISSED"
        short = abs(self.measured - self.bound)
        if self.bound == 0:
            return f"MISSED by {amount(short)} {self.unit}".strip()
        return f"MISSED by {100 * short / abs(self.bound):.3g} %"

    @property
    def text(self) -> str:
        """The mark in a line."""
        return f"{self.verdict}: {self.what}: {self.figure} ({self.allowed})"


def amount(value: float) -> str:
    """Return a number with four digits, or whole where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def announce() -> None:
    """Print the command, machine, versions, commit and date of a benchmark."""
    click.echo("\n".join(["```", *conditions(), "```", ""]))


def conditions() -> list[str]:
    """Return what a figure depends on beside the code that made it, a line each."""
    name = Path(sys.argv[0])
    module = f"benchmarks.{name.stem}" if name.stem != "__main__" else "benchmarks"
    command = shlex.join(["python", "-m", module, *sys.argv[1:]])
    memory = psutil.virtual_memory().total / 2**30
    return [
        f"command   {command}",
        f"machine   {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"load {os.getloadavg()[0]:.1f} at the start; {platform.system()}",
        f"versions  Python {platform.python_version()}, {', '.join(_versions())}",
        f"commit    {_commit()}",
        f"date      {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    ]


def judge(marks: Iterable[Mark]) -> list[Mark]:
    """Print marks as a Markdown list; add them to the file that gathers them, if one is named."""
    told = list(marks)
    click.echo()
    for mark in told:
        click.echo(f"- {mark.text}")
    if path := os.environ.get(GATHERED):
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(mark)) + "\n" for mark in told)
    return told


def gathered(path: Path) -> list[Mark]:
    """Return the marks in a file to which `judge` has added; none where it never has."""
    if not path.exists():
        return []
    return [Mark(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


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
