"""Planners where a search has several objectives, or bounds, without training anything."""

from __future__ import annotations

import dataclasses
import random
import statistics
from collections.abc import Sequence
from typing import Any

import pytest
from optuna.samplers._tpe.sampler import _split_trials

from informer.config import Value, from_flat
from informer.cost import parameters
from informer.records import Success
from nas_engine.front import Box, hypervolume, incumbent
from nas_engine.llm import prompt
from nas_engine.noise import Noise
from nas_engine.planners.aims import Standing, beaten_by, standing
from nas_engine.planners.base import View
from nas_engine.planners.hybrid import SHARE, Unconvincing, best_of, model_share
from nas_engine.planners.prospects import Prospects
from nas_engine.planners.question import ask_text, estimated_tokens, optimiser_text, system_text
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.planning import planner_of
from nas_engine.proposals import Proposal
from nas_engine.search import Limits, SearchSpec
from nas_engine.store.rows import Spend, TrialRow
from tests.engine.recorded_search import recorded_spec
from tests.engine.rows import no_epochs, trial_row
from tests.recorded.table import TESTED

SPEND = Spend(0, 0, 0, 0.0, 0, 0.0)
BOTH: dict[str, Any] = {"objectives": ("val_mse", "parameters")}
LATENCY: dict[str, Any] = {"at_most": {"latency_ms": 5.0}}


def view_of(trials: Sequence[TrialRow], **facts: Any) -> View:
    spec = SearchSpec.model_validate(facts)
    return View(
        search_id=1,
        number=len(trials),
        spec=spec,
        max_trials=40,
        incumbent=incumbent(trials, spec.at_most),
        trials=trials,
        baselines=[],
        epochs=no_epochs,
        noise=None,
        spend=SPEND,
    )


def ended(number: int, changes: dict[str, Value] | None = None, **facts: Any) -> TrialRow:
    known: dict[str, Any] = {"source": "tpe", "seconds": 2.0, "seeds": 1, "asked_seconds": 1.0}
    return trial_row(number, changes or {}, **{**known, "accepted": True, **facts})


def too_slow(number: int, changes: dict[str, Value] | None = None, **facts: Any) -> TrialRow:
    ending = {"state": "pruned", "error_class": "infeasible", "val_mse": None, "accepted": False}
    return ended(
        number, changes, **{**ending, "latency_ms": 7.3, "error": "A forecast is slow.", **facts}
    )


def told_of(planner: OptunaPlanner, view: View) -> dict[int, Any]:
    for trial in view.trials:
        planner.observe(trial)
    return {told.user_attrs["number"]: told for told in planner.study(view).trials}


def searched(kind: Any, seed: int, count: int, **facts: Any) -> list[TrialRow]:
    """Return the trials of a search on the recorded table; patches are fast, steps slow."""
    spec = recorded_spec(seed=seed, max_trials=count, **facts)
    planner, rows = OptunaPlanner(kind), list[TrialRow]()
    for number in range(count):
        view = dataclasses.replace(view_of(rows, **spec.model_dump()), max_trials=count)
        changes = planner.propose(view).changes if number else {}
        config = {**view.parent, **changes} if number else dict(view.base)
        outcome = TESTED.replay(from_flat(config)).outcome
        assert isinstance(outcome, Success), "no training of the table failed"
        slow = outcome.parameters / (10_000 if config["model.tokens"] == "step" else 30_000)
        measured = {"latency_ms": slow, "parameters": outcome.parameters, "accepted": number == 0}
        if number and slow > spec.at_most.get("latency_ms", slow):
            rows.append(too_slow(number, config, **measured | {"accepted": False}))
        else:
            rows.append(ended(number, config, val_mse=outcome.val_mse, **measured))
        planner.observe(rows[-1])
    return rows


# -- TPE ----------------------------------------------------------------------------------------


def test_tpe_is_told_errors_with_costs_by_their_logarithm_and_what_lacks_one_as_failed() -> None:
    rows = [
        ended(0, val_mse=0.5, parameters=1000),
        ended(1, val_mse=0.4),  # imported: nobody counted
        ended(2, val_mse=None, state="running"),
        ended(3, val_mse=None, state="pruned", parameters=1000),
    ]
    told = told_of(OptunaPlanner("tpe"), view_of(rows, **BOTH))
    assert told[0].values == pytest.approx([0.5, 6.907755])
    assert [told[n].state.name for n in range(4)] == ["COMPLETE", "FAIL", "RUNNING", "FAIL"]


@pytest.mark.parametrize("facts", [LATENCY, {**LATENCY, **BOTH}])
def test_what_breaks_a_bound_ranks_behind_all_that_keeps_it(facts: dict[str, Any]) -> None:
    known = {"parameters": 1000}
    rows = [
        ended(0, val_mse=0.9, latency_ms=4.0, **known),
        ended(1, val_mse=0.1, latency_ms=6.0, **known),
        too_slow(2, **known),
        too_slow(3, latency_ms=None, **known),
    ]
    view, planner = view_of(rows, **facts), OptunaPlanner("tpe")
    told = told_of(planner, view)
    broken = [sum(v for v in told[n].constraints.values() if v > 0) for n in range(4)]
    assert broken[0] == 0 < broken[3] < broken[1] < broken[2]
    assert [told[n].state.name for n in (2, 3)] == ["PRUNED", "PRUNED"]
    study = planner.study(view)
    for count, expected in ((1, {0}), (3, {0, 1, 3})):
        below, _ = _split_trials(study, study.trials, count)
        assert {trial.user_attrs["number"] for trial in below} == expected


def test_tpe_finds_a_better_front_than_chance() -> None:
    box = Box(("val_mse", "parameters"), (0.0, 4_000.0), (0.58, 1_043_000.0))
    shares = {
        kind: [
            hypervolume(
                [(row.val_mse or 1.0, float(row.parameters or 0)) for row in rows],
                box,
            )
            for seed in range(3)  # far apart: trials draw by the seed plus their number
            for rows in [searched(kind, 1000 * seed, 40, **BOTH)]
        ]
        for kind in ("tpe", "random")
    }
    assert statistics.fmean(shares["tpe"]) > 1.03 * statistics.fmean(shares["random"])


def test_most_proposals_keep_a_bound_that_only_measuring_tells() -> None:
    kept = [
        row.val_mse is not None
        for seed in (0, 1000)
        for row in searched("tpe", seed, 36, at_most={"latency_ms": 1.0})[16:]
    ]
    assert statistics.fmean(kept) > 0.5  # by chance, two in five


def test_with_several_objectives_an_old_planner_proposes_as_a_new_one() -> None:
    draw = random.Random(1)
    rows = [
        ended(
            n,
            {"model.dropout": draw.choice((0.0, 0.1, 0.3)), "model.d_model": 64},
            val_mse=draw.random(),
            latency_ms=draw.uniform(3, 7),
            parameters=draw.randrange(1000, 9000),
        )
        for n in range(20)
    ]
    view = view_of(rows, **BOTH, **LATENCY)
    old, new = OptunaPlanner("tpe"), OptunaPlanner("tpe")
    for row in reversed(rows):
        old.observe(row)
        old.study(view)
    for row in rows:
        new.observe(row)
    assert old.propose(view) == new.propose(view)


@pytest.mark.parametrize("name", ["portfolio", "tpe", "random", "rules"])
def test_proposals_keep_bounds_that_arithmetic_knows_though_the_start_breaks_them(
    name: Any,
) -> None:
    start = parameters(SearchSpec().base())
    bound = start // 3
    planner = planner_of(SearchSpec(planner=name), lambda number: pytest.fail(str(number)))
    rows = [ended(0, val_mse=0.5, parameters=start)]
    for number in range(1, 13):
        view = view_of(rows, at_most={"parameters": bound})
        proposal = view.whole(planner.propose(view))
        config = {**view.base, **proposal.changes}
        assert parameters(from_flat(config)) <= bound
        assert "Moved to keep the bounds" in proposal.reasons
        rows.append(ended(number, config, val_mse=0.6, accepted=False, parameters=bound))
        planner.observe(rows[-1])


# -- who beats whom -----------------------------------------------------------------------------


def test_standings_are_ordered_by_bounds_first_and_then_by_what_dominates() -> None:
    draw = random.Random(7)
    those: list[Standing] = [
        (draw.choice((0.0, 0.0, 0.2, 0.5)), (draw.randrange(4), draw.randrange(4)))
        for _ in range(60)
    ]

    def beats(one: Standing, other: Standing) -> bool:
        if one[0] != other[0]:
            return one[0] < other[0]
        no_worse = all(a <= b for a, b in zip(one[1], other[1], strict=True))
        return no_worse and one[1] != other[1]

    expected = [sum(beats(other, one) for other in those) for one in those]
    assert beaten_by(those, those) == expected


def test_a_trial_without_figures_is_beaten_by_all_that_have_some() -> None:
    spec = SearchSpec.model_validate({**BOTH, **LATENCY})
    known = {"parameters": 1000, "latency_ms": 9.0}
    rows = [ended(0, val_mse=0.9, **known), ended(1, val_mse=None, state="pruned"), ended(2)]
    standings = [standing(row, spec) for row in rows]
    assert beaten_by(standings, standings) == [0, 1, 1]


def test_extending_the_front_at_either_end_is_a_win() -> None:
    spec = SearchSpec.model_validate(BOTH)
    usual = [ended(n, val_mse=0.5 + n / 100, parameters=5000 + n) for n in range(10)]
    small = [
        ended(10 + n, source="hybrid", val_mse=0.8, parameters=1000 - n, asked_seconds=0.0)
        for n in range(3)
    ]
    assert model_share([*usual, *small], spec) > SHARE
    assert model_share([*usual, *small]) < SHARE  # in the error alone they lose


# -- candidates ---------------------------------------------------------------------------------


def dropouts(**facts: Any) -> list[TrialRow]:
    """Return results of which dropout lowers the error and slows the forecasts down."""
    return [
        ended(
            n,
            {"model.dropout": 0.05 * n},
            val_mse=0.6 - 0.03 * n,
            latency_ms=1.0 + n,
            parameters=parameters(SearchSpec().base()),
            **facts,
        )
        for n in range(10)
    ]


def candidate(changes: dict[str, Value]) -> Proposal:
    return Proposal(source="llm", parent=0, changes=changes)


def test_a_bound_outweighs_a_lower_error_among_candidates() -> None:
    slow, fast = candidate({"model.dropout": 0.44}), candidate({"model.dropout": 0.16})
    rows = dropouts()
    free = dataclasses.replace(view_of(rows), incumbent=0)
    bound = dataclasses.replace(view_of(rows, **LATENCY), incumbent=0)
    assert best_of([slow, fast], rows, free).changes == slow.changes
    assert best_of([slow, fast], rows, bound).changes == fast.changes


def test_the_probability_of_a_bound_is_certain_only_where_arithmetic_knows_the_figure() -> None:
    rows = dropouts()
    start = SearchSpec().base().flat()
    wide = {**start, "model.d_model": 128, "model.dropout": 0.16}
    bounds = {"parameters": float(parameters(SearchSpec().base())), "latency_ms": 5.0}
    view = view_of(rows, at_most=bounds)
    (narrow_one, wide_one, slow) = Prospects(view, rows).of(
        [{**start, "model.dropout": 0.16}, wide, {**start, "model.dropout": 0.44}]
    )
    assert wide_one.keeps == 0
    assert 1 > narrow_one.keeps > 0.5 > slow.keeps > 0


def test_as_long_as_nothing_keeps_the_bounds_the_likeliest_to_do_so_is_tried() -> None:
    rows = [dataclasses.replace(row, latency_ms=row.latency_ms or 0) for row in dropouts()][5:]
    view = view_of(rows, at_most={"latency_ms": 5.5})
    near, far = candidate({"model.dropout": 0.26}), candidate({"model.dropout": 0.44})
    assert best_of([far, near], rows, view).changes == near.changes


def test_between_objectives_what_extends_the_front_is_preferred() -> None:
    start = SearchSpec().base().flat()
    rows = [
        ended(
            n,
            config,
            val_mse=0.52 - 0.002 * n,
            parameters=parameters(from_flat(config)),
        )
        for n in range(10)
        for config in [{**start, "model.d_ff": (256, 512)[n % 2], "model.dropout": 0.02 * n}]
    ]
    view = view_of(rows, **BOTH)
    small, large = {"model.d_model": 32, "model.d_ff": 64}, {"model.d_model": 128}
    configs = [{**view.parent, **changes} for changes in (small, large)]
    gains = [one.gain for one in Prospects(view, rows).of(configs)]
    assert gains[0] > 0 == gains[1]
    assert best_of([candidate(large), candidate(small)], rows, view).changes == small


def test_candidates_that_most_results_beat_do_not_convince() -> None:
    rows = dropouts()
    view = view_of(rows, objectives=("val_mse", "parameters"))
    with pytest.raises(Unconvincing, match="results beat that"):
        best_of([candidate({"model.d_model": 128, "model.dropout": 0.01})], rows, view)


# -- the question -------------------------------------------------------------------------------


def test_the_question_tells_front_gaps_costs_and_bounds() -> None:
    rows = [
        ended(0, val_mse=0.7, parameters=90_000, latency_ms=9.0),
        ended(1, {"model.d_model": 32}, val_mse=0.6, parameters=12_000, latency_ms=1.5),
        ended(2, {"model.dropout": 0.3}, val_mse=0.5, parameters=48_000, latency_ms=4.0),
        too_slow(3),
    ]
    view = view_of(
        rows, objectives=("val_mse", "parameters"), at_most={"latency_ms": 5.0, "parameters": 6e4}
    )
    view = dataclasses.replace(view, noises={"latency_ms": Noise(0.03, 2)})
    text = ask_text(view, "Plan.")
    for told in (
        "It trades the error against parameters, under 5 ms, 60k parameters.",
        "Latency is that of 1 window at once on the device that trains",
        "measured again it differs by 3.000% (standard deviation)",
        "- at most 5 ms: measured before the first epoch; what is slower is not trained",
        "- at most 60,000 parameters: known beforehand; code refuses what breaks it",
        "- trial 2: val_mse 0.5, 48,000 parameters, 4 ms, within the bounds; model.dropout=0.3",
        "- trial 1: val_mse 0.6, 12,000 parameters, 1.5 ms, within the bounds; model.d_model=32",
        "- nothing between 12,000 and 48,000 parameters (trials 1 and 2)",
        "of the box of all results (hypervolume)",
        "breaks the bounds: 9 ms (+80 %), 90,000 parameters (+50 %)",
        "trial 3 (tpe): start -> not trained, for it breaks a bound: 'A forecast is slow.', 7.3 ms",
        "the parent, trial 2, the member of the front with the lowest val_mse.",
    ):
        assert told in text, told
    assert "extending the front within the bounds" in system_text(view)


def test_where_the_error_alone_counts_nothing_is_said_of_costs() -> None:
    view = view_of([ended(0, val_mse=0.7, parameters=90_000, latency_ms=9.0)])
    text = ask_text(view, "Plan.")
    assert "# What is wanted" not in text and "90,000" not in text and "9 ms" not in text
    assert system_text(view) == prompt("planner_system", aim="a lower val_mse")


@pytest.mark.parametrize("count", [0, 300])
def test_the_question_on_a_front_keeps_to_its_budget(count: int) -> None:
    draw = random.Random(count)
    objectives = ("val_mse", "latency_ms", "parameters", "flops", "seconds", "memory_mb")
    rows = []
    for number in range(count):
        costs = {name: draw.uniform(1e3, 1e6) for name in objectives[1:]}
        error = 0.3 + 3e3 / costs["latency_ms"]  # most of them are on the front
        rows.append(ended(number, {"model.dropout": 0.3}, val_mse=error, **costs))
    bounds = dict.fromkeys(objectives[1:], 9e5)
    limits = Limits(prompt_tokens=4000)
    view = view_of(rows, objectives=objectives, at_most=bounds, limits=limits)
    request = prompt("request_one", number=str(count))
    assert estimated_tokens(system_text(view) + ask_text(view, request)) <= 4000


def test_the_optimiser_tells_its_state_of_fronts_too() -> None:
    rows = [
        ended(n, {"model.dropout": 0.04 * n}, val_mse=0.5 + 0.01 * n, parameters=1000 * n + 1)
        for n in range(12)
    ]
    view, planner = view_of(rows, **BOTH), OptunaPlanner("tpe")
    for row in rows:
        planner.observe(row)
    text = optimiser_text(view, planner.study(view))
    assert "12 results; its model of good trials rests on the best 2" in text
    assert "the trials of the least val_mse apart, as shares (PED-ANOVA): model.dropout 1" in text
