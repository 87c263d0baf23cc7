"""Accept or reject a trial: rules and measured noise first, an opinion where they leave it open."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nas_engine.search import Rules

OPEN = frozenset({"small improvement", "not distinguishable", "no improvement"})
"""Rules whose verdict an opinion may change."""
MANY = 200
"""Degrees of freedom from which on Student's t need not be searched for."""

QUOTED = 300
"""Letters of an opinion that a verdict quotes; the transcript has all of it."""


@dataclass(frozen=True)
class Noise:
    """How far trainings of one configuration with different seeds lie apart.

    `relative` is the standard deviation of val_mse relative to its mean; it was learned with
    `degrees` of freedom.
    """

    relative: float
    degrees: int


@dataclass(frozen=True)
class Figures:
    """What a trial is judged by. Values are means of val_mse over finished trainings."""

    value: float | None = None
    seeds: int = 0  # finished trainings, each with a seed of its own
    tried: int = 0  # all trainings, those without a result among them
    failure: str = ""  # why there is no value
    incumbent: int | None = None  # number of the best accepted trial so far
    incumbent_value: float | None = None
    incumbent_seeds: int = 0
    noise: Noise | None = None  # of the search; None while no trial has two finished trainings
    pruned: bool = False  # ended early behind others at the same epoch; `failure` says so

    @property
    def improvement(self) -> float | None:
        """How much lower than the incumbent's the value is, relative to it; negative is worse."""
        value, best = self.value, self.incumbent_value
        if value is None or best is None:
            return None
        return (best - value) / best if best > 0 else float(best > value) - float(best < value)

    @property
    def rival(self) -> tuple[int | None, float | None, int]:
        """The incumbent that the trial is compared with: its number, its value and its seeds."""
        return self.incumbent, self.incumbent_value, self.incumbent_seeds

    def margin(self, multiple: float) -> float | None:
        """Return up to which size an improvement is inside the spread; None: that is not known.

        It is t s sqrt(1/n + 1/m): the standard error of a difference of two means over n and m
        seeds with the pooled deviation s, times the t that covers what `multiple` deviations do.
        """
        if self.noise is None or not self.seeds or not self.incumbent_seeds:
            return None
        of_means = math.sqrt(1 / self.seeds + 1 / self.incumbent_seeds)
        return student_t(multiple, self.noise.degrees) * self.noise.relative * of_means


@dataclass(frozen=True)
class Verdict:
    """What was decided on a trial, by which rule and for which reason."""

    accepted: bool
    rule: str
    reason: str
    figures: Figures = Figures()
    margin: float | None = None  # the size up to which an improvement was inside the spread
    opinion: str = ""  # of a language model, where one was asked

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        return f"{'Accepted' if self.accepted else 'Rejected'} ({self.rule}): {self.reason}"


@dataclass(frozen=True)
class AnotherSeed:
    """The wish to train a trial with one more seed before it is judged, and why."""

    reason: str


@dataclass(frozen=True)
class Opinion:
    """A language model's advice on a trial that the rules leave open."""

    accept: bool
    reason: str


def pooled_noise(trials: Iterable[tuple[int, float, float]]) -> Noise | None:
    """Return the noise of a search; None where no trial has two finished trainings.

    It is the pooled relative standard deviation sqrt(sum (n-1) (s/mean)^2 / sum (n-1)), as in the
    IUPAC Gold Book (doi:10.1351/goldbook.P04758) for deviations relative to the mean.

    Args:
        trials: finished trainings n, their mean val_mse and its standard deviation s, by trial.
    """
    degrees, squares = 0, 0.0
    for seeds, mean, spread in trials:
        if seeds > 1 and mean > 0:
            degrees += seeds - 1
            squares += (seeds - 1) * (spread / mean) ** 2
    return Noise(math.sqrt(squares / degrees), degrees) if degrees else None


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


def decide(figures: Figures, rules: Rules) -> Verdict | AnotherSeed:
    """Judge a trial by the rules alone, or ask for another seed.

    A difference inside the spread is no improvement: it is worth another seed while the limit
    allows one, and rejected when it does not. A verdict whose rule is in `OPEN` may be put to a
    language model; it stands where no usable answer comes.
    """
    if figures.value is None or not math.isfinite(figures.value):
        rule = "pruned" if figures.pruned else "no result"
        return Verdict(False, rule, figures.failure or "No finite val_mse.", figures)
    improvement = figures.improvement
    if figures.incumbent is None or improvement is None:
        return Verdict(True, "first", f"The first result, {_value(figures)}.", figures)
    margin = figures.margin(rules.noise_multiple)
    inside = margin is not None and abs(improvement) <= margin
    spread = (
        "the spread over seeds is not known"
        if margin is None
        else f"{'inside' if inside else 'outside'} the spread of ±{margin:.2%}"
    )
    change = (
        f"{_value(figures)} is {abs(improvement):.2%} {'worse' if improvement < 0 else 'better'} "
        f"than trial {figures.incumbent} with {figures.incumbent_value:.6g} "
        f"({_count(figures.incumbent_seeds, 'seed')})"
    )

    def verdict(accepted: bool, rule: str, threshold: str) -> Verdict:
        return Verdict(accepted, rule, f"{change}: {threshold}, {spread}.", figures, margin)

    if improvement > rules.accept_above and not inside:
        return verdict(True, "clear improvement", f"more than {rules.accept_above:.2%}")
    if improvement < rules.reject_below:
        return verdict(False, "clear regression", f"beyond {rules.reject_below:.2%}")
    if (inside or margin is None) and figures.tried <= rules.extra_seeds:
        return AnotherSeed(
            f"its difference of {improvement:+.2%} "
            + (f"is {spread}" if inside else f"may be noise, as {spread}")
        )
    between = f"not beyond {rules.reject_below:.2%} or {rules.accept_above:.2%}"
    if inside:
        return verdict(False, "not distinguishable", "no improvement that can be told from noise")
    if improvement > 0:
        return verdict(True, "small improvement", between)
    return verdict(False, "no improvement", between)


def advised(verdict: Verdict, opinion: Opinion) -> Verdict:
    """Return the verdict with a language model's advice, which decides what the rules left open."""
    said = "".join(letter if letter.isprintable() else " " for letter in opinion.reason)
    said = said if len(said) <= QUOTED else f"{said[:QUOTED]}…"
    advice = "accept" if opinion.accept else "reject"
    return replace(
        verdict,
        accepted=opinion.accept,
        rule="opinion",
        reason=f"{verdict.reason} The language model advised to {advice}: “{said}”",
        opinion=opinion.reason,
    )


def _value(figures: Figures) -> str:
    lost = figures.tried - figures.seeds
    without = f"; {_count(lost, 'more training')} gave no result" if lost > 0 else ""
    return f"val_mse {figures.value:.6g} ({_count(figures.seeds, 'seed')}{without})"


def _count(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"
