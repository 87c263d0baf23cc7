"""Metrics that four processes write while a page reads them every second.

`python -m benchmarks.store` has four processes store what their workers report, an epoch at a time,
as fast as they can through the engine's own writer, and a reader that reads all that the Live page
does each second. A metric row is an epoch; its line in the log, written with it, is not counted.
"""

from __future__ import annotations

import itertools
import multiprocessing
import sqlite3
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import click

from benchmarks.marks import Mark, announce, judge
from informer.records import Epoch, Progress
from nas_engine.proposals import Proposal
from nas_engine.search import SearchSpec
from nas_engine.store import judging, proposing, trainings
from nas_engine.store.reader import reading
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace

WRITERS = 4
TRIALS = 50
EPOCHS = 10
"""Of each report: what a fast worker has written since the engine last looked."""
ROWS_A_SECOND = 5000.0
"""That four slots and more bring at their fastest."""
TICK_SECONDS = 1.0
"""Between two looks of the page."""
EPOCH = Epoch(epoch=1, train_loss=0.5, val_mse=0.4, val_mae=0.4, lr=1e-3, seconds=0.1)
CURVES = 8
"""Trials whose epochs the page draws."""


def prepare(workspace: Workspace) -> int:
    """Make a search with trials that train, and return its id."""
    writer = Writer(workspace)
    spec = SearchSpec(settings={"data.dataset": "synthetic"}, max_trials=TRIALS)
    search_id = writer.open_search(spec)
    for number in range(TRIALS):
        proposal = Proposal(source="random", parent=None, changes={}, hypothesis="None.")
        proposing.propose(writer, search_id, number, proposal, spec.base())
        trainings.begin_run(writer, search_id, number, seed=0)
    writer.close()
    return search_id


def write(workspace: Workspace, search_id: int, place: int, seconds: float, to: Connection) -> None:
    """Store reports for a time; sends the rows and how often the database was locked."""
    writer = Writer(workspace)
    number = place  # of the trial that this slot trains
    run_id = writer.read.runs(search_id, number)[0].id
    rows = locked = 0
    ends = time.monotonic() + seconds
    for first in itertools.count(1, EPOCHS):
        if time.monotonic() > ends:
            break
        report: list[Progress | Epoch] = [Progress(epoch=first, step=1, steps=10)]
        report += [EPOCH.model_copy(update={"epoch": first + i}) for i in range(EPOCHS)]
        try:
            trainings.add_metrics(writer, search_id, number, run_id, report)
            rows += EPOCHS
        except sqlite3.OperationalError as error:
            locked += 1
            click.echo(f"slot {place}: {error}", err=True)
    writer.close()
    to.send((rows, locked))


def look(workspace: Workspace, search_id: int) -> float:
    """Read what a tick of the Live page does; returns the seconds that it took."""
    began = time.monotonic()
    with reading(workspace) as reader:
        assert reader is not None, "the search was made before"
        assert reader.search(search_id) is not None
        trials = reader.trials(search_id)
        reader.engine(search_id)
        reader.epochs(search_id, [trial.number for trial in trials[-CURVES:]])
        judging.noise(reader, search_id)
        reader.spend(search_id)
        reader.baselines(search_id)
        reader.events(search_id)
    return time.monotonic() - began


@click.command()
@click.option("--seconds", default=20.0, show_default=True)
@click.option("--minutes", type=float, help="Instead of --seconds; ten prove that nothing locks.")
def main(seconds: float, minutes: float | None) -> None:
    """Print rows per second, locks, and how long a page waits, as a Markdown table."""
    seconds = seconds if minutes is None else 60 * minutes
    announce()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "nas.db")
        search_id = prepare(workspace)
        ours, processes = [], []
        for place in range(WRITERS):
            end, other = context.Pipe()
            arguments = (workspace, search_id, place, seconds, other)
            processes.append(context.Process(target=write, args=arguments))
            processes[-1].start()
            ours.append(end)
        looks, locked_out = [], 0
        while any(process.is_alive() for process in processes):
            try:
                looks.append(look(workspace, search_id))
            except sqlite3.OperationalError as error:
                locked_out += 1
                click.echo(f"page: {error}", err=True)
            time.sleep(TICK_SECONDS)
        told = [end.recv() for end in ours]
        with reading(workspace) as reader:
            assert reader is not None
            kept = len(reader.epochs(search_id))
        rows, locked = sum(rows for rows, _ in told), sum(locked for _, locked in told)
        if kept != rows:
            raise click.ClickException(f"{rows} rows were written, but {kept} are there.")
        megabytes = sum(p.stat().st_size for p in Path(folder).glob("nas.db*")) / 1e6
    latest = statistics.quantiles(looks, n=20)[-1]
    click.echo(
        "| seconds | metric rows per second | database is locked | page, median s | 95 % s "
        "| longest s | MB in the end |\n|---|---|---|---|---|---|---|"
    )
    click.echo(
        f"| {seconds:.0f} | {rows / seconds:,.0f} | {locked + locked_out} "
        f"| {statistics.median(looks):.3f} | {latest:.3f} | {max(looks):.3f} | {megabytes:,.0f} |"
    )
    judge(
        [
            Mark(
                "metric rows a second, a reader beside them",
                rows / seconds,
                ROWS_A_SECOND,
                "",
                True,
            ),
            Mark('"database is locked", writers and reader', locked + locked_out, 0),
        ]
    )


if __name__ == "__main__":
    main()
