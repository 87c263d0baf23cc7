"""A search as rows: all that belongs to it, read at one moment, and put into another database.

Rows from a file are first put into a database of their own, under the ids that they came with, so
that its constraints refuse what does not fit together; only then are they copied under new ids.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlite_utils import Database

from nas_engine.search import Backend
from nas_engine.store.derived import differing
from nas_engine.store.migrations import MIGRATIONS, known_versions
from nas_engine.store.reader import Reader

Cell = str | int | float | None
Row = dict[str, Cell]

TABLES: Mapping[str, str] = {
    "searches": "id = ?",
    "baselines": "search_id = ?",
    "proposals": "search_id = ?",
    "revisions": "proposal_id IN (SELECT id FROM proposals WHERE search_id = ?)",
    "trials": "search_id = ?",
    "runs": "search_id = ?",
    "epochs": "run_id IN (SELECT id FROM runs WHERE search_id = ?)",
    "verdicts": "search_id = ?",
    "turns": "search_id = ?",
    "replays": "search_id = ?",
    "llm_calls": "search_id = ?",
    "steering": "search_id = ?",
    "events": "search_id = ?",
    # What nobody has answered yet is for the engine that was asked, not for another one.
    "commands": "search_id = ? AND state <> 'pending'",
}
"""What belongs to a search, each table after those that it names; leases of engines do not."""

_NAMED = {  # column -> the table whose id it holds
    "search_id": "searches",
    "proposal_id": "proposals",
    "run_id": "runs",
    "turn_id": "turns",
    "replay_id": "replays",
}
_IN_COMMANDS = {"proposal_id": "proposals", "turn_id": "turns", "steering_id": "steering"}
_OF_ANOTHER_MACHINE = ("worker_pid", "worker_start")
"""A process with this number here is another one, which no engine may take for its worker."""


@dataclass(frozen=True)
class Column:
    """A column as the schema declares it."""

    name: str
    type: str  # INTEGER, REAL or TEXT
    required: bool
    default: Cell


def schema_version() -> str:
    """Return the newest migration that this version knows."""
    return known_versions()[-1]


@cache
def columns(version: str | None = None) -> Mapping[str, tuple[Column, ...]]:
    """Return the columns of each of `TABLES`, in the schema of a version or the newest."""
    with closing(staging(version)) as connection:
        return {
            table: tuple(
                Column(name, kind, bool(required or key), _value(connection, default))
                for _, name, kind, required, default, key in connection.execute(
                    f"PRAGMA table_info({table})"
                )
            )
            for table in TABLES
        }


def _value(connection: sqlite3.Connection, default: str | None) -> Cell:
    """Return the value of a default, which the schema keeps as SQL."""
    row = connection.execute(f"SELECT {default or 'NULL'}").fetchone()
    value: Cell = row[0]
    return value


def row_of(table: str, **cells: Cell) -> Row:
    """Return a row of a table with these cells, and the others as the schema fills them."""
    return {column.name: column.default for column in columns()[table]} | cells


def staging(version: str | None = None) -> sqlite3.Connection:
    """Return an empty database that is gone when it is closed, of a version or the newest."""
    connection = sqlite3.connect("", isolation_level=None)
    known = known_versions()
    later = known[known.index(version) + 1 :] if version else []
    MIGRATIONS.apply(Database(connection), stop_before=later[0] if later else None)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def bring_up(connection: sqlite3.Connection) -> None:
    """Bring a staging database of an earlier version, with its rows, to the newest."""
    connection.execute("PRAGMA foreign_keys = OFF")  # lest a table that is replaced lose rows
    MIGRATIONS.apply(Database(connection))
    connection.execute("PRAGMA foreign_keys = ON")


def rows(reader: Reader, table: str, search_id: int) -> Iterator[Row]:
    """Return the rows of a table that belong to a search, in the order in which they came."""
    cursor = reader.stream(
        f"SELECT * FROM {table} WHERE {TABLES[table]} ORDER BY rowid",  # noqa: S608
        (search_id,),
    )
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Cell]) -> None:
    """Put a checked row into a table; raises sqlite3.Error where the schema refuses it."""
    connection.execute(_inserting(table, tuple(row)), row)


@cache
def _inserting(table: str, names: tuple[str, ...]) -> str:
    places = ", ".join(f":{name}" for name in names)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608


# -- what a schema cannot say -------------------------------------------------------------------

_FAULTS: Mapping[str, str] = {
    "it holds no search, or more than one": "SELECT 1 WHERE (SELECT count(*) FROM searches) <> 1",
    "a row belongs to a search that is not in it": """SELECT 1 FROM commands
        WHERE search_id IS NOT (SELECT id FROM searches)""",
    "trial 0, from which a search starts, is missing": """SELECT 1 FROM trials
        WHERE NOT EXISTS (SELECT 1 FROM trials WHERE number = 0)""",
    "a trial has the proposal of another one": """SELECT 1 FROM trials t
        JOIN proposals p ON p.id = t.proposal_id
        WHERE p.number <> t.number OR p.search_id <> t.search_id""",
    "a proposal has no trial": """SELECT 1 FROM proposals p
        WHERE NOT EXISTS (SELECT 1 FROM trials t WHERE t.proposal_id = p.id)""",
    "a trial changes one that is not in it, or that came after it": """SELECT 1 FROM proposals p
        WHERE p.parent IS NOT NULL AND (p.parent >= p.number
        OR NOT EXISTS (SELECT 1 FROM trials t WHERE t.number = p.parent))""",
    "its incumbent is no trial with a result": """SELECT 1 FROM searches s
        WHERE s.incumbent IS NOT NULL AND NOT EXISTS (SELECT 1 FROM trials t
        WHERE t.number = s.incumbent AND t.val_mse IS NOT NULL)""",
    "a verdict compares with a trial that is not in it": """SELECT 1 FROM verdicts v
        WHERE v.incumbent IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM trials t WHERE t.number = v.incumbent)""",
    "a verdict compares with a front that holds trials that are not in it": """SELECT 1
        FROM verdicts v JOIN json_each(iif(v.compared = '', '{}', v.compared), '$.rivals') r
        WHERE json_extract(r.value, '$.number') NOT IN (SELECT number FROM trials)""",
    "a replay is of a trial that is not in it": """SELECT 1 FROM replays r
        WHERE NOT EXISTS (SELECT 1 FROM trials t WHERE t.number = r.number)
        OR r.parent IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM trials t WHERE t.number = r.parent)""",
    "an answer names a trial that is not in it": """SELECT 1 FROM turns c
        WHERE c.drafted IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM trials t WHERE t.number = c.drafted)""",
}


def faults(connection: sqlite3.Connection) -> list[str]:
    """Return in which ways the rows of a staging database do not fit together."""
    return [fault for fault, query in _FAULTS.items() if connection.execute(query).fetchone()]


def numbers(connection: sqlite3.Connection) -> set[int]:
    """Return the numbers of the trials in a staging database."""
    return {number for (number,) in connection.execute("SELECT number FROM trials")}


# -- what is changed on the way -----------------------------------------------------------------


def settle(connection: sqlite3.Connection) -> None:
    """Let nothing in a staging database wait for an engine: none here has ever worked on it.

    Trials that were under way stay so: they are trained from the start where the search goes on,
    on this machine, as no file may name a cluster to connect to. What the search learned from
    others it keeps, but not their ids, which are those of other searches here.
    """
    reason = "It was at work when it was exported; Resume goes on here."
    connection.execute(
        """UPDATE searches SET reason = ?,
        state = CASE state WHEN 'stopping' THEN 'stopped' ELSE 'paused' END
        WHERE state IN ('running', 'stopping')""",
        (reason,),
    )
    connection.execute("UPDATE proposals SET asked_again = 0")
    connection.execute(
        """UPDATE turns SET state = 'stopped', ended_at = created_at
        WHERE state IN ('asked', 'answering')"""
    )
    connection.execute(
        """UPDATE replays SET state = 'failed', ended_at = created_at,
        problem = 'It had no answer yet when the search was exported.' WHERE state = 'asked'"""
    )
    connection.execute(
        """UPDATE searches
        SET spec = json_replace(spec, '$.backend', json(?), '$.lessons', json('[]'))""",
        (Backend().model_dump_json(),),
    )
    fill_in(connection)


def fill_in(connection: sqlite3.Connection) -> None:
    """Compute what the tables hold for lists from what it is computed from."""
    start: dict[str, Any] = {}
    for key, number, text in connection.execute(
        "SELECT id, number, config FROM proposals ORDER BY number"
    ).fetchall():
        config = json.loads(text)
        start = config if number == 0 else start
        connection.execute(
            "UPDATE proposals SET differences = ? WHERE id = ?",
            (json.dumps(differing(start, config)), key),
        )


def rename_data(connection: sqlite3.Connection, before: str, after: str) -> None:
    """Let the configurations in a staging database name their data set otherwise."""
    for table in ("proposals", "revisions", "replays"):
        connection.execute(
            f"""UPDATE {table} SET config = json_set(config, '$."data.dataset"', ?2)
            WHERE json_extract(config, '$."data.dataset"') = ?1""",  # noqa: S608
            (before, after),
        )
    connection.execute(
        """UPDATE searches SET spec = json_set(spec, '$.settings."data.dataset"', ?)""", (after,)
    )
    connection.execute(
        "UPDATE searches SET data = json_set(data, '$.name', ?) WHERE data <> ''", (after,)
    )


def describe(
    connection: sqlite3.Connection, *, fingerprint: str, origin: str, name: str | None
) -> None:
    """Say in a staging database what its search is here; a name of None leaves the one it has."""
    connection.execute(
        "UPDATE searches SET fingerprint = ?, origin = ?, name = coalesce(?, name)",
        (fingerprint, origin, name),
    )


# -- into another database ----------------------------------------------------------------------


def next_id(connection: sqlite3.Connection) -> int:
    """Return the id that the next search would have."""
    (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM searches").fetchone()
    return int(newest) + 1


def put(staged: sqlite3.Connection, connection: sqlite3.Connection, search_id: int) -> None:
    """Copy the one search of a staging database under new ids; its own will be `search_id`.

    Raises:
        sqlite3.Error: the database refuses a row; the caller's transaction is to be rolled back.
    """
    new: dict[str, dict[int, int]] = {table: {} for table in TABLES}
    ((old, forgiven),) = staged.execute("SELECT id, forgiven FROM searches").fetchall()
    new["searches"][old] = search_id
    for table in TABLES:
        with closing(staged.execute(f"SELECT * FROM {table} ORDER BY rowid")) as cursor:  # noqa: S608
            names = [column[0] for column in cursor.description]
            places = ", ".join("?" * len(names))
            connection.executemany(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})",  # noqa: S608
                _renumbered(cursor, table, names, new, _highest(connection, table)),
            )
    # Failures up to this verdict do not count any more: they were forgiven before it came here.
    last = max((here for there, here in new["verdicts"].items() if there <= forgiven), default=0)
    connection.execute("UPDATE searches SET forgiven = ? WHERE id = ?", (last, search_id))


def _highest(connection: sqlite3.Connection, table: str) -> int:
    if not any(column.name == "id" for column in columns()[table]):
        return 0
    query = f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608
    if table == "verdicts":  # whose ids are never used again
        query = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'verdicts'"
    return int(connection.execute(query).fetchone()[0])


def _renumbered(
    cursor: sqlite3.Cursor, table: str, names: list[str], new: dict[str, dict[int, int]], base: int
) -> Iterator[list[Cell]]:
    """Return rows as they are to be here; `new` learns their ids, which count on from `base`."""
    own = names.index("id") if "id" in names else None
    named = [(names.index(name), new[other]) for name, other in _NAMED.items() if name in names]
    payload = names.index("payload") if "payload" in names else None
    emptied = [names.index(name) for name in _OF_ANOTHER_MACHINE if name in names]
    for at, found in enumerate(cursor, 1):
        row = list(found)
        if own is not None:
            row[own] = new[table].setdefault(row[own], base + at)
        for place, ids in named:
            if row[place] is not None:
                row[place] = ids[row[place]]
        if payload is not None:
            row[payload] = _payload(row[payload], new)
        for place in emptied:
            row[place] = None
        yield row


def _payload(text: str, new: Mapping[str, Mapping[int, int]]) -> str:
    """Return a command with the ids that it names as they are here; 0 for what is not in it."""
    payload = json.loads(text)
    named = {name: table for name, table in _IN_COMMANDS.items() if name in payload}
    if not named:
        return text
    return json.dumps(payload | {n: new[table].get(payload[n], 0) for n, table in named.items()})


@contextmanager
def of_one_moment(reader: Reader) -> Iterator[None]:
    """Let all that is read inside be of one moment, whatever is written meanwhile."""
    reader.stream("BEGIN")
    try:
        yield
    finally:
        reader.stream("ROLLBACK")
