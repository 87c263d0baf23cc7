"""What an engine that takes over does to the processes of the one before, and to no others.

Races for the lease, and engines that wake up after they were replaced: `tests.chaos.leases`.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import pytest

from nas_engine.api import SearchError, follow, load_agent_state
from nas_engine.commands import Control
from nas_engine.liveness import boot_clock, boot_id, process_start
from tests.engine.conftest import ONE_SEED, Bench


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process beside the engine."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def lose_engine(bench: Bench, pid: int, *, boot: str, start: float, silent: float) -> None:
    """Put the database back to a search whose engine and worker were this process, and are lost."""
    bench.search(max_trials=2, rules=ONE_SEED)
    connection = sqlite3.connect(bench.workspace.db)
    with connection:
        connection.execute("UPDATE searches SET state = 'running'")
        connection.execute("DELETE FROM verdicts WHERE number = 1")
        connection.execute(
            "UPDATE trials SET state = 'running', seeds = 0, val_mse = NULL, ended_at = NULL "
            "WHERE number = 1"
        )
        connection.execute(
            "UPDATE runs SET state = 'running', val_mse = NULL, worker_pid = ?, worker_start = ? "
            "WHERE number = 1",
            (pid, start),
        )
        connection.execute(
            "UPDATE engines SET released = 0, pid = ?, boot = ?, process_start = ?, heartbeat = ?",
            (pid, boot, start, boot_clock() - silent),
        )
    connection.close()


def resumed(bench: Bench) -> str:
    bench.give(Control(kind="resume"), 1)
    return load_agent_state(bench.workspace.db).search.state


def start_of(process: subprocess.Popen[bytes]) -> float:
    start = process_start(process.pid)
    assert start is not None
    return start


def test_a_stranger_that_has_the_id_of_a_lost_engine_is_left_alone(
    bench: Bench, other: subprocess.Popen[bytes]
) -> None:
    lose_engine(bench, other.pid, boot=boot_id(), start=start_of(other) - 1, silent=60)
    assert resumed(bench) == "completed"
    assert other.poll() is None


def test_a_process_is_left_alone_that_has_id_and_start_of_one_before_a_reboot(
    bench: Bench, other: subprocess.Popen[bytes]
) -> None:
    lose_engine(bench, other.pid, boot="another-boot", start=start_of(other), silent=60)
    assert resumed(bench) == "completed"
    assert other.poll() is None


def test_an_engine_that_hangs_is_killed_by_the_one_that_takes_its_place(
    bench: Bench, other: subprocess.Popen[bytes]
) -> None:
    lose_engine(bench, other.pid, boot=boot_id(), start=start_of(other), silent=60)
    assert resumed(bench) == "completed"
    assert other.wait(timeout=10) == -signal.SIGKILL


def test_an_engine_that_has_shown_itself_is_not_replaced(
    bench: Bench, other: subprocess.Popen[bytes]
) -> None:
    lose_engine(bench, other.pid, boot=boot_id(), start=start_of(other), silent=0)
    assert resumed(bench) == "running"
    assert other.poll() is None


def test_an_engine_that_is_lost_after_its_search_has_ended_is_no_loss(bench: Bench) -> None:
    bench.search(max_trials=1, rules=ONE_SEED)
    with sqlite3.connect(bench.workspace.db) as connection:
        connection.execute("UPDATE engines SET released = 0, process_start = process_start - 1")
    assert follow(bench.workspace, 1, lambda event: None).search.state == "completed"
    with sqlite3.connect(bench.workspace.db) as connection:
        connection.execute("UPDATE searches SET state = 'running'")
    with pytest.raises(SearchError, match="was lost"):
        follow(bench.workspace, 1, lambda event: None)
