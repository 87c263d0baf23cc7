"""What the tests of the database share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from nas_engine.proposals import Proposal
from nas_engine.search import SearchSpec
from nas_engine.store import proposing, trainings
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.engine.conftest import ONE_SEED

SPEC = SearchSpec(
    planner="random",
    max_trials=3,
    settings={"data.dataset": "synthetic", "training.epochs": 2},
    rules=ONE_SEED,
)


def forked(work: Callable[[], object]) -> int:
    """Do `work` in a process of its own, which ends with it; return its id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def with_a_run(workspace: Workspace) -> tuple[int, int]:
    """Return the ids of a search and of a run of its trial 0."""
    writer = Writer(workspace)
    search_id = writer.open_search(SPEC)
    proposal = Proposal(source="default", parent=None, changes={}, hypothesis="The start.")
    proposing.propose(writer, search_id, 0, proposal, SPEC.base())
    run_id = trainings.begin_run(writer, search_id, 0, seed=1)
    writer.close()
    return search_id, run_id


def intact(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
    finally:
        connection.close()
