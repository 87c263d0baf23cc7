"""What is to be trained, what trains, what trained when, and how it failed."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import statistics
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from informer.records import Epoch, Progress, Success, UsedData
from nas_engine.store.derived import sampled
from nas_engine.store.reader import STANDS, Reader
from nas_engine.store.rows import BarRow, CurvePoint, OpenTrial, TrainingRow
from nas_engine.store.schema import storable

if TYPE_CHECKING:
    from nas_engine.store.writer import Writer
    from nas_engine.trainers.base import Ended, Load, NodeSeen, Worker


def workers(reader: Reader, search_id: int) -> list[tuple[int, float]]:
    """Return id and start of this machine's processes that train, or did for a lost engine."""
    return reader.stream(
        """SELECT DISTINCT worker_pid, worker_start FROM runs
        WHERE search_id = ? AND state = 'running' AND worker_start IS NOT NULL
        AND node = ''""",
        (search_id,),
    ).fetchall()


def training_seconds(reader: Reader, search_id: int) -> float:
    """Return for how many seconds trainings have held slots, whatever came of them."""
    (seconds,) = reader.stream(
        "SELECT coalesce(sum(spent), 0.0) FROM runs WHERE search_id = ?", (search_id,)
    ).fetchone()
    return float(seconds)


def mean_trial_seconds(reader: Reader, search_id: int) -> float | None:
    """Return how long a trial that has ended took from its first training on; None for none."""
    ((seconds,),) = reader.fetch(
        """SELECT avg(ended_at - started_at) FROM trials
        WHERE search_id = ? AND ended_at IS NOT NULL""",
        (search_id,),
    )
    return None if seconds is None else float(seconds)


def bars(reader: Reader, search_id: int, since: float = 0.0) -> list[BarRow]:
    """Return the trainings that went on after the moment `since`, in order of their start."""
    rows = reader.fetch(
        """SELECT number, seed, slot, state, started_at, ended_at, kind FROM runs
        WHERE search_id = ? AND started_at IS NOT NULL AND coalesce(ended_at, ?) >= ?
        ORDER BY started_at""",
        (search_id, since, since),
    )
    return [BarRow(*row) for row in rows]


def failures_in_a_row(reader: Reader, search_id: int) -> tuple[int, str, str]:
    """Return how many trials ended in the same class of error since the last other end.

    Returns:
        Their number, their class and the last one's error. What came before a person last
        resumed the search does not count, nor does what a person or a pruner ended.
    """
    rows = reader.stream(
        """SELECT t.state, t.error_class, t.error
        FROM verdicts v JOIN trials t USING (search_id, number)
        JOIN searches s ON s.id = v.search_id
        WHERE v.search_id = ? AND v.id > s.forgiven AND t.state NOT IN ('stopped', 'pruned')
        ORDER BY v.id DESC""",
        (search_id,),
    )
    count, kind, last = 0, "", ""
    for state, error_class, error in rows:
        if state not in ("failed", "crashed") or (count and error_class != kind):
            break
        count, kind, last = count + 1, error_class, last or error
    return count, kind, last


def open_trials(reader: Reader, search_id: int) -> list[OpenTrial]:
    """Return the trials that have not ended, in the order in which they are to be trained."""
    return reader.rows(
        OpenTrial,
        """SELECT t.number, t.state, t.priority, t.stopping, p.drafted
        FROM trials t JOIN proposals p ON p.id = t.proposal_id
        WHERE t.search_id = ? AND t.ended_at IS NULL
        ORDER BY t.state = 'running' DESC, t.priority DESC, t.number""",
        (search_id,),
    )


def training(reader: Reader, search_id: int) -> list[TrainingRow]:
    """Return what trains now, by slot."""
    return reader.rows(
        TrainingRow,
        """SELECT r.number, r.seed, r.attempt, r.slot, r.worker_pid, r.epoch, r.step, r.steps,
        CASE r.kind WHEN 'scratch' THEN json_extract(p.config, '$."training.epochs"')
            ELSE r.epochs END AS epochs,
        (SELECT avg(e.seconds) FROM epochs e WHERE e.run_id = r.id) AS epoch_seconds,
        r.started_at, r.cpu_percent, r.memory_mb, r.peak_memory_mb, r.gpu_percent,
        r.gpu_memory_mb, coalesce((SELECT n.name FROM nodes n
        WHERE n.search_id = r.search_id AND n.node = r.node), r.node) AS node, r.kind
        FROM runs r JOIN trials t USING (search_id, number)
        JOIN proposals p ON p.id = t.proposal_id
        WHERE r.search_id = ? AND r.state = 'running'
        AND t.state = 'running' AND t.ended_at IS NULL ORDER BY r.slot, r.id""",
        (search_id,),
    )


def curves(reader: Reader, keys: Sequence[tuple[int, int]]) -> list[CurvePoint]:
    """Return the epochs of the runs that stand for these (search, number), in order of both.

    They are plain tuples: for charts of hundreds of trials.
    """
    return reader.fetch(
        f"""SELECT t.search_id, t.number, e.epoch, e.train_loss, e.val_mse, e.val_mae
        FROM json_each(?) k CROSS JOIN trials t
        ON t.search_id = json_extract(k.value, '$[0]')
        AND t.number = json_extract(k.value, '$[1]')
        JOIN epochs e ON e.run_id = {STANDS} ORDER BY 1, 2, 3""",  # noqa: S608
        (json.dumps([list(key) for key in keys]),),
    )


def begin_run(
    writer: Writer,
    search_id: int,
    number: int,
    seed: int,
    inherited_from: int | None = None,
    epochs: int | None = None,
) -> int:
    """Book a training before it starts, drop what an unfinished attempt left, return its id.

    Args:
        writer: of the engine of the search.
        search_id: the search.
        number: the trial.
        seed: of the training.
        inherited_from: the trial with whose weights it begins; None: it begins from scratch.
        epochs: that it has at most, where that is not what the trial's configuration says.
    """
    with writer.transaction():
        now = time.time()
        kind = "scratch" if inherited_from is None else "inherited"
        row = writer.execute(
            """INSERT INTO runs (search_id, number, seed, started_at, kind, inherited_from,
            epochs) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (search_id, number, seed, kind) DO UPDATE SET attempt = attempt + 1,
            state = 'running', error_class = '', error = '', epoch = NULL, step = NULL,
            steps = NULL, ended_at = NULL, inherited_from = excluded.inherited_from,
            epochs = excluded.epochs RETURNING id""",
            (search_id, number, seed, now, kind, inherited_from, epochs),
        )
        assert row is not None
        writer.execute("DELETE FROM epochs WHERE run_id = ?", (row[0],))
        writer.execute(
            """UPDATE trials SET state = 'running', started_at = coalesce(started_at, ?)
            WHERE search_id = ? AND number = ?""",
            (now, search_id, number),
        )
        return int(row[0])


def set_worker(writer: Writer, run_id: int, worker: Worker) -> None:
    """Record which process trains the run, and in which slot."""
    writer.execute(
        "UPDATE runs SET worker_pid = ?, worker_start = ?, slot = ?, node = ? WHERE id = ?",
        (worker.pid, worker.process_start, worker.slot, worker.node, run_id),
    )


def add_metrics(
    writer: Writer,
    search_id: int,
    number: int,
    run_id: int,
    records: Iterable[Progress | Epoch],
    seconds: float = 0.0,
) -> None:
    """Store what a worker reported in the `seconds` since the last call, and log its epochs."""
    kept, now = list(records), time.time()

    def store(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE runs SET spent = spent + ? WHERE id = ?", (seconds, run_id))
        for record in kept:
            if isinstance(record, Progress):
                connection.execute(
                    "UPDATE runs SET epoch = ?, step = ?, steps = ? WHERE id = ?",
                    (record.epoch, record.step, record.steps, run_id),
                )
                continue
            connection.execute(
                """INSERT OR REPLACE INTO epochs
                (run_id, epoch, train_loss, val_mse, val_mae, lr, seconds)
                VALUES (:run, :epoch, :train_loss, :val_mse, :val_mae, :lr, :seconds)""",
                record.model_dump(exclude={"kind"}) | {"run": run_id},
            )
            connection.execute(
                """INSERT INTO events (search_id, number, level, text, created_at)
                SELECT search_id, number, 'debug', 'Trial ' || number || CASE kind
                    WHEN 'inherited' THEN ' with inherited weights' ELSE '' END || ?, ?
                FROM runs WHERE id = ?""",
                (f", {_told(record)}", now, run_id),
            )

    writer.report(store)


def set_load(writer: Writer, run_id: int, load: Load) -> None:
    """Record what the worker of a run takes now, in megabytes of 10^6 bytes, and its peak."""
    memory, on_gpu = load.memory / 1e6, load.gpu_memory and load.gpu_memory / 1e6
    writer.report(
        lambda connection: connection.execute(
            """UPDATE runs SET cpu_percent = ?1, memory_mb = ?2,
            peak_memory_mb = max(coalesce(peak_memory_mb, 0), ?2), gpu_percent = ?3,
            gpu_memory_mb = ?4 WHERE id = ?5""",
            (load.cpu_percent, memory, load.gpu_percent, on_gpu, run_id),
        )
    )


def see_nodes(writer: Writer, search_id: int, seen: Iterable[NodeSeen]) -> None:
    """Record the machines of a cluster as they are now; those that are not named are lost."""
    rows = [(search_id, *dataclasses.astuple(node), time.time()) for node in seen]

    def store(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE nodes SET alive = 0 WHERE search_id = ?", (search_id,))
        connection.executemany(
            """INSERT INTO nodes (search_id, node, name, alive, cpus, gpus, cpu_percent,
            memory_mb, memory_total_mb, gpu_percent, gpu_memory_mb, seen_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 / 1e6, ?9 / 1e6, ?10, ?11 / 1e6, ?12)
            ON CONFLICT (search_id, node) DO UPDATE SET name = ?3, alive = ?4, cpus = ?5,
            gpus = ?6, cpu_percent = ?7, memory_mb = ?8 / 1e6,
            memory_total_mb = coalesce(?9 / 1e6, memory_total_mb), gpu_percent = ?10,
            gpu_memory_mb = ?11 / 1e6, seen_at = iif(?4, ?12, seen_at)""",
            rows,
        )

    writer.report(store)


def complete(
    writer: Writer,
    search_id: int,
    number: int,
    run_id: int,
    result: Success,
    data: UsedData | None = None,
    flops: int | None = None,
) -> None:
    """Record the result of a training that ended well; the trial has the mean of its runs.

    One that began with the weights of another trial changes nothing of the trial.

    Args:
        writer: of the engine of the search.
        search_id: the search.
        number: the trial.
        run_id: the training.
        result: its result.
        data: what it saw; None where it left no record of that.
        flops: of the forecast of one window; None where they are not known.
    """
    with writer.transaction():
        kind = writer.execute(
            """UPDATE runs SET state = 'completed', val_mse = :val_mse, val_mae = :val_mae,
            test_mse = :test_mse, test_mae = :test_mae, best_epoch = :best_epoch,
            epochs = :epochs, parameters = :parameters, seconds = :seconds, device = :device,
            latency_ms = :latency_ms, flops = :flops,
            peak_memory_mb = coalesce(:memory_mb, peak_memory_mb),
            inherited_share = :inherited_share, data_sha256 = :data, ended_at = :now
            WHERE id = :run RETURNING kind""",
            result.model_dump(exclude={"status"})
            | {
                "run": run_id,
                "now": time.time(),
                "data": (data and data.sha256) or "",
                "flops": flops,
            },
        )
        if kind != ("scratch",):
            return
        runs = writer.read.runs(search_id, number)
        mses = [run.val_mse for run in runs if run.val_mse is not None]
        maes = [run.val_mae for run in runs if run.val_mae is not None]
        writer.execute(
            f"""UPDATE trials SET state = {_BUSY_OR} 'completed' END, val_mse = ?, val_mae = ?,
            seeds = ?, spread = ?, error_class = '', error = ''
            WHERE search_id = ? AND number = ?""",  # noqa: S608
            (
                statistics.mean(mses),
                statistics.mean(maes),
                len(mses),
                statistics.stdev(mses) if len(mses) > 1 else None,
                search_id,
                number,
            ),
        )
        _draw_spark(writer, search_id, number)


def end_without_result(
    writer: Writer,
    search_id: int,
    number: int,
    run_id: int,
    ended: Ended,
) -> None:
    """Record that a training ended without a result, and why.

    The trial is what its finished runs make it; it has this state where there are none. One
    that began with the weights of another trial changes nothing of the trial.
    """
    how = (ended.state, ended.error_class, storable(ended.message))
    with writer.transaction():
        kind = writer.execute(
            """UPDATE runs SET state = ?1, error_class = ?2, error = ?3, ended_at = ?4,
            crashes = crashes + (?1 = 'crashed'), latency_ms = ?6,
            epochs = (SELECT max(epoch) FROM epochs WHERE run_id = ?5),
            seconds = (SELECT sum(seconds) FROM epochs WHERE run_id = ?5) WHERE id = ?5
            RETURNING kind""",
            (*how, time.time(), run_id, ended.latency_ms),
        )
        if kind != ("scratch",):
            return
        writer.execute(
            f"""UPDATE trials SET state = {_BUSY_OR} 'completed' END
            WHERE search_id = ? AND number = ? AND seeds > 0""",  # noqa: S608
            (search_id, number),
        )
        writer.execute(
            f"""UPDATE trials SET state = {_BUSY_OR} ? END, error_class = ?, error = ?
            WHERE search_id = ? AND number = ? AND seeds = 0""",  # noqa: S608
            (*how, search_id, number),
        )
        _draw_spark(writer, search_id, number)


def give_up(writer: Writer, search_id: int, number: int, why: str) -> None:
    """End a trial that is not trained from scratch, as it is not expected to compare."""
    writer.execute(
        """UPDATE trials SET state = 'pruned', error_class = '', error = ?
        WHERE search_id = ? AND number = ?""",
        (storable(why), search_id, number),
    )


def _draw_spark(writer: Writer, search_id: int, number: int) -> None:
    """Keep a few points of the learning curve that stands for the trial."""
    curve = [row.val_mse for row in writer.read.epochs(search_id, [number])]
    writer.execute(
        "UPDATE trials SET spark = ? WHERE search_id = ? AND number = ?",
        (json.dumps(sampled(curve)), search_id, number),
    )


def _told(epoch: Epoch) -> str:
    loss, error = (
        "not finite" if value is None else f"{value:.4g}"
        for value in (epoch.train_loss, epoch.val_mse)
    )
    return f"epoch {epoch.epoch}: train_loss {loss}, val_mse {error}, {epoch.seconds:.1f} s."


_BUSY_OR = """CASE WHEN EXISTS (SELECT 1 FROM runs r WHERE r.search_id = trials.search_id
    AND r.number = trials.number AND r.state = 'running') THEN 'running' ELSE"""
"""The state of a trial of which another training is still under way."""
