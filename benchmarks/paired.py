"""Whether one forecaster beats another on the same windows, when neighbouring windows overlap.

Forecasts of H steps that begin at neighbouring rows share H - 1 of the values they are judged by,
so their errors go together, and a test that takes each window for an observation of its own finds
differences where there are none (at H = 24 in two of three cases, where it should in one of
twenty). The first test here takes blocks of H windows and leaves H - 1 windows out between two
blocks: then no two blocks are judged by the same value, and Wilcoxon's signed-rank test over their
means is what it says. Blocks without the gaps still share values and find twice as many differences
as they should. The second is that of Diebold and Mariano, which uses all windows and corrects the
variance for the H - 1 lags at which they overlap. Where windows are few for that many lags it finds
too many differences (13 % at H = 336 and 2,545 windows, 20 % at 720 and 2,161, where it should find
5 %): there neither is told.

Both take differences further apart than H for independent. Where they are not, because one
forecaster is better in some seasons, both claim too much; the autocorrelation of the blocks, which
is told beside them, then lies far above 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from data.splits import Floats

LEAST_BLOCKS = 6
"""With fewer there is no test. Wilcoxon's cannot find anything at 5 %, for its p is 2 / 2^blocks at
the least, and that of Diebold and Mariano finds too much."""


@dataclass(frozen=True)
class Comparison:
    """What two forecasters differ by, the first less the second: below 0 the first is better."""

    windows: int
    difference: float  # of the mean errors over all windows
    blocks: int
    won: int  # blocks in which the first has the lower error
    autocorrelation: float | None  # of each block with the next; None for too few blocks
    p: float | None  # two-sided, of the blocks by Wilcoxon; None for too few blocks
    statistic: float | None  # of Diebold and Mariano; None for too few blocks, or no variance
    p_dm: float | None  # two-sided


def compared(first: Floats, second: Floats, horizon: int) -> Comparison:
    """Compare the errors of two forecasters on the same windows.

    Args:
        first: the error of each window (N,), in order of time, every window of the part.
        second: those of the other forecaster on the same windows.
        horizon: H, time steps of a window's forecast.
    """
    difference = first - second
    blocks = block_means(difference, horizon)
    enough = len(blocks) >= LEAST_BLOCKS
    statistic = diebold_mariano(difference, horizon) if enough else None
    return Comparison(
        windows=len(difference),
        difference=float(difference.mean()),
        blocks=len(blocks),
        won=int((blocks < 0).sum()),
        autocorrelation=_autocorrelation(blocks) if enough else None,
        p=_signed_rank(blocks) if enough else None,
        statistic=statistic,
        p_dm=None if statistic is None else _two_sided(statistic, len(difference)),
    )


def block_means(difference: Floats, horizon: int) -> Floats:
    """Return the means of blocks of H consecutive windows, with H - 1 windows between two blocks.

    The last windows that fill no block are left out.
    """
    begins = range(0, len(difference) - horizon + 1, 2 * horizon - 1)
    return np.array([difference[begin : begin + horizon].mean() for begin in begins])


def diebold_mariano(difference: Floats, horizon: int) -> float | None:
    """Return the statistic of Diebold and Mariano; None where its variance is not positive.

    There must be more differences than a forecast has steps.

    The variance of the mean is the sum of the autocovariances up to lag H - 1, all with weight 1
    (Diebold and Mariano, "Comparing predictive accuracy", 1995), the correction for short series
    and Student's distribution those of Harvey, Leybourne and Newbold, "Testing the equality of
    prediction mean squared errors", 1997.
    """
    count, centred = len(difference), difference - difference.mean()
    lagged = sum(centred[lag:] @ centred[:-lag] for lag in range(1, horizon))
    variance = centred @ centred + 2 * lagged
    if variance <= 0:
        return None
    shortness = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    # The variance above is that of the mean times N^2.
    return float(difference.sum() / math.sqrt(variance) * math.sqrt(shortness))


def _signed_rank(blocks: Floats) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; 1 where nothing differs."""
    return float(stats.wilcoxon(blocks).pvalue) if blocks.any() else 1.0


def _two_sided(statistic: float, count: int) -> float:
    return float(2 * stats.t.sf(abs(statistic), count - 1))


def _autocorrelation(blocks: Floats) -> float:
    """Return the first autocorrelation; 0 where nothing varies."""
    centred = blocks - blocks.mean()
    squared = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / squared if squared > 0 else 0.0
