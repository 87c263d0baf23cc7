"""Pause, resume, stop, cancel and the decisions of a person, against a running engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nas_engine.api import AgentState, SearchError, load_agent_state
from nas_engine.commands import Command, Control, Decide, Enqueue, OnTrial, Start, send
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.store.reader import reading
from nas_engine.store.rows import TrialRow
from nas_engine.store.writer import Writer
from tests.engine.conftest import ONE_SEED, Bench
from tests.fakes.llm_server import Reply, Request, proposal, serving
from tests.fakes.trainer import FakeTrainer

Background = Callable[[int], threading.Thread]


def until(bench: Bench, holds: Callable[[AgentState], Any], seconds: float = 20) -> AgentState:
    """Wait until something holds of the newest search, and return that search."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = load_agent_state(bench.workspace.db)
        except SearchError:
            state = None
        if state is not None and holds(state):
            return state
        time.sleep(0.02)
    raise AssertionError(f"did not come about within {seconds} s; last seen: {state}")


def start(bench: Bench, in_background: Background, **spec: Any) -> None:
    in_background(send(bench.workspace, Start(spec=SearchSpec.model_validate(spec))))


def answered(bench: Bench, command: Command, search_id: int = 1) -> tuple[str, str]:
    command_id = send(bench.workspace, command, search_id)
    until(bench, lambda state: bench.command(command_id).state != "pending")
    row = bench.command(command_id)
    return row.state, row.answer


def waiting(state: AgentState) -> TrialRow | None:
    return next((trial for trial in state.trials if trial.state == "proposed"), None)


def decision(trial: TrialRow, decision: Any, **more: Any) -> Decide:
    return Decide(proposal_id=trial.proposal_id, version=trial.version, decision=decision, **more)


# -- pause, resume, stop, cancel ----------------------------------------------------------------


def test_pause_lets_the_running_trial_finish_and_resume_goes_on(
    bench: Bench, in_background: Background
) -> None:
    bench.trainer = FakeTrainer(epoch_seconds=0.1)
    settings = {"training.epochs": 3}
    start(bench, in_background, max_trials=3, settings=settings, rules=ONE_SEED)
    until(bench, lambda state: state.trials and state.trials[-1].state == "running")
    assert answered(bench, Control(kind="pause"))[0] == "applied"
    paused = until(bench, lambda state: all(trial.ended_at for trial in state.trials))
    assert paused.search.state == "paused"
    assert [trial.state for trial in paused.trials] == ["completed"]
    time.sleep(0.5)
    assert len(load_agent_state(bench.workspace.db).trials) == 1
    bench.give(Control(kind="resume"), 1)
    assert load_agent_state(bench.workspace.db).search.state == "completed"
    assert len(bench.trainer.trained) == 3


def test_stop_finishes_what_runs_and_ends_the_search(
    bench: Bench, in_background: Background
) -> None:
    bench.trainer = FakeTrainer(epoch_seconds=0.1)
    start(bench, in_background, max_trials=5, settings={"training.epochs": 3})
    until(bench, lambda state: state.trials and state.trials[-1].state == "running")
    assert answered(bench, Control(kind="stop"))[0] == "applied"
    stopped = until(bench, lambda state: state.search.state == "stopped")
    assert [trial.state for trial in stopped.trials] == ["completed"]


def test_cancel_ends_the_running_trial_at_once(bench: Bench, in_background: Background) -> None:
    bench.trainer = FakeTrainer(epoch_seconds=60)
    start(bench, in_background, max_trials=5)
    until(bench, lambda state: state.trials and state.trials[-1].state == "running")
    assert answered(bench, Control(kind="cancel"))[0] == "applied"
    cancelled = until(bench, lambda state: state.search.state == "stopped", seconds=5)
    assert [trial.state for trial in cancelled.trials] == ["stopped"]
    assert cancelled.search.incumbent is None


def test_a_stopped_search_can_be_resumed(bench: Bench, in_background: Background) -> None:
    bench.trainer = FakeTrainer(epoch_seconds=60)
    start(bench, in_background, max_trials=3)
    until(bench, lambda state: state.trials and state.trials[-1].state == "running")
    answered(bench, Control(kind="cancel"))
    until(bench, lambda state: state.search.state == "stopped")
    bench.trainer.epoch_seconds = 0
    time.sleep(0.5)
    bench.give(Control(kind="resume"), 1)
    state = load_agent_state(bench.workspace.db)
    assert [trial.state for trial in state.trials] == ["stopped", "completed", "completed"]


def test_a_search_that_was_paused_after_its_last_trial_can_still_complete(bench: Bench) -> None:
    bench.search(max_trials=1)
    writer = Writer(bench.workspace)
    writer.set_search_state(1, "paused", "The engine was told to end.")
    writer.close()
    assert bench.give(Control(kind="resume"), 1).state == "applied"
    assert load_agent_state(bench.workspace.db).search.state == "completed"


def test_a_second_start_of_a_running_search_is_refused(
    bench: Bench, in_background: Background
) -> None:
    bench.trainer = FakeTrainer(epoch_seconds=60)
    start(bench, in_background, max_trials=3)
    until(bench, lambda state: state.trials and state.trials[-1].state == "running")
    second = send(bench.workspace, Start(spec=SearchSpec(max_trials=3)))
    in_background(second)
    until(bench, lambda state: bench.command(second).state != "pending")
    row = bench.command(second)
    assert (row.state, "already running" in row.answer) == ("refused", True)
    answered(bench, Control(kind="cancel"))


# -- review -------------------------------------------------------------------------------------


def test_a_proposal_waits_and_the_edited_values_are_those_that_run(
    bench: Bench, in_background: Background
) -> None:
    start(bench, in_background, max_trials=2, mode="review")
    trial = waiting(until(bench, waiting))
    assert trial is not None and trial.number == 1
    edit = {"model.d_model": 48, "model.n_heads": 4}
    done = answered(bench, decision(trial, "edited", changes=edit, comment="narrower"))
    assert done[0] == "applied", done
    state = until(bench, lambda state: state.search.state == "completed")
    ran = state.trials[1]
    assert bench.workspace.run_dir(1, 1).read_config().model.d_model == 48
    assert (ran.decision, ran.version, ran.comment) == ("edited", 2, "narrower")
    assert ran.original == trial.changes and ran.changes == edit


def test_approving_runs_the_proposal_as_it_is(bench: Bench, in_background: Background) -> None:
    start(bench, in_background, max_trials=2, mode="review")
    trial = waiting(until(bench, waiting))
    assert trial is not None
    assert answered(bench, decision(trial, "approved"))[0] == "applied"
    state = until(bench, lambda state: state.search.state == "completed")
    assert state.trials[1].config == trial.config
    assert state.trials[1].state == "completed"


def test_a_rejected_proposal_is_not_trained_and_the_next_is_planned(
    bench: Bench, in_background: Background
) -> None:
    start(bench, in_background, max_trials=3, mode="review", rules=ONE_SEED)
    trial = waiting(until(bench, waiting))
    assert trial is not None
    answered(bench, decision(trial, "rejected", comment="too wide"))
    state = until(bench, lambda state: (w := waiting(state)) and w.number == 2)
    assert state.trials[1].state == "rejected"
    assert len(bench.trainer.trained) == 1
    answered(bench, Control(kind="stop"))
    until(bench, lambda state: state.search.state == "stopped")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model.d_model": 50, "model.n_heads": 4}, "must divide"),
        ({"model.d_model": 64.5}, "model.d_model"),
        ({"data.pred_len": 48}, "same for all trials"),
        ({"nonsense": 1}, "not a setting"),
        ({}, "configuration of trial 0"),
    ],
)
def test_an_invalid_edit_is_refused_and_the_proposal_still_waits(
    bench: Bench, in_background: Background, changes: dict[str, Any], sentence: str
) -> None:
    start(bench, in_background, max_trials=2, mode="review")
    trial = waiting(until(bench, waiting))
    assert trial is not None
    state, answer = answered(bench, decision(trial, "edited", changes=changes))
    assert state == "refused" and sentence in answer
    assert waiting(load_agent_state(bench.workspace.db)) == trial
    answered(bench, Control(kind="stop"))


def test_a_decision_on_an_outdated_version_is_refused(
    bench: Bench, in_background: Background
) -> None:
    start(bench, in_background, max_trials=3, mode="review")
    trial = waiting(until(bench, waiting))
    assert trial is not None
    assert answered(bench, decision(trial, "approved"))[0] == "applied"
    state, answer = answered(bench, decision(trial, "rejected", comment="late"))
    assert state == "refused" and "meanwhile" in answer
    answered(bench, Control(kind="stop"))


def test_a_stopped_review_leaves_nothing_waiting(bench: Bench, in_background: Background) -> None:
    start(bench, in_background, max_trials=3, mode="review")
    until(bench, waiting)
    answered(bench, Control(kind="stop"))
    state = until(bench, lambda state: state.search.state == "stopped")
    assert [trial.state for trial in state.trials] == ["completed", "stopped"]


# -- what follows on what -----------------------------------------------------------------------


def test_after_a_cancel_the_search_goes_on_only_when_what_ran_has_ended(
    bench: Bench, in_background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    with slow_model(monkeypatch) as asked:
        start(bench, in_background, max_trials=3, planner="llm", rules=ONE_SEED)
        assert asked.wait(20)
        answered(bench, Control(kind="cancel"))
        state, answer = answered(bench, Control(kind="resume"))
        assert state == "refused" and "stopping still" in answer
        until(bench, lambda state: state.search.state == "stopped")
        time.sleep(0.3)
        bench.give(Control(kind="resume"), 1)
    state = load_agent_state(bench.workspace.db)
    assert state.search.state == "completed"
    assert [trial.state for trial in state.trials] == ["completed", "stopped", "completed"]
    assert len(bench.trainer.trained) == 2


def test_the_best_trial_stays_the_best_when_its_further_seed_is_skipped(bench: Bench) -> None:
    before = bench.search(max_trials=6, rules=ONE_SEED).search
    assert before.incumbent is not None
    best = before.incumbent
    writer = Writer(bench.workspace)
    writer.set_search_state(1, "paused", "For a test.")
    writer.close()
    assert bench.give(OnTrial(kind="another_seed", number=best), 1).state == "applied"
    queued = load_agent_state(bench.workspace.db)
    assert queued.trials[best].state == "queued" and queued.search.incumbent == best
    assert bench.give(OnTrial(kind="skip", number=best), 1).state == "applied"
    after = load_agent_state(bench.workspace.db)
    assert after.search.incumbent == best and after.trials[best].accepted
    assert after.trials[best].state == "completed"


def test_a_trial_is_judged_anew_against_the_best_of_the_others(bench: Bench) -> None:
    before = bench.search(max_trials=6, rules=ONE_SEED)
    best = before.search.incumbent
    assert best is not None
    assert bench.give(OnTrial(kind="another_seed", number=best), 1).state == "applied"
    trial = load_agent_state(bench.workspace.db).trials[best]
    assert trial.seeds == 2 and trial.accepted is not None and trial.verdict is not None
    assert f"trial {best} " not in trial.verdict
    with reading(bench.workspace) as reader:
        assert reader is not None
        assert [run.state for run in reader.runs(1, best)] == ["completed"] * 2


def test_a_proposal_that_was_ended_with_its_search_cannot_be_approved_any_more(
    bench: Bench, in_background: Background
) -> None:
    start(bench, in_background, max_trials=3, mode="review", rules=ONE_SEED)
    trial = waiting(until(bench, waiting))
    assert trial is not None
    answered(bench, Control(kind="stop"))
    until(bench, lambda state: state.search.state == "stopped")
    time.sleep(0.3)
    row = bench.give(decision(trial, "approved"), 1)
    assert row.state == "refused" and "meanwhile (stopped)" in row.answer
    assert load_agent_state(bench.workspace.db).trials[1].state == "stopped"


def test_a_search_that_stops_takes_nothing_more_and_an_engine_that_is_told_to_end_keeps_the_stop(
    bench: Bench,
) -> None:
    bench.trainer = FakeTrainer(epoch_seconds=60)
    told = threading.Event()
    command = send(bench.workspace, Start(spec=SearchSpec(max_trials=3)))
    arguments = (bench.workspace, load_settings(), bench.make_trainer, command, told)
    thread = threading.Thread(target=serve, args=arguments)
    thread.start()
    until(bench, lambda state: state.trials and state.trials[-1].state == "running")
    answered(bench, Control(kind="stop"))
    state, answer = answered(bench, Enqueue(changes={"model.d_model": 96}))
    assert state == "refused" and "is stopping" in answer
    told.set()
    thread.join(timeout=20)
    assert not thread.is_alive()
    search = load_agent_state(bench.workspace.db).search
    assert (search.state, search.reason) == ("stopping", "Stopped by a person.")
    row = bench.give(Control(kind="stop"), 1)
    assert row.state == "refused" and "already" in row.answer
    assert load_agent_state(bench.workspace.db).search.state == "stopped"


def test_a_pause_while_a_trial_is_planned_leaves_it_in_the_queue(
    bench: Bench, in_background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    with slow_model(monkeypatch) as asked:
        start(bench, in_background, max_trials=2, planner="llm", rules=ONE_SEED)
        assert asked.wait(20)
        answered(bench, Control(kind="pause"))
        until(bench, lambda state: len(state.trials) == 2)
        time.sleep(0.5)
        assert load_agent_state(bench.workspace.db).trials[1].state == "queued"
        assert len(bench.trainer.trained) == 1
        bench.give(Control(kind="resume"), 1)
    state = load_agent_state(bench.workspace.db)
    assert [trial.state for trial in state.trials] == ["completed"] * 2
    assert len(bench.trainer.trained) == 2


@contextmanager
def slow_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have a planner's model that takes a second; yields what is set when it is asked."""
    asked = threading.Event()

    def answer(request: Request, index: int) -> Reply:
        asked.set()
        time.sleep(1.0)
        return proposal({"model.dropout": 0.2})

    with serving(answer) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENROUTER_API_KEY", "sk-test")
        yield asked
