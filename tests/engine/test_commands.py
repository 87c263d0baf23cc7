"""Commands of the command line to a real engine process, and the same command given many times."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nas_engine.api import AgentState, SearchError, load_agent_state
from nas_engine.cli.main import main
from nas_engine.commands import Command, Control, Enqueue, OnTrial, send
from nas_engine.search import SearchSpec
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.rows import CommandRow
from nas_engine.workspace import Workspace
from tests.engine.conftest import ONE_SEED
from tests.fakes.engine import running

TABS, ROUNDS = 20, 20


def nas(workspace: Workspace, *arguments: str) -> tuple[int, str]:
    """Run a command as `python -m nas_engine` does; return its exit code and what it printed."""
    result = CliRunner().invoke(main, [*arguments, "--db", str(workspace.db)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def done(workspace: Workspace, *arguments: str) -> str:
    code, output = nas(workspace, *arguments)
    assert code == 0, output
    return output


def refused(workspace: Workspace, *arguments: str) -> str:
    code, output = nas(workspace, *arguments)
    assert code == 2, output
    return output


def until(
    workspace: Workspace, holds: Callable[[AgentState], Any], seconds: float = 30.0
) -> AgentState:
    deadline = time.monotonic() + seconds
    state: AgentState | None = None
    while time.monotonic() < deadline:
        try:
            state = load_agent_state(workspace.db)
        except SearchError:
            state = None
        if state is not None and holds(state):
            return state
        time.sleep(0.02)
    raise AssertionError(f"did not come about within {seconds} s; last seen: {state}")


def training(state: AgentState) -> list[int]:
    return [trial.number for trial in state.trials if trial.state == "running" and trial.step]


def spec(**given: Any) -> SearchSpec:
    rules = {"rules": ONE_SEED, "planner": "random", "max_trials": 4}
    return SearchSpec.model_validate({**rules, **given})


def test_each_command_steers_a_running_search(workspace: Workspace) -> None:
    with running(workspace, spec(slots=2)):
        until(workspace, lambda state: training(state) == [0])
        assert "Trial 0 is stopped" in done(workspace, "trial", "1", "0", "stop", "--reason", "x")
        until(workspace, lambda state: training(state) == [1, 2])
        shown = done(workspace, "show")
        assert "Engine: alive" in shown and "Budget: 1 of 4 trials" in shown
        set_width = ("--set", "model.d_ff=96", "--parent", "0")
        assert "Trial 3 is queued" in done(workspace, "enqueue", "1", *set_width)
        assert "need not be trained again" in refused(workspace, "enqueue", "1", *set_width)
        assert "Trial 4 is queued" in done(workspace, "enqueue", "1", "--set", "model.d_ff=80")
        assert "Trial 4 is the next" in done(workspace, "trial", "1", "4", "to-front")
        assert "Trial 3 is skipped" in done(workspace, "trial", "1", "3", "skip")
        assert "Trial 3 is queued again" in done(workspace, "trial", "1", "3", "retry")
        assert "no result yet" in refused(workspace, "trial", "1", "1", "another-seed")
        assert "no trial 9" in refused(workspace, "trial", "1", "9", "stop")

        changed = done(workspace, "change", "1", "--slots", "3", "--limit", "hours=2", "--review")
        assert "slots 3" in changed and "hours 2" in changed and "mode review" in changed
        state = until(workspace, lambda state: training(state) == [1, 2, 4])
        assert state.search.spec.slots == 3 and state.search.spec.limits.hours == 2.0
        assert "hours none" in done(workspace, "change", "1", "--limit", "hours=none")
        assert "cannot be held to fewer" in refused(workspace, "change", "1", "--max-trials", "2")

        assert "pauses" in done(workspace, "pause")
        assert "paused already" in refused(workspace, "pause")
        assert "is cancelled" in done(workspace, "cancel")
        until(workspace, lambda state: state.search.state == "stopped")
    log = json.loads(done(workspace, "log", "--json"))
    assert [line["state"] for line in log].count("refused") == 5
    assert log[1]["asked"] == "stop trial 0: x" and log[-1]["asked"] == "cancel"
    assert "Trial 3 is skipped." in done(workspace, "log", "--events")
    assert "Cancelled by a person." in done(workspace, "show")


def answers(workspace: Workspace, command: Command) -> list[CommandRow]:
    """Give a command from many threads at the same moment and return what each was answered."""
    at_once = threading.Barrier(TABS)
    given: list[int] = []

    def press() -> None:
        at_once.wait()
        given.append(send(workspace, command, 1))

    threads = [threading.Thread(target=press) for _ in range(TABS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with reading(workspace) as reader:
            assert reader is not None
            rows = [row for number in given if (row := wishes.command(reader, number)) is not None]
        if len(rows) == TABS and all(row.state != "pending" for row in rows):
            return rows
        time.sleep(0.02)
    raise AssertionError(f"not all were answered: {rows}")


def test_the_same_button_in_many_tabs_has_one_effect_and_the_others_are_told(
    workspace: Workspace, record_property: Callable[[str, object], None]
) -> None:
    with running(workspace, spec()):
        until(workspace, lambda state: training(state) == [0])
        for turn in range(ROUNDS - 2):
            version = load_agent_state(workspace.db).search.version
            kind = "resume" if turn % 2 else "pause"
            rows = answers(workspace, Control.model_validate({"kind": kind, "version": version}))
            told = [row.answer for row in rows if row.state == "refused"]
            assert len(told) == TABS - 1 and all("changed meanwhile" in text for text in told)
            assert load_agent_state(workspace.db).search.version == version + 1
        rows = answers(workspace, Enqueue(changes={"model.d_ff": 96}))
        assert [row.state for row in rows].count("applied") == 1
        assert len(load_agent_state(workspace.db).trials) == 2
        rows = answers(workspace, OnTrial(kind="to_front", number=1, version=1))
        assert [row.state for row in rows].count("applied") == 1
        assert load_agent_state(workspace.db).trials[1].priority == 1
    record_property("faults", ROUNDS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["search", "--dataset", "ETTh9"], "data.dataset must be one of"),
        (["search", "--set", "model.n_heads=7"], "must divide"),
        (["search", "--set", "nonsense=1"], "not a setting"),
        (["search", "--set", "training.epochs"], "KEY=VALUE"),
        (["search", "--set", "data.target=XX"], "data.target must be a column"),
        (["search", "--planner", "llm"], "OPENROUTER_API_KEY"),
        (["search", "--planner", "magic"], "magic"),
        (["search", "--slots", "0"], "slots: Input should be greater"),
        (["search", "--pruning", "magic"], "method: Input should be 'none'"),
        (["search", "--pruning", "hyperband:x"], "reduction: Input should be a valid integer"),
        (["search", "--pruning", "hyperband:2:1:1"], "METHOD[:REDUCTION[:MIN_EPOCHS]]"),
        (["search", "--space", "model.d_model"], "is no narrowing"),
        (["search", "--space", "model.d_model=32"], "lies outside the space"),
        (["search", "--space", "training.seed=1,2"], "same for all trials"),
        (["search", "--limit", "parameters=1"], "parameters: Input should be greater"),
        (["search", "--limit", "hours=0"], "hours: Input should be greater"),
        (["search", "--rule", "magic=1"], "magic: Extra inputs are not permitted"),
        (["search", "--max-iterations", "0"], "0"),
        (["resume"], "There is no search"),
        (["resume", "7"], "There is no search 7"),
        (["show", "7"], "There is no search 7"),
        (["pause"], "There is no search"),
        (["export"], "There is no search"),
        (["log"], "There is no search"),
        (["change", "1"], "Say what to change"),
        (["change", "1", "--slots", "2"], "There is no search 1"),
        (["change", "1", "--limit", "hour=2"], "hour cannot be changed; --limit takes hours"),
        (["change", "1", "--limit", "hours=x"], "hours: Input should be a valid number"),
        (["trial", "1", "1", "kill"], "'kill' is not one of"),
        (["enqueue", "1"], "Missing option '--set'"),
        (["decide", "1", "1", "reject"], "needs a --reason"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_exit_code_2(
    workspace: Workspace, arguments: list[str], sentence: str
) -> None:
    assert sentence in refused(workspace, *arguments)


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for db in (tmp_path / "file" / "nas.db", tmp_path / "file" / "deeper" / "nas.db"):
        output = refused(Workspace(db), "search", "--set", "data.dataset=synthetic")
        assert f"The folder {tmp_path}" in output and "name another file with --db" in output
        assert "Traceback" not in output


def test_a_log_of_engines_that_cannot_be_written_is_said_in_a_sentence(
    workspace: Workspace,
) -> None:
    workspace.create()
    workspace.launch_log.mkdir()
    output = refused(workspace, "search", "--set", "data.dataset=synthetic")
    assert f"No engine can be started ({workspace.launch_log}: Is a directory)" in output


def test_a_user_without_a_name_gives_commands_under_a_number(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    command_id = send(workspace, Control(kind="pause"))
    with reading(workspace) as reader:
        row = wishes.command(reader, command_id) if reader else None
    assert row is not None and row.author == str(os.getuid())
