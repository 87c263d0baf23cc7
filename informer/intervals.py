"""Intervals around forecasts, calibrated on errors that were made on the validation part. No torch.

Split conformal prediction (Vovk, Gammerman and Shafer 2005; Lei et al. 2018,
doi:10.1080/01621459.2017.1307116), locally weighted as in section 5.2 of Lei et al. and in
Papadopoulos et al. 2008 (normalised nonconformity). The score of an error is its size divided by
the deviation of the column inside the look-back, which is known when the forecast is made. Each
horizon step and column has a quantile of its own: of n scores the one with rank
ceil((n + 1) level). An interval is the forecast, plus and minus that quantile times the deviation.

The guarantee (coverage of at least the level) is for windows that can be exchanged. Those of a time
series overlap and drift: n is worth about n / H independent windows, and coverage on later data
must be measured, which is why it is part of the record.

N windows, L = look-back, H = horizon, C columns that are forecast. All on the scale of the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import model_validator

from data.splits import Floats
from informer.rundir import Finite, Record

LEVELS = (0.5, 0.8, 0.9, 0.95)
METHOD = "split conformal, errors divided by the deviation inside the look-back"
_LEAST = 0.1  # of the mean deviation: a look-back that stands still has some width too


class Level(Record):
    """The intervals of one level, and how many of the values they held."""

    level: Finite
    quantiles: tuple[tuple[Finite, ...], ...]  # (H, C), in deviations inside the look-back
    validation: Finite | None  # coverage of the later half when calibrated on the earlier
    test: Finite | None  # coverage of the test part when calibrated on validation
    test_by_column: tuple[Finite, ...] = ()


class Intervals(Record):
    """What intervals of a forecaster need, and what they are known to hold.

    A level is missing where there are too few windows for it: 1 - level must be at least
    1 / (n + 1).
    """

    method: str = METHOD
    windows: int  # n
    apart: int  # steps from one window to the next
    least: tuple[Finite, ...]  # (C,): smaller deviations count as this
    levels: tuple[Level, ...]

    @model_validator(mode="after")
    def _agree(self) -> Intervals:
        shapes = {(len(one.quantiles), *map(len, one.quantiles)) for one in self.levels}
        if len(shapes) > 1 or any({*shape[1:]} != {len(self.least)} for shape in shapes):
            raise ValueError("the levels have not the same steps and columns")
        if (
            min([*self.least, *(q for one in self.levels for row in one.quantiles for q in row)])
            < 0
        ):
            raise ValueError("a quantile or a deviation is negative")
        return self

    def find(self, level: float) -> Level | None:
        """Return a level, None where it was not calibrated."""
        return next((one for one in self.levels if math.isclose(one.level, level)), None)

    def bounds(self, forecast: Floats, spreads: Floats, level: Level) -> tuple[Floats, Floats]:
        """Return the lower and the upper bounds of forecasts, (N, H, C) each.

        Args:
            forecast: (N, H, C).
            spreads: of the look-backs, (N, C), see `spread`.
            level: one of `levels`.
        """
        width = np.array(level.quantiles) * np.maximum(spreads, self.least)[:, None]
        return forecast - width, forecast + width


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
    test: tuple[Floats, Floats] | None = None,
) -> Intervals:
    """Return intervals from errors on the validation part, windows in order of time.

    Args:
        errors: truth less forecast, (N, H, C).
        spreads: deviations inside the look-backs, (N, C), see `spread`.
        apart: steps from one window to the next.
        levels: shares of values that intervals are to hold, between 0 and 1.
        test: errors and spreads of the test part, which are looked at for their coverage alone.
    """
    least = _least(spreads)
    scores = _scores(errors, spreads, least)
    earlier, later = _halves(errors, spreads, apart)
    checked = None
    if len(earlier[0]) and len(later[0]):
        known = _least(earlier[1])
        checked = _scores(*earlier, known), _scores(*later, known)
    unseen = None if test is None else _scores(*test, least)
    found = []
    for level in levels:
        quantiles = quantile(scores, level)
        if not np.isfinite(quantiles).all():
            continue
        held = None if unseen is None else coverage(unseen, quantiles)
        found.append(
            Level(
                level=level,
                quantiles=tuple(tuple(row) for row in quantiles.tolist()),
                validation=_checked(checked, level),
                test=None if held is None else float(held.mean()),
                test_by_column=() if held is None else tuple(held.mean(axis=0).tolist()),
            )
        )
    return Intervals(
        windows=len(errors), apart=apart, least=tuple(least.tolist()), levels=tuple(found)
    )


def quantile(scores: Floats, level: float) -> Floats:
    """Return of n scores (n, ...) the one with rank ceil((n + 1) level); infinite if there is none.

    Where n + 1 scores can be exchanged, the last is no larger than this one of the others with a
    probability of at least `level`.
    """
    count = len(scores)
    rank = math.ceil(round((count + 1) * level, 9))  # 0.9 times 10 is not 9 in binary
    if rank > count:
        return np.full(scores.shape[1:], np.inf)
    found: Floats = np.partition(scores, rank - 1, axis=0)[rank - 1]
    return found


def coverage(scores: Floats, quantiles: Floats) -> Floats:
    """Return which share of scores (N, H, C) are within quantiles (H, C), for each of them."""
    held: Floats = (scores <= quantiles).mean(axis=0)
    return held


def _checked(halves: tuple[Floats, Floats] | None, level: float) -> float | None:
    if halves is None:
        return None
    quantiles = quantile(halves[0], level)
    return float(coverage(halves[1], quantiles).mean()) if np.isfinite(quantiles).all() else None


def _scores(errors: Floats, spreads: Floats, least: Floats) -> Floats:
    """Return the sizes of errors (N, H, C) in deviations inside the look-back."""
    scores: Floats = np.abs(errors) / np.maximum(spreads, least)[:, None]
    return scores


def _least(spreads: Floats) -> Floats:
    """Return the smallest deviation of each column that counts, (C,)."""
    least = _LEAST * spreads.mean(axis=0)
    return np.where(least > 0, least, 1.0)  # a column that always stands still: errors as they are


def _halves(
    errors: Floats, spreads: Floats, apart: int
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Return the earlier and the later windows, of which none forecasts a step of the others."""
    count, between = len(errors), math.ceil((errors.shape[1] - 1) / apart)
    middle = max(0, count - between) // 2
    later = middle + between
    return (errors[:middle], spreads[:middle]), (errors[later:], spreads[later:])
