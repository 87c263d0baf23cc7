"""Forecasts beyond the end: the bits of the model, dates, bounds, and refusals in words."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result

from data.choices import Choices
from data.registry import DataError, Features
from data.series import Series
from data.splits import Floats
from data.windows import Windows
from informer import recent
from informer.bundle import Bundle, BundleError
from informer.bundle_format import INTERVALS
from informer.config import Value
from informer.intervals import follow, spread
from informer.predict import Forecast, intervals_of, main, predict
from tests.informer.untrained import bundle_of, dataset_of, rows

SEEN, AHEAD = 8, 4  # look-back and horizon of the models here

INFORMER: dict[str, Value] = {
    "data.seq_len": 16,
    "data.label_len": 4,
    "model.e_layers": 2,
    "model.head": "decoder",
    "model.distil": True,
    "model.d_model": 8,
    "model.n_heads": 2,
    "model.d_ff": 16,
}
PATCH: dict[str, Value] = INFORMER | {
    "data.label_len": 0,
    "model.e_layers": 1,
    "model.head": "linear",
    "model.distil": False,
    "model.tokens": "patch",
    "model.patch_len": 4,
    "model.patch_stride": 2,
    "model.channels": "independent",
    "model.normalisation": "revin",
}


def by_windows(bundle: Bundle, source: Series) -> Floats:
    """Return what the model forecasts (H, C) of the last window of the test part."""
    windows = Windows(source, "test", bundle.config.data.seq_len, AHEAD, torch.device("cpu"))
    batch = windows.batch(torch.tensor([len(windows) - 1]))
    with torch.inference_mode():
        scaled = bundle.model()(batch.values, batch.known)[0].double().numpy()
    return source.scaler.of(source.outputs).inverse(scaled)


@pytest.fixture
def plain(tmp_path: Path) -> tuple[Bundle, pd.DataFrame]:
    """A bundle of a linear model of three columns, and the table."""
    frame = rows(100)
    return bundle_of(tmp_path / "bundle", dataset_of(frame), frame)[0], frame


# -- what is forecast ---------------------------------------------------------------------------


@pytest.mark.parametrize("features", ["M", "MS", "S"])
@pytest.mark.parametrize("changes", [{}, INFORMER, PATCH], ids=["linear", "informer", "patch"])
def test_the_forecast_beyond_the_end_is_the_model_s_to_the_last_bit(
    tmp_path: Path, features: Features, changes: dict[str, Value]
) -> None:
    frame = rows(100)
    facts = dataset_of(frame, past_only=("wind",), known_future=("price",))
    bundle, source = bundle_of(tmp_path / "b", facts, frame, features, changes=changes)
    until = frame.copy()  # the last window of the test part, before its truth has come
    until.iloc[-AHEAD:, :2] = np.nan
    forecast = predict(bundle, until)
    assert np.array_equal(forecast.values, by_windows(bundle, source))
    assert forecast.columns == source.roles.forecast
    assert list(forecast.dates) == list(frame.index[-AHEAD:])


def test_bounds_are_those_of_the_calibrated_widths_after_the_misses_until_then(
    plain: tuple[Bundle, pd.DataFrame],
) -> None:
    bundle, frame = plain
    past = frame.iloc[:-AHEAD]
    forecast = predict(bundle, past, levels=(0.8, 0.95))
    # Training has seen 60 rows: 36 forecasts from there on were of rows it had not seen.
    assert forecast.followed == len(past) - 60
    scaled = bundle.scaler.transform(frame.to_numpy())
    origins = range(60, len(past))
    made = [predict(bundle, frame.iloc[:origin]).values for origin in origins]
    truth = np.stack([scaled[origin : origin + AHEAD] for origin in origins])
    sizes = np.abs(truth - bundle.scaler.transform(np.stack(made)))
    spreads = spread(np.stack([scaled[origin - SEEN : origin] for origin in origins]))
    intervals = intervals_of(bundle)
    assert intervals is not None
    for value in (0.8, 0.95):
        level = intervals.find(value)
        assert level is not None
        factors = follow(sizes, intervals.half_widths(spreads, level), value)[-1]
        own = spread(scaled[None, len(past) - SEEN : len(past)])
        half = factors * intervals.half_widths(own, level)[0] * bundle.scaler.scale
        low, high = forecast.bounds[value]
        assert low == pytest.approx(forecast.values - half, rel=1e-4)
        assert high == pytest.approx(forecast.values + half, rel=1e-4)


def test_rows_that_training_has_seen_tell_nothing_about_errors(
    plain: tuple[Bundle, pd.DataFrame],
) -> None:
    bundle, frame = plain
    assert predict(bundle, frame.iloc[:60]).followed == 0
    assert predict(bundle, frame.iloc[:61]).followed == 1
    assert predict(bundle, frame.iloc[-SEEN:]).followed == 0
    assert predict(bundle, frame.iloc[-SEEN - 3 :]).followed == 3


def test_earlier_rows_with_holes_do_not_matter(plain: tuple[Bundle, pd.DataFrame]) -> None:
    bundle, frame = plain
    holed = frame.copy()
    holed.iloc[-SEEN - 1] = np.nan
    holed = holed.drop(frame.index[-SEEN - 5])
    forecast = predict(bundle, holed)
    assert np.array_equal(forecast.values, predict(bundle, frame).values)
    assert forecast.followed == 0


def test_a_column_that_was_constant_in_training_has_no_say(tmp_path: Path) -> None:
    frame = rows(100).assign(wind=2.0)
    bundle, _ = bundle_of(tmp_path / "b", dataset_of(frame, past_only=("wind",)), frame)
    assert np.array_equal(
        predict(bundle, frame).values, predict(bundle, frame.assign(wind=1e9)).values
    )


@pytest.mark.parametrize(
    ("frequency", "start", "expected"),
    [
        ("h", "2024-02-25 21:00", ["2024-02-29 23:00", "2024-03-01 00:00", "2024-03-01 01:00"]),
        ("15min", "2023-12-30 23:00", ["2023-12-31 23:45", "2024-01-01 00:00", "2024-01-01 00:15"]),
        ("D", "2022-11-21", ["2023-02-28", "2023-03-01", "2023-03-02"]),
        ("B", "2023-09-25", ["2024-02-08", "2024-02-09", "2024-02-12"]),
        ("W-SUN", "2022-01-09", ["2023-12-10", "2023-12-17", "2023-12-24"]),
        ("MS", "2015-01-01", ["2023-04-01", "2023-05-01", "2023-06-01"]),
        ("ME", "2015-01-31", ["2023-04-30", "2023-05-31", "2023-06-30"]),
        ("QS", "1990-01-01", ["2014-10-01", "2015-01-01", "2015-04-01"]),
    ],
)
def test_dates_go_on_as_the_calendar_does(
    tmp_path: Path, frequency: str, start: str, expected: list[str]
) -> None:
    frame = rows(100, frequency, start)
    bundle, _ = bundle_of(tmp_path / "b", dataset_of(frame, frequency=frequency), frame)
    cut = frame.loc[: pd.Timestamp(expected[0]) - pd.Timedelta(seconds=1)]
    dates = predict(bundle, cut).dates
    assert list(dates[:3]) == [pd.Timestamp(date) for date in expected]
    assert list(frame.index[frame.index.isin(dates)]) == list(dates)[: len(frame) - len(cut)]


def test_values_in_other_units_are_told(plain: tuple[Bundle, pd.DataFrame]) -> None:
    bundle, frame = plain
    assert predict(bundle, frame).notes == ()
    [note] = predict(bundle, frame.assign(load=frame.load * 1000)).notes
    assert note.startswith("Values of 'load' lie more than 20 scales from the centre")


# -- what cannot be forecast from ---------------------------------------------------------------


def _short(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[-5:]


def _hole(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(frame.index[-3])


def _missing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(wind=frame.wind.where(frame.index != frame.index[-2]))


def _between(frame: pd.DataFrame) -> pd.DataFrame:
    extra = frame.iloc[[-3]].set_axis(frame.index[[-3]] + pd.Timedelta(minutes=20))
    return pd.concat((frame, extra))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            _short,
            "There are 5 steps of h up to 2024-01-05 03:00:00, and the model looks back over 8; "
            "give a file that begins at 2024-01-04 20:00:00 or earlier.",
        ),
        (
            _hole,
            "There is no row at 2024-01-05 01:00:00, and the last 8 steps of h up to 2024-01-05 "
            "03:00:00 must be complete; put in what is missing.",
        ),
        (
            _missing,
            "There is no value of 'wind' at 2024-01-05 02:00:00, and the last 8 steps of h up to "
            "2024-01-05 03:00:00 must be complete; put in what is missing.",
        ),
        (
            _between,
            "There is a row at 2024-01-05 01:20:00, which is no step of h; bring the rows to the "
            "steps that the model was trained on.",
        ),
        (
            lambda frame: pd.concat((frame, frame.iloc[[-2]])),
            "There are several rows of 2024-01-05 02:00:00; keep one of each step.",
        ),
        (
            lambda frame: frame.drop(columns="wind"),
            "There is no column 'wind', which the model needs.",
        ),
        (
            lambda frame: frame * np.nan,
            "There is no value in 'load', 'wind', 'price'.",
        ),
        (
            lambda frame: frame.assign(load=np.inf),
            "Column 'load' has a value that is infinite; mend it.",
        ),
        (
            lambda frame: frame.tz_localize("UTC"),
            "Rows must be indexed by dates without zone, in UTC where one is known.",
        ),
    ],
)
def test_a_table_that_does_not_suffice_is_refused_in_a_sentence(
    plain: tuple[Bundle, pd.DataFrame],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    sentence: str,
) -> None:
    bundle, frame = plain
    with pytest.raises(DataError) as refused:
        predict(bundle, change(frame))
    assert str(refused.value) == sentence


def test_a_last_date_that_is_no_step_is_refused(tmp_path: Path) -> None:
    frame = rows(100, "MS", "2015-01-01")
    bundle, _ = bundle_of(tmp_path / "b", dataset_of(frame, frequency="MS"), frame)
    late = frame.rename(index={frame.index[-1]: pd.Timestamp("2023-04-15")})
    with pytest.raises(DataError) as refused:
        predict(bundle, late)
    assert str(refused.value) == (
        "The last value is of 2023-04-15 00:00:00, which is no step of MS."
    )


def test_what_is_known_in_advance_must_be_given(tmp_path: Path) -> None:
    frame = rows(100)
    bundle, _ = bundle_of(tmp_path / "b", dataset_of(frame, known_future=("price",)), frame)
    until = frame.copy()
    until.iloc[-AHEAD:, :2] = np.nan
    with pytest.raises(DataError) as refused:
        predict(bundle, until.iloc[:-1])
    assert str(refused.value) == (
        "Column 'price' is known in advance, and its value at 2024-01-05 03:00:00 is missing; add "
        "rows after 2024-01-04 23:00:00 up to 2024-01-05 03:00:00, in which the other columns are "
        "empty."
    )


def test_levels_that_the_bundle_has_not_are_refused(plain: tuple[Bundle, pd.DataFrame]) -> None:
    bundle, frame = plain
    with pytest.raises(BundleError, match="no intervals of 99 %; it has 50, 80, 90, 95"):
        predict(bundle, frame, levels=(0.99,))
    assert set(predict(bundle, frame).bounds) == {0.8, 0.9}
    without = {name: content for name, content in bundle.contents.items() if name != INTERVALS}
    bare = Bundle(**{**bundle.__dict__, "contents": without})
    assert predict(bare, frame).bounds == {}
    with pytest.raises(BundleError, match="it has none"):
        predict(bare, frame, levels=(0.8,))


# -- the command --------------------------------------------------------------------------------


def run(folder: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["--bundle", str(folder), *map(str, arguments)])


def test_the_command_writes_what_the_function_returns(
    plain: tuple[Bundle, pd.DataFrame], tmp_path: Path
) -> None:
    bundle, frame = plain
    file, output = tmp_path / "recent.csv", tmp_path / "forecast.csv"
    shuffled = frame.reset_index()[["price", "load", "date", "wind"]].assign(spare="text")
    shuffled.to_csv(file, index=False)
    before = file.read_bytes()
    ended = run(bundle.path, "--input", file, "--output", output, "--level", "80")
    assert ended.exit_code == 0, ended.output
    assert "left aside: 'spare'" in ended.stderr
    assert "Intervals of 80 % held" in ended.stderr and "last 40 steps" in ended.stderr
    expected = predict(bundle, frame, levels=(0.8,)).table()
    found = pd.read_csv(output, index_col="date", parse_dates=True)
    assert list(found.columns[:3]) == ["load", "load_low_80", "load_high_80"]
    assert np.array_equal(found.to_numpy(), expected.to_numpy())
    assert list(found.index) == list(expected.index)
    assert file.read_bytes() == before


def test_a_parquet_file_and_json_give_the_same(
    plain: tuple[Bundle, pd.DataFrame], tmp_path: Path
) -> None:
    bundle, frame = plain
    frame.reset_index().to_parquet(tmp_path / "recent.parquet")
    ended = run(bundle.path, "--input", tmp_path / "recent.parquet", "--json")
    assert ended.exit_code == 0, ended.output
    found, expected = json.loads(ended.stdout), predict(bundle, frame)
    assert found["forecast"]["wind"] == expected.values[:, 1].tolist()
    assert found["intervals"]["90"]["high"]["price"] == expected.bounds[0.9][1][:, 2].tolist()
    assert found["dates"][0] == "2024-01-05 04:00:00" and found["followed"] == 40


def test_without_an_output_a_table_is_shown(
    plain: tuple[Bundle, pd.DataFrame], tmp_path: Path
) -> None:
    bundle, frame = plain
    frame.to_csv(tmp_path / "recent.csv")
    ended = run(bundle.path, "--input", tmp_path / "recent.csv")
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["load", "wind", "price"]
    assert lines[-2].startswith("2024-01-05 07:00:00")
    assert lines[-1] == "With --output: the bounds of intervals."


def test_outputs_that_stand_are_kept(plain: tuple[Bundle, pd.DataFrame], tmp_path: Path) -> None:
    bundle, frame = plain
    file, output = tmp_path / "recent.csv", tmp_path / "forecast.csv"
    frame.to_csv(file)
    output.write_text("mine")
    ended = run(bundle.path, "--input", file, "--output", file, "--replace")
    assert ended.exit_code == 2 and "which is never overwritten" in ended.stderr
    ended = run(bundle.path, "--input", file, "--output", output)
    assert ended.exit_code == 2 and "ask to --replace it" in ended.stderr
    assert output.read_text() == "mine"
    assert run(bundle.path, "--input", file, "--output", output, "--replace").exit_code == 0
    assert output.read_text().startswith("date,")
    ended = run(bundle.path, "--input", file, "--output", tmp_path / "none" / "x.csv")
    assert ended.exit_code == 2 and "cannot be written (No such file" in ended.stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("date,load,wind\n2024-01-01,1,2\n", "The file has no column 'price', which the model"),
        ("day,load,wind,price\n2024-01-01,1,2,3\n", "The file has no column 'date', which the"),
        ("date,load,wind,price\n2024-01-01,1,x,3\n", "Line 2 has 'x' in column 'wind', which is"),
        ("date,load,wind,price\n2024-01-01,1,inf,3\n", "Line 2 has 'inf' in column 'wind', which"),
        ("date,load,wind,price\n2024-01-01,,,\n", "The file has no value in 'load', 'wind'"),
        ("date,load,wind,price\n01/02/2024,1,2,3\n", "'01/02/2024' in column 'date' may be"),
        ("date,load,wind,price\n2024-01-01,1,2\n", "No line has the 4 fields that the header"),
        ("", "The file is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    plain: tuple[Bundle, pd.DataFrame], tmp_path: Path, content: str, sentence: str
) -> None:
    (tmp_path / "recent.csv").write_text(content)
    ended = run(plain[0].path, "--input", tmp_path / "recent.csv")
    assert ended.exit_code == 2
    assert ended.stderr.startswith(sentence) and ended.stderr.count("\n") == 1


def test_a_date_format_that_became_unclear_can_be_given(
    plain: tuple[Bundle, pd.DataFrame], tmp_path: Path
) -> None:
    bundle, frame = plain
    file = tmp_path / "recent.csv"
    frame.to_csv(file, date_format="%d/%m/%Y %H:%M")
    assert "may be" in run(bundle.path, "--input", file).stderr
    ended = run(bundle.path, "--input", file, "--date-format", "%d/%m/%Y %H:%M", "--output", "-")
    assert ended.stdout.splitlines()[1].startswith("2024-01-05 04:00:00,")


def test_dates_are_written_in_the_zone_that_was_chosen(tmp_path: Path) -> None:
    utc = rows(100, "h", "2024-03-27 00:00")  # daylight saving begins on 31 March at 01:00 UTC
    choices = Choices(date="date", timezone="Europe/Berlin")
    bundle, _ = bundle_of(tmp_path / "b", dataset_of(utc), utc, choices=choices)
    cut = utc.loc[: pd.Timestamp("2024-03-30 23:00")]
    local = cut.tz_localize("UTC").tz_convert("Europe/Berlin").tz_localize(None)
    local.to_csv(tmp_path / "recent.csv")
    ended = run(bundle.path, "--input", tmp_path / "recent.csv", "--output", "-", "--level", "80")
    assert ended.exit_code == 0, ended.output
    written = [line[0] for line in csv.reader(io.StringIO(ended.stdout))]
    assert written == [
        "date",
        "2024-03-31 01:00:00+01:00",
        "2024-03-31 03:00:00+02:00",
        "2024-03-31 04:00:00+02:00",
        "2024-03-31 05:00:00+02:00",
    ]
    assert "Converted the dates from Europe/Berlin to UTC." in ended.stderr
    short = local.iloc[-5:]
    short.to_csv(tmp_path / "short.csv")
    ended = run(bundle.path, "--input", tmp_path / "short.csv")
    assert "begins at 2024-03-30 17:00:00+01:00 or earlier" in ended.stderr


def test_gaps_are_filled_as_was_chosen_and_never_beyond_the_last_value(tmp_path: Path) -> None:
    frame = rows(100)
    facts = dataset_of(frame, known_future=("price",))
    choices = Choices(date="date", fill="forward", known_future=("price",))
    bundle, _ = bundle_of(tmp_path / "b", facts, frame, choices=choices)
    file = frame.copy()
    file.iloc[-AHEAD:, :2] = np.nan
    file = file.drop(frame.index[-AHEAD - 3])
    file.to_csv(tmp_path / "recent.csv")
    found = recent.read(tmp_path / "recent.csv", bundle.dataset, bundle.roles, choices)
    assert found.frame.load.isna().sum() == AHEAD
    assert "Added 1 missing steps of h." in found.notes
    filled = frame.copy()
    filled.iloc[-AHEAD - 3] = frame.iloc[-AHEAD - 4]
    filled.iloc[-AHEAD:, :2] = np.nan
    assert np.array_equal(predict(bundle, found.frame).values, predict(bundle, filled).values)


def test_a_column_name_is_no_formula_for_a_spreadsheet(tmp_path: Path) -> None:
    frame = rows(100).rename(columns={"load": "=HYPERLINK(1)"})
    bundle, _ = bundle_of(tmp_path / "b", dataset_of(frame), frame)
    frame.to_csv(tmp_path / "recent.csv")
    ended = run(bundle.path, "--input", tmp_path / "recent.csv", "--output", "-", "--level", "80")
    assert ended.exit_code == 0, ended.output
    header = next(csv.reader(io.StringIO(ended.stdout)))
    assert header[1:3] == ["'=HYPERLINK(1)", "'=HYPERLINK(1)_low_80"]


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, "--input", tmp_path / "recent.csv")
    assert ended.exit_code == 2 and "name the folder of a bundle" in ended.stderr


def test_no_column_is_lost_where_one_is_named_as_a_bound_of_another() -> None:
    made = np.arange(4.0).reshape(2, 2)
    dates = pd.date_range("2024-01-01", periods=2, freq="h")
    bounds = {0.8: (made - 10, made + 10)}
    table = Forecast(("x", "x_low_80"), dates[0], dates, made, bounds, followed=0).table()
    assert list(table.columns) == [
        *("x", "x_low_80_", "x_high_80", "x_low_80", "x_low_80_low_80", "x_low_80_high_80")
    ]
    assert table["x_low_80"].tolist() == [1, 3] and table["x_low_80_"].tolist() == [-10, -8]
