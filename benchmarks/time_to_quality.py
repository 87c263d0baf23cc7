"""How soon a training is good: test error against seconds on one core.

`python -m benchmarks.time_to_quality` trains one configuration on ETTh1 `M`, horizon 24, look-back
96, on one thread with several seeds, and evaluates the test part after each epoch, which no
training of the product does; the time for that is not counted, nor is that of imports and of
reading the data. Seconds are told with and without validation, and those that the process computed:
where other processes share the core, the first are more. Beside it stands the closed-form
linear map on the same windows. All epochs are trained, whatever patience would say.

What this does not show: how the configuration was found (`benchmarks.found`), and that the epoch
at which the error of the test part falls below a bound could be told without that part; hence the
epoch that validation chooses is told, too.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from threadpoolctl import threadpool_limits

from benchmarks.marks import Mark, announce, conditions, judge
from data.series import series
from data.splits import window_starts
from data.windows import Windows
from informer.baselines import chunks, errors, forecaster
from informer.config import PRESETS, RunConfig, Value
from informer.metrics import Errors
from informer.records import Epoch, Progress
from informer.rundir import RunDir
from informer.training import Training, evaluate, use_threads
from nas_engine.cli.common import assignments, plainly

CONFIGURATION: Mapping[str, Value] = {
    "data.pred_len": 24,
    "data.seq_len": 96,
    "data.batch_size": 64,
    "model.normalisation": "standardise",
    "model.tokens": "inverted",
    "model.attention": "full",
    "model.head": "linear",
    "model.distil": False,
    "model.e_layers": 1,
    "model.d_model": 64,
    "model.d_ff": 128,
    "model.dropout": 0.2,
    "training.epochs": 8,
    "training.optimizer_params.lr": 1e-3,
    "training.scheduler_class": "CosineAnnealingLR",
    "training.device": "cpu",
}
"""An iTransformer (Liu et al. 2024) of one layer: seven tokens of width 64 make cheap steps."""

BOUND, SECONDS = 0.305, 20.0
"""Test MSE, and the seconds of training on one core within which it is to be reached."""


@dataclass(frozen=True)
class Passed:
    """Where a training stands after an epoch."""

    epoch: int
    seconds: float  # of training so far, with validation
    steps_seconds: float  # without
    core_seconds: float  # that the process computed, with validation: alone on a core, the same
    val_mse: float
    test_mse: float


class Watched(Training):
    """A training that notes its test error after each epoch, and how long validation takes."""

    def __init__(self, config: RunConfig, run: RunDir) -> None:
        """Make ready in an empty folder."""
        super().__init__(config, run, self._note)
        self.passed: list[Passed] = []
        self._seconds = self._validating = self._elsewhere = 0.0
        self._began = time.process_time()
        data = config.data
        source = series(data.dataset, data.features, data.target)
        self._judged = Windows(source, "test", data.seq_len, data.pred_len, self.windows.device)
        self._size = 2 * data.batch_size

    def _evaluate(self, windows: Windows) -> Errors:
        began = time.monotonic()
        found = super()._evaluate(windows)
        self._validating += time.monotonic() - began
        return found

    def _note(self, record: Progress | Epoch) -> None:
        if isinstance(record, Progress):
            return
        assert record.val_mse is not None, "a diverged training raises"
        self._seconds += record.seconds
        ended = time.process_time()
        self.passed.append(
            Passed(
                epoch=record.epoch,
                seconds=self._seconds,
                steps_seconds=self._seconds - self._validating,
                core_seconds=ended - self._began - self._elsewhere,
                val_mse=record.val_mse,
                test_mse=evaluate(self.model, self._judged, self._size).mse,
            )
        )
        self._elsewhere += time.process_time() - ended


def watched(config: RunConfig) -> list[Passed]:
    """Train a configuration and return where it stood after each epoch."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder) / "run")
        run.create(config)
        training = Watched(config, run)
        training.result()
    return training.passed


_FIGURES = ("seconds", "steps_seconds", "core_seconds", "val_mse", "test_mse")


@dataclass(frozen=True)
class Ridge:
    """The closed-form linear map on the same windows."""

    seconds: float  # in which it is fitted
    val_mse: float
    test_mse: float


def ridge(config: RunConfig) -> Ridge:
    """Fit the linear map on one thread and judge it."""
    data = config.data
    size = (data.seq_len, data.pred_len)
    source = series(data.dataset, data.features, data.target)
    training = chunks(source, window_starts(source.dataset, "train", *size), *size)
    with threadpool_limits(1, "blas"):
        began = time.monotonic()
        forecaster(source, *size, training)
        seconds = time.monotonic() - began
    found = {part: of["closed-form linear"].mse for part, of in errors(source, *size).items()}
    return Ridge(seconds, found["val"], found["test"])


# -- what is told -------------------------------------------------------------------------------


def by_epoch(seeds: Sequence[Sequence[Passed]]) -> list[tuple[Passed, float]]:
    """Return the mean over seeds after each epoch, with the deviation of the test MSE."""
    found = []
    for epochs in zip(*seeds, strict=True):
        means = [statistics.mean(getattr(passed, name) for passed in epochs) for name in _FIGURES]
        found.append((Passed(epochs[0].epoch, *means), deviation([e.test_mse for e in epochs])))
    return found


def first_at(means: Sequence[tuple[Passed, float]], bound: float) -> Passed | None:
    """Return the first epoch after which the mean test MSE is at most `bound`; None for none."""
    return next((passed for passed, _ in means if passed.test_mse <= bound), None)


def chosen(passed: Sequence[Passed], within: float = float("inf")) -> Passed | None:
    """Return the epoch with the lowest val_mse of those that ended within so many seconds.

    None where none did.
    """
    in_time = [one for one in passed if one.seconds <= within]
    return min(in_time, key=lambda one: (one.val_mse, one.epoch), default=None)


def deviation(values: Sequence[float]) -> float:
    """Return the sample standard deviation; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def epochs_table(means: Sequence[tuple[Passed, float]]) -> str:
    """Return the means over seeds after each epoch."""
    lines = [
        "| epoch | seconds | without validation | core seconds | val MSE | test MSE | deviation |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.epoch} | {one.seconds:.1f} | {one.steps_seconds:.1f} "
        f"| {one.core_seconds:.1f} | {one.val_mse:.4f} "
        f"| {one.test_mse:.4f} | {spread:.4f} |"
        for one, spread in means
    ]
    return "\n".join([*lines, ""])


def marks_of(seeds: Sequence[Sequence[Passed]], linear: Ridge) -> list[Mark]:
    """Tell what was chosen, and return the marks."""
    ends = [one for passed in seeds if (one := chosen(passed)) is not None]
    errors_of_ends = [one.test_mse for one in ends]
    mean, spread = statistics.mean(errors_of_ends), deviation(errors_of_ends)
    each = ", ".join(f"{one.test_mse:.4f} (epoch {one.epoch})" for one in ends)
    click.echo(
        f"Of the epoch that validation chooses: test MSE {mean:.4f}, deviation {spread:.4f} over "
        f"{len(ends)} seeds: {each}.\n\nClosed-form linear map on the same windows: test MSE "
        f"{linear.test_mse:.4f}, val MSE {linear.val_mse:.4f}, fitted in {linear.seconds:.2f} s.\n"
    )
    reached = first_at(by_epoch(seeds), BOUND)
    in_time = [one for passed in seeds if (one := chosen(passed, SECONDS)) is not None]
    by_then = statistics.mean(one.test_mse for one in in_time) if in_time else None
    found = [
        Mark(
            f"training until the mean test MSE of the seeds is at most {BOUND:g}, one core",
            None if reached is None else reached.seconds,
            SECONDS,
            "s",
        ),
        Mark(
            f"test MSE of what validation chooses within {SECONDS:g} s of training",
            by_then if len(in_time) == len(seeds) else None,
            BOUND,
        ),
    ]
    if len(ends) > 1:
        what = "test MSE below that of the linear map, less the deviation between seeds"
        found.append(Mark(what, linear.test_mse - mean - spread, 0.0, at_least=True))
    return found


@click.command()
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of the training.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seed", default=2021, show_default=True, help="The first of them.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="File for all figures.")
@plainly
def main(settings: tuple[str, ...], seeds: int, seed: int, path: Path | None) -> None:
    """Train with each seed, and print errors by epoch as a Markdown table."""
    announce()
    use_threads(1)
    config = PRESETS["small"].config({**CONFIGURATION, **assignments(settings)})
    config = config.with_changes({"training.patience": config.training.epochs})
    inactive = config.inactive()
    differs = {k: v for k, v in config.flat().items() if v != RunConfig().flat()[k]}
    told = " ".join(f"{key}={value}" for key, value in differs.items() if key not in inactive)
    click.echo(f"One thread, {seeds} seeds from {seed} on. Beside the defaults: {told}\n")
    linear, passed = ridge(config), []
    for number in range(seed, seed + seeds):
        passed.append(watched(config.with_changes({"training.seed": number})))
        last = passed[-1][-1]
        click.echo(f"seed {number}: {last.seconds:.0f} s, test {last.test_mse:.4f}", err=True)
    click.echo(epochs_table(by_epoch(passed)))
    marks = judge(marks_of(passed, linear))
    if path is not None:
        facts = {
            "conditions": conditions(),
            "config": config.flat(),
            "seeds": {seed + at: list(map(asdict, one)) for at, one in enumerate(passed)},
            "linear": asdict(linear),
            "marks": list(map(asdict, marks)),
        }
        path.write_text(json.dumps(facts), "utf-8")


if __name__ == "__main__":
    main()
