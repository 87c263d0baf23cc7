"""What a check of a CSV file finds, and what the choices do about it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.dates import season
from data.parts import rows_needed, split_rows
from data.quality import Report, choose, longest_flat
from data.registry import DataError
from tests.data.files import check, csv, mine, table


def sentence(report: Report, *words: str) -> str:
    """Return the one finding that holds all words."""
    found = [
        finding.text for finding in report.findings if all(word in finding.text for word in words)
    ]
    assert len(found) == 1, (words, [finding.text for finding in report.findings])
    return found[0]


def complaint(content: bytes, **choices: object) -> str:
    with pytest.raises(DataError) as caught:
        check(content, choose(**choices))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def offers(report: Report) -> list[str]:
    return [offer for finding in report.findings if finding.blocks for offer in finding.options]


def test_a_sound_file_can_be_used_and_is_not_changed() -> None:
    frame = table()
    report = check(csv(frame))
    assert report.usable and report.done == () and report.frequency == "h"
    assert report.frame is not None
    pd.testing.assert_frame_equal(
        report.frame, frame.rename_axis("date"), check_freq=False, check_index_type=False
    )
    assert [column.role for column in report.columns] == ["date", "target", "target"]


# -- the file -----------------------------------------------------------------------------------


def test_one_field_too_many_on_every_line_is_never_shifted() -> None:
    lines = csv(table()).decode().splitlines()
    said = complaint("\n".join([lines[0], *(f"{line},5" for line in lines[1:])]).encode())
    assert "No line has the 3 fields" in said and "line 2 has 4" in said


def test_lines_that_do_not_fit_the_header_are_counted_and_located() -> None:
    lines = csv(table()).decode().splitlines()
    lines[6] += ",1"
    lines[9] = lines[9].rsplit(",", 1)[0]
    report = check("\n".join(lines).encode())
    said = sentence(report, "Line 7 has 4 fields")
    assert "on 1 more lines" in said and not report.usable


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The file is empty"),
        (b"\n\n", "The file is empty"),
        (b"time,a\n", "There is no row below the column names"),
        (b"time,a\n2024-01-01,\xe9\n", "Line 2 is not UTF-8 (byte 0xe9)"),
        ("time,a\n2024-01-01,1\n".encode("utf-16-le"), "Line 1 holds the character NUL"),
        (b'time,a\n2024-01-01,"1\n2024-01-02,2\n', "look for a quotation mark"),
    ],
)
def test_a_file_without_rows_is_one_sentence(content: bytes, said: str) -> None:
    assert said in complaint(content)


def test_a_byte_order_mark_and_semicolons_are_understood_and_told() -> None:
    report = check(b"\xef\xbb\xbf" + csv(table(), sep=";"))
    assert report.usable and "semicolons" in sentence(report, "separated")
    assert report.columns[0].name == "time"


def test_a_decimal_comma_is_read_when_it_is_chosen_and_told_with_a_cell_of_the_file() -> None:
    content = csv(table(), sep=";", decimal=",")
    asked = check(content)
    assert not asked.usable and "--decimal ," in offers(asked)
    assert len([f for f in asked.findings if f.blocks]) == 1, "it is asked once for all columns"
    report = check(content, choose(decimal=","))
    assert report.usable and report.frame is not None
    assert report.frame["a"].tolist() == table()["a"].tolist()
    assert "0,3456 is read as 0.3456" in sentence(report, "comma")


def test_columns_without_a_name_of_their_own_must_be_left_out() -> None:
    content = csv(table()).replace(b"time,a,b", b"time,a,a", 1)
    report = check(content)
    assert "Column 3 has the name 'a' of an earlier one" in sentence(report, "Column 3")
    assert check(content, choose(drop=("a (column 3)",))).usable
    numbered = b"".join(
        b",%s" % line if n == 0 else b"%d,%s" % (n, line)
        for n, line in enumerate(csv(table()).splitlines(keepends=True))
    )
    assert "Column 1 has no name" in sentence(check(numbered), "Column 1")
    assert check(numbered, choose(drop=("column 1",))).usable


def test_values_in_the_place_of_column_names_are_noticed() -> None:
    content = csv(table()).split(b"\n", 1)[1]
    assert "line of column names above" in sentence(check(content), "The first line")


# -- dates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "%Y-%m-%d %H:%M:%S",
        "%Y/%m/%d %H:%M",
        "%d.%m.%Y %H:%M",
        "%Y-%m-%dT%H:%M:%SZ",
        "%d %b %Y %H:%M",
    ],
)
def test_the_format_of_dates_is_found_where_it_is_the_only_one(written: str) -> None:
    frame = table(start="2024-01-13")
    report = check(csv(frame.set_axis(frame.index.strftime(written)).rename_axis("when")))
    assert report.usable, report.findings
    assert report.first == "2024-01-13 00:00:00" and report.frequency == "h"


def test_day_and_month_are_never_guessed() -> None:
    frame = table(12, "D")
    content = csv(frame.set_axis(frame.index.strftime("%d/%m/%Y")).rename_axis("time"))
    report = check(content, None, 2, 1)
    assert not report.usable and report.frame is None
    assert offers(report) == ["--date-format %d/%m/%Y", "--date-format %m/%d/%Y"]
    by_day = check(content, choose(date_format="%d/%m/%Y"), 2, 1)
    assert by_day.usable and by_day.frequency == "D" and by_day.last == "2024-01-12 00:00:00"
    by_month = check(content, choose(date_format="%m/%d/%Y"), 2, 1)
    assert by_month.frequency == "MS" and by_month.last == "2024-12-01 00:00:00"


def test_one_day_beyond_12_settles_the_order() -> None:
    frame = table(20, "D")
    content = csv(frame.set_axis(frame.index.strftime("%d/%m/%Y")).rename_axis("time"))
    report = check(content, None, 2, 1)
    assert report.usable and "01 January 2024" in sentence(report, "dates the rows")


def test_dates_written_in_several_ways_are_read_only_on_request() -> None:
    text = csv(table()).replace(b"2024-01-02 00:00:00", b"2024-01-02")
    report = check(text)
    assert "on line 26" in sentence(report, "several ways")
    assert offers(report) == ["--date-format ISO8601"]
    assert check(text, choose(date_format="ISO8601")).usable


def test_a_date_that_is_none_is_located() -> None:
    report = check(csv(table()).replace(b"2024-01-02 00:00:00", b"yesterday"))
    assert "Line 26 has 'yesterday'" in sentence(report, "yesterday") and not report.usable


def test_of_several_columns_of_dates_one_must_be_chosen() -> None:
    frame = table()
    frame["updated"] = "2024-06-01"
    report = check(csv(frame))
    assert offers(report) == ["--date time", "--date updated"]
    assert "no number" in sentence(check(csv(frame), choose(date="time")), "'updated'", "cells")
    assert check(csv(frame), choose(date="time", drop=("updated",))).usable


def test_a_file_without_dates_asks_for_them() -> None:
    frame = table().reset_index(drop=True).rename_axis("step")
    assert "No column was found that holds dates" in sentence(check(csv(frame)), "No column")


def test_seconds_since_1970_are_offered_and_read() -> None:
    frame = table()
    seconds = (frame.index - pd.Timestamp(0)) // pd.Timedelta(seconds=1)
    content = csv(frame.set_axis(seconds).rename_axis("t"))
    assert offers(check(content)) == ["--date t --date-format s"]
    report = check(content, choose(date="t", date_format="s"))
    assert report.usable and report.first == "2024-01-01 00:00:00"


# -- time zones ---------------------------------------------------------------------------------


def in_berlin(rows: int = 400, start: str = "2024-03-25") -> pd.DataFrame:
    frame = table(rows, start=start)
    return frame.tz_localize("UTC").tz_convert("Europe/Berlin").rename_axis("time")


def test_offsets_that_change_are_turned_to_utc_on_request_alone() -> None:
    report = check(csv(in_berlin()))
    assert "+0100 and +0200" in sentence(report, "offsets") and report.frame is None
    assert offers(report) == ["--timezone UTC"]
    chosen = check(csv(in_berlin()), choose(timezone="UTC"))
    assert chosen.usable and chosen.first == "2024-03-25 00:00:00" and chosen.frequency == "h"
    assert "to UTC" in chosen.done[0]
    assert "time zone that can be chosen is UTC" in complaint(
        csv(in_berlin()), timezone="Europe/Berlin"
    )


def test_one_offset_is_kept_as_written_and_told() -> None:
    report = check(csv(in_berlin(start="2024-01-01")))
    assert report.usable and report.first == "2024-01-01 01:00:00"
    assert "offset +0100" in sentence(report, "offset")


@pytest.mark.parametrize(("start", "fault"), [("2024-03-25", "missing"), ("2024-10-20", "repeats")])
def test_local_times_over_daylight_saving_need_their_zone(start: str, fault: str) -> None:
    local = in_berlin(start=start)
    content = csv(local.tz_localize(None))
    unclear = check(content)
    assert fault in str(unclear.findings[0].text) and "--timezone Europe/Berlin" in offers(unclear)
    chosen = check(content, choose(timezone="Europe/Berlin"))
    assert chosen.usable and chosen.rows == 400, chosen.findings
    assert chosen.first == f"{start} 00:00:00"


def test_an_hour_shown_twice_that_has_one_row_is_told_and_then_missing() -> None:
    local = in_berlin(start="2024-10-20").tz_localize(None)
    once = local[~local.index.duplicated()]  # as a logger writes that keeps one row an hour
    report = check(csv(once), choose(timezone="Europe/Berlin"))
    said = sentence(report, "show twice")
    assert said.startswith("Line 170 has 2024-10-27 02:00:00, which clocks in Europe/Berlin show")
    assert "choose how they are filled." in sentence(report, "1 step of h is missing in 1 gap")
    filled = check(csv(once), choose(timezone="Europe/Berlin", fill="interpolate"))
    assert filled.usable and filled.rows == 400 and filled.frame is not None
    assert filled.frame["a"].iloc[168] == local["a"].iloc[168], "the first of the two is kept"


def test_times_that_mark_the_end_of_an_hour_are_told_and_stay_local() -> None:
    local = in_berlin(start="2024-03-25").tz_localize(None)
    ends = local.set_axis(local.index + pd.Timedelta(hours=1))
    report = check(csv(ends))
    assert "for times that mark the end of an hour" in sentence(report, "missing in 1 gap")
    assert "in Europe/Berlin for times" in sentence(report, "missing in 1 gap")
    assert not any("Berlin" in offer for offer in offers(report)), "it would skip an hour"
    assert check(csv(ends), choose(fill="interpolate")).usable


def test_an_hour_that_is_missing_elsewhere_has_nothing_to_do_with_clocks() -> None:
    local = table(start="2024-03-25").drop(table(start="2024-03-25").index[150])
    assert "clocks" not in sentence(check(csv(local)), "missing in 1 gap")


def test_of_an_hour_shown_twice_the_later_row_is_the_first_where_the_newest_row_is_on_top() -> None:
    local = in_berlin(start="2024-10-20").tz_localize(None)
    report = check(csv(local.iloc[::-1]), choose(timezone="Europe/Berlin"))
    assert report.usable and report.frame is not None
    assert (report.frame["a"].to_numpy() == local["a"].to_numpy()).all()


def test_an_hour_that_clocks_skip_is_refused_with_the_zones_to_try() -> None:
    report = check(csv(table(start="2024-03-25")), choose(timezone="Europe/Berlin"))
    assert "Line 148 has 2024-03-31 02:00:00, an hour that clocks in Europe/Berlin skip" in (
        sentence(report, "skip")
    )
    assert check(csv(table(start="2024-03-25")), choose(timezone="Etc/GMT-1")).usable


def test_an_offset_that_is_missing_once_is_located() -> None:
    content = csv(in_berlin(start="2024-01-01")).replace(b" 12:00:00+01:00", b" 12:00:00", 1)
    report = check(content, choose(date_format="ISO8601"))
    assert "Line 13 has '2024-01-01 12:00:00', without the offset" in sentence(report, "offset")
    assert report.frame is None


@pytest.mark.parametrize("zone", ["Nowhere/City", "../../etc/passwd", "x" * 300, "\0"])
def test_a_time_zone_that_is_none_is_one_sentence(zone: str) -> None:
    assert "is no time zone" in complaint(csv(table()), timezone=zone)


# -- rows ---------------------------------------------------------------------------------------


def test_rows_out_of_order_are_sorted_and_told() -> None:
    frame = table()
    report = check(csv(frame.iloc[::-1]))
    assert "line 3" in sentence(report, "not in order")
    assert report.done == ("Sorted the rows by date.",) and report.usable
    assert report.frame is not None and report.frame["a"].tolist() == frame["a"].tolist()


def test_repeated_dates_are_merged_as_chosen() -> None:
    frame = table()
    twice = pd.concat([frame.iloc[:5], frame.iloc[4:5] + 1, frame.iloc[5:]])
    report = check(csv(twice))
    assert "1 row repeats a date, first on line 7" in sentence(report, "other values")
    assert offers(report) == [f"--duplicates {way}" for way in ("first", "last", "mean")]
    value = frame["a"].iloc[4]
    for way, expected in (("first", value), ("last", value + 1), ("mean", value + 0.5)):
        chosen = check(csv(twice), choose(duplicates=way))
        assert chosen.usable and chosen.frame is not None and len(chosen.done) == 1
        assert chosen.frame["a"].iloc[4] == pytest.approx(expected)
    equal = pd.concat([frame.iloc[:5], frame.iloc[4:]])
    assert offers(check(csv(equal))) == ["--duplicates first"]


def test_gaps_are_counted_located_and_filled_as_chosen() -> None:
    frame = table()
    content = csv(frame.drop(frame.index[[10, 11, 12, 50]]))
    report = check(content)
    said = sentence(report, "missing in 2 gaps")
    assert said.startswith("4 steps of h") and "the longest of 3 from 2024-01-01 10:00:00" in said
    ends = frame["a"].iloc[9], frame["a"].iloc[13]
    expected = {
        "interpolate": np.linspace(*ends, 5)[1:4],
        "forward": [ends[0]] * 3,
        "zero": [0.0] * 3,
    }
    for way, values in expected.items():
        chosen = check(content, choose(fill=way))
        assert chosen.usable and chosen.rows == 400 and chosen.frame is not None
        np.testing.assert_allclose(chosen.frame["a"].iloc[10:13], values)
        assert "Added 4 missing steps of h." in chosen.done
        assert any("Filled 4 values of a" in text for text in chosen.done)


def test_runs_longer_than_the_limit_stay_missing() -> None:
    frame = table()
    report = check(csv(frame.drop(frame.index[[10, 11, 12, 50]])), choose(fill="zero", limit=2))
    assert "3 values of column 'a' are missing" in sentence(report, "column 'a'", "missing")
    assert not report.usable


def test_nothing_is_invented_beyond_the_ends() -> None:
    frame = table()
    frame.iloc[0, 0] = frame.iloc[-1, 1] = np.nan
    report = check(csv(frame), choose(fill="interpolate"))
    assert "1 value of column 'a' is missing" in sentence(report, "'a' is")
    assert "1 value of column 'b' is missing" in sentence(report, "'b' is")


def test_rows_between_the_steps_are_resampled_on_request() -> None:
    frame = table(400)
    late = frame.set_axis(
        frame.index.where(np.arange(400) != 7, frame.index + pd.Timedelta("7min"))
    )
    report = check(csv(late.rename_axis("time")))
    assert "1 of 400 rows lie between steps of h" in sentence(report, "between")
    chosen = check(csv(late.rename_axis("time")), choose(resample="mean"))
    assert chosen.usable and chosen.rows == 400


@pytest.mark.parametrize(("way", "expected"), [("mean", 1.5), ("last", 3.0), ("sum", 6.0)])
def test_resampling_does_what_was_chosen(way: str, expected: float) -> None:
    frame = table(1600, "15min")
    frame["a"] = np.tile([0.0, 1.0, 2.0, 3.0], 400)
    frame.loc[frame.index[4:8], "b"] = np.nan
    report = check(csv(frame), choose(frequency="h", resample=way))
    assert report.rows == 400 and report.frame is not None
    assert report.frame["a"].unique().tolist() == [expected]
    assert np.isnan(report.frame["b"].iloc[1]), "an hour without values has none, not 0"
    assert f"Resampled 1,600 rows to 400 steps of h by their {way}." in report.done


def test_dates_without_a_common_step_ask_for_one() -> None:
    hours = np.cumsum(np.random.default_rng(0).integers(1, 9, 400))
    frame = table().set_axis(pd.Timestamp("2024") + pd.to_timedelta(hours, "h")).rename_axis("t")
    report = check(csv(frame))
    assert "no common step" in sentence(report, "no common step") and not report.usable


@pytest.mark.parametrize("frequency", ["15min", "h", "D", "B", "W-SUN", "MS", "QS-JAN", "YS-JAN"])
def test_the_frequency_is_found_although_a_row_is_missing(frequency: str) -> None:
    frame = table(60, frequency, "2001-01-01")
    assert check(csv(frame)).frequency == frequency
    report = check(csv(frame.drop(frame.index[30])), choose(fill="forward"), 8, 2)
    assert report.frequency == frequency and report.rows == 60


def test_a_frequency_that_would_need_endless_rows_is_refused() -> None:
    frame = table()
    far = frame.set_axis([*frame.index[:-1], pd.Timestamp("9999-01-01")]).rename_axis("time")
    assert "steps of" in complaint(csv(far), frequency="s")


@pytest.mark.parametrize("frequency", ["fortnight", "0h", "-1h", "5", ""])
def test_a_frequency_that_is_none_is_one_sentence(frequency: str) -> None:
    if not frequency:  # nothing chosen
        assert check(csv(table()), choose(frequency=frequency)).frequency == "h"
    else:
        assert "frequency" in complaint(csv(table()), frequency=frequency)


@pytest.mark.parametrize(
    ("frequency", "steps"),
    [("15min", 96), ("h", 24), ("3h", 8), ("D", 7), ("B", 5), ("W-SUN", 52), ("MS", 12), ("YS", 1)],
)
def test_the_season_follows_from_the_frequency(frequency: str, steps: int) -> None:
    assert season(frequency) == steps


# -- columns ------------------------------------------------------------------------------------


def test_cells_that_are_no_numbers_are_located() -> None:
    frame = table().astype(object)
    frame.iloc[3, 0], frame.iloc[9, 0], frame.iloc[5, 1] = "broken", "-", "1,5"
    report = check(csv(frame))
    said = sentence(report, "'broken'")
    assert "Line 5 has" in said and "column 'a'" in said and "2 such cells" in said
    assert "1,5 is read as 1.5" in sentence(report, "'1,5'") and "--decimal ," in offers(report)
    assert check(csv(frame), choose(drop=("a",))).findings[0].text.startswith("Line 7")


@pytest.mark.parametrize("text", ["", "NA", "NaN", "null", "n/a"])
def test_missing_values_are_counted_and_filled(text: str) -> None:
    frame = table().astype(object)
    frame.iloc[3:6, 0] = text
    report = check(csv(frame))
    assert "3 values of column 'a' are missing, first at 2024-01-01 03:00:00" in sentence(
        report, "missing"
    )
    assert [column.missing for column in report.columns] == [0, 3, 0]
    chosen = check(csv(frame), choose(fill="forward"))
    assert chosen.usable and "Filled 3 values of a with the last value before." in chosen.done


@pytest.mark.parametrize("text", ["inf", "-Infinity", "1e999"])
def test_infinite_values_cannot_pass(text: str) -> None:
    frame = table().astype(object)
    frame.iloc[3, 0] = text
    report = check(csv(frame), choose(fill="zero"))
    assert "which is infinite" in sentence(report, "Line 5") and not report.usable


def test_a_constant_column_cannot_be_forecast_but_can_be_seen() -> None:
    frame = table()
    frame["site"] = 7.1
    frame["new"] = np.where(np.arange(400) < 280, 0.0, frame["a"])
    report = check(csv(frame))
    assert "'site' is constant, so" in sentence(report, "'site'", "constant")
    assert "the first 280 rows" in sentence(report, "'new'", "constant")
    assert "--past-only site" in offers(report)
    chosen = check(csv(frame), choose(past_only=("site",), known_future=("new",)))
    assert chosen.usable and "held at 0" in sentence(chosen, "'site'")


def test_a_column_without_values_must_be_left_out() -> None:
    frame = table()
    frame["empty"] = np.nan
    report = check(csv(frame), choose(fill="interpolate"))
    assert "Column 'empty' has no values" in sentence(report, "empty", "values")
    assert offers(report) == ["--drop empty"]


def test_values_that_stand_still_are_located() -> None:
    frame = table()
    frame.iloc[100:140, 1] = 3.25
    report = check(csv(frame))
    said = sentence(report, "one value")
    assert "'b' keeps one value (3.25) for 40 steps from 2024-01-05 04:00:00" in said
    assert report.usable
    assert report.columns[2].longest_flat == 40


@pytest.mark.data
def test_the_days_that_stand_still_in_etth1_are_seen(etth1: object) -> None:
    from data.source import locate

    report = check(locate("ETTh1").read_bytes())
    assert report.usable
    assert "24 steps from 2016-07-31 00:00:00" in sentence(report, "'OT' keeps one value")


def test_longest_flat_knows_gaps() -> None:
    assert longest_flat(np.array([1.0, 2, 2, np.nan, 2, 2, 2, 3])) == (3, 4)
    assert longest_flat(np.array([np.nan])) == (0, 0)
    assert longest_flat(np.array([])) == (0, 0)


# -- length and choices -------------------------------------------------------------------------


@pytest.mark.parametrize(("seq_len", "pred_len"), [(96, 24), (8, 1), (336, 720), (10, 10)])
def test_the_sentence_says_how_many_rows_suffice(seq_len: int, pred_len: int) -> None:
    needed = rows_needed(seq_len, pred_len)
    frame = table(needed)
    assert check(csv(frame), None, seq_len, pred_len).usable
    report = check(csv(frame.iloc[:-1]), None, seq_len, pred_len)
    assert f"need {needed:,}," in sentence(report, "too few")
    training, validation, test = split_rows(needed)
    assert training >= seq_len + pred_len and min(validation, test) >= pred_len


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"drop": ("c",)}, "The file has no column 'c'; it has 'time', 'a', 'b'"),
        ({"target": "a", "past_only": ("a",)}, "column a can play one part only"),
        ({"limit": 3}, "a limit needs a fill"),
        ({"fill": "magic"}, "fill"),
        ({"date_format": "%Q"}, "is no format of dates"),
        ({"date_format": "%d/%m/%Y"}, "No cell of column 'time' is a date written"),
    ],
)
def test_choices_that_do_not_fit_are_one_sentence(choices: dict[str, object], said: str) -> None:
    assert said in complaint(csv(table()), **choices)


def test_whatever_the_file_a_check_never_breaks() -> None:
    generator = np.random.default_rng(5)
    pieces = [
        *(b",", b"\n", b"\r\n", b";", b'"', b"\t", b"\0", b"\xff", b"-", b"+02:00", b"Z", b"e999"),
        *(b"inf", b"nan", b"2024-01-01", b"9999-12-31", b"0001-01-01", b"2024-02-30", b"1" * 400),
        "０１".encode(),
    ]
    ways: list[dict[str, object]] = [
        {},
        {"fill": "interpolate", "duplicates": "mean"},
        {"resample": "mean", "frequency": "D", "duplicates": "last"},
        {"date": "time", "date_format": "ISO8601", "timezone": "UTC"},
        {"timezone": "Europe/Berlin", "fill": "zero"},
    ]
    outcomes = set()
    for number in range(120):
        content = bytearray(mine()[:4000] if number % 2 else csv(table(60)))
        for _ in range(int(generator.integers(0, 8))):
            at = int(generator.integers(0, len(content)))
            piece = pieces[int(generator.integers(len(pieces)))]
            content[at : at + int(generator.integers(0, 12))] = piece
        try:
            report = check(bytes(content), choose(**ways[number % len(ways)]), 8, 2)
        except DataError as error:
            outcomes.add("refused")
            assert "\n" not in str(error)
            continue
        outcomes.add("usable" if report.usable else "not usable")
        if report.usable:
            assert report.frame is not None and np.isfinite(report.frame.to_numpy()).all()
    assert outcomes == {"refused", "usable", "not usable"}
