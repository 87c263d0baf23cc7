"""What is kept of trainings: seeds, slots, pruning, data, inherited weights, machines."""

from __future__ import annotations

import json

from sqlite_utils import Database

_SEEDS = (
    # How each training ended, beside its figures.
    """ALTER TABLE runs ADD COLUMN state TEXT NOT NULL DEFAULT 'running'
    CHECK (state IN ('running', 'completed', 'failed', 'crashed', 'stopped'))""",
    "ALTER TABLE runs ADD COLUMN error_class TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE runs ADD COLUMN error TEXT NOT NULL DEFAULT ''",
    """UPDATE runs SET (state, error_class, error) = (
        SELECT CASE WHEN runs.val_mse IS NOT NULL THEN 'completed'
            WHEN t.state IN ('failed', 'crashed', 'stopped') THEN t.state ELSE 'running' END,
            t.error_class, t.error
        FROM trials t WHERE t.search_id = runs.search_id AND t.number = runs.number)""",
    # A trial's figures are means over its `seeds` finished trainings; `spread` is their sample
    # standard deviation of val_mse, NULL for one.
    "ALTER TABLE trials ADD COLUMN seeds INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE trials ADD COLUMN spread REAL",
    "UPDATE trials SET seeds = 1 WHERE val_mse IS NOT NULL",
    # The figures that a verdict used.
    "ALTER TABLE verdicts ADD COLUMN seeds INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE verdicts ADD COLUMN tried INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE verdicts ADD COLUMN incumbent_seeds INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE verdicts ADD COLUMN noise REAL",
    "ALTER TABLE verdicts ADD COLUMN noise_degrees INTEGER",
    "ALTER TABLE verdicts ADD COLUMN margin REAL",
    "UPDATE verdicts SET seeds = 1 WHERE value IS NOT NULL",
    "UPDATE verdicts SET incumbent_seeds = 1 WHERE incumbent_value IS NOT NULL",
)


def m004_seeds(db: Database) -> None:
    """A trial may be trained with several seeds; searches of before keep to one."""
    for statement in _SEEDS:
        db.execute(statement)
    for key, text in db.execute("SELECT id, spec FROM searches").fetchall():
        spec = json.loads(text)
        spec["rules"] = {"seeds": 1, "extra_seeds": 0} | spec.get("rules", {})
        db.execute("UPDATE searches SET spec = ? WHERE id = ?", [json.dumps(spec), key])


_SLOTS = (
    # `version` grows with every command that a person's wish has changed something by. `verdict`s
    # up to `forgiven` do not count as failures in a row: somebody has resumed the search since.
    "ALTER TABLE searches ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE searches ADD COLUMN forgiven INTEGER NOT NULL DEFAULT 0",
    # `priority` orders the queue; `round` counts how often a person had the trial trained again;
    # `wanted` is the least number of its trainings; `stopping`: a person has ended its training.
    "ALTER TABLE trials ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE trials ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE trials ADD COLUMN round INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE trials ADD COLUMN wanted INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE trials ADD COLUMN stopping INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX trials_open ON trials (search_id) WHERE ended_at IS NULL",
    # A training may be pruned, says where and when it ran, and counts the workers that it lost
    # and the seconds for which all its attempts together have held a slot.
    """
    CREATE TABLE runs_with_slots (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 1,
        crashes INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'running'
            CHECK (state IN ('running', 'completed', 'pruned', 'stopped', 'failed', 'crashed')),
        error_class TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        worker_pid INTEGER,
        worker_start REAL,
        slot INTEGER,
        started_at REAL,
        ended_at REAL,
        epoch INTEGER,
        step INTEGER,
        steps INTEGER,
        val_mse REAL,
        val_mae REAL,
        test_mse REAL,
        test_mae REAL,
        best_epoch INTEGER,
        epochs INTEGER,
        parameters INTEGER,
        seconds REAL,
        spent REAL NOT NULL DEFAULT 0,
        device TEXT,
        UNIQUE (search_id, number, seed),
        FOREIGN KEY (search_id, number) REFERENCES trials(search_id, number)
    ) STRICT
    """,
    """
    INSERT INTO runs_with_slots (id, search_id, number, seed, attempt, state, error_class, error,
        worker_pid, epoch, step, steps, val_mse, val_mae, test_mse, test_mae, best_epoch, epochs,
        parameters, seconds, spent, device)
    SELECT id, search_id, number, seed, attempt, state, error_class, error,
        worker_pid, epoch, step, steps, val_mse, val_mae, test_mse, test_mae, best_epoch, epochs,
        parameters, seconds, coalesce(seconds, 0), device FROM runs
    """,
    "DROP TABLE runs",
    "ALTER TABLE runs_with_slots RENAME TO runs",
    # Verdicts are numbered in the order in which they were reached; a trial that a person had
    # trained again is judged anew, in a later `round`.
    """
    CREATE TABLE verdicts_in_order (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        search_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        round INTEGER NOT NULL DEFAULT 0,
        accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)),
        rule TEXT NOT NULL,
        value REAL,
        seeds INTEGER NOT NULL DEFAULT 0,
        tried INTEGER NOT NULL DEFAULT 1,
        incumbent INTEGER,
        incumbent_value REAL,
        incumbent_seeds INTEGER NOT NULL DEFAULT 0,
        noise REAL,
        noise_degrees INTEGER,
        improvement REAL,
        margin REAL,
        sentence TEXT NOT NULL,
        opinion TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        UNIQUE (search_id, number),
        FOREIGN KEY (search_id, number) REFERENCES trials(search_id, number)
    ) STRICT
    """,
    """
    INSERT INTO verdicts_in_order (search_id, number, accepted, rule, value, seeds, tried,
        incumbent, incumbent_value, incumbent_seeds, noise, noise_degrees, improvement, margin,
        sentence, opinion, created_at)
    SELECT search_id, number, accepted, rule, value, seeds, tried, incumbent, incumbent_value,
        incumbent_seeds, noise, noise_degrees, improvement, margin, sentence, opinion, created_at
    FROM verdicts ORDER BY rowid
    """,
    "DROP TABLE verdicts",
    "ALTER TABLE verdicts_in_order RENAME TO verdicts",
    # The lease: which process runs a search, and when it last showed that it lives, in seconds of
    # the machine's own clock since the start that `boot` names. Each new lease has a higher
    # `token`, and an engine writes only while its token stands here.
    "DROP TABLE engines",
    """
    CREATE TABLE engines (
        search_id INTEGER PRIMARY KEY REFERENCES searches(id),
        token INTEGER NOT NULL,
        boot TEXT NOT NULL,
        pid INTEGER NOT NULL,
        process_start REAL NOT NULL,
        started_at REAL NOT NULL,
        heartbeat REAL NOT NULL,
        released INTEGER NOT NULL DEFAULT 0 CHECK (released IN (0, 1))
    ) STRICT
    """,
)


def m006_slots(db: Database) -> None:
    """Several trials at once, pruning, acts of people on trials, leases that cannot be mistaken."""
    for statement in _SLOTS:
        db.execute(statement)


def m011_data(db: Database) -> None:
    """Say which data a search and each training saw, and where a search was imported from.

    `data` is the JSON of an `informer.records.UsedData`; '' where it is not known. `origin` is a
    sentence; '' for a search of this workspace.
    """
    for statement in (
        "ALTER TABLE searches ADD COLUMN data TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE searches ADD COLUMN origin TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN data_sha256 TEXT NOT NULL DEFAULT ''",
    ):
        db.execute(statement)


_RUN_COLUMNS = """id, search_id, number, seed, attempt, crashes, state, error_class, error,
    worker_pid, worker_start, slot, started_at, ended_at, epoch, step, steps, val_mse, val_mae,
    test_mse, test_mae, best_epoch, epochs, parameters, seconds, spent, device, cpu_percent,
    memory_mb, peak_memory_mb, gpu_percent, gpu_memory_mb, data_sha256"""

_MANY = (
    # What the data of a search are like: the JSON of a `data.traits.Traits`, '' where that is not
    # known. What it learns from earlier searches, taken when it began: the JSON of a
    # `nas_engine.lessons.Lessons`, '' where there is none.
    "ALTER TABLE searches ADD COLUMN traits TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE searches ADD COLUMN lessons TEXT NOT NULL DEFAULT ''",
    # A training begins from scratch, or with the weights of the trial `inherited_from`, which then
    # are `inherited_share` of its own. `latency_ms` is of a batch of forecasts, `flops` of one
    # window. `node` is the machine of a cluster; '' is this one.
    """
    CREATE TABLE runs_of_both_kinds (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 1,
        crashes INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'running'
            CHECK (state IN ('running', 'completed', 'pruned', 'stopped', 'failed', 'crashed')),
        error_class TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        worker_pid INTEGER,
        worker_start REAL,
        slot INTEGER,
        started_at REAL,
        ended_at REAL,
        epoch INTEGER,
        step INTEGER,
        steps INTEGER,
        val_mse REAL,
        val_mae REAL,
        test_mse REAL,
        test_mae REAL,
        best_epoch INTEGER,
        epochs INTEGER,
        parameters INTEGER,
        seconds REAL,
        spent REAL NOT NULL DEFAULT 0,
        device TEXT,
        cpu_percent REAL,
        memory_mb REAL,
        peak_memory_mb REAL,
        gpu_percent REAL,
        gpu_memory_mb REAL,
        data_sha256 TEXT NOT NULL DEFAULT '',
        kind TEXT NOT NULL DEFAULT 'scratch' CHECK (kind IN ('scratch', 'inherited')),
        inherited_from INTEGER,
        inherited_share REAL,
        latency_ms REAL,
        flops REAL,
        node TEXT NOT NULL DEFAULT '',
        UNIQUE (search_id, number, seed, kind),
        FOREIGN KEY (search_id, number) REFERENCES trials(search_id, number)
    ) STRICT
    """,
    f"INSERT INTO runs_of_both_kinds ({_RUN_COLUMNS}) SELECT {_RUN_COLUMNS} FROM runs",  # noqa: S608
    "DROP TABLE runs",
    "ALTER TABLE runs_of_both_kinds RENAME TO runs",
    "CREATE INDEX runs_running ON runs (search_id) WHERE state = 'running'",
    # A verdict where a search has several objectives, or bounds: the JSON of the figures of its
    # trial and of those that it was compared with; '' elsewhere.
    "ALTER TABLE verdicts ADD COLUMN compared TEXT NOT NULL DEFAULT ''",
    # The machines that train a search, as they were last seen, in 10^6 bytes.
    """
    CREATE TABLE nodes (
        search_id INTEGER NOT NULL REFERENCES searches(id),
        node TEXT NOT NULL,
        name TEXT NOT NULL,
        alive INTEGER NOT NULL CHECK (alive IN (0, 1)),
        cpus REAL NOT NULL,
        gpus REAL NOT NULL,
        cpu_percent REAL,
        memory_mb REAL,
        memory_total_mb REAL,
        gpu_percent REAL,
        gpu_memory_mb REAL,
        seen_at REAL NOT NULL,
        PRIMARY KEY (search_id, node)
    ) STRICT
    """,
)


def m012_many(db: Database) -> None:
    """Several objectives, lessons of earlier searches, inherited weights, machines of a cluster."""
    for statement in _MANY:
        db.execute(statement)
