"""How far trainings of one configuration with different seeds lie apart, and what that hides."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

MANY = 200
"""Degrees of freedom from which on Student's t need not be searched for."""


@dataclass(frozen=True)
class Noise:
    """How far trainings of one configuration with different seeds lie apart.

    `relative` is the standard deviation of a figure, such as val_mse, relative to its mean; it was
    learned with `degrees` of freedom.
    """

    relative: float
    degrees: int


def pooled_noise(trials: Iterable[tuple[int, float, float]]) -> Noise | None:
    """Return the noise of a search; None where no trial has two finished trainings.

    It is the pooled relative standard deviation sqrt(sum (n-1) (s/mean)^2 / sum (n-1)), as in the
    IUPAC Gold Book (doi:10.1351/goldbook.P04758) for deviations relative to the mean.

    Args:
        trials: finished trainings n, mean and standard deviation s of a figure of them, by trial.
    """
    degrees, squares = 0, 0.0
    for seeds, mean, spread in trials:
        if seeds > 1 and mean > 0:
            degrees += seeds - 1
            squares += (seeds - 1) * (spread / mean) ** 2
    return Noise(math.sqrt(squares / degrees), degrees) if degrees else None


def relative(value: float, other: float) -> float:
    """Return how much lower than another one a value is, relative to that; negative is higher."""
    return (other - value) / other if other > 0 else float(other > value) - float(other < value)


def margin(noise: Noise | None, seeds: int, others: int, multiple: float) -> float | None:
    """Return up to which size a relative difference is inside the spread; None: not known.

    It is t s sqrt(1/n + 1/m): the standard error of a difference of two means over n and m
    seeds with the pooled deviation s, times the t that covers what `multiple` deviations do.
    """
    if noise is None or not seeds or not others:
        return None
    return student_t(multiple, noise.degrees) * noise.relative * math.sqrt(1 / seeds + 1 / others)


@functools.lru_cache(maxsize=4096)
def student_t(multiple: float, degrees: int) -> float:
    """Return the t that covers as much of Student's distribution as `multiple` of a normal one.

    A deviation that was learned from few trainings is itself uncertain; t is larger by as much:
    4.53 for 2 deviations and 2 degrees of freedom. From `MANY` degrees on it is Abramowitz and
    Stegun's expansion 26.7.5, right to 1e-8 up to the 4 deviations that rules may ask for.
    """
    if degrees >= MANY:
        x, n = multiple, degrees
        return x + (
            (x**3 + x) / (4 * n)
            + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * n**2)
            + (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / (384 * n**3)
            + (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / (92160 * n**4)
        )
    wanted = math.erf(multiple / math.sqrt(2))
    low, high = 0.0, 1.0
    while _student_coverage(high, degrees) < wanted:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_coverage(middle, degrees) < wanted else (low, middle)
    return high


def _student_coverage(t: float, degrees: int) -> float:
    """Return the probability of (-t, t): Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, odd = math.cos(angle), degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for step in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine**2 * (step - 1) / step
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
