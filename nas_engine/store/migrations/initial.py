"""The tables of the first version."""

from __future__ import annotations

from sqlite_utils import Database

_INITIAL = (
    # One optimisation. `spec` is the JSON of a SearchSpec; `max_trials` may grow after the start.
    """
    CREATE TABLE searches (
        id INTEGER PRIMARY KEY,
        fingerprint TEXT NOT NULL UNIQUE,
        spec TEXT NOT NULL,
        max_trials INTEGER NOT NULL,
        state TEXT NOT NULL
            CHECK (state IN ('running', 'paused', 'stopping', 'stopped', 'completed')),
        reason TEXT NOT NULL DEFAULT '',
        incumbent INTEGER,
        created_at REAL NOT NULL,
        active_seconds REAL NOT NULL DEFAULT 0
    ) STRICT
    """,
    """
    CREATE TABLE baselines (
        search_id INTEGER NOT NULL REFERENCES searches(id),
        name TEXT NOT NULL,
        split TEXT NOT NULL CHECK (split IN ('val', 'test')),
        mse REAL NOT NULL,
        mae REAL NOT NULL,
        PRIMARY KEY (search_id, name, split)
    ) STRICT
    """,
    # What a planner wants to try, and what became of it. `version` grows with each edit; a decision
    # names the version it was made for. `original` keeps the changes before the first edit.
    """
    CREATE TABLE proposals (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL REFERENCES searches(id),
        number INTEGER NOT NULL,
        version INTEGER NOT NULL DEFAULT 1,
        parent INTEGER,
        source TEXT NOT NULL,
        step_type TEXT NOT NULL CHECK (step_type IN ('small', 'medium', 'radical')),
        hypothesis TEXT NOT NULL,
        reasons TEXT NOT NULL,
        changes TEXT NOT NULL,
        original TEXT NOT NULL,
        config TEXT NOT NULL,
        decision TEXT CHECK (decision IN ('auto', 'approved', 'edited', 'rejected')),
        author TEXT NOT NULL DEFAULT '',
        comment TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        decided_at REAL,
        UNIQUE (search_id, number)
    ) STRICT
    """,
    """
    CREATE TABLE trials (
        search_id INTEGER NOT NULL REFERENCES searches(id),
        number INTEGER NOT NULL,
        proposal_id INTEGER NOT NULL REFERENCES proposals(id),
        state TEXT NOT NULL CHECK (state IN ('proposed', 'queued', 'running', 'stalled', 'paused',
            'completed', 'pruned', 'stopped', 'failed', 'crashed', 'rejected')),
        val_mse REAL,
        val_mae REAL,
        error_class TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        started_at REAL,
        ended_at REAL,
        PRIMARY KEY (search_id, number)
    ) STRICT
    """,
    # One training of a trial's configuration. `attempt` counts how often it was begun.
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 1,
        worker_pid INTEGER,
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
        device TEXT,
        UNIQUE (search_id, number, seed),
        FOREIGN KEY (search_id, number) REFERENCES trials(search_id, number)
    ) STRICT
    """,
    """
    CREATE TABLE epochs (
        run_id INTEGER NOT NULL REFERENCES runs(id),
        epoch INTEGER NOT NULL,
        train_loss REAL,
        val_mse REAL,
        val_mae REAL,
        lr REAL NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (run_id, epoch)
    ) STRICT
    """,
    # The evaluator's judgement, the rule that decided and the figures it used.
    """
    CREATE TABLE verdicts (
        search_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)),
        rule TEXT NOT NULL,
        value REAL,
        incumbent INTEGER,
        incumbent_value REAL,
        improvement REAL,
        sentence TEXT NOT NULL,
        opinion TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        PRIMARY KEY (search_id, number),
        FOREIGN KEY (search_id, number) REFERENCES trials(search_id, number)
    ) STRICT
    """,
    # Every exchange with a language model. A row is reserved before the call is made, so that a
    # call that was lost in a crash is still counted.
    """
    CREATE TABLE llm_calls (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL REFERENCES searches(id),
        number INTEGER NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('planner', 'evaluator')),
        attempt INTEGER NOT NULL,
        model TEXT NOT NULL,
        messages TEXT NOT NULL,
        reply TEXT NOT NULL DEFAULT '',
        outcome TEXT NOT NULL DEFAULT 'reserved'
            CHECK (outcome IN ('reserved', 'used', 'refused', 'failed')),
        problem TEXT NOT NULL DEFAULT '',
        prompt_tokens INTEGER,
        completion_tokens INTEGER,
        cost_usd REAL,
        seconds REAL,
        created_at REAL NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL REFERENCES searches(id),
        number INTEGER,
        level TEXT NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
        text TEXT NOT NULL,
        created_at REAL NOT NULL
    ) STRICT
    """,
    # What people ask for. Pages and the command line only insert here; the engine answers.
    """
    CREATE TABLE commands (
        id INTEGER PRIMARY KEY,
        search_id INTEGER,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        author TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending'
            CHECK (state IN ('pending', 'applied', 'refused')),
        answer TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        answered_at REAL
    ) STRICT
    """,
    # The lease: which process runs a search, and when it last showed that it lives.
    """
    CREATE TABLE engines (
        search_id INTEGER PRIMARY KEY REFERENCES searches(id),
        pid INTEGER NOT NULL,
        process_created REAL NOT NULL,
        started_at REAL NOT NULL,
        heartbeat REAL NOT NULL
    ) STRICT
    """,
    "CREATE INDEX events_by_search ON events (search_id, id)",
    "CREATE INDEX calls_by_trial ON llm_calls (search_id, number)",
    "CREATE INDEX commands_pending ON commands (search_id, state)",
    "CREATE INDEX trials_by_value ON trials (search_id, val_mse)",
)


def m001_initial(db: Database) -> None:
    """Create the tables."""
    for statement in _INITIAL:
        db.execute(statement)
