"""Intervals around forecasts, calibrated on errors that were made on the validation part. No torch.

Split conformal prediction, locally weighted (Lei et al. 2018, section 5.2,
doi:10.1080/01621459.2017.1307116). The score of an error is its size divided by the deviation of
the column inside the look-back, which is known when the forecast is made. Each horizon step and
column has a quantile of its own: of n scores the one with rank ceil((n + 1) level). An interval is
the forecast, plus and minus that quantile times the deviation.

It would hold its level if windows could be exchanged. Those of a time series overlap (n windows
tell no more than about n / H) and drift, so the widths follow recent misses by quantile tracking
(Angelopoulos, Candes and Tibshirani 2023, arXiv:2307.16895, after Gibbs and Candes 2021,
arXiv:2106.00170), here on the logarithm of the width: a factor for each column, 1 at first, grows
after steps in which more values were outside than promised, and shrinks after others. Over a long
time it brings coverage to the level whatever the data do.

N windows, L = look-back, H = horizon, C columns that are forecast. All on the scale of the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from data.splits import Floats
from informer.records import Record

LEVELS = (0.5, 0.8, 0.9, 0.95)
METHOD = "split conformal by deviations of the look-back, widths follow recent misses"
RATE = 0.01
"""How far the logarithm of a width moves in a step in which everything was missed; chosen on
validation halves of ETTh1 among 0.005 to 0.1, see docs/predict.md."""
_LEAST = 0.1  # of the mean deviation: a look-back that stands still has some width too

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Coverage(Record):
    """Shares of values that were inside their intervals, over all windows, steps and columns."""

    fixed: Share  # with the widths as calibrated
    followed: Share  # with widths that followed the misses before each forecast
    by_column: tuple[Share, ...]  # followed


class Level(Record):
    """The intervals of one level, and what is known of how they hold."""

    level: Share
    quantiles: tuple[tuple[Positive, ...], ...]  # (H, C), in deviations inside the look-back
    validation: Coverage | None  # of the later half when calibrated on the earlier
    test: Coverage | None  # of the test part when calibrated on validation


class Intervals(Record):
    """What intervals around the forecasts of one model need.

    A level is missing where there are too few windows for it: 1 - level must be at least
    1 / (n + 1).
    """

    method: str = METHOD
    windows: int  # n
    apart: int  # steps from one window to the next
    trained_until: datetime | None  # last step of the training part, whose errors are too small
    least: tuple[Positive, ...]  # (C,): smaller deviations count as this
    levels: tuple[Level, ...]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        shapes = {(len(one.quantiles), *map(len, one.quantiles)) for one in self.levels}
        if len(shapes) > 1 or any({*shape[1:]} != {len(self.least)} for shape in shapes):
            raise ValueError("the levels have not the same steps and columns")
        return self

    def find(self, level: float) -> Level | None:
        """Return a level, None where it was not calibrated."""
        return next((one for one in self.levels if math.isclose(one.level, level)), None)

    def half_widths(self, spreads: Floats, level: Level) -> Floats:
        """Return half the widths of intervals as calibrated, (N, H, C).

        Args:
            spreads: deviations inside the look-backs, (N, C), see `spread`.
            level: one of `levels`.
        """
        return _half_widths(np.array(level.quantiles), spreads, np.array(self.least))


def spread(past: Floats) -> Floats:
    """Return the deviation of each column inside each look-back: (N, L, C) to (N, C)."""
    found: Floats = np.asarray(past, np.float64).std(axis=1)
    return found


def calibrated(
    errors: Floats,
    spreads: Floats,
    *,
    apart: int = 1,
    levels: Sequence[float] = LEVELS,
    test: tuple[Floats, Floats, int] | None = None,
    trained_until: datetime | None = None,
) -> Intervals:
    """Return intervals from errors on the validation part, windows in order of time.

    Args:
        errors: truth less forecast, (N, H, C).
        spreads: deviations inside the look-backs, (N, C), see `spread`.
        apart: steps from one window to the next.
        levels: shares of values that intervals are to hold, between 0 and 1.
        test: the same three of the test part, which is looked at for the coverage alone.
        trained_until: the last step of the training part; without it no later misses are followed.
    """
    validation = _Errors(errors, spreads, apart)
    unseen = None if test is None else _Errors(*test)
    least = _least(spreads)
    found = []
    for level in levels:
        quantiles = _quantiles(validation, least, level)
        if not np.isfinite(quantiles).all():
            continue
        found.append(
            Level(
                level=level,
                quantiles=tuple(tuple(row) for row in quantiles.tolist()),
                validation=_between_halves(validation, level),
                test=None if unseen is None else _coverage(quantiles, least, unseen, level),
            )
        )
    return Intervals(
        windows=len(errors),
        apart=apart,
        trained_until=trained_until,
        least=tuple(least.tolist()),
        levels=tuple(found),
    )


def quantile(scores: Floats, level: float) -> Floats:
    """Return of n scores (n, ...) the one with rank ceil((n + 1) level); infinite if there is none.

    Where n + 1 scores can be exchanged, the last is no larger than this one of the others with a
    probability of at least `level`.
    """
    count = len(scores)
    rank = math.ceil(round((count + 1) * level, 9))  # 100 times 0.95 is not 95 in binary
    if rank > count:
        return np.full(scores.shape[1:], np.inf)
    found: Floats = np.partition(scores, rank - 1, axis=0)[rank - 1]
    return found


def follow(sizes: Floats, half_widths: Floats, level: float, apart: int = 1) -> Floats:
    """Return the factor on the widths of each column before each window, and after the last.

    At each time step one value of each column comes, and of the forecasts that were made of it the
    share is taken that it was too far from. The logarithm of the factor moves by
    `RATE` (share - (1 - level)). A window that has steps after the last one counts as far as they
    have come; what lies beyond is not looked at.

    Args:
        sizes: of errors, (N, H, C).
        half_widths: as calibrated, (N, H, C).
        level: share of values that intervals are to hold.
        apart: steps from one window to the next.

    Returns:
        (N + 1, C).
    """
    windows, horizon, columns = sizes.shape
    logarithm = np.zeros(columns)
    factors = np.ones((windows + 1, columns))
    for time in range(windows * apart):
        if time % apart == 0:
            factors[time // apart] = np.exp(logarithm)
        seen = np.arange(max(0, -((horizon - 1 - time) // apart)), time // apart + 1)
        step = time - seen * apart  # of the horizon, in which each window has this time
        missed = sizes[seen, step] > np.exp(logarithm) * half_widths[seen, step]
        if len(seen):
            logarithm += RATE * (missed.mean(axis=0) - (1 - level))
    factors[windows] = np.exp(logarithm)
    return factors


@dataclass(frozen=True)
class _Errors:
    """Errors of windows in order of time."""

    values: Floats  # (N, H, C)
    spreads: Floats  # (N, C)
    apart: int

    def part(self, windows: slice) -> _Errors:
        return _Errors(self.values[windows], self.spreads[windows], self.apart)


def _quantiles(errors: _Errors, least: Floats, level: float) -> Floats:
    """Return the quantiles (H, C) of sizes of errors in deviations inside the look-back."""
    scores: Floats = np.abs(errors.values) / np.maximum(errors.spreads, least)[:, None]
    return quantile(scores, level)


def _half_widths(quantiles: Floats, spreads: Floats, least: Floats) -> Floats:
    widths: Floats = quantiles * np.maximum(spreads, least)[:, None]
    return widths


def _coverage(quantiles: Floats, least: Floats, errors: _Errors, level: float) -> Coverage:
    sizes, widths = np.abs(errors.values), _half_widths(quantiles, errors.spreads, least)
    factors = follow(sizes, widths, level, errors.apart)[:-1, None]
    followed = sizes <= factors * widths
    return Coverage(
        fixed=float((sizes <= widths).mean()),
        followed=float(followed.mean()),
        by_column=tuple(followed.mean(axis=(0, 1)).tolist()),
    )


def _between_halves(errors: _Errors, level: float) -> Coverage | None:
    """Return how the later windows are covered by the quantiles of the earlier.

    Between them are as many windows as share a step with both. None if there are too few.
    """
    count, between = len(errors.values), math.ceil((errors.values.shape[1] - 1) / errors.apart)
    middle = max(0, count - between) // 2
    earlier, later = errors.part(slice(middle)), errors.part(slice(middle + between, None))
    if not middle:
        return None
    least = _least(earlier.spreads)
    quantiles = _quantiles(earlier, least, level)
    return _coverage(quantiles, least, later, level) if np.isfinite(quantiles).all() else None


def _least(spreads: Floats) -> Floats:
    """Return the smallest deviation of each column that counts, (C,)."""
    least = _LEAST * spreads.mean(axis=0)
    return np.where(least > 0, least, 1.0)  # a column that always stands still: errors as they are
