from __future__ import annotations

import pytest

from benchmarks.time_to_quality import BOUND, SECONDS, Passed, Ridge, by_epoch, chosen, marks_of


def passed(epoch: int, val_mse: float, test_mse: float, seconds: float = 5.0) -> Passed:
    at = epoch * seconds
    return Passed(epoch, at, 0.9 * at, at, val_mse, test_mse)


FIRST = [passed(1, 0.42, 0.32), passed(2, 0.40, 0.306), passed(3, 0.41, 0.29)]
SECOND = [passed(1, 0.43, 0.32), passed(2, 0.41, 0.302), passed(3, 0.40, 0.30)]


def test_validation_chooses_the_epoch_whatever_the_test_part_says() -> None:
    best = chosen(FIRST)
    assert best is not None
    assert best.epoch == 2


def test_only_epochs_that_ended_in_time_are_chosen_from() -> None:
    best = chosen(SECOND, within=10.0)
    assert best is not None
    assert best.epoch == 2
    assert chosen(SECOND, within=4.0) is None


def test_epochs_are_told_by_the_mean_over_seeds() -> None:
    means = by_epoch([FIRST, SECOND])
    assert [round(one.test_mse, 3) for one, _ in means] == [0.32, 0.304, 0.295]
    assert means[1][1] == pytest.approx(0.00283, abs=1e-5)


def test_marks_count_seconds_to_the_bound_and_a_lead_beyond_the_spread_of_seeds() -> None:
    until, by_then, lead = marks_of([FIRST, SECOND], Ridge(0.1, 0.4, 0.3095))
    assert (until.measured, until.bound) == (10.0, SECONDS)
    assert by_then.measured == pytest.approx(0.303)
    assert by_then.bound == BOUND
    assert lead.measured == pytest.approx(0.3095 - 0.303 - 0.00424, abs=1e-5)
    assert until.met
    assert by_then.met
    assert lead.met


def test_what_is_never_reached_misses_its_marks() -> None:
    slow = [passed(1, 0.42, 0.32, seconds=30), passed(2, 0.40, 0.31, seconds=30)]
    marks = marks_of([slow, slow], Ridge(0.1, 0.4, 0.3095))
    assert [mark.met for mark in marks] == [False, False, False]
    assert marks[0].measured is None
