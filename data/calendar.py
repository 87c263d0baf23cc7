"""Calendar features of time stamps, each scaled to [-0.5, 0.5] (the `timeF` encoding of Informer).

Which features there are follows from the frequency: those that change from step to step or slower.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from data.registry import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_UNIT_INTERVAL: Mapping[str, Callable[[pd.DatetimeIndex], Any]] = {
    "second": lambda dates: dates.second / 59,
    "minute": lambda dates: dates.minute / 59,
    "hour": lambda dates: dates.hour / 23,
    "dayofweek": lambda dates: dates.day_of_week / 6,
    "day": lambda dates: (dates.day - 1) / 30,
    "dayofyear": lambda dates: (dates.day_of_year - 1) / 365,
    "week": lambda dates: (dates.isocalendar().week.to_numpy("float64") - 1) / 52,
    "month": lambda dates: (dates.month - 1) / 11,
}

SIZES: Mapping[str, int] = {
    "second": 60,
    "minute": 60,
    "hour": 24,
    "dayofweek": 7,
    "day": 31,
    "dayofyear": 366,
    "week": 53,
    "month": 12,
}
"""How many values each feature has: value i of n is encoded as i / (n - 1) - 0.5."""

_DAILY = ("dayofweek", "day", "dayofyear")

# pandas units from fine to coarse; business variants count as their plain unit
_FEATURES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ns us ms s", ("second", "minute", "hour", *_DAILY)),
    ("min", ("minute", "hour", *_DAILY)),
    ("h bh cbh", ("hour", *_DAILY)),
    ("D B C", _DAILY),
    ("W", ("day", "week")),
    ("SME SMS", ("day", "month")),
    ("ME MS BME BMS CBME CBMS WOM LWOM", ("month",)),
    ("QE QS BQE BQS REQ YE YS BYE BYS RE", ("month",)),
)


def names(frequency: str) -> tuple[str, ...]:
    """Return the features of a pandas frequency alias, such as 'h', '15min', 'D' or 'W-SUN'.

    Raises:
        DataError: the alias is not one of pandas 3.
    """
    units = re.findall(r"[A-Za-z]+", frequency.split("-")[0])
    known = {unit for group, _ in _FEATURES for unit in group.split()}
    if not units or not known.issuperset(units):
        raise DataError(f"{frequency!r} is no pandas frequency; take one such as 'h' or '15min'.")
    return next(
        features for group, features in _FEATURES if not set(units).isdisjoint(group.split())
    )


DAY = 24 * 60  # minutes
_MINUTES: Mapping[str, float] = {
    "s": 1 / 60,
    "min": 1,
    "h": 60,
    "bh": 60,
    "cbh": 60,
    "D": DAY,
    "B": DAY,
    "C": DAY,
    "W": 7 * DAY,
}


def steps_a_day(frequency: str) -> int:
    """Return how many time steps of `frequency` a day has, begun ones too; raises DataError.

    1 where a step is a day or longer. Steps shorter than a minute count as minutes.
    """
    if "hour" not in names(frequency):
        return 1
    units = re.findall(r"([\d.]*)([A-Za-z]+)", frequency)
    minutes = sum(float(count or 1) * _MINUTES.get(unit, 0) for count, unit in units)
    return math.ceil(DAY / max(1, minutes))


def encode(dates: pd.DatetimeIndex, frequency: str) -> NDArray[np.float32]:
    """Return the features of `frequency` at each of T dates, (T, F); raises DataError."""
    import numpy as np  # not above: a configuration is read without it

    features = [np.asarray(_UNIT_INTERVAL[name](dates)) - 0.5 for name in names(frequency)]
    return np.stack(features, axis=-1).astype(np.float32)
