"""Kills, locks, full disks and bad files: nothing acknowledged is lost, and a sentence says why."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from informer.records import Epoch, Success
from informer.rundir import RunDir
from nas_engine import engine, graph  # graph: loaded once, before the forks
from nas_engine.api import AgentState, load_agent_state
from nas_engine.cli.main import main
from nas_engine.commands import Control, Start, send
from nas_engine.settings import load_settings
from nas_engine.store import schema, trainings, wishes
from nas_engine.store.reader import reading
from nas_engine.store.schema import StoreError
from nas_engine.store.writer import Writer
from nas_engine.trainers.base import Ended, Watch
from nas_engine.workspace import Workspace
from tests.engine.conftest import ONE_SEED, Bench
from tests.engine.storing import SPEC, forked, intact, with_a_run
from tests.fakes.trainer import FakeTrainer

assert graph.RETRIES  # imported for what it loads
KILLS = 50
LIMITS = 20
COPIES = 10


def epoch(number: int) -> Epoch:
    return Epoch(epoch=number, train_loss=0.5, val_mse=0.5, val_mae=0.5, lr=1e-3, seconds=1.0)


def stored(workspace: Workspace, search_id: int) -> tuple[set[str], set[int]]:
    """Return the log's lines of people and the epochs."""
    with reading(workspace) as reader:
        assert reader is not None
        told = {row.text for row in reader.events(search_id, 10**6) if row.level == "info"}
        return told, {row.epoch for row in reader.epochs(search_id)}


def test_a_writer_that_is_killed_at_any_instant_loses_nothing_that_it_had_acknowledged(
    workspace: Workspace, record_property: Callable[[str, object], None]
) -> None:
    search_id, run_id = with_a_run(workspace)
    moments = random.Random(5)
    acknowledged: set[int] = set()
    for attempt in range(KILLS):
        readable, writable = os.pipe()

        def write(first: int = 1000 * attempt, to: int = writable) -> None:
            writer = Writer(workspace)
            for number in range(first, first + 1000):
                writer.log(search_id, str(number))
                trainings.add_metrics(writer, search_id, 0, run_id, [epoch(number)])
                os.write(to, b"%d\n" % number)

        pid = forked(write)
        os.close(writable)
        assert os.read(readable, 1), "the writer has begun"
        time.sleep(0.03 * moments.random())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with os.fdopen(readable, "rb") as pipe:
            rest = pipe.read()
        acknowledged |= {1000 * attempt, *map(int, rest.split()[1:])}
    told, epochs = stored(workspace, search_id)
    assert len(acknowledged) > KILLS
    assert {str(number) for number in acknowledged} <= told
    assert acknowledged <= epochs
    assert intact(workspace.db)
    record_property("faults", KILLS)


# -- locked -------------------------------------------------------------------------------------


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Have another process hold the write lock until the function that is yielded is called."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); "
        "print(flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None and holder.stdout is not None
    holder.stdout.readline()

    def release() -> None:
        holder.communicate()

    try:
        yield release
    finally:
        if holder.poll() is None:
            release()


def test_writers_wait_for_a_lock_and_pages_do_not(workspace: Workspace) -> None:
    search_id, run_id = with_a_run(workspace)

    def write(first: int) -> None:
        writer = Writer(workspace)
        for number in range(first, first + 10):
            writer.log(search_id, str(number))
            trainings.add_metrics(writer, search_id, 0, run_id, [epoch(number)])
        writer.close()

    threads = [threading.Thread(target=write, args=(10 * place,)) for place in range(4)]
    with locked(workspace.db) as release:
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert stored(workspace, search_id) == (set(), set())  # read while it is locked
        release()
    for thread in threads:
        thread.join()
    assert stored(workspace, search_id) == ({str(n) for n in range(40)}, set(range(40)))


def test_a_command_to_a_database_that_stays_locked_is_refused_in_a_sentence(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_id, _ = with_a_run(workspace)
    monkeypatch.setattr(schema, "LOCK_SECONDS", 0.1)
    with locked(workspace.db):
        with pytest.raises(StoreError, match="was held by another program for"):
            send(workspace, Control(kind="pause"), search_id)
        result = CliRunner().invoke(main, ["pause", str(search_id), "--db", str(workspace.db)])
        assert result.exit_code == 2 and "was held by another program" in result.output
    with reading(workspace) as reader:
        assert reader is not None and wishes.commands(reader, search_id) == []


def outcome(state: AgentState) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.config, t.val_mse, t.verdict) for t in state.trials]


@functools.cache
def undisturbed() -> list[tuple[object, ...]]:
    """Return what the search ends with when nothing happens to it."""
    with tempfile.TemporaryDirectory() as folder:
        return outcome(Bench(Workspace(Path(folder) / "nas.db")).search(**SPEC.model_dump()))


def test_a_search_survives_a_lock_that_outlasts_its_patience(
    bench: Bench,
    in_background: Callable[[int], threading.Thread],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = undisturbed()
    monkeypatch.setattr(schema, "LOCK_SECONDS", 0.1)
    bench.trainer.epoch_seconds = 0.1
    command = send(bench.workspace, Start(spec=SPEC))
    in_background(command)
    wait_for(lambda: bench.trainer.trained)
    with locked(bench.workspace.db):
        wait_for(lambda: "be written" in caplog.text)
    wait_for(lambda: load_agent_state(bench.workspace.db).search.state == "completed")
    assert outcome(load_agent_state(bench.workspace.db)) == expected


def wait_for(holds: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come about within {seconds} s"
        time.sleep(0.01)


# -- full ---------------------------------------------------------------------------------------


def test_a_writer_on_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(
    workspace: Workspace, record_property: Callable[[str, object], None]
) -> None:
    search_id, run_id = with_a_run(workspace)
    writer = Writer(workspace)
    (pages,) = writer._db.execute("PRAGMA page_count").fetchone()
    acknowledged: set[int] = set()
    refusals = 0
    for limit in range(LIMITS):
        for connection in (writer._db, writer._metrics):
            connection.execute(f"PRAGMA max_page_count = {pages + limit}")
        for number in range(100 * limit, 100 * limit + 100):
            try:
                writer.log(search_id, f"{number}".zfill(500))
                trainings.add_metrics(writer, search_id, 0, run_id, [epoch(number)])
            except sqlite3.OperationalError as error:
                assert error.sqlite_errorname == "SQLITE_FULL"
                refusals += 1
                break
            acknowledged.add(number)
    for connection in (writer._db, writer._metrics):
        connection.execute("PRAGMA max_page_count = 1000000")
    writer.log(search_id, "There is room.")
    writer.close()
    told, epochs = stored(workspace, search_id)
    assert refusals == LIMITS and acknowledged
    assert {f"{number}".zfill(500) for number in acknowledged} <= told
    assert acknowledged <= epochs and "There is room." in told
    assert intact(workspace.db)
    record_property("faults", refusals)


@pytest.mark.parametrize("room", [0, 40_000])
def test_an_engine_on_a_full_disk_waits_and_goes_on_by_itself(
    workspace: Workspace, tmp_path: Path, room: int
) -> None:
    expected = undisturbed()
    command = send(workspace, Start(spec=SPEC))
    log = tmp_path / "engine.log"
    largest = max(path.stat().st_size for path in workspace.db.parent.glob("nas.db*"))

    def serve() -> None:
        logging.basicConfig(filename=log, force=True)
        engine.serve(workspace, load_settings(), lambda slot, spec: FakeTrainer(0.1), command)

    pid = forked(serve)
    _, unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    wait_for(lambda: trials_of(workspace) > 0)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest + room, unlimited))
    wait_for(lambda: log.exists() and "written" in log.read_text())
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
    _, status = os.waitpid(pid, 0)
    assert status == 0, log.read_text()
    state = load_agent_state(workspace.db)
    assert state.search.state == "completed", state.search.reason
    assert outcome(state) == expected


def trials_of(workspace: Workspace) -> int:
    with reading(workspace) as reader:
        return 0 if reader is None else len(reader.numbers(1))


class FullDisk(FakeTrainer):
    """A trainer whose second training meets a full disk, once."""

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        if len(self.trained) == 1:
            self.trained.append(run)
            return Ended("failed", "disk", f"The worker could not write to {run.path}; make room.")
        return super().train(run, watch)


def test_a_worker_that_met_a_full_disk_pauses_the_search_until_it_is_resumed(
    workspace: Workspace,
) -> None:
    bench = Bench(workspace, FullDisk())
    paused = bench.search(**SPEC.model_dump())
    assert paused.search.state == "paused" and "make room" in paused.search.reason
    assert paused.trials[1].ended_at is None
    assert bench.give(Control(kind="resume"), 1).state == "applied"
    assert outcome(load_agent_state(workspace.db)) == undisturbed()


def test_a_search_that_the_disk_has_no_room_for_is_refused_with_both_figures(
    bench: Bench,
) -> None:
    spec = SPEC.model_copy(update={"preset": "paper", "max_trials": 100_000})
    answer = bench.give(Start(spec=spec))
    assert answer.state == "refused"
    assert "GB free, and the next 1,000 trials should have" in answer.answer


# -- copied -------------------------------------------------------------------------------------


def test_a_copy_made_while_somebody_writes_has_all_that_was_acknowledged_before(
    workspace: Workspace, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    search_id, _ = with_a_run(workspace)
    readable, writable = os.pipe()

    def write() -> None:
        writer = Writer(workspace)
        for number in itertools.count():
            writer.log(search_id, str(number))
            os.write(writable, b"%d\n" % number)

    pid = forked(write)
    try:
        os.close(writable)
        with os.fdopen(readable, "rb") as pipe:
            for attempt in range(COPIES):
                acknowledged = int(pipe.readline())
                copy = tmp_path / f"{attempt}.db"
                arguments = ["backup", str(copy), "--db", str(workspace.db)]
                result = CliRunner().invoke(main, arguments)
                assert result.exit_code == 0, result.output
                assert intact(copy)
                told, _ = stored(Workspace(copy), search_id)
                assert {str(number) for number in range(acknowledged + 1)} <= told
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    again = CliRunner().invoke(main, ["backup", str(copy), "--db", str(workspace.db)])
    assert again.exit_code == 2 and "name a new file" in again.output
    nowhere = tmp_path / "none" / "copy.db"
    lost = CliRunner().invoke(main, ["backup", str(nowhere), "--db", str(workspace.db)])
    assert lost.exit_code == 2 and str(nowhere) in lost.output
    record_property("faults", COPIES + 2)


def test_an_engine_whose_lease_cannot_be_given_back_has_ended_all_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(writer: Writer) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Writer, "release_lease", full)
    state = Bench(workspace).search(max_trials=1, rules=ONE_SEED)
    assert state.search.state == "completed"
