"""What is to be trained, what trains, what trained when, and how it failed."""

from __future__ import annotations

import json
from collections.abc import Sequence

from nas_engine.store.reader import STANDS, Reader
from nas_engine.store.rows import BarRow, CurvePoint, OpenTrial, TrainingRow


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
