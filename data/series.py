"""A data set made ready for forecasting: columns chosen, values scaled, calendar at hand."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data import calendar
from data.registry import DATASETS, Dataset
from data.source import load
from data.splits import Floats, Scaler, rows

Features = Literal["M", "S", "MS"]


@dataclass(frozen=True)
class Series:
    """The scaled input columns of a data set and which of them are forecast."""

    dataset: Dataset
    values: Floats  # (T, C)
    calendar: NDArray[np.float32]  # (T, F)
    scaler: Scaler
    outputs: slice  # of the C columns


@functools.lru_cache(maxsize=8)
def series(name: str, features: Features, target: str) -> Series:
    """Return a data set as `features` asks for it, kept in memory for the next caller.

    M takes and forecasts all columns, MS takes all and forecasts `target`, S knows `target` alone.

    Raises:
        DataError: the data set cannot be had.
    """
    frame = load(name)
    dataset = DATASETS[name]
    columns = [target] if features == "S" else list(dataset.columns)
    values = frame[columns].to_numpy(np.float64)
    scaler = Scaler.fit(values[rows(dataset, "train", seq_len=0)])
    target_only = slice(columns.index(target), columns.index(target) + 1)
    return Series(
        dataset=dataset,
        values=scaler.transform(values),
        calendar=calendar.encode(pd.DatetimeIndex(frame.index), dataset.frequency),
        scaler=scaler,
        outputs=slice(None) if features == "M" else target_only,
    )
