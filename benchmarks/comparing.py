"""Statistics by which searches are compared: how soon each was good, seed by seed."""

from __future__ import annotations

import itertools
import math
import statistics
import warnings
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from benchmarks.replaying import Tried
from tests.recorded.rows import Key

What = Literal["trials", "seconds"]


@dataclass(frozen=True)
class Need:
    """What a search needed to reach what was waited for.

    One that never reached it is told as a trial more than its budget, and as all the seconds that
    it trained: it needed more than that, however cheap its trials were.
    """

    trials: int
    seconds: float  # of training
    reached: bool


def needs_p(ours: Sequence[Need], theirs: Sequence[Need], what: What) -> float:
    """Return the two-sided p of Wilcoxon's test that one kind of search needs less than another.

    What never reached it needed more than all that did; of two such nothing is known.

    Args:
        ours: what searches needed, by seed.
        theirs: what those of the other kind needed, of the same seeds.
        what: is compared.
    """
    pairs = [
        [getattr(need, what) if need.reached else math.inf for need in needs]
        for needs in (ours, theirs)
    ]
    return wilcoxon_p(*pairs)


def needed(tried: Sequence[Tried], wanted: Set[Key], budget: int) -> Need:
    """Return what a search needed until one of `wanted` was trained to its end.

    Args:
        tried: its trials.
        wanted: configurations.
        budget: trials that count; later ones are not looked at.
    """
    seconds = 0.0
    for number, trial in enumerate(tried[:budget], 1):
        seconds += trial.seconds
        if trial.state == "completed" and trial.key in wanted:
            return Need(number, seconds, True)
    return Need(budget + 1, seconds, False)


def best_so_far(tried: Sequence[Tried], means: Mapping[Key, float], budget: int) -> list[float]:
    """Return after each trial how far the best that was trained lies above that of the table.

    It is relative, by the means of val_mse over the recorded seeds: 0 is as good as can be. A
    search that ended before its budget keeps what it had.
    """
    least = min(means.values())
    errors = [
        means[trial.key] if trial.state == "completed" else math.inf for trial in tried[:budget]
    ]
    curve = [error / least - 1 for error in itertools.accumulate(errors, min)]
    return curve + curve[-1:] * (budget - len(curve))


def handed_over(tried: Sequence[Tried], means: Mapping[Key, float]) -> float:
    """Return how far what a search hands over in the end lies above the best of the table.

    It is what it has seen the lowest val_mse of, with its one seed: that may be luck, and it is
    judged by its mean over the recorded seeds.
    """
    seen = {trial.key: trial.val_mse for trial in tried if trial.val_mse is not None}
    return means[min(seen, key=lambda key: seen[key])] / min(means.values()) - 1


def mean_curve(curves: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean over searches after each trial."""
    return [statistics.fmean(values) for values in zip(*curves, strict=True)]


def trials_to_equal(curve: Sequence[float], level: float) -> int:
    """Return after how many trials a curve is as low as `level`; all of them where it never is."""
    return next((number for number, value in enumerate(curve, 1) if value <= level), len(curve))


def wilcoxon_p(found: Sequence[float], against: Sequence[float]) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test for pairs; 1 where all are equal."""
    from scipy.stats import wilcoxon

    # Infinity less infinity is no number, but they are equal.
    differences = [0.0 if a == b else a - b for a, b in zip(found, against, strict=True)]
    if not any(differences):
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ties: the normal approximation is taken
        return float(wilcoxon(differences).pvalue)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values corrected for being several, by Holm (1979), in the order given."""
    corrected, least = [0.0] * len(ps), 0.0
    for rank, at in enumerate(sorted(range(len(ps)), key=lambda at: ps[at])):
        least = max(least, min(1.0, (len(ps) - rank) * ps[at]))
        corrected[at] = least
    return corrected
