"""Seasons, rhythms and drift of series whose make is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.profile import (
    MOST_CELLS,
    autocorrelation,
    detrended,
    drift,
    drift_stride,
    main_seasons,
    moving_average,
    peaks,
    rhythms,
    strength,
    worst_drift,
)
from data.splits import Floats

STEPS = np.arange(8_000)
RANDOM = np.random.default_rng(1)
NOISE: Floats = RANDOM.normal(size=len(STEPS))
DAY: Floats = np.sin(2 * np.pi * STEPS / 24)
WEEK: Floats = np.where(STEPS // 24 % 7 < 5, 1.0, 0.0)


def found(values: Floats, likely: tuple[int, ...] = (24, 168)) -> list[int]:
    correlations = autocorrelation(detrended(values, likely), 2 * max(likely))
    return [peak.lag for peak in peaks(correlations, len(values), likely)]


def test_the_autocorrelation_is_that_of_its_formula() -> None:
    values = RANDOM.normal(size=300).cumsum()
    centred = values - values.mean()
    by_hand = [(centred[: 300 - k] * centred[k:]).sum() / (centred**2).sum() for k in range(41)]
    assert autocorrelation(values, 40) == pytest.approx(by_hand)


def test_a_series_that_stands_still_or_is_missing_correlates_with_nothing() -> None:
    for values in (np.full(50, 3.3), np.full(50, np.nan), np.array([1.0]), np.array([])):
        assert not autocorrelation(values, 10).any()


@pytest.mark.parametrize(
    ("values", "lags"),
    [
        (DAY + 0.5 * NOISE, [24]),
        (DAY + 0.8 * WEEK + 0.3 * NOISE, [168, 24]),
        (DAY + 0.5 * NOISE + STEPS / 50, [24]),
        (NOISE, []),
        (STEPS / 50.0, []),
    ],
)
def test_seasons_are_found_and_multiples_trends_and_noise_are_none(
    values: Floats, lags: list[int]
) -> None:
    assert found(values) == lags


def test_missing_values_do_not_hide_a_season() -> None:
    values = DAY + 0.2 * NOISE
    values[RANDOM.random(len(values)) < 0.2] = np.nan
    assert found(values) == [24]


def test_strength_is_near_one_for_what_is_there_and_near_none_for_what_is_not() -> None:
    seasonal = strength(DAY + 0.05 * NOISE, 24)
    assert seasonal.season > 0.98 and seasonal.trend < 0.2
    rising = strength(STEPS / 100 + NOISE, 24)
    assert rising.trend > 0.98 and rising.season < 0.05
    assert strength(np.full(100, 2.0), 24).season == 0.0


@pytest.mark.parametrize("steps", [7, 24])
def test_the_moving_average_is_centred_and_has_no_ends(steps: int) -> None:
    averages = moving_average(STEPS[:200].astype(float), steps)
    inner = np.isfinite(averages)
    assert averages[inner] == pytest.approx(STEPS[:200][inner])
    assert not inner[: steps // 2].any() and not inner[-(steps // 2) :].any()
    assert inner[steps // 2 : -(steps // 2)].all()


@pytest.mark.parametrize(
    ("frequency", "rows", "seasons"),
    [
        ("h", 17_420, (24, 168)),
        ("15min", 17_420, (96, 672)),
        ("D", 1_000, (7, 365)),
        ("D", 500, (7,)),
        ("W", 500, (52,)),
        ("MS", 120, (12,)),
        ("YS", 100, ()),
        ("h", 30, ()),
    ],
)
def test_seasons_that_a_frequency_suggests(
    frequency: str, rows: int, seasons: tuple[int, ...]
) -> None:
    assert main_seasons(frequency, rows) == seasons


def test_rhythms_are_those_that_the_step_allows_with_quartiles() -> None:
    hours = pd.date_range("2024-01-01", periods=40 * 168, freq="h")
    by_hour, by_day = rhythms(hours.hour.to_numpy().astype(float), hours)
    assert by_hour.cycle == "hour of day" and by_hour.mean == tuple(range(24)) == by_hour.low
    assert by_day.labels[0] == "Mon" and by_day.middle == (11.5,) * 7
    days = pd.date_range("2024-01-01", periods=800)
    assert [rhythm.cycle for rhythm in rhythms(NOISE[:800], days)] == [
        "day of week",
        "month of year",
    ]
    months = pd.date_range("2000-01-01", periods=60, freq="MS")
    [by_month] = rhythms(months.month.to_numpy().astype(float), months)
    assert by_month.labels[1] == "Feb" and by_month.high[1] == 2


def test_drift_is_told_in_deviations_of_training() -> None:
    values = np.stack((NOISE, NOISE.copy()), axis=1)
    values[7_000:, 1] = 3 * values[7_000:, 1] - 2
    rows = {(row.column, row.part): row for row in drift(values, ["a", "b"], (6_000, 1_000, 1_000))}
    assert len(rows) == 4
    changed, same = rows["b", "test"], rows["b", "validation"]
    assert changed.shift == pytest.approx(-2, abs=0.3)
    assert changed.ratio == pytest.approx(3, abs=0.3)
    assert changed.distance > 0.5 > 0.1 > same.distance
    said = worst_drift(list(rows.values()))
    assert said.startswith("b lies 2.") and "lower and varies" in said and "test part" in said
    calm = worst_drift([row for row in rows.values() if row is not changed])
    assert calm.startswith("All parts are alike")


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.concatenate((NOISE[:700], NOISE[700:1000] * 1.4 + 0.2)).round(1)[:, None]
    validation, test = drift(values, ["a"], (500, 200, 300))
    assert validation.distance == pytest.approx(
        stats.ks_2samp(values[:500, 0], values[500:700, 0])[0]
    )
    assert test.distance == pytest.approx(stats.ks_2samp(values[:500, 0], values[700:, 0])[0])


def test_columns_without_a_scale_have_no_drift_and_nothing_is_said() -> None:
    values = np.stack((np.full(100, 5.0), np.full(100, np.nan)), axis=1)
    assert drift(values, ["flat", "none"], (70, 10, 20)) == [] and worst_drift([]) == ""


def test_work_is_bounded_however_many_rows_and_columns() -> None:
    for rows, columns in ((700_000, 20), (12_000, 862), (100, 1)):
        compared = len(range(0, rows, drift_stride(rows, columns)))
        assert compared * columns <= MOST_CELLS or compared <= 100
    assert drift_stride(100, 1) == 1
