"""What a series is like: its seasons, its trend, and how its later parts differ from training.

Pure functions on numbers and dates. Missing values are left out. Work is bounded: seasons are
looked for in the newest `MOST_ROWS` rows, which lie side by side because lags must; distributions
are compared on every k-th row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.dates import grid, offset
from data.dates import season as season_of
from data.parts import NAMES, Parts
from data.registry import DataError
from data.splits import Floats

MOST_ROWS = 500_000  # in which seasons are looked for
MOST_CELLS = 2_000_000  # of a part that are sorted to compare distributions
MOST_SAMPLES = 20_000  # of one column and part among them
MOST_LAGS = 50_000

_DAY, _YEAR = pd.Timedelta(days=1), pd.Timedelta(days=366)
_HIGH = 0.1  # autocorrelation below which a season does not help a forecast
_NEAR = 0.25  # of a lag: a peak is the highest so far on both sides


# -- seasons ------------------------------------------------------------------------------------


def main_seasons(frequency: str, rows: int) -> tuple[int, ...]:
    """Return the seasons that a frequency suggests, in steps, of which the rows hold two.

    A day and a week below a day, a week and a year for days, a year above.
    """
    first = season_of(frequency)
    usual: tuple[int, ...] = (first,)
    unit = frequency.split("-")[0].lstrip("0123456789")
    if unit in ("D", "B", "C"):
        usual = (first, round((365 if unit == "D" else 261) / offset(frequency).n))
    else:
        two = pd.date_range("2024-01-01", periods=2, freq=offset(frequency))
        usual = (first, 7 * first) if two[1] - two[0] < _DAY else (first,)
    return tuple(steps for steps in usual if 1 < steps <= rows // 2)


def newest(values: Floats) -> Floats:
    """Return the part of (T,) in which seasons are looked for."""
    return values[-MOST_ROWS:]


def autocorrelation(values: Floats, lags: int) -> Floats:
    """Return the autocorrelation of (T,) at lags 0 to `lags`.

    r_k = sum (x_t - m)(x_t+k - m) / sum (x_t - m)^2, the usual estimator (Box, Jenkins, Reinsel &
    Ljung, Time Series Analysis, 2.1), by the Fourier transform of the padded series. A missing
    value counts as the mean (Parzen 1963). All 0 where the series does not vary.
    """
    lags = min(lags, len(values) - 1, MOST_LAGS)
    finite = np.isfinite(values)
    if lags < 1 or not finite.any():
        return np.zeros(max(lags, 0) + 1)
    centred = np.where(finite, values - values[finite].mean(), 0.0)
    size = 1 << int(np.ceil(np.log2(len(values) + lags)))
    power = np.abs(np.fft.rfft(centred, size)) ** 2
    found: Floats = np.fft.irfft(power, size)[: lags + 1]
    scale = found[0]
    varies = scale > len(values) * (np.abs(values[finite]).max() * 1e-12) ** 2
    return found / scale if varies else np.zeros(lags + 1)


@dataclass(frozen=True)
class Peak:
    """A lag at which a series is like itself."""

    lag: int
    correlation: float


def detrended(values: Floats, seasons: Sequence[int]) -> Floats:
    """Return (T,) less its moving average over the longest season; as it is where there is none."""
    if not seasons or not np.isfinite(values).any():
        return values
    rest: Floats = values - moving_average(values, max(seasons))
    rounding = 1e-9 * np.nanmax(np.abs(values[np.isfinite(values)]))
    return np.where(np.abs(rest) < rounding, 0.0, rest)


def peaks(correlations: Floats, rows: int, likely: Sequence[int] = ()) -> list[Peak]:
    """Return the seasons that an autocorrelation (K + 1,) shows, the strongest first.

    A peak is the highest value within a quarter of its lag on both sides. It exceeds `_HIGH` and
    the highest that K lags of white noise are expected to have, sqrt(2 ln K / T), and the lowest
    value before it by the 95 % band of one lag, 1.96 / sqrt(T). A multiple of a
    shorter season counts only where it rises above the multiple before it: a week above six days.

    Args:
        correlations: at lags 0 to K, of a series without trend.
        rows: T, from which they were estimated.
        likely: seasons that are named in place of a peak nearby which is no higher than noise is.
    """
    band = max(1.96 / np.sqrt(max(rows, 1)), 0.01)
    chance = np.sqrt(2 * np.log(max(len(correlations), 2)) / max(rows, 1))
    found: list[Peak] = []
    rising = correlations[1:-1] > correlations[:-2]
    falling = correlations[1:-1] >= correlations[2:]
    for top in (np.flatnonzero(rising & falling) + 1).tolist():
        reach = max(1, int(_NEAR * top))
        here = float(correlations[top])
        if here <= max(_HIGH, chance) or here <= correlations[1 : top + 1].min() + band:
            continue
        if (
            top + reach // 2 >= len(correlations)
            or here < correlations[top - reach :][: 2 * reach + 1].max()
        ):
            continue
        lag = next(
            (p for p in likely if abs(p - top) <= reach and here - correlations[p] <= band), top
        )
        before = [correlations[lag - other.lag] for other in found if _multiple(lag, other.lag)]
        if all(here > value + band for value in before) and lag not in [p.lag for p in found]:
            found.append(Peak(lag, float(correlations[lag])))
    return sorted(found, key=lambda peak: -peak.correlation)


def _multiple(lag: int, season: int) -> bool:
    """Tell whether a lag is about a multiple of a season."""
    times = round(lag / season)
    return times > 1 and abs(lag - times * season) <= max(1, season // 10)


@dataclass(frozen=True)
class Strength:
    """How much of a series its season and its trend make up, each from 0 to 1."""

    steps: int
    season: float
    trend: float


def strength(values: Floats, steps: int) -> Strength:
    """Return the strength of season and trend of (T,).

    F_S = max(0, 1 - Var(R) / Var(S + R)) and F_T = max(0, 1 - Var(R) / Var(T + R)) (Wang, Smith &
    Hyndman 2006, as in Hyndman & Athanasopoulos, FPP3, 4.3) of the classical additive
    decomposition x = T + S + R: T is the centred moving average over a season, S the mean of x - T
    at each step of a season.

    Args:
        values: (T,), two seasons at least.
        steps: of the season, above 1.
    """
    trend = moving_average(values, steps)
    rest = values - trend
    phase = np.arange(len(values)) % steps
    known = np.isfinite(rest)
    counts = np.bincount(phase[known], minlength=steps)
    sums = np.bincount(phase[known], rest[known], minlength=steps)
    season = (sums / np.maximum(counts, 1))[phase]
    remainder = (rest - season)[known]
    if not len(remainder) or np.var(values[known]) == 0:
        return Strength(steps, 0.0, 0.0)
    return Strength(
        steps,
        _explained(remainder, season[known] + remainder),
        _explained(remainder, trend[known] + remainder),
    )


def _explained(remainder: Floats, whole: Floats) -> float:
    total = float(np.var(whole))
    return 0.0 if total == 0 else max(0.0, 1.0 - float(np.var(remainder)) / total)


def moving_average(values: Floats, steps: int) -> Floats:
    """Return the centred moving average of (T,) over a season; NaN for half a season at each end.

    An even season takes half of each outer step (a 2 x m average).
    """
    least = max(1, steps // 2)
    averages = pd.Series(values).rolling(steps, min_periods=least).mean()
    if steps % 2 == 0:
        averages = averages.rolling(2).mean()
    shifted = averages.shift(-(steps // 2))
    shifted.iloc[: steps // 2] = np.nan
    found: Floats = shifted.to_numpy(np.float64)
    return found


# -- rhythm of the calendar ---------------------------------------------------------------------


@dataclass(frozen=True)
class Rhythm:
    """The values of a column at each place of a calendar cycle."""

    cycle: str  # hour of day, day of week, month of year
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]  # lower quartile
    middle: tuple[float, ...]  # median
    high: tuple[float, ...]  # upper quartile


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def rhythms(values: Floats, dates: pd.DatetimeIndex) -> list[Rhythm]:
    """Return the rhythms of (T,) that the dates (T,) allow: a cycle that the step divides.

    By hour where steps are shorter than a day, by day of the week up to a day, by month from a year
    on.
    """
    if len(dates) < 2:
        return []
    step = pd.Series(dates).diff().median()
    cycles: list[tuple[str, NDArray[np.int32], Sequence[str], int]] = []
    if step < _DAY:
        hours = [f"{hour:02d}" for hour in range(24)]
        cycles.append(("hour of day", dates.hour.to_numpy(), hours, 0))
    if step <= _DAY and dates[-1] - dates[0] >= 7 * _DAY:
        cycles.append(("day of week", dates.day_of_week.to_numpy(), _DAYS, 0))
    if step < 32 * _DAY and dates[-1] - dates[0] >= _YEAR:
        cycles.append(("month of year", dates.month.to_numpy(), _MONTHS, 1))
    return [_rhythm(values, *cycle) for cycle in cycles]


def _rhythm(
    values: Floats, cycle: str, places: NDArray[np.int32], labels: Sequence[str], first: int
) -> Rhythm:
    groups = pd.Series(values).groupby(places)
    quartiles = groups.quantile(np.array([0.25, 0.5, 0.75])).unstack()
    there = [int(place) for place in quartiles.index]
    low, middle, high = (tuple(quartiles[share].to_list()) for share in (0.25, 0.5, 0.75))
    named = tuple(labels[place - first] for place in there)
    return Rhythm(cycle, named, tuple(groups.mean().to_list()), low, middle, high)


# -- drift --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drift:
    """How the values of a column in one part differ from those it is trained on."""

    column: str
    part: str  # validation or test
    shift: float  # of the mean, in deviations of the training part
    ratio: float  # of the deviations
    distance: float  # Kolmogorov and Smirnov's, from 0 (alike) to 1 (no overlap)


def drift(values: Floats, columns: Sequence[str], parts: Parts) -> list[Drift]:
    """Return the drift of each column from training to validation and test.

    Means and deviations are of all rows. The distance is D = max |F(x) - G(x)| of the empirical
    distributions F and G (Kolmogorov 1933, Smirnov 1948), on every k-th row; scaling does not
    change it. It is no test: steps of a series are not independent. Columns that do not vary over
    training, or have no values in a part, are left out.

    Args:
        values: (T, C) in any unit.
        columns: C names.
        parts: rows of training, validation and test.
    """
    borders = np.cumsum((0, *parts))
    rows = [values[borders[at] : borders[at + 1]] for at in range(3)]
    samples = [part[:: drift_stride(len(part), len(columns))] for part in rows]
    found = []
    for number, column in enumerate(columns):
        training = _finite(rows[0][:, number])
        if not len(training) or (deviation := float(training.std())) <= 1e-12 * abs(
            training.mean()
        ):
            continue
        reference = np.sort(_finite(samples[0][:, number]))
        for at in (1, 2):
            part, sample = _finite(rows[at][:, number]), _finite(samples[at][:, number])
            if len(part) and len(sample) and len(reference):
                found.append(
                    Drift(
                        column=column,
                        part=NAMES[at],
                        shift=float(part.mean() - training.mean()) / deviation,
                        ratio=float(part.std()) / deviation,
                        distance=_distance(reference, np.sort(sample)),
                    )
                )
    return found


def drift_stride(rows: int, columns: int) -> int:
    """Return k, where every k-th row of a part is compared."""
    most = max(100, min(MOST_SAMPLES, MOST_CELLS // max(columns, 1)))
    return max(1, -(-rows // most))


def _finite(column: Floats) -> Floats:
    return column[np.isfinite(column)]


def _distance(one: Floats, other: Floats) -> float:
    """Return Kolmogorov and Smirnov's distance between two sorted samples."""
    both = np.concatenate((one, other))
    first = np.searchsorted(one, both, side="right") / len(one)
    second = np.searchsorted(other, both, side="right") / len(other)
    return float(np.abs(first - second).max())


def worst_drift(found: Sequence[Drift]) -> str:
    """Return a sentence about the column and part that differ most from training, '' for none."""
    if not found:
        return ""
    worst = max(found, key=lambda drift: (drift.distance, abs(drift.shift)))
    ways = []
    if abs(worst.shift) >= 0.1:
        way = "higher" if worst.shift > 0 else "lower"
        ways.append(f"lies {abs(worst.shift):.1f} deviations {way}")
    if not 0.8 <= worst.ratio <= 1.25:
        ways.append(f"varies {worst.ratio:.2g} times as much")
    distance = f"distance {worst.distance:.2f}"
    if not ways:
        return (
            f"All parts are alike in mean and deviation; the largest difference is that of "
            f"{worst.column} in the {worst.part} part ({distance})."
        )
    return (
        f"{worst.column} {' and '.join(ways)} in the {worst.part} part, compared with training "
        f"({distance})."
    )


def on_steps(frame: pd.DataFrame, frequency: str) -> pd.DataFrame:
    """Return a table (T, C) with a row for every step, so that lags are times; NaN where none was.

    Raises:
        DataError: dates repeat, or there are too many steps between the first and the last.
    """
    index = pd.DatetimeIndex(frame.index)
    if not index.is_unique:
        raise DataError("Dates repeat; choose which of their rows counts first.")
    steps = grid(index, frequency)
    return frame if index.equals(steps) else frame.reindex(steps)
