"""What a short training with inherited weights says of one from scratch.

A trial may first be trained for `ONE_IN` of its epochs with those weights of its parent that fit.
Errors that inherited weights reach are no errors from scratch: they are lower early, by an amount
that is another for each search. So they are compared first: from the trials of this search that
were trained both ways an error from scratch is predicted with an interval, as

    log(scratch) = log(inherited) + d,   d within mean(d) ± t s sqrt(1 + 1/n),

the prediction interval of a normal variable of which n values are known (Hahn & Meeker,
"Statistical Intervals", 2.3). Only where all of it is a clear regression is a trial given up.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from informer.config import RunConfig
from nas_engine.evaluator import student_t
from nas_engine.search import Rules

ONE_IN = 3
"""Part of the epochs that a training with inherited weights has."""
LEAST_PAIRS = 4
"""Trials trained both ways before the first may be given up."""
DEVIATIONS = 2.0
"""Of a normal variable, which cover as much as the interval does: 95 %."""
ALL_THE_SAME = 5
"""Of those that would be given up, the ones with a number that this divides are trained anyway."""


@dataclass(frozen=True)
class Pair:
    """The val_mse of one trial, trained with one seed both ways; both above 0."""

    inherited: float
    scratch: float


@dataclass(frozen=True)
class Expected:
    """Between which val_mse a training from scratch is expected, from so many pairs."""

    low: float
    high: float
    pairs: int


def shortened(config: RunConfig) -> RunConfig | None:
    """Return what is trained with inherited weights; None where nothing would be saved.

    Its schedule of learning rates is its own, over the fewer epochs, the warm-up shorter alike.
    """
    whole = config.training.epochs
    epochs = max(1, whole // ONE_IN)
    if epochs == whole:
        return None
    warmup = config.training.warmup_steps * epochs // whole
    return config.with_changes({"training.epochs": epochs, "training.warmup_steps": warmup})


def expected(inherited: float, pairs: Sequence[Pair]) -> Expected | None:
    """Return what a training from scratch is expected to come to; None from too few pairs.

    Args:
        inherited: the val_mse with inherited weights, above 0.
        pairs: what is known of other trials.
    """
    count = len(pairs)
    if count < LEAST_PAIRS:
        return None
    found = [math.log(pair.scratch / pair.inherited) for pair in pairs]
    middle = math.log(inherited) + statistics.fmean(found)
    half = student_t(DEVIATIONS, count - 1) * statistics.stdev(found) * math.sqrt(1 + 1 / count)
    return Expected(math.exp(middle - half), math.exp(middle + half), count)


def hopeless(expected: Expected, incumbent: float, rules: Rules) -> bool:
    """Tell whether all that is expected is a clear regression from the incumbent's val_mse."""
    return incumbent > 0 and (incumbent - expected.low) / incumbent < rules.reject_below


def given_up(number: int) -> bool:
    """Tell whether a trial without hope is given up, or trained all the same to keep pairs honest.

    Were none of them trained, only promising trials would add pairs, and nobody would ever learn
    that the interval is wrong.
    """
    return number % ALL_THE_SAME != 0
