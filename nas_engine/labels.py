"""What people say of a search, and the views that they save.

No engine has a part in either: they are written at once, in one transaction. What is said of a
search stands beside what was asked of it, in `commands`; a view is nobody's decision and does not.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from data import actors
from nas_engine.commands import Describe, given, visible
from nas_engine.liveness import LIVING, EngineState, engine_state
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow
from nas_engine.store.schema import StoreError, explained, open_database, transaction
from nas_engine.supervisor import Answer
from nas_engine.workspace import Workspace

NAME_LENGTH = 100
ADDRESS_LENGTH = 16_000
"""Characters of a view's address; browsers and proxies take hardly more."""


def hidden(search: SearchRow, engine: EngineState) -> bool:
    """Tell whether lists leave a search out: an archived one on which no engine works."""
    return search.archived and engine not in LIVING


def describe(workspace: Workspace, search_id: int, command: Describe) -> Answer:
    """Say something of a search, and return whether it was kept.

    It is refused where the search has another edition than the person saw: somebody else has
    described it meanwhile.

    Raises:
        StoreError: the database cannot be used.
    """
    with _writing(workspace) as connection:
        reader = Reader(connection)
        search = reader.search(search_id)
        if search is None:
            return Answer(False, f"There is no search {search_id} in {workspace.db}.", None)
        refusal = _refusal(reader, search, command)
        said = refusal or _apply(connection, search, command)
        row = given(command, search_id)
        connection.execute(
            """INSERT INTO commands (search_id, kind, payload, author, created_at, state, answer,
            answered_at) VALUES (:search_id, :kind, :payload, :author, :created_at, :state, :answer,
            :created_at)""",
            {**row, "state": "refused" if refusal else "applied", "answer": said},
        )
    return Answer(not refusal, said, search_id)


def save_view(workspace: Workspace, page: str, name: str, address: str) -> Answer:
    """Keep an address of a page under a name; a view of that name is replaced, and this is told.

    Args:
        workspace: where.
        page: path of the page in the address, such as `compare`.
        name: as people see it.
        address: what follows the question mark.

    Raises:
        StoreError: the database cannot be used.
    """
    name = name.strip()
    if not 0 < len(name) <= NAME_LENGTH:
        return Answer(False, f"Give the view a name of 1 to {NAME_LENGTH} characters.", None)
    if len(address) > ADDRESS_LENGTH:
        return Answer(False, "The view shows too much for an address; choose fewer trials.", None)
    if not visible(name):
        return Answer(False, "Give the view a name with characters that can be seen.", None)
    with _writing(workspace) as connection:
        known = name in Reader(connection).views(page)
        connection.execute(
            """INSERT INTO views (page, name, address, created_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (page, name) DO UPDATE SET address = excluded.address""",
            (page, name, address, time.time()),
        )
    return Answer(True, f"The view {name} is {'replaced' if known else 'saved'}.", None)


def remove_view(workspace: Workspace, page: str, name: str) -> Answer:
    """Forget a view; raises StoreError."""
    with _writing(workspace) as connection:
        gone = connection.execute("DELETE FROM views WHERE page = ? AND name = ?", (page, name))
    if not gone.rowcount:
        return Answer(False, f"There is no view {name}; it was removed meanwhile.", None)
    return Answer(True, f"The view {name} is removed.", None)


def _refusal(reader: Reader, search: SearchRow, command: Describe) -> str:
    """Return why a description is not kept, empty where it is."""
    if command.edition != search.edition:
        return (
            f"Search {search.id} was described by somebody else meanwhile, and nothing was "
            "overwritten: look at what it says now, then save again."
        )
    at_work = engine_state(reader.engine(search.id)) in LIVING
    if command.archived and at_work:
        return f"Search {search.id} is at work: pause or stop it first, then archive it."
    return ""


def _apply(connection: sqlite3.Connection, search: SearchRow, command: Describe) -> str:
    """Write what is new and return what is to be said of it."""
    held = {
        "name": search.name,
        "tags": search.tags,
        "notes": search.notes,
        "archived": search.archived,
    }
    wished = command.model_dump(mode="json", exclude={"kind", "edition"}, exclude_none=True)
    new = {name: value for name, value in wished.items() if value != held[name]}
    if not new:
        return f"Search {search.id} says this already."
    connection.execute(
        """UPDATE searches SET name = :name, tags = :tags, notes = :notes, archived = :archived,
        edition = edition + 1 WHERE id = :id""",
        {**held, **new, "tags": json.dumps(new.get("tags", search.tags)), "id": search.id},
    )
    archiving = new.pop("archived", None)
    parts = [f"saved {', '.join(new)}"] if new else []
    if archiving is not None:
        parts.append("archived" if archiving else "restored")
    return f"Search {search.id}: {'; '.join(parts)}."


@contextmanager
def _writing(workspace: Workspace) -> Iterator[sqlite3.Connection]:
    """Open the workspace's database for one transaction; raises StoreError."""
    actors.require(StoreError)
    workspace.create()
    with explained(workspace.db):
        db = open_database(workspace.db)
        try:
            with transaction(db.conn):
                yield db.conn
        finally:
            db.close()
