"""An engine that is killed at any moment and started again ends like one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas_engine.api import AgentState, SearchError, load_agent_state
from nas_engine.commands import Control, Start, send
from nas_engine.search import Rules, SearchSpec
from nas_engine.workspace import PROJECT, Workspace

TRIALS = 5
EPOCH_SECONDS = 0.1


def engine(
    workspace: Workspace, command: Start | Control, **environment: str
) -> subprocess.Popen[bytes]:
    search_id = None if isinstance(command, Start) else 1
    command_id = send(workspace, command, search_id)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.fakes.engine"),
            *(str(workspace.db), str(command_id), str(EPOCH_SECONDS)),
        ],
        cwd=PROJECT,
        env={**os.environ, **environment},
    )


def outcome(state: AgentState) -> list[tuple[object, ...]]:
    return [
        (t.number, t.state, t.config, t.source, t.val_mse, t.seeds, t.spread, t.verdict, t.parent)
        for t in state.trials
    ]


def trainings(workspace: Workspace) -> list[str]:
    return (workspace.db.parent / "trainings.txt").read_text().split()


# With so wide a spread every difference is open, and every trial has further seeds.
START = Start(
    spec=SearchSpec(
        max_trials=TRIALS, settings={"training.epochs": 2}, rules=Rules(noise_multiple=4)
    )
)


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_neither_repeats_nor_skips_a_trial(tmp_path: Path, seed: int) -> None:
    calm, shaken = Workspace(tmp_path / "calm.db"), Workspace(tmp_path / "shaken" / "nas.db")
    assert engine(calm, START).wait(timeout=60) == 0
    moments = random.Random(seed)
    process, kills = engine(shaken, START), 0
    while kills < 3:
        time.sleep(2.5 + moments.random() * 1.5)  # start-up takes about 2 s, a trial 0.3 s
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
        process = engine(shaken, _again(shaken))
    assert process.wait(timeout=60) == 0
    assert kills > 0
    assert outcome(load_agent_state(shaken.db)) == outcome(load_agent_state(calm.db))
    assert set(trainings(shaken)) == set(trainings(calm))
    assert len(trainings(shaken)) <= len(trainings(calm)) + kills


def _again(workspace: Workspace) -> Start | Control:
    """Resume, or start where the kill came before the search existed."""
    try:
        load_agent_state(workspace.db)
    except SearchError:
        return START
    return Control(kind="resume")


def test_a_result_that_a_lost_engine_left_is_taken_and_not_trained_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "nas.db")
    assert engine(workspace, START).wait(timeout=60) == 0
    before, trained = load_agent_state(workspace.db), trainings(workspace)
    forget_last_result(workspace)
    assert engine(workspace, Control(kind="resume")).wait(timeout=60) == 0
    assert outcome(load_agent_state(workspace.db)) == outcome(before)
    assert trainings(workspace) == trained


def test_kills_between_seeds_train_none_twice_and_end_the_same(tmp_path: Path) -> None:
    calm, shaken = Workspace(tmp_path / "calm" / "nas.db"), Workspace(tmp_path / "shaken.db")
    assert engine(calm, START).wait(timeout=60) == 0
    extra = [name for name in trainings(calm) if "repeat" in name and "0000" not in name]
    assert extra, "the noise of the fake engine leaves a difference open"
    command: Start | Control = START
    for moment, folder in (
        ("KILL_BEFORE", "trial-0000-repeat-1"),
        ("KILL_AFTER", "trial-0000-repeat-2"),
        ("KILL_BEFORE", extra[0]),
        ("KILL_AFTER", extra[0]),
    ):
        assert engine(shaken, command, **{moment: folder}).wait(timeout=60) == -signal.SIGKILL
        command = Control(kind="resume")
    assert engine(shaken, command).wait(timeout=60) == 0
    assert outcome(load_agent_state(shaken.db)) == outcome(load_agent_state(calm.db))
    assert sorted(trainings(shaken)) == sorted(trainings(calm))


def forget_last_result(workspace: Workspace) -> None:
    """Put the database back to the moment at which the last trial was still training."""
    import sqlite3

    connection = sqlite3.connect(workspace.db)
    with connection:
        last = TRIALS - 1
        connection.execute("DELETE FROM verdicts WHERE number = ?", (last,))
        connection.execute(
            "UPDATE trials SET state = 'running', val_mse = NULL, seeds = 0, spread = NULL, "
            "ended_at = NULL WHERE number = ?",
            (last,),
        )
        connection.execute(
            "UPDATE runs SET state = 'running', val_mse = NULL WHERE number = ?", (last,)
        )
        connection.execute(
            """UPDATE searches SET state = 'running', incumbent = (
                SELECT t.number FROM trials t JOIN verdicts v USING (search_id, number)
                WHERE v.accepted ORDER BY t.val_mse)"""
        )
    connection.close()
    workspace.checkpoints.unlink()
