"""Exported searches for tests: whole, taken apart, and packed again with other content."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

from nas_engine.exchange.exporting import Weights, export_search
from nas_engine.store import judging, wishes
from nas_engine.store.copying import TABLES
from nas_engine.store.listing import listing
from nas_engine.store.reader import reading
from nas_engine.store.table import results, tried
from nas_engine.workspace import Workspace

Lines = list[dict[str, Any]]


def exported(
    workspace: Workspace, search_id: int = 1, weights: Weights = "none", **more: Any
) -> bytes:
    file = io.BytesIO()
    export_search(workspace, search_id, file, more.pop("secrets", ()), weights, **more)
    return file.getvalue()


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts: Mapping[str, bytes], **manifest: Any) -> bytes:
    """Return a file of these members whose manifest tells the truth, but for what is given."""
    told = json.loads(parts["manifest.json"])
    told["members"] = {
        name: {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "rows": content.count(b"\n"),
        }
        for name, content in parts.items()
        if name != "manifest.json"
    }
    told |= manifest
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**parts, "manifest.json": json.dumps(told).encode()}.items():
            archive.writestr(name, content)
    return file.getvalue()


def altered(content: bytes, table: str, change: Callable[[Lines], object]) -> bytes:
    """Return a file in which the rows of a table are others."""
    parts = members(content)
    name = f"{table}.jsonl"
    lines = [json.loads(line) for line in parts[name].splitlines()]
    change(lines)
    parts[name] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return packed(parts)


def dump(workspace: Workspace, search_id: int) -> dict[str, Lines]:
    """Return all rows of a search, with ids that count from 0 in the order of their table."""
    with closing(sqlite3.connect(workspace.db)) as connection:
        connection.row_factory = sqlite3.Row
        found = {
            table: [
                dict(row)
                for row in connection.execute(
                    f"SELECT * FROM {table} WHERE {condition} ORDER BY rowid", (search_id,)
                )
            ]
            for table, condition in TABLES.items()
        }
    places = {
        table: {row["id"]: at for at, row in enumerate(rows) if "id" in row}
        for table, rows in found.items()
    }
    named = {"search_id": "searches", "proposal_id": "proposals", "run_id": "runs"}
    named |= {"turn_id": "turns", "replay_id": "replays", "steering_id": "steering"}
    for table, rows in found.items():
        for row in rows:
            if "id" in row:
                row["id"] = places[table][row["id"]]
            if "payload" in row:
                row["payload"] = json.loads(row["payload"])
            for holder in (row, row.get("payload", {})):
                for column, other in named.items():
                    if holder.get(column) is not None:
                        holder[column] = places[other].get(holder[column])
    for row in found["searches"]:
        row["forgiven"] = places["verdicts"].get(row["forgiven"])
    return found


def all_rows(workspace: Workspace) -> dict[str, list[tuple[Any, ...]]]:
    """Return the whole content of a database; of one that is not there, nothing."""
    if not workspace.db.exists():
        return {}
    with closing(sqlite3.connect(workspace.db)) as connection:
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}


def read_all(workspace: Workspace, search_id: int) -> None:
    """Read all of a search as pages do."""
    with reading(workspace) as reader:
        assert reader is not None
        listing(reader), tried(results(reader, [search_id]))
        for read in (
            *(
                reader.search,
                reader.trials,
                reader.llm_calls,
                partial(wishes.revisions, reader),
                partial(wishes.replays, reader),
            ),
            *(
                partial(wishes.steering, reader),
                partial(wishes.turns, reader),
                reader.events,
                partial(wishes.commands, reader),
                reader.baselines,
            ),
            *(
                reader.epochs,
                partial(judging.judged_by, reader),
                partial(judging.noise, reader),
                reader.spend,
            ),
        ):
            read(search_id)
