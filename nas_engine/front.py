"""The Pareto front of a search: what no other trial beats in all that it wants low, and its gaps.

All objectives are the better the lower, and a front holds accepted trials that keep the bounds.
What is here needs no more of a trial than its figures, so planners, evaluator and pages share it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import le
from typing import Protocol, TypeVar

from nas_engine.objectives import Objective
from nas_engine.search import SearchSpec

Point = tuple[float, ...]
"""A figure for each objective, in the order of the search."""


class Measured(Protocol):
    """A trial, or whatever else has the figures of one; None is what is not known."""

    @property
    def number(self) -> int:
        """Within its search."""

    @property
    def accepted(self) -> bool | None:
        """The verdict; None while there is none."""

    @property
    def ended_at(self) -> float | None:
        """When it ended."""

    @property
    def val_mse(self) -> float | None:
        """Mean over its finished trainings, as are all that are measured."""

    @property
    def latency_ms(self) -> float | None:
        """Of a batch of forecasts."""

    @property
    def parameters(self) -> float | None:
        """Weights of the model."""

    @property
    def flops(self) -> float | None:
        """For the forecast of one window."""

    @property
    def seconds(self) -> float | None:
        """Of training."""

    @property
    def memory_mb(self) -> float | None:
        """At the peak of the training."""


Trial = TypeVar("Trial", bound=Measured)


def figures(trial: Measured, objectives: Sequence[Objective]) -> Point | None:
    """Return what a trial came to; None where a figure is missing, or is not finite."""
    point = []
    for name in objectives:
        value: float | None = getattr(trial, name)
        if value is None or not math.isfinite(value):
            return None
        point.append(value)
    return tuple(point)


def dominates(a: Point, b: Point) -> bool:
    """Tell whether a is better than b in one objective and worse in none."""
    return a != b and _covers(a, b)


def _covers(a: Point, b: Point) -> bool:
    return all(map(le, a, b))


# -- bounds ---------------------------------------------------------------------------------------


def excess_of(
    values: Mapping[Objective, float | None], at_most: Mapping[Objective, float]
) -> float | None:
    """Return by how much figures break the bounds: the sum over these of max(0, value/bound - 1).

    0 keeps them; None while a bounded figure is not known.
    """
    total = 0.0
    for name, bound in at_most.items():
        value = values.get(name)
        if value is None or not math.isfinite(value):
            return None
        total += max(0.0, value / bound - 1)
    return total


def excess(trial: Measured, at_most: Mapping[Objective, float]) -> float | None:
    """Return by how much a trial breaks the bounds, as `excess_of` has it."""
    return excess_of({name: getattr(trial, name) for name in at_most}, at_most)


def keeps(trial: Measured, at_most: Mapping[Objective, float]) -> bool:
    """Tell whether a trial is known to keep the bounds."""
    return excess(trial, at_most) == 0


# -- the front ------------------------------------------------------------------------------------


def front(trials: Iterable[Trial], spec: SearchSpec) -> list[Trial]:
    """Return the front of a search by val_mse: accepted, within the bounds, dominated by none.

    Of trials that are equal in all objectives it holds the one with the lowest number. With one
    objective it is the incumbent, or empty while no accepted trial keeps the bounds.
    """
    standing = _standing(trials, spec)
    kept = nondominated([point for point, _ in standing])
    return [trial for (_, trial), stays in zip(standing, kept, strict=True) if stays]


def _standing(trials: Iterable[Trial], spec: SearchSpec) -> list[tuple[Point, Trial]]:
    """Return the accepted trials that keep the bounds with their figures, by these and number."""
    found = [
        (point, trial)
        for trial in trials
        if trial.accepted and keeps(trial, spec.at_most)
        if (point := figures(trial, spec.objectives)) is not None
    ]
    return sorted(found, key=lambda each: (each[0], each[1].number))


def nondominated(points: Sequence[Point]) -> list[bool]:
    """Tell for each point whether no other dominates it, nor an equal one comes before it."""
    if len(points) < 2:
        return [True] * len(points)
    import moocore

    return [bool(stays) for stays in moocore.is_nondominated(points)]


def incumbent(trials: Iterable[Measured], at_most: Mapping[Objective, float]) -> int | None:
    """Return the number of the best accepted trial; None while none is accepted.

    It has the lowest val_mse of those that keep the bounds. Where none does, it is the one that
    breaks them least: Deb, "An efficient constraint handling method for genetic algorithms", 2000.
    Trials whose bounded figures are not known come last.
    """
    ranks = [
        (rank(trial.val_mse, excess(trial, at_most)), trial.number)
        for trial in trials
        if trial.accepted and trial.val_mse is not None
    ]
    return min(ranks)[1] if ranks else None


def rank(val_mse: float, excess: float | None) -> tuple[float, float]:
    """Return what orders trials from the best on, as `incumbent` has it."""
    return (math.inf if excess is None else excess), val_mse


# -- hypervolume ----------------------------------------------------------------------------------


BEYOND = 2.0  # times the highest cost: up to where a front gains, where no bound says so


@dataclass(frozen=True)
class Box:
    """In what a hypervolume is told: each figure from the best to the worst that counts.

    The error runs from 0 to that of trial 0, so that a search begins at 0. Each cost runs on a log
    scale from the least that a trial with a result came to, to `BEYOND` times the most, or to its
    bound: the dearest trial counts for its error, too.
    """

    objectives: tuple[Objective, ...]
    low: Point
    high: Point

    def place(self, point: Point) -> Point:
        """Return where a point lies in the box: 0 is best, 1 no longer counts."""
        return tuple(map(_place, self.objectives, point, self.low, self.high))


def _place(name: Objective, value: float, low: float, high: float) -> float:
    if value > high:
        return 1.0
    if value <= low or high <= low:
        return 0.0
    if name == "val_mse":
        return (value - low) / (high - low)
    return math.log(value / low) / math.log(high / low)


def box(trials: Iterable[Measured], spec: SearchSpec) -> Box | None:
    """Return the box of a search, from all its trials with a result; None while there are none.

    Take one box for all that is compared, such as the moments of a drawing. Where trial 0 has no
    result, the error runs to the worst.
    """
    reached = [
        (trial.number, point)
        for trial in trials
        if (point := figures(trial, spec.objectives)) is not None
    ]
    if not reached:
        return None
    first = dict(reached).get(0)
    low, high = [0.0], [first[0] if first else max(point[0] for _, point in reached)]
    for at, name in enumerate(spec.objectives[1:], 1):
        values = [point[at] for _, point in reached if point[at] > 0] or [1.0]
        low.append(min(values))
        high.append(spec.at_most.get(name, BEYOND * max(values)))
    return Box(spec.objectives, tuple(low), tuple(high))


def hypervolume(points: Collection[Point], within: Box) -> float:
    """Return which share of the box is dominated: 0 to 1, higher is better.

    The measure is that of Zitzler and Thiele, "Multiobjective evolutionary algorithms: a
    comparative case study and the strength Pareto approach", 1999.

    Args:
        points: a figure for each objective of the box; dominated ones change nothing.
        within: what is shared out.
    """
    if not points:
        return 0.0
    import moocore

    return float(moocore.hypervolume([within.place(point) for point in points], ref=1.0))


@dataclass(frozen=True)
class Growth:
    """How much of the box the front dominates from a moment on."""

    number: int  # of the trial whose end changed it
    ended_at: float
    share: float


def growth(trials: Sequence[Measured], spec: SearchSpec) -> list[Growth]:
    """Return how the hypervolume of a search grew, where it did, in order of time.

    Each trial counts from its end on with the figures and the verdict that it has now.
    """
    within = box(trials, spec)
    if within is None:
        return []
    ended = sorted(
        (trial.ended_at, trial.number, point)
        for point, trial in _standing(trials, spec)
        if trial.ended_at is not None
    )
    members: list[Point] = []
    found: list[Growth] = []
    for ended_at, number, point in ended:
        if any(_covers(member, point) for member in members):
            continue
        members = [member for member in members if not _covers(point, member)] + [point]
        share = hypervolume(members, within)
        if share > (found[-1].share if found else 0.0):
            found.append(Growth(number, ended_at, share))
    return found


@dataclass(frozen=True)
class Gap:
    """Between which figures of a cost the front has nothing."""

    cost: Objective
    left: int  # number of the cheaper member
    right: int | None  # number of the dearer one; None: up to the bound
    low: float
    high: float
    wide: float  # as a share of the cost's side of the box


def gaps(members: Sequence[Measured], within: Box, spec: SearchSpec) -> list[Gap]:
    """Return the gaps along each cost between members of a front, and to its bound; widest first.

    Args:
        members: the front.
        within: the box of the search.
        spec: the search.
    """
    found: list[Gap] = []
    for at, cost in enumerate(within.objectives[1:], 1):
        sides: list[tuple[float, int | None]] = sorted(
            (point[at], trial.number)
            for trial in members
            if (point := figures(trial, within.objectives)) is not None
        )
        if sides and cost in spec.at_most:
            sides.append((spec.at_most[cost], None))
        for (low, left), (high, right) in pairwise(sides):
            ends = [_place(cost, value, within.low[at], within.high[at]) for value in (low, high)]
            wide = ends[1] - ends[0]
            if wide > 0 and left is not None:
                found.append(Gap(cost, left, right, low, high, wide))
    return sorted(found, key=lambda gap: -gap.wide)
