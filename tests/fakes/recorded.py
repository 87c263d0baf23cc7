"""A trainer that replays the table of real trainings in `tests/recorded`."""

from __future__ import annotations

import dataclasses
import functools
import math
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from pydantic import TypeAdapter

from informer.config import RunConfig
from informer.rundir import Failure, Progress, Record, RunDir, Success
from nas_engine.store.reader import BaselineRow
from nas_engine.trainers.base import Ended, Watch
from tests.fakes.trainer import this_process
from tests.recorded.table import (
    BASELINES,
    CORE,
    CURVES,
    ERRORS,
    GRID,
    START,
    TABLE,
    Key,
    Row,
    Settings,
    combinations,
    configuration,
    in_core,
    read_rows,
    start,
)

__all__ = [
    "CORE",
    "GRID",
    "START",
    "Mean",
    "RecordedTrainer",
    "best",
    "means",
    "noise",
    "place",
    "ranked",
    "recorded",
    "replay",
    "value",
]

_BASELINES = TypeAdapter(list[BaselineRow])


@functools.cache
def recorded() -> Mapping[Key, Sequence[Row]]:
    """Return the rows of the table by the values of their settings, in the order of their seeds."""
    rows: dict[Key, list[Row]] = {}
    for row in read_rows(TABLE):
        rows.setdefault(tuple(row.settings.values()), []).append(row)
    return rows


@functools.cache
def noise(core: bool = True) -> float:
    """Return the relative spread of val_mse between seeds, in `CORE` or in the rest of the table.

    It is the root of the mean variance (with n - 1) of ln val_mse, over all configurations there
    that were trained with several seeds.
    """
    there = [rows for key, rows in recorded().items() if in_core(key) == core]
    groups = [[math.log(error) for error in _errors(rows)] for rows in there]
    return math.sqrt(statistics.fmean(map(statistics.variance, (g for g in groups if len(g) > 1))))


def replay(config: RunConfig) -> Row:
    """Return what training `config` gives.

    With a seed that was recorded, that is its row. With another, all errors of the configuration's
    first row are scaled so that val_mse is drawn around the mean of the recorded seeds with the
    relative spread `noise` of its part of the table: the same draw each time. What failed with
    every recorded seed fails.

    Raises:
        LookupError: the configuration lies outside the grid.
    """
    key, seed = place(config), config.training.seed
    rows = recorded()[key]
    for row in rows:
        if row.seed == seed:
            return row
    trained = [row for row in rows if isinstance(row.outcome, Success)]
    if not trained:
        return dataclasses.replace(rows[0], seed=seed)
    draw = random.Random(_name(key, seed)).gauss(0, noise(in_core(key)))
    wanted = statistics.fmean(_errors(rows)) * math.exp(draw)
    return _scaled(trained[0], seed, wanted / _errors(trained)[0])


def value(config: RunConfig) -> float:
    """Return the val_mse of training `config`, infinite where that fails; raises LookupError."""
    outcome = replay(config).outcome
    return outcome.val_mse if isinstance(outcome, Success) else math.inf


@functools.cache
def ranked() -> Sequence[tuple[Settings, float]]:
    """Return all settings of `CORE` with their val_mse at the default seed, the best first."""
    seed = start().training.seed
    found = [(settings, value(configuration(settings, seed))) for settings in combinations(CORE)]
    return sorted(found, key=lambda pair: pair[1])


@dataclass(frozen=True)
class Mean:
    """A configuration of the table: means over the trainings with the recorded seeds."""

    key: Key
    val_mse: float  # of the trainings that succeeded, infinite where none did
    seconds: float  # of training, whether it succeeded or not

    @property
    def settings(self) -> Settings:
        """What was varied."""
        return dict(zip(GRID, self.key, strict=True))


@functools.cache
def means() -> Sequence[Mean]:
    """Return every configuration of the whole table, the best first."""
    found = [
        Mean(
            key,
            statistics.fmean(_errors(rows) or [math.inf]),
            statistics.fmean(sum(epoch.seconds for epoch in row.epochs) for row in rows),
        )
        for key, rows in recorded().items()
    ]
    return sorted(found, key=lambda mean: mean.val_mse)


def best(share: float) -> Set[Key]:
    """Return the best `share` of the configurations of the whole table, rounded up.

    `place` tells whether a configuration is one of them.
    """
    return {mean.key for mean in means()[: math.ceil(share * len(means()))]}


def _errors(rows: Iterable[Row]) -> list[float]:
    return [row.outcome.val_mse for row in rows if isinstance(row.outcome, Success)]


def place(config: RunConfig) -> Key:
    """Return which configuration of the table one is; raises LookupError where it is none."""
    flat, fixed = config.flat(), start().flat()
    for key, given in flat.items():
        if given not in GRID.get(key, (fixed[key],)) and key != "training.seed":
            raise LookupError(
                f"No training with {key} {given} was recorded: vary only the settings of GRID in "
                "tests/recorded/table.py, among its values, and start from START."
            )
    return tuple(flat[key] for key in GRID)


def _name(key: Key, seed: int) -> str:
    """Return what a draw is made from: in `CORE` the same, however the table is widened."""
    settings = zip(GRID, key, strict=True)
    told = {name: given for name, given in settings if CORE[name] != (given,)}
    return repr((told, seed))


def _scaled(row: Row, seed: int, factor: float) -> Row:
    def scale(record: Record, names: Iterable[str]) -> dict[str, float | None]:
        errors = {name: getattr(record, name) for name in names}
        return {name: error and error * factor for name, error in errors.items()}

    epochs = tuple(epoch.model_copy(update=scale(epoch, CURVES)) for epoch in row.epochs)
    outcome = row.outcome.model_copy(update=scale(row.outcome, ERRORS))
    return Row(row.settings, seed, epochs, outcome)


class RecordedTrainer:
    """Replays the training of the table that a run folder's configuration and seed name.

    `replay` says what a seed that was not recorded gives. It takes no time: `seconds` are those of
    the real training. A configuration outside the grid raises LookupError.
    """

    def __init__(self) -> None:
        self.trained: list[RunDir] = []

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        config = run.read_config()
        row = replay(config)
        self.trained.append(run)
        watch.started(this_process(0))
        for epoch in row.epochs:
            if (ending := watch.ending()) is not None:
                return ending
            steps = config.training.steps_per_epoch
            for record in (Progress(epoch=epoch.epoch, step=1, steps=steps), epoch):
                run.append(record)
                watch.report([record])
        run.write_result(row.outcome)
        if isinstance(row.outcome, Failure):
            return Ended("failed", row.outcome.error_class, row.outcome.message)
        return row.outcome

    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        """Return the forecasts without training that were recorded for the data of `START`."""
        if (data := folder.read_config().data) != start().data:
            raise LookupError(f"Baselines were recorded for the data of START alone, not {data}.")
        return _BASELINES.validate_json(BASELINES.read_bytes())

    def close(self) -> None:
        pass
