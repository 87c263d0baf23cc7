"""What a search has learned, tested against its own trials.

A trial is compared with its parent, which it was made from. Every condition that may matter, such
as `dropout above 0.333` or `normalisation = revin`, is looked at in the trials that moved into it
or out of it: it helped in so many of them and hurt in others, and differences inside the noise of
the search are ties.

That alone proves little. Most parents were chosen for their good result, and beside a lucky one any
change looks bad. So the trials that moved are tested against the other trials of the same parents
(`aligned_rank_test`), whose changes were others. It is a finding where that agrees and at most 5 %
of all that is as strong would be false, over all conditions that were tried
(`false_discovery_rates`); what is weaker is a hint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from informer.config import Choices, Interval, Search, Value, fields
from nas_engine.comparisons import Comparisons, Mask, Outcome, compared
from nas_engine.evaluator import Noise
from nas_engine.guidance import Constraint
from nas_engine.search import SearchSpec
from nas_engine.significance import aligned_rank_test, false_discovery_rates, sign_test
from nas_engine.space import space

FALSE = 0.05
"""Share of the findings that may be false."""
FEWEST = 3
"""Comparisons outside the noise without which nothing is said."""
HINT = 0.1
"""The p up to which something is a hint."""

Relation = Literal["is", "at most", "above", "raised", "lowered"]


@dataclass(frozen=True)
class Condition:
    """What a setting may be, or become beside the parent's value."""

    key: str
    relation: Relation
    value: Value | None = None  # None: raised or lowered

    @property
    def text(self) -> str:
        """The condition in words."""
        name = self.key.rpartition(".")[2]
        match self.relation:
            case "raised" | "lowered":
                return f"{'raising' if self.relation == 'raised' else 'lowering'} {name}"
            case "is":
                return f"{name} = {_shown(self.value)}"
            case _:
                return f"{name} {self.relation} {_shown(self.value)}"


@dataclass(frozen=True)
class Finding:
    """What a condition did, and in how many trials."""

    condition: Condition
    helps: bool
    supporting: tuple[int, ...]  # trials whose difference from the parent says so
    opposing: tuple[int, ...]
    ties: tuple[int, ...]  # inside the noise
    effect: float  # median improvement of val_mse by the condition, relative; ties among them
    others: tuple[int, int]  # of the other changes to the same parents: how many did the same
    alone: int  # of all its trials: how many changed this setting alone
    beside: tuple[str, int] | None  # the setting that went with it, and in how many of its trials
    sign_p: float  # of the sign test: did it help as often as it hurt?
    p: float | None  # beside the other trials of the same parents; None: there are none
    agrees: bool  # whether these say the same
    rate: float | None = None  # of false findings among those as strong; None: not tested

    @property
    def strong(self) -> bool:
        """Whether the trials bear it out."""
        told = self.agrees and self.decided >= FEWEST
        return told and self.rate is not None and self.rate <= FALSE

    @property
    def weak(self) -> bool:
        """Whether there is something to it that the trials do not bear out yet."""
        told = self.agrees and self.decided >= FEWEST and not self.strong
        return told and (self.sign_p if self.p is None else self.p) <= HINT

    @property
    def decided(self) -> int:
        """Trials whose difference is outside the noise."""
        return len(self.supporting) + len(self.opposing)

    @property
    def sentence(self) -> str:
        """The finding with its support."""
        verb = "helped" if self.helps else "hurt"
        size = f"{100 * abs(self.effect):.2g} % {'better' if self.effect >= 0 else 'worse'}"
        return (
            f"{self.condition.text} {verb} in {len(self.supporting)} of {self.decided} trials "
            f"(median {size})"
        )

    @property
    def caution(self) -> str:
        """What else may be the cause, empty where nothing is known against it."""
        trials = self.decided + len(self.ties)
        if self.beside is not None:
            name, times = self.beside[0].rpartition(".")[2], self.beside[1]
            return f"{name} changed with it in {times} of {trials} trials"
        return "" if self.alone else "other settings changed with it in all of them"


@dataclass(frozen=True)
class Found:
    """What a search has learned so far."""

    findings: tuple[Finding, ...]  # the most certain first
    hints: tuple[Finding, ...]  # too weak to be findings
    compared: int  # trials with a result whose parent has one
    tested: int  # conditions
    noise_known: bool  # else every difference counts


def learned(trials: Sequence[Outcome], spec: SearchSpec, noise: Noise | None) -> Found:
    """Return what the trials of a search say about its settings.

    Args:
        trials: what came of them, in any order.
        spec: of the search, for its start, its space and its rules.
        noise: of the search; None while it is not known.
    """
    comparisons = compared(trials, spec, noise)
    looked_at = [
        finding
        for key in comparisons.varied
        for condition in _conditions(key, spec, comparisons)
        if (finding := _look(comparisons, condition)) is not None
    ]
    tested = [(at, finding.p) for at, finding in enumerate(looked_at) if finding.p is not None]
    rates = false_discovery_rates([p for _, p in tested])
    for (at, _), rate in zip(tested, rates, strict=True):
        looked_at[at] = replace(looked_at[at], rate=rate)
    return Found(
        findings=_ranked(finding for finding in looked_at if finding.strong),
        hints=_ranked(finding for finding in looked_at if finding.weak),
        compared=len(comparisons.numbers),
        tested=len(tested),
        noise_known=noise is not None,
    )


def _ranked(findings: Iterator[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: (finding.p or 1.0, finding.sign_p)))


def constraint(finding: Finding, offered: Search | None) -> Constraint | None:
    """Return what would keep planners to a finding; None where no bound or value does.

    Args:
        finding: what is to be kept to.
        offered: what the search offers for its setting; None: it is pinned, or not varied.
    """
    key, value = finding.condition.key, finding.condition.value
    relation, wanted = finding.condition.relation, finding.helps
    if offered is None or value is None:
        return None
    if relation == "is":
        if wanted:
            return Constraint(key=key, values=(value,))
        return Constraint(key=key, without=(value,)) if isinstance(offered, Choices) else None
    assert isinstance(value, int | float), "only numbers are parted"
    below = (relation == "at most") == wanted
    if isinstance(offered, Choices) and not below:  # a bound is among what it leaves
        above = [v for v in offered.values if isinstance(v, int | float) and v > value]
        return Constraint(key=key, low=min(above)) if above else None
    return Constraint(key=key, high=value) if below else Constraint(key=key, low=value)


# -- conditions ---------------------------------------------------------------------------------


def _conditions(key: str, spec: SearchSpec, comparisons: Comparisons) -> Iterator[Condition]:
    """Yield what is looked at for a setting: few conditions, since each may be right by chance.

    Numbers are parted at the thirds of what the search offers; others are taken value by value.
    """
    tried = _tried(comparisons, key)
    if fields()[key].type in (int, float) and len(tried) > 2:
        yield from _cuts(key, space(spec).get(key), tried)
        yield Condition(key, "raised")
        yield Condition(key, "lowered")
        return
    if len(tried) == 2:  # being the one is not being the other
        start = spec.start().get(key)
        tried = [value for value in tried if value != start][-1:]
    for value in tried:
        yield Condition(key, "is", value)


def _tried(comparisons: Comparisons, key: str) -> list[Value]:
    """Return the values that a setting had where it has a part to play, in their order."""
    active, kind = comparisons.active[key], fields()[key].type
    held = {*comparisons.after[key][active].tolist(), *comparisons.before[key][active].tolist()}
    return sorted((kind(value) for value in held if value == value), key=_in_order)


def _cuts(key: str, search: Search | None, tried: Sequence[Value]) -> Iterator[Condition]:
    if isinstance(search, Interval):
        yield Condition(key, "at most", float(f"{search.at(1 / 3):.3g}"))
        yield Condition(key, "above", float(f"{search.at(2 / 3):.3g}"))
        return
    offered = search.values if isinstance(search, Choices) and len(search.values) > 2 else tried
    values = sorted(offered, key=_in_order)
    lower, upper = values[-(-len(values) // 3) - 1], values[2 * len(values) // 3 - 1]
    if lower != upper:
        yield Condition(key, "at most", lower)
    yield Condition(key, "above", upper)


def _look(comparisons: Comparisons, condition: Condition) -> Finding | None:
    """Return what a condition did; None where too few trials moved into it or out of it."""
    active = comparisons.active[condition.key]
    moved, inward = _moved(comparisons, condition)
    gain = np.where(inward, comparisons.improvement, -comparisons.improvement)
    mine, others = active & moved, active & ~moved
    if mine.sum() < FEWEST:
        return None
    decided, parents, numbers = ~comparisons.tie, comparisons.parents, comparisons.numbers
    support, count = int((mine & decided & (gain > 0)).sum()), int((mine & decided).sum())
    helps = 2 * support >= count
    same = gain > 0 if helps else gain < 0
    tested = aligned_rank_test(gain[active], moved[active], parents[active])
    rivals = others & decided & np.isin(parents, parents[mine])
    return Finding(
        condition=condition,
        helps=helps,
        supporting=tuple(numbers[mine & decided & same].tolist()),
        opposing=tuple(numbers[mine & decided & ~same].tolist()),
        ties=tuple(numbers[mine & ~decided].tolist()),
        effect=float(np.median(gain[mine])),
        others=(int((rivals & same).sum()), int(rivals.sum())),
        alone=int((mine & (comparisons.changes == 1)).sum()),
        beside=_beside(comparisons, condition.key, mine, others),
        sign_p=sign_test(support, count),
        p=tested[1] if tested else None,
        agrees=2 * support != count and (tested is None or (tested[0] > 0) == helps),
    )


def _moved(comparisons: Comparisons, condition: Condition) -> tuple[Mask, Mask]:
    """Return which trials moved into or out of a condition, and where it was into it."""
    after, before = comparisons.after[condition.key], comparisons.before[condition.key]
    match condition.relation:
        case "raised":
            return after > before, np.ones(len(after), bool)
        case "lowered":
            return after < before, np.ones(len(after), bool)
        case "is":
            holds, held = after == condition.value, before == condition.value
        case "at most":
            holds, held = after <= condition.value, before <= condition.value
        case "above":
            holds, held = after > condition.value, before > condition.value
    # Children of one parent are all beside a parent that is in it, or all beside one that is not.
    return holds != held, ~np.asarray(held, bool)


def _beside(comparisons: Comparisons, key: str, mine: Mask, others: Mask) -> tuple[str, int] | None:
    """Return the setting that changed with this one, more often by half than with the others."""
    found, most = None, 0.5
    for other, changed in comparisons.changed.items():
        if other == key:
            continue
        times = int((changed & mine).sum())
        beyond = times / mine.sum() - (changed & others).sum() / max(1, others.sum())
        if beyond >= most:
            found, most = (other, times), float(beyond)
    return found


def _in_order(value: Value) -> tuple[bool, float, str]:
    number = isinstance(value, int | float)
    return (not number, float(value) if number else 0.0, str(value))


def _shown(value: Value | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
