"""The search from Python, as the command line has it.

from nas_engine.api import get_best_run, load_agent_state, run_nas_optimization

state = run_nas_optimization(max_iterations=20)
print(get_best_run(state).val_mse)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from informer.config import Value
from nas_engine.liveness import LIVING, engine_state
from nas_engine.search import SearchSpec, default_planner
from nas_engine.settings import load_settings
from nas_engine.standing import trials_now
from nas_engine.store.reader import reading
from nas_engine.store.rows import BaselineRow, EventRow, SearchRow, TrialRow
from nas_engine.supervisor import start_search
from nas_engine.workspace import Workspace

FOLLOW_SECONDS = 0.25


class SearchError(RuntimeError):
    """A search that could not start or go on; the message is one sentence that says why."""


@dataclass(frozen=True)
class AgentState:
    """A search as it stands: its settings, trials and baselines."""

    search: SearchRow
    trials: list[TrialRow]
    baselines: list[BaselineRow]


def run_nas_optimization(
    max_iterations: int = 20,
    *,
    settings: Mapping[str, Value] | None = None,
    db: str | Path | None = None,
    **spec: Any,
) -> AgentState:
    """Run a search to its end and return it. A search with these settings is continued.

    Args:
        max_iterations: trials, the starting configuration among them.
        settings: dotted keys in which the starting configuration differs from the preset, such as
            `{"training.epochs": 1}`.
        db: database of the workspace; NAS_DB where absent.
        **spec: other fields of `nas_engine.search.SearchSpec`, such as `planner="random"` or
            `slots=2`.

    Raises:
        SearchError: the search was refused, or paused for a reason that a person must see to.
        StoreError: the database cannot be used.
        pydantic.ValidationError: a field of the search is not valid.
    """
    workspace = _workspace(db)
    spec = {"planner": default_planner(load_settings().has_key)} | spec
    wanted = SearchSpec(max_trials=max_iterations, settings=dict(settings or {}), **spec)
    with reading(workspace) as reader:
        same = reader.search_like(wanted) if reader else None
    if same is not None and same.finished >= max(max_iterations, same.max_trials):
        return load_agent_state(workspace.db, same.id)
    answer = start_search(workspace, wanted)
    if not answer.ok or answer.search_id is None:
        raise SearchError(answer.text)
    return follow(workspace, answer.search_id, lambda event: None)


def load_agent_state(path: str | Path | None = None, search: int | None = None) -> AgentState:
    """Read a search from the database at `path` (NAS_DB where absent); the newest by default.

    Raises:
        SearchError: there is no such database or search.
        StoreError: the file is no database of this project.
    """
    workspace = _workspace(path)
    with reading(workspace) as reader:
        searches = reader.searches() if reader else []
        found = next((row for row in searches if search in (None, row.id)), None)
        if reader is None or found is None:
            what = "no search" if search is None else f"no search {search}"
            raise SearchError(f"There is {what} in {workspace.db}.")
        return AgentState(found, trials_now(reader, found.id), reader.baselines(found.id))


def get_best_run(state: AgentState) -> TrialRow | None:
    """Return the incumbent, as `front.incumbent` has it; None if no trial is accepted."""
    return next((t for t in state.trials if t.number == state.search.incumbent), None)


def get_recent_runs(state: AgentState, k: int = 10) -> list[TrialRow]:
    """Return the last `k` trials, newest first."""
    return state.trials[::-1][:k]


def follow(
    workspace: Workspace, search_id: int, on_event: Callable[[EventRow], None]
) -> AgentState:
    """Report the events of a search from now on, until its engine ends, and return the search.

    Raises:
        SearchError: the engine was lost, or paused the search for a reason of its own.
    """
    with reading(workspace) as reader:
        assert reader is not None
        last = max((event.id for event in reader.events(search_id, limit=1)), default=0)
    while True:
        with reading(workspace) as reader:
            assert reader is not None
            engine = reader.engine(search_id)
            for event in reader.events(search_id, limit=1000, after=last):
                on_event(event)
                last = event.id
        if engine_state(engine) not in LIVING:
            break
        time.sleep(FOLLOW_SECONDS)
    state = load_agent_state(workspace.db, search_id)
    if complaint := _complaint(state.search):
        raise SearchError(complaint)
    return state


def _complaint(search: SearchRow) -> str:
    """Return why a search without an engine has not ended; empty where it has."""
    if search.state in ("running", "stopping"):
        return (
            f"The engine of search {search.id} was lost; nothing finished is lost: "
            f"`python -m nas_engine resume {search.id}` goes on from there."
        )
    if search.state == "paused":
        return f"Search {search.id} is paused: {search.reason}"
    return ""


def _workspace(db: str | Path | None) -> Workspace:
    return load_settings().workspace if db is None else Workspace(Path(db).expanduser().absolute())
