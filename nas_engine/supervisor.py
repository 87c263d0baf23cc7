"""Give commands to engines and start them, as the dashboard and the command line do.

An engine lives while its search has work or a proposal waits; a command to a search without a
living engine starts one.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from nas_engine.commands import Command, Control, Start, send
from nas_engine.liveness import LEASE_SECONDS, engine_state
from nas_engine.private import keep_private
from nas_engine.search import SearchSpec
from nas_engine.space import problems_of
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.schema import StoreError
from nas_engine.workspace import PROJECT, Workspace


@dataclass(frozen=True)
class Answer:
    """What became of a command."""

    ok: bool
    text: str
    search_id: int | None


def start_search(workspace: Workspace, spec: SearchSpec) -> Answer:
    """Start a search, or extend the one with the same settings to a larger budget.

    Raises:
        StoreError: the database cannot be used.
    """
    if found := problems_of(spec):
        return Answer(False, " ".join(found), None)
    with reading(workspace) as reader:
        same = reader.search_like(spec) if reader else None
    return request(workspace, Start(spec=spec), same.id if same else None)


def resume_search(workspace: Workspace, search_id: int) -> Answer:
    """Let a search go on after a pause, a stop or the loss of its engine; raises StoreError."""
    return request(workspace, Control(kind="resume"), search_id)


def request(
    workspace: Workspace,
    command: Command,
    search_id: int | None,
    wait_seconds: float = 30.0,
) -> Answer:
    """Give a command, starting an engine where none lives, and wait for the answer.

    Raises:
        StoreError: the database cannot be used, or no engine be started.
    """
    with reading(workspace) as reader:
        if search_id is not None and (reader is None or reader.search(search_id) is None):
            return Answer(False, f"There is no search {search_id} in {workspace.db}.", None)
    command_id = send(workspace, command, search_id)
    engine: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        with reading(workspace) as reader:
            assert reader is not None
            row = wishes.command(reader, command_id)
            assert row is not None
            lives = (
                row.search_id is not None
                and engine_state(reader.engine(row.search_id), stale=LEASE_SECONDS) == "alive"
            )
        if row.state != "pending":
            return Answer(row.state == "applied", row.answer, row.search_id)
        if engine is not None and engine.poll():
            return Answer(
                False,
                f"The engine ended before it answered; {workspace.launch_log} says why.",
                None,
            )
        if not lives and (engine is None or engine.poll() == 0):
            engine = _spawn_engine(workspace, command_id)
        time.sleep(0.05)
    return Answer(
        False,
        f"The engine has not answered within {wait_seconds:.0f} s; the command stays in its queue.",
        None,
    )


def _spawn_engine(workspace: Workspace, command_id: int) -> subprocess.Popen[bytes]:
    """Start an engine that outlives this process, in a session of its own; raises StoreError."""
    keep_private(workspace.launch_log)
    try:
        with open(workspace.launch_log, "ab") as log:
            engine = subprocess.Popen(  # noqa: S603
                [
                    *(sys.executable, "-m", "nas_engine.engine"),
                    *("--db", str(workspace.db), "--command", str(command_id)),
                ],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise StoreError(
            f"No engine can be started ({error.filename or sys.executable}: {error.strerror}); see "
            f"that {workspace.launch_log} can be written and that the machine has room for one "
            "more process, then try again. The command stays in its queue."
        ) from error
    # Somebody must wait for it, or it stays a zombie for as long as the dashboard lives.
    threading.Thread(target=engine.wait, daemon=True).start()
    return engine
