"""What people do to a search while it runs, against a real engine process with real workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from nas_engine.commands import Change, Command, Control, Decide, Enqueue, OnTrial, Start, send
from nas_engine.liveness import engine_state, process_start
from nas_engine.search import SearchSpec
from nas_engine.store import wishes
from nas_engine.store.reader import Reader, reading
from nas_engine.store.rows import CommandRow, RunRow
from nas_engine.workspace import PROJECT, Workspace
from tests.engine.conftest import ONE_SEED

Found = TypeVar("Found")

EPOCHS = {"training.epochs": 4, "training.patience": 4}


class Desk:
    """A person with an engine in a process of its own, and light workers in others."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.engine: subprocess.Popen[bytes] | None = None
        self._holds = workspace.db.with_suffix(".hold")
        self._holds.mkdir(parents=True)

    def hold(self, *numbers: int, epoch: int = 1) -> None:
        """Let the first training of these trials last, once it has come to this epoch."""
        for number in numbers:
            (self._holds / self.workspace.run_dir(1, number).path.name).write_text(str(epoch))

    def release(self, *numbers: int) -> None:
        for number in numbers:
            (self._holds / self.workspace.run_dir(1, number).path.name).unlink()

    def start(self, **spec: Any) -> None:
        settings = {**EPOCHS, **spec.pop("settings", {})}
        facts = {"settings": settings, "rules": ONE_SEED, "planner": "random", **spec}
        self.launch(send(self.workspace, Start(spec=SearchSpec.model_validate(facts))))

    def launch(self, command_id: int) -> None:
        self.engine = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.fakes.light_engine"),
                *(str(self.workspace.db), str(command_id)),
            ],
            cwd=PROJECT,
            env=os.environ | {"FAKE_HOLD": str(self._holds)},
        )

    def again(self, command: Command) -> CommandRow:
        """Give a command to a new engine, once the one before has ended."""
        assert self.engine is not None
        self.engine.wait(timeout=20)
        command_id = send(self.workspace, command, 1)
        self.launch(command_id)
        return self.answer(command_id)

    def ask(self, command: Command) -> CommandRow:
        return self.answer(send(self.workspace, command, 1))

    def answer(self, command_id: int) -> CommandRow:
        def answered(reader: Reader) -> CommandRow | None:
            row = wishes.command(reader, command_id)
            return row if row is not None and row.state != "pending" else None

        return self.until(answered)

    def applied(self, command: Command) -> str:
        row = self.ask(command)
        assert row.state == "applied", row.answer
        return row.answer

    def refused(self, command: Command) -> str:
        row = self.ask(command)
        assert row.state == "refused", row.answer
        return row.answer

    def until(self, found: Callable[[Reader], Found | None], seconds: float = 20) -> Found:
        """Return the first thing, not None or False, that is found in the database."""
        deadline = time.monotonic() + seconds
        while True:
            with reading(self.workspace) as reader:
                result = found(reader) if reader is not None and reader.search(1) else None
                if result is not None and result is not False:
                    return result
                if time.monotonic() > deadline:
                    events = [event.text for event in reader.events(1)] if reader else []
                    raise AssertionError("\n".join(["it did not come about:", *events]))
            time.sleep(0.03)

    def training(self, number: int) -> RunRow:
        """Return the run of a trial that is training, in a worker that lives."""
        return self.until(lambda reader: running(reader, number))

    def state(self, number: int, *states: str) -> bool:
        return self.until(lambda reader: (t := reader.trial(1, number)) and t.state in states)

    def ended(self, state: str) -> str:
        """Wait until the search has ended so, and return why."""
        search = self.until(lambda r: (s := r.search(1)) and s.state == state and s)
        assert self.engine is not None
        assert self.engine.wait(timeout=20) == 0
        return search.reason

    def close(self) -> None:
        if self.engine is not None and self.engine.poll() is None:
            self.engine.kill()
            self.engine.wait()


def running(reader: Reader, number: int) -> RunRow | None:
    for run in reader.runs(1, number):
        if run.state == "running" and run.worker_pid and process_start(run.worker_pid):
            return run
    return None


@pytest.fixture
def desk(workspace: Workspace) -> Iterator[Desk]:
    desk = Desk(workspace)
    yield desk
    desk.close()


def gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process_start(pid) is None:
            return True
        time.sleep(0.02)
    return False


def test_a_trial_that_a_person_stops_is_gone_at_once_and_the_search_goes_on(desk: Desk) -> None:
    desk.hold(1, 2)
    desk.start(slots=2, max_trials=4)
    one, two = desk.training(1), desk.training(2)
    assert one.worker_pid is not None and one.worker_pid != two.worker_pid
    assert {one.slot, two.slot} == {0, 1}
    assert "goes on" in desk.applied(OnTrial(kind="stop_trial", number=1))
    assert gone(one.worker_pid, seconds=5)
    desk.state(1, "stopped")
    assert "not training" in desk.refused(OnTrial(kind="stop_trial", number=1))
    desk.release(2)
    desk.ended("completed")
    with reading(desk.workspace) as reader:
        assert reader is not None
        trials, commands = reader.trials(1), wishes.commands(reader, 1)
    assert [trial.state for trial in trials] == ["completed", "stopped", "completed", "completed"]
    assert trials[1].val_mse is None and not trials[1].accepted
    assert [row.state for row in commands] == ["applied", "applied", "refused"]


def test_a_queue_can_be_filled_skipped_and_reordered_and_a_stopped_trial_tried_again(
    desk: Desk,
) -> None:
    desk.hold(1)
    desk.start(slots=1, max_trials=2)
    desk.training(1)
    for width in (48, 96, 32):
        text = desk.applied(Enqueue(changes={"model.d_model": width}, comment="My guess."))
        assert "queued" in text
    twice = desk.refused(Enqueue(changes={"model.d_model": 48}))
    assert "this is the configuration of trial 2 (queued)" in twice
    desk.applied(OnTrial(kind="to_front", number=4))
    desk.applied(OnTrial(kind="skip", number=3))
    assert "not waiting in the queue" in desk.refused(OnTrial(kind="skip", number=1))
    desk.applied(OnTrial(kind="stop_trial", number=1))
    desk.ended("completed")
    with reading(desk.workspace) as reader:
        assert reader is not None
        search, trials = reader.search(1), reader.trials(1)
        began = {n: reader.runs(1, n)[0].started_at for n in (1, 2, 4)}
    assert search is not None and search.max_trials == 5
    states = [trial.state for trial in trials]
    assert states == ["completed", "stopped", "completed", "stopped", "completed"]
    assert sorted(began, key=lambda n: began[n] or 0) == [1, 4, 2]
    assert (trials[2].source, trials[2].hypothesis, trials[2].decision) == (
        *("human", "My guess.", "approved"),
    )
    desk.release(1)
    assert desk.again(OnTrial(kind="retry", number=1)).state == "applied"
    desk.ended("completed")
    with reading(desk.workspace) as reader:
        assert reader is not None
        trial, runs = reader.trial(1, 1), reader.runs(1, 1)
    assert trial is not None and trial.state == "completed" and trial.round == 1
    assert [run.attempt for run in runs] == [2]
    row = desk.again(OnTrial(kind="another_seed", number=1))
    assert row.state == "applied"
    desk.ended("completed")
    with reading(desk.workspace) as reader:
        assert reader is not None
        after, runs = reader.trial(1, 1), reader.runs(1, 1)
    assert after is not None and after.seeds == 2 and after.spread is not None
    assert after.verdict is not None and "2 seeds" in after.verdict
    assert len({run.seed for run in runs}) == 2


def test_slots_budget_and_mode_change_while_the_search_runs(desk: Desk) -> None:
    desk.hold(1, 2)
    desk.start(slots=1, max_trials=3)
    desk.training(1)
    with reading(desk.workspace) as reader:
        search = reader.search(1) if reader else None
    assert search is not None
    desk.applied(Change(slots=2, version=search.version))
    desk.training(2)
    assert "changed meanwhile" in desk.refused(Change(slots=3, version=search.version))
    assert "already" in desk.refused(Change(slots=2))
    desk.applied(Change(mode="review", max_trials=4, limits={"hours": 1.0}))
    assert "fewer" in desk.refused(Change(max_trials=1))
    assert "cannot be changed" in desk.refused(Change(limits={"parameters": 1.0}))
    desk.release(1, 2)
    desk.state(3, "proposed")
    with reading(desk.workspace) as reader:
        waiting = reader.trial(1, 3) if reader else None
    assert waiting is not None
    desk.applied(Decide(proposal_id=waiting.proposal_id, version=1, decision="approved"))
    desk.ended("completed")
    row = desk.again(Change(max_trials=5, mode="auto"))
    assert row.state == "applied", row.answer
    desk.ended("completed")
    with reading(desk.workspace) as reader:
        assert reader is not None
        trials, search = reader.trials(1), reader.search(1)
    assert [trial.state for trial in trials] == ["completed"] * 5
    assert search is not None and search.spec.limits.hours == 1.0


def test_pause_resume_stop_and_cancel_mean_what_they_say(desk: Desk) -> None:
    desk.hold(1, 2, 3, 4)
    desk.start(slots=2, max_trials=9)
    desk.training(1), desk.training(2)
    desk.applied(Control(kind="pause"))
    assert "already" in desk.refused(Control(kind="pause"))
    desk.release(1, 2)
    desk.state(1, "completed"), desk.state(2, "completed")
    assert desk.ended("paused") == "Paused by a person."
    with reading(desk.workspace) as reader:
        assert reader is not None and len(reader.numbers(1)) == 3
    assert desk.again(Control(kind="resume")).state == "applied"
    desk.training(3), desk.training(4)
    assert "running already" in desk.refused(Control(kind="resume"))
    desk.applied(Control(kind="stop"))
    desk.release(3, 4)
    desk.ended("stopped")
    with reading(desk.workspace) as reader:
        assert reader is not None
        assert [trial.state for trial in reader.trials(1)] == ["completed"] * 5
    desk.hold(5, 6)
    assert desk.again(Control(kind="resume")).state == "applied"
    workers = [desk.training(number).worker_pid for number in (5, 6)]
    desk.applied(Control(kind="cancel"))
    assert all(pid is not None and gone(pid, seconds=5) for pid in workers)
    assert desk.ended("stopped") == "Cancelled by a person."
    with reading(desk.workspace) as reader:
        assert reader is not None
        assert [trial.state for trial in reader.trials(1)][-2:] == ["stopped", "stopped"]


def test_a_lost_worker_is_replaced_and_its_training_goes_on_after_its_last_epoch(
    desk: Desk,
) -> None:
    desk.hold(1, epoch=3)
    desk.start(slots=1, max_trials=2)
    run = desk.training(1)
    desk.until(lambda reader: len(reader.epochs(1, [1])) == 2)
    assert run.worker_pid is not None
    os.kill(run.worker_pid, signal.SIGKILL)
    desk.release(1)
    desk.ended("completed")
    with reading(desk.workspace) as reader:
        assert reader is not None
        (first,), (again,) = reader.runs(1, 0), reader.runs(1, 1)
        events = [event.text for event in reader.events(1)]
    assert first.worker_pid == run.worker_pid, "a worker is used again"
    assert again.worker_pid != run.worker_pid
    assert (again.state, again.attempt, again.crashes) == ("completed", 2, 1)
    assert any("Trial 1 goes on after epoch" in text for text in events)


def test_workers_die_with_their_engine_and_the_next_one_goes_on(desk: Desk) -> None:
    desk.hold(1, 2)
    desk.start(slots=2, max_trials=3)
    workers = [desk.training(1).worker_pid, desk.training(2).worker_pid]
    assert desk.engine is not None
    desk.engine.kill()
    desk.engine.wait()
    assert all(pid is not None and gone(pid, seconds=2) for pid in workers)
    with reading(desk.workspace) as reader:
        assert reader is not None and engine_state(reader.engine(1)) == "lost"
    desk.release(1, 2)
    assert desk.again(Control(kind="resume")).state == "applied"
    desk.ended("completed")
    with reading(desk.workspace) as reader:
        assert reader is not None and engine_state(reader.engine(1)) == "none"
        assert [trial.state for trial in reader.trials(1)] == ["completed"] * 3
        assert [run.attempt for n in (1, 2) for run in reader.runs(1, n)] == [2, 2]


def test_an_engine_that_the_system_ends_pauses_its_search_and_says_so(desk: Desk) -> None:
    desk.hold(1)
    desk.start(slots=1, max_trials=2)
    run = desk.training(1)
    assert desk.engine is not None and run.worker_pid is not None
    desk.engine.terminate()
    assert "told to end" in desk.ended("paused")
    assert process_start(run.worker_pid) is None
    desk.release(1)
    assert desk.again(Control(kind="resume")).state == "applied"
    desk.ended("completed")
    with reading(desk.workspace) as reader:
        assert reader is not None
        assert [trial.state for trial in reader.trials(1)] == ["completed"] * 2


def test_one_of_two_seeds_that_train_side_by_side_can_be_stopped_and_the_other_counts(
    desk: Desk,
) -> None:
    desk.hold(0)
    desk.start(slots=2, max_trials=1, rules={"seeds": 2, "extra_seeds": 0})
    desk.until(lambda reader: (trial := reader.trial(1, 0)) and trial.seeds == 1)
    held = desk.training(0)
    assert held.worker_pid is not None
    desk.applied(OnTrial(kind="stop_trial", number=0))
    assert gone(held.worker_pid, seconds=5)
    desk.ended("completed")
    with reading(desk.workspace) as reader:
        assert reader is not None
        trial, runs = reader.trial(1, 0), reader.runs(1, 0)
    assert trial is not None and (trial.state, trial.accepted, trial.seeds) == (
        *("completed", True, 1),
    )
    assert sorted(run.state for run in runs) == ["completed", "stopped"]
