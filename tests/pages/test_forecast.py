"""The Forecast page: errors taken apart against plain loops, and the page on a real training."""

from __future__ import annotations

import fcntl
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from data.registry import DATASETS
from informer.config import Value, from_flat
from informer.hindcast import Facts, carry_out, write_status
from informer.records import Failure, Success
from informer.training import train
from nas_engine import hindcasts
from nas_engine.hindcasts import Hindcast, Wanted, Working
from nas_engine.significance import mean_over_blocks
from nas_engine.store import trainings
from nas_engine.workspace import Workspace
from pages._parts.forecasting import beyond, computing, delta, errors, worst
from pages._parts.forecasting.figures import (
    Forecaster,
    Scale,
    bars_alt,
    bars_figure,
    delta_alt,
    delta_figure,
    window_figure,
)
from pages._parts.forecasting.reduced import Look
from pages._parts.forecasting.window import first_from
from tests.informer.conftest import TINY, tiny_dataset
from tests.pages import seed
from tests.pages.conftest import Open, figure, words

BEGIN = datetime(2024, 2, 27, 5)
N, H, C, P = 40, 5, 3, 12


def hindcast(every: int = 1, key: str = "k", shift: float = 0.0, hours: int = 1) -> Hindcast:
    """Return made-up forecasts: N windows of H steps and C columns after P rows of the past."""
    draw = np.random.default_rng(7)
    rows = P + (N - 1) * every + H
    values = draw.normal(size=(rows, C)).astype(np.float32)
    forecast = draw.normal(size=(N, H, C)).astype(np.float32) + np.float32(shift)
    dates = np.array(
        [BEGIN + timedelta(hours=hours * row) for row in range(rows)], dtype="datetime64[us]"
    )
    facts = Facts(
        part="val",
        dataset="made up",
        frequency="h",
        columns=("HUFL", "OT <b>", "LULL"),
        centre=(1.0, 2.0, 3.0),
        scale=(2.0, 3.0, 4.0),
        seq_len=8,
        horizon=H,
        past=P,
        windows=N,
        every=every,
        of_windows=N * every,
        mse=1.0,
        mae=1.0,
        device="cpu",
        seconds=1.0,
    )
    return Hindcast(f"{key}-{every}-{shift}-{hours}", facts, forecast, values, dates)


def loops(made: Hindcast, measure: str) -> Iterator[tuple[int, int, int, datetime, float]]:
    """Yield window, step, column, date and error of every value that was forecast, one by one."""
    for n, h, c in itertools.product(range(N), range(H), range(C)):
        row = P + n * made.facts.every + h
        apart = float(made.forecast[n, h, c]) - float(made.values[row, c])
        yield n, h, c, made.dates[row].item(), apart**2 if measure == "mse" else abs(apart)


# -- errors taken apart -------------------------------------------------------------------------


@pytest.mark.parametrize(("measure", "every"), [("mse", 1), ("mae", 3)])
def test_errors_are_those_of_plain_loops(
    measure: Literal["mse", "mae"], every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = hindcast(every)
    monkeypatch.setattr(errors, "_TAKEN", 7 * H * C)  # in several chunks
    rows = list(loops(made, measure))

    def mean(key: Any, kept: Any = lambda row: True) -> dict[Any, float]:
        found: dict[Any, list[float]] = {}
        for row in filter(kept, rows):
            found.setdefault(key(row), []).append(row[4])
        return {name: sum(values) / len(values) for name, values in found.items()}

    every_column = errors.by_window_and_step(made, measure, None)
    assert every_column.shape == (N, H)
    for (n, h), value in mean(lambda row: row[:2]).items():
        assert every_column[n, h] == pytest.approx(value, rel=1e-5)
    one = errors.by_window_and_step(made, measure, 1)
    for (n, h), value in mean(lambda row: row[:2], lambda row: row[2] == 1).items():
        assert one[n, h] == pytest.approx(value, rel=1e-5)
    table = errors.by_step_and_column(made, measure)
    for (h, c), value in mean(lambda row: row[1:3]).items():
        assert table[h, c] == pytest.approx(value, rel=1e-5)
    for clock, of in (
        ("hour", lambda row: row[3].hour),
        ("weekday", lambda row: row[3].weekday()),
        ("month", lambda row: row[3].month - 1),
    ):
        names = errors.names_of(clock)  # type: ignore[arg-type]
        groups = errors.of_steps(made, clock)  # type: ignore[arg-type]
        by_clock = errors.by_group(every_column, groups, len(names))
        expected = mean(of)
        assert np.isnan(by_clock).sum() == len(names) - len(expected)
        for at, value in expected.items():
            assert by_clock[at] == pytest.approx(value, rel=1e-5)
        map_ = errors.by_group_and_step(every_column, groups, len(names))
        expected = mean(lambda row, of=of: (of(row), row[1]))
        assert (~np.isnan(map_)).sum() == len(expected)
        for (at, h), value in expected.items():
            assert map_[at, h] == pytest.approx(value, rel=1e-5)
    stretches, begins = errors.by_stretch_and_step(every_column, most=6)
    assert list(begins) == [0, 7, 14, 21, 28, 35]
    assert stretches[5, 2] == pytest.approx(float(every_column[35:, 2].mean()), rel=1e-5)


def test_the_clock_is_that_of_the_frequency() -> None:
    assert errors.clocks(hindcast(hours=1)) == ["hour", "weekday"]
    assert errors.clocks(hindcast(hours=24)) == ["weekday"]
    assert errors.clocks(hindcast(hours=24 * 7)) == ["month"]


def test_the_worst_windows_do_not_overlap_and_the_largest_comes_first() -> None:
    error = np.array([1.0, 9.0, 8.0, 7.0, 2.0, 3.0, 6.0])
    assert errors.separate(error, apart=2, most=9) == [1, 3, 6]
    assert errors.separate(error, apart=1, most=3) == [1, 2, 3]
    assert errors.separate(error, apart=99, most=20) == [1]


def test_a_day_leads_to_its_first_window_and_one_beyond_to_the_last() -> None:
    begins = hindcast().begins()
    assert first_from(begins, np.datetime64("2024-02-28")) == 7  # P hours after 5, then to midnight
    assert first_from(begins, np.datetime64("2030-01-01")) == N - 1
    assert first_from(begins, np.datetime64("2000-01-01")) == 0


# -- whether chance did it ----------------------------------------------------------------------


def test_the_interval_of_a_mean_is_students_over_the_means_of_blocks() -> None:
    values = np.arange(23.0) ** 1.5
    found = mean_over_blocks(values, 5)
    assert found is not None and (found.blocks, found.length) == (4, 5)
    blocks = [values[:6], values[6:12], values[12:18], values[18:]]
    spread = np.std([block.mean() for block in blocks], ddof=1)
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.mean == pytest.approx(3.182446 * spread / 2, rel=1e-6)  # t of 3
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert mean_over_blocks(values, 12) is None


def test_the_interval_holds_what_it_promises_where_windows_overlap() -> None:
    # Means over 24 steps of noise: neighbours share 23 of them. Taken as independent, an interval
    # of 95 % would hold the truth in about 30 % of the draws.
    draw, steps = np.random.default_rng(1), 24
    held = 0
    for _ in range(400):
        noise = np.cumsum(np.concatenate(([0.0], draw.normal(size=600))))
        windows = (noise[steps:] - noise[:-steps]) / steps
        found = mean_over_blocks(windows, 2 * steps)
        assert found is not None
        held += found.low < 0 < found.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_verdict_says_who_is_better_and_whether_chance_may_have_done_it() -> None:
    apart = np.full(100, -0.5) + np.sin(np.arange(100.0))
    text = delta.verdict_text(apart, mean_over_blocks(apart, 10), "trial 1.3", "trial 1.0", "MSE")
    share = round(100 * float((apart < 0).mean()))
    assert text.startswith(f"**Trial 1.3 has the smaller error in {share} % of 100 windows.**")
    assert "lower than that of trial 1.0 on average, more than chance would do" in text
    text = delta.verdict_text(-apart, mean_over_blocks(-apart, 10), "trial 1.3", "B", "MSE")
    assert "higher than that of B on average, more than chance would do" in text
    even = np.tile([-1.0, 1.0], 50)
    text = delta.verdict_text(even, mean_over_blocks(even, 9), "trial 1.3", "B", "MSE")
    assert "which chance may have done" in text
    assert "chance may have done it" in delta.verdict_text(even, None, "trial 1.3", "B", "MSE")


# -- figures ------------------------------------------------------------------------------------


def pair() -> list[Forecaster]:
    made, other = hindcast(key="a"), hindcast(key="b", shift=0.5)
    return [
        Forecaster("A", "trial 1.3", "#111111", "solid", made),
        Forecaster("B", "trial <b>", "#222222", "dash", other),
    ]


def test_a_window_is_drawn_in_own_units_and_lines_begin_where_the_look_back_ends() -> None:
    a, b = pair()
    figure = window_figure([a, b], 4, 1, 8, Scale.of(a.made, 1, own=True))
    past, truth, first, second = figure["data"]
    rows = slice(P + 4 - 8, P + 4)
    assert past["y"] == pytest.approx((a.made.values[rows, 1] * 3.0 + 2.0).tolist(), rel=1e-5)
    assert truth["y"][1:] == pytest.approx((a.made.truth[4, :, 1] * 3.0 + 2.0).tolist(), rel=1e-5)
    for line, who in ((first, a), (second, b)):
        expected = who.made.forecast[4, :, 1] * 3.0 + 2.0
        assert line["y"][1:] == pytest.approx(expected.tolist(), rel=1e-5)
        assert line["y"][0] == past["y"][-1] and line["x"][0] == past["x"][-1]
    assert truth["x"][1] == (BEGIN + timedelta(hours=P + 4)).isoformat()
    assert second["name"] == "B: trial &lt;b&gt;"
    scaled = window_figure([a], 4, 1, 8, Scale.of(a.made, 1, own=False))
    assert scaled["data"][2]["y"][1:] == pytest.approx(a.made.forecast[4, :, 1].tolist(), rel=1e-5)


def test_the_map_has_its_neutral_colour_at_zero_and_says_who_is_better() -> None:
    difference = np.array([[-0.5, 0.1], [np.nan, 0.2]])
    figure = delta_figure(difference, ["Mon <b>", "Tue"], "Day", ("trial 1.3", "B"), "MSE")
    heat = figure["data"][0]
    assert (heat["zmin"], heat["zmax"]) == (-0.5, 0.5)
    assert heat["z"] == [[-0.5, 0.1], [None, 0.2]] and heat["y"][0] == "Mon &lt;b&gt;"
    assert heat["colorbar"]["ticktext"] == ["−0.5<br>A better", "0", "+0.5<br>A worse"]
    alt = delta_alt(difference, ["Mon", "Tue"], ("trial 1.3", "B"))
    assert "better in 33 % of the cells" in alt
    assert "best at Mon, step 1, by 0.5000" in alt and "worst at Tue, step 2, by 0.2000" in alt
    empty = delta_figure(np.full((1, 2), np.nan), ["Mon"], "Day", ("A", "B"), "MSE")
    assert empty["data"][0]["zmax"] == 1.0


def test_hours_without_a_forecast_leave_a_gap() -> None:
    both, values = pair(), [np.array([1.0, np.nan]), np.array([2.0, 3.0])]
    figure = bars_figure(both, values, ["00", "01"], "Hour", "MSE")
    assert figure["data"][0]["y"] == [1.0, None]
    assert "trial 1.3 is worst at 00 with 1.000" in bars_alt(both, values, ["00", "01"], "MSE")


@pytest.mark.parametrize("by", ["hour", "weekday", "date", "column"])
@pytest.mark.parametrize("over", ["all", "own"])
def test_every_map_is_the_error_of_a_less_that_of_b(by: Any, over: str) -> None:
    a, b = pair()
    look = Look("mae", 2, over, a.made.facts.columns)
    difference, rows = delta.differences(a, b, look, by)
    assert difference.shape == (len(rows), H)
    weights = np.ones(len(rows))
    if by == "column":
        scales = np.array(a.made.facts.scale) if over == "own" else np.ones(C)
        one = np.abs(a.made.forecast - a.made.truth) - np.abs(b.made.forecast - b.made.truth)
        assert difference == pytest.approx((one.mean(axis=0) * scales).T, abs=1e-5)
        return
    column = slice(None) if over == "all" else slice(2, 3)
    factor = 1.0 if over == "all" else 4.0
    one = np.abs(a.made.forecast - a.made.truth) - np.abs(b.made.forecast - b.made.truth)
    whole = factor * float(one[:, :, column].mean())
    groups = (
        errors.of_steps(a.made, by) if by != "date" else np.arange(N)[:, None] + np.zeros(H, int)
    )
    weights = np.stack([np.bincount(groups[:, h], minlength=len(rows)) for h in range(H)], axis=1)
    assert np.nansum(difference * weights) / weights.sum() == pytest.approx(whole, rel=1e-4)


def test_the_table_of_the_worst_has_the_errors_of_everybody() -> None:
    both = pair()
    look = Look("mse", 0, "all", both[0].made.facts.columns)
    frame, windows = worst.worst_frame(both, look)
    assert list(frame.columns) == ["From", "A", "B"] and len(frame) == len(windows) <= 8
    assert frame["A"].is_monotonic_decreasing
    squared = (both[1].made.forecast - both[1].made.truth) ** 2
    assert frame["B"][0] == pytest.approx(float(squared[windows[0]].mean()), rel=1e-5)


def test_the_interval_beyond_the_end_is_as_wide_as_the_errors_ask_for() -> None:
    made = hindcast(key="wide")
    found = beyond.intervals_of(made, made.key, 1)
    level = found.find(0.8)
    assert level is not None and found.windows == N
    spreads = np.array([made.values[P + n - 8 : P + n, 1].std() for n in range(N)])
    scores = np.abs(made.forecast[:, 2, 1] - made.truth[:, 2, 1]) / spreads
    assert level.quantiles[2][0] == pytest.approx(float(np.sort(scores)[32]), rel=1e-4)
    low, high = beyond.bounds(found, 0.8, made, 1)
    width = level.quantiles[2][0] * made.values[P - 8 : P, 1].std()
    assert (low[2] + high[2]) / 2 == pytest.approx(float(made.forecast[0, 2, 1]), rel=1e-4)
    assert (high[2] - low[2]) / 2 == pytest.approx(float(width), rel=1e-4)


# -- the page -----------------------------------------------------------------------------------


def trained(workspace: Workspace, **more: Value) -> int:
    """Seed a search of two trials that were really trained, in a moment, and return its id."""
    settings = TINY | {"training.epochs": 1, "training.steps_per_epoch": 4} | more
    made = seed.Seed(workspace, planner="tpe", max_trials=5, settings=settings)
    for number in range(2):
        changes: dict[str, Value] = {"model.normalisation": "standardise"} if number else {}
        made.propose(number, "tpe" if number else "default", 0 if number else None, changes)
        run = trainings.begin_run(made.writer, made.id, number, 2021)
        folder = workspace.run_dir(made.id, number)
        folder.create(from_flat(made.config(number)))
        result = train(from_flat(made.config(number)), folder)
        assert isinstance(result, Success), result
        trainings.complete(made.writer, made.id, number, run, result)
        made.judge(number)
    made.close()
    return made.id


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """Compute forecasts in this process, which knows the small data set; return what was."""
    begun: list[Wanted] = []

    def begin(folder: Path, wanted: Wanted, settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        begun.append(wanted)
        carry_out(hindcasts.order(folder, wanted))

    monkeypatch.setitem(DATASETS, "tiny", tiny_dataset())
    monkeypatch.setattr(computing, "begin", begin)
    return begun


def test_two_trials_and_a_baseline_are_computed_once_and_shown_in_every_section(
    open_page: Open, workspace: Workspace, at_once: list[Wanted]
) -> None:
    search = trained(workspace)
    app = open_page("forecast", search=str(search))
    assert [(one.baseline, one.part) for one in at_once] == [
        (None, "val"),
        (None, "val"),
        ("closed-form linear", "val"),
    ]
    text = words(app)
    assert not app.error and not app.warning
    assert "55 windows of tiny, 6 steps ahead, a step each h, computed on cpu" in text
    assert [metric.label.replace("\\", "")[:15] for metric in app.metric][:2] == [
        "MSE · trial 1.1",
        "MSE · trial 1.0",
    ]
    assert "has the smaller error in" in text and "of 55 windows" in text
    window = [line["name"] for line in figure(app, 0)["data"]]  # type: ignore[attr-defined]
    assert window == ["look-back", "truth", "A: trial 1.1 ★", "B: trial 1.0", "closed-form linear"]
    assert len(app.get("bidi_component")) == 5

    worst_way = next(button for button in app.button if button.label == "Worst of A")
    worst_way.click().run()
    table = app.dataframe[0].value
    assert app.metric[0].value == f"{table['A'][0]:#.4g}", "the worst of the table is shown"
    assert app.query_params["window"] != ["1"] and len(at_once) == 3, "nothing is computed again"
    assert app.metric[0].delta == "above 98 % of its windows"

    app.segmented_control(key="compare-map").select("column").run()
    app.segmented_control(key="compare-over").select("own").run()
    assert not app.exception and len(at_once) == 3
    assert "own units" in app.metric[0].label

    app.session_state["forecast-future"] = True
    app.run()
    assert not app.exception and {one.part for one in at_once[3:]} == {"future"}
    assert "from the errors of A in 55 windows of validation" in words(app)
    future = figure(app, 5)["data"]
    assert [line.get("name") for line in future] == [  # type: ignore[attr-defined]
        None,
        "80 % interval of A",
        "look-back",
        "A: trial 1.1 ★",
        "B: trial 1.0",
        "closed-form linear",
    ]


def test_test_data_are_computed_where_they_are_asked_for_alone_and_named_as_such(
    open_page: Open, workspace: Workspace, at_once: list[Wanted]
) -> None:
    search = trained(workspace)
    app = open_page("forecast", a=f"{search}.0", b="none", base="none", part="test", error="mae")
    assert [one.part for one in at_once] == ["test"]
    text = words(app)
    assert "no part of a search reads it" in text
    assert "Choose a second trial or a baseline" in text
    assert len(app.metric) == 1 and app.metric[0].label.startswith("MAE")


def test_what_cannot_be_shown_is_a_sentence(
    open_page: Open, workspace: Workspace, at_once: list[Wanted]
) -> None:
    search = trained(workspace)
    other = seed.small(workspace)
    app = open_page("forecast", search=str(search), a="1.77", b=f"{other}.0", base="none")
    assert [error.value.replace("\\", "") for error in app.error] == [
        "There is no trial 1.77 in this workspace.",
        "Trial 2.0 is of another task: dataset ETTh1 there, tiny here; pred_len 48 there, 6 here.",
    ]
    assert app.metric, "the defaults are shown"
    app = open_page("forecast", search=str(other))
    assert "run folder is not on this machine" in app.warning[0].value and not app.metric


def test_who_computes_is_waited_for_and_a_failure_can_be_tried_again(
    open_page: Open, workspace: Workspace, at_once: list[Wanted]
) -> None:
    search = trained(workspace)
    wanted = hindcasts.of_run(workspace.run_dir(search, 0), "val")
    assert isinstance(wanted, Wanted)
    workspace.forecasts.mkdir()
    status = workspace.forecasts / f"{wanted.key}.json"
    write_status(status, Working(done=11, of=55))
    asked = {"a": f"{search}.0", "b": "none", "base": "none"}
    with (workspace.forecasts / f"{wanted.key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another tab's process does
        app = open_page("forecast", **asked)
        assert "window 11 of 55" in app.get("progress")[0].proto.text
        assert "You may leave this page" in words(app) and not at_once
    write_status(status, Failure(error_class="data", message="The file ![x](http://y) is gone."))
    app.run()
    assert "could not be computed: The file" in app.error[0].value
    assert "![x](" not in app.error[0].value and not at_once, "it is not begun again by itself"
    app.button(key="forecast-again-A").click().run()
    assert len(at_once) == 1 and app.metric and not app.error
    facts = workspace.forecasts / wanted.key / "facts.json"
    made = Facts.model_validate_json(facts.read_text())
    assert made.mse is not None
    facts.write_text(made.model_copy(update={"mse": 2 * made.mse}).model_dump_json())
    app.run()
    assert "its weights or data are not what they were" in app.warning[0].value
