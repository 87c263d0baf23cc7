"""The data sets that are known by name: facts only, so that reading a configuration stays light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Features = Literal["M", "S", "MS"]


class DataError(ValueError):
    """A data set that cannot be used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Dataset:
    """A data set: its columns in file order (the date apart) and its customary split."""

    name: str
    description: str
    columns: tuple[str, ...]
    target: str
    frequency: str  # pandas offset alias
    season: int  # time steps of the main season
    split_rows: tuple[int, int, int]  # training, validation, test
    url: str | None = None  # None: generated, not a file
    sha256: str = ""
    licence: str = ""
    past_only: tuple[str, ...] = ()  # columns that help but are not forecast
    known_future: tuple[str, ...] = ()  # columns whose values are known in advance, as the calendar

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns that can be forecast: those with no other part to play."""
        return tuple(c for c in self.columns if c not in (*self.past_only, *self.known_future))

    def roles(self, features: Features, target: str) -> Roles:
        """Return what each column is for: M forecasts all targets, MS and S forecast `target`.

        S sees the target alone; M and MS see the other targets and the covariates too.
        """
        if features == "S":
            return Roles((target,), slice(0, 1), ())
        inputs = (*self.targets, *self.past_only)
        one = inputs.index(target)
        outputs = slice(len(self.targets)) if features == "M" else slice(one, one + 1)
        return Roles(inputs, outputs, self.known_future)


@dataclass(frozen=True)
class Roles:
    """The parts that columns play in one task."""

    inputs: tuple[str, ...]  # their past is seen
    outputs: slice  # of the inputs: what is forecast
    known: tuple[str, ...]  # seen over look-back and horizon

    @property
    def forecast(self) -> tuple[str, ...]:
        """Names of the columns that are forecast."""
        return self.inputs[self.outputs]


_ETT_COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
_MONTH = 30 * 24

DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="ETTh1",
            description="Electricity transformer temperature, hourly, two years, 7 columns",
            columns=_ETT_COLUMNS,
            target="OT",
            frequency="h",
            season=24,
            split_rows=(12 * _MONTH, 4 * _MONTH, 4 * _MONTH),
            url="https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
            sha256="f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            licence="CC BY-ND 4.0",
        ),
        Dataset(
            name="synthetic",
            description="Generated, not measured: hourly, 7 columns, two seasons, drift",
            columns=_ETT_COLUMNS,
            target="OT",
            frequency="h",
            season=24,
            split_rows=(12 * _MONTH, 4 * _MONTH, 4 * _MONTH),
        ),
    )
}
