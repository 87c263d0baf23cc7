"""`python -m tests.fuzz.TARGET --minutes 10`: a target under libFuzzer, by way of atheris.

A process of its own is given inputs that reach code which no input reached before. It counts what
came of them, and goes on after a crash: the first input of each kind of crash, and each that takes
more than `SLOW` seconds of CPU, is kept with its traceback in the folder, outside of the
repository. What is mended moves to `tests/fuzz/seeds/TARGET/`, where a test judges it ever after.

A target is a module with `judge(data: bytes) -> str`, which returns one of its `OUTCOMES` and
raises whatever should never be; `seeds()`, inputs to begin with; and `changed(data, draw)`, which
changes one in the language of the target: bytes alone seldom get past the first line of a parser.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.forks import fast_folder

PROJECT = Path(__file__).resolve().parents[2]
SEEDS = Path(__file__).with_name("seeds")
PARTS = ("nas_engine", "informer", "data")
TARGETS = ("replies", "configurations", "tables", "archives", "commands")

SLOW = 5.0
"""Seconds of CPU that no input may take."""
HUNG = 120
"""Seconds on the clock after which libFuzzer ends an input: the machine may have other work."""
MEMORY_MB = 1000
LONGEST = 16_384
"""Bytes of an input: what is long without end is for tests of its own."""


@dataclass
class Report:
    """What came of a target."""

    target: str
    executions: int
    corpus: int
    coverage: int
    new_coverage: int
    outcomes: dict[str, int]
    crashes: int  # kinds of them, and inputs that were slow or took too much memory
    slowest: float
    memory_mb: float
    folder: Path
    log: str = field(repr=False, default="")

    HEAD = (
        *("target", "executions", "corpus", "coverage", "new", "crashes", "slowest"),
        *("memory", "outcomes"),
    )

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the report as a row below `HEAD`."""
        total = max(1, sum(self.outcomes.values()))
        shares = (f"{name} {count / total:.0%}" for name, count in self.outcomes.items())
        return (
            self.target,
            f"{self.executions:,}",
            f"{self.corpus:,}",
            f"{self.coverage:,}",
            f"+{self.new_coverage:,}",
            f"{self.crashes}",
            f"{self.slowest:.2f} s",
            f"{self.memory_mb:.0f} MB",
            ", ".join(shares),
        )


# -- the process that is watched ----------------------------------------------------------------


class Watch:
    """Judges inputs one after another, and keeps account."""

    def __init__(self, judge: Callable[[bytes], str], outcomes: tuple[str, ...], folder: Path):
        self._judge, self._outcomes, self._folder = judge, outcomes, folder
        self._counts: Counter[str] = Counter()
        self._kept: set[str] = set()
        self._slowest = 0.0
        self._told = 0.0

    def __call__(self, data: bytes) -> None:
        """Judge an input; nothing is raised."""
        began = time.process_time()
        try:
            outcome = self._judge(data)
            assert outcome in self._outcomes, outcome
        except Exception as error:
            outcome = "crash"
            self._keep(f"{type(error).__name__}-{_place(error)}", data, traceback.format_exc())
        seconds = time.process_time() - began
        self._counts[outcome] += 1
        self._slowest = max(self._slowest, seconds)
        if seconds > SLOW:
            self._keep(f"slow-{len(self._kept)}", data, f"{seconds:.1f} s of CPU\n")
        if time.monotonic() > self._told + 1:
            self.tell()

    def _keep(self, kind: str, data: bytes, why: str) -> None:
        if kind not in self._kept and len(self._kept) < 100:
            self._kept.add(kind)
            (self._folder / "crashes" / f"{kind}.input").write_bytes(data)
            (self._folder / "crashes" / f"{kind}.log").write_text(why, "utf-8", "replace")

    def tell(self) -> None:
        """Write what is known so far: libFuzzer ends the process without a last word."""
        self._told = time.monotonic()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        facts = {"slowest": self._slowest, "memory_mb": peak, "outcomes": dict(self._counts)}
        (self._folder / "facts.json").write_text(json.dumps(facts), "utf-8")


def _place(error: Exception) -> str:
    """Return the innermost line of our own that an error came from."""
    place = "elsewhere"
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.is_relative_to(PROJECT) and ".venv" not in path.parts:
            place = f"{path.relative_to(PROJECT)}-{frame.lineno}".replace("/", ".")
    return place


def fuzz(name: str, folder: Path, options: list[str]) -> None:
    """Become libFuzzer; the process ends with it."""
    import atheris

    with atheris.instrument_imports(include=list(PARTS)):
        target = importlib.import_module(f"tests.fuzz.{name}")
        judge, changed = target.judge, target.changed
        start = folder / "start"
        for path in start.iterdir():
            path.unlink()
        for number, data in enumerate(target.seeds()):
            (start / f"{number:04d}").write_bytes(data)
        for path in sorted((SEEDS / name).glob("*")):
            (start / path.name).write_bytes(path.read_bytes())
        watch = Watch(judge, target.OUTCOMES, folder)

        def mutator(data: bytes, most: int, seed: int) -> bytes:
            draw = random.Random(seed)
            if data and draw.random() < 0.85:
                found: bytes = changed(data, draw)
                if len(found) <= most:
                    return found
            mutated: bytes = atheris.Mutate(data, most)
            return mutated

        warnings.simplefilter("error")  # as in the tests: people would see them
        atheris.Setup(
            [name, *options, str(folder / "corpus"), str(start)], watch, custom_mutator=mutator
        )
        atheris.Fuzz()


# -- the process that watches -------------------------------------------------------------------


def run(name: str, minutes: float, folder: Path | None = None) -> Report:
    """Fuzz a target for some minutes, in a process of its own.

    Args:
        name: one of `TARGETS`.
        minutes: that it has.
        folder: where its corpus and its crashes are kept, outside of the repository.
    """
    folder = (folder or Path(tempfile.gettempdir()) / "informer-nas-fuzz") / name
    if folder.resolve().is_relative_to(PROJECT):
        raise SystemExit(f"{folder} lies inside the repository; name a folder outside of it.")
    for part in ("corpus", "start", "crashes"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for left in (folder / "crashes").iterdir():
        left.unlink()
    (folder / "facts.json").unlink(missing_ok=True)
    options = [
        f"-max_total_time={round(60 * minutes)}",
        "-len_control=0",
        *(f"-timeout={HUNG}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={LONGEST}"),
        f"-report_slow_units={HUNG}",  # on the clock; what is slow is told by CPU instead
        *("-print_final_stats=1", f"-artifact_prefix={folder / 'crashes'}/", "-reload=0"),
    ]
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=fast_folder()) as scratch:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", name, str(folder), *options],
            cwd=PROJECT,
            env={**os.environ, **_environment(scratch)},
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    (folder / "log.txt").write_text(done.stderr, "utf-8")
    return _report(name, folder, done.stderr, done.returncode)


def _environment(scratch: str) -> dict[str, str]:
    """Return what keeps a person's keys, workspace and data sets out of it."""
    own = {"TMPDIR": scratch, "XDG_DATA_HOME": f"{scratch}/data", "NAS_DB": f"{scratch}/nas.db"}
    empty = ("OPENROUTER_API_KEY", "NAS_RULES", "NAS_DATA_DIRS")
    return {**own, **dict.fromkeys(empty, ""), "LANGSMITH_TRACING": "false"}


def _report(name: str, folder: Path, log: str, code: int) -> Report:
    covered = [(int(cov), int(corp)) for cov, corp in re.findall(r"cov: (\d+).*?corp: (\d+)", log)]
    began = re.search(r"INITED cov: (\d+)", log)
    executed = re.search(r"stat::number_of_executed_units: (\d+)", log)
    told: dict[str, Any] = {"slowest": 0.0, "memory_mb": 0.0, "outcomes": {}}
    if (folder / "facts.json").exists():
        told = json.loads((folder / "facts.json").read_text("utf-8"))
    coverage, corpus = covered[-1] if covered else (0, 0)
    logs = [path for path in (folder / "crashes").iterdir() if path.suffix != ".input"]
    ended_badly = code != 0 and not any(path.suffix == "" for path in logs)
    return Report(
        target=name,
        executions=int(executed[1]) if executed else sum(told["outcomes"].values()),
        corpus=corpus,
        coverage=coverage,
        new_coverage=coverage - int(began[1]) if began else 0,
        outcomes=dict(sorted(told["outcomes"].items(), key=lambda item: -item[1])),
        crashes=len(logs) + ended_badly,
        slowest=told["slowest"],
        memory_mb=told["memory_mb"],
        folder=folder,
        log=log[-2000:] if ended_badly else "",
    )


def printed(reports: list[Report]) -> int:
    """Print a table of reports, and where crashes are; return the exit code."""
    rows = [Report.HEAD, *(report.cells for report in reports)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(Report.HEAD))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    for report in reports:
        if report.crashes:
            print(f"\n{report.target}: see {report.folder / 'crashes'}\n{report.log}".rstrip())
    failed = any(
        report.crashes or report.memory_mb > MEMORY_MB or not report.executions
        for report in reports
    )
    return int(failed)


def main(*names: str) -> None:
    """Fuzz these targets as the command line asks, one after another."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target; 10")
    parser.add_argument("--folder", type=Path, help="of corpus and crashes; kept between runs")
    given = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        raise SystemExit("The fuzzer is not installed: pip install -r requirements-fuzz.txt.")
    sys.exit(printed([run(name, given.minutes, given.folder) for name in names]))


if __name__ == "__main__":
    fuzz(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
