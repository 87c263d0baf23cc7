"""All benchmarks, one after another, and one table of their marks: `python -m benchmarks`.

Each runs in a process of its own, in its short form or with `--full` in its long one. What it
prints is shown as it comes and kept in a folder. One that fails does not end the others; one that
cannot run, such as for want of a checkout of Informer2020, is named. The exit status is 1 where a
benchmark failed. A mark that is missed is a result: it changes nothing about the exit status.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import IO, BinaryIO

import click

from benchmarks.marks import GATHERED, Mark, conditions, gathered
from data.registry import DataError
from data.source import locate
from informer.commit import PROJECT

RESULTS = PROJECT / "results"
LAST_LINES = 20
"""Of what a benchmark that failed said of its errors."""
ENDING_SECONDS = 10.0
"""For which a benchmark may clear up after Ctrl-C."""
INTERRUPTED = "interrupted"


class Need(Enum):
    """What a benchmark cannot do without."""

    ETTH1 = "the data set ETTh1"
    CHROMIUM = "Chromium"
    REFERENCE = "a checkout of Informer2020"


@dataclass(frozen=True)
class Benchmark:
    """A command line for each run; `long` is the short form where nothing else is said."""

    short: tuple[str, ...]
    long: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()

    def form(self, *, full: bool) -> tuple[str, ...]:
        """Return the command lines of a form."""
        return (self.long or self.short) if full else self.short


DAY = "--dataset ETTh1 --horizon 24 --seq-len 96"
FOUR_DAYS = "--dataset ETTh1 --horizon 96"
NORMALISED = "--set model.normalisation=revin --space model.normalisation=standardise,revin,last"
INHERITED = (
    "--set model.d_model=32 --set model.d_ff=64 --set data.seq_len=48 --set data.label_len=24 "
    "--set data.batch_size=64"
)
PLAN: Mapping[str, Benchmark] = {
    "found": Benchmark(
        (
            f"{DAY} --minutes 2 --seeds 2 --rule seeds=1 --set training.epochs=2 "
            "--set training.steps_per_epoch=50",
        ),
        (
            f"{DAY} --minutes 30",
            f"{FOUR_DAYS} --seq-len 96 --minutes 18",
            f"{FOUR_DAYS} --minutes 18 --finalists 3 {NORMALISED} --small 200000 --also 192 "
            "--also 336 --also 720",
        ),
        (Need.ETTH1,),
    ),
    "time_to_quality": Benchmark(("--seeds 2",), ("",), (Need.ETTH1,)),
    "search_efficiency": Benchmark(
        ("--seeds 4 --trials 40 --without-real-model",), ("",), (Need.ETTH1,)
    ),
    "trials_per_hour": Benchmark(
        ("--rounds 1 --trials 2 --widths 64 --epochs 1 --steps 8 --published-only",),
        ("",),
        (Need.ETTH1, Need.REFERENCE),
    ),
    "train_speed": Benchmark(
        ("--rounds 3 --widths 64",), ("--rounds 7",), (Need.ETTH1, Need.REFERENCE)
    ),
    "reference_check": Benchmark(("",), needs=(Need.REFERENCE,)),
    "forecast_error": Benchmark(
        (
            "--steps 20 --epochs 1 --seeds 2 --threads 1 --variant 'as published' "
            "--variant 'one sample of keys for all queries' --variant 'as published, bfloat16'",
        ),
        (
            "--steps 100 --epochs 2 --threads 1",
            "--width 512 --steps 40 --epochs 1 --threads 1 --variant 'as published' "
            "--variant 'as published, bfloat16'",
        ),
        (Need.ETTH1,),
    ),
    "attention_speed": Benchmark(("--lengths 96 --lengths 1536",), ("",)),
    "cost_model": Benchmark(("--count 10",), ("--count 90",), (Need.ETTH1,)),
    "coverage": Benchmark(("--model linear-24",), ("",), (Need.ETTH1,)),
    "engine_overhead": Benchmark(
        ("--trials 15 --epoch-seconds 1.5",),
        ("--trials 140 --epoch-seconds 1.5", "--trials 140 --epoch-seconds 1.5 --slots 2"),
    ),
    "store": Benchmark(("--seconds 20",), ("--minutes 10",)),
    "scale": Benchmark(
        ("--workers 32 --minutes 1 --factor 4",),
        ("--workers 256 --minutes 8", "--workers 1000 --minutes 12"),
    ),
    "pages": Benchmark(("",), needs=(Need.CHROMIUM,)),
    "pruning": Benchmark(
        ("--seeds 2 --trials 15",),
        ("--planner random --seeds 16 --trials 40", "--planner tpe --seeds 8 --trials 25"),
    ),
    "foresight": Benchmark(("--searches 2 --trials 20",), ("",)),
    "transfer": Benchmark(("--seeds 2 --trials 20",), ("--seeds 16",), (Need.ETTH1,)),
    "inheritance": Benchmark(
        (f"--trials 5 --epochs 3 --steps 10 {INHERITED}",),
        (f"--steps 40 {INHERITED}",),
        (Need.ETTH1,),
    ),
    "reading": Benchmark(("--megabytes 50",), ("--megabytes 100", "--megabytes 950")),
}

NO_BENCHMARKS = {
    "reference_study": "is the process of Optuna that benchmarks.trials_per_hour starts",
    "make_table": "makes the table that searches are compared on, in an hour",
    "transfer_tables": "makes the tables that benchmarks.transfer learns from",
}
"""Commands that are not run, with the reason."""


@dataclass(frozen=True)
class Ran:
    """What came of one run."""

    name: str
    seconds: float
    marks: Sequence[Mark] = field(default=())
    failure: str = ""  # why it counts as failed; empty: it ended well


def table(runs: Iterable[Ran]) -> Iterator[str]:
    """Return the lines of a Markdown table with a row for each mark, and for each failure."""
    yield "| benchmark | what was measured | figure | mark | | seconds |"
    yield "|---|---|---|---|---|---|"
    for run in runs:
        rows = [(m.what, m.figure, m.allowed, f"**{m.verdict}**") for m in run.marks]
        if run.failure:
            rows.append((run.failure, "", "", "**failed**"))
        for at, cells in enumerate(rows or [("no mark: see its output", "", "", "")]):
            first = (run.name, f"{run.seconds:.0f}") if at == 0 else ("", "")
            row = " | ".join(cell.replace("|", "\\|") for cell in (first[0], *cells, first[1]))
            yield f"| {row} |"


def outcome(runs: Sequence[Ran]) -> str:
    """Return how many marks were met, and what failed, in a sentence or two."""
    marks = [mark for run in runs for mark in run.marks]
    met = sum(mark.met for mark in marks)
    failed = [run.name for run in runs if run.failure]
    told = f"{met} of {len(marks)} marks met, {len(marks) - met} missed."
    return told + (f" Failed: {', '.join(failed)}." if failed else "")


def lacking(need: Need, checkout: Path | None) -> str:
    """Return why something that is needed is not there; empty where it is."""
    if need is Need.CHROMIUM:
        found = shutil.which("chromium") is not None
        return "" if found else "Chromium is missing: apt-get install chromium"
    if need is Need.REFERENCE:
        return "" if checkout else f"needs {need.value}: --reference DIR or INFORMER2020=DIR"
    try:
        locate("ETTh1")
    except DataError as error:
        return f"needs {need.value}: {error}"
    return ""


def run(name: str, arguments: Sequence[str], output: Path) -> Ran:
    """Run a benchmark to its end, or to Ctrl-C; what it prints is shown and added to a file."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        output.open("ab") as kept,
        (Path(folder) / "errors").open("w+b") as errors,
    ):
        marks = Path(folder) / "marks"
        environment = os.environ | {GATHERED: str(marks), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C reaches it once, from here
        )
        assert process.stdout and process.stderr
        passing = [
            _passing(process.stdout, sys.stdout.buffer, kept),
            _passing(process.stderr, sys.stderr.buffer, errors),
        ]
        try:
            status = process.wait()
            failure = f"exit status {status}" if status else ""
        except KeyboardInterrupt:
            _end(process)
            failure = INTERRUPTED
        for thread in passing:
            thread.join(ENDING_SECONDS)  # what it left behind may hold its output open
        if failure:
            errors.seek(0)
            last = errors.read().decode(errors="replace").splitlines()[-LAST_LINES:]
            kept.write("\n".join(["", f"**Failed: {failure}**", "```", *last, "```"]).encode())
            failure = failure if failure == INTERRUPTED else ": ".join([failure, *last[-1:]])
        kept.write(b"\n")
        return Ran(name, time.monotonic() - began, gathered(marks), failure)


def _passing(stream: IO[bytes], *to: BinaryIO) -> threading.Thread:
    """Return a thread that passes on what comes, as soon as it is there."""

    def pass_on() -> None:
        while chunk := os.read(stream.fileno(), 2**16):
            for one in to:
                one.write(chunk)
                one.flush()

    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    return thread


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a benchmark and what it has begun, as Ctrl-C does, and by force where that fails."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def chosen(names: Sequence[str]) -> dict[str, Benchmark]:
    """Return the benchmarks with these names, all where none is given, in the order of the plan."""
    if unknown := [name for name in names if name not in PLAN]:
        raise click.BadParameter(f"No benchmark {', '.join(unknown)}. There are: {', '.join(PLAN)}")
    return {name: one for name, one in PLAN.items() if not names or name in names}


@click.command(epilog=f"There are: {', '.join(PLAN)}. Each has --help: python -m benchmarks.NAME.")
@click.argument("names", nargs=-1)
@click.option("--full", is_flag=True, help="The long forms, which take hours.")
@click.option(
    "--reference",
    "checkout",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    envvar="INFORMER2020",
    help="Checkout of github.com/zhouhaoyi/Informer2020; by default of the variable INFORMER2020.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for what each prints; by default one in results/ with date and time.",
)
def main(names: tuple[str, ...], full: bool, checkout: Path | None, into: Path | None) -> None:
    """Run all benchmarks, or those with NAMES, and print a table of their marks."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the running one, too
    wanted = chosen(names)
    known = conditions()
    click.echo("\n".join([*known, ""]))
    folder = into or RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M}"
    folder.mkdir(parents=True, exist_ok=True)
    skipped, possible = dict[str, str](), dict[str, Benchmark]()
    for name, benchmark in wanted.items():
        if reasons := list(filter(None, (lacking(need, checkout) for need in benchmark.needs))):
            skipped[name] = "; ".join(reasons)
        else:
            possible[name] = benchmark
    runs = list(each_run(possible, folder, checkout, full=full))
    report = [*table(runs), "", outcome(runs)]
    report += [f"\nNot run: {name}: {reason}" for name, reason in skipped.items()]
    click.echo("\n".join([*report, "", f"What each printed is in {folder}."]))
    summary = ["```", *known, "```", "", *report, ""]
    (folder / "summary.md").write_text("\n".join(summary), encoding="utf-8")
    sys.exit(any(run.failure for run in runs))


def each_run(
    benchmarks: Mapping[str, Benchmark], folder: Path, checkout: Path | None, *, full: bool
) -> Iterator[Ran]:
    """Run benchmarks one after another, until one is interrupted."""
    for name, benchmark in benchmarks.items():
        output = folder / f"{name}.md"
        output.unlink(missing_ok=True)
        more = ["--reference", str(checkout)] if Need.REFERENCE in benchmark.needs else []
        for arguments in benchmark.form(full=full):
            click.echo(f"# {name}\n")
            ran = run(name, [*shlex.split(arguments), *more], output)
            yield ran
            if ran.failure:
                click.echo(f"\n{name} failed: {ran.failure}")
            click.echo()
            if ran.failure == INTERRUPTED:
                return


if __name__ == "__main__":
    main()
