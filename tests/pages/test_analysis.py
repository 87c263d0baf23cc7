from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from informer.config import Value, fields
from nas_engine.store.reader import reading
from nas_engine.store.table import Results, results
from nas_engine.workspace import Workspace
from pages._parts.analysis.distribution import distribution_figure
from pages._parts.analysis.frames import (
    cut_text,
    left_out,
    results_frame,
    settings_frame,
)
from pages._parts.analysis.fronts import box, dominators
from pages._parts.analysis.importance import (
    importance,
    importance_figure,
)
from pages._parts.analysis.parallel import parallel_figure
from pages._parts.analysis.pareto import hypervolume_figure, pareto_figure, places
from pages._parts.analysis.slices import contour_figure, rank_figure, slice_figure
from tests.pages import seed
from tests.pages.analysed import LR, additive, along, grid, of


def columns(
    starts: dict[int, dict[str, Value]],
    trials: Sequence[tuple[int, int]],
    differences: Sequence[dict[str, Value]],
) -> Results:
    nothing = {field.name: (None,) * len(trials) for field in dataclasses.fields(Results)}
    return Results(
        **nothing
        | {
            "mark": "1",
            "starts": starts,
            "search": tuple(search for search, _ in trials),
            "number": tuple(number for _, number in trials),
            "differences": tuple(json.dumps(changes) for changes in differences),
        }
    )


def test_the_frames_hold_what_the_database_holds(workspace: Workspace) -> None:
    search_id = seed.eventful(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        read, trials = results(reader, [search_id]), reader.trials(search_id)
    frame, settings = results_frame(read), settings_frame(read)
    assert list(frame.index) == [f"{search_id}.{trial.number}" for trial in trials]
    assert list(settings.index) == list(frame.index)
    for trial in trials:
        ref = f"{search_id}.{trial.number}"
        assert frame.at[ref, "state"] == trial.state
        assert frame.at[ref, "val_mse"] == trial.val_mse or trial.val_mse is None
        assert settings.loc[ref].to_dict() == {key: trial.config[key] for key in settings}
    varied = [key for key in fields() if len({trial.config[key] for trial in trials}) > 1]
    assert list(settings.columns) == varied


def test_settings_in_which_searches_start_differently_vary() -> None:
    starts: dict[int, dict[str, Value]] = {
        1: {"model.d_model": 16, LR: 0.1},
        2: {"model.d_model": 32, LR: 0.1},
    }
    settings = settings_frame(columns(starts, [(1, 0), (2, 0), (2, 1)], [{}, {}, {LR: 0.2}]))
    assert settings["model.d_model"].tolist() == [16, 32, 32]
    assert settings[LR].tolist() == [0.1, 0.1, 0.2]


def test_a_search_without_a_trial_0_has_no_values_but_its_changes() -> None:
    settings = settings_frame(columns({}, [(1, 1), (1, 2)], [{"model.d_model": 64}, {}]))
    assert settings["model.d_model"].tolist()[0] == 64
    assert settings["model.d_model"].isna().tolist() == [False, True]


def test_frames_of_no_trials_are_empty() -> None:
    nothing = columns({}, [], [])
    assert results_frame(nothing).empty
    assert settings_frame(nothing).empty


def test_trials_without_a_result_are_counted_by_their_state() -> None:
    trials = of(0.5, None, None, state=["completed", "failed", "completed"])
    assert left_out(trials) == (
        "Not drawn, since they have no val_mse: 1 failed, 1 completed with a val_mse that is not "
        "finite."
    )
    assert left_out(of(0.5)) == ""
    unmeasured = of(0.5, 0.4, None, seconds=[1.0, np.nan, np.nan])
    assert left_out(unmeasured, {"val_mse": "val_mse", "seconds": "time"}) == (
        "Not drawn, since they have no val_mse or no time: 1 completed, 1 failed."
    )
    assert cut_text(300, 1200, "the best") == "300 of 1,200 trials are drawn: the best."
    assert cut_text(3, 3, "the best") == ""


@pytest.mark.parametrize("trials", [1, 2, 40])
def test_plotly_accepts_the_figures(trials: int) -> None:
    scored, x, y = grid(trials)
    constant = along(LR, [1e-3] * trials)
    scored = scored.assign(parameters=100.0)
    pair = ("parameters", "val_mse")
    counts = pd.Series(dominators(places(scored, pair)), index=scored.index)
    settings, errors = additive(trials)
    for figure in (
        *(slice_figure(scored, item, [(1, 0)]) for item in (x, y, constant)),
        contour_figure(scored, x, y, []),
        contour_figure(scored, x, constant, []),
        rank_figure(scored, x, y, []),
        rank_figure(scored, constant, y, []),
        distribution_figure(scored, "source"),
        pareto_figure(scored, pair, counts, []),
        hypervolume_figure(scored, pair, box(places(scored, pair))),
        importance_figure(importance(settings, errors), trials),
        parallel_figure([x, y, constant, along("val_mse", scored["val_mse"].tolist())], {}),
    ):
        go.Figure(figure)
        json.dumps(figure, allow_nan=False)


def tab(name: str, frames: Callable[[], tuple[pd.DataFrame, pd.DataFrame]]) -> AppTest:
    """Run a tab as a page of its own."""

    def script(name: str, results: object, settings: object) -> None:
        import importlib

        module = importlib.import_module(f"pages._parts.analysis.{name}")
        module.show(results, settings, [(1, 0)])

    results, settings = frames()
    app = AppTest.from_function(
        script, default_timeout=30, kwargs={"name": name, "results": results, "settings": settings}
    )
    return app


def seeded(errors: Sequence[float | None]) -> Callable[[], tuple[pd.DataFrame, pd.DataFrame]]:
    def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
        trials = of(*errors, val_mae=0.5, parameters=np.arange(len(errors)) + 1.0, seconds=3.0)
        trials[["memory_mb", "latency_ms", "flops"]] = np.nan
        rng = np.random.default_rng(0)
        settings = {"model.dropout": rng.random(len(errors)), "model.skip": rng.random(len(errors))}
        settings["model.skip"] = settings["model.skip"] > 0.5
        return trials, pd.DataFrame(settings, index=trials.index)

    return frames


def said(app: AppTest) -> str:
    assert not app.exception, app.exception
    kinds = ("info", "caption", "markdown", "warning")
    return "\n".join(element.value for kind in kinds for element in app.get(kind))


def charts(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.json) for chart in app.get("bidi_component")]


@pytest.mark.parametrize("name", ["parameters", "landscape", "tradeoffs"])
@pytest.mark.parametrize("errors", [[], [None, None]])
def test_a_tab_without_a_result_says_so(name: str, errors: list[float | None]) -> None:
    app = tab(name, seeded(errors)).run()
    assert f"None of the {len(errors)} trials in scope has" in said(app)
    assert charts(app) == []


@pytest.mark.parametrize("name", ["parameters", "landscape"])
def test_a_tab_with_one_trial_says_that_nothing_varies(name: str) -> None:
    assert "no setting varies" in said(tab(name, seeded([0.5, None])).run())


def test_the_tab_of_parameters_draws_its_figures_and_counts_what_it_leaves_out() -> None:
    app = tab("parameters", seeded([0.5, 0.4, None, 0.6])).run()
    assert [chart["name"] for chart in charts(app)] == ["analysis-parallel", "analysis-importance"]
    assert "0.4, in trial 1.1" in charts(app)[0]["alt"]
    assert "1 failed" in said(app)
    assert "Only 3 trials have a result" in said(app)


@pytest.mark.parametrize("errors", [[0.0], [1.7e308, 0.5], [1.7e308, 1.6e308]])
def test_a_hypervolume_that_cannot_be_measured_is_said_and_not_drawn(errors: list[float]) -> None:
    app = tab("tradeoffs", seeded(errors)).run()
    assert "no hypervolume is drawn" in said(app)
    assert [chart["name"] for chart in charts(app)] == ["analysis-pareto"]


def test_compared_trials_are_on_the_front_however_many_dominate_them() -> None:
    def dominated() -> tuple[pd.DataFrame, pd.DataFrame]:
        results, settings = seeded(np.linspace(0.9, 0.3, 1500).tolist())()
        return results.assign(parameters=np.arange(1500.0)[::-1] + 1), settings

    app = tab("tradeoffs", dominated).run()
    (compared,) = [trace for trace in charts(app)[0]["figure"]["data"] if trace["name"] == "chosen"]
    assert compared["customdata"] == ["1.0"]
    assert "1,001 of 1,500" in said(app)


def test_more_than_300_lines_are_an_explicit_choice() -> None:
    app = tab("parameters", seeded(np.linspace(0.3, 0.6, 500).tolist())).run()
    assert len(charts(app)[0]["figure"]["data"][0]["line"]["color"]) == 300
    app.toggle[0].set_value(True).run()
    assert app.query_params["every"] == "yes"
    assert len(charts(app)[0]["figure"]["data"][0]["line"]["color"]) == 500


@pytest.mark.parametrize(
    ("view", "drawn"), [("slices", 2), ("contour", 1), ("ranks", 1), ("distribution", 1)]
)
def test_the_address_opens_a_view_of_the_landscape(view: str, drawn: int) -> None:
    app = tab("landscape", seeded(np.linspace(0.3, 0.6, 30).tolist()))
    app.query_params["landscape"] = view
    app.run()
    assert len(charts(app)) == drawn, said(app)
    assert all(chart["alt"] for chart in charts(app))


def test_the_tab_of_tradeoffs_names_its_reference_and_lists_the_front() -> None:
    app = tab("tradeoffs", seeded([0.5, 0.4, None, 0.6])).run()
    assert "**The front: 2 trials**" in said(app)
    assert "reference point parameters 4.4, val_mse 0.66" in said(app)
    assert app.dataframe[0].value["Trial"].tolist() == ["./trial?trial=1.0", "./trial?trial=1.1"]


def test_figures_that_were_not_measured_are_named() -> None:
    app = tab("tradeoffs", seeded([0.5, 0.4]))
    app.query_params["front-x"] = "memory_mb"
    app.run()
    assert "has both memory in MB and val_mse" in said(app)
    app.selectbox(key="compare-front-x").set_value("val_mse").run()
    assert "two different figures" in said(app)
