"""`python -m tests.chaos.leases --rounds 20`: one search has one engine, whatever happens.

Many processes that want a search at the same moment give one winner. One that was stopped for
longer than its lease, and wakes up when another has taken over, writes nothing more and ends. A
jump of the wall clock takes the lease from nobody.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import click

from informer.records import Epoch
from nas_engine import engine
from nas_engine.commands import Control, Start, send
from nas_engine.planners.base import first_proposal
from nas_engine.search import SearchSpec
from nas_engine.store import proposing, trainings
from nas_engine.store import writer as store
from nas_engine.store.writer import LeaseLost, Writer
from nas_engine.workspace import Workspace
from tests.chaos.compare import broken
from tests.chaos.forks import end, ended_within, fast_folder, fork
from tests.chaos.play import import_all, run_engine
from tests.chaos.searches import kind

CONTENDERS = 20
LATE_WRITES = 50
EXIT_SECONDS = 2.0
"""In which an engine that was replaced ends by itself, where the machine has time for it."""
PATIENCE_SECONDS = 60.0
SHORT_LEASE = 0.3
JUMPS = (1, -1, 24 * 365)
"""Hours by which the wall clock jumps."""
SLOW = kind(3, epoch_seconds=0.1)


def race(rounds: int, root: Path) -> Iterator[str]:
    """Yield a sentence for each round in which not exactly one of many takes the lease."""
    for number in range(rounds):
        workspace = _with_search(root / f"race-{number}")
        waiting, go = os.pipe()
        hearing, telling = os.pipe()
        contend = partial(_contend, workspace, waiting, go, telling)
        pids = [fork(contend, root / "race.log") for _ in range(CONTENDERS)]
        _hear(hearing, CONTENDERS)
        os.close(go)
        said = _hear(hearing, CONTENDERS)
        for pid in pids:
            end(pid)
        for pipe in (waiting, hearing, telling):
            os.close(pipe)
        if said.count(b"W") != 1:
            yield f"round {number}: {said.count(b'W')} of {CONTENDERS} took the lease"


def _contend(workspace: Workspace, waiting: int, go: int, telling: int) -> None:
    os.close(go)
    writer = Writer(workspace)
    os.write(telling, b"r")
    os.read(waiting, 1)  # until nobody holds the other end any more
    try:
        writer.take_lease(1)
        os.write(telling, b"W")
    except LeaseLost:
        os.write(telling, b"l")
    signal.pause()  # a winner that ended would leave its place to the next


def _hear(pipe: int, count: int) -> bytes:
    said = b""
    while len(said) < count:
        said += os.read(pipe, count - len(said))
    return said


def late_writes(rounds: int, root: Path) -> Iterator[str]:
    """Yield a sentence for each round in which a process writes after it was replaced."""
    for number in range(rounds):
        workspace = _with_search(root / f"late-{number}")
        pid = fork(partial(_write_late, workspace), root / "late.log")
        os.waitpid(pid, os.WUNTRACED)  # it has stopped itself, with the lease in its hand
        with _short_leases():
            time.sleep(SHORT_LEASE * 1.1)
            successor = Writer(workspace)
            successor.take_lease(1)
        before = _content(workspace)
        os.kill(pid, signal.SIGCONT)
        landed = ended_within(pid, PATIENCE_SECONDS)
        successor.close()
        if landed != 0 or _content(workspace) != before:
            yield f"round {number}: {landed} of {LATE_WRITES} late writes landed"


def _write_late(workspace: Workspace) -> int:
    """Return how many writes succeed after the lease was lost."""
    writer = Writer(workspace)
    writer.take_lease(1)
    run = trainings.begin_run(writer, 1, 0, 1)
    epoch = Epoch(epoch=1, train_loss=1.0, val_mse=1.0, val_mae=1.0, lr=0.1, seconds=1.0)
    writes: list[Callable[[], object]] = [
        lambda: writer.beat(1.0),
        lambda: writer.log(1, "late"),
        lambda: writer.set_search_state(1, "completed"),
        lambda: trainings.begin_run(writer, 1, 0, 2),
        lambda: trainings.add_metrics(writer, 1, 0, run, [epoch]),
    ]
    os.kill(os.getpid(), signal.SIGSTOP)
    landed = 0
    for number in range(LATE_WRITES):
        try:
            writes[number % len(writes)]()
            landed += 1
        except LeaseLost:
            continue
    return landed


def woken_engines(rounds: int, root: Path, exit_seconds: float) -> Iterator[str]:
    """Yield a sentence for each round in which an engine that was replaced does not give up."""
    for number in range(rounds):
        folder = root / f"woken-{number}"
        folder.mkdir()
        workspace, log = Workspace(folder / "nas.db"), folder / "engine.log"
        start = send(workspace, Start(spec=SLOW.spec))
        old = fork(partial(run_engine, workspace, SLOW, start), log)
        _until(workspace, "SELECT count(*) > 1 FROM runs")
        _hold_up_between_writes(old, workspace)
        time.sleep(SHORT_LEASE * 1.1)
        resume = send(workspace, Control(kind="resume"), 1)
        new = fork(partial(_replace, workspace, resume), log)
        _until(workspace, "SELECT token = 2 FROM engines")
        os.kill(old, signal.SIGCONT)
        code = ended_within(old, exit_seconds)
        if code is None:
            end(old)
            yield f"round {number}: the replaced engine lived on for {exit_seconds:g} s"
        elif code == 0:
            yield f"round {number}: the replaced engine ended as if nothing had happened"
        if ended_within(new, PATIENCE_SECONDS) != 0:
            yield f"round {number}: the new engine did not finish the search"
        else:
            yield from (f"round {number}: {problem}" for problem in broken(workspace))


def _hold_up_between_writes(pid: int, workspace: Workspace) -> None:
    """Stop a process when it does not hold the database, where nobody could replace it."""
    connection = sqlite3.connect(workspace.db, timeout=0.05, isolation_level=None)
    while True:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.01)
        else:
            connection.execute("ROLLBACK")
            connection.close()
            return


def _replace(workspace: Workspace, command_id: int) -> None:
    """Be an engine that cannot kill the one before: all that holds that back is its lease."""
    engine._clear_away = lambda *_: None
    with _short_leases():
        run_engine(workspace, SLOW, command_id)


def _until(workspace: Workspace, query: str) -> None:
    """Wait until a query on the database says so."""
    connection = sqlite3.connect(workspace.db, timeout=PATIENCE_SECONDS)
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while connection.execute(query).fetchone() != (1,):
            assert time.monotonic() < deadline, f"it never came to: {query}"
            time.sleep(0.005)
    finally:
        connection.close()


def jumping_clocks(root: Path) -> Iterator[str]:
    """Yield a sentence for each jump of the wall clock by which a living engine loses its lease."""
    workspace = _with_search(root / "clocks")
    holder = fork(partial(_hold, workspace), root / "clocks.log")
    os.waitpid(holder, os.WUNTRACED)
    os.kill(holder, signal.SIGCONT)
    for hours in JUMPS:
        contender = fork(partial(_contend_at, workspace, hours), root / "clocks.log")
        if ended_within(contender, PATIENCE_SECONDS) != 0:
            yield f"at a jump of {hours} h another engine took the place of one that lives"
    end(holder)


def _hold(workspace: Workspace) -> None:
    writer = Writer(workspace)
    writer.take_lease(1)
    os.kill(os.getpid(), signal.SIGSTOP)  # until the parent has seen that the lease is taken
    while True:
        writer.beat(0.0)
        time.sleep(0.05)


def _contend_at(workspace: Workspace, hours: float) -> int:
    clock = time.time
    time.time = lambda: clock() + 3600 * hours
    try:
        Writer(workspace).take_lease(1)
    except LeaseLost:
        return 0
    return 1


def _with_search(folder: Path) -> Workspace:
    folder.mkdir()
    workspace = Workspace(folder / "nas.db")
    writer = Writer(workspace)
    spec = SearchSpec()
    writer.open_search(spec)
    proposing.propose(writer, 1, 0, first_proposal(), spec.base())
    writer.close()
    return workspace


@contextmanager
def _short_leases() -> Iterator[None]:
    with patch.object(store, "LEASE_SECONDS", SHORT_LEASE):
        yield


def _content(workspace: Workspace) -> list[str]:
    connection = sqlite3.connect(workspace.db)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


@click.command(help=__doc__)
@click.option("--rounds", default=20)
@click.option("--exit-seconds", default=EXIT_SECONDS, help="That a replaced engine may live on.")
def main(rounds: int, exit_seconds: float) -> None:
    """Try all of it."""
    import_all()
    failures = 0
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        root = Path(folder)
        for what, problems in (
            (f"{CONTENDERS} engines at once", race(rounds, root)),
            (f"{LATE_WRITES} writes after a takeover", late_writes(rounds, root)),
            ("engines that wake up", woken_engines(rounds, root, exit_seconds)),
            ("jumps of the wall clock", jumping_clocks(root)),
        ):
            begun, found = time.monotonic(), list(problems)
            failures += len(found)
            click.echo(f"{what}: {len(found)} failures, {time.monotonic() - begun:.1f} s")
            for problem in found:
                click.echo(f"FAILED {what}, {problem}")
    raise SystemExit(failures > 0)


if __name__ == "__main__":
    main()
