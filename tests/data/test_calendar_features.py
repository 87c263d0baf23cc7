from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.calendar import encode, names, steps_a_day
from data.registry import DataError


def test_hourly_features_are_hour_weekday_day_and_day_of_year() -> None:
    dates = pd.DatetimeIndex(["2016-07-01 00:00", "2017-12-31 23:00"])  # a Friday, a Sunday
    first, last = encode(dates, "h")
    assert first == pytest.approx([-0.5, 4 / 6 - 0.5, -0.5, 182 / 365 - 0.5])
    assert last == pytest.approx([0.5, 0.5, 0.5, 364 / 365 - 0.5])


@pytest.mark.parametrize(
    ("frequency", "expected"),
    [
        ("s", ("second", "minute", "hour", "dayofweek", "day", "dayofyear")),
        ("15min", ("minute", "hour", "dayofweek", "day", "dayofyear")),
        ("1D12h", ("hour", "dayofweek", "day", "dayofyear")),
        ("B", ("dayofweek", "day", "dayofyear")),
        ("W-SUN", ("day", "week")),
        ("ME", ("month",)),
        ("QE-DEC", ("month",)),
        ("YS", ("month",)),
    ],
)
def test_features_follow_from_the_frequency(frequency: str, expected: tuple[str, ...]) -> None:
    assert names(frequency) == expected


@pytest.mark.parametrize(
    "frequency",
    [
        "ns",
        "us",
        "ms",
        "s",
        "min",
        "h",
        "bh",
        "cbh",
        "D",
        "B",
        "C",
        "W",
        "SME",
        "SMS",
        "ME",
        "MS",
        "BME",
        "BMS",
        "CBME",
        "CBMS",
        "WOM-2MON",
        "LWOM-MON",
        "QE",
        "QS",
        "BQE",
        "BQS",
        "YE",
        "YS",
        "BYE",
        "BYS",
    ],
)
def test_every_alias_of_pandas_gives_features_between_minus_and_plus_a_half(frequency: str) -> None:
    offset = pd.tseries.frequencies.to_offset(frequency)
    assert offset is not None
    dates = pd.date_range("2016-01-01", periods=60, freq=offset)
    features = encode(dates, frequency)
    assert features.shape == (60, len(names(frequency)))
    assert np.abs(features).max() <= 0.5


@pytest.mark.parametrize(
    ("frequency", "steps"),
    [
        *(("h", 24), ("15min", 96), ("2h", 12), ("7h", 4), ("1h30min", 16), ("90s", 960)),
        *(
            ("s", 1440),
            ("bh", 24),
            ("24h", 1),
            ("1D12h", 1),
            ("36h", 1),
            ("D", 1),
            ("W-TUE", 1),
            ("MS", 1),
        ),
    ],
)
def test_a_day_has_so_many_steps(frequency: str, steps: int) -> None:
    assert steps_a_day(frequency) == steps


@pytest.mark.parametrize("frequency", ["H", "T", "fortnight", "", "5"])
def test_what_is_no_alias_is_refused_in_a_sentence(frequency: str) -> None:
    with pytest.raises(DataError, match="is no pandas frequency; take one such as"):
        names(frequency)
