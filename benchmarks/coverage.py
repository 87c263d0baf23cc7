"""How intervals hold what they promise: `python -m benchmarks.coverage RUN...`.

Takes folders of finished trainings, such as `python -m informer.train` leaves, and calibrates
intervals on their validation parts. Of each it prints the coverage of the later half of validation
(calibrated on the earlier), of the test part, and of the rows after it, which no part of a search
or training ever reads: with fixed widths and with widths that follow recent misses. Beside them is
plain split conformal prediction, whose widths know nothing of the look-back. A second table tells
how many steps of recent misses a forecast needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from data.series import Series, series
from data.splits import Floats, window_starts
from informer.config import RunConfig
from informer.forecaster import forecaster
from informer.intervals import Coverage, Intervals, Level, calibrated, follow, spread
from informer.rundir import RunDir

LEVELS = (0.8, 0.9)
LENGTHS = (0, 100, 250, 500, 1000)
_EVERY = 12  # steps between the forecasts that the second table is made of

Part = tuple[Floats, Floats, int]  # errors (N, H, C), spreads (N, C), steps between windows


@dataclass(frozen=True)
class Measured:
    """Errors of one training on the parts that it has not seen."""

    name: str
    validation: Part
    test: Part
    after: Part


def measured(run: RunDir) -> Measured:
    """Return the errors of a finished training."""
    config = run.read_config()
    data = config.data
    source = series(data.dataset, data.features, data.target)
    model = forecaster(config, run.weights.read_bytes(), torch.device("cpu"))
    end = sum(source.dataset.split_rows)
    lengths = data.seq_len, data.pred_len
    after = range(end - data.seq_len, len(source.values) - sum(lengths) + 1)
    return Measured(
        name=run.path.name,
        validation=_errors(model, source, config, window_starts(source.dataset, "val", *lengths)),
        test=_errors(model, source, config, window_starts(source.dataset, "test", *lengths)),
        after=_errors(model, source, config, after),
    )


def _errors(
    model: Callable[[Tensor, Tensor], Tensor], source: Series, config: RunConfig, starts: range
) -> Part:
    seq_len, horizon = config.data.seq_len, config.data.pred_len
    values, known = source.values.astype(np.float32), source.known
    errors, spreads = [], []
    for first in range(starts.start, starts.stop, 64):
        chosen = range(first, min(first + 64, starts.stop))
        windows = np.stack([values[start : start + seq_len + horizon] for start in chosen])
        ahead = np.stack([known[start : start + seq_len + horizon] for start in chosen])
        with torch.inference_mode():
            made = model(torch.tensor(windows[:, :seq_len]), torch.tensor(ahead)).double().numpy()
        errors.append(windows[:, seq_len:, source.outputs] - made)
        spreads.append(spread(windows[:, :seq_len, source.outputs]))
    return np.concatenate(errors), np.concatenate(spreads), 1


def plain(part: Part) -> Part:
    """Return a part for which every look-back has the same deviation."""
    return part[0], np.ones_like(part[1]), part[2]


def held_on(intervals: Intervals, level: Level, part: Part) -> Coverage:
    """Return how a part was covered."""
    widths = intervals.half_widths(part[1], level)
    sizes = np.abs(part[0])
    followed = sizes <= follow(sizes, widths, level.level)[:-1, None] * widths
    return Coverage(
        fixed=float((sizes <= widths).mean()),
        followed=float(followed.mean()),
        by_column=tuple(followed.mean(axis=(0, 1)).tolist()),
    )


def interval_score(intervals: Intervals, level: Level, part: Part, *, following: bool) -> float:
    """Return the mean interval score (Gneiting and Raftery 2007, eq. 43); lower is better."""
    widths, sizes = intervals.half_widths(part[1], level), np.abs(part[0])
    if following:
        widths = widths * follow(sizes, widths, level.level)[:-1, None]
    outside = np.maximum(sizes - widths, 0)
    return float((2 * widths + 2 / (1 - level.level) * outside).mean())


def after_following(intervals: Intervals, level: Level, part: Part, length: int) -> float:
    """Return the coverage of forecasts before each of which `length` steps were followed."""
    sizes, widths = np.abs(part[0]), intervals.half_widths(part[1], level)
    shares = []
    for window in range(max(LENGTHS), len(sizes), _EVERY):
        recent = slice(window - length, window)
        factors = follow(sizes[recent], widths[recent], level.level)[-1]
        shares.append((sizes[window] <= factors * widths[window]).mean())
    return float(np.mean(shares))


def _rows(one: Measured) -> None:
    intervals = calibrated(*one.validation[:2], levels=LEVELS, test=one.test)
    simple = calibrated(*plain(one.validation)[:2], levels=LEVELS, test=plain(one.test))
    for level, other in zip(intervals.levels, simple.levels, strict=True):
        assert level.validation and level.test and other.test
        after = held_on(intervals, level, one.after)
        steps = _worst_step(intervals, level, one.test)
        score, fixed, unscaled = (
            interval_score(*of, following=following)
            for of, following in (
                ((intervals, level, one.test), True),
                ((intervals, level, one.test), False),
                ((simple, other, plain(one.test)), False),
            )
        )
        click.echo(
            f"| {one.name} | {level.level:.0%} | {_pair(level.validation)} | {_pair(level.test)} | "
            f"{_pair(after)} | {other.test.fixed:.1%} | {min(level.test.by_column):.1%} | "
            f"{steps:.1%} | {score:.2f} / {fixed:.2f} / {unscaled:.2f} |"
        )


def _pair(held: Coverage) -> str:
    return f"{held.fixed:.1%} / {held.followed:.1%}"


def _worst_step(intervals: Intervals, level: Level, part: Part) -> float:
    widths, sizes = intervals.half_widths(part[1], level), np.abs(part[0])
    factors = follow(sizes, widths, level.level)[:-1, None]
    by_step = (sizes <= factors * widths).mean(axis=(0, 2))
    return float(by_step[np.abs(by_step - level.level).argmax()])


@click.command()
@click.argument("folders", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
def main(folders: tuple[Path, ...]) -> None:
    """Print two Markdown tables about the trainings in FOLDERS."""
    torch.set_num_threads(1)
    found = [measured(RunDir(folder)) for folder in folders]
    click.echo("Coverage with widths fixed / following.\n")
    click.echo(
        "| training | level | validation, later half | test | after test | test, plain | worst "
        "column | worst step | interval score: following / fixed / plain |"
    )
    click.echo("|---|---|---|---|---|---|---|---|---|")
    for one in found:
        _rows(one)
    click.echo(f"\nOf the test part, by steps followed before each forecast (every {_EVERY} h).\n")
    click.echo("| training | level | " + " | ".join(map(str, LENGTHS)) + " |")
    click.echo("|---|---|" + "---|" * len(LENGTHS))
    for one in found:
        intervals = calibrated(*one.validation[:2], levels=LEVELS)
        for level in intervals.levels:
            shares = [after_following(intervals, level, one.test, length) for length in LENGTHS]
            each = " | ".join(f"{share:.1%}" for share in shares)
            click.echo(f"| {one.name} | {level.level:.0%} | {each} |")


if __name__ == "__main__":
    main()
