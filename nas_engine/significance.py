"""Tests of whether chance alone could have done something. All are two-sided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]


def sign_test(better: int, decided: int) -> float:
    """Return the p of one of two outcomes having come so often if both were as likely.

    Exact, as twice the smaller tail (Dixon and Mood 1946, doi:10.1080/01621459.1946.10501898).

    Args:
        better: how often the one came.
        decided: how often either came; ties are no part of it.
    """
    k = np.arange(max(better, decided - better), decided + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, decided + 1)))])
    tail = np.exp(logs[decided] - logs[k] - logs[decided - k] - decided * math.log(2)).sum()
    return min(1.0, 2 * float(tail))


def aligned_rank_test(values: Numbers, kind: Mask, groups: Places) -> tuple[float, float] | None:
    """Test whether the values of one kind lie higher than the others of their groups.

    The ranks of the differences from the group's median are summed over the kind and compared with
    what they come to when the kind is drawn at random within each group (Hodges and Lehmann 1962,
    doi:10.1214/aoms/1177704575), by the normal approximation. What groups differ in plays no part.

    Args:
        values: (n) what is compared.
        kind: (n) which of them are of the kind.
        groups: (n) the group of each, a number from 0.

    Returns:
        How many standard deviations the sum lies above its mean, and p; None where no group has
        both, or nothing differs.
    """
    ranks = _ranks(values - _medians(values, groups)[groups])
    size, many = np.bincount(groups), np.bincount(groups, kind)
    share = many / np.maximum(size, 1)
    mean = np.bincount(groups, ranks) / np.maximum(size, 1)
    spread = np.bincount(groups, (ranks - mean[groups]) ** 2) / np.maximum(size - 1, 1)
    variance = float((many * (1 - share) * spread).sum())
    if variance <= 0:
        return None
    beyond = float(ranks[kind].sum() - (many * mean).sum()) / math.sqrt(variance)
    return beyond, math.erfc(abs(beyond) / math.sqrt(2))


def false_discovery_rates(chances: Sequence[float]) -> list[float]:
    """Return for each p the rate of false discoveries among all that are as small, in their order.

    (Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.)
    """
    p = np.asarray(chances, float)
    order = np.argsort(p)
    ranked = p[order] * len(p) / np.arange(1, len(p) + 1)
    rates = np.empty(len(p))
    rates[order] = np.minimum.accumulate(ranked[::-1])[::-1]
    return [float(rate) for rate in rates]


@dataclass(frozen=True)
class MeanInterval:
    """A mean with bounds in which its expectation lies with the stated confidence."""

    mean: float
    low: float
    high: float
    blocks: int
    length: int  # values in a block


def mean_over_blocks(values: Numbers, length: int, confidence: float = 0.95) -> MeanInterval | None:
    """Return the mean of values that depend on their neighbours, with an interval for it.

    The values are cut into blocks of successive ones, so long that the means of two blocks hardly
    depend on each other, and the interval is Student's over the block means (Ibragimov and Müller
    2010, doi:10.1198/jbes.2009.08046, who show that it holds for as few as two blocks). With few
    blocks it is wide, where estimates of the variance at all lags would be too sure.

    Args:
        values: (n) in order of time, such as differences of the errors of two forecasters.
        length: of a block, at least; what is left over lengthens the blocks.
        confidence: of the interval.

    Returns:
        None where there are not two blocks.
    """
    from scipy.special import stdtrit

    blocks = len(values) // length
    if blocks < 2:
        return None
    means = np.array([block.mean() for block in np.array_split(values, blocks)])
    beyond = float(stdtrit(blocks - 1, 0.5 + confidence / 2))
    mean, half = float(values.mean()), beyond * float(means.std(ddof=1)) / math.sqrt(blocks)
    return MeanInterval(mean, mean - half, mean + half, blocks, len(values) // blocks)


def _medians(values: Numbers, groups: Places) -> Numbers:
    """Return the median of each group, 0 for one without values."""
    size = np.bincount(groups)
    ends = np.cumsum(size)
    ordered = np.append(values[np.lexsort((values, groups))], 0.0)
    low, high = ends - size + (size - 1) // 2, ends - size + size // 2
    return np.where(size > 0, (ordered[low] + ordered[high]) / 2, 0.0)


def _ranks(values: Numbers) -> Numbers:
    """Return the ranks from 1, their mean among equal values."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Numbers = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks
