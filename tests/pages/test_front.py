"""The Pareto front on the pages: pure figures, words, and what Live shows of it."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest
from click.testing import CliRunner

from nas_engine.amounts import amount, beforehand_text, broken_text
from nas_engine.cli.main import main
from nas_engine.evaluator import Compared, Noise, Rival
from nas_engine.front import front, growth
from nas_engine.objectives import Objective
from nas_engine.search import SearchSpec
from nas_engine.store.outcomes import Outcome
from nas_engine.store.reader import reading
from nas_engine.store.rows import BaselineRow
from nas_engine.store.table import results
from nas_engine.workspace import Workspace
from pages._parts.front import drawn_front, members_frame, placed
from pages._parts.front_figures import (
    MOST_POINTS,
    PARTS,
    front_figure,
    front_text,
    growth_figure,
    growth_text,
)
from pages._parts.trial_record import front_rows
from tests.pages import seed
from tests.pages.conftest import Open, words

BASELINES = [BaselineRow("linear", "val", 0.4, 0.42), BaselineRow("last", "val", 9.0, 3.0)]
SPEC = SearchSpec(objectives=("val_mse", "parameters"))


def trial(number: int, error: float | None, cost: float | None, **facts: Any) -> Outcome:
    return Outcome(
        **{
            **dict.fromkeys(Outcome._fields),
            "search": 1,
            "number": number,
            "state": "completed",
            "source": "tpe",
            "accepted": True,
            "ended_at": 100.0 + number,
            "val_mse": error,
            "parameters": cost,
            "differences": "{}",
            **facts,
        }
    )


TRIALS = [
    trial(0, 0.7, 64_000),
    trial(1, 0.5, 64_000),
    trial(2, 0.6, 10_000),
    trial(3, 0.4, 190_000),
    trial(4, 0.65, 70_000, accepted=False),
    trial(5, None, 30_000, state="running", accepted=None, ended_at=None),
]


def drawn(spec: SearchSpec = SPEC, trials: list[Outcome] = TRIALS) -> dict[str, Any]:
    return front_figure(trials, front(trials, spec), "parameters", spec, BASELINES)


def named(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(
        trace for trace in figure["data"] if trace.get("name", "").partition(" (")[0] == name
    )


def test_the_front_is_a_stair_from_the_cheapest_to_the_best() -> None:
    figure = drawn()
    stairs = figure["data"][-4]
    assert (stairs["x"], stairs["y"]) == ([10_000, 64_000, 190_000], [0.6, 0.5, 0.4])
    assert stairs["line"]["shape"] == "hv"
    assert named(figure, "front")["customdata"] == ["1.1", "1.2"]
    assert named(figure, "lowest error")["customdata"] == ["1.3"]
    assert "3 are on the front, from trial 3" in front_text(
        TRIALS, front(TRIALS, SPEC), "parameters", SPEC
    )
    go.Figure(figure)


def test_what_is_off_the_front_differs_in_shape_and_trial_0_is_named() -> None:
    figure = drawn(SPEC.model_copy(update={"at_most": {"parameters": 100_000.0}}))
    beyond, rejected = named(figure, "breaks the bounds"), named(figure, "rejected")
    assert beyond["customdata"] == ["1.3"] and rejected["customdata"] == ["1.4"]
    assert beyond["marker"]["symbol"] != rejected["marker"]["symbol"]
    assert named(figure, "start")["text"] == ["trial 0"]
    dashed = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "line"]
    assert dashed[0]["y0"] == 0.4, "the near baseline; the far one would flatten all else"
    assert len(dashed) == 2


def test_a_bound_is_a_line_with_a_shade_beyond_it_that_is_in_view() -> None:
    figure = drawn(SPEC.model_copy(update={"at_most": {"parameters": 1e6}}))
    shade = next(shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect")
    axis = figure["layout"]["xaxis"]
    assert axis["type"] == "log" and axis["range"][1] > 6
    assert shade["x0"] == 1e6 and shade["x1"] == pytest.approx(10 ** axis["range"][1])
    line = figure["layout"]["shapes"][-1]
    assert line["label"]["text"] == "at most 1,000,000 parameters"


def test_an_error_far_above_front_and_start_does_not_flatten_them() -> None:
    figure = drawn(SPEC, [*TRIALS, trial(6, 3.0, 20_000, accepted=False)])
    beyond = named(figure, "beyond the scale")
    assert beyond["customdata"] == ["1.6"] and beyond["y"] == [pytest.approx(1.15 * 0.7)]
    assert "3.000" in beyond["hovertext"][0]


def test_what_trains_is_a_hollow_mark_at_its_cost_below_the_scale_of_errors() -> None:
    foot = named(drawn(), "not ended")
    assert (foot["x"], foot["yaxis"], foot["customdata"]) == ([30_000], "y2", ["1.5"])
    assert foot["marker"]["symbol"].endswith("-open")


def test_members_for_a_third_objective_are_marked_above_the_stairs() -> None:
    spec = SearchSpec(objectives=("val_mse", "parameters", "latency_ms"))
    trials = [trial(0, 0.5, 10.0, latency_ms=9.0), trial(1, 0.6, 20.0, latency_ms=1.0)]
    figure = drawn(spec, trials)
    assert figure["data"][-3]["x"] == [10.0], "the stairs"
    assert named(figure, "front")["customdata"] == ["1.1"]
    assert "1 ms" in named(figure, "front")["hovertext"][0]


def test_of_many_trials_the_outline_is_drawn_and_the_front_whole() -> None:
    trials = [trial(n, 0.4 + (n * 37 % 100) / 200, 1000.0 + n, accepted=n < 5) for n in range(9000)]
    figure = drawn(SPEC, trials)
    points = sum(len(trace["x"]) for trace in figure["data"] if trace["mode"] == "markers")
    assert PARTS < points <= MOST_POINTS
    members = {row.name for row in front(trials, SPEC)}
    marked = {name for trace in figure["data"] for name in trace.get("customdata", [])}
    assert members <= marked


@pytest.mark.parametrize(
    "trials",
    [[], [trial(0, None, None)], [trial(0, 0.5, 7.0)], [trial(0, 0.5, 0.0), trial(1, 9e9, 3.0)]],
    ids=["none", "no result", "one", "a cost of nothing"],
)
def test_plotly_draws_every_case(trials: list[Outcome]) -> None:
    go.Figure(drawn(SPEC, trials))
    assert front_text(trials, front(trials, SPEC), "parameters", SPEC)
    go.Figure(growth_figure(growth(trials, SPEC), []))


def test_the_hypervolume_is_drawn_over_ended_trials_or_hours() -> None:
    found = growth(TRIALS, SPEC)
    ended = sorted(row.ended_at for row in TRIALS if row.ended_at is not None)
    (line,) = growth_figure(found, ended)["data"]
    assert line["x"][-1] == 5 and line["y"] == sorted(line["y"]) and line["y"][-1] <= 1
    (line,) = growth_figure(found, ended, ended[0] - 3600)["data"]
    assert line["x"][0] == pytest.approx(1 + (found[0].ended_at - ended[0]) / 3600, 1e-5)
    assert "after 5 trials" in growth_text(found, ended)


def test_figures_have_their_units() -> None:
    assert amount("parameters", 12_345) == "12,345 parameters"
    assert amount("flops", 1_234_000) == "1.23 MFLOPs"
    assert amount("latency_ms", 4.1234) == "4.12 ms"
    assert amount("seconds", 90.0) == "90 s"
    assert amount("val_mse", None) == "–" and amount("seconds", 7200.0) == "2 h"
    assert broken_text(TRIALS[3], {"parameters": 100_000.0, "flops": 1.0}) == (
        "190,000 parameters (+90 %)"
    )


# -- Live ---------------------------------------------------------------------------------------


def charts(app: Any) -> dict[str, Any]:
    found = [json.loads(part.proto.json) for part in app.get("bidi_component")]
    return {part["name"]: part for part in found}


def test_live_shows_the_front_its_growth_its_gaps_and_its_members(
    open_page: Open, workspace: Workspace
) -> None:
    search_id = seed.traded(workspace, {"latency_ms": 8.0})
    app = open_page("live")
    found = charts(app)
    assert "3 are on the front" in found["live-front"]["alt"]
    assert "after 6 trials; last grown by trial" in found["live-hypervolume"]["alt"]
    assert "**The front: 3 trials**" in words(app)
    assert "Widest gaps: nothing between" in words(app)
    members = app.dataframe[0].value
    assert [ref.rpartition("=")[2] for ref in members["Trial"]] == ["1.5", "1.3", "1.2"]
    app.segmented_control(key="live-front-cost").set_value("latency_ms").run()
    figure = charts(app)["live-front"]["figure"]
    assert named(figure, "too slow")["x"] == [12.3]
    assert any(shape.get("x0") == 8.0 for shape in figure["layout"]["shapes"])
    assert search_id == 1


def test_a_search_with_one_objective_has_no_front(open_page: Open, workspace: Workspace) -> None:
    seed.small(workspace, 3)
    assert "live-front" not in charts(open_page("live"))


def test_exact_costs_of_what_trains_are_counted_and_members_are_held_against_trial_0(
    workspace: Workspace,
) -> None:
    search_id = seed.traded(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        found, search = results(reader, [search_id]), reader.search(search_id)
    assert search is not None
    trials = placed(found)
    assert trials[7].val_mse is None and (trials[7].parameters or 0) > 1000
    assert (trials[7].flops or 0) > (trials[7].parameters or 0)
    drawing = drawn_front(found, (), "parameters", search.spec)
    frame = members_frame(drawing.members, drawing.start, search.spec)
    assert frame["Trial"].tolist() == [5, 3, 2]
    assert frame["parameters vs 0 %"].tolist()[0] == pytest.approx(193.75)
    assert "d_ff = 512" in frame["Changes"][0]


def test_with_bounds_alone_the_best_within_them_is_told_and_others_are_marked(
    open_page: Open, workspace: Workspace
) -> None:
    search_id = seed.traded(workspace, {"parameters": 50_000.0}, ("val_mse",))
    app = open_page("live")
    told = words(app)
    assert "It looks for the best under 50k parameters" in told.replace("\\", "")
    assert f"Best in bounds ↓ {0.4412:#.4g}" in told and "comes nearest" not in told
    history = charts(app)["live-history"]["figure"]
    assert named(history, "breaks the bounds")["x"] == [0, 1, 4, 5]
    assert named(history, "best so far")["x"] == [2, 3, 7]
    table = app.dataframe[0].value
    assert table["Bounds"].tolist()[:3] == [
        "✕ 64,000 parameters (+28 %)",
        "✕ 64,100 parameters (+28 %)",
        "✓ kept",
    ]
    assert search_id == 1 and "live-front" not in charts(app)


def test_while_nothing_keeps_the_bounds_the_nearest_trial_is_named(
    open_page: Open, workspace: Workspace
) -> None:
    seed.traded(workspace, {"parameters": 7_000.0}, ("val_mse",))
    app = open_page("live")
    assert "Nearest to bounds ↓" in words(app)
    assert "Trial 2 comes nearest: 9,800 parameters (+40 %)" in words(app).replace("\\", "")


# -- Trial, Overview, command line ---------------------------------------------------------------


def test_overview_tells_fronts_and_bounds_in_words(open_page: Open, workspace: Workspace) -> None:
    seed.small(workspace)
    assert "Front" not in open_page("overview").dataframe[0].value
    seed.traded(workspace)
    seed.traded(workspace, {"parameters": 50_000.0}, ("val_mse",))
    seed.traded(workspace, {"parameters": 7_000.0}, ("val_mse",))
    told = open_page("overview").dataframe[0].value["Front"].tolist()
    assert told[0] == "none yet under 7k parameters"
    assert told[1] == "best under 50k parameters"
    assert told[2].startswith("front of 3, hypervolume ")
    assert not isinstance(told[3], str), "of the error alone there is nothing to tell"


def test_show_and_list_print_the_front_and_the_bounds(workspace: Workspace) -> None:
    seed.traded(workspace, {"latency_ms": 8.0})
    seed.traded(workspace, {"parameters": 7_000.0}, ("val_mse",))

    def said(*arguments: str) -> str:
        result = CliRunner().invoke(main, [*arguments, "--db", str(workspace.db)])
        assert result.exit_code == 0, result.output
        return result.output

    shown = said("show", "1")
    assert "It trades the error against parameters and latency, under 8 ms." in shown
    best = "Best: trial 5, val_mse 0.3876 (lower is better), 188,000 parameters, 6.3 ms."
    assert best in shown
    assert "Front of 3, hypervolume" in shown and "Widest gaps: nothing between" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["trial", "val_mse", "parameters", "latency_ms", "source"] in lines
    assert ["5", "0.3876", "188000", "6.3", "tpe"] in lines
    bounded = said("show", "2")
    assert "Trial 2 comes nearest: 9,800 parameters (+40 %)" in bounded
    line = next(line.split() for line in bounded.splitlines() if line.startswith("2 "))
    assert line[:6] == ["2", "completed", "accepted", "0.521", "9800", "broken"]
    assert "none yet under 7k parameters" in said("list")
    assert "front of 3" in json.loads(said("list", "--json"))[1]["front"]


def test_a_verdict_shows_the_costs_the_bounds_and_the_front_that_it_used() -> None:
    compared = Compared(
        objectives=("val_mse", "parameters"),
        values={"val_mse": 0.4, "parameters": 12_000.0, "latency_ms": None},
        at_most={"latency_ms": 5.0},
        rivals=tuple(Rival(n, (0.3 + n / 100, 1000.0 * (20 - n)), 1) for n in range(15)),
        noise={"latency_ms": Noise(0.021, 3)},
    )
    rows = front_rows(compared)
    assert rows[:3] == [
        ("parameters of the trial", "12,000 parameters"),
        ("latency of the trial", "not known then, at most 5 ms"),
        ("on the front: trial 0", "val_mse 0.3000, 20,000 parameters"),
    ]
    assert rows[-2:] == [("on the front", "3 more trials"), ("noise of latency", "2.10 %")]


def test_what_a_proposal_comes_to_is_held_against_the_bounds_that_arithmetic_knows() -> None:
    exact: dict[Objective, float] = {"parameters": 64_000, "flops": 1.2e6}
    assert beforehand_text(exact, SearchSpec()) == ""
    told = beforehand_text(exact, SPEC)
    assert told == "By arithmetic it comes to 64,000 parameters and 1.2 MFLOPs."
    bounds: dict[Objective, float] = {"parameters": 50_000.0, "latency_ms": 5.0}
    assert beforehand_text(exact, SearchSpec(at_most=bounds)).endswith(
        "beyond the bounds by 64,000 parameters (+28 %)."
    )
    bounds["parameters"] = 70_000.0
    assert beforehand_text(exact, SearchSpec(at_most=bounds)).endswith(
        "within the bounds of 70k parameters. Whether it keeps the bound of latency is measured."
    )


def test_review_tells_whether_a_proposal_keeps_the_bounds(
    open_page: Open, workspace: Workspace
) -> None:
    waits = seed.Seed(workspace, mode="review", at_most={"parameters": 1000.0})
    waits.propose(0, "default")
    waits.train(0, 0.5)
    waits.propose(1, "tpe", 0, {"model.d_ff": 64}, waiting=True)
    waits.close()
    assert "beyond the bounds by" in words(open_page("review"))
