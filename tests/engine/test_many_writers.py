"""Many threads that write at once: each gets its turn, reports are gathered, none is lost."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from informer.records import Epoch, Progress, Success
from nas_engine.evaluator import Verdict, decide
from nas_engine.proposals import Proposal
from nas_engine.store import judging, proposing, trainings
from nas_engine.store.known import KnownTrials
from nas_engine.store.reader import Reader
from nas_engine.store.rows import TrialRow
from nas_engine.store.together import Turn
from nas_engine.store.writer import LeaseLost, Writer
from nas_engine.trainers.base import Load
from nas_engine.workspace import Workspace
from tests.engine.storing import SPEC

SLOTS = 24
EPOCHS = 5


def with_runs(writer: Writer, count: int) -> tuple[int, list[int]]:
    """Return the ids of a search and of a run of each of its trials."""
    search_id = writer.open_search(SPEC)
    runs = []
    for number in range(count):
        changes = {"training.optimizer_params.lr": 1e-4 * (1 + number)} if number else {}
        parent = 0 if number else None
        proposal = Proposal(source="random", parent=parent, changes=changes, hypothesis="A try.")
        config = SPEC.base().with_changes(changes)
        proposing.propose(writer, search_id, number, proposal, config)
        runs.append(trainings.begin_run(writer, search_id, number, seed=1))
    return search_id, runs


def epoch(number: int) -> Epoch:
    return Epoch(epoch=number, train_loss=0.5, val_mse=0.4, val_mae=0.4, lr=1e-3, seconds=1.0)


@contextmanager
def counted_transactions(writer: Writer) -> Iterator[list[str]]:
    """Give the transactions of reports."""
    begun: list[str] = []
    connection = writer._metrics.conn
    connection.set_trace_callback(lambda sql: begun.append(sql) if "BEGIN" in sql else None)
    try:
        yield begun
    finally:
        connection.set_trace_callback(None)


def test_reports_of_many_slots_share_transactions_and_each_is_there_when_it_returns(
    workspace: Workspace,
) -> None:
    first = Writer(workspace)
    search_id, runs = with_runs(first, SLOTS)
    first.gather(256)
    begin, missing = threading.Barrier(SLOTS), list[str]()

    def train(number: int) -> None:
        writer = first.another()
        begin.wait()
        for at in range(1, EPOCHS + 1):
            trainings.add_metrics(writer, search_id, number, runs[number], [epoch(at)], seconds=1.0)
            trainings.set_load(writer, runs[number], Load(100.0, at * 10**6))
            if len(writer.read.epochs(search_id, [number])) != at:
                missing.append(f"epoch {at} of trial {number}")
        writer.close()

    with counted_transactions(first) as begun, ThreadPoolExecutor(SLOTS) as threads:
        list(threads.map(train, range(SLOTS)))
    assert missing == []
    assert len(first.read.epochs(search_id)) == SLOTS * EPOCHS
    assert trainings.training_seconds(first.read, search_id) == SLOTS * EPOCHS
    assert {first.read.runs(search_id, n)[0].peak_memory_mb for n in range(SLOTS)} == {EPOCHS}
    assert len(begun) < SLOTS * EPOCHS, "each report had a transaction of its own"
    first.close()


def test_one_slot_waits_for_nobody(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("nas_engine.store.together.time.sleep", slept.append)
    writer = Writer(workspace)
    search_id, (run,) = with_runs(writer, 1)
    for at in range(1, 4):
        trainings.add_metrics(
            writer, search_id, 0, run, [Progress(epoch=at, step=1, steps=2), epoch(at)]
        )
    assert sum(slept) == 0
    writer.close()


def test_a_report_that_cannot_be_written_is_told_to_all_that_brought_one(
    workspace: Workspace,
) -> None:
    first = Writer(workspace)
    search_id, runs = with_runs(first, 4)
    first.take_lease(search_id)
    first.gather(256)
    writers = [first.another() for _ in runs]
    first.execute("UPDATE engines SET token = token + 1")  # another engine has taken over

    def report(number: int) -> bool:
        try:
            trainings.add_metrics(writers[number], search_id, number, runs[number], [epoch(1)])
        except LeaseLost:
            return True
        return False

    first.lease = None
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(report, range(4))) == [True] * 4
    assert first.read.epochs(search_id) == []
    for writer in (*writers, first):
        writer.close()


def test_a_report_that_nobody_could_write_fails_alone(workspace: Workspace) -> None:
    first = Writer(workspace)
    search_id, runs = with_runs(first, SLOTS)
    first.gather(256)  # so that all of them are gathered
    begin = threading.Barrier(SLOTS)

    def failed(number: int) -> bool:
        writer, run = first.another(), 2**70 if number % 8 == 3 else runs[number]
        begin.wait()
        try:
            trainings.add_metrics(writer, search_id, number, run, [epoch(1)])
        except OverflowError:
            return True
        finally:
            writer.close()
        return False

    with ThreadPoolExecutor(SLOTS) as threads:
        found = list(threads.map(failed, range(SLOTS)))
    assert found == [number % 8 == 3 for number in range(SLOTS)]
    kept = [bool(first.read.epochs(search_id, [number])) for number in range(SLOTS)]
    assert kept == [not each for each in found]
    first.close()


def test_what_is_urgent_has_the_next_turn_and_the_others_theirs_in_order() -> None:
    turn, order = Turn(), list[str]()

    def take(name: str, urgent: bool) -> None:
        with turn.taken(urgent), turn.taken():  # the second is the same turn
            order.append(name)

    with turn.taken():
        threads = []
        for name, urgent in (("a", False), ("b", False), ("heartbeat", True), ("c", False)):
            threads.append(threading.Thread(target=take, args=(name, urgent)))
            threads[-1].start()
            while len(turn._waiting) < len(threads):
                pass
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["heartbeat", "a", "b", "c"]


def test_a_turn_is_handed_on_after_an_error() -> None:
    turn = Turn()
    with pytest.raises(sqlite3.OperationalError), turn.taken():
        raise sqlite3.OperationalError("database is locked")
    with turn.taken():
        pass


class Asked(Reader):
    """Notes how many trials it was asked for in full."""

    counted = 0

    def listed(self, keys: Sequence[tuple[int, int]]) -> list[TrialRow]:
        Asked.counted += len(keys)
        return super().listed(keys)


def test_what_has_ended_is_read_once_and_anew_where_it_is_trained_again(
    workspace: Workspace,
) -> None:
    writer = Writer(workspace)
    search_id, runs = with_runs(writer, 4)
    result = Success(
        val_mse=0.4,
        val_mae=0.4,
        test_mse=0.4,
        test_mae=0.4,
        best_epoch=1,
        epochs=1,
        parameters=10,
        seconds=1.0,
        device="cpu",
    )

    def end(number: int) -> None:
        trainings.complete(writer, search_id, number, runs[number], result)
        verdict = decide(judging.figures(writer.read, search_id, number), SPEC.rules)
        assert isinstance(verdict, Verdict)
        judging.save_verdict(writer, search_id, number, verdict)

    known, reader = KnownTrials(search_id), Asked(writer._db.conn)

    def read() -> int:
        """Return how many rows were read to know what all of them are now."""
        Asked.counted = 0
        found = known.read(reader)
        asked = Asked.counted
        assert found == writer.read.trials(search_id)
        return asked

    for number in (0, 1):
        end(number)
    assert read() == 4
    assert read() == 2, "those that train are read again"
    end(2)
    assert (read(), read()) == (2, 1)
    writer.reopen(search_id, 1, "alex", wanted=2)
    assert (read(), read()) == (2, 2)
    writer.touch(search_id, 0)
    assert (read(), read()) == (3, 2)
    writer.close()
