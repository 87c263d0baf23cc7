"""The search of `benchmarks.found`: its engine is followed, and can be interrupted."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import click

from nas_engine.api import AgentState, SearchError, follow, load_agent_state
from nas_engine.commands import Control
from nas_engine.search import SearchSpec
from nas_engine.store.reader import reading
from nas_engine.store.rows import EventRow
from nas_engine.supervisor import request, start_search
from nas_engine.workspace import Workspace

PROGRESS_SECONDS = 30.0


def searched(workspace: Workspace, spec: SearchSpec, keeps: bool) -> AgentState:
    """Run a search until its hours are used up, or let it go on; return it.

    Ctrl-C pauses it where the workspace is kept, else ends it.
    """
    with _interrupts_noted() as interrupts:
        answer = start_search(workspace, spec)
    if not answer.ok or answer.search_id is None:
        raise click.ClickException(answer.text)
    try:
        if interrupts:
            raise KeyboardInterrupt
        return follow(workspace, answer.search_id, Progress(workspace, answer.search_id))
    except SearchError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        kind: Literal["pause", "cancel"] = "pause" if keeps else "cancel"
        click.echo(request(workspace, Control(kind=kind), answer.search_id).text, err=True)
        click.echo("Waiting for that; Ctrl-C leaves it to the engine.", err=True)
        _await_end(workspace, answer.search_id)
        raise click.Abort from None


@contextmanager
def _interrupts_noted() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM instead of obeying: an engine that starts could not be ended yet."""
    noted: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: noted.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _await_end(workspace: Workspace, search_id: int) -> None:
    """Wait until the engine of a search that was paused or cancelled has ended."""
    try:
        follow(workspace, search_id, lambda event: None)
    except SearchError as told:  # that it is paused
        click.echo(str(told), err=True)


class Progress:
    """Tells on stderr how far a search is: at each new incumbent, and now and then."""

    def __init__(self, workspace: Workspace, search_id: int) -> None:
        """Begin to follow a search."""
        self._workspace, self._search_id = workspace, search_id
        self._began = self._told = time.monotonic()
        self._best: float | None = None

    def __call__(self, event: EventRow) -> None:
        """Look at the search when something has happened in it."""
        with reading(self._workspace) as reader:
            search = reader.search(self._search_id) if reader else None
        now = time.monotonic()
        if search is None or (search.best == self._best and now - self._told < PROGRESS_SECONDS):
            return
        self._best, self._told = search.best, now
        minutes, seconds = divmod(round(now - self._began), 60)
        best = "-" if search.best is None else f"{search.best:.4f} (trial {search.incumbent})"
        click.echo(
            f"{minutes:>3}:{seconds:02}  {search.finished} trials, best val_mse {best}", err=True
        )


def known(workspace: Workspace, spec: SearchSpec) -> AgentState:
    """Return the search of a kept workspace that has these settings, whatever its budget."""
    with reading(workspace) as reader:
        same = reader.search_like(spec) if reader else None
    if same is None:
        raise click.ClickException(f"{workspace.db} has no search with these settings.")
    return load_agent_state(workspace.db, same.id)
