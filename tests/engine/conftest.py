"""An engine in this process, with the fake trainer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from nas_engine.api import AgentState, load_agent_state
from nas_engine.commands import Command, Start, send
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings, load_settings
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.rows import CommandRow
from nas_engine.trainers.base import Trainer
from nas_engine.workspace import Workspace
from tests.fakes.trainer import FakeTrainer

ONE_SEED = {"seeds": 1, "extra_seeds": 0}
"""Rules under which each trial is trained once, for tests that count trainings."""


@dataclass
class Bench:
    """Runs engines on one workspace and reads what they did."""

    workspace: Workspace
    trainer: FakeTrainer = field(default_factory=FakeTrainer)

    def make_trainer(self, slot: int, spec: SearchSpec) -> Trainer:
        return self.trainer

    def give(self, command: Command, search_id: int | None = None) -> CommandRow:
        """Give a command to an engine that runs here until it has nothing left to do."""
        command_id = send(self.workspace, command, search_id)
        serve(self.workspace, load_settings(), self.make_trainer, command_id)
        return self.command(command_id)

    def search(self, **spec: object) -> AgentState:
        """Run a search to its end and return it."""
        answer = self.give(Start(spec=SearchSpec.model_validate(spec)))
        assert answer.state == "applied", answer.answer
        return load_agent_state(self.workspace.db, answer.search_id)

    def command(self, command_id: int) -> CommandRow:
        with reading(self.workspace) as reader:
            row = wishes.command(reader, command_id) if reader else None
        assert row is not None
        return row


@pytest.fixture
def bench(workspace: Workspace) -> Bench:
    return Bench(workspace)


@pytest.fixture
def in_background(bench: Bench) -> Iterator[Callable[[int], threading.Thread]]:
    """Run an engine in a thread, so that a test can give it commands meanwhile."""
    threads: list[threading.Thread] = []

    def start(command_id: int, settings: Settings | None = None) -> threading.Thread:
        make = bench.make_trainer
        arguments = (bench.workspace, settings or load_settings(), make, command_id)
        thread = threading.Thread(target=serve, args=arguments)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
