"""The database file: opened, brought up to the newest migration, refused where it is foreign."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from nas_engine.private import close_to_others, make_private
from nas_engine.store.migrations import MIGRATIONS, known_versions

LOCK_SECONDS = 30.0
"""That a writer waits for another one to finish."""


class StoreError(RuntimeError):
    """A database that cannot be used; the message is one sentence that says what to do."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say in a sentence what was wrong with the database at `path`; raises StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(_sentence(path, error)) from error


def _sentence(path: Path, error: sqlite3.Error) -> str:
    name = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_").partition("_")[0]
    match name:
        case "BUSY" | "LOCKED":
            return (
                f"{path} was held by another program for {LOCK_SECONDS:g} s; try again when that "
                "has ended. Nothing was changed."
            )
        case "FULL" | "IOERR":
            return (
                f"{path} could not be written ({error}); make room on its disk, then try again. "
                "Nothing was changed."
            )
        case "READONLY" | "CANTOPEN" | "PERM":
            return (
                f"{path} cannot be opened or written by this user ({error}); change the rights to "
                "the file and its folder, or name another file with --db or NAS_DB."
            )
    return (
        f"{path} cannot be used as a database ({error}); restore it from a copy, or name another "
        "file with --db or NAS_DB. Nothing was changed."
    )


def open_database(path: Path, durable: bool = True) -> Database:
    """Open a database for writing, made or brought up to this version where needed.

    Commits are synchronous=FULL: a decision that was shown survives a power cut. Those of a
    connection that is not `durable` (NORMAL) may be lost in one, though not in a crash. The
    connection may move between threads, but serves one at a time.

    Raises:
        StoreError: the file cannot be opened, is no database of this project, or a newer version
            wrote it.
    """
    with explained(path):
        make_private(path)
        connection = sqlite3.connect(path, timeout=LOCK_SECONDS, check_same_thread=False)
        refuse_foreign(connection, path)
        _keep_private(path)
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        db = Database(connection)
        if MIGRATIONS.pending(db):  # with foreign keys off, lest a table that is replaced lose rows
            with transaction(connection):
                MIGRATIONS.apply(db)
        connection.execute("PRAGMA foreign_keys = ON")
    return db


def _keep_private(path: Path) -> None:
    """Take from others what they may do with a database of an earlier version, if it is ours."""
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        close_to_others(file)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock from the start, so that what is read inside is still true when written.

    Inside another transaction it adds nothing: the outer one commits.
    """
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        yield


def refuse_foreign(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the database has all that this version knows; an empty one has not.

    Raises:
        StoreError: this version cannot use it.
    """
    with explained(path):
        tables = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        applied = (
            [
                name
                for (name,) in connection.execute(
                    "SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY id",
                    (MIGRATIONS.name,),
                )
            ]
            if "_sqlite_migrations" in tables
            else []
        )
    if tables and not applied:
        raise StoreError(
            f"{path} belongs to another application; name another file with --db or NAS_DB."
        )
    known = known_versions()
    if newer := [name for name in applied if name not in known]:
        raise StoreError(
            f"{path} was written by a newer version of this project (schema {newer[-1]}, this one "
            f"knows up to {known[-1]}); update the project, or name another file with --db or "
            "NAS_DB. Nothing was changed."
        )
    return set(known) <= set(applied)


def storable(text: str) -> str:
    """Return text that SQLite can hold: lone surrogates, which a model may send, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
