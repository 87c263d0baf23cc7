from __future__ import annotations

import dataclasses
from typing import Any

import plotly.graph_objects as go
import pytest

from nas_engine.store.reader import BaselineRow, EpochRow, TrialRow, reading
from nas_engine.workspace import Workspace
from pages._parts.figures import COLOURS, METRICS, colour, curves, dash, history, near
from tests.pages import seed

BASELINES = [BaselineRow("linear", "val", 0.4, 0.42), BaselineRow("last", "val", 9.0, 3.0)]


@pytest.fixture
def trials(workspace: Workspace) -> list[TrialRow]:
    search_id = seed.eventful(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        return reader.trials(search_id)


def named(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(trace for trace in figure["data"] if trace["name"] == name)


def rows(number: int, *values: float | None) -> list[EpochRow]:
    return [
        EpochRow(number, epoch, value, value, value, 1e-4, 1.0)
        for epoch, value in enumerate(values, 1)
    ]


def test_plotly_accepts_the_figures(trials: list[TrialRow]) -> None:
    for figure in (
        history(trials, BASELINES, 6),
        history([], [], None),
        history(trials[2:3], [], None),
        history(trials[:1], BASELINES, 0),
        *(curves(rows(0, 0.5, None), metric, BASELINES, 0, log=True) for metric in METRICS),
        curves([], "val_mse", BASELINES, None),
    ):
        go.Figure(figure)


def test_history_marks_the_incumbent_by_a_word_and_a_shape(trials: list[TrialRow]) -> None:
    dots = named(history(trials, BASELINES, 6), "trials")
    assert dots["x"] == [0, 1, 4, 6]
    assert dots["text"] == ["", "", "", "incumbent"]
    assert dots["marker"]["symbol"] == ["circle", "circle", "circle-open", "star"]


def test_history_draws_the_best_so_far(trials: list[TrialRow]) -> None:
    line = named(history(trials, BASELINES, 6), "best so far")
    assert line["x"] == [0, 1, 6, 8]
    assert line["y"] == [0.7012, 0.4481, 0.3876, 0.3876]


def test_history_shows_trials_without_a_result(trials: list[TrialRow]) -> None:
    lost = named(history(trials, BASELINES, 6), "no result")
    assert lost["x"] == [2, 3, 5]
    assert lost["hovertext"][0] == "trial 2: failed"
    assert lost["yaxis"] == "y2", "they have no place on the scale of errors"


def test_a_baseline_that_would_flatten_the_rest_is_left_out() -> None:
    assert near(BASELINES, [0.5], "val_mse") == BASELINES[:1]
    assert near(BASELINES, [0.5], "train_loss") == []
    assert near(BASELINES, [], "val_mse") == BASELINES[:1], "the best one sets the scale"
    assert near([], [], "val_mse") == []


def test_a_trial_has_one_colour_on_every_chart(trials: list[TrialRow]) -> None:
    dots = named(history(trials, [], 6), "trials")
    figure = curves([*rows(0, 0.5), *rows(4, 0.5)], "val_mse", [], 6)
    assert named(figure, "Trial 4")["line"]["color"] == colour(4) == dots["marker"]["color"][2]
    assert named(figure, "Trial 0")["line"]["color"] == dots["marker"]["color"][0]


def test_trials_of_one_colour_differ_in_their_dash() -> None:
    assert colour(3) == colour(3 + len(COLOURS))
    assert dash(3) != dash(3 + len(COLOURS))


def test_curves_leave_a_gap_where_a_figure_is_not_finite() -> None:
    line = named(curves(rows(2, 0.5, None, 0.4), "train_loss", [], None), "Trial 2")
    assert line["y"] == [0.5, None, 0.4]
    assert line["connectgaps"] is False


def test_the_incumbent_is_named_and_the_running_trial_is_thick() -> None:
    figure = curves([*rows(0, 0.5), *rows(1, 0.4)], "val_mse", [], 0, emphasised={1})
    assert named(figure, "Trial 0 ★")["line"]["width"] < named(figure, "Trial 1")["line"]["width"]


def test_zoom_is_kept_until_another_metric_is_chosen() -> None:
    first = curves(rows(0, 0.5), "val_mse", [], None)["layout"]["uirevision"]
    assert curves(rows(0, 0.5, 0.4), "val_mse", [], None)["layout"]["uirevision"] == first
    assert curves(rows(0, 0.5), "val_mae", [], None)["layout"]["uirevision"] != first


def test_a_trial_that_is_not_judged_yet_is_drawn(trials: list[TrialRow]) -> None:
    fresh = dataclasses.replace(trials[0], accepted=None)
    dots = named(history([fresh], [], None), "trials")
    assert "completed" in dots["hovertext"][0]
