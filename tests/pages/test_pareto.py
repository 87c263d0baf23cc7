from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nas_engine.search import SearchSpec
from pages._parts.analysis.fronts import box, dominators, hypervolumes
from pages._parts.analysis.pareto import hypervolume_figure, pareto_figure, places
from pages._parts.analysis.tradeoffs import usual_pair
from tests.pages.analysed import drawn, of


def random_points(count: int) -> list[tuple[float, float]]:
    rng = np.random.default_rng(count)
    return [(float(x), float(y)) for x, y in rng.integers(1, 12, (count, 2))]


@pytest.mark.parametrize("count", [1, 2, 30, 80])
def test_dominators_are_those_of_the_definition(count: int) -> None:
    points = random_points(count)
    expected = [
        sum(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points) for p in points
    ]  # of whole numbers, many are equal
    assert dominators(points) == expected


@pytest.mark.parametrize("count", [1, 2, 30, 80])
def test_a_hypervolume_is_the_area_that_is_dominated(count: int) -> None:
    points = random_points(count)
    cells = np.array([[x + 0.5, y + 0.5] for x in range(12) for y in range(12)])
    expected = [
        sum(bool(np.any((cell >= np.array(points[: row + 1])).all(axis=1))) for cell in cells)
        for row in range(count)
    ]
    assert hypervolumes(points, (12.0, 12.0)) == pytest.approx(expected)


def test_the_reference_is_a_tenth_beyond_the_worst() -> None:
    found = box([(1.0, 10.0), (2.0, 5.0)])
    assert (found.best, found.reference) == ((1.0, 5.0), pytest.approx((2.2, 11.0)))
    assert found.area == pytest.approx(1.2 * 6.0)


@pytest.mark.parametrize("errors", [[0.0], [1.7e308, 0.5], [0.0, 0.0]])
def test_a_box_without_an_area_or_beyond_all_numbers_measures_nothing(errors: list[float]) -> None:
    assert not box([(1.0, error) for error in errors]).measures
    assert box([(1.0, 0.5)]).measures


def tradeoffs(**more: Sequence[Any]) -> pd.DataFrame:
    return of(0.3, 0.4, 0.5, 0.45, parameters=[400.0, 100.0, 100.0, 300.0], **more)


def test_the_front_is_a_stair_and_the_others_are_muted_with_their_counts() -> None:
    trials, pair = tradeoffs(), ("parameters", "val_mse")
    counts = pd.Series(dominators(places(trials, pair)), index=trials.index)
    figure = pareto_figure(trials, pair, counts, [(1, 3)])
    stairs, dominated = drawn(figure, "Pareto front"), drawn(figure, "dominated")
    assert (stairs["x"], stairs["y"]) == ([100.0, 400.0], [0.4, 0.3])
    assert stairs["line"]["shape"] == "hv"
    assert stairs["customdata"] == ["1.1", "1.0"]
    assert dominated["customdata"] == ["1.2", "1.3"]
    assert dominated["text"] == [1, 1]
    assert drawn(figure, "chosen")["customdata"] == ["1.3"]


def test_the_hypervolume_of_each_search_grows_over_its_trials() -> None:
    trials, pair = tradeoffs(search=[1, 1, 1, 2]), ("parameters", "val_mse")
    within = box(places(trials, pair))
    first, second = hypervolume_figure(trials, pair, within)["data"]
    assert first["x"] == [0, 1, 2], "where it grows, and where the search ends"
    assert first["y"] == sorted(first["y"])
    areas = (440 - 400) * (0.55 - 0.3), (440 - 300) * (0.55 - 0.45)
    assert first["y"][0] == pytest.approx(areas[0] / within.area)
    assert second["y"] == pytest.approx([areas[1] / within.area])


def test_the_pair_that_is_drawn_unasked_is_what_a_search_in_scope_trades() -> None:
    plain = SearchSpec()
    traded = SearchSpec(objectives=("val_mse", "latency_ms", "flops"))
    assert usual_pair([plain]) == ("parameters", "val_mse")
    assert usual_pair([plain, traded]) == ("latency_ms", "val_mse")


def test_costs_stand_on_a_log_scale_sooner_than_errors() -> None:
    trials = of(0.3, 0.4, 1.5, flops=[1e6, 3e6, 5e6])
    counts = pd.Series(0, index=trials.index)
    axes = pareto_figure(trials, ("flops", "val_mse"), counts, [])["layout"]
    assert (axes["xaxis"]["type"], axes["yaxis"]["type"]) == ("log", "linear")
