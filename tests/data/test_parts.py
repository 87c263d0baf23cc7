"""How rows are parted, by shares and by dates, and what is said where that cannot be done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from data.check import main
from data.choices import Choices, Scaling
from data.parts import about_parts, about_scaling, divide, rows_needed, spans, split_rows
from data.registry import DataError
from data.splits import Scaler
from tests.data.files import csv, table

HOURS = pd.date_range("2024-01-01", periods=400, freq="h")


def by_date(validate: str, test: str) -> Choices:
    return Choices(validate_from=validate, test_from=test)


def test_shares_divide_the_rows_and_rounding_goes_to_validation() -> None:
    assert divide(HOURS, Choices()) == (280, 40, 80) == split_rows(400)
    assert divide(HOURS, Choices(shares=(0.6, 0.2, 0.2))) == (240, 80, 80)
    assert sum(split_rows(397, (0.6, 0.2, 0.2))) == 397


def test_dates_are_the_first_rows_of_their_parts() -> None:
    parts = divide(HOURS, by_date("2024-01-08", "2024-01-15 12:00"))
    assert parts == (7 * 24, 7 * 24 + 12, 400 - 14 * 24 - 12)
    training, validation, test = spans(HOURS, parts)
    assert str(training.last) == "2024-01-07 23:00:00" and test.last == HOURS[-1]
    assert str(validation.first) == "2024-01-08 00:00:00"
    assert str(test.first) == "2024-01-15 12:00:00"


def test_a_date_between_two_rows_begins_with_the_row_after_it() -> None:
    training, *_ = divide(HOURS, by_date("2024-01-08 00:30", "2024-01-12"))
    assert HOURS[training] == pd.Timestamp("2024-01-08 01:00")


@pytest.mark.parametrize(
    ("validate", "test", "said"),
    [
        ("2023-01-01", "2024-01-10", "The validation part cannot begin at 2023-01-01"),
        ("2024-01-01", "2024-01-10", "The validation part cannot begin at 2024-01-01"),
        ("2024-01-08", "2025-01-10", "The test part cannot begin at 2025-01-10"),
        ("2024-01-10", "2024-01-08", "which is not after the validation part"),
        ("2024-01-10", "2024-01-10", "which is not after the validation part"),
        ("yesterdayish", "2024-01-10", "'yesterdayish' is no date"),
        ("2024-01-08", "NaT", "'NaT' is no date"),
        ("99999-01-01", "2024-01-10", "is no date"),
    ],
)
def test_dates_that_do_not_fit_are_one_sentence(validate: str, test: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        divide(HOURS, by_date(validate, test))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    parts, [finding] = about_parts(HOURS, by_date(validate, test), 96, 24, 24)
    assert parts is None and finding.blocks


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (by_date("2024-01-03", "2024-01-10"), "The training part has 48 rows"),
        (by_date("2024-01-10", "2024-01-10 12:00"), "The validation part has 12 rows"),
        (by_date("2024-01-10", "2024-01-17"), "The test part has 16 rows"),
        (Choices(shares=(0.9, 0.05, 0.05)), "of which 90 % train, 5 % validate and 5 % test"),
    ],
)
def test_a_part_without_a_window_is_named(choices: Choices, said: str) -> None:
    _, [finding] = about_parts(HOURS, choices, 96, 24, 24)
    assert said in finding.text and finding.level == "error"


@pytest.mark.parametrize("shares", [(0.7, 0.1, 0.2), (0.98, 0.01, 0.01), (0.2, 0.4, 0.4)])
@pytest.mark.parametrize(("seq_len", "pred_len"), [(96, 24), (1, 1), (336, 720)])
def test_the_rows_needed_hold_a_window_in_each_part(
    shares: tuple[float, float, float], seq_len: int, pred_len: int
) -> None:
    def holds(rows: int) -> bool:
        training, *others = split_rows(rows, shares)
        return training >= seq_len + pred_len and min(others) >= pred_len

    needed = rows_needed(seq_len, pred_len, shares)
    assert holds(needed) and not holds(needed - 1)


def test_a_season_longer_than_training_is_a_warning() -> None:
    _, [finding] = about_parts(HOURS, Choices(), 96, 24, 8760)
    assert "8,760 steps is longer than the training part of 280 rows" in finding.text
    assert not finding.blocks


def test_unscaled_columns_of_unlike_size_are_a_warning() -> None:
    frame = table()
    frame["a"] *= 1e5
    parts, unscaled = split_rows(len(frame)), Choices(scaling="none")
    [finding] = about_scaling(frame, parts, unscaled)
    assert "column 'a' varies" in finding.text and not finding.blocks
    assert not about_scaling(frame, parts, Choices())
    assert not about_scaling(frame, parts, Choices(scaling="none", known_future=("a",)))


@pytest.mark.parametrize("scaling", ["standard", "robust", "minmax", "none"])
def test_own_units_come_back_whatever_the_scaling_and_constants_too(scaling: Scaling) -> None:
    values = np.random.default_rng(1).normal(50, 9, (300, 3))
    values[:, 1] = 7.25
    values[::3, 2] = 4.0
    scaler = Scaler.fit(values, scaling)
    assert list(scaler.constant) == [False, True, False]
    scaled = scaler.transform(values)
    assert np.all(scaled[:, 1] == 0)
    assert scaler.inverse(scaled) == pytest.approx(values)
    error = (scaled[1:] - scaled[:-1]) * scaler.scale  # as metrics in own units are had
    assert error == pytest.approx(values[1:] - values[:-1])


def test_the_command_line_divides_and_scales(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(csv(table()))

    def ran(*options: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [str(path), "--json", *options])
        return result.exit_code, result.output

    code, printed = ran("--shares", "0.6,0.2,0.2", "--scaling", "robust")
    assert code == 0 and json.loads(printed)["split_rows"] == [240, 80, 80]
    code, printed = ran("--validate-from", "2024-01-08", "--test-from", "2024-01-12")
    assert code == 0 and json.loads(printed)["split_rows"] == [168, 96, 136]
    for options, said in (
        (("--shares", "0.6,0.6,0.2"), "add up to 1"),
        (("--shares", "half"), "0.7,0.1,0.2"),
        (("--shares", "0.6,0.4"), "shares"),
        (("--test-from", "2024-01-12"), "needs both"),
    ):
        code, printed = ran(*options)
        assert code == 2 and said in printed
