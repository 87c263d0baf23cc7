"""The command line, as a user types it, with real training on a small data set."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

from data.choices import Choices
from data.intake import read_bytes
from data.own import add
from data.registry import DATASETS
from data.synthetic import generate
from nas_engine.api import (
    AgentState,
    SearchError,
    get_best_run,
    load_agent_state,
    run_nas_optimization,
)
from nas_engine.cli.main import main
from nas_engine.store.reader import reading
from nas_engine.store.writer import Writer
from nas_engine.workspace import PROJECT, Workspace

# Real trainings take all cores: they run one after another.
pytestmark = pytest.mark.xdist_group("training")

QUICK = ("training.epochs=1", "training.steps_per_epoch=2")
ONE_SEED = {"seeds": 1, "extra_seeds": 0}
"""Rules under which each trial is trained once: every training loads torch anew."""
ROWS = 900
"""Rows of the small data set, so that judging a training takes no time."""


def nas(workspace: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(workspace, *arguments), **spawned())


def command(workspace: Workspace, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "nas_engine", *arguments, "--db", str(workspace.db)]


def spawned() -> dict[str, Any]:
    return {"cwd": PROJECT, "capture_output": True, "text": True, "timeout": 180}


def quick(*more: str, dataset: str = "small") -> list[str]:
    settings = [part for setting in QUICK for part in ("--set", setting)]
    rules = [part for name, value in ONE_SEED.items() for part in ("--rule", f"{name}={value}")]
    return ["search", "--dataset", dataset, *settings, *rules, *more]


def said(workspace: Workspace, *arguments: str) -> Result:
    """Run a command that starts nothing in this process, and return what it says."""
    ended = CliRunner().invoke(main, [*arguments, "--db", str(workspace.db)])
    assert ended.exit_code == 0, ended.output
    return ended


@pytest.fixture
def small() -> None:
    """A data set of the user's own, cut from the generated one."""
    rows = generate(DATASETS["synthetic"]).iloc[:ROWS]
    add(
        "small",
        read_bytes(rows.to_csv().encode()),
        "small.csv",
        Choices(date="date", frequency="h"),
    )


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """Check that a command was refused as it should be, and return the sentence."""
    assert ended.returncode == 2, ended
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended.stderr


@pytest.mark.usefixtures("small")
def test_a_search_is_run_shown_extended_and_exported(workspace: Workspace, tmp_path: Path) -> None:
    first = nas(workspace, *quick("--max-iterations", "2", "--json"))
    assert first.returncode == 0, first.stderr
    state = json.loads(first.stdout)
    assert [trial["state"] for trial in state["trials"]] == ["completed"] * 2
    assert {row["name"] for row in state["baselines"]} == {
        "repeat-last",
        "seasonal-naive",
        "closed-form linear",
    }
    again = said(workspace, *quick("--max-iterations", "2"))
    assert "already finished its 2 trials" in again.stderr
    more = nas(workspace, *quick("--max-iterations", "3", "--verbose"))
    assert "continues with trial 2 of 3" in more.stderr
    assert "Trial 2, epoch 1: train_loss" in more.stderr
    assert "Best: trial" in more.stdout

    listed = json.loads(said(workspace, "list", "--json").stdout)
    assert [(row["state"], row["trials"]) for row in listed] == [("completed", "3/3")]
    shown = json.loads(said(workspace, "show", "--trial", "0", "--json").stdout)
    assert shown["config"] == state["trials"][0]["config"]
    target = tmp_path / "trials.csv"
    said(workspace, "export", "--output", str(target))
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert [row["number"] for row in rows] == ["0", "1", "2"]
    assert float(rows[0]["val_mse"]) == state["trials"][0]["val_mse"]
    assert rows[0]["model.d_model"] == "64"


@pytest.mark.usefixtures("small")
def test_kill_9_in_the_middle_of_a_training_and_resume(workspace: Workspace) -> None:
    epochs = ("--set", "training.epochs=20", "--set", "training.patience=20")  # lasts a while
    arguments = quick("--max-iterations", "2", *epochs)
    with subprocess.Popen(
        command(workspace, *arguments),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as follower:
        engine, worker = await_training(workspace, number=1)
        os.kill(engine, signal.SIGKILL)
        _, complaint = follower.communicate(timeout=60)
    assert follower.returncode == 2
    assert "was lost" in complaint and "resume 1" in complaint
    psutil.wait_procs([p for p in [process(worker)] if p], timeout=5)
    assert process(worker) is None, "the worker must die with its engine"
    listed = said(workspace, "list").stdout
    assert "running, engine lost" in listed

    resumed = nas(workspace, "resume", "1", "--json")
    assert resumed.returncode == 0, resumed.stderr
    trials = json.loads(resumed.stdout)["trials"]
    assert [trial["number"] for trial in trials] == [0, 1]
    assert [trial["state"] for trial in trials] == ["completed"] * 2
    assert [trial["attempt"] for trial in trials] == [1, 2]


def await_training(workspace: Workspace, number: int) -> tuple[int, int]:
    """Wait until a trial trains and return the process ids of engine and worker."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with reading(workspace) as reader:
            trial = reader.trial(1, number) if reader else None
            lease = reader.engine(1) if reader else None
        if trial is not None and lease is not None and trial.step:
            assert trial.worker_pid is not None
            return lease.pid, trial.worker_pid
        time.sleep(0.05)
    raise AssertionError(f"trial {number} did not train")


def process(pid: int) -> psutil.Process | None:
    try:
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else found
    except psutil.NoSuchProcess:
        return None


def test_a_database_of_a_newer_version_is_refused(workspace: Workspace) -> None:
    writer = Writer(workspace)
    writer.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
        "VALUES ('nas_engine', 'm999', 'later')"
    )
    writer.close()
    assert "newer version" in refusal(nas(workspace, "list"))
    assert "newer version" in refusal(nas(workspace, *quick(dataset="synthetic")))


def test_a_data_file_that_is_not_the_published_one_pauses_the_search(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ETTh1.csv").write_text("date,OT\n2016-07-01,1\n")
    monkeypatch.setenv("NAS_DATA_DIRS", str(tmp_path))
    sentence = refusal(nas(workspace, "search", "--dataset", "ETTh1", "--max-iterations", "1"))
    assert "is not the published ETTh1" in sentence
    assert load_agent_state(workspace.db).search.state == "paused"


def test_a_second_start_of_a_running_search_is_refused(workspace: Workspace) -> None:
    steps = ("--set", "training.steps_per_epoch=200")
    arguments = quick("--max-iterations", "2", *steps, dataset="synthetic")
    with subprocess.Popen(
        command(workspace, *arguments), cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as follower:
        await_training(workspace, number=0)
        assert "already running" in refusal(nas(workspace, *arguments))
        said(workspace, "cancel")
        follower.communicate(timeout=60)
    state = load_agent_state(workspace.db)
    assert (state.search.state, state.trials[0].state) == ("stopped", "stopped")


@pytest.mark.usefixtures("small")
def test_the_functions_of_the_api_run_a_search(workspace: Workspace) -> None:
    settings = {"data.dataset": "small", "training.epochs": 1, "training.steps_per_epoch": 2}
    spec = {"db": workspace.db, "settings": settings, "planner": "random", "rules": ONE_SEED}
    state = run_nas_optimization(2, **spec, slots=2)
    assert state.search.spec.slots == 2
    assert isinstance(state, AgentState)
    best = get_best_run(state)
    assert best is not None and best.val_mse == state.search.best
    assert run_nas_optimization(1, **spec) == state
    with pytest.raises(SearchError, match="no search 9"):
        load_agent_state(workspace.db, 9)
