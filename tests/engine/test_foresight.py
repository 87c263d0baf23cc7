"""What the surrogate expects of proposals: kept before they are trained, and honest."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest

from benchmarks.foresight import foreseen
from nas_engine.foresight import LEAST, Foresight
from nas_engine.planners import surrogate
from nas_engine.planners.surrogate import Surrogate
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.proposals import LEVEL
from nas_engine.search import SearchSpec
from nas_engine.space import space
from nas_engine.store import proposing
from nas_engine.store.reader import reading
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.engine.conftest import ONE_SEED, Bench
from tests.engine.recorded_search import recorded_spec
from tests.engine.rows import trial_row
from tests.fakes.recorded import RecordedTrainer
from tests.pages.seed import Seed


def learned(**facts: Any) -> Surrogate:
    """Return a surrogate that has seen dropout help, more of it the more."""
    rows = [
        trial_row(n, {"model.dropout": 0.05 * n}, val_mse=0.5 - 0.02 * n, **facts)
        for n in range(10)
    ]
    return Surrogate(space(SearchSpec()), rows)


def test_an_interval_is_relative_to_the_parent_and_goes_from_least_to_most() -> None:
    config = trial_row(0, {"model.dropout": 0.45}).config
    low, high = learned().interval(config, 0.5)
    assert low < (0.5 - 0.32) / 0.5 < high < 1
    worse_low, worse_high = learned().interval(config, 0.25)
    assert worse_low == pytest.approx(1 - 2 * (1 - low))
    assert worse_high == pytest.approx(1 - 2 * (1 - high))


def test_intervals_hold_at_least_as_many_improvements_as_they_say() -> None:
    found = list(foreseen(OptunaPlanner("random"), seed=2021, count=19))
    assert len(found) >= 10
    assert statistics.fmean(low <= actual <= high for _, low, high, actual in found) >= LEVEL - 0.1
    assert all(math.isfinite(high - low) and high > low for _, low, high, _ in found)


def test_a_search_keeps_what_is_expected_as_soon_as_enough_is_known(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []
    monkeypatch.setattr(
        surrogate.RandomForestRegressor,
        "fit",
        lambda self, x, y, fit=surrogate.RandomForestRegressor.fit: (
            fitted.append(len(y)),
            fit(self, x, y),
        ),
    )
    bench = Bench(workspace, RecordedTrainer())
    spec = recorded_spec(planner="random", max_trials=LEAST + 2, rules=ONE_SEED)
    state = bench.search(**spec.model_dump())
    known = [t.val_mse is not None for t in state.trials]
    for trial in state.trials:
        enough = sum(known[: trial.number]) >= LEAST
        assert (trial.surrogate_low is not None) == enough, trial.number
    assert fitted == [LEAST, LEAST + 1]  # once for each new result, never twice


def test_a_failing_surrogate_is_one_warning_and_stops_no_trial(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("no forest today")

    monkeypatch.setattr(surrogate, "Surrogate", broken)
    monkeypatch.setattr("nas_engine.foresight.LEAST", 2)
    bench = Bench(workspace, RecordedTrainer())
    spec = recorded_spec(planner="random", max_trials=5, rules=ONE_SEED)
    state = bench.search(**spec.model_dump())
    assert [trial.state for trial in state.trials] == ["completed"] * 5
    with reading(workspace) as reader:
        assert reader is not None
        warnings = [event.text for event in reader.events(1) if event.level == "warning"]
    assert len(warnings) == 1 and "no forest today" in warnings[0]


def test_an_edited_proposal_is_foreseen_anew_and_a_trained_one_never(
    workspace: Workspace,
) -> None:
    seed = Seed(workspace, planner="random")
    for number in range(LEAST):
        seed.propose(number, "random" if number else "default", 0 if number else None)
        seed.train(number, 0.5 - 0.01 * number)
    foresight = Foresight(seed.id)
    proposal = seed.propose(LEAST, "random", 0, {"model.dropout": 0.2}, waiting=True)
    foresight.foresee(seed.writer, LEAST)
    first = seed.writer.read.trial(seed.id, LEAST)
    assert first is not None and first.surrogate_low is not None
    changes, config = {"model.dropout": 0.3}, seed.spec.base()
    proposing.decide(seed.writer, proposal, 1, "edited", "ada", "", (changes, config, "small"))
    edited = seed.writer.read.trial(seed.id, LEAST)
    assert edited is not None and edited.surrogate_low is None
    foresight.foresee(seed.writer, LEAST)
    again = seed.writer.read.trial(seed.id, LEAST)
    assert again is not None and again.surrogate_low is not None
    seed.train(LEAST, 0.4)
    seed.sql("UPDATE proposals SET surrogate_low = NULL, surrogate_high = NULL")
    foresight.foresee(seed.writer, LEAST)
    after = seed.writer.read.trial(seed.id, LEAST)
    assert after is not None and after.surrogate_low is None
    seed.close()


def test_nothing_is_expected_of_a_change_to_a_trial_without_a_result(workspace: Workspace) -> None:
    seed = Seed(workspace, planner="random")
    for number in range(LEAST):
        seed.propose(number, "random" if number else "default", 0 if number else None)
        seed.train(number, 0.5 - 0.01 * number)
    seed.propose(LEAST, "random", 0)
    seed.fail(LEAST)
    writer = Writer(workspace)
    config = seed.spec.base().flat()
    assert Foresight(seed.id).interval(writer.read, LEAST, config) is None
    assert Foresight(seed.id).interval(writer.read, None, config) is not None
    writer.close()
    seed.close()
