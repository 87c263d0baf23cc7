"""What the engine adds to its trainings: the seconds in which a slot waits for the next one.

`python -m benchmarks.engine_overhead` runs a search with the built-in planner through the real
engine in a process of its own. Its workers train nothing: each epoch is a sleep, so that all
that is left of the wall time is the engine's. A worker notes when it gets a folder and when it has
finished it; between two of these a slot is idle.
"""

from __future__ import annotations

import itertools
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import click

from benchmarks.marks import Mark, announce, judge
from nas_engine.api import load_agent_state
from nas_engine.commands import Start, send
from nas_engine.engine import serve
from nas_engine.search import Rules, SearchSpec
from nas_engine.settings import load_settings
from nas_engine.trainers.local import LocalTrainer
from nas_engine.workspace import Workspace
from tests.fakes import worker

COMMAND = (sys.executable, "-m", "benchmarks.engine_overhead", "--work")
EPOCHS = 2
SHARE = 0.05
"""Of the wall time that the engine may take."""


def work() -> None:
    """Be a worker that notes, beside each folder's other files, when it had the folder."""
    train = worker.serve

    def noted(folder: Path) -> None:
        began = time.time()
        train(folder)
        note = {"slot": os.getpid(), "began": began, "ended": time.time()}
        (folder / "busy.json").write_text(json.dumps(note))

    worker.serve = noted
    worker.main()


def engine(workspace: Workspace, command: int, seconds: float, figures: Connection) -> None:
    """Run the engine, and send the seconds that its own process computed."""
    environment = {**os.environ, "FAKE_EPOCH_SECONDS": str(seconds)}

    def trainer(slot: int, spec: SearchSpec) -> LocalTrainer:
        return LocalTrainer(environment, workspace.worker_log, slot, command=COMMAND)

    began = time.process_time()
    serve(workspace, load_settings(), trainer, command)
    figures.send(time.process_time() - began)


def run(workspace: Workspace, spec: SearchSpec, epoch_seconds: float) -> float:
    """Run a search to its end; returns the seconds of the engine's CPU."""
    command = send(workspace, Start(spec=spec))
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=engine, args=(workspace, command, epoch_seconds, theirs))
    process.start()
    theirs.close()
    cpu: float = ours.recv()
    process.join()
    state = load_agent_state(workspace.db).search
    if state.state != "completed":
        raise click.ClickException(f"The search is {state.state}: {state.reason}")
    return cpu


def trainings(workspace: Workspace) -> list[dict[str, float]]:
    """Return when each training had its worker, in the order in which they began."""
    notes = [json.loads(path.read_bytes()) for path in workspace.runs.glob("1/*/busy.json")]
    return sorted(notes, key=lambda note: note["began"])


def waits(notes: Sequence[dict[str, float]]) -> list[float]:
    """Return the seconds between two trainings of a slot, by when they ended."""
    slots = {note["slot"] for note in notes}
    gaps = [
        (after["began"], after["began"] - before["ended"])
        for slot in slots
        for before, after in itertools.pairwise(n for n in notes if n["slot"] == slot)
    ]
    return [seconds for _, seconds in sorted(gaps)]


@click.command()
@click.option("--trials", default=300, show_default=True)
@click.option("--slots", default=1, show_default=True)
@click.option("--epoch-seconds", default=0.2, show_default=True)
@click.option("--planner", default="tpe", show_default=True)
def main(trials: int, slots: int, epoch_seconds: float, planner: str) -> None:
    """Print the waits and the engine's share as rows of Markdown tables."""
    announce()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "nas.db")
        spec = SearchSpec.model_validate(
            {
                "planner": planner,
                "max_trials": trials,
                "slots": slots,
                "settings": {"data.dataset": "synthetic", "training.epochs": EPOCHS},
                "rules": Rules(seeds=1, extra_seeds=0),
            }
        )
        cpu = run(workspace, spec, epoch_seconds)
        notes = trainings(workspace)
    busy = [note["ended"] - note["began"] for note in notes]
    gaps = waits(notes)
    wall = max(note["ended"] for note in notes) - notes[0]["began"]
    share = 1 - sum(busy) / (wall * slots)
    click.echo(f"{trials} trials of {EPOCHS} x {epoch_seconds:g} s, {slots} slots, {planner}\n")
    click.echo("| trials before | waits | median s | 95 % s | longest s |\n|---|---|---|---|---|")
    for first, last in itertools.pairwise([0, *(n for n in (10, 100) if n < trials), trials]):
        part = gaps[first:last]
        late = sorted(part)[math.ceil(0.95 * len(part)) - 1]
        click.echo(
            f"| {first} to {last} | {len(part)} | {statistics.median(part):.3f} | {late:.3f} "
            f"| {max(part):.3f} |"
        )
    mean = statistics.mean(gaps)
    click.echo(
        f"\nA training took {statistics.mean(busy):.2f} s; {share:.1%} of the slots' wall time was "
        f"the engine's, which itself computed {cpu / trials:.3f} s for each trial "
        f"({cpu / wall:.1%} of one core). Its share is under {SHARE:.0%} where a trial trains for "
        f"{mean * (1 - SHARE) / SHARE:.1f} s or longer."
    )
    what = f"the engine's share of the wall time, trainings of {statistics.mean(busy):.1f} s"
    judge([Mark(what, share, SHARE)])


if __name__ == "__main__":
    if "--work" in sys.argv:
        sys.argv.remove("--work")
        work()
    else:
        main()
