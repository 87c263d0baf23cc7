"""What a person can ask of an engine, as rows of the `commands` table.

Pages and the command line call `send`; the engine claims, applies and answers. A command is checked
again when it is applied: a row is data from outside.
"""

from __future__ import annotations

import getpass
import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from informer.config import Value
from nas_engine.search import SearchSpec
from nas_engine.store.schema import open_database
from nas_engine.workspace import Workspace


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Start(_Command):
    """Start the search, or extend the one that has the same settings to more trials."""

    kind: Literal["start"] = "start"
    spec: SearchSpec


class Control(_Command):
    """Pause, resume, stop or cancel a search.

    Pause: no new trials, running ones finish. Stop: the same, and the search ends. Cancel: running
    ones are killed too.
    """

    kind: Literal["pause", "resume", "stop", "cancel"]


class Decide(_Command):
    """Approve, edit or reject the version of a proposal that the person saw."""

    kind: Literal["decide"] = "decide"
    proposal_id: int
    version: int
    decision: Literal["approved", "edited", "rejected"]
    changes: dict[str, Value] = Field(default_factory=dict)  # edited: what to try instead
    comment: str = Field("", max_length=4000)


Command = Annotated[Start | Control | Decide, Field(discriminator="kind")]
COMMAND: TypeAdapter[Start | Control | Decide] = TypeAdapter(Command)


def send(
    workspace: Workspace, command: Start | Control | Decide, search_id: int | None = None
) -> int:
    """Insert a command and return its id.

    Raises:
        StoreError: the database cannot be used.
    """
    workspace.create()
    db = open_database(workspace.db)
    try:
        row = {
            "search_id": search_id,
            "kind": command.kind,
            "payload": command.model_dump_json(),
            "author": getpass.getuser(),
            "created_at": time.time(),
        }
        inserted = db.table("commands").insert(row).last_pk
        return int(inserted)  # type: ignore[arg-type]  # an INTEGER PRIMARY KEY
    finally:
        db.close()
