"""A process is dead or alive whatever the wall clock says, and a stranger is never ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas_engine import liveness
from nas_engine.liveness import STALE_SECONDS, boot_clock, boot_id, engine_state, process_start
from nas_engine.store.rows import EngineRow

HOUR = 3600.0


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that does nothing."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def lease(pid: int, **facts: object) -> EngineRow:
    """Return the lease that a process has just taken."""
    row: dict[str, object] = {
        "search_id": 1,
        "token": 1,
        "boot": boot_id(),
        "pid": pid,
        "process_start": process_start(pid),
        "started_at": 0.0,
        "heartbeat": boot_clock(),
        "released": False,
    }
    return EngineRow(**{**row, **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 365 * 24 * HOUR])
def test_a_jump_of_the_wall_clock_changes_nothing(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    alive, before, clock = lease(child.pid), boot_clock(), time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump)
    assert engine_state(alive) == "alive"
    assert 0 <= boot_clock() - before < 60
    assert engine_state(lease(child.pid)) == "alive"
    child.kill()
    child.wait()
    assert engine_state(alive) == "lost"


def test_nothing_in_liveness_reads_the_wall_clock(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden() -> float:
        raise AssertionError("the wall clock was read")

    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, forbidden)
    assert engine_state(lease(child.pid)) == "alive"
    assert liveness.same_process(child.pid, lease(child.pid).process_start)


def test_a_process_of_before_a_reboot_is_lost(child: subprocess.Popen[bytes]) -> None:
    assert engine_state(lease(child.pid, boot="another-boot")) == "lost"


def test_a_stranger_with_the_same_id_is_not_the_engine(child: subprocess.Popen[bytes]) -> None:
    earlier = lease(child.pid).process_start - 0.5
    assert engine_state(lease(child.pid, process_start=earlier)) == "lost"
    assert not liveness.same_process(child.pid, earlier)
    assert child.poll() is None


def test_a_zombie_is_lost(child: subprocess.Popen[bytes]) -> None:
    row = lease(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
    assert process_start(child.pid) is None
    assert engine_state(row) == "lost"


def test_an_engine_that_does_not_exist_or_has_ended_is_none(
    child: subprocess.Popen[bytes],
) -> None:
    assert engine_state(None) == "none"
    assert engine_state(lease(child.pid, released=True)) == "none"


def test_a_stopped_process_is_stalled_once_it_is_silent(child: subprocess.Popen[bytes]) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    row = lease(child.pid)
    assert engine_state(row, now=row.heartbeat + STALE_SECONDS) == "alive"
    assert engine_state(row, now=row.heartbeat + STALE_SECONDS + 0.1) == "stalled"


def test_a_name_with_blanks_and_brackets_does_not_hide_when_a_process_started() -> None:
    odd = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'a) Z 1 (b'); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", odd])
    try:
        renamed = time.monotonic() + 10
        name = Path(f"/proc/{process.pid}/comm")
        while name.read_text() != "a) Z 1 (b\n" and time.monotonic() < renamed:
            time.sleep(0.01)
        assert name.read_text() == "a) Z 1 (b\n"
        start = process_start(process.pid)
        assert start is not None and 0 <= boot_clock() - start < 60
    finally:
        process.kill()
        process.wait()
