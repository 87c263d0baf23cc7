"""Dates whose times of day stand in another column, and values that stand for missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.choices import Choices
from data.quality import Report, choose
from data.registry import DataError, Dataset
from informer import recent
from tests.data.files import check, csv, table


def parted(frame: pd.DataFrame, clock: str) -> pd.DataFrame:
    """Return a table whose index stands in two columns, of dates and of times of day."""
    times = pd.DatetimeIndex(frame.index)
    whole = frame.reset_index(drop=True)
    whole.insert(0, "Time", times.strftime(clock))
    whole.insert(0, "Date", times.strftime("%d/%m/%Y"))
    return whole


def texts(report: Report, level: str) -> list[str]:
    return [finding.text for finding in report.findings if finding.level == level]


def offers(report: Report) -> list[str]:
    return [offer for finding in report.findings for offer in finding.options]


@pytest.mark.parametrize("clock", ["%H:%M", "%H.%M.%S", "%H:%M:%S", "%I:%M %p", "%H"])
def test_times_of_day_in_a_column_of_their_own_are_offered_and_joined(clock: str) -> None:
    frame = table()
    content = parted(frame, clock).to_csv(index=False).encode()
    unclear = check(content)
    [said] = [text for text in texts(unclear, "choose") if "Time" in text]
    assert said.startswith(
        "The dates repeat and have no times of day, which stand in column 'Time'"
    )
    assert "--time Time" in offers(unclear) and not any(
        "--duplicates" in o for o in offers(unclear)
    )
    report = check(content, choose(time="Time"))
    assert report.usable and report.frequency == "h" and report.frame is not None
    assert [column.role for column in report.columns] == ["date", "time", "target", "target"]
    assert (report.frame.index == frame.index).all()
    np.testing.assert_array_equal(report.frame.to_numpy(), frame.to_numpy())


def test_a_time_of_day_that_is_none_is_located() -> None:
    whole = parted(table(), "%H:%M")
    whole.loc[7, "Time"] = "25:00"
    report = check(whole.to_csv(index=False).encode(), choose(time="Time"))
    assert texts(report, "error")[0].startswith(
        "Line 9 has '01/01/2024 25:00', which is no date written %d/%m/%Y %H:%M, in columns 'Date' "
        "and 'Time'"
    )


def test_a_column_of_times_has_no_other_part() -> None:
    with pytest.raises(DataError, match="column Time can play one part only"):
        choose(time="Time", drop=("Time",))


def test_dates_in_a_column_without_a_name_are_no_fault() -> None:
    content = csv(table()).replace(b"time,", b",", 1)
    assert content.startswith(b",a,b") and check(content).usable


@pytest.mark.parametrize(
    ("mark", "chosen"), [("-200", "-200"), ("-200.0", "-200"), ("n.d.", "N.D."), ("inf", "inf")]
)
def test_what_was_chosen_to_stand_for_missing_is_read_so_and_counted(
    mark: str, chosen: str
) -> None:
    frame = table().astype(object)
    frame.iloc[5:8, 0] = mark
    report = check(csv(frame), choose(missing=(chosen,)))
    assert report.done == (f"Read 3 cells of 1 column as missing, for {chosen}.",)
    assert texts(report, "choose")[0].startswith("3 values of column 'a' are missing")
    filled = check(csv(frame), choose(missing=(chosen,), fill="interpolate"))
    assert filled.usable and filled.frame is not None and filled.frame["a"].abs().max() < 100


def test_minus_200_with_a_decimal_comma_is_minus_200() -> None:
    lines = ["time;a", *(f"{t};{i},5" for i, t in enumerate(table().index))]
    lines[3] = lines[3].split(";")[0] + ";-200,0"
    report = check("\n".join(lines).encode(), choose(missing=("-200",), decimal=","))
    assert report.done[0].startswith("Read 1 cell of 1 column as missing")


def test_a_value_that_looks_as_if_it_stood_for_missing_is_told_once() -> None:
    frame = table()
    frame.iloc[20:60] = -999.0
    report = check(csv(frame))
    [said] = texts(report, "warning")
    assert said.startswith("-999 is the lowest value of 2 columns ('a', 'b'), and far from the")
    assert "--missing -999" in offers(report)


def test_a_low_value_among_its_like_is_none() -> None:
    frame = table() * 100 - 150
    frame.iloc[3, 0] = -200.0
    assert not texts(check(csv(frame)), "warning")


def test_many_columns_with_missing_values_are_told_in_one_sentence() -> None:
    frame = pd.concat([table().add_suffix(str(n)) for n in range(3)], axis=1)
    frame.iloc[10:20] = np.nan
    frame.iloc[20:380, 0] = np.nan
    [said] = texts(check(csv(frame)), "choose")
    assert said.startswith("Values are missing in 6 columns, of 400 rows most in 'a0' (370)")
    filled = check(csv(frame), choose(fill="forward"))
    assert "370 of 400 values of column 'a0' are missing and filled" in texts(filled, "warning")[0]


def test_new_rows_are_read_as_the_data_were(tmp_path: Path) -> None:
    whole = parted(table(400), "%H.%M")
    whole.loc[30, "a"] = -200
    path = tmp_path / "recent.csv"
    whole.to_csv(path, index=False)
    dataset = Dataset(
        name="mine",
        description="",
        columns=("a", "b"),
        target="b",
        frequency="h",
        season=24,
        split_rows=(10, 10, 10),
    )
    choices = Choices(date="Date", time="Time", missing=("-200",), fill="interpolate")
    found = recent.read(path, dataset, dataset.roles("M", "b"), choices)
    assert found.frame.index[1] == pd.Timestamp("2024-01-01 01:00")
    assert found.frame["a"].min() > -100 and "for -200" in found.notes[0]
    assert not any("left aside" in note for note in found.notes)
