"""A data set made ready for forecasting: columns chosen, values scaled, calendar at hand."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data import calendar
from data.registry import DataError, Dataset, Features, Roles, find
from data.source import values_of
from data.splits import Floats, Scaler, rows


@dataclass(frozen=True)
class Series:
    """A data set scaled and cut to its roles."""

    dataset: Dataset
    roles: Roles
    values: Floats  # (T, C): the input columns
    known: NDArray[np.float32]  # (T, F + K): calendar features, then the known-future columns
    scaler: Scaler  # of the C input columns
    known_scaler: Scaler  # of the K known-future columns
    dates: pd.DatetimeIndex  # (T,)

    @property
    def outputs(self) -> slice:
        """Which of the C columns are forecast."""
        return self.roles.outputs


def series(name: str, features: Features, target: str) -> Series:
    """Return a data set as `features` asks for it, kept in memory for the next caller.

    Raises:
        DataError: the data set cannot be had, has missing values, or a column to forecast is
            constant over the training part, so that no scale can be had from it.
    """
    return _series(find(name), features, target)


@functools.lru_cache(maxsize=8)
def _series(dataset: Dataset, features: Features, target: str) -> Series:
    return prepared(dataset, values_of(dataset), features, target)


def prepared(dataset: Dataset, frame: pd.DataFrame, features: Features, target: str) -> Series:
    """Return the series of a table that need not have been added as a data set.

    Args:
        dataset: its facts; the split tells what the scaling is learned on.
        frame: (T, columns) under the index of dates, a row for each step.
        features: M, S or MS.
        target: column that MS and S forecast.

    Raises:
        DataError: as `series`.
    """
    roles, name = dataset.roles(features, target), dataset.name
    training = rows(dataset, "train", seq_len=0)
    _require_numbers(frame, name)
    values = frame[list(roles.inputs)].to_numpy(np.float64)
    scaler = Scaler.fit(values[training], dataset.scaling)
    if flat := list(itertools.compress(roles.forecast, scaler.constant[roles.outputs])):
        raise DataError(
            f"Column {', '.join(flat)} of {name} is constant over the training part and cannot be "
            "forecast; make it past-only, leave it out, or forecast another target."
        )
    known = frame[list(roles.known)].to_numpy(np.float64)
    dates = pd.DatetimeIndex(frame.index)
    marks = calendar.encode(dates, dataset.frequency)
    known_scaler = Scaler.fit(known[training], dataset.scaling)
    covariates = known_scaler.transform(known).astype(np.float32)
    return Series(
        dataset=dataset,
        roles=roles,
        values=scaler.transform(values),
        known=np.concatenate((marks, covariates), axis=1),
        scaler=scaler,
        known_scaler=known_scaler,
        dates=dates,
    )


def _require_numbers(frame: pd.DataFrame, name: str) -> None:
    finite = np.isfinite(frame.to_numpy(np.float64))
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{name} has {int((~finite).sum()):,} values that are missing or not finite, the first "
            f"in column {frame.columns[column]} at {frame.index[row]}; fill them first "
            "(python -m data.check)."
        )
