"""The process that started a search is ended, with its whole group: the engine lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from nas_engine.commands import Control
from nas_engine.liveness import engine_state, same_process
from nas_engine.search import SearchSpec
from nas_engine.store import trainings
from nas_engine.store.reader import Reader, reading
from nas_engine.supervisor import request
from nas_engine.workspace import PROJECT, Workspace
from tests.engine.conftest import ONE_SEED

pytestmark = pytest.mark.long  # real engines with real workers

# Starts a search as a page does, and stays. What a shell runs in the background ignores SIGINT.
SERVER = """
import signal, sys, time
from pathlib import Path
from nas_engine.search import SearchSpec
from nas_engine.supervisor import start_search
from nas_engine.workspace import Workspace
signal.signal(signal.SIGINT, signal.default_int_handler)
answer = start_search(Workspace(Path(sys.argv[1])), SearchSpec.model_validate_json(sys.argv[2]))
print(answer.search_id or answer.text, flush=True)
time.sleep(600)
"""
SECONDS = 120.0


def until(workspace: Workspace, found: Callable[[Reader], Any]) -> Any:
    """Return the first thing, not None or False, that is found in the database."""
    deadline = time.monotonic() + SECONDS
    while True:
        with reading(workspace) as reader:
            assert reader is not None
            if result := found(reader):
                return result
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@contextmanager
def ended_at_last(workspace: Workspace) -> Iterator[None]:
    """Leave no engine behind, and so no worker either, where the test fails."""
    try:
        yield
    finally:
        with reading(workspace) as reader:
            engine = reader.engine(1) if reader else None
        if engine is not None and same_process(engine.pid, engine.process_start):
            os.kill(engine.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_an_engine_goes_on_without_the_server_that_started_it(
    workspace: Workspace, number: signal.Signals
) -> None:
    short = {"training.steps_per_epoch": 2, "training.epochs": 900, "training.patience": 900}
    settings = {"data.dataset": "synthetic", **short}
    spec = SearchSpec.model_validate(
        {"settings": settings, "rules": ONE_SEED, "planner": "random", "max_trials": 2}
    )
    with ended_at_last(workspace):
        with subprocess.Popen(
            [sys.executable, "-c", SERVER, str(workspace.db), spec.model_dump_json()],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as server:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == "1"
            before = len(until(workspace, lambda reader: reader.epochs(1)))
            workers = until(workspace, lambda reader: trainings.workers(reader, 1))
            os.killpg(server.pid, number)
            server.wait(SECONDS)
        until(workspace, lambda reader: len(reader.epochs(1)) > before + 2)
        with reading(workspace) as reader:
            assert reader is not None
            engine = reader.engine(1)
        assert engine is not None and engine_state(engine) == "alive"
        answer = request(workspace, Control(kind="cancel"), 1)
        assert answer.ok, answer.text
        deadline = time.monotonic() + SECONDS
        while not all(map(gone, [engine.pid, *(pid for pid, _ in workers)])):
            assert time.monotonic() < deadline, "something is left"
            time.sleep(0.1)
