"""An engine with hundreds of workers that report at realistic rates: what is lost, what waits.

`python -m benchmarks.scale --workers 256` runs a search by the real engine, in a process of its
own, with simulated trainers (`benchmarks.simulated`): trainings of 3 to 10 epochs that report every
second and tell their load twice a second. Meanwhile it gives commands and runs the pages. After
`--minutes` the search is cancelled, and every epoch that was sent is looked for in the database.

Epochs take 10 to 60 s, divided by `--factor`: with 4, trials end four times as often as real ones,
while records inside an epoch and loads come no more often. So the database is asked for as much by
each worker, and the planner for four times as much.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil

from benchmarks.engine_overhead import SHARE
from benchmarks.marks import Mark, announce, judge
from benchmarks.simulated import Counts, run_engine
from nas_engine.commands import Change, Command, Control, OnTrial, Start, send
from nas_engine.liveness import STALE_SECONDS, boot_clock
from nas_engine.search import SearchSpec
from nas_engine.store import trainings, wishes
from nas_engine.store.reader import reading
from nas_engine.workspace import PROJECT, Workspace

EPOCH_SECONDS = (10.0, 60.0)
LOOK_SECONDS = 0.1
COMMAND_SECONDS = 8.0
"""Between two commands."""
ANSWER_SECONDS = 60.0
PAGES = ("live", "overview", "compare", "trial")
BINS = (0, 100, 300, 1000, 3000, 10_000, 100_000)
"""Of trials known, by which the planner's seconds are told apart."""
THREE = "(median, 95 %, longest s)"


@dataclass
class Seen:
    """What was seen of the engine from outside."""

    silent: list[float] = field(default_factory=list)  # seconds since the last heartbeat
    answered: list[tuple[str, float]] = field(default_factory=list)  # command, seconds
    memory: list[float] = field(default_factory=list)  # MB
    cpu: list[float] = field(default_factory=list)  # % of a core


def run(
    workspace: Workspace, spec: SearchSpec, minutes: float, factor: float, with_pages: bool
) -> tuple[Counts, Seen, float, list[str]]:
    """Run a search for a time, then cancel it.

    Returns:
        What was sent, what was seen, the moment of the end, and what the pages took.
    """
    command = send(workspace, Start(spec=spec))
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    least, most = (seconds / factor for seconds in EPOCH_SECONDS)
    process = context.Process(target=run_engine, args=(workspace, command, (least, most), theirs))
    process.start()
    theirs.close()
    assert process.pid is not None
    answer_to(workspace, command)
    ended, seen, told = threading.Event(), Seen(), list[str]()
    watching = [
        threading.Thread(target=look, args=(workspace, process.pid, ended, seen)),
        threading.Thread(target=give, args=(workspace, spec, ended, seen)),
    ]
    if with_pages:
        watching.append(threading.Thread(target=visit, args=(workspace, minutes, ended, told)))
    for thread in watching:
        thread.start()
    time.sleep(60 * minutes)
    ended.set()
    for thread in watching:
        thread.join()
    stopped = time.time()
    seen.answered.append(("cancel", answered(workspace, Control(kind="cancel"))))
    counts: Counts = ours.recv()
    process.join()
    return counts, seen, stopped, told


def answer_to(workspace: Workspace, command: int) -> None:
    """Wait until the start of the search is answered; fail where it is refused."""
    with reading(workspace) as reader:
        assert reader is not None
        while (row := wishes.command(reader, command)) is None or row.state == "pending":
            time.sleep(LOOK_SECONDS)
    if row.state != "applied":
        raise click.ClickException(row.answer)


def look(workspace: Workspace, pid: int, ended: threading.Event, seen: Seen) -> None:
    """Note heartbeats, memory and load of the engine."""
    process = psutil.Process(pid)
    process.cpu_percent()
    while not ended.wait(LOOK_SECONDS):
        with reading(workspace) as reader:
            engine = reader.engine(1) if reader and reader.any_search() else None
        if engine is not None:
            seen.silent.append(boot_clock() - engine.heartbeat)
        if len(seen.silent) % 10 == 1:
            seen.memory.append(process.memory_info().rss / 1e6)
            seen.cpu.append(process.cpu_percent())


def give(workspace: Workspace, spec: SearchSpec, ended: threading.Event, seen: Seen) -> None:
    """Give commands in turn and note when they are answered."""
    turn = 0
    while not ended.wait(COMMAND_SECONDS):
        with reading(workspace) as reader:
            if reader is None or not reader.any_search():
                continue
            trains = [run.number for run in trainings.training(reader, 1) if run.number]
        commands: list[Command] = [
            Change(max_trials=spec.max_trials + turn + 1),
            Control(kind="pause"),
            Control(kind="resume"),
        ]
        if trains:
            commands.append(OnTrial(kind="stop_trial", number=trains[turn % len(trains)]))
        for command in commands[:1] + commands[3:] if turn % 4 else commands:
            seen.answered.append((command.kind, answered(workspace, command)))
        turn += 1


def answered(workspace: Workspace, command: Command) -> float:
    """Give a command; returns the seconds until its answer was there."""
    began = time.monotonic()
    number = send(workspace, command, 1)
    with reading(workspace) as reader:
        assert reader is not None
        while time.monotonic() < began + ANSWER_SECONDS:
            row = wishes.command(reader, number)
            if row is not None and row.state != "pending":
                break
            time.sleep(0.01)
    return time.monotonic() - began


def visit(workspace: Workspace, minutes: float, ended: threading.Event, told: list[str]) -> None:
    """Run the pages when half of the time has passed, in a process of its own."""
    if ended.wait(30 * minutes):
        return
    command = [sys.executable, "-m", "benchmarks.scale", "--pages", str(workspace.db)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    told += done.stdout.splitlines() if done.returncode == 0 else [done.stderr[-2000:]]


def pages(db: Path) -> None:
    """Print what the pages of search 1 take beside their marks, as rows of a Markdown table."""
    from benchmarks.pages import scripts, slowest

    os.environ["NAS_DB"] = str(db)
    with reading(Workspace(db)) as reader:
        assert reader is not None
        last = max(reader.numbers(1))
    drawn = []
    for figure in scripts(last, PAGES):
        drawn.append(figure)
        click.echo(
            f"| {figure.page} | {figure.what} | {figure.value:,.0f} | {figure.mark.bound:,.0f} "
            f"| {last + 1} |"
        )
    judge(slowest(drawn))


def compared(workspace: Workspace, counts: Counts) -> Iterator[str]:
    """Return a sentence for each training of which other epochs are stored than were sent."""
    with reading(workspace) as reader:
        assert reader is not None
        stored = {
            (number, seed): (rows, lines)
            for number, seed, rows, lines in reader.fetch(
                """SELECT r.number, r.seed, (SELECT count(*) FROM epochs e WHERE e.run_id = r.id),
                (SELECT count(*) FROM events v WHERE v.search_id = r.search_id
                AND v.number = r.number AND v.level = 'debug') FROM runs r"""
            )
        }
        lines = reader.fetch("SELECT count(*) FROM events WHERE level = 'debug'")[0][0]
    for run, sent in counts.epochs.items():
        if stored.get(run, (0, 0))[0] != sent:
            yield f"Trial {run[0]}, seed {run[1]}: {sent} sent, {stored.get(run)} stored."
    if lines != counts.epochs.total():
        yield f"{counts.epochs.total()} epochs were sent, and {lines} lines are in the log."


def free_for(busy: Sequence[tuple[int, float, float]], since: float, until: float) -> list[float]:
    """Return for how many seconds slots were free between two trainings, begun after a moment."""
    slots: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for slot, began, ended in sorted(busy, key=lambda one: one[1]):
        slots[slot].append((began, ended))
    return [
        after[0] - before[1]
        for trainings in slots.values()
        for before, after in itertools.pairwise(trainings)
        if before[1] >= since and after[0] <= until
    ]


def share_busy(busy: Sequence[tuple[int, float, float]], since: float, until: float) -> float:
    """Return the seconds for which slots trained in a span, as a share of one slot's."""
    held = (max(0.0, min(ended, until) - max(began, since)) for _, began, ended in busy)
    return sum(held) / (until - since)


def late(values: Sequence[float], share: float = 0.95) -> float:
    """Return the value below which a share of the values lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def told(values: Sequence[float], digits: int = 2) -> str:
    """Return median, 95 % and most of some seconds."""
    if not values:
        return "none"
    three = (statistics.median(values), late(values), max(values))
    return ", ".join(f"{value:.{digits}f}" for value in three)


@dataclass(frozen=True)
class Span:
    """When the first training began, every slot had one, and the search was cancelled."""

    began: float
    full: float
    stopped: float
    filled: bool  # whether every slot has had one; if not, the second half is looked at

    @classmethod
    def of(cls, workers: int, counts: Counts, stopped: float) -> Span:
        """Return the span of a search with so many slots."""
        began = sorted(moment for _, moment, _ in counts.busy)
        filled = len(began) >= workers and began[workers - 1] < stopped - 10.0
        full = began[workers - 1] if filled else (began[0] + stopped) / 2
        return cls(began[0], full, stopped, filled)


def figures(
    workers: int, factor: float, counts: Counts, seen: Seen, of: Span, lost: int
) -> Iterator[tuple[str, str]]:
    """Return what is printed, figure by figure."""
    full, stopped, filled = of.full, of.stopped, of.filled
    wall, span = stopped - of.began, stopped - full
    ended = sum(full <= moment < stopped for _, _, moment in counts.busy)
    yield "workers; epochs shortened by", f"{workers}; {factor:g}"
    yield (
        "seconds until every slot had a trial, and from then on",
        (f"{wall - span:.0f}, {span:.0f}" if filled else f"never; {span:.0f} are looked at"),
    )
    yield (
        "trainings begun; ended an hour from then on",
        (f"{len(counts.busy):,}; {3600 * ended / span:,.0f}"),
    )
    yield "slots busy from then on", f"{share_busy(counts.busy, full, stopped) / workers:.1%}"
    yield f"a free slot waits {THREE}", told(free_for(counts.busy, full, stopped))
    yield (
        "epochs, other records, loads that were sent",
        (f"{counts.epochs.total():,}, {counts.reports:,}, {counts.loads:,}"),
    )
    yield "trainings with an epoch lost or stored twice", f"{lost}"
    yield f"age of the heartbeat {THREE}", told(seen.silent)
    yield (
        "transactions a second; in them, of each second",
        (f"{counts.transactions / wall:.0f}; {counts.writing / wall:.2f} s"),
    )
    yield (
        "cores that the engine takes; MB at most",
        (f"{counts.computed / wall:.2f}; {max(seen.memory):,.0f}"),
    )
    kinds = defaultdict(list)
    for kind, seconds in seen.answered:
        kinds[kind].append(seconds)
    for kind, took in kinds.items():
        yield f"{kind} is answered ({len(took)} times) {THREE}", told(took)
    for low, high in itertools.pairwise(BINS):
        took = [seconds for known, seconds in counts.plans if low <= known < high]
        if took:
            known = f"{low:,} to {high:,} trials"
            yield f"a proposal that knows {known} ({len(took)}) {THREE}", told(took, 3)


@click.command()
@click.option("--workers", default=256, show_default=True)
@click.option("--minutes", default=8.0, show_default=True, help="Until the search is cancelled.")
@click.option("--factor", default=1.0, show_default=True, help="By which epochs are shortened.")
@click.option("--planner", default="tpe", show_default=True)
@click.option("--pages", "db", type=click.Path(path_type=Path), help="Only the pages of this file.")
@click.option("--no-pages", is_flag=True, help="Leave the pages out.")
def main(
    workers: int, minutes: float, factor: float, planner: str, db: Path | None, no_pages: bool
) -> None:
    """Print what an engine with so many workers comes to, as rows of Markdown tables."""
    if db is not None:
        pages(db)
        return
    spec = SearchSpec.model_validate(
        {
            "planner": planner,
            "max_trials": 100_000 - 1000,
            "slots": workers,
            "settings": {"data.dataset": "synthetic", "training.epochs": 10},
        }
    )
    announce()
    click.echo(f"SQLite {sqlite3.sqlite_version}\n")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "nas.db")
        counts, seen, stopped, drawn = run(workspace, spec, minutes, factor, not no_pages)
        lost = list(compared(workspace, counts))
        click.echo("| what | figure |\n|---|---|")
        span = Span.of(workers, counts, stopped)
        for what, figure in figures(workers, factor, counts, seen, span, len(lost)):
            click.echo(f"| {what} | {figure} |")
        size = sum(path.stat().st_size for path in Path(folder).glob("nas.db*")) / 1e6
        click.echo(f"| database MB | {size:,.0f} |")
    if drawn:
        click.echo("\n| page | what | ms | mark ms | trials |\n|---|---|---|---|---|")
        click.echo("\n".join(drawn))
    click.echo(f"\nLoad at the end: {os.getloadavg()[0]:.1f}")
    busy = share_busy(counts.busy, span.full, span.stopped) / workers
    judge(
        [
            Mark("slots busy, once all had a trial", 100 * busy, 100 * (1 - SHARE), "%", True),
            Mark("trainings with an epoch lost or stored twice", len(lost), 0),
            Mark("oldest heartbeat", max(seen.silent), STALE_SECONDS, "s"),
        ]
    )
    if lost:
        raise click.ClickException("\n".join(["Epochs were lost, or are there twice.", *lost[:20]]))


if __name__ == "__main__":
    main()
