"""Trials an hour against Optuna with Informer2020, the same configurations on the same two cores.

`python -m benchmarks.trials_per_hour --reference DIR` draws configurations of what both have:
widths, heads, layers, factor, dropout, learning rate, ProbSparse or full attention, distilling,
mixing. Each is trained on ETTh1 `M` 96/48/24 by the published recipe: Adam, batches of 32, six
epochs, the learning rate halved. Patience is six too, so that no side ends a trial early by luck.

Informer2020 is driven by `benchmarks/reference_study.py`: an Optuna study of the checkout's own
`Exp_Informer.train`, both as one process of two threads and as two of one thread that share the
study; it is compared by whichever is faster. Here the trials are queued in a search, as
`python -m nas_engine enqueue` does, and its engine trains them in two workers of one thread.
The blocks follow one another, each from its start command to its last verdict or exit, with all
that it imports. All processes that train have the niceness of this project's workers, and threads
that wait spin as briefly as theirs.

Each trains as it does by itself: the checkout judges on validation and on test after each epoch and
keeps gradients meanwhile; this project judges on validation, and at the end once more on both. So
the time is shown apart, and the ratio of the optimiser steps alone beside that of the trials.

Not in it: what a search does before its first block (the baselines, and its first trial, which is
trained alone), further seeds, and a planner's time: the configurations are given on both sides.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks import timed
from benchmarks.marks import Mark, announce, judge
from benchmarks.reference import option
from data.source import locate
from informer.conduct import NICENESS
from informer.config import PUBLISHED, RunConfig, Value
from nas_engine.cli.common import plainly
from nas_engine.commands import Command, Enqueue, Start, send
from nas_engine.search import Rules, SearchSpec
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.workspace import PROJECT, Workspace

CORES = 2
TIMES = 4.0
"""Trials an hour that there should be for each of Optuna's with Informer2020."""

WAYS: Mapping[str, tuple[int, int]] = {
    "Informer2020, one process of 2 threads": (1, 2),
    "Informer2020, two processes of 1 thread": (2, 1),
}
"""How Informer2020 is run: processes, and threads of each."""

WAITING = "1000"
"""Turns that a thread spins while it waits, as in this project's workers: without a bound, whatever
else the machine does makes two threads many times slower than one."""

VARIANTS: Mapping[str, dict[str, Value]] = {
    "this project, as published": dict(PUBLISHED),
    "this project, faults corrected": {},
    "this project, keys shared by all queries": {"model.sampled_keys": "shared"},
}
"""What a search begins with; the first does the same work as Informer2020, and is judged."""

CHOICES: Mapping[str, tuple[Value, ...]] = {
    "model.n_heads": (4, 8),
    "model.e_layers": (1, 2, 3),
    "model.d_layers": (1, 2),
    "model.factor": (3, 5),
    "model.attention": ("prob", "full"),
    "model.distil": (True, False),
    "model.mix": (True, False),
}
DROPOUT = (0.0, 0.3)
RATE = (1e-4, 1e-3)
FEED_FORWARD = (2, 4)
"""Times the width."""


NOTED = ("epochs", "training", "judging", "computed", "peak_mb")
"""By `benchmarks/reference_study.py`, of each trial."""


@dataclass(frozen=True)
class Trained:
    """What is known of a trial; seconds are of the process that trained it."""

    val_mse: float
    epochs: int
    training: float
    judging: float
    computed: float  # seconds of the processor, on all threads
    peak_mb: float


@dataclass(frozen=True)
class Block:
    """Trials that were trained one after another or side by side in `processes`."""

    processes: int
    seconds: float
    trials: tuple[Trained, ...]

    @property
    def per_hour(self) -> float:
        """Trials an hour."""
        return 3600 * len(self.trials) / self.seconds

    def split(self) -> tuple[float, float, float]:
        """Return the seconds for a trial that go into training, judging and all else.

        Where two processes train at once, a second of one is half a second of the block.
        """
        count = len(self.trials)
        parts = [
            sum(seconds) / (self.processes * count)
            for seconds in zip(
                *((each.training, each.judging) for each in self.trials), strict=True
            )
        ]
        return parts[0], parts[1], self.seconds / count - sum(parts)


def drawn(count: int, widths: Sequence[int], seed: int) -> list[dict[str, Value]]:
    """Return `count` different configurations of what Informer2020 has, by dotted key.

    The widths take turns, so that each is there as often as the others.
    """
    source, found = random.Random(seed), list[dict[str, Value]]()
    while len(found) < count:
        width = widths[len(found) % len(widths)]
        changes = {key: source.choice(values) for key, values in CHOICES.items()}
        changes |= {
            "model.d_model": width,
            "model.d_ff": width * source.choice(FEED_FORWARD),
            "model.dropout": round(source.uniform(*DROPOUT), 3),
            "training.optimizer_params.lr": float(
                f"{math.exp(source.uniform(*map(math.log, RATE))):.3g}"
            ),
        }
        if changes not in found:
            found.append(changes)
    return found


def arguments(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Return what Informer2020 calls the settings of a configuration; it writes into `folder`."""
    data, model, training = config.data, config.model, config.training
    file = locate(data.dataset)
    return {
        "root_path": str(file.parent),
        "data_path": file.name,
        "seq_len": data.seq_len,
        "label_len": data.label_len,
        "pred_len": data.pred_len,
        "batch_size": data.batch_size,
        "d_model": model.d_model,
        "n_heads": model.n_heads,
        "e_layers": model.e_layers,
        "d_layers": model.d_layers,
        "d_ff": model.d_ff,
        "factor": model.factor,
        "dropout": model.dropout,
        "attn": model.attention,
        "distil": model.distil,
        "mix": model.mix,
        "train_epochs": training.epochs,
        "patience": training.patience,
        "learning_rate": training.optimizer_params.lr,
        "steps": training.steps_per_epoch,
        "checkpoints": str(folder),
    }


def reference_block(
    directory: Path, configs: Sequence[RunConfig], processes: int, threads: int
) -> Block:
    """Train configurations with Informer2020, as trials of an Optuna study."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        storage = folder / "study.log"
        study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(storage))))
        for config in configs:
            study.enqueue_trial({}, user_attrs={"arguments": arguments(config, folder)})
        command = ["nice", "-n", str(NICENESS), sys.executable]
        command += [str(PROJECT / "benchmarks" / "reference_study.py")]
        command += [str(directory), str(storage), str(threads)]
        environment = {**os.environ, "GOMP_SPINCOUNT": WAITING}
        began = time.monotonic()
        with (folder / "output").open("w+") as output, ExitStack() as ending:
            started = []
            for _ in range(processes):
                process = subprocess.Popen(
                    command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
                )
                ending.callback(process.kill)  # where this process is interrupted
                started.append(process)
            codes = [process.wait() for process in started]
            seconds = time.monotonic() - began
            if any(codes):
                output.seek(0)
                raise click.ClickException(f"Informer2020 failed:\n{output.read()[-2000:]}")
        completed = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    return Block(
        processes,
        seconds,
        tuple(
            Trained(
                val_mse=float(trial.value or math.nan),
                **{name: trial.user_attrs[name] for name in NOTED},
            )
            for trial in completed
        ),
    )


class Search:
    """A search of this project to which blocks of configurations are given."""

    def __init__(self, folder: Path, variant: Mapping[str, Value]) -> None:
        """Open a search and let it do what it does before all else: baselines and trial 0."""
        folder.mkdir()
        self._workspace = Workspace(folder / "nas.db")
        first: dict[str, Value] = {"training.epochs": 1, "training.steps_per_epoch": 1}
        spec = SearchSpec(
            settings={**variant, **first, "training.device": "cpu"},
            max_trials=1,
            slots=CORES,
            rules=Rules(seeds=1, extra_seeds=0),
        )
        self._carry_out(Start(spec=spec))

    def block(self, changes: Sequence[Mapping[str, Value]]) -> Block:
        """Train configurations as a person's own, from the command to the last verdict."""
        began = time.time()
        self._carry_out(*(Enqueue(changes=dict(each)) for each in changes))
        with reading(self._workspace) as reader:
            assert reader is not None
            trials = reader.trials(1)[-len(changes) :]
            unjudged = [trial for trial in trials if trial.verdict is None or trial.val_mse is None]
            if unjudged:
                raise click.ClickException(f"Trial {unjudged[0].number}: {unjudged[0].error}")
            peaks = [reader.runs(1, trial.number)[0].peak_memory_mb for trial in trials]
        return Block(
            CORES,
            max(trial.ended_at or math.nan for trial in trials) - began,
            tuple(
                Trained(
                    val_mse=float(trial.val_mse or math.nan),
                    epochs=trial.epochs or 0,
                    **timed.spent(self._workspace.run_dir(1, trial.number)),
                    peak_mb=peak or math.nan,
                )
                for trial, peak in zip(trials, peaks, strict=True)
            ),
        )

    def _carry_out(self, *commands: Command) -> None:
        """Give commands, and run the engine until it has nothing more to do."""
        search = None if isinstance(commands[0], Start) else 1
        numbers = [send(self._workspace, command, search) for command in commands]
        engine = timed.command("engine", str(self._workspace.db), str(numbers[0]))
        ended = subprocess.run(engine, cwd=PROJECT, check=False, capture_output=True, text=True)
        with reading(self._workspace) as reader:
            answers = [wishes.command(reader, number) for number in numbers] if reader else []
        refused = [row.answer for row in answers if row is not None and row.state != "applied"]
        if ended.returncode or refused:
            raise click.ClickException(f"The engine failed: {refused} {ended.stderr[-2000:]}")


def ratios(theirs: Sequence[Block], ours: Sequence[Block]) -> list[float]:
    """Return our trials an hour for each of theirs, by round."""
    return [own.per_hour / block.per_hour for block, own in zip(theirs, ours, strict=True)]


def step_ratios(theirs: Sequence[Block], ours: Sequence[Block]) -> list[float]:
    """Return the seconds of their optimiser steps over those of ours, by round."""
    return [block.split()[0] / own.split()[0] for block, own in zip(theirs, ours, strict=True)]


def faster(measured: Mapping[str, Sequence[Block]]) -> str:
    """Return the way to run Informer2020 that took the least time over all rounds."""
    return min(WAYS, key=lambda way: sum(block.seconds for block in measured[way]))


def summary(measured: Mapping[str, Sequence[Block]]) -> Iterator[str]:
    """Yield a table with a row for each way, means over all trials."""
    yield "| | trials an hour | s a trial | training | judging | start and rest "
    yield "| CPU s of a training | epochs | mean val_mse | peak MB of a process |\n"
    yield f"|{'---|' * 10}\n"
    for way, blocks in measured.items():
        trials = [trial for block in blocks for trial in block.trials]
        seconds = sum(block.seconds for block in blocks) / len(trials)
        shares = [
            sum(part * len(block.trials) for part, block in zip(parts, blocks, strict=True))
            for parts in zip(*(block.split() for block in blocks), strict=True)
        ]
        training, judging, rest = (share / len(trials) for share in shares)
        yield (
            f"| {way} | {3600 / seconds:.1f} | {seconds:.1f} | {training:.1f} | {judging:.1f} "
            f"| {rest:.1f} | {statistics.mean(trial.computed for trial in trials):.1f} "
            f"| {statistics.mean(trial.epochs for trial in trials):.1f} "
            f"| {statistics.mean(trial.val_mse for trial in trials):.4f} "
            f"| {max(trial.peak_mb for trial in trials):.0f} |\n"
        )


def compared(measured: Mapping[str, Sequence[Block]]) -> Iterator[str]:
    """Yield a table of our ways against the faster of theirs, medians over rounds."""
    theirs = measured[faster(measured)]
    yield f"| against {faster(measured)} | times the trials an hour | from | to "
    yield "| times the steps a second |\n|---|---|---|---|---|\n"
    for variant in (way for way in measured if way not in WAYS):
        found = ratios(theirs, measured[variant])
        steps = statistics.median(step_ratios(theirs, measured[variant]))
        yield (
            f"| {variant} | {statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f} "
            f"| {steps:.2f} |\n"
        )


@click.command()
@option
@click.option("--rounds", default=3, show_default=True, help="Each with other configurations.")
@click.option("--trials", default=4, show_default=True, help="Configurations of a round.")
@click.option("--widths", type=int, multiple=True, default=(64, 128), show_default=True)
@click.option("--epochs", default=6, show_default=True)
@click.option("--steps", default=0, show_default=True, help="Of an epoch; 0: all windows.")
@click.option("--seed", default=2021, show_default=True, help="Of the configurations.")
@click.option("--published-only", is_flag=True, help="Leave out what does other work.")
@plainly
def main(
    directory: Path,
    rounds: int,
    trials: int,
    widths: tuple[int, ...],
    epochs: int,
    steps: int,
    seed: int,
    published_only: bool,
) -> None:
    """Print trials an hour of both, where the time goes, and the ratio, as Markdown."""
    announce()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not (directory / "exp" / "exp_informer.py").is_file():
        raise SystemExit(f"{directory} is no checkout of Informer2020; name one with --reference.")
    recipe: dict[str, Value] = {
        "training.epochs": epochs,
        "training.patience": epochs,
        "training.steps_per_epoch": steps,
    }
    configurations = [changes | recipe for changes in drawn(rounds * trials, widths, seed)]
    variants = list(VARIANTS)[: 1 if published_only else None]
    measured: dict[str, list[Block]] = {way: [] for way in (*WAYS, *variants)}
    with tempfile.TemporaryDirectory() as folder:
        searches = {}
        for number, name in enumerate(variants):
            told(f"baselines and first trial: {name}")
            searches[name] = Search(Path(folder) / str(number), VARIANTS[name])
        whole = "all windows" if steps == 0 else f"{steps} steps"
        click.echo(f"Trials an hour; {trials} trials a block, of {epochs} epochs of {whole}\n")
        click.echo(f"| round | {' | '.join(measured)} |\n|{'---|' * (1 + len(measured))}")
        for number in range(rounds):
            given = configurations[number * trials :][:trials]
            for way, blocks in measured.items():
                told(f"round {number + 1} of {rounds}: {way}")
                if way in WAYS:
                    published = [RunConfig().with_changes({**PUBLISHED, **each}) for each in given]
                    blocks.append(reference_block(directory.resolve(), published, *WAYS[way]))
                else:
                    blocks.append(searches[way].block(given))
            rates = (f"{blocks[-1].per_hour:.1f}" for blocks in measured.values())
            click.echo(f"| {number + 1} | {' | '.join(rates)} |")
    click.echo("\n" + "".join(summary(measured)))
    click.echo("".join(compared(measured)))
    found = ratios(measured[faster(measured)], measured[variants[0]])
    what = f"trials an hour for each of Informer2020's ({epochs} epochs of {whole})"
    judge([Mark(what, statistics.median(found), TIMES, at_least=True)])


def told(what: str) -> None:
    """Say on stderr what is under way."""
    click.echo(f"{time.strftime('%H:%M:%S')} {what}", err=True)


if __name__ == "__main__":
    main()
