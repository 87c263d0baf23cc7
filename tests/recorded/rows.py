"""Rows of a table of trainings, and how they are written: as CSV, with six significant digits."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from informer.config import RunConfig, TrainingConfig, Value
from informer.files import replace_text
from informer.records import Epoch, Failure, Success
from informer.schedule import learning_rate

Grid = Mapping[str, tuple[Value, ...]]
"""The settings that vary, and the values that each takes."""

Settings = dict[str, Value]
"""A value for each setting of a grid, in its order."""

Key = tuple[Value, ...]
"""The values of `Settings` alone."""

ERRORS = ("val_mse", "val_mae", "test_mse", "test_mae")
_RESULTS = (*ERRORS, "best_epoch", "parameters")
CURVES = ("train_loss", "val_mse", "val_mae")


@dataclass(frozen=True)
class Row:
    """One training: what was varied, the epochs, and how it ended."""

    settings: Settings
    seed: int
    epochs: tuple[Epoch, ...]
    outcome: Success | Failure

    @property
    def key(self) -> Key:
        """Which configuration was trained."""
        return tuple(self.settings.values())

    @property
    def seconds(self) -> float:
        """What the epochs took."""
        return sum(epoch.seconds for epoch in self.epochs)


def write_rows(path: Path, grid: Grid, rows: Iterable[Row]) -> None:
    """Replace the file by `rows`, in the order of the grid and then of their seeds."""

    def place(row: Row) -> tuple[int, ...]:
        return (*(grid[key].index(value) for key, value in row.settings.items()), row.seed)

    curves = (_by_epoch(name) for name in CURVES)
    columns = [*grid, "seed", *_RESULTS, "seconds", *curves, "error_class", "error"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_cells(row) for row in sorted(rows, key=place))
    replace_text(path, text.getvalue())


def _by_epoch(curve: str) -> str:
    return f"{curve} by epoch"


def _cells(row: Row) -> Mapping[str, object]:
    curves = {
        _by_epoch(name): " ".join(_number(getattr(epoch, name)) for epoch in row.epochs)
        for name in CURVES
    }
    cells = {**row.settings, "seed": row.seed, "seconds": _number(row.seconds), **curves}
    if isinstance(row.outcome, Failure):
        return {**cells, "error_class": row.outcome.error_class, "error": row.outcome.message}
    return cells | {name: _number(getattr(row.outcome, name)) for name in _RESULTS}


def _number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def read_rows(
    path: Path, grid: Grid, configuration: Callable[[Settings, int], RunConfig]
) -> list[Row]:
    """Return the rows of a file that `write_rows` wrote; none where there is no file.

    `configuration` tells what was trained with some settings and seed. Only the sum of the seconds
    of the epochs is written: all epochs get the same share of it.
    """
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(cells, grid, configuration) for cells in csv.DictReader(file)]


def _row(
    cells: Mapping[str, str], grid: Grid, configuration: Callable[[Settings, int], RunConfig]
) -> Row:
    settings = {
        key: next(value for value in values if str(value) == cells[key])
        for key, values in grid.items()
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
    curves = [map(float, cells[_by_epoch(name)].split()) for name in CURVES]
    points, steps = list(zip(*curves, strict=True)), training.steps_per_epoch
    for place, errors in enumerate(points):
        finite = [error if math.isfinite(error) else None for error in errors]
        yield Epoch(
            epoch=place + 1,
            **dict(zip(CURVES, finite, strict=True)),
            lr=learning_rate(training, place * steps, steps),
            seconds=float(cells["seconds"]) / len(points),
        )
