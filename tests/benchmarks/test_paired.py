from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.paired import LEAST_BLOCKS, block_means, compared
from data.splits import Floats


def differences(count: int, horizon: int, windows: int = 2857, seed: int = 0) -> Floats:
    """Return series (count, N) without a true difference, of windows that share H - 1 values."""
    steps = np.random.default_rng(seed).standard_normal((count, windows + horizon))
    summed = steps.cumsum(axis=1)
    means: Floats = (summed[:, horizon:] - summed[:, :-horizon]) / horizon
    return means


@pytest.mark.parametrize("horizon", [24, 96])
def test_forecasters_that_are_equally_good_are_rarely_told_apart(horizon: int) -> None:
    nothing = np.zeros(2857)
    found = [compared(series, nothing, horizon) for series in differences(200, horizon)]
    by_blocks = np.mean([one.p is not None and one.p < 0.05 for one in found])
    by_all = np.mean([one.p_dm is not None and one.p_dm < 0.05 for one in found])
    assert by_blocks == pytest.approx(0.05, abs=0.035)  # two standard errors of 200 draws
    assert by_all == pytest.approx(0.06, abs=0.05)


def test_every_window_taken_for_its_own_would_claim_far_too_much() -> None:
    one_by_one = [compared(series, np.zeros(2857), 1) for series in differences(20, 24)]
    assert np.mean([one.p is not None and one.p < 0.05 for one in one_by_one]) > 0.5


def test_a_forecaster_that_is_better_throughout_is_found_better() -> None:
    (noise,) = differences(1, 24)
    found = compared(0.3 + 0.1 * noise, np.full(2857, 0.35), 24)
    assert found.difference < 0
    assert found.won > 0.9 * found.blocks
    assert found.p is not None
    assert found.p < 1e-6
    assert found.statistic is not None
    assert found.statistic < -2


def test_blocks_share_no_value_they_are_judged_by() -> None:
    window_by_number = np.arange(20.0)
    assert block_means(window_by_number, 3).tolist() == [1, 6, 11, 16]  # windows 0 to 2, 5 to 7, …
    assert block_means(window_by_number, 21).size == 0


def test_too_few_blocks_are_told_and_not_tested() -> None:
    (series,) = differences(1, 720, windows=2161)
    found = compared(series, np.zeros(2161), 720)
    assert found.blocks < LEAST_BLOCKS
    assert (found.p, found.statistic, found.p_dm) == (None, None, None)
    assert found.windows == 2161


def test_the_statistic_of_all_windows_is_that_of_harvey_leybourne_and_newbold() -> None:
    (series,) = differences(1, 3, windows=40)
    centred = series - series.mean()
    covariances = [
        (centred[lag:] * centred[: 40 - lag]).mean() * (40 - lag) / 40 for lag in (0, 1, 2)
    ]
    variance = (covariances[0] + 2 * covariances[1] + 2 * covariances[2]) / 40
    shortness = (40 + 1 - 2 * 3 + 3 * 2 / 40) / 40
    expected = math.sqrt(shortness) * series.mean() / math.sqrt(variance)
    found = compared(series, np.zeros(40), 3)
    assert found.statistic == pytest.approx(expected)
    assert found.p_dm == pytest.approx(2 * stats.t(39).sf(abs(expected)))


def test_equal_errors_are_no_difference() -> None:
    found = compared(np.ones(500), np.ones(500), 24)
    assert found.p == 1.0
    assert found.statistic is None
    assert found.autocorrelation == 0.0
