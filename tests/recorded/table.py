"""A table of real trainings on ETTh1, recorded by `benchmarks/make_table.py`.

It is a full grid: every valid combination of the values of `GRID`, all else as in `START`, with
the seed of the defaults; some combinations have further seeds, from which the noise is known. Tests
search `CORE`, a part of it that takes fewer trials.
"""

from __future__ import annotations

import csv
import functools
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from informer.config import PRESETS, RunConfig, TrainingConfig, Value, problems
from informer.files import replace_text
from informer.rundir import Epoch, Failure, Success
from informer.schedule import learning_rate

FOLDER = Path(__file__).resolve().parent
TABLE, BASELINES = FOLDER / "etth1.csv", FOLDER / "baselines.json"

Grid = Mapping[str, tuple[Value, ...]]

GRID: Grid = {
    "model.skip": (False, True),
    "model.normalisation": ("none", "standardise", "revin", "last"),
    "data.seq_len": (48, 96, 168),
    "model.head": ("linear", "step_linear"),
    "model.tokens": ("step", "patch", "inverted"),
    "model.d_model": (16, 32, 64),
    "training.optimizer_params.lr": (1e-4, 1e-3, 1e-2),
}
CORE: Grid = {**GRID, "model.skip": (False,), "model.tokens": ("step", "patch")}
"""The part that was recorded first, 432 configurations; published figures were measured on it."""

START: Mapping[str, Value] = {
    "model.head": "linear",
    "model.distil": False,
    "model.e_layers": 1,
    "model.attention": "none",
    "model.d_ff": 64,
    "training.epochs": 4,
    "training.steps_per_epoch": 30,
    "training.device": "cpu",
}
"""Settings of trial 0 that differ from preset `small`; chosen so that a training takes seconds."""

Settings = dict[str, Value]
Key = tuple[Value, ...]
"""The values of the settings of `GRID`, in its order: a configuration of the table."""

ERRORS = ("val_mse", "val_mae", "test_mse", "test_mae")
_RESULTS = (*ERRORS, "best_epoch", "parameters")
CURVES = ("train_loss", "val_mse", "val_mae")
_COLUMNS = (
    *GRID,
    "seed",
    *_RESULTS,
    "seconds",
    *(f"{name} by epoch" for name in CURVES),
    *("error_class", "error"),
)


@functools.cache
def start() -> RunConfig:
    """Return the configuration of trial 0."""
    return PRESETS["small"].config(START)


def combinations(grid: Grid = GRID) -> list[Settings]:
    """Return the settings of every valid configuration of a grid."""
    fixed = start().flat()
    each = (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))
    return [settings for settings in each if not problems({**fixed, **settings})]


def configuration(settings: Mapping[str, Value], seed: int) -> RunConfig:
    """Return the configuration that `settings` of the grid mean."""
    return start().with_changes({**settings, "training.seed": seed})


def in_core(key: Key) -> bool:
    """Return whether a configuration of the table belongs to `CORE`."""
    return all(given in values for given, values in zip(key, CORE.values(), strict=True))


@dataclass(frozen=True)
class Row:
    """One training: what was varied, the epochs, and how it ended."""

    settings: Settings
    seed: int
    epochs: tuple[Epoch, ...]
    outcome: Success | Failure

    @property
    def key(self) -> Key:
        """What no two rows of a table share."""
        return (*self.settings.values(), self.seed)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Replace the file by `rows`, in the order of the grid; figures have six significant digits."""
    rank = _rank()
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        _cells(row) for row in sorted(rows, key=lambda row: (rank[row.key[:-1]], row.seed))
    )
    replace_text(path, text.getvalue())


@functools.cache
def _rank() -> Mapping[Key, int]:
    return {tuple(settings.values()): place for place, settings in enumerate(combinations())}


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file that `write_rows` wrote; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(cells) for cells in csv.DictReader(file)]


def _cells(row: Row) -> Mapping[str, object]:
    curves = {
        f"{name} by epoch": " ".join(_number(getattr(epoch, name)) for epoch in row.epochs)
        for name in CURVES
    }
    seconds = _number(sum(epoch.seconds for epoch in row.epochs))
    cells = {**row.settings, "seed": row.seed, "seconds": seconds, **curves}
    if isinstance(row.outcome, Failure):
        return {**cells, "error_class": row.outcome.error_class, "error": row.outcome.message}
    return cells | {name: _number(getattr(row.outcome, name)) for name in _RESULTS}


def _number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _row(cells: Mapping[str, str]) -> Row:
    settings = {
        key: next(value for value in values if str(value) == cells[key])
        for key, values in GRID.items()
    }
    seed = int(cells["seed"])
    epochs = tuple(_epochs(cells, configuration(settings, seed).training))
    outcome: Success | Failure
    if cells["error"]:
        failure = {"error_class": cells["error_class"], "message": cells["error"]}
        outcome = Failure.model_validate(failure)
    else:
        figures = {name: float(cells[name]) for name in (*_RESULTS, "seconds")}
        outcome = Success.model_validate({**figures, "epochs": len(epochs), "device": "cpu"})
    return Row(settings, seed, epochs, outcome)


def _epochs(cells: Mapping[str, str], training: TrainingConfig) -> Iterator[Epoch]:
    curves = [map(float, cells[f"{name} by epoch"].split()) for name in CURVES]
    points, steps = list(zip(*curves, strict=True)), training.steps_per_epoch
    for place, errors in enumerate(points):
        finite = [error if math.isfinite(error) else None for error in errors]
        yield Epoch(
            epoch=place + 1,
            **dict(zip(CURVES, finite, strict=True)),
            lr=learning_rate(training, place * steps, steps),
            seconds=float(cells["seconds"]) / len(points),
        )
