from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import click
import numpy as np
import pytest

from benchmarks import found
from benchmarks.found_models import Judged, Untrained
from benchmarks.found_report import (
    AVERAGED,
    BOUNDS,
    Found,
    errors_table,
    improvements,
    marks_of,
    paired_table,
)
from informer.config import Value, from_flat
from informer.records import Success
from nas_engine.api import AgentState
from nas_engine.search import Narrowing, SearchSpec
from nas_engine.settings import load_settings
from nas_engine.space import contains, dimensions, space
from nas_engine.store.rows import SearchRow, TrialRow
from tests.engine.rows import trial_row


def spec(seq_len: int | None, **fields: Any) -> SearchSpec:
    return found.spec_of({"data.dataset": "synthetic"}, seq_len, {}, **fields)


def judged(name: str, errors: tuple[float, ...], **changes: Value) -> Judged:
    """Return a model with these test MSE by seed."""
    config = from_flat({**spec(96).base().flat(), "data.dataset": "ETTh1", **changes})
    results = tuple(
        Success(
            val_mse=0.4,
            val_mae=0.4,
            test_mse=error,
            test_mae=0.3,
            best_epoch=1,
            epochs=2,
            parameters=1000,
            seconds=3.0,
            device="cpu",
        )
        for error in errors
    )
    by_window = np.full(500, float(np.mean(errors)))
    return Judged(name, config, tuple(range(len(errors))), results, by_window, ("0123abcd",))


def outcome(models: Mapping[str, Judged], look_backs: tuple[int, ...], **fields: Any) -> Found:
    row: dict[str, Any] = {field.name: None for field in dataclasses.fields(SearchRow)}
    search = SearchRow(**{**row, "spec": spec(96, **fields)})
    rivals = {
        model.config.data.pred_len: [
            Untrained("repeat-last", 96, 0.9, 0.5, 0.4, np.linspace(0.4, 0.6, 500))
        ]
        for model in models.values()
    }
    trials = [trial_row(number, {}) for number in range(7)]
    return Found(AgentState(search, trials, []), 9.0, {}, {}, models, rivals, look_backs)


# -- the search ---------------------------------------------------------------------------------


def test_a_look_back_that_is_given_holds_for_all_trials() -> None:
    given = spec(336)
    assert given.base().data.seq_len == 336
    assert "data.seq_len" not in space(given)


def test_a_free_look_back_may_be_longer_than_the_preset_offers() -> None:
    offered = dimensions(spec(None))["data.seq_len"]
    assert all(contains(offered, length) for length in found.LOOK_BACKS)
    assert spec(None).base().data.seq_len in found.LOOK_BACKS


def test_what_is_said_of_task_and_space_overrules_what_is_usual() -> None:
    given = found.spec_of(
        {"training.epochs": 2}, None, {"data.seq_len": Narrowing(values=(96, 192))}
    )
    assert given.base().training.epochs == 2
    assert contains(dimensions(given)["data.seq_len"], 192)


def test_no_key_is_left_for_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in found.UNSET:
        monkeypatch.setenv(name, "set-by-a-person")
    found.leave_out_what_is_set()
    assert not load_settings().has_key
    assert load_settings().nas_rules == ""


# -- what is chosen -----------------------------------------------------------------------------


def accepted(number: int, val_mse: float, **facts: Any) -> TrialRow:
    return trial_row(number, {}, val_mse=val_mse, accepted=True, **facts)


def state_of(trials: list[TrialRow], incumbent: int | None, **fields: Any) -> AgentState:
    state = outcome({}, (96,), **fields).state
    search = dataclasses.replace(state.search, incumbent=incumbent)
    return dataclasses.replace(state, search=search, trials=trials)


def test_finalists_are_the_incumbent_and_the_lowest_errors_on_validation() -> None:
    trials = [
        accepted(0, 0.50),
        accepted(1, 0.42),
        trial_row(2, {}, val_mse=0.41),  # rejected: not to be told from trial 1
        trial_row(3, {}, val_mse=0.40),
        trial_row(4, {}, val_mse=0.10, state="pruned"),
        trial_row(5, {}, val_mse=None, state="failed"),
    ]
    assert found_numbers(state_of(trials, 1), 3) == [1, 3, 2]
    assert found_numbers(state_of(trials, 1), 1) == [1]


def found_numbers(state: AgentState, count: int, weights: int | None = None) -> list[int]:
    return [trial.number for trial in found.finalists_of(state, count, weights)]


def test_no_finalist_breaks_a_bound_of_the_search() -> None:
    trials = [accepted(0, 0.5, parameters=900), trial_row(1, {}, val_mse=0.4, parameters=1100)]
    assert found_numbers(state_of(trials, 0, at_most={"parameters": 1000}), 5) == [0]


def test_small_finalists_are_the_best_of_all_that_were_trained_with_so_few_weights() -> None:
    trials = [
        accepted(0, 0.50, parameters=900_000),
        trial_row(1, {}, val_mse=0.52, parameters=150_000),  # rejected: no better than trial 0
        trial_row(2, {}, val_mse=0.51, parameters=90_000),
        trial_row(3, {}, val_mse=None, parameters=90_000, state="failed"),
    ]
    state = state_of(trials, 0)
    assert found_numbers(state, 5, 200_000) == [2, 1]
    with pytest.raises(click.ClickException, match="at most 100 parameters"):
        found.contenders(state, 100, 5)


def test_further_horizons_have_all_else_as_found() -> None:
    best, small = accepted(3, 0.4), accepted(5, 0.5)
    configs = found.configurations({"found": best, "small": small}, (48, 24, 48), {})
    assert list(configs) == ["found", "small", "found-48"]
    further = configs["found-48"].flat()
    assert further == {**best.config, "data.pred_len": 48}


def test_a_trial_that_is_chosen_twice_is_trained_once() -> None:
    best = accepted(3, 0.4)
    assert list(found.configurations({"found": best, "small": best}, (), {})) == ["found"]


def test_trainings_in_the_end_may_differ_as_said() -> None:
    configs = found.configurations({"found": accepted(3, 0.4)}, (), {"training.epochs": 30})
    assert configs["found"].training.epochs == 30


def test_another_model_than_was_found_is_not_judged() -> None:
    assert found.of_training({"training.epochs": 30}) == {"training.epochs": 30}
    with pytest.raises(click.BadParameter, match=r"data\.seq_len would make another model"):
        found.of_training({"training.epochs": 30, "data.seq_len": 336})


def test_a_search_that_accepted_nothing_says_why() -> None:
    failed = trial_row(0, {}, val_mse=None, state="failed", error="The loss is not finite.")
    state = dataclasses.replace(outcome({}, (96,)).state, trials=[failed])
    with pytest.raises(
        click.ClickException, match=r"nothing to judge: .* Trial 0: The loss is not"
    ):
        found.contenders(state, None, 5)


# -- what is told -------------------------------------------------------------------------------


def test_improvements_are_told_in_the_order_in_which_trials_ended() -> None:
    trials = [
        accepted(0, 0.9, ended_at=10.0),
        accepted(2, 0.7, ended_at=30.0),
        accepted(1, 0.6, ended_at=40.0),
        accepted(3, 0.65, ended_at=50.0),
        trial_row(4, {}, val_mse=0.1, ended_at=60.0),  # not accepted
    ]
    assert [trial.number for _, trial in improvements(trials)] == [0, 2, 1]


def test_a_mark_counts_the_mean_over_the_seeds() -> None:
    (mark,) = marks_of(outcome({"found": judged("found", (0.290, 0.296, 0.299))}, (96,)))
    assert mark.measured == pytest.approx(0.295)
    assert mark.bound == BOUNDS[24, 96]
    assert mark.met


def test_marks_depend_on_whether_the_look_back_is_free() -> None:
    models = {"found": judged("found", (0.370,), **{"data.pred_len": 96})}
    assert [mark.met for mark in marks_of(outcome(models, (96,)))] == [True]
    assert [mark.met for mark in marks_of(outcome(models, (96, 336)))] == [False]


def test_the_average_needs_all_its_horizons() -> None:
    models = {
        name: judged(name, (0.4,), **{"data.pred_len": horizon})
        for name, horizon in [("found", 96), *((f"found-{h}", h) for h in AVERAGED[1:])]
    }
    assert len(marks_of(outcome(models, (96, 336)))) == 2
    del models["found-720"]
    assert len(marks_of(outcome(models, (96, 336)))) == 1


def test_a_small_model_has_its_mark_where_one_was_wanted() -> None:
    models = {"found": judged("found", (0.371,), **{"data.pred_len": 96})}
    assert len(marks_of(outcome(models, (96, 336)))) == 1
    bounded = outcome(models, (96, 336), at_most={"parameters": 200_000})
    assert [mark.met for mark in marks_of(bounded)] == [False, True]


def test_other_data_have_no_marks() -> None:
    models = {"found": judged("found", (0.1,), **{"data.dataset": "synthetic"})}
    assert marks_of(outcome(models, (96,))) == []


def test_the_number_of_trials_that_were_looked_at_stands_beside_the_test() -> None:
    told = paired_table(outcome({"found": judged("found", (0.3, 0.32))}, (96,)))
    assert "one of 7 trials" in told
    assert "| found, horizon 24 | repeat-last | -0.1900 |" in told


def test_seeds_and_commit_stand_beside_the_errors() -> None:
    told = errors_table(outcome({"found": judged("found", (0.3, 0.32))}, (96,)))
    assert "with the seeds 0, 1, by commit 0123abcd." in told


def test_figures_hold_no_test_errors_of_the_search() -> None:
    facts = found.figures(outcome({"found": judged("found", (0.3,))}, (96,)))
    assert not any("test_mse" in trial for trial in facts["trials"])  # type: ignore[attr-defined]
