"""Files that are no database of this version: left as they are, or brought up to date whole."""

from __future__ import annotations

import functools
import itertools
import os
import random
import re
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlite_utils import Database

from nas_engine.cli.main import main
from nas_engine.commands import Control, send
from nas_engine.store import wishes
from nas_engine.store.migrations import MIGRATIONS, known_versions
from nas_engine.store.reader import reading
from nas_engine.store.schema import StoreError, open_database
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.engine.storing import forked, intact, with_a_run

# -- bad files ----------------------------------------------------------------------------------


def of_another_application(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def of_a_newer_version(path: Path) -> None:
    open_database(path).close()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('nas_engine', 'm999_future', '2030')"
        )
    connection.close()


def filled(path: Path) -> None:
    with_a_run(Workspace(path))


def half(path: Path) -> None:
    filled(path)
    os.truncate(path, path.stat().st_size // 2)


def headless(path: Path) -> None:
    filled(path)
    path.write_bytes(b"\0" * 512 + path.read_bytes()[512:])


def only_a_header(path: Path) -> None:
    filled(path)
    os.truncate(path, 100)


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "random": lambda path: path.write_bytes(random.Random(3).randbytes(8192)),
    "text": lambda path: path.write_text("date,OT\n2016-07-01,30.5\n" * 99),
    "half": half,
    "no head": headless,
    "only a head": only_a_header,
    "another application's": of_another_application,
    "a newer version's": of_a_newer_version,
    "a folder": lambda path: path.mkdir(),
}


def content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


@pytest.mark.parametrize("damage", UNUSABLE)
def test_a_file_that_cannot_be_used_is_named_in_a_sentence_and_left_as_it_was(
    workspace: Workspace, damage: str
) -> None:
    workspace.create()
    UNUSABLE[damage](workspace.db)
    before = content(workspace.db)
    for use in (lambda: Writer(workspace), lambda: send(workspace, Control(kind="stop"), 1)):
        with pytest.raises(StoreError, match=re.escape(str(workspace.db))):
            use()
    with pytest.raises(StoreError, match=re.escape(str(workspace.db))), reading(workspace) as found:
        assert found is not None and found.searches()
    result = CliRunner().invoke(main, ["list", "--db", str(workspace.db)])
    assert result.exit_code != 0 and str(workspace.db) in result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert content(workspace.db) == before


def without_wal(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def with_a_foreign_wal(path: Path) -> None:
    path.with_name(path.name + "-wal").write_bytes(random.Random(4).randbytes(8192))


def with_a_stale_shm(path: Path) -> None:
    path.with_name(path.name + "-shm").write_bytes(random.Random(5).randbytes(32768))


@pytest.mark.parametrize("damage", [without_wal, with_a_foreign_wal, with_a_stale_shm])
def test_what_lies_beside_a_database_that_is_whole_does_no_harm(
    workspace: Workspace, damage: Callable[[Path], None]
) -> None:
    search_id, _ = with_a_run(workspace)
    damage(workspace.db)
    send(workspace, Control(kind="stop"), search_id)
    with reading(workspace) as reader:
        assert reader is not None
        assert reader.numbers(search_id) == {0} and len(wishes.commands(reader, search_id)) == 1
    assert intact(workspace.db)


def test_an_empty_file_becomes_a_database(workspace: Workspace) -> None:
    workspace.create()
    workspace.db.touch()
    search_id, _ = with_a_run(workspace)
    with reading(workspace) as reader:
        assert reader is not None and reader.numbers(search_id) == {0}


@pytest.mark.parametrize("rights", [(0o755, 0o444), (0o555, 0o444), (0o755, 0o000)])
def test_a_file_that_may_not_be_written_is_told_of_in_a_sentence(rights: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as above:
        workspace = Workspace(Path(above) / "workspace" / "nas.db")
        search_id, _ = with_a_run(workspace)
        before, told = workspace.db.read_bytes(), Path(above) / "told"
        told.touch()
        for path, mode in (
            *((Path(above), 0o755), (told, 0o666), (workspace.runs, 0o777)),
            *((workspace.db, rights[1]), (workspace.db.parent, rights[0])),
        ):
            path.chmod(mode)

        def use() -> None:
            if os.geteuid() == 0:  # whom no rights hold back
                os.setgid(65534)
                os.setuid(65534)
            try:
                send(workspace, Control(kind="stop"), search_id)
            except StoreError as error:
                told.write_text(str(error))

        _, status = os.waitpid(forked(use), 0)
        workspace.db.parent.chmod(0o755)
        assert status == 0
        assert "cannot be opened or written by this user" in told.read_text()
        assert workspace.db.read_bytes() == before


# -- migrations ---------------------------------------------------------------------------------

FIRST_ROWS = (
    """INSERT INTO searches (id, fingerprint, spec, max_trials, state, incumbent, created_at)
    VALUES (1, 'f', '{"preset": "paper"}', 5, 'paused', 0, 1.0)""",
    "INSERT INTO baselines VALUES (1, 'repeat-last', 'val', 1.0, 0.9)",
    """INSERT INTO proposals (id, search_id, number, source, step_type, hypothesis, reasons,
    changes, original, config, decision, created_at) VALUES (7, 1, 0, 'tpe', 'small', 'h', 'r',
    '{"model.temporal": true}', '{}', '{"model.d_model": 32}', 'auto', 1.0)""",
    """INSERT INTO trials (search_id, number, proposal_id, state, val_mse, val_mae, created_at,
    ended_at) VALUES (1, 0, 7, 'completed', 0.5, 0.6, 1.0, 2.0)""",
    """INSERT INTO runs (id, search_id, number, seed, val_mse, val_mae, epochs, seconds)
    VALUES (9, 1, 0, 2021, 0.5, 0.6, 1, 3.0)""",
    "INSERT INTO epochs VALUES (9, 1, 0.4, 0.5, 0.6, 0.001, 3.0)",
    """INSERT INTO verdicts (search_id, number, accepted, rule, value, sentence, created_at)
    VALUES (1, 0, 1, 'first', 0.5, 's', 2.0)""",
    """INSERT INTO llm_calls (search_id, number, role, attempt, model, messages, outcome,
    prompt_tokens, created_at) VALUES (1, 0, 'planner', 1, 'm', '[]', 'used', 12, 1.0)""",
    """INSERT INTO events (search_id, number, level, text, created_at)
    VALUES (1, 0, 'info', 'The start.', 1.0)""",
    """INSERT INTO commands (search_id, kind, payload, author, created_at)
    VALUES (1, 'pause', '{"kind": "pause"}', 'me', 1.0)""",
    "INSERT INTO engines VALUES (1, 4711, 1.0, 1.0, 1.0)",
)
STRIDE = 3
"""From one kill to the next, in statements."""
EMPTY = frozenset({"engines", "views", "revisions", "steering", "turns", "replays", "nodes"})
"""A lease of before says nothing after; the others are new."""


def at_version(path: Path, before: str | None) -> None:
    """Make the database of a first version with a row in each table, brought up to `before`."""
    db = Database(path)
    db.conn.execute("PRAGMA journal_mode = WAL")
    versions = known_versions()
    MIGRATIONS.apply(db, stop_before=versions[1])
    with db.conn:
        for row in FIRST_ROWS:
            db.conn.execute(row)
    if before != versions[1]:
        MIGRATIONS.apply(db, stop_before=before)
    db.close()


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of every table, columns by name, and what says which migrations it has."""
    connection = sqlite3.connect(path)
    tables = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'"
        )
    ]
    found: dict[str, list[tuple[object, ...]]] = {}
    for table in sorted(tables):
        cursor = connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
        names = [column[0] for column in cursor.description]
        rows = [tuple(sorted(zip(names, row, strict=True))) for row in cursor]
        found[table] = [tuple(p for p in row if p[0] != "applied_at") for row in rows]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    return found


@pytest.mark.parametrize("before", known_versions()[1:])
def test_a_database_of_every_earlier_version_keeps_the_rows_of_all_tables(
    tmp_path: Path, before: str
) -> None:
    paths = tmp_path / "first.db", tmp_path / "later.db"
    at_version(paths[0], known_versions()[1])
    at_version(paths[1], before)
    for path in paths:
        open_database(path).close()
    first, later = map(dump, paths)
    assert first == later
    assert {table for table, rows in first.items() if not rows} == EMPTY
    with reading(Workspace(paths[1])) as reader:
        assert reader is not None
        (trial,) = reader.trials(1)
        assert trial.config["model.cycle"] == "none"
        assert (trial.val_mse, trial.seeds, trial.run_id, trial.changes) == (
            *(0.5, 1, 9, {"model.temporal": "linear"}),
        )


def test_a_migration_that_is_killed_on_its_way_has_done_all_or_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    old, new, path = (tmp_path / name for name in ("old.db", "new.db", "killed.db"))
    at_version(old, known_versions()[1])
    shutil.copy(old, new)
    open_database(new).close()
    either = dump(old), dump(new)
    for last in itertools.count(1, STRIDE):
        for leftover in tmp_path.glob("killed.db*"):
            leftover.unlink()
        shutil.copy(old, path)
        _, status = os.waitpid(forked(functools.partial(open_and_die, path, last)), 0)
        assert dump(path) in either
        if status == 0:
            break
        assert status == signal.SIGKILL
    assert last > 50
    assert dump(path) == either[1]
    record_property("faults", len(range(1, last, STRIDE)))


def open_and_die(path: Path, last: int) -> None:
    """Open a database and be killed when it is about to carry out its `last`-th statement."""
    connect, left = sqlite3.connect, itertools.count(last - 1, -1)

    def counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(
            lambda statement: None if next(left) else os.kill(os.getpid(), signal.SIGKILL)
        )
        return connection

    sqlite3.connect = counted  # in this process alone
    open_database(path)
