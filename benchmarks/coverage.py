"""How intervals hold what they promise: `python -m benchmarks.coverage [RUN...]`.

Takes folders of finished trainings, such as `python -m informer.train` leaves, or trains `MODELS`
on ETTh1, and calibrates intervals on their validation parts. Of each it prints the coverage of the
later half of validation (calibrated on the earlier), of the test part, and of the rows after it,
which no part of a search or training ever reads: with fixed widths and with widths that follow
recent misses. Beside them is plain split conformal prediction, whose widths know nothing of the
look-back. A second table tells how many steps of recent misses a forecast needs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from benchmarks.marks import Mark, announce, judge
from data.series import Series, series
from data.splits import Floats, window_starts
from informer.config import PRESETS, RunConfig, Value
from informer.forecaster import forecaster
from informer.intervals import Coverage, Intervals, Level, calibrated, follow, spread
from informer.records import Success
from informer.rundir import RunDir
from informer.training import train, use_threads
from nas_engine.cli.common import plainly

LEVELS = (0.8, 0.9)
LENGTHS = (0, 100, 250, 500, 1000)
_EVERY = 12  # steps between the forecasts that the second table is made of

WITHIN = 0.03
"""Of its level, coverage is to lie."""
LINEAR: Mapping[str, Value] = {
    "data.seq_len": 336,
    "model.normalisation": "last",
    "model.skip": True,
    "model.e_layers": 0,
    "model.distil": False,
    "model.head": "linear",
}
PATCH: Mapping[str, Value] = {
    "data.seq_len": 168,
    "model.normalisation": "revin",
    "model.tokens": "patch",
    "model.channels": "independent",
    "model.d_model": 32,
    "model.d_ff": 64,
    "model.attention": "full",
    "model.distil": False,
    "model.head": "linear",
    "training.epochs": 3,
    "training.steps_per_epoch": 150,
}
MODELS: Mapping[str, Mapping[str, Value]] = {
    "linear-24": LINEAR,
    "linear-96": {**LINEAR, "data.pred_len": 96},
    "patch-24": PATCH,
    "patch-96": {**PATCH, "data.pred_len": 96},
    "informer-24": {"training.epochs": 4},
    "informer-96": {
        "data.pred_len": 96,
        "training.epochs": 3,
        "training.steps_per_epoch": 130,
    },
}
"""Changes to the preset `small`, by the name of a training."""
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
        spreads.append(spread(windows[:, :seq_len, source.outputs].astype(np.float64)))
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


def fresh(name: str, folder: Path) -> RunDir:
    """Return the run of a training of `MODELS`, made here."""
    run = RunDir(folder / name)
    config = PRESETS["small"].config({**MODELS[name], "training.device": "cpu"})
    run.create(config)
    result = train(config, run)
    if not isinstance(result, Success):
        raise click.ClickException(result.message)
    return run


def _rows(one: Measured) -> Iterator[Mark]:
    """Print the rows of a training; yield how far the coverage is off, following."""
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
        for part, held in (("test", level.test), ("the rows after it", after)):
            off = 100 * abs(held.followed - level.level)
            what = f"coverage off {level.level:.0%}, {one.name}, {part}"
            yield Mark(what, off, 100 * WITHIN, "points")


def _pair(held: Coverage) -> str:
    return f"{held.fixed:.1%} / {held.followed:.1%}"


def _worst_step(intervals: Intervals, level: Level, part: Part) -> float:
    widths, sizes = intervals.half_widths(part[1], level), np.abs(part[0])
    factors = follow(sizes, widths, level.level)[:-1, None]
    by_step = (sizes <= factors * widths).mean(axis=(0, 2))
    return float(by_step[np.abs(by_step - level.level).argmax()])


@click.command()
@click.argument("folders", type=click.Path(path_type=Path, exists=True), nargs=-1)
@click.option(
    "--model",
    "names",
    type=click.Choice(list(MODELS)),
    multiple=True,
    default=tuple(MODELS),
    show_default="all",
    help="What is trained where no folder is given; repeatable.",
)
@plainly
def main(folders: tuple[Path, ...], names: tuple[str, ...]) -> None:
    """Print two Markdown tables about the trainings in FOLDERS, or about some made here."""
    use_threads(1)
    announce()
    if folders:
        show([measured(RunDir(folder)) for folder in folders])
        return
    with tempfile.TemporaryDirectory() as folder:
        show([measured(fresh(name, Path(folder))) for name in names])


def show(found: Sequence[Measured]) -> None:
    """Print the tables and the marks."""
    click.echo("Coverage with widths fixed / following.\n")
    click.echo(
        "| training | level | validation, later half | test | after test | test, plain | worst "
        "column | worst step | interval score: following / fixed / plain |"
    )
    click.echo("|---|---|---|---|---|---|---|---|---|")
    marks = [mark for one in found for mark in _rows(one)]
    click.echo(f"\nOf the test part, by steps followed before each forecast (every {_EVERY} h).\n")
    click.echo("| training | level | " + " | ".join(map(str, LENGTHS)) + " |")
    click.echo("|---|---|" + "---|" * len(LENGTHS))
    for one in found:
        intervals = calibrated(*one.validation[:2], levels=LEVELS)
        for level in intervals.levels:
            shares = [after_following(intervals, level, one.test, length) for length in LENGTHS]
            each = " | ".join(f"{share:.1%}" for share in shares)
            click.echo(f"| {one.name} | {level.level:.0%} | {each} |")
    judge(marks)


if __name__ == "__main__":
    main()
