"""Every planner on the recorded table: the same contract for each, in seconds, without training."""

from __future__ import annotations

import dataclasses
import random
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from informer.config import Choices, Value, fields, from_flat, problems
from nas_engine.api import AgentState
from nas_engine.llm import LanguageModel
from nas_engine.planners import surrogate
from nas_engine.planners.base import View, first_proposal
from nas_engine.planners.hybrid import SHARE, model_share
from nas_engine.planners.rules import RulesPlanner
from nas_engine.planners.surrogate import Surrogate
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.planning import planner_of
from nas_engine.proposals import Record, check
from nas_engine.search import Narrowing, PlannerName, SearchSpec
from nas_engine.service.patience import Patience
from nas_engine.settings import load_settings
from nas_engine.space import space
from nas_engine.store import proposing
from nas_engine.store.rows import Spend, TrialRow
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.engine.conftest import Bench
from tests.engine.recorded_search import recorded_spec
from tests.engine.rows import epoch_rows, no_epochs, trial_row
from tests.fakes import llm_server
from tests.fakes.llm_server import Reply, Request, serving
from tests.fakes.recorded import RecordedTrainer
from tests.recorded.table import TESTED

BUDGET = 30
START = SearchSpec().base().flat()
STATES = ("completed", "completed", "failed", "pruned", "pruned", "rejected")
CHOICES: dict[str, tuple[Value, ...]] = {
    key: search.values
    for key in ("model.normalisation", "model.dropout", "model.d_model", "training.clip_norm")
    if isinstance(search := space(SearchSpec())[key], Choices)
}
Script = Callable[[Request, int], Reply]
OPTIMISER = {"portfolio", "forest", "tpe"}
SOURCES: dict[PlannerName, set[str]] = {
    "portfolio": OPTIMISER,
    "tpe": {"tpe"},
    "random": {"random"},
    "rules": {"rules"},
    "llm": {"llm", "fallback"},
    "hybrid": OPTIMISER | {"hybrid", "fallback"},
}


def of_rank(share: float) -> Script:
    """Return a model that proposes the configurations from `share` of the ranks on.

    At 0 it knows the best ones, at 1 it names the worst, and never one that it has named before.
    """
    ordered = [settings for settings, _ in TESTED.ranked]
    first = round(share * (len(ordered) - 1))
    towards = ordered[first:] if share < 0.5 else ordered[first::-1]
    named = iter(towards)

    def script(request: Request, index: int) -> Reply:
        match llm_server.asked_for(request):
            case "ProposeChange":
                return llm_server.proposal(next(named))
            case "ProposeCandidates":
                return llm_server.candidates(*(next(named) for _ in range(5)))
            case _:
                return llm_server.judgement(False)

    return script


def run(folder: Path, script: Script, monkeypatch: pytest.MonkeyPatch, **facts: Any) -> AgentState:
    """Run a search on the recorded table; what the forest expects is no matter here."""
    monkeypatch.setattr(surrogate, "TREES", 25)  # learned anew after each trial, they take longest
    bench = Bench(Workspace(folder / "nas.db"), RecordedTrainer())
    with serving(script) as server:
        monkeypatch.setenv("OPENROUTER_API_KEY", "local")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        spec = recorded_spec(**{"max_trials": BUDGET, **facts})
        return bench.search(**spec.model_dump())


@pytest.mark.parametrize("planner", list(SOURCES))
def test_a_planner_keeps_the_contract_over_30_trials(
    planner: PlannerName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = run(tmp_path, of_rank(0.1), monkeypatch, planner=planner)
    assert state.search.state == "completed"
    assert len(state.trials) == BUDGET
    assert {trial.source for trial in state.trials[1:]} <= SOURCES[planner]
    for trial in state.trials[1:]:
        earlier = state.trials[: trial.number]
        parent = next(t.config for t in earlier if t.number == (trial.parent or 0))
        assert check(Record(state.search.spec, earlier), parent, trial.changes, "planner") == []
        assert {**parent, **trial.changes} == trial.config
        assert problems(trial.config) == []
        assert all(fields()[key].active(trial.config) for key in trial.changes)
        assert trial.hypothesis
    assert best(state) < 0.8 * TESTED.value(state.search.spec.base())


def test_an_optimiser_goes_on_alike_from_the_same_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "a", of_rank(0.5), monkeypatch, planner="tpe", max_trials=14)
    run(tmp_path / "b", of_rank(0.5), monkeypatch, planner="tpe", max_trials=14)
    bench = Bench(Workspace(tmp_path / "b" / "nas.db"), RecordedTrainer())
    longer = bench.search(**recorded_spec(planner="tpe", max_trials=18).model_dump())
    assert [t.config for t in longer.trials[:14]] == [t.config for t in whole.trials]
    assert len(longer.trials) == 18


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_a_model_that_earns_nothing_is_asked_no_more(state: str) -> None:
    """Failures that end at once are no bargain."""
    earned = [
        trial_row(n, {}, val_mse=0.4 + 0.01 * n, source="tpe", seconds=60.0, asked_seconds=0.0)
        for n in range(10)
    ]
    bad = {"val_mse": 9.0, "seconds": 60.0} if state == "completed" else {"val_mse": None}
    lost = [
        trial_row(10 + n, {}, state=state, source="hybrid", asked_seconds=6.0, **bad)
        for n in range(5)
    ]
    shares = [model_share([*earned, *lost[:count]]) for count in range(6)]
    assert shares[0] == SHARE
    assert shares == sorted(shares, reverse=True)
    assert shares[5] == 0


def test_what_a_person_turned_down_is_booked_to_nobody() -> None:
    earned = [
        trial_row(n, {}, val_mse=0.4, source="tpe", seconds=60.0, asked_seconds=0.0)
        for n in range(10)
    ]
    turned_down = trial_row(
        10,
        {},
        state="rejected",
        decision="rejected",
        val_mse=None,
        source="hybrid",
        asked_seconds=6.0,
    )
    assert model_share([*earned, turned_down]) == SHARE


@pytest.mark.parametrize("planner", ["tpe", "random"])
def test_a_small_space_is_tried_to_the_end(bench: Bench, planner: str) -> None:
    small = {
        "model.normalisation": ("none", "standardise", "revin", "last"),
        "training.clip_norm": (0.0, 1.0),
    }
    pinned = {key: Narrowing(values=(START[key],)) for key in space(SearchSpec())}
    narrowed = {key: Narrowing(values=values) for key, values in small.items()}
    state = bench.search(planner=planner, space={**pinned, **narrowed}, max_trials=40)
    assert len(state.trials) == 4 * 2
    assert "None of 600 samples was valid and new" in state.search.reason
    assert "need not be trained again" in state.search.reason


def test_what_still_runs_is_told_to_the_optimiser_and_not_proposed_again() -> None:
    view = View(
        search_id=1,
        number=2,
        spec=SearchSpec(),
        max_trials=20,
        incumbent=None,
        trials=[],
        baselines=[],
        epochs=no_epochs,
        noise=None,
        spend=Spend(0, 0, 0, 0.0, 0, 0.0),
    )
    first = OptunaPlanner("tpe").propose(view)
    running = trial_row(1, first.changes, state="running", val_mse=None, source="tpe")
    again = dataclasses.replace(view, trials=[running])
    planner = OptunaPlanner("tpe")
    (told,) = planner.study(again).trials
    assert told.state is optuna.trial.TrialState.RUNNING
    assert told.user_attrs == {"source": "tpe", "number": 1}
    assert planner.propose(again).changes != first.changes


def test_a_failure_is_told_to_the_optimiser_as_a_failure() -> None:
    planner = OptunaPlanner("tpe")
    planner.observe(trial_row(0, {}, source="default"))
    planner.observe(trial_row(1, {"model.skip": True}, state="failed", val_mse=None, source="llm"))
    planner.observe(
        trial_row(2, {"model.skip": True}, state="rejected", val_mse=None, source="llm")
    )
    view = View(1, 3, SearchSpec(), 20, 0, [], [], no_epochs, None, Spend(0, 0, 0, 0.0, 0, 0.0))
    told = planner.study(view).trials
    assert [(t.state.name, t.user_attrs["source"]) for t in told] == [
        ("COMPLETE", "default"),
        ("FAIL", "llm"),
    ]


def test_the_rules_walk_the_known_order_of_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = run(tmp_path, of_rank(0.5), monkeypatch, planner="rules", max_trials=12)
    changed = [next(iter(trial.changes)) for trial in state.trials[1:]]
    order = list(dict.fromkeys(changed))
    assert order[:4] == ["model.normalisation", "data.seq_len", "model.head", "model.tokens"]
    assert changed.count("model.normalisation") == 3


@pytest.mark.long
def test_the_rules_end_when_every_change_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = run(tmp_path, of_rank(0.5), monkeypatch, planner="rules", max_trials=400)
    assert state.search.state == "completed"
    assert "has been tried" in state.search.reason
    assert len(state.trials) < 400


def test_the_hybrid_gives_a_good_model_more_trials_than_a_bad_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {}
    for name, share in (("good", 0.0), ("bad", 1.0)):
        state = run(tmp_path / name, of_rank(share), monkeypatch, planner="hybrid")
        shares[name] = sum(trial.source not in OPTIMISER for trial in state.trials[1:])
    assert shares["bad"] <= BUDGET / 10
    assert shares["good"] >= 2 * max(shares["bad"], 1)


@pytest.mark.long
def test_the_worst_model_costs_the_hybrid_a_tenth_of_the_budget_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves: dict[str, list[list[float]]] = {"tpe": [], "hybrid": []}
    for planner, found in curves.items():
        for seed in range(8):
            folder = tmp_path / planner / str(seed)
            state = run(folder, of_rank(1.0), monkeypatch, planner=planner, seed=seed)
            found.append(so_far(state))
    mean = {
        planner: [statistics.fmean(values) for values in zip(*found, strict=True)]
        for planner, found in curves.items()
    }
    as_good = (n for n, error in enumerate(mean["tpe"], 1) if error <= mean["hybrid"][-1])
    reached = next(as_good, BUDGET)
    print({planner: curve[-1] for planner, curve in mean.items()}, "reached by tpe after", reached)
    assert reached >= 0.9 * BUDGET


def best(state: AgentState) -> float:
    return min(trial.val_mse for trial in state.trials if trial.val_mse is not None)


def so_far(state: AgentState) -> list[float]:
    """Return the least error after each trial."""
    curve: list[float] = []
    for row in state.trials:
        error = TESTED.value(from_flat(row.config))
        curve.append(min([*curve[-1:], error]))
    return curve


# -- a planner that lives as long as its search --------------------------------------------------


def past(count: int) -> list[TrialRow]:
    """Return ended trials drawn from the space: results, failures, pruned and turned down ones."""
    draw = random.Random(count)
    rows = []
    for number in range(count):
        state = "completed" if number < 12 else draw.choice(STATES)
        changes = {key: draw.choice(values) for key, values in CHOICES.items()}
        value = draw.uniform(0.3, 0.9) if state == "completed" else None
        rows.append(ended(number, changes, state, value))
    return rows


def ended(
    number: int, changes: dict[str, Value], state: str, value: float | None, **facts: Any
) -> TrialRow:
    known: dict[str, Any] = {"source": "tpe", "seconds": 9.0, "asked_seconds": 1.0}
    return trial_row(number, changes, **{**known, "state": state, "val_mse": value, **facts})


def seen(trials: list[TrialRow], number: int, planner: PlannerName = "tpe") -> View:
    return View(
        search_id=1,
        number=number,
        spec=SearchSpec(planner=planner),
        max_trials=40,
        incumbent=0,
        trials=trials,
        baselines=[],
        epochs=lambda numbers: [row for each in numbers for row in epoch_rows(each, [0.8, 0.7])],
        noise=None,
        spend=Spend(0, 0, 0, 0.0, 0, 0.0),
    )


def one_idea(request: Request, index: int) -> Reply:
    """A model that has the same idea whenever it is asked."""
    if llm_server.asked_for(request) == "ProposeChange":
        return llm_server.proposal({"model.dropout": 0.317})
    return llm_server.candidates({"model.dropout": 0.317})


@pytest.fixture
def model(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], LanguageModel]]:
    """Make the language model for a trial, as an engine does."""
    writer, patience = Writer(workspace), Patience()
    search_id = writer.open_search(SearchSpec(planner="llm"))
    with serving(one_idea) as server:
        monkeypatch.setenv("OPENROUTER_API_KEY", "local")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        settings = load_settings()
        yield lambda number: LanguageModel(settings, writer, patience, search_id, number, "planner")
    writer.close()


@pytest.mark.parametrize("name", list(SOURCES))
def test_an_old_planner_proposes_as_one_that_is_told_everything_anew(
    name: PlannerName, model: Callable[[int], LanguageModel]
) -> None:
    spec, trials = SearchSpec(planner=name), past(30)
    old = planner_of(spec, model)
    told = trials[:10] + trials[20:] + trials[10:20]  # side by side, they end in any order
    for at, trial in enumerate(told):
        old.observe(trial)
        if at in (15, 22):  # the proposals between leave nothing behind
            old.propose(seen(trials[: at + 1], at + 1, name))
    # A person had three trials trained again: two have ended otherwise, one has not ended yet.
    trials[3] = ended(3, trials[3].config, "failed", None)
    trials[4] = ended(4, trials[4].config, "completed", 0.111)
    old.observe(trials[3])
    old.observe(trials[4])
    trials[5] = dataclasses.replace(trials[5], state="running", val_mse=None)
    new = planner_of(spec, model)
    for trial in trials:
        if trial.state != "running":
            new.observe(trial)
    view = seen(trials, 30, name)
    proposal = old.propose(view)
    assert proposal.source == name
    assert proposal == new.propose(view)


@pytest.mark.parametrize("name", list(SOURCES))
def test_what_is_planned_while_others_train_is_something_else(
    name: PlannerName, model: Callable[[int], LanguageModel]
) -> None:
    trials = past(20)
    planner = planner_of(SearchSpec(planner=name), model)
    for trial in trials:
        planner.observe(trial)
    planned = []
    for number in range(20, 24):
        view = seen(trials, number, name)
        proposal = planner.propose(view)
        assert view.check(proposal.changes) == []
        planned.append({**view.parent, **proposal.changes})
        state = ("running", "queued", "proposed", "running")[number - 20]
        trials.append(ended(number, planned[-1], state, None, source=proposal.source))
    assert all(planned.count(config) == 1 for config in planned)


def test_trials_with_higher_numbers_are_seen_too(workspace: Workspace) -> None:
    writer = Writer(workspace)
    search_id = writer.open_search(SearchSpec())
    for number in (0, 1, 3):
        proposal = first_proposal().model_copy(update={"hypothesis": str(number)})
        proposing.propose(writer, search_id, number, proposal, SearchSpec().base(), False)
    assert [trial.number for trial in View.of(writer.read, search_id, 2).trials] == [0, 1, 3]
    assert [trial.number for trial in View.of(writer.read, search_id, 3).trials] == [0, 1]
    writer.close()


# -- pruned trials ------------------------------------------------------------------------------


def test_a_pruned_trial_ranks_behind_results_and_by_how_far_it_came() -> None:
    planner = OptunaPlanner("tpe")
    rows = [ended(0, {}, "completed", 0.9), ended(1, {"model.skip": True}, "pruned", None)]
    for row in rows:
        planner.observe(row)
    told = planner.study(seen(rows, 2)).trials
    assert [(t.state.name, t.value, t.intermediate_values) for t in told] == [
        ("COMPLETE", 0.9, {}),
        ("PRUNED", None, {2: 0.7}),
    ]


def test_pruned_trials_count_towards_the_model_of_the_optimiser() -> None:
    rows = [ended(0, {}, "completed", 0.9)]
    rows += [ended(n, {"model.dropout": 0.01 * n}, "pruned", None) for n in range(1, 12)]
    planner = OptunaPlanner("tpe")
    for row in rows:
        planner.observe(row)
    assert "judged by 12 results" in planner.propose(seen(rows, 12)).hypothesis


def test_the_surrogate_learns_nothing_from_pruned_trials() -> None:
    trials = past(30)
    assert any(trial.state == "pruned" for trial in trials)
    sound = [trial for trial in trials if trial.val_mse is not None]
    view = seen(trials, 30)
    configs = [trial.config for trial in trials]
    with_all, without = (Surrogate(view.space, rows).expect(configs) for rows in (trials, sound))
    assert with_all == without


def test_a_model_whose_trials_are_pruned_earns_nothing() -> None:
    earned = [ended(n, {}, "completed", 0.4 + 0.01 * n) for n in range(10)]
    pruned = [ended(10 + n, {}, "pruned", None, source="hybrid", seconds=None) for n in range(4)]
    shares = [model_share([*earned, *pruned[:count]]) for count in range(5)]
    assert shares[0] == SHARE
    assert shares == sorted(shares, reverse=True)
    assert shares[4] < SHARE / 2


def test_a_result_is_a_win_where_most_trials_were_pruned() -> None:
    pruned = [ended(n, {}, "pruned", None) for n in range(10)]
    good = [ended(10 + n, {}, "completed", 0.4 + 0.1 * n, source="hybrid") for n in range(3)]
    assert model_share([*pruned, *good]) == 2 * SHARE


def test_the_rules_take_a_pruned_change_as_answered() -> None:
    first = RulesPlanner().propose(seen([], 1)).changes
    (key,) = first
    rows = [ended(1, first, "pruned", None)]
    assert RulesPlanner().propose(seen(rows, 2)).changes.get(key) != first[key]
