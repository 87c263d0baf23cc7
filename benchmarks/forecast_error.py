"""Whether a faster variant forecasts as well: the same training with several seeds of each.

`python -m benchmarks.forecast_error` trains on ETTh1 `M` 96/48/24 and prints test MSE by variant:
the mean over seeds and the spread between them. A variant that differs by less than the spread is
not told apart from the first.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from benchmarks.marks import Mark, announce, judge
from benchmarks.train_speed import VARIANTS, configuration
from informer.config import PUBLISHED, RunConfig, Value
from informer.records import Success
from informer.rundir import RunDir
from informer.training import train, use_threads
from nas_engine.cli.common import plainly

CORRECTED = "faults of the published code corrected"


def trained(config: RunConfig) -> Success:
    """Return the result of a training in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder))
        run.create(config)
        result = train(config, run)
    if not isinstance(result, Success):
        raise SystemExit(result.message)
    return result


def of_variant(name: str, width: int) -> RunConfig:
    """Return the configuration of a variant, as `benchmarks.train_speed` has them."""
    if name != CORRECTED:
        return configuration(width, name)
    corrected: dict[str, Value] = {
        key: value for key, value in RunConfig().flat().items() if key in PUBLISHED
    }
    return configuration(width, "as published").with_changes(corrected)


@click.command()
@click.option("--width", default=64, show_default=True, help="d_model.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2))
@click.option("--epochs", default=2, show_default=True)
@click.option("--steps", default=0, show_default=True, help="Steps per epoch; 0 means all windows.")
@click.option("--threads", default=2, show_default=True)
@click.option("--variant", "chosen", multiple=True, help="By default all.")
@plainly
def main(
    width: int, seeds: int, epochs: int, steps: int, threads: int, chosen: tuple[str, ...]
) -> None:
    """Print a row for each variant as a Markdown table."""
    use_threads(threads)
    announce()
    click.echo(f"d_model {width}, {epochs} epochs of {steps or 'all'} steps, {seeds} seeds\n")
    click.echo("| variant | test MSE, mean | deviation | each seed |\n|---|---|---|---|")
    found: dict[str, list[float]] = {}
    for name in chosen or (*VARIANTS, CORRECTED):
        changes: dict[str, Value] = {"training.epochs": epochs, "training.steps_per_epoch": steps}
        config = of_variant(name, width).with_changes(changes)
        errors = found[name] = [
            trained(config.with_changes({"training.seed": 2021 + seed})).test_mse
            for seed in range(seeds)
        ]
        each = ", ".join(f"{error:.4f}" for error in errors)
        click.echo(
            f"| {name} | {statistics.mean(errors):.4f} | {statistics.stdev(errors):.4f} | {each} |"
        )
    judge(marks(found))


def marks(found: Mapping[str, Sequence[float]]) -> Iterator[Mark]:
    """Yield a mark for each variant: it is worse than the first by no more than their spread."""
    (first, errors), *others = found.items()
    for name, others_errors in others:
        yield Mark(
            f"test MSE of {name} above {first}; spread of seeds",
            statistics.mean(others_errors) - statistics.mean(errors),
            statistics.stdev(errors),
        )


if __name__ == "__main__":
    main()
