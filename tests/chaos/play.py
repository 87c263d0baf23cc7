"""Play one search to its end, killing its engine on the way and resuming it as a person would."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from informer import failpoint
from nas_engine.api import AgentState, SearchError, load_agent_state
from nas_engine.commands import Control, Start, send
from nas_engine.engine import serve
from nas_engine.liveness import same_process
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.store import trainings
from nas_engine.store.reader import reading
from nas_engine.trainers.base import Trainer
from nas_engine.workspace import Workspace
from tests.chaos.forks import end, ended_within, fork
from tests.chaos.searches import KINDS, Kind, Person

PATIENCE_SECONDS = 60.0
"""After which an engine that neither ends nor is killed counts as hung."""

LOOK_SECONDS = 0.02
AFTERWARDS = (None, None, None)
"""Starts without a kill after the last one: the first should do."""

NEVER = 1_000_000


class Hung(RuntimeError):
    """An engine did not end."""


Moment = Literal["kill", "term", "worker"]
"""What comes at a moment: SIGKILL or SIGTERM to the engine, or SIGKILL to its worker."""


@dataclass(frozen=True)
class Kill:
    """A kill at the n-th pass of a failpoint, or so many seconds after the engine has begun."""

    point: str = ""
    occurrence: int = 1
    moment: Moment = "kill"
    seconds: float = 0.0

    def __str__(self) -> str:
        if self.point:
            return f"{'worker=' * self.of_worker}{self.point}:{self.occurrence}"
        return f"{self.moment}@{self.seconds:.3f}"

    @staticmethod
    def read(text: str) -> Kill:
        if at := re.fullmatch(r"(kill|term|worker)@([\d.]+)", text):
            return Kill(moment=at[1], seconds=float(at[2]))  # type: ignore[arg-type]
        place, _, occurrence = text.rpartition(":")
        point = place.removeprefix("worker=")
        return Kill(point, int(occurrence), "kill" if point == place else "worker")

    @property
    def of_worker(self) -> bool:
        """Whether the worker is killed, and not the engine."""
        return self.moment == "worker"


@dataclass(frozen=True)
class Case:
    """A search, and the kills of one engine after another; its text is what replays it."""

    kind: str
    kills: tuple[Kill, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}/{','.join(map(str, self.kills))}"

    @staticmethod
    def read(text: str) -> Case:
        kind, _, kills = text.partition("/")
        return Case(kind, tuple(Kill.read(kill) for kill in kills.split(",") if kill))


@dataclass(frozen=True)
class Played:
    """What became of a case."""

    workspace: Workspace
    key: str  # under which the language model was asked
    kills: int  # that came before the engine had ended
    passes: dict[str, int]  # of failpoints, in the last engine
    seconds: float


def play(
    case: Case,
    folder: Path,
    url: str,
    change: Callable[[], None] = lambda: None,
    patience: float = PATIENCE_SECONDS,
) -> Played:
    """Start the search and resume it after each kill; `change` alters the engine's code first.

    Raises:
        Hung: an engine neither ended nor was killed within `patience` seconds.
    """
    folder.mkdir(parents=True)
    workspace, key = Workspace(folder / "nas.db"), f"sk-chaos-{folder.name}"
    kind = KINDS[case.kind]
    person = Person(workspace) if kind.person else None
    kills, begun = 0, time.monotonic()

    def engine(command_id: int, kill: Kill | None) -> None:
        os.environ |= {"OPENROUTER_API_KEY": key, "OPENAI_BASE_URL": url, "LLM_RETRY_SECONDS": "0"}
        change()
        if kill is None or not kill.point:
            run_engine(workspace, kind, command_id)
        elif kill.of_worker:
            run_engine(workspace, kind, command_id, f"{kill.point}:{kill.occurrence}")
        else:
            failpoint.arm(kill.point, kill.occurrence)
            run_engine(workspace, kind, command_id)

    for kill in (*case.kills, *AFTERWARDS):
        command_id = send(workspace, *_next_command(kind, workspace))
        pid = fork(partial(engine, command_id, kill), folder / "engine.log")
        code, struck = _wait(pid, kill, workspace, person, patience)
        if kill is not None and kill.point and kill.of_worker:
            struck = _lost_workers(workspace) > 0
        kills += struck
        if _ended(workspace) or code not in (0, -signal.SIGKILL, -signal.SIGTERM):
            break  # at the end, or with a traceback in its log
    return Played(workspace, key, kills, _passes(folder), time.monotonic() - begun)


def run_engine(workspace: Workspace, kind: Kind, command_id: int, of_worker: str = "") -> None:
    """Be the engine that a command starts, as `nas_engine.engine.main` is one.

    Its first worker is killed at the failpoint `of_worker`.
    """
    told_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: told_to_end.set())
    folder = workspace.db.parent

    def make_trainer(slot: int, spec: SearchSpec) -> Trainer:
        return kind.trainer(folder / "trainings.txt", slot, of_worker)

    serve(workspace, load_settings(), make_trainer, command_id, told_to_end)
    passes = (f"{name} {NEVER - left}\n" for name, left in failpoint.ARMED.items())
    (folder / "passes.txt").write_text("".join(passes))


def import_all() -> None:
    """Import what engines import late, once for all that are forked."""
    import openai.resources.chat  # noqa: F401

    import nas_engine.graph
    import nas_engine.planners.hybrid
    import nas_engine.pruning  # noqa: F401
    from nas_engine.service.http import certificates

    certificates()


def _next_command(kind: Kind, workspace: Workspace) -> tuple[Start | Control, int | None]:
    """Return what a person does: resume, or start where the kill came before the search existed."""
    state = _state(workspace)
    if state is None:
        return Start(spec=kind.spec), None
    return Control(kind="resume"), state.search.id


def _state(workspace: Workspace) -> AgentState | None:
    try:
        return load_agent_state(workspace.db)
    except SearchError:
        return None


def _lost_workers(workspace: Workspace) -> int:
    with reading(workspace) as reader:
        assert reader is not None
        numbers = reader.numbers(1)
        return sum(run.crashes for number in numbers for run in reader.runs(1, number))


def _ended(workspace: Workspace) -> bool:
    state = _state(workspace)
    return state is not None and state.search.state in ("completed", "stopped")


def _passes(folder: Path) -> dict[str, int]:
    file = folder / "passes.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return {name: int(times) for name, times in (line.split() for line in lines)}


def _wait(
    pid: int, kill: Kill | None, workspace: Workspace, person: Person | None, patience: float
) -> tuple[int, bool]:
    """Return how the engine ended, and whether it was killed; a person looks on meanwhile."""
    begun, struck = time.monotonic(), False
    waits = kill is not None and not kill.point
    while (code := ended_within(pid, 0.0 if waits else LOOK_SECONDS)) is None:
        passed = time.monotonic() - begun
        if kill is not None and waits and passed >= kill.seconds and _strike(kill, pid, workspace):
            waits, struck = False, True
        if passed > patience:
            end(pid)
            raise Hung(f"the engine was still there after {patience:.0f} s")
        if person is not None and (state := _state(workspace)) is not None:
            person.look(state)
        if waits and kill is not None:
            time.sleep(min(LOOK_SECONDS, max(0.001, kill.seconds - passed)))
    return code, struck or code == -signal.SIGKILL


def _strike(kill: Kill, engine: int, workspace: Workspace) -> bool:
    """Kill the engine or its worker; False while there is no worker."""
    if kill.moment != "worker":
        os.kill(engine, signal.SIGTERM if kill.moment == "term" else signal.SIGKILL)
        return True
    with reading(workspace) as reader:
        workers = [] if reader is None else trainings.workers(reader, 1)
    living = [pid for pid, start in workers if same_process(pid, start)]
    if living:
        os.kill(living[0], signal.SIGKILL)
    return bool(living)
