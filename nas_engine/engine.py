"""The background process that runs one search: lease, heartbeat, commands, the loop over trials.

    python -m nas_engine.engine --db PATH --command ID

The main thread beats, applies commands and decides what comes next; one worker thread takes the
trials through their graph, so that a training or a language model never holds up a command.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

import click
import psutil
from pydantic import ValidationError

from informer.config import Value, from_flat
from informer.rundir import RunDir
from nas_engine.commands import COMMAND, Control, Decide, Start
from nas_engine.liveness import HEARTBEAT_SECONDS
from nas_engine.own_rules import OwnRulesError, load
from nas_engine.planners.base import AccessDenied, Planner, SpaceExhausted
from nas_engine.proposals import Record, check, too_large
from nas_engine.search import ASKING, SearchSpec
from nas_engine.service.patience import Patience
from nas_engine.service.redaction import RedactingFormatter, Redaction
from nas_engine.settings import Settings, SettingsError, load_settings
from nas_engine.space import problems_of, step_type
from nas_engine.store.reader import SearchRow, TrialRow
from nas_engine.store.schema import StoreError
from nas_engine.store.writer import LeaseLost, PendingCommand, Writer
from nas_engine.trainers.base import Trainer, TrainerError
from nas_engine.trainers.local import LocalTrainer
from nas_engine.workspace import Workspace

if TYPE_CHECKING:
    from nas_engine.llm import LanguageModel

LOOP_SECONDS = 0.1


@click.command()
@click.option("--db", type=click.Path(path_type=Path), required=True)
@click.option("--command", "command_id", type=int, required=True)
def main(db: Path, command_id: int) -> None:
    """Carry out a command to a search, and run the search while it has work."""
    workspace = Workspace(db)
    try:
        settings = load_settings()
        logging.basicConfig(
            level=logging.DEBUG if settings.debug else logging.WARNING,
            handlers=[log_handler(settings)],
        )
        workspace.create()
        trainer = LocalTrainer(settings.worker_environment(), workspace.worker_log)
        serve(workspace, settings, trainer, command_id)
    except (SettingsError, StoreError, LeaseLost) as error:
        raise click.ClickException(str(error)) from None


def log_handler(settings: Settings, stream: TextIO | None = None) -> logging.Handler:
    """Return a handler that writes, to stderr by default, no keys: libraries log headers."""
    handler = logging.StreamHandler(stream)
    pattern = "%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"
    handler.setFormatter(RedactingFormatter(pattern, Redaction(settings.secrets())))
    return handler


def serve(workspace: Workspace, settings: Settings, trainer: Trainer, command_id: int) -> None:
    """Become the engine of the search that a command is for, unless one lives that will see it.

    Raises:
        StoreError: the database cannot be used.
        LeaseLost: another engine took over.
    """
    writer = Writer(workspace)
    search_id = _addressed(writer, command_id, settings)
    process = psutil.Process()
    if search_id is None or not writer.take_lease(search_id, process.pid, process.create_time()):
        return
    try:
        Engine(workspace, settings, writer, trainer, search_id).run()
    finally:
        writer.release_lease(search_id, process.pid)
        writer.close()


def _addressed(writer: Writer, command_id: int, settings: Settings) -> int | None:
    """Return the search that a command is for, creating it for a start; None if nothing is left."""
    row = writer.pending_command(command_id)
    if row is None or row.search_id is not None:
        return row.search_id if row else None
    try:
        command = COMMAND.validate_json(row.payload)
    except ValidationError as error:
        writer.answer(row.id, False, f"The command is malformed: {error.errors()[0]['msg']}.")
        return None
    if not isinstance(command, Start):
        writer.answer(row.id, False, f"A {command.kind} needs a search to act on.")
        return None
    if problems := _cannot_start(command.spec, settings):
        writer.answer(row.id, False, " ".join(problems))
        return None
    search_id = writer.open_search(command.spec)
    writer.address_command(row.id, search_id)
    return search_id


def _cannot_start(spec: SearchSpec, settings: Settings) -> list[str]:
    if spec.planner in ASKING and not settings.has_key:
        return [
            f"The planner {spec.planner} needs a key: set OPENROUTER_API_KEY in .env, or choose "
            "the planner tpe, which needs none."
        ]
    return problems_of(spec) or [
        f"Trial 0: {sentence}" for sentence in too_large(spec, spec.base())
    ]


class Engine:
    """One search, from here to its end or to the next pause."""

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        writer: Writer,
        trainer: Trainer,
        search_id: int,
    ) -> None:
        self._workspace = workspace
        self._settings = settings
        self._writer = writer
        self._trainer = trainer
        self._search_id = search_id
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="trial")
        self._work: Future[None] | None = None
        self._cancel = threading.Event()
        self._patience = Patience()
        self._begun = False  # whether a start or resume has already been carried out

    def run(self) -> None:
        """Work until nothing is left to do."""
        last_beat = time.monotonic()
        try:
            while True:
                self._apply_commands()
                self._collect()
                if not self._continue():
                    return
                if (now := time.monotonic()) - last_beat >= HEARTBEAT_SECONDS:
                    self._writer.beat(self._search_id, os.getpid(), now - last_beat)
                    last_beat = now
                time.sleep(LOOP_SECONDS)
        finally:
            self._cancel.set()
            self._thread.shutdown(wait=True)
            self._trainer.close()

    # -- what comes next ------------------------------------------------------------------------

    def _continue(self) -> bool:
        """Begin the next piece of work if it is time; False when this engine has nothing to do."""
        if self._work is not None:
            return True
        search = _search(self._writer, self._search_id)
        trials = self._writer.read.trials(self._search_id)
        open_trials = [trial for trial in trials if trial.ended_at is None]
        if search.state == "stopping":
            self._writer.end_open_trials(self._search_id)
            self._writer.set_search_state(self._search_id, "stopped", search.reason)
            self._writer.log(self._search_id, "The search has stopped.")
            return False
        if search.state != "running":
            return False
        if not self._writer.read.baselines(self._search_id):
            self._begin(self._compute_baselines)
        elif open_trials:
            if open_trials[0].state != "proposed":
                self._begin(partial(self._advance, open_trials[0].number))
        elif len(trials) < search.max_trials:
            self._begin(partial(self._advance, len(trials)))
        else:
            self._writer.set_search_state(self._search_id, "completed")
            self._writer.log(self._search_id, f"The search has completed its {len(trials)} trials.")
            return False
        return True

    def _begin(self, work: Callable[[], None]) -> None:
        self._cancel.clear()
        self._work = self._thread.submit(work)

    def _collect(self) -> None:
        """Take note of how the work ended; an error pauses the search and says why."""
        if self._work is None or not self._work.done():
            return
        error = self._work.exception()
        self._work = None
        if error is None:
            return
        if isinstance(error, SpaceExhausted):
            self._writer.set_search_state(self._search_id, "completed", str(error))
            self._writer.log(self._search_id, str(error))
            return
        reason = str(error)
        if not isinstance(error, AccessDenied | TrainerError | OwnRulesError):
            logging.getLogger(__name__).error("The search pauses", exc_info=error)
            log = self._workspace.launch_log
            reason = f"The engine met an error ({type(error).__name__}); {log} has it in full."
        self._writer.set_search_state(self._search_id, "paused", reason)
        self._writer.log(self._search_id, f"Paused: {reason}", level="error")

    # -- commands -------------------------------------------------------------------------------

    def _apply_commands(self) -> None:
        for row in self._writer.pending_commands(self._search_id):
            try:
                command = COMMAND.validate_json(row.payload)
            except ValidationError as error:
                message = error.errors(include_url=False, include_input=False)[0]["msg"]
                self._writer.answer(row.id, False, f"The command is malformed: {message}.")
                continue
            match command:
                case Start():
                    applied, text = self._start(command.spec)
                case Control():
                    applied, text = self._control(command.kind)
                case Decide():
                    applied, text = self._decide(command, row)
            self._writer.answer(row.id, applied, text)
            if applied:
                self._writer.log(self._search_id, f"{row.author}: {text}")

    def _start(self, spec: SearchSpec) -> tuple[bool, str]:
        search, name = _search(self._writer, self._search_id), f"Search {self._search_id}"
        if problems := _cannot_start(spec, self._settings):
            return False, " ".join(problems)
        larger = spec.max_trials > search.max_trials
        if self._begun and search.state == "running" and not larger:
            return (
                False,
                f"{name} with these settings is already running; see its Live page.",
            )
        if search.finished >= search.max_trials and not larger:
            return False, (
                f"{name} has already finished its {search.max_trials} trials with these settings; "
                "give a larger number of trials to continue it."
            )
        self._writer.extend(self._search_id, spec.max_trials, spec.limits)
        self._go_on()
        if search.finished == 0:
            return True, f"{name} has started."
        budget = max(spec.max_trials, search.max_trials)
        return True, f"{name} continues with trial {search.finished} of {budget}."

    def _control(self, kind: Literal["pause", "resume", "stop", "cancel"]) -> tuple[bool, str]:
        search, name = _search(self._writer, self._search_id), f"Search {self._search_id}"
        ended = search.state in ("stopped", "completed")
        if kind == "resume":
            if search.finished >= search.max_trials:
                return False, f"{name} has finished its {search.max_trials} trials."
            if problems := _cannot_start(search.spec, self._settings):
                return False, " ".join(problems)
            self._go_on()
            return True, f"{name} goes on."
        if ended:
            return False, f"{name} has already ended ({search.state})."
        if kind == "pause":
            self._writer.set_search_state(self._search_id, "paused", "Paused by a person.")
            return True, f"{name} pauses: no new trials, what runs is finished."
        self._writer.set_search_state(self._search_id, "stopping", "Stopped by a person.")
        if kind == "stop":
            return True, f"{name} stops: no new trials, what runs is finished."
        self._cancel.set()
        return True, f"{name} is cancelled: what runs is ended now."

    def _go_on(self) -> None:
        self._begun = True
        self._writer.set_search_state(self._search_id, "running")

    def _decide(self, command: Decide, row: PendingCommand) -> tuple[bool, str]:
        trials = self._writer.read.trials(self._search_id)
        trial = next((t for t in trials if t.proposal_id == command.proposal_id), None)
        if trial is None:
            return False, f"Search {self._search_id} has no proposal {command.proposal_id}."
        edited = None
        if command.decision == "edited":
            problems = self._edit_problems(command, trial, trials)
            if problems:
                return False, " ".join(problems)
            parent = _parent(trial, trials, _search(self._writer, self._search_id).spec)
            config = from_flat({**parent, **command.changes})
            edited = (command.changes, config, step_type(command.changes))
        done = self._writer.decide(
            command.proposal_id,
            command.version,
            command.decision,
            row.author,
            command.comment,
            edited,
        )
        if not done:
            return False, (
                f"The proposal of trial {trial.number} was decided or changed meanwhile "
                f"({trial.decision or trial.state}); look at it again."
            )
        return True, f"Trial {trial.number} {command.decision}."

    def _edit_problems(self, command: Decide, trial: TrialRow, trials: list[TrialRow]) -> list[str]:
        spec = _search(self._writer, self._search_id).spec
        earlier = [other for other in trials if other.number != trial.number]
        parent = _parent(trial, trials, spec)
        return check(Record(spec, earlier), parent, command.changes, by="person")

    # -- work, in the trial thread --------------------------------------------------------------

    def _advance(self, number: int) -> None:
        # Imported here because LangGraph and LangChain take seconds, which a start command that
        # waits for its answer should not.
        from nas_engine import graph

        writer = Writer(self._workspace)
        checkpoints = sqlite3.connect(self._workspace.checkpoints, check_same_thread=False)
        try:
            spec = _search(writer, self._search_id).spec
            model = partial(
                _language_model, self._settings, writer, self._patience, self._search_id
            )
            evaluator_key = self._settings.role("evaluator").key.get_secret_value()
            asks = spec.planner in ASKING and bool(evaluator_key)
            planner = planner_of(spec, partial(model, "planner"))
            for trial in writer.read.trials(self._search_id):
                if trial.ended_at is not None:
                    planner.observe(trial)
            resources = graph.Resources(
                workspace=self._workspace,
                writer=writer,
                search_id=self._search_id,
                spec=spec,
                planner=planner,
                trainer=self._trainer,
                evaluator=partial(model, "evaluator") if asks else None,
                own_rules=load(self._settings.nas_rules),
                cancelled=self._cancel.is_set,
            )
            graph.advance(graph.build(resources, checkpoints), self._search_id, number)
        finally:
            checkpoints.close()
            writer.close()

    def _compute_baselines(self) -> None:
        writer = Writer(self._workspace)
        try:
            folder = RunDir(self._workspace.baselines(self._search_id))
            folder.create(_search(writer, self._search_id).spec.base())
            writer.add_baselines(self._search_id, self._trainer.baselines(folder))
            writer.log(self._search_id, "The baselines are computed.")
        finally:
            writer.close()


def _search(writer: Writer, search_id: int) -> SearchRow:
    search = writer.read.search(search_id)
    assert search is not None, "an engine is only started for a search that exists"
    return search


def _parent(trial: TrialRow, trials: list[TrialRow], spec: SearchSpec) -> dict[str, Value]:
    """Return the configuration that a proposal changes."""
    found = next((t.config for t in trials if t.number == trial.parent), None)
    return spec.base().flat() if found is None else found


def _language_model(
    settings: Settings,
    writer: Writer,
    patience: Patience,
    search_id: int,
    role: Literal["planner", "evaluator"],
    number: int,
) -> LanguageModel:
    from nas_engine.llm import LanguageModel

    return LanguageModel(settings, writer, patience, search_id, number, role)


def planner_of(spec: SearchSpec, model: Callable[[int], LanguageModel]) -> Planner:
    """Return the planner of a search, which has observed nothing yet.

    Each is imported where it is needed: the forest of the hybrid alone takes a second.
    """
    match spec.planner:
        case "llm":
            from nas_engine.planners.llm import LLMPlanner

            return LLMPlanner(model)
        case "hybrid":
            from nas_engine.planners.hybrid import HybridPlanner

            return HybridPlanner(model)
        case "rules":
            from nas_engine.planners.rules import RulesPlanner

            return RulesPlanner()
        case "tpe" | "random":
            from nas_engine.planners.tpe import OptunaPlanner

            return OptunaPlanner(spec.planner)


if __name__ == "__main__":
    main()
