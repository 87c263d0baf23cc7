from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest

from nas_engine.store.rows import BaselineRow, EpochRow
from pages._parts.effects import relative_change
from pages._parts.figures import COLOURS, METRICS, colour, curves, dash, near

BASELINES = [BaselineRow("linear", "val", 0.4, 0.42), BaselineRow("last", "val", 9.0, 3.0)]


def named(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(trace for trace in figure["data"] if trace["name"] == name)


def rows(number: int, *values: float | None) -> list[EpochRow]:
    return [
        EpochRow(number, epoch, value, value, value, 1e-4, 1.0)
        for epoch, value in enumerate(values, 1)
    ]


def test_plotly_accepts_the_figures() -> None:
    for figure in (
        *(curves(rows(0, 0.5, None), metric, BASELINES, 0, log=True) for metric in METRICS),
        curves([], "val_mse", BASELINES, None),
    ):
        go.Figure(figure)


def test_a_baseline_that_would_flatten_the_rest_is_left_out() -> None:
    assert near(BASELINES, [0.5], "val_mse") == BASELINES[:1]
    assert near(BASELINES, [0.5], "train_loss") == []
    assert near(BASELINES, [], "val_mse") == BASELINES[:1], "the best one sets the scale"
    assert near([], [], "val_mse") == []


def test_the_same_number_has_another_colour_in_another_search() -> None:
    assert colour(4, 1) != colour(4, 2)
    drawn = [
        named(curves(rows(4, 0.5), "val_mse", [], None, search_id=search), "Trial 4")["line"]
        for search in (1, 2)
    ]
    assert [line["color"] for line in drawn] == [colour(4, 1), colour(4, 2)]


def test_a_change_is_a_share_of_the_reference_or_nothing() -> None:
    assert relative_change(0.6, 0.5) == pytest.approx(0.2)
    for value, reference in ((None, 0.5), (0.5, None), (0.5, 0.0), (1.7e308, 0.1)):
        assert relative_change(value, reference) is None


def test_trials_of_one_colour_differ_in_their_dash() -> None:
    assert colour(3) == colour(3 + len(COLOURS))
    assert dash(3) != dash(3 + len(COLOURS))


def test_curves_leave_a_gap_where_a_figure_is_not_finite() -> None:
    line = named(curves(rows(2, 0.5, None, 0.4), "train_loss", [], None), "Trial 2")
    assert line["y"] == [0.5, None, 0.4]
    assert line["connectgaps"] is False


def test_epochs_that_are_not_finite_are_marked_and_counted() -> None:
    figure = curves(rows(2, 0.5, None, 0.4, None), "val_mse", [], None)
    mark = named(figure, "trial 2: 2 of 4 epochs not finite")
    assert (mark["x"], mark["y"]) == ([2, 4], [0.5, 0.4])
    assert mark["marker"]["symbol"] == "triangle-down-open"
    assert len(curves(rows(2, 0.5, 0.4), "val_mse", [], None)["data"]) == 1


def test_the_incumbent_is_named_and_the_running_trial_is_thick() -> None:
    figure = curves([*rows(0, 0.5), *rows(1, 0.4)], "val_mse", [], 0, emphasised={1})
    assert named(figure, "Trial 0 ★")["line"]["width"] < named(figure, "Trial 1")["line"]["width"]


def test_zoom_is_kept_until_another_metric_is_chosen() -> None:
    first = curves(rows(0, 0.5), "val_mse", [], None)["layout"]["uirevision"]
    assert curves(rows(0, 0.5, 0.4), "val_mse", [], None)["layout"]["uirevision"] == first
    assert curves(rows(0, 0.5), "val_mae", [], None)["layout"]["uirevision"] != first
