"""The history of a search and the timeline of its slots: pure figures, values and odd cases."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go
import pytest

from nas_engine.store.reader import reading
from nas_engine.store.rows import BarRow, BaselineRow
from nas_engine.store.table import Results, results
from nas_engine.workspace import Workspace
from pages._parts.figures import COLOURS, colour
from pages._parts.history import COLUMNS, MOST_POINTS, history, history_notes, history_text
from pages._parts.states import TRIAL_STATES
from pages._parts.timeline import PARTS, merged, timeline, timeline_text
from tests.pages import seed

BASELINES = [BaselineRow("linear", "val", 0.4, 0.42), BaselineRow("last", "val", 9.0, 3.0)]


@pytest.fixture
def found(workspace: Workspace) -> Results:
    search_id = seed.eventful(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        return results(reader, [search_id])


def columns(*values: float | None, state: str = "completed", accepted: int | None = 0) -> Results:
    """Return trials with these val_mse."""
    many = len(values)

    def each(value: Any) -> tuple[Any, ...]:
        return (value,) * many

    return Results(
        *("m", {1: {}}, each(1), tuple(range(many)), each(None), each(state), each("tpe")),
        *(each("small"), each(accepted), tuple(values), each(None), each(None), each(None)),
        *(each(None), each(None), each(""), each(None), each(1.0), each("{}")),
        seeds=each(1),
        latency_ms=each(None),
        flops=each(None),
    )


def named(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(trace for trace in figure["data"] if trace["name"].partition(" (")[0] == name)


def test_the_incumbent_is_marked_by_a_word_and_a_shape(found: Results) -> None:
    figure = history(found, BASELINES, 6)
    assert named(figure, "accepted")["x"] == [0, 1] and named(figure, "rejected")["x"] == [4]
    star = named(figure, "incumbent")
    assert star["x"] == [6] and star["text"] == ["incumbent"]
    assert star["marker"]["symbol"] == "star"
    assert "trial 6 is the incumbent" in history_text(found, 6)


def test_the_best_so_far_is_a_line_to_the_last_trial(found: Results) -> None:
    line = named(history(found, BASELINES, 6), "best so far")
    assert line["x"] == [0, 1, 6, 8]
    assert line["y"] == [0.7012, 0.4481, 0.3876, 0.3876]


def test_trials_without_a_result_stand_below_the_scale_of_errors(found: Results) -> None:
    lost = named(history(found, BASELINES, 6), "no result")
    assert lost["x"] == [2, 3, 5] and lost["yaxis"] == "y2"
    assert lost["name"] == "no result (3)", "they are counted"


@pytest.mark.parametrize("state", TRIAL_STATES)
def test_every_state_without_a_result_has_a_mark(state: str) -> None:
    figure = history(columns(None, state=state), [], None)
    assert [trace["x"] for trace in figure["data"]] == [[0]]
    go.Figure(figure)


def test_baselines_span_the_chart_and_far_ones_are_left_out(found: Results) -> None:
    (line,) = history(found, BASELINES, 6)["layout"]["shapes"]
    assert (line["xref"], line["x0"], line["x1"], line["y0"]) == ("paper", 0, 1, 0.4)
    assert "linear" in line["label"]["text"]


def test_a_trial_has_the_colour_that_it_has_on_every_chart(found: Results) -> None:
    marker = named(history(found, [], 6), "rejected")["marker"]
    place = (marker["color"][0] - marker["cmin"]) / (marker["cmax"] - marker["cmin"])
    drawn = next(name for at, name in reversed(marker["colorscale"]) if at <= place)
    assert drawn == colour(4)
    assert len(marker["colorscale"]) == 2 * len(COLOURS)


def test_a_point_names_its_trial_for_a_click(found: Results) -> None:
    assert named(history(found, [], 6), "accepted")["customdata"] == ["1.0", "1.1"]


def test_a_trial_of_which_another_seed_trains_is_not_called_rejected() -> None:
    figure = history(columns(0.5, accepted=None), [], None)
    assert named(figure, "not judged yet")["x"] == [0]
    assert "rejected" not in str(figure["data"])


def test_one_huge_error_does_not_flatten_all_others() -> None:
    found = columns(*[0.5 + 0.01 * k for k in range(20)], 1e6)
    figure = history(found, [], None)
    high = named(figure, "beyond the scale")
    assert high["x"] == [20] and high["y"][0] < 3 and high["text"] == ["1e+06"]
    assert any("1 beyond" in note for note in history_notes(found))
    assert max(named(figure, "rejected")["y"]) == pytest.approx(0.69)


def test_of_many_trials_the_best_and_worst_of_each_part_are_drawn_and_it_is_said() -> None:
    values = [0.5 + 0.1 * math.sin(k) for k in range(9999)] + [0.3]
    found = columns(*values)
    figure = history(found, [], None)
    drawn = named(figure, "rejected")
    assert 2 * COLUMNS * 0.9 < len(drawn["x"]) <= MOST_POINTS
    assert min(drawn["y"]) == 0.3 and max(drawn["y"]) == pytest.approx(max(values), rel=1e-5)
    assert f"{len(drawn['x']):,} of 10,000 results are drawn" in history_notes(found)[0]


@pytest.mark.parametrize(
    "case",
    [columns(), columns(0.5), columns(None, None, state="failed"), columns(*[0.5] * 300)],
    ids=["none", "one", "all failed", "constant"],
)
@pytest.mark.parametrize("log", [False, True])
def test_plotly_draws_every_case(case: Results, log: bool) -> None:
    go.Figure(history(case, BASELINES, 0, log=log))
    assert f"{len(case.number):,} trials" in history_text(case, None)


# -- timeline -----------------------------------------------------------------------------------


def bar(
    number: int, slot: int, start: float, end: float | None, state: str = "completed"
) -> BarRow:
    return BarRow(number, 2021, slot, state, start, end)


def test_each_training_is_a_bar_from_its_start_to_its_end() -> None:
    bars = merged([bar(0, 0, 0, 100), bar(1, 1, 0, 250), bar(2, 0, 110, None, "running")], 300)
    assert [(b.slot, b.state, b.start, b.end, b.first) for b in bars] == [
        (0, "completed", 0, 100, 0),
        (1, "completed", 0, 250, 1),
        (0, "running", 110, 300, 2),
    ]


def test_neighbours_that_a_screen_cannot_tell_apart_are_one_bar_and_none_is_lost() -> None:
    rows = [
        bar(k, k % 2, 60 * k, 60 * k + 58, "failed" if k % 50 == 0 else "completed")
        for k in range(10_000)
    ]
    bars = merged(rows, 600_000)
    assert sum(b.count for b in bars) == 10_000
    assert len(bars) < 4 * PARTS + 400
    assert {b.state for b in bars} == {"failed", "completed"}
    assert max(b.end for b in bars) == rows[-1].ended_at


def test_states_on_the_timeline_differ_in_more_than_their_colour() -> None:
    rows = [bar(k, 0, k, k + 1, s) for k, s in enumerate(("completed", "failed", "pruned"))]
    traces = timeline(rows, 9, 1)["data"]
    assert len({trace["marker"]["pattern"]["shape"] for trace in traces}) == 3
    assert len({trace["name"] for trace in traces}) == 3
    assert traces[0]["customdata"] == ["1.0"]
    go.Figure(timeline(rows, 9, 1))


def test_the_timeline_says_how_busy_the_slots_were() -> None:
    assert timeline_text([], 0) == "No training has begun."
    told = timeline_text([bar(0, 0, 0, 50), bar(1, 0, 50, 100)], 100)
    assert "2 trainings in 1 min 40 s over 1 slot" in told and "100%" in told
    go.Figure(timeline([], 0, 1))
