"""The Pareto front of a search, its hypervolume, and its gaps."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import pytest

from nas_engine.front import (
    Box,
    Point,
    box,
    dominates,
    excess,
    figures,
    front,
    gaps,
    growth,
    hypervolume,
    incumbent,
    keeps,
)
from nas_engine.search import SearchSpec
from pages._parts.analysis.fronts import hypervolumes


@dataclass(frozen=True)
class Shown:
    """A trial, as far as a front looks at it."""

    number: int
    val_mse: float | None
    parameters: float | None = 100.0
    latency_ms: float | None = 1.0
    accepted: bool | None = True
    ended_at: float | None = None
    flops: float | None = None
    seconds: float | None = None
    memory_mb: float | None = None


TWO = SearchSpec(objectives=("val_mse", "parameters"))
THREE = SearchSpec(objectives=("val_mse", "parameters", "latency_ms"))


def drawn(seed: int, count: int) -> list[Shown]:
    draw = random.Random(seed)
    return [
        Shown(
            number,
            draw.choice((0.3, 0.5, draw.uniform(0.1, 1.2))),
            float(draw.randint(10, 40)),
            draw.choice((1.0, 2.0, draw.uniform(1, 9))),
            draw.random() < 0.8,
            float(number),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("spec", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("seed", range(5))
def test_a_front_holds_what_none_dominates_whatever_the_order(spec: SearchSpec, seed: int) -> None:
    bounded = spec.model_copy(update={"at_most": {"parameters": 35.0}})
    trials = drawn(seed, 60)
    found = front(trials, bounded)
    counted = [trial for trial in trials if trial.accepted and (trial.parameters or 0) <= 35]
    points = {trial.number: figures(trial, spec.objectives) for trial in counted}

    def beaten(number: int) -> bool:
        own = points[number]
        assert own is not None
        return any(
            other is not None and (dominates(other, own) or (other == own and first < number))
            for first, other in points.items()
        )

    assert {trial.number for trial in found} == {n for n in points if not beaten(n)}
    errors = [trial.val_mse or 0.0 for trial in found]
    assert errors == sorted(errors)
    random.Random(seed).shuffle(trials)
    assert front(trials, bounded) == found


def test_with_one_objective_the_front_is_the_incumbent() -> None:
    trials = [Shown(0, 0.5), Shown(1, 0.4), Shown(2, 0.4), Shown(3, 0.1, accepted=False)]
    assert [trial.number for trial in front(trials, SearchSpec())] == [1]
    assert incumbent(trials, {}) == 1


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_trial_without_a_figure_is_on_no_front(value: float | None) -> None:
    whole = Shown(1, 0.5, 10.0, 3.0)
    assert front([replace(whole, number=0, latency_ms=value), whole], THREE) == [whole]
    assert excess(replace(whole, latency_ms=value), {"latency_ms": 5.0}) is None
    assert not keeps(replace(whole, latency_ms=value), {"latency_ms": 5.0})


def test_bounds_count_only_what_lies_beyond_them() -> None:
    trial = Shown(1, 0.5, parameters=150.0, latency_ms=2.0)
    assert excess(trial, {"parameters": 100.0, "latency_ms": 5.0}) == pytest.approx(0.5)
    assert excess(trial, {"parameters": 100.0, "latency_ms": 1.0}) == pytest.approx(1.5)
    assert keeps(trial, {"parameters": 150.0})
    assert keeps(trial, {})


def test_the_incumbent_keeps_the_bounds_or_breaks_them_least() -> None:
    far, near, within = Shown(0, 0.1, 400.0), Shown(1, 0.3, 110.0), Shown(2, 0.9, 100.0)
    unknown = Shown(3, 0.05, None)
    bounds = {"parameters": 100.0}
    assert incumbent([far, near, unknown], bounds) == 1  # type: ignore[arg-type]
    assert incumbent([far, near, within, unknown], bounds) == 2  # type: ignore[arg-type]
    assert incumbent([unknown], bounds) == 3  # type: ignore[arg-type]
    assert incumbent([replace(far, accepted=False)], bounds) is None  # type: ignore[arg-type]


def test_a_box_runs_from_no_error_to_that_of_trial_0_and_over_the_costs_that_were_seen() -> None:
    trials = [Shown(0, 0.8, 100.0), Shown(1, 0.9, 10.0, accepted=False), Shown(2, 0.4, 1000.0)]
    within = box(trials, TWO)
    assert within == Box(TWO.objectives, (0.0, 10.0), (0.8, 2000.0))
    assert within.place((0.4, 100.0)) == pytest.approx((0.5, 0.5))
    bounded = TWO.model_copy(update={"at_most": {"parameters": 100.0}})
    assert box(trials, bounded) == Box(TWO.objectives, (0.0, 10.0), (0.8, 100.0))
    assert box([Shown(0, None)], TWO) is None
    alone = box(trials[:1], TWO)
    assert alone is not None
    assert hypervolume([(0.8, 100.0)], alone) == 0
    assert hypervolume([(0.2, 100.0)], alone) == pytest.approx(0.75)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_hypervolume_is_the_share_of_the_box_that_is_dominated(count: int) -> None:
    draw = random.Random(count)
    names = ("val_mse", "parameters", "latency_ms", "flops")[:count]
    within = Box(names, (0.0,) + (1.0,) * (count - 1), (1.0,) + (math.e,) * (count - 1))
    shares = [[draw.random() for _ in range(count)] for _ in range(12)]
    points: list[Point] = [(each[0], *map(math.exp, each[1:])) for each in shares]
    samples = [[draw.random() for _ in range(count)] for _ in range(20_000)]
    covered = sum(
        any(all(x <= y for x, y in zip(each, sample, strict=True)) for each in shares)
        for sample in samples
    )
    assert hypervolume(points, within) == pytest.approx(covered / len(samples), abs=0.015)
    assert hypervolume([], within) == 0
    if count == 2:
        swept = hypervolumes([(each[0], each[1]) for each in shares], (1.0, 1.0))
        assert hypervolume(points, within) == pytest.approx(swept[-1])


def test_a_point_beyond_the_box_adds_nothing_to_a_hypervolume() -> None:
    within = Box(TWO.objectives, (0.0, 10.0), (1.0, 1000.0))
    inside = hypervolume([(0.5, 100.0)], within)
    assert inside == pytest.approx(0.25)
    assert hypervolume([(0.5, 100.0), (0.1, 2000.0), (2.0, 10.0)], within) == inside


@pytest.mark.parametrize("spec", [TWO, THREE], ids=["two", "three"])
def test_a_hypervolume_never_shrinks_and_ends_at_that_of_the_front(spec: SearchSpec) -> None:
    trials = [Shown(0, 2.0, 40.0, 9.0, ended_at=0.0), *drawn(1, 80)[1:]]
    grown = growth(trials, spec)
    within = box(trials, spec)
    assert within is not None
    assert len(grown) > 2
    shares = [each.share for each in grown]
    assert shares == sorted(set(shares))
    points = [figures(trial, spec.objectives) for trial in front(trials, spec)]
    assert shares[-1] == pytest.approx(hypervolume([p for p in points if p], within))
    assert growth([], spec) == []


def test_gaps_are_told_widest_first_and_up_to_a_bound() -> None:
    bounded = TWO.model_copy(update={"at_most": {"parameters": 1000.0}})
    trials = [Shown(0, 0.8, 10.0), Shown(3, 0.6, 20.0), Shown(7, 0.5, 200.0)]
    within = box(trials, bounded)
    assert within is not None
    found = gaps(front(trials, bounded), within, bounded)
    assert [(gap.left, gap.right, gap.low, gap.high) for gap in found] == [
        (3, 7, 20.0, 200.0),
        (7, None, 200.0, 1000.0),
        (0, 3, 10.0, 20.0),
    ]
    assert sum(gap.wide for gap in found) == pytest.approx(1)
    assert found[0].wide == pytest.approx(0.5)
