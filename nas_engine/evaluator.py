"""Accept or reject a trial: rules and measured noise first, an opinion where they leave it open."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from nas_engine.amounts import amount, in_a_sentence
from nas_engine.front import Point, dominates, excess_of
from nas_engine.noise import Noise as Noise
from nas_engine.noise import margin, relative
from nas_engine.noise import pooled_noise as pooled_noise
from nas_engine.noise import student_t as student_t
from nas_engine.objectives import COSTS, MEASURES, Objective
from nas_engine.search import Rules

OPEN = frozenset({"small improvement", "not distinguishable", "no improvement"})
"""Rules whose verdict an opinion may change."""
LARGEST_DEGREES = 10**9
"""Degrees of freedom of a noise: more than any search has trainings."""
QUOTED = 300
"""Letters of an opinion that a verdict quotes; the transcript has all of it."""


@dataclass(frozen=True)
class Rival:
    """A trial of the front that another one is compared with."""

    number: int
    values: Point  # of the objectives, in their order
    seeds: int


@dataclass(frozen=True)
class Compared:
    """What a trial is judged by beside its error where a search has several objectives, or bounds.

    Raises:
        ValueError: it does not fit together.
    """

    objectives: tuple[Objective, ...]
    values: dict[Objective, float | None]  # of the trial: objectives and what is bounded
    at_most: dict[Objective, float]
    rivals: tuple[Rival, ...] = ()  # the front but the trial itself, by val_mse
    incumbent_excess: float | None = None  # by which the incumbent breaks the bounds
    noise: dict[Objective, Noise] | None = None  # of costs that are measured, where it is known

    def __post_init__(self) -> None:
        """Check what rules rely on."""
        if self.objectives[:1] != ("val_mse",):
            raise ValueError("the first objective is not the error")
        if any(rival.seeds < 1 for rival in self.rivals):
            raise ValueError("a rival has no training")
        if any(not 1 <= noise.degrees <= LARGEST_DEGREES for noise in (self.noise or {}).values()):
            raise ValueError("a noise was learned from nothing")
        if any(len(rival.values) != len(self.objectives) for rival in self.rivals):
            raise ValueError("a rival has other objectives than its search")
        if any(bound <= 0 for bound in self.at_most.values()):
            raise ValueError("a bound is not above 0")

    @property
    def excess(self) -> float | None:
        """By how much the trial breaks the bounds; None where that is not known."""
        return excess_of(self.values, self.at_most)

    @property
    def point(self) -> Point | None:
        """The trial's figures of the objectives; None where one is not known."""
        found = [self.values.get(name) for name in self.objectives]
        known = tuple(value for value in found if value is not None and math.isfinite(value))
        return known if len(known) == len(found) else None

    @property
    def replaced(self) -> list[int]:
        """The trials that leave the front where this one comes to it."""
        point = self.point
        if point is None:
            return []
        return [rival.number for rival in self.rivals if dominates(point, rival.values)]


_COMPARED = TypeAdapter(Compared)


def compared_of(text: str) -> Compared | None:
    """Return what a verdict kept as `compared_text`; None for an empty text.

    Raises:
        ValueError: it is another text.
    """
    return _COMPARED.validate_json(text) if text else None


def compared_text(compared: Compared | None) -> str:
    """Return as JSON what a trial was judged by; empty where its error alone counted."""
    return "" if compared is None else _COMPARED.dump_json(compared).decode()


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
    compared: Compared | None = None  # None: the error alone counts, whatever else a trial is

    @property
    def improvement(self) -> float | None:
        """How much lower than the incumbent's the value is, relative to it; negative is worse."""
        value, best = self.value, self.incumbent_value
        return None if value is None or best is None else relative(value, best)

    @property
    def rival(self) -> tuple[object, ...]:
        """What the trial is compared with: the incumbent's number, value and seeds; the front."""
        front = self.compared.rivals if self.compared else ()
        return self.incumbent, self.incumbent_value, self.incumbent_seeds, front

    def margin(self, multiple: float) -> float | None:
        """Return up to which size an improvement is inside the spread; None: that is not known."""
        return margin(self.noise, self.seeds, self.incumbent_seeds, multiple)


@dataclass(frozen=True)
class Verdict:
    """What was decided on a trial, by which rule and for which reason."""

    accepted: bool
    rule: str
    reason: str
    figures: Figures = Figures()
    margin: float | None = None  # the size up to which an improvement was inside the spread
    opinion: str = ""  # of a language model, where one was asked
    against: int | None = None  # the trial of the front that decided; None: it was the incumbent

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
    if figures.compared is not None:
        by_bounds = _by_bounds(figures, figures.compared, rules)
        if by_bounds is not None:
            return by_bounds
        if len(figures.compared.objectives) > 1:
            return _by_front(figures, figures.compared, rules)
    margin = figures.margin(rules.noise_multiple)
    rule_of_error = _rule_of_error(improvement, margin, figures.tried, rules)
    spread = _spread(improvement, margin)
    if rule_of_error is None:
        return AnotherSeed(
            f"its difference of {improvement:+.2%} "
            + (f"may be noise, as {spread}" if margin is None else f"is {spread}")
        )
    reason = (
        f"{_value(figures)} is {_change(improvement)} than trial {figures.incumbent} with "
        f"{figures.incumbent_value:.6g} ({_count(figures.incumbent_seeds, 'seed')}): "
        f"{_threshold(rule_of_error, rules)}, {spread}."
    )
    return Verdict(rule_of_error in BETTER, rule_of_error, reason, figures, margin)


BETTER = frozenset({"clear improvement", "small improvement"})
"""Rules by which an error is lower beyond what may be noise."""


def _rule_of_error(
    improvement: float, margin: float | None, tried: int, rules: Rules
) -> str | None:
    """Return the rule that an improvement of val_mse meets; None: another seed is to tell."""
    inside = margin is not None and abs(improvement) <= margin
    if improvement > rules.accept_above and not inside:
        return "clear improvement"
    if improvement < rules.reject_below:
        return "clear regression"
    if (inside or margin is None) and tried <= rules.extra_seeds:
        return None
    if inside:
        return "not distinguishable"
    return "small improvement" if improvement > 0 else "no improvement"


def _threshold(rule: str, rules: Rules) -> str:
    match rule:
        case "clear improvement":
            return f"more than {rules.accept_above:.2%}"
        case "clear regression":
            return f"beyond {rules.reject_below:.2%}"
        case "not distinguishable":
            return "no improvement that can be told from noise"
    return f"not beyond {rules.reject_below:.2%} or {rules.accept_above:.2%}"


# -- bounds, and several objectives ---------------------------------------------------------------


def _by_bounds(figures: Figures, compared: Compared, rules: Rules) -> Verdict | None:
    """Judge a trial by the bounds, as Deb (2000) orders; None where they leave it open.

    What keeps them is better than what does not, and of two that do not the one that is nearer.
    """

    def verdict(accepted: bool, rule: str, reason: str) -> Verdict:
        spread = figures.margin(rules.noise_multiple)
        return Verdict(accepted, rule, reason, figures, spread)

    wanted = {*compared.objectives, *compared.at_most} & set(COSTS)
    if unknown := [name for name in COSTS if name in wanted and not _known(compared.values, name)]:
        what = " and ".join(in_a_sentence(name) for name in unknown)
        reason = f"{_value(figures)}, but not known in {what}, which this search weighs."
        return verdict(False, "not measured", reason)
    own, best = compared.excess, compared.incumbent_excess
    assert own is not None, "all bounded figures are known"
    if own == 0:
        if best == 0:
            return None
        reason = f"{_value(figures)}; {_all(compared)}. No accepted trial kept the bounds before."
        return verdict(True, "first within the bounds", reason)
    broken = "; ".join(
        f"{amount(name, value)}, and this search allows {amount(name, most)}"
        for name, most in compared.at_most.items()
        if (value := compared.values[name]) is not None and value > most
    )
    if best == 0:
        return verdict(False, "breaks the bounds", f"It has {broken}.")
    beyond = f"It has {broken}: {own:.2%} beyond the bounds"
    if best is None:
        told = f"{beyond}; of trial {figures.incumbent} that is not known."
        return verdict(True, "nearer to the bounds", told)
    rule, less = (
        ("nearer to the bounds", "less") if own < best else ("breaks the bounds", "no less")
    )
    return verdict(
        own < best, rule, f"{beyond}, {less} than trial {figures.incumbent}: {best:.2%}."
    )


@dataclass(frozen=True)
class _Weighed:
    """A trial beside one of the front; only differences beyond what may be noise count."""

    rival: Rival
    improvement: float  # of val_mse
    margin: float | None  # of that
    rule: str | None  # that the improvement meets; None: another seed is to tell
    cheaper: bool  # in one of the costs
    dearer: bool
    lower: tuple[tuple[Objective, float, float], ...]  # costs within noise: difference, noise

    @property
    def beaten(self) -> bool:
        """Whether the trial is better than this one in something."""
        return self.cheaper or self.rule in BETTER

    @property
    def dominates(self) -> bool:
        """Whether this one is better than the trial in something, and worse in nothing."""
        worse = self.rule == "no improvement" and self.improvement < 0
        worse = worse or self.rule == "clear regression"
        return not self.beaten and (worse or (self.dearer and self.improvement <= 0))


def _by_front(figures: Figures, compared: Compared, rules: Rules) -> Verdict | AnotherSeed:
    """Judge a trial by the front: it must be better than each trial of it in something.

    Another seed is worth its time where the trial could still be better in its error.
    """
    weighed = [_weighed(figures, compared, rival, rules) for rival in compared.rivals]
    margin, own = figures.margin(rules.noise_multiple), f"{_value(figures)}, {_all(compared)}"
    left = [each for each in weighed if not each.beaten]
    if not left:
        small = [each for each in weighed if not each.cheaper and each.rule == "small improvement"]
        replaced = compared.replaced
        what = "no trial of the front is as good in everything"
        if replaced or not weighed:
            what = f"it replaces {_trials(replaced)}" if replaced else "the front was empty"
        if small:
            reason = f"{own}: {_beside(small[0], compared)}; {what}."
            rule, against = "small improvement", small[0].rival.number
            return Verdict(True, rule, reason, figures, margin, against=against)
        return Verdict(True, "extends the front", f"{own}: {what}.", figures, margin)
    decided = [each for each in left if each.rule is not None]
    first = min(decided or left, key=lambda each: not each.dominates)
    if not decided:
        return AnotherSeed(f"{_beside(first, compared)}, and no cost is lower")
    rule = "dominated" if first.dominates else "not distinguishable"
    how = "is no worse in anything" if first.dominates else "cannot be told from it"
    reason = f"{own}: trial {first.rival.number} of the front {how}; {_beside(first, compared)}."
    return Verdict(False, rule, reason, figures, margin, against=first.rival.number)


def _weighed(figures: Figures, compared: Compared, rival: Rival, rules: Rules) -> _Weighed:
    error = rival.values[0]
    assert figures.value is not None, "a trial without a result is judged before"
    improvement = relative(figures.value, error)
    spread = margin(figures.noise, figures.seeds, rival.seeds, rules.noise_multiple)
    cheaper = dearer = False
    lower = []
    for name, other in zip(compared.objectives[1:], rival.values[1:], strict=True):
        value = compared.values[name]
        assert value is not None, "a trial with a figure that is not known is judged before"
        difference = relative(value, other)
        least = _least_difference(name, figures, compared, rival, rules)
        cheaper, dearer = cheaper or difference > least, dearer or difference < -least
        if 0 < difference <= least:
            lower.append((name, difference, least))
    rule = _rule_of_error(improvement, spread, figures.tried, rules)
    return _Weighed(rival, improvement, spread, rule, cheaper, dearer, tuple(lower))


def _least_difference(
    name: Objective, figures: Figures, compared: Compared, rival: Rival, rules: Rules
) -> float:
    """Return up to which size a relative difference of a cost may be noise."""
    if MEASURES[name].exact:
        return 0.0
    noise = (compared.noise or {}).get(name)
    least = margin(noise, figures.seeds, rival.seeds, rules.noise_multiple)
    return rules.accept_above if least is None else least


# -- words ----------------------------------------------------------------------------------------


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


def _change(improvement: float) -> str:
    return f"{abs(improvement):.2%} {'worse' if improvement < 0 else 'better'}"


def _spread(improvement: float, margin: float | None) -> str:
    if margin is None:
        return "the spread over seeds is not known"
    return f"{'inside' if abs(improvement) <= margin else 'outside'} the spread of ±{margin:.2%}"


def _beside(weighed: _Weighed, compared: Compared) -> str:
    """Return how the error compares with that of a trial of the front, and what that one has."""
    rival = weighed.rival
    costs = zip(compared.objectives[1:], rival.values[1:], strict=True)
    return (
        f"val_mse is {_change(weighed.improvement)} than that of trial {rival.number} with "
        f"{rival.values[0]:.6g} ({_count(rival.seeds, 'seed')}), "
        f"{', '.join(amount(name, value) for name, value in costs)}: "
        f"{_spread(weighed.improvement, weighed.margin)}"
        + "".join(
            f"; {in_a_sentence(name)} is {difference:.2%} lower, which may be noise (±{noise:.2%})"
            for name, difference, noise in weighed.lower
        )
    )


def _all(compared: Compared) -> str:
    """Return the costs of a trial that count in its search."""
    counted = {*compared.objectives, *compared.at_most}
    return ", ".join(
        amount(name, value)
        for name in COSTS
        if name in counted and (value := compared.values.get(name)) is not None
    )


def _known(values: dict[Objective, float | None], name: Objective) -> bool:
    value = values.get(name)
    return value is not None and math.isfinite(value)


def _trials(numbers: list[int]) -> str:
    head, last = ", ".join(map(str, numbers[:-1])), numbers[-1]
    return f"trials {head} and {last}" if head else f"trial {last}"
