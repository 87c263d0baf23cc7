from __future__ import annotations

import numpy as np
import pytest

from pages._parts.analysis.distribution import (
    MOST_LINES,
    distribution_figure,
    distribution_text,
    lines_cut,
)
from pages._parts.analysis.points import MOST_DRAWN, evenly
from pages._parts.analysis.slices import contour_figure, rank_figure, slice_figure
from tests.pages.analysed import LR, along, drawn, grid, of


def test_a_slice_has_a_strip_per_category_and_a_point_per_number() -> None:
    trials = of(0.4, 0.5, 0.6)
    strips = drawn(slice_figure(trials, along("model.skip", [True, False, True]), []), "trials")
    assert strips["x"] == [0.0, 1.0, 0.0]
    assert strips["marker"]["symbol"] == ["circle", "line-ew-open", "line-ew-open"]
    values = np.linspace(0, 0.5, 12).tolist()
    dots = drawn(
        slice_figure(of(*np.linspace(0.4, 0.5, 12)), along("model.dropout", values), []), "trials"
    )
    assert dots["x"] == [float(f"{value:.6g}") for value in values]
    assert dots["customdata"][:2] == ["1.0", "1.1"]
    assert dots["marker"]["symbol"][:2] == ["circle", "circle-open"]


def test_the_median_of_a_slice_is_of_all_trials_and_only_where_there_are_enough() -> None:
    errors = np.linspace(0.4, 0.6, 3000)
    choices = [bool(row % 2) for row in range(3000)]
    figure = slice_figure(of(*errors), along("model.skip", choices), [])
    assert len(drawn(figure, "trials")["x"]) == MOST_DRAWN
    median = drawn(figure, "median")
    assert median["x"] == [0.0, 1.0]
    assert median["y"] == pytest.approx([np.median(errors[1::2]), np.median(errors[::2])], 1e-5)
    few = slice_figure(of(0.4, 0.5), along("model.skip", [True, False]), [])
    assert [trace["name"] for trace in few["data"]] == ["trials"]


def test_the_best_and_the_worst_of_many_trials_are_drawn() -> None:
    rows = evenly(9999)
    assert (rows[0], rows[-1], len(set(rows.tolist()))) == (0, 9998, MOST_DRAWN)
    assert evenly(3).tolist() == [0, 1, 2]
    assert evenly(0).tolist() == []


def test_errors_far_apart_stand_on_a_log_scale() -> None:
    skip = along("model.skip", [True, False])
    assert slice_figure(of(0.4, 0.5), skip, [])["layout"]["yaxis"]["type"] == "linear"
    assert slice_figure(of(0.4, 900.0), skip, [])["layout"]["yaxis"]["type"] == "log"


def test_compared_trials_stand_out_where_they_have_a_result() -> None:
    figure = slice_figure(
        of(0.4, 0.5), along("model.skip", [True, False]), [(1, 1), (1, 77), (2, 0)]
    )
    chosen = drawn(figure, "chosen")
    assert (chosen["x"], chosen["y"], chosen["customdata"]) == ([1.0], [0.5], ["1.1"])


def test_a_contour_is_the_mean_over_cells_and_cells_without_a_trial_are_empty() -> None:
    errors = [0.2, 0.4, *[0.6] * 20]
    x = along("model.skip", [True, True, *[False] * 20])
    y = along("model.normalisation", ["none", "none", *["last"] * 20])
    surface = drawn(contour_figure(of(*errors), x, y, []), "mean")
    assert surface["type"] == "heatmap", "nothing lies between two categories"
    assert surface["z"][0] == pytest.approx([0.3, None])
    assert surface["z"][3] == [None, pytest.approx(0.6)]
    assert surface["z"][1] == [None, None]


def test_between_numbers_a_contour_is_smooth() -> None:
    trials, x, _ = grid(60)
    y = along(LR, np.geomspace(1e-5, 1e-2, 60).tolist())
    figure = contour_figure(trials, x, y, [])
    assert drawn(figure, "mean")["type"] == "contour"
    assert figure["layout"]["yaxis"]["type"] == "log"
    assert len(drawn(figure, "trials")["x"]) == 60


def test_a_contour_does_not_go_beyond_the_values_that_were_tried() -> None:
    errors = np.linspace(0.2, 0.6, 24).tolist()
    x, y = along("model.d_model", [32, 64] * 12), along("data.seq_len", [96] * 12 + [336] * 12)
    figure = contour_figure(of(*errors), x, y, [])
    texts = dict(x.ticks)
    surface = drawn(figure, "mean")
    assert [texts[place] for place in surface["x"]] == ["32", "64"]
    assert len(surface["y"]) == 3, "168 between them was not tried, and is empty"
    assert surface["z"][1] == [None, None]


def test_of_a_few_trials_no_mean_is_drawn() -> None:
    trials, x, y = grid(19)
    figure = contour_figure(trials, x, y, [])
    assert [trace["name"] for trace in figure["data"]] == ["trials"]
    assert figure["data"][0]["marker"]["color"] == pytest.approx(trials["val_mse"].tolist(), 1e-5)


def test_ranks_have_the_best_on_top_and_ties_alike() -> None:
    x, y = along("model.dropout", list(np.linspace(0, 0.4, 9))), along(LR, list(range(1, 10)))
    figure = rank_figure(of(0.1, 0.2, 0.2, *[0.3] * 6), x, y, [])
    dots = drawn(figure, "trials")
    assert dots["marker"]["color"] == [4, 4, 4, 4, 4, 4, 2, 2, 1]
    assert dots["customdata"][-1] == "1.0"
    assert "rank 1 of 9, val_mse 0.1" in dots["text"][-1]


def test_trials_of_the_same_two_values_do_not_hide_each_other() -> None:
    x, y = along("model.skip", [True] * 40), along(LR, [1e-3] * 20 + [1e-4] * 20)
    figure = rank_figure(of(*np.linspace(0.3, 0.5, 40)), x, y, [])
    dots = drawn(figure, "trials")
    assert len(set(zip(dots["x"], dots["y"], strict=True))) == 40
    assert all(abs(place) < 0.5 for place in dots["x"]), "none is nearer to another value"
    assert (dots["x"][-1], dots["y"][-1]) == (0.0, 1e-3), "the best is in the middle"


def test_a_distribution_counts_trials_with_and_without_a_result() -> None:
    trials = of(0.4, None, 0.2, 0.3, 0.9, source=["llm", "llm", "llm", "tpe", "tpe"])
    first, second = distribution_figure(trials, "source")["data"]
    assert first["name"] == "LLM: 2 trials, 1 without a result"
    assert (first["x"], first["y"]) == ([0.2, 0.2, 0.4], [0.0, 0.5, 1.0])
    assert second["name"] == "TPE: 2 trials"
    assert distribution_text(trials, "source").endswith("medians: LLM 0.3, TPE 0.6")


def test_a_group_without_a_result_has_no_line() -> None:
    trials = of(0.4, None, search=[1, 2])
    figure = distribution_figure(trials, "search")
    assert [line["name"] for line in figure["data"]] == ["search 1: 1 trial"]
    assert distribution_figure(of(None), "search")["data"] == []


def test_groups_beyond_the_most_that_are_drawn_are_told() -> None:
    trials = of(*np.linspace(0.1, 1, 50), search=[number // 2 for number in range(50)])
    assert len(distribution_figure(trials, "search")["data"]) == MOST_LINES == 20
    assert lines_cut(trials, "search") == "20 of 25 lines are drawn: those of the most trials."
    assert lines_cut(trials.head(40), "search") == ""


def test_a_line_of_many_trials_is_short_and_ends_at_both_ends() -> None:
    line = distribution_figure(of(*np.linspace(0.1, 0.9, 5000)), "search")["data"][0]
    assert len(line["x"]) < 500
    assert (line["x"][0], line["x"][-1], line["y"][-1]) == (0.1, 0.9, 1.0)
