"""How a trial is judged where a search has several objectives, or bounds."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from nas_engine.evaluator import (
    OPEN,
    AnotherSeed,
    Compared,
    Figures,
    Noise,
    Rival,
    Verdict,
    compared_of,
    compared_text,
    decide,
)
from nas_engine.front import Point, dominates
from nas_engine.noise import student_t
from nas_engine.objectives import Objective
from nas_engine.search import Rules

RULES = Rules()
NO_SEEDS_LEFT = Rules(extra_seeds=0)
FIVE = Noise(0.05 / student_t(2, 8) / math.sqrt(2), degrees=8)  # a margin of 5 % for single seeds
COSTS: tuple[Objective, ...] = ("parameters", "latency_ms")


def on_front(
    point: tuple[float | None, ...], *rivals: Point, noise: Noise | None = FIVE, **facts: Any
) -> Figures:
    """Return a trial of one seed beside a front of trials 0, 1, ... of error, parameters, latency.

    The margin of an error is 5 %, as is that of a latency.
    """
    names: tuple[Objective, ...] = ("val_mse", *COSTS[: len(point) - 1])
    best = min(rivals, default=None)
    compared = Compared(
        names,
        dict(zip(names, point, strict=True)),
        {},
        tuple(Rival(number, rival, 1) for number, rival in enumerate(rivals)),
        None if best is None else 0.0,
        {"latency_ms": noise} if noise else {},
    )
    return replace(
        Figures(point[0], 1, 1, noise=noise, compared=compared),
        incumbent=None if best is None else rivals.index(best),
        incumbent_value=None if best is None else best[0],
        incumbent_seeds=int(best is not None),
        **facts,
    )


def judged(figures: Figures, rules: Rules = NO_SEEDS_LEFT) -> Verdict:
    verdict = decide(figures, rules)
    assert isinstance(verdict, Verdict), verdict
    return verdict


# -- several objectives -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "accepted", "rule"),
    [
        ((0.3, 100), True, "extends the front"),  # clearly better, as large
        ((0.5, 50), True, "extends the front"),  # as good, smaller
        ((0.9, 99), True, "extends the front"),  # much worse, but smaller
        ((0.9, 100), False, "dominated"),  # as large, worse
        ((0.49, 200), False, "not distinguishable"),  # may be better, is larger
        ((0.501, 200), False, "dominated"),  # no better, and larger
        ((0.49, 100), False, "not distinguishable"),
        ((0.5, 100), False, "not distinguishable"),  # equal
        ((0.501, 100), False, "not distinguishable"),
        ((0.51, 100), False, "dominated"),  # a clear regression, as with one objective
        ((math.nan, 50), False, "no result"),
        ((None, 50), False, "no result"),
        ((0.3, None), False, "not measured"),
        ((0.3, math.nan), False, "not measured"),
    ],
)
def test_a_trial_is_accepted_that_is_better_than_each_of_the_front_in_something(
    point: tuple[float | None, ...], accepted: bool, rule: str
) -> None:
    verdict = judged(on_front(point, (0.5, 100.0)))
    assert (verdict.accepted, verdict.rule) == (accepted, rule)


@pytest.mark.parametrize(
    ("latency", "noise", "accepted"),
    [
        (9.4, FIVE, True),  # 6 % faster, beyond the margin
        (9.6, FIVE, False),
        (9.7, None, True),  # the spread is not known: 2 % decide, as they do for an error
        (9.9, None, False),
    ],
)
def test_a_measured_cost_counts_beyond_its_own_spread(
    latency: float, noise: Noise | None, accepted: bool
) -> None:
    figures = on_front((0.6, 100.0, latency), (0.5, 100.0, 10.0), noise=noise)
    assert judged(figures).accepted is accepted


def test_every_trial_of_the_front_must_be_beaten_and_the_one_that_is_not_is_named() -> None:
    front = [(0.4, 400.0), (0.5, 100.0), (0.8, 10.0)]
    assert judged(on_front((0.6, 50.0), *front)).rule == "extends the front"
    verdict = judged(on_front((0.6, 100.0), *front))
    assert (verdict.rule, verdict.against) == ("dominated", 1)
    assert verdict.sentence == (
        "Rejected (dominated): val_mse 0.6 (1 seed), 100 parameters: trial 1 of the front is no "
        "worse in anything; val_mse is 20.00% worse than that of trial 1 with 0.5 (1 seed), "
        "100 parameters: outside the spread of ±5.00%."
    )


def test_a_verdict_tells_a_lower_cost_that_may_be_noise() -> None:
    verdict = judged(on_front((0.6, 100.0, 9.6), (0.5, 100.0, 10.0)))
    assert verdict.rule == "dominated"
    assert verdict.sentence.endswith("; latency is 4.00% lower, which may be noise (±5.00%).")


def test_a_verdict_names_the_trials_that_leave_the_front() -> None:
    figures = on_front((0.45, 90.0), (0.4, 400.0), (0.5, 100.0), (0.6, 95.0), (0.8, 10.0))
    verdict = judged(figures)
    assert verdict.accepted
    assert verdict.sentence == (
        "Accepted (extends the front): val_mse 0.45 (1 seed), 90 parameters: it replaces trials "
        "1 and 2."
    )
    assert figures.compared is not None and figures.compared.replaced == [1, 2]
    alone = judged(on_front((0.45, 90.0), (0.4, 400.0)))
    assert alone.reason.endswith("no trial of the front is as good in everything.")


@pytest.mark.parametrize(
    ("point", "asked"),
    [
        ((0.49, 200.0), True),  # its error may be better
        ((0.5, 100.0), True),
        ((0.501, 200.0), True),
        ((0.51, 200.0), False),  # a clear regression
        ((0.49, 50.0), False),  # it is smaller, whatever its error
        ((0.3, 200.0), False),
    ],
)
def test_another_seed_is_asked_for_where_only_the_error_is_open(point: Point, asked: bool) -> None:
    figures = on_front(point, (0.5, 100.0))
    decision = decide(figures, RULES)
    assert isinstance(decision, AnotherSeed) is asked
    assert isinstance(decide(replace(figures, tried=3), RULES), Verdict)
    if isinstance(decision, AnotherSeed):
        assert "trial 0 with 0.5" in decision.reason and not decision.reason.endswith(".")


def test_no_seed_is_spent_where_another_trial_of_the_front_dominates_in_any_case() -> None:
    decision = decide(on_front((0.49, 200.0), (0.3, 200.0), (0.5, 100.0)), RULES)
    assert isinstance(decision, Verdict) and decision.rule == "dominated"
    assert decision.against == 0


def test_without_a_known_spread_the_thresholds_decide() -> None:
    assert judged(on_front((0.48, 200.0), (0.5, 100.0), noise=None)).rule == "extends the front"
    small = judged(on_front((0.495, 200.0), (0.5, 100.0), noise=None))
    assert (small.accepted, small.rule, small.against) == (True, "small improvement", 0)
    assert "small improvement" in OPEN and "not distinguishable" in OPEN
    assert "dominated" not in OPEN and "extends the front" not in OPEN
    figures = on_front((0.495, 200.0), (0.5, 100.0), noise=None)
    assert isinstance(decide(figures, RULES), AnotherSeed)


def test_the_first_result_and_the_first_whole_one_are_accepted() -> None:
    assert judged(on_front((9.0, None))).rule == "first"
    empty = replace(on_front((9.0, 50.0)), incumbent=0, incumbent_value=0.5, incumbent_seeds=1)
    assert empty.compared is not None
    empty = replace(empty, compared=replace(empty.compared, incumbent_excess=0.0))
    verdict = judged(empty)
    assert (verdict.accepted, verdict.rule) == (True, "extends the front")
    assert verdict.reason.endswith("the front was empty.")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("noise", [None, FIVE, Noise(0.0, 4)], ids=["unknown", "five", "none"])
def test_what_is_accepted_is_never_dominated_and_no_front_gets_worse(
    seed: int, noise: Noise | None
) -> None:
    draw = random.Random(seed)
    front: list[Point] = []
    accepted = 0
    for _ in range(60):
        point = (
            round(draw.uniform(0.2, 1.0), draw.choice((1, 3))),
            float(draw.randint(1, 20)),
            round(draw.uniform(1.0, 3.0), draw.choice((0, 2))),
        )
        front.sort()
        verdict = judged(on_front(point, *front, noise=noise))
        if verdict.accepted:
            assert not any(dominates(member, point) or member == point for member in front)
            front = [*(member for member in front if not dominates(point, member)), point]
            accepted += 1
        elif verdict.rule == "dominated":
            assert any(member[1] <= point[1] and member[0] < 1.0501 * point[0] for member in front)
        else:
            assert verdict.rule == "not distinguishable"
            assert any(
                point[1] >= member[1] and abs(point[0] / member[0] - 1) <= 0.0501
                for member in front
            )
    assert accepted > 1


# -- bounds ---------------------------------------------------------------------------------------


def bounded(
    value: float, latency: float | None, best: tuple[float, float] | None = (0.5, 8.0)
) -> Figures:
    """Return a trial that may take 5 ms beside an incumbent: error and latency."""
    excess = None if best is None else max(0.0, best[1] / 5 - 1)
    compared = Compared(("val_mse",), {"latency_ms": latency}, {"latency_ms": 5.0}, (), excess)
    figures = Figures(value, 1, 1, noise=FIVE, compared=compared)
    if best is None:
        return figures
    return replace(figures, incumbent=0, incumbent_value=best[0], incumbent_seeds=1)


@pytest.mark.parametrize(
    ("figures", "accepted", "rule"),
    [
        (bounded(0.5, 9.0, best=None), True, "first"),
        (bounded(0.4, 9.0), False, "breaks the bounds"),
        (bounded(0.4, 8.0), False, "breaks the bounds"),
        (bounded(0.9, 7.0), True, "nearer to the bounds"),
        (bounded(0.9, 5.0), True, "first within the bounds"),
        (bounded(0.9, 4.0, best=(0.5, 5.0)), False, "clear regression"),
        (bounded(0.3, 4.0, best=(0.5, 5.0)), True, "clear improvement"),
        (bounded(0.3, 5.01, best=(0.5, 5.0)), False, "breaks the bounds"),
        (bounded(0.3, None, best=(0.5, 5.0)), False, "not measured"),
        (bounded(0.3, math.nan), False, "not measured"),
        (bounded(math.nan, 4.0), False, "no result"),
    ],
)
def test_what_keeps_the_bounds_comes_before_what_does_not(
    figures: Figures, accepted: bool, rule: str
) -> None:
    verdict = judged(figures, RULES)
    assert (verdict.accepted, verdict.rule) == (accepted, rule)


def test_a_verdict_by_the_bounds_tells_the_figure_and_the_bound() -> None:
    assert judged(bounded(0.4, 9.0)).reason == (
        "It has 9 ms, and this search allows 5 ms: 80.00% beyond the bounds, no less than "
        "trial 0: 60.00%."
    )
    assert judged(bounded(0.4, 6.0, best=(0.5, 5.0))).reason == (
        "It has 6 ms, and this search allows 5 ms."
    )
    assert judged(bounded(0.3, None)).reason == (
        "val_mse 0.3 (1 seed), but not known in latency, which this search weighs."
    )


def test_any_result_within_the_bounds_is_better_than_one_that_was_never_measured() -> None:
    unknown = bounded(0.9, 4.0)
    assert unknown.compared is not None
    unknown = replace(unknown, compared=replace(unknown.compared, incumbent_excess=None))
    assert judged(unknown).rule == "first within the bounds"


# -- what a verdict keeps -------------------------------------------------------------------------


def test_what_a_trial_was_compared_with_is_kept_as_text_and_read_back() -> None:
    figures = on_front((0.45, 90.0, 1.5), (0.4, 400.0, 2.0), (0.5, 100.0, 3.0))
    assert compared_of(compared_text(figures.compared)) == figures.compared
    assert compared_text(None) == "" and compared_of("") is None


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "{}",
        '{"objectives": ["val_mse"], "values": {}, "at_most": {"speed": 1}}',
        '{"objectives": ["val_mse"], "values": {}, "at_most": {"latency_ms": 0}}',
        '{"objectives": ["val_mse", "flops"], "values": {}, "at_most": {}, '
        '"rivals": [{"number": 0, "values": [0.5], "seeds": 1}]}',
        '{"objectives": [], "values": {}, "at_most": {}}',
        '{"objectives": ["val_mse"], "values": {}, "at_most": {}, '
        '"rivals": [{"number": 0, "values": [0.5], "seeds": -1}]}',
        '{"objectives": ["val_mse"], "values": {}, "at_most": {}, '
        '"noise": {"seconds": {"relative": 0.1, "degrees": 0}}}',
    ],
)
def test_a_text_that_does_not_fit_together_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        compared_of(text)
