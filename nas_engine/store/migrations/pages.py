"""What the pages need to list, name and compare many searches and trials."""

from __future__ import annotations

import json
from typing import Any

from sqlite_utils import Database

from nas_engine.store.derived import differing, sampled

_WATCHED = (
    # What people say of a search. `edition` grows with each change of it.
    "ALTER TABLE searches ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE searches ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE searches ADD COLUMN notes TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE searches ADD COLUMN archived INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE searches ADD COLUMN edition INTEGER NOT NULL DEFAULT 1",
    # What a worker takes of its machine: the newest measurement, and the most memory so far.
    "ALTER TABLE runs ADD COLUMN cpu_percent REAL",
    "ALTER TABLE runs ADD COLUMN memory_mb REAL",
    "ALTER TABLE runs ADD COLUMN peak_memory_mb REAL",
    "ALTER TABLE runs ADD COLUMN gpu_percent REAL",
    "ALTER TABLE runs ADD COLUMN gpu_memory_mb REAL",
    # For lists of many trials: how a configuration differs from trial 0's, and a few points of the
    # learning curve. Reading the whole of either for 10,000 trials takes seconds.
    "ALTER TABLE proposals ADD COLUMN differences TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE trials ADD COLUMN spark TEXT NOT NULL DEFAULT '[]'",
    "CREATE INDEX runs_running ON runs (search_id) WHERE state = 'running'",
    # A named address of a page: what it shows, and how.
    """
    CREATE TABLE views (
        id INTEGER PRIMARY KEY,
        page TEXT NOT NULL,
        name TEXT NOT NULL,
        address TEXT NOT NULL,
        created_at REAL NOT NULL,
        UNIQUE (page, name)
    ) STRICT
    """,
)


def m008_watched(db: Database) -> None:
    """What the pages need to list, name and compare many searches and trials."""
    for statement in _WATCHED:
        db.execute(statement)
    starts: dict[int, dict[str, Any]] = {}
    for search_id, text in db.execute(
        "SELECT search_id, config FROM proposals WHERE number = 0"
    ).fetchall():
        starts[search_id] = json.loads(text)
    for key, search_id, text in db.execute(
        "SELECT id, search_id, config FROM proposals"
    ).fetchall():
        differences = differing(starts.get(search_id, {}), json.loads(text))
        db.execute(
            "UPDATE proposals SET differences = ? WHERE id = ?", [json.dumps(differences), key]
        )
    for search_id, number in db.execute("SELECT search_id, number FROM trials").fetchall():
        curve = [
            value
            for (value,) in db.execute(
                """SELECT val_mse FROM epochs WHERE run_id = (SELECT o.id FROM runs o
                WHERE o.search_id = ? AND o.number = ? ORDER BY o.val_mse IS NULL, o.id LIMIT 1)
                ORDER BY epoch""",
                [search_id, number],
            ).fetchall()
        ]
        db.execute(
            "UPDATE trials SET spark = ? WHERE search_id = ? AND number = ?",
            [json.dumps(sampled(curve)), search_id, number],
        )
