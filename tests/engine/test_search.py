"""A whole search by the real engine, with the fake trainer."""

from __future__ import annotations

import math

import pytest

from informer.config import RunConfig, from_flat
from informer.cost import parameters
from informer.records import Failure
from nas_engine.api import get_best_run, get_recent_runs
from nas_engine.commands import Control, Start
from nas_engine.search import SearchSpec
from nas_engine.store.reader import reading
from tests.engine.conftest import ONE_SEED, Bench
from tests.fakes.trainer import FakeTrainer, error_of


def test_trial_0_is_the_preset_and_numbers_have_no_gaps(bench: Bench) -> None:
    state = bench.search(max_trials=6)
    assert [trial.number for trial in state.trials] == [0, 1, 2, 3, 4, 5]
    assert state.trials[0].config == state.search.spec.base().flat()
    assert state.trials[0].source == "default"
    assert state.search.state == "completed"


def test_the_incumbent_is_the_best_accepted_trial(bench: Bench) -> None:
    state = bench.search(max_trials=12)
    accepted = [trial for trial in state.trials if trial.accepted]
    best = get_best_run(state)
    assert best is not None
    assert best.val_mse == min(trial.val_mse for trial in accepted if trial.val_mse)
    assert all(trial.verdict and trial.rule for trial in state.trials)


@pytest.mark.parametrize("planner", ["tpe", "random"])
def test_no_configuration_is_tried_twice(bench: Bench, planner: str) -> None:
    state = bench.search(max_trials=25, planner=planner, rules=ONE_SEED)
    configs = [tuple(trial.config.items()) for trial in state.trials]
    assert len(set(configs)) == 25
    assert len(bench.trainer.trained) == 25
    assert {trial.source for trial in state.trials[1:]} == {planner}


def test_the_same_search_in_another_workspace_proposes_the_same(bench: Bench, tmp_path) -> None:
    other = Bench(type(bench.workspace)(tmp_path / "other" / "nas.db"))
    first, second = bench.search(max_trials=8), other.search(max_trials=8)
    assert [t.config for t in first.trials] == [t.config for t in second.trials]


def test_epochs_baselines_and_results_are_stored(bench: Bench) -> None:
    state = bench.search(max_trials=1, settings={"training.epochs": 3})
    (trial,) = state.trials
    with reading(bench.workspace) as reader:
        assert reader is not None
        epochs = reader.epochs(state.search.id)
    assert [row.epoch for row in epochs] == [1, 2, 3]
    assert trial.val_mse == error_of(state.search.spec.base())
    assert {row.split for row in state.baselines} == {"val", "test"}


def test_a_larger_budget_continues_where_the_search_ended(bench: Bench) -> None:
    first = bench.search(max_trials=3, rules=ONE_SEED)
    second = bench.search(max_trials=5, rules=ONE_SEED)
    assert second.search.id == first.search.id
    assert [t.config for t in second.trials[:3]] == [t.config for t in first.trials]
    assert len(second.trials) == 5
    assert len(bench.trainer.trained) == 5


def test_the_same_budget_again_is_refused_with_a_sentence(bench: Bench) -> None:
    bench.search(max_trials=2)
    trained = len(bench.trainer.trained)
    answer = bench.give(Start(spec=SearchSpec(max_trials=2)))
    assert answer.state == "refused"
    assert "already finished its 2 trials" in answer.answer
    assert len(bench.trainer.trained) == trained


def test_a_failed_trial_is_rejected_and_the_search_goes_on(bench: Bench) -> None:
    def fail(config: RunConfig) -> Failure | None:
        if config.model.d_model != 64:
            return Failure(error_class="nonfinite", message="The loss was not finite.")
        return None

    bench.trainer = FakeTrainer(fail=fail)
    state = bench.search(max_trials=10, limits={"failures": 10})
    failed = [trial for trial in state.trials if trial.state == "failed"]
    assert failed and len(state.trials) == 10
    assert all(trial.accepted is False and trial.val_mse is None for trial in failed)
    assert all(trial.error == "The loss was not finite." for trial in failed)
    best = get_best_run(state)
    assert best is not None and best.val_mse is not None and math.isfinite(best.val_mse)


def test_a_search_in_which_all_fails_ends_without_an_incumbent(bench: Bench) -> None:
    bench.trainer = FakeTrainer(fail=lambda config: Failure(error_class="error", message="Broken."))
    state = bench.search(max_trials=3)
    assert get_best_run(state) is None
    assert [trial.state for trial in state.trials] == ["failed"] * 3


def test_recent_runs_are_newest_first(bench: Bench) -> None:
    state = bench.search(max_trials=4)
    assert [trial.number for trial in get_recent_runs(state, k=2)] == [3, 2]


@pytest.mark.parametrize("planner", ["tpe", "random"])
def test_a_planner_changes_no_setting_without_a_part_to_play(bench: Bench, planner: str) -> None:
    state = bench.search(max_trials=15, planner=planner)
    assert len(state.trials) == 15
    for trial in state.trials:
        assert not set(trial.changes) & from_flat(trial.config).inactive()


def test_a_model_beyond_the_limit_is_never_trained(bench: Bench) -> None:
    state = bench.search(max_trials=8, limits={"parameters": 200_000})
    assert all(parameters(from_flat(trial.config)) <= 200_000 for trial in state.trials)


@pytest.mark.parametrize("limits", [{"parameters": 1000}, {"memory_mb": 1}])
def test_a_start_beyond_its_own_limits_is_refused(bench: Bench, limits: dict[str, int]) -> None:
    answer = bench.give(Start(spec=SearchSpec.model_validate({"limits": limits})))
    assert answer.state == "refused"
    assert answer.answer.startswith("Trial 0: ") and "allow" in answer.answer
    assert bench.trainer.trained == []


def test_a_command_to_an_ended_search_is_refused(bench: Bench) -> None:
    state = bench.search(max_trials=1)
    answer = bench.give(Control(kind="pause"), state.search.id)
    assert (answer.state, "already ended" in answer.answer) == ("refused", True)
