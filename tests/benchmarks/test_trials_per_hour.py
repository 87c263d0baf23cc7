"""The comparison with Informer2020: what is drawn, what each side is told, and how time is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import trials_per_hour
from benchmarks.trials_per_hour import (
    VARIANTS,
    WAYS,
    Block,
    Trained,
    arguments,
    compared,
    drawn,
    faster,
    ratios,
    step_ratios,
    summary,
)
from informer.config import PUBLISHED, RunConfig

ONE, TWO = WAYS
OURS = next(iter(VARIANTS))


def block(processes: int, seconds: float, training: float = 1.0, judging: float = 1.0) -> Block:
    trained = Trained(1.0, 6, training, judging, training + judging, 500.0)
    return Block(processes, seconds, (trained, trained))


def test_configurations_are_valid_different_and_the_same_for_a_seed() -> None:
    found = drawn(12, (64, 128), seed=1)
    assert found == drawn(12, (64, 128), seed=1) != drawn(12, (64, 128), seed=2)
    assert len({tuple(sorted(each.items())) for each in found}) == 12
    assert [each["model.d_model"] for each in found] == [64, 128] * 6
    for each in found:
        RunConfig().with_changes({**PUBLISHED, **each})


def test_later_rounds_do_not_change_what_earlier_ones_are_given() -> None:
    assert drawn(8, (64,), seed=1)[:4] == drawn(4, (64,), seed=1)


def test_informer2020_is_told_every_setting_that_is_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(trials_per_hour, "locate", lambda name: tmp_path / f"{name}.csv")
    names = {"model.attention": "attn", "training.optimizer_params.lr": "learning_rate"}
    for changes in drawn(20, (64,), seed=3):
        told = arguments(RunConfig().with_changes({**PUBLISHED, **changes}), tmp_path)
        for key, value in changes.items():
            assert told[names.get(key, key.partition(".")[2])] == value
        assert told["data_path"] == "ETTh1.csv"


def test_seconds_of_processes_that_work_side_by_side_count_half() -> None:
    alone, beside = block(1, 10, 3, 1), block(2, 10, 6, 2)
    assert alone.split() == beside.split() == (3, 1, 1)
    assert alone.per_hour == beside.per_hour == 720


def test_a_ratio_is_of_trials_an_hour_round_by_round() -> None:
    theirs, ours = [block(1, 40), block(1, 60)], [block(2, 10), block(2, 30)]
    assert ratios(theirs, ours) == [4, 2]


def test_the_ratio_of_steps_leaves_judging_and_the_start_out() -> None:
    assert step_ratios([block(1, 50, 9, 8)], [block(2, 20, 6, 1)]) == [3]


def test_informer2020_is_compared_by_the_way_that_is_faster_over_all_rounds() -> None:
    measured = {
        ONE: [block(1, 10), block(1, 90)],
        TWO: [block(2, 40), block(2, 40)],
        OURS: [block(2, 20), block(2, 10)],
    }
    assert faster(measured) == TWO
    assert f"| {OURS} | 3.00 | 2.00 | 4.00 |" in "".join(compared(measured))


def test_rows_tell_means_over_all_trials_of_a_way() -> None:
    measured = {way: [block(2, 20, 6, 4), block(2, 40, 10, 8)] for way in (ONE, TWO, OURS)}
    rows = "".join(summary(measured)).splitlines()
    assert rows[-1] == f"| {OURS} | 240.0 | 15.0 | 4.0 | 3.0 | 8.0 | 14.0 | 6.0 | 1.0000 | 500 |"
