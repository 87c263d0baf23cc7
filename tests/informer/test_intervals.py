"""Intervals: the quantile against its definition, coverage against what the theorem promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from data.splits import Floats
from informer.intervals import Intervals, calibrated, coverage, quantile, spread


def drawn(windows: int, seed: int, horizon: int = 2, columns: int = 3) -> tuple[Floats, Floats]:
    """Return errors (N, H, C) whose size follows deviations (N, C), all windows independent."""
    generator = np.random.default_rng(seed)
    spreads = np.exp(generator.normal(size=(windows, columns)))
    sizes = spreads[:, None] * np.linspace(1, 2, horizon)[:, None]
    return generator.normal(size=(windows, horizon, columns)) * sizes, spreads


@pytest.mark.parametrize(
    ("count", "level", "rank"),
    [(9, 0.9, 9), (9, 0.8, 8), (10, 0.9, 10), (19, 0.95, 19), (99, 0.9, 90), (100, 0.9, 91)],
)
def test_a_quantile_is_the_score_with_the_rank_of_the_definition(
    count: int, level: float, rank: int
) -> None:
    scores = np.random.default_rng(count).permutation(np.arange(1.0, count + 1))
    assert quantile(scores, level) == rank


@pytest.mark.parametrize(("count", "level"), [(0, 0.5), (8, 0.9), (18, 0.95)])
def test_too_few_windows_have_no_quantile(count: int, level: float) -> None:
    assert np.isinf(quantile(np.ones((count, 2)), level)).all()


def test_a_quantile_with_equal_scores_holds_them_all() -> None:
    scores = np.ones((50, 1, 1))
    assert coverage(scores, quantile(scores, 0.8)) == 1


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_exchangeable_windows_are_covered_as_promised(level: float) -> None:
    # The coverage of one further window is between the level and the level + 1 / (n + 1).
    trials, count = 4000, 30
    errors, spreads = drawn(trials * (count + 1), seed=5, horizon=1, columns=1)
    scores = np.abs(errors[:, 0, 0] / spreads[:, 0]).reshape(trials, count + 1)
    held = (scores[:, -1] <= quantile(scores[:, :-1].T, level)).mean()
    noise = 4 * math.sqrt(level * (1 - level) / trials)
    assert level - noise < held < level + 1 / (count + 1) + noise


def test_bounds_hold_what_the_record_says_they_held() -> None:
    test = drawn(500, seed=8)
    found = calibrated(*drawn(400, seed=7), levels=(0.8, 0.9), test=test)
    for level in found.levels:
        low, high = found.bounds(np.zeros_like(test[0]), test[1], level)
        held = (low <= test[0]) & (test[0] <= high)
        assert level.test == pytest.approx(held.mean(), abs=1e-12)
        assert level.test_by_column == pytest.approx(held.mean(axis=(0, 1)), abs=1e-12)
        assert level.test == pytest.approx(level.level, abs=0.03)


def test_quantiles_are_those_of_each_step_and_column_alone() -> None:
    errors, spreads = drawn(200, seed=3)
    [level] = calibrated(errors, spreads, levels=(0.9,)).levels
    least = 0.1 * spreads.mean(axis=0)
    for step in range(2):
        for column in range(3):
            scores = sorted(
                abs(error[step, column]) / max(deviation[column], least[column])
                for error, deviation in zip(errors, spreads, strict=True)
            )
            assert level.quantiles[step][column] == scores[math.ceil(201 * 0.9) - 1]


def test_coverage_on_validation_is_of_later_windows_that_share_no_step_with_the_earlier() -> None:
    # Errors grow a hundredfold where the earlier windows end: none of them may have been seen.
    errors, spreads = drawn(205, seed=4, horizon=6)
    errors[100:] *= 100
    [level] = calibrated(errors, spreads, levels=(0.9,)).levels
    assert level.validation is not None and level.validation < 0.2
    apart = calibrated(errors, spreads, levels=(0.9,), apart=5)  # one window lies between
    assert apart.levels[0].validation is not None


def test_levels_without_enough_windows_are_left_out() -> None:
    found = calibrated(*drawn(10, seed=1))
    assert [level.level for level in found.levels] == [0.5, 0.8, 0.9]
    assert found.find(0.95) is None and found.find(0.9) is found.levels[2]
    assert [level.validation is None for level in found.levels] == [False, False, True]
    assert calibrated(*drawn(1, seed=1), levels=(0.8,)).levels == ()


def test_a_look_back_that_stands_still_has_an_interval_all_the_same() -> None:
    errors, spreads = drawn(100, seed=2)
    spreads[:, 0] = 0.0  # always
    found = calibrated(errors, spreads, levels=(0.8,))
    forecast, still = np.zeros((1, 2, 3)), np.zeros((1, 3))
    low, high = found.bounds(forecast, still, found.levels[0])
    assert (low < 0).all() and (high > 0).all()
    assert found.least[0] == 1.0


def test_spread_is_the_deviation_inside_each_look_back() -> None:
    past = np.random.default_rng(6).normal(size=(4, 24, 2))
    assert spread(past)[3, 1] == pytest.approx(np.std(past[3, :, 1]))


def test_a_record_reads_back_to_the_last_bit_and_a_damaged_one_is_refused() -> None:
    found = calibrated(*drawn(50, seed=9), test=drawn(20, seed=10))
    assert Intervals.model_validate_json(found.model_dump_json()) == found
    damaged = found.model_dump()
    damaged["levels"][0]["quantiles"] = damaged["levels"][0]["quantiles"][:1]
    with pytest.raises(ValidationError, match="same steps"):
        Intervals.model_validate(damaged)
    damaged = found.model_dump()
    damaged["least"] = (-1.0, *damaged["least"][1:])
    with pytest.raises(ValidationError, match="negative"):
        Intervals.model_validate(damaged)
