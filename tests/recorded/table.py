"""Tables of real trainings, recorded by `benchmarks/make_table.py`, and what they are replayed as.

A table is a full grid: every valid combination of some values, all else as in trial 0, with the
seed of the defaults; some combinations have further seeds, from which the noise is known.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from informer.config import PRESETS, RunConfig, Value, problems
from informer.records import Record, Success
from tests.recorded.rows import (
    CURVES,
    ERRORS,
    Grid,
    Key,
    Row,
    Settings,
    read_rows,
    write_rows,
)

FOLDER = Path(__file__).resolve().parent
BASELINES = FOLDER / "baselines.json"
"""Forecasts without training for the data of `TESTED` and of `COMPARED`."""


@dataclass(frozen=True)
class Mean:
    """A configuration of a table: means over the trainings with the recorded seeds."""

    settings: Settings
    val_mse: float  # of the trainings that succeeded, infinite where none did
    seconds: float  # of training, whether it succeeded or not

    @property
    def key(self) -> Key:
        """Which configuration it is."""
        return tuple(self.settings.values())


@dataclass(frozen=True, eq=False)
class Table:
    """What is trained, and what came of it."""

    path: Path
    grid: Grid
    start: Mapping[str, Value]  # settings of trial 0 that differ from preset `small`
    thrice: int = 0  # configurations with two seeds more, besides trial 0
    twice: int = 0  # configurations with one seed more

    # -- what is trained -------------------------------------------------------------------------

    @cached_property
    def first(self) -> RunConfig:
        """The configuration of trial 0."""
        return PRESETS["small"].config(self.start)

    @cached_property
    def combinations(self) -> Mapping[Key, Settings]:
        """The settings of every valid configuration, in the order of the grid."""
        fixed = self.first.flat()
        each = (dict(zip(self.grid, key, strict=True)) for key in self._product())
        valid = (settings for settings in each if not problems({**fixed, **settings}))
        return {tuple(settings.values()): settings for settings in valid}

    def _product(self) -> Iterable[Key]:
        return itertools.product(*self.grid.values())

    def trainings(self) -> list[tuple[Settings, int]]:
        """Return all trainings: the settings that vary, and the seed."""
        values, first = self.first.flat(), self.first.training.seed
        begins = {key: values[key] for key in self.grid}
        others = [settings for settings in self.combinations.values() if settings != begins]
        more = [begins, *random.Random(0).sample(others, self.thrice)] if self.thrice else []
        rest = [settings for settings in self.combinations.values() if settings not in more]
        return [
            *((settings, first) for settings in self.combinations.values()),
            *((settings, first + seed) for settings in more for seed in (1, 2)),
            *((settings, first + 1) for settings in random.Random(1).sample(rest, self.twice)),
        ]

    def configuration(self, settings: Mapping[str, Value], seed: int) -> RunConfig:
        """Return the configuration that `settings` of the grid mean."""
        return self.first.with_changes({**settings, "training.seed": seed})

    def place(self, config: RunConfig) -> Key:
        """Return which configuration of the table one is.

        Raises:
            LookupError: it lies outside the grid.
        """
        flat, fixed = config.flat(), self.first.flat()
        for key, given in flat.items():
            if given not in self.grid.get(key, (fixed[key],)) and key != "training.seed":
                raise LookupError(
                    f"No training with {key} {given} was recorded in {self.path.name}: vary only "
                    "the settings of its grid in tests/recorded/table.py, among its values, and "
                    "begin with its start."
                )
        return tuple(flat[key] for key in self.grid)

    # -- the file --------------------------------------------------------------------------------

    def read(self) -> list[Row]:
        """Return the rows of the file; none where there is no file."""
        return read_rows(self.path, self.grid, self.configuration)

    def write(self, rows: Iterable[Row]) -> None:
        """Replace the file by `rows`."""
        write_rows(self.path, self.grid, rows)

    @cached_property
    def recorded(self) -> Mapping[Key, Sequence[Row]]:
        """The rows of the file by their configuration, in the order of their seeds."""
        rows: dict[Key, list[Row]] = {}
        for row in self.read():
            rows.setdefault(row.key, []).append(row)
        return rows

    # -- what came of it -------------------------------------------------------------------------

    @cached_property
    def noise(self) -> float:
        """The relative spread of val_mse between seeds, measured on the table.

        It is the root of the mean variance (with n - 1) of ln val_mse, over all configurations that
        were trained with several seeds.
        """
        logs = [[math.log(error) for error in _errors(rows)] for rows in self.recorded.values()]
        spreads = (statistics.variance(each) for each in logs if len(each) > 1)
        return math.sqrt(statistics.fmean(spreads))

    def replay(self, config: RunConfig) -> Row:
        """Return what training `config` gives.

        With a seed that was recorded, that is its row. With another, all errors of the
        configuration's first row are scaled so that val_mse is drawn around the mean of the
        recorded seeds with the relative spread `noise`: the same draw each time. What failed with
        every recorded seed fails.

        Raises:
            LookupError: the configuration lies outside the grid, or is not recorded yet.
        """
        key, seed = self.place(config), config.training.seed
        rows = self.recorded.get(key)
        if rows is None:
            told = f"No training of {key} was recorded in {self.path.name} yet"
            raise LookupError(f"{told}: python -m benchmarks.make_table {self.path.stem}")
        for row in rows:
            if row.seed == seed:
                return row
        trained = [row for row in rows if isinstance(row.outcome, Success)]
        if not trained:
            return dataclasses.replace(rows[0], seed=seed)
        draw = random.Random(repr((rows[0].settings, seed))).gauss(0, self.noise)
        wanted = statistics.fmean(_errors(rows)) * math.exp(draw)
        return _scaled(trained[0], seed, wanted / _errors(trained)[0])

    def value(self, config: RunConfig) -> float:
        """Return the val_mse of training `config`, infinite where that fails; as `replay`."""
        outcome = self.replay(config).outcome
        return outcome.val_mse if isinstance(outcome, Success) else math.inf

    @cached_property
    def ranked(self) -> Sequence[tuple[Settings, float]]:
        """All settings with their val_mse at the default seed, the best first."""
        seed = self.first.training.seed
        found = [
            (settings, self.value(self.configuration(settings, seed)))
            for settings in self.combinations.values()
        ]
        return sorted(found, key=lambda pair: pair[1])

    @cached_property
    def means(self) -> Sequence[Mean]:
        """Every configuration that was trained, the best first."""
        found = [
            Mean(
                rows[0].settings,
                statistics.fmean(_errors(rows) or [math.inf]),
                statistics.fmean(row.seconds for row in rows),
            )
            for rows in self.recorded.values()
        ]
        return sorted(found, key=lambda mean: mean.val_mse)

    def best(self, share: float) -> Set[Key]:
        """Return the best `share` of the configurations by their mean, rounded up.

        `place` tells whether a configuration is one of them.
        """
        return {mean.key for mean in self.means[: math.ceil(share * len(self.means))]}


def _errors(rows: Iterable[Row]) -> list[float]:
    return [row.outcome.val_mse for row in rows if isinstance(row.outcome, Success)]


def _scaled(row: Row, seed: int, factor: float) -> Row:
    def scale(record: Record, names: Iterable[str]) -> dict[str, float | None]:
        errors = {name: getattr(record, name) for name in names}
        return {name: error and error * factor for name, error in errors.items()}

    epochs = tuple(epoch.model_copy(update=scale(epoch, CURVES)) for epoch in row.epochs)
    outcome = row.outcome.model_copy(update=scale(row.outcome, ERRORS))
    return Row(row.settings, seed, epochs, outcome)


TESTED = Table(
    path=FOLDER / "etth1.csv",
    grid={
        "model.normalisation": ("none", "standardise", "revin", "last"),
        "data.seq_len": (48, 96, 168),
        "model.head": ("linear", "step_linear"),
        "model.tokens": ("step", "patch"),
        "model.d_model": (16, 32, 64),
        "training.optimizer_params.lr": (1e-4, 1e-3, 1e-2),
    },
    start={
        "model.head": "linear",
        "model.distil": False,
        "model.e_layers": 1,
        "model.attention": "none",
        "model.d_ff": 64,
        "training.epochs": 4,
        "training.steps_per_epoch": 30,
        "training.device": "cpu",
    },
    thrice=60,
)
"""What tests search: 432 configurations, each trained for a second or two, far from converged."""

COMPARED = Table(
    path=FOLDER / "space.csv",
    grid={
        "model.normalisation": ("none", "standardise", "revin", "last"),
        "data.seq_len": (96, 168),
        "model.tokens": ("patch", "inverted"),
        "model.attention": ("none", "full"),
        "model.norm": ("post", "none"),
        "model.skip": (False, True),
        "model.d_model": (16, 64),
        "training.criterion_class": ("MSELoss", "L1Loss"),
        "training.optimizer_params.lr": (3e-4, 1e-3, 3e-3),
    },
    start={
        "model.head": "linear",
        "model.distil": False,
        "model.e_layers": 1,
        "model.d_ff": 128,
        "model.temporal": "none",
        "model.tokens": "patch",
        "model.attention": "full",
        "model.dropout": 0.1,
        "data.batch_size": 64,
        "training.scheduler_class": "CosineAnnealingLR",
        "training.epochs": 4,
        "training.patience": 4,
        "training.steps_per_epoch": 100,
        "training.device": "cpu",
        "training.optimizer_params.lr": 1e-3,
    },
    thrice=60,
    twice=60,
)
"""What searches are compared on: 1,152 configurations, trained long enough that structure shows."""
