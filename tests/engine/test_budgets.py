"""When a search ends or pauses by itself, and what it says then."""

from __future__ import annotations

import itertools

import pytest

from informer.config import RunConfig
from informer.records import Failure
from nas_engine.commands import Change, Control, Start
from nas_engine.search import Limits, SearchSpec
from nas_engine.store import trainings
from nas_engine.store.reader import reading
from tests.engine.conftest import ONE_SEED, Bench
from tests.fakes.llm_server import proposal, serving
from tests.fakes.trainer import FakeTrainer


def test_hours_of_training_end_a_search_that_more_hours_let_go_on(bench: Bench) -> None:
    bench.trainer = FakeTrainer(epoch_seconds=0.02)
    hour = 0.02 * 6 / 3600  # of one trial with six epochs
    limits = {"training_hours": 2.5 * hour}
    settings = {"training.epochs": 6}
    state = bench.search(max_trials=9, limits=limits, rules=ONE_SEED, settings=settings)
    with reading(bench.workspace) as reader:
        assert reader is not None
        spent = [seconds for (seconds,) in reader.fetch("SELECT spent FROM runs ORDER BY id")]
    assert sum(spent[:-1]) < 3600 * 2.5 * hour <= sum(spent), "the last began inside the budget"
    assert state.search.state == "completed"
    assert state.search.reason.endswith("minutes of training is used up.")
    row = bench.give(Change(limits={"training_hours": None}, max_trials=len(spent) + 1), 1)
    assert row.state == "applied" and "training_hours none" in row.answer
    with reading(bench.workspace) as reader:
        search = reader.search(1) if reader else None
    assert search is not None and (search.finished, search.reason) == (len(spent) + 1, "")


def test_once_the_time_is_used_up_a_trial_is_decided_on_the_seeds_that_it_has(
    bench: Bench,
) -> None:
    bench.trainer = FakeTrainer(epoch_seconds=0.02, value=lambda config: 0.5)
    rules = {"seeds": 1, "extra_seeds": 2}
    used_up = {"training_hours": 1.5 * 0.02 * 6 / 3600}  # by the first training of trial 1
    for epochs, limits, seeds in ((6, used_up, 1), (7, {}, 3)):
        settings = {"training.epochs": epochs}
        state = bench.search(rules=rules, settings=settings, max_trials=2, limits=limits)
        assert [trial.seeds for trial in state.trials] == [1, seeds]
        assert state.trials[1].verdict is not None


def test_hours_of_running_end_a_search(bench: Bench) -> None:
    bench.trainer = FakeTrainer(epoch_seconds=0.1)
    state = bench.search(
        max_trials=50, limits={"hours": 1.5 / 3600}, rules=ONE_SEED, settings={"training.epochs": 5}
    )
    assert state.search.state == "completed" and 0 < len(state.trials) < 50
    assert state.search.reason == "The budget of 0.025 minutes is used up."
    assert {trial.state for trial in state.trials} == {"completed"}


def test_money_ends_a_search_before_it_could_be_exceeded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = itertools.count(8, 8)
    with serving(lambda request, index: proposal({"model.d_ff": next(widths)})) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENROUTER_API_KEY", "sk-test")
        spec = {"planner": "llm", "max_trials": 9, "rules": ONE_SEED}
        row = bench.give(Start(spec=SearchSpec(**spec, limits=Limits(usd=0.001))))
        assert row.state == "refused" and "do not pay for a call" in row.answer
        state = bench.search(**spec, limits={"usd": 0.12})
        assert 0 < server.charged.usd <= 0.12
    assert state.search.state == "completed" and 1 < len(state.trials) < 9
    assert "US dollars is used up" in state.search.reason


def test_failures_of_one_kind_in_a_row_pause_the_search_until_a_person_resumes_it(
    bench: Bench,
) -> None:
    def fail(config: RunConfig) -> Failure:
        return Failure(error_class="device", message="The GPU has gone.")

    bench.trainer = FakeTrainer(fail=fail)
    spec = {"max_trials": 20, "rules": ONE_SEED, "limits": {"failures": 3}}
    state = bench.search(**spec)
    assert state.search.state == "paused" and len(state.trials) == 3
    assert state.search.reason.startswith("3 trials in a row failed with the same kind of error")
    assert "The GPU has gone." in state.search.reason
    assert bench.give(Control(kind="resume"), 1).state == "applied"
    with reading(bench.workspace) as reader:
        assert reader is not None and len(reader.numbers(1)) == 6
        assert trainings.failures_in_a_row(reader, 1)[:2] == (3, "device")


def test_failures_of_different_kinds_do_not_pause_the_search(bench: Bench) -> None:
    kinds = iter(("nonfinite", "out_of_memory") * 10)

    def fail(config: RunConfig) -> Failure:
        return Failure(error_class=next(kinds), message="It failed.")  # type: ignore[arg-type]

    bench.trainer = FakeTrainer(fail=fail)
    state = bench.search(max_trials=8, rules=ONE_SEED, limits={"failures": 2})
    assert state.search.state == "completed" and len(state.trials) == 8
