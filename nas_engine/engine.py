"""The background process that runs one search: lease, heartbeat, commands, the loop over trials.

    python -m nas_engine.engine --db PATH --command ID

The main thread beats, applies commands and decides what comes next. Each trial under way has a
thread that takes it through its graph, and each slot a worker that trains: neither a training nor a
language model holds up a command, or another trial.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

import click
from pydantic import ValidationError

from data.registry import DataError
from informer.failpoint import failpoint
from informer.records import UsedData
from informer.rundir import RunDir
from nas_engine import lessons
from nas_engine.commands import COMMAND, Control, Start
from nas_engine.control import apply
from nas_engine.control.scope import Refused, Scope
from nas_engine.interruptions import EngineClosed, cannot_be_written
from nas_engine.liveness import HEARTBEAT_SECONDS, boot_id, same_process
from nas_engine.machine import cuda_devices, gpus
from nas_engine.own_rules import OwnRulesError, load
from nas_engine.planners.base import AccessDenied, SpaceExhausted, View
from nas_engine.planning import Held, Planning, planner_of
from nas_engine.private import keep_to_owner
from nas_engine.proposals import overtaken
from nas_engine.readiness import reasons_not_to_start
from nas_engine.search import ASKING, MOST_SLOTS, Limits, SearchSpec
from nas_engine.service.cost import Booking, beyond, worst_case
from nas_engine.service.patience import Patience
from nas_engine.service.redaction import RedactingFormatter, Redaction, log_uncaught
from nas_engine.settings import Settings, SettingsError, load_settings
from nas_engine.standing import due_at, hours_text
from nas_engine.store import proposing, trainings, wishes
from nas_engine.store.inbox import waiting
from nas_engine.store.rows import EngineRow, SearchRow, TrialRow
from nas_engine.store.schema import StoreError, explained
from nas_engine.store.wishes import Errand
from nas_engine.store.writer import LeaseLost, PendingCommand, Writer
from nas_engine.trainers.base import STOPPED, BaselinesEnded, Ended, Trainer, TrainerError
from nas_engine.trainers.choosing import Trainers
from nas_engine.trainers.local import LocalTrainer
from nas_engine.trainers.pool import Pool, device_share
from nas_engine.workspace import Workspace

if TYPE_CHECKING:
    from nas_engine.graph import Checkpoints
    from nas_engine.llm import LanguageModel
    from nas_engine.pruning import Pruner

MakeTrainer = Callable[[int, SearchSpec], Trainer]

TOLD_TO_END = "The engine was told to end; resume goes on from here."
LOOP_SECONDS = 0.1
ERRANDS = 8
"""That are run at once; further ones wait."""
REST_SECONDS = 1.0
"""After the database could not be written, until the next attempt."""

_log = logging.getLogger(__name__)


@click.command()
@click.option("--db", type=click.Path(path_type=Path), required=True)
@click.option("--command", "command_id", type=int, required=True)
def main(db: Path, command_id: int) -> None:
    """Carry out a command to a search, and run the search while it has work."""
    workspace = Workspace(db)
    told_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: told_to_end.set())
    keep_to_owner()
    try:
        settings = load_settings()
        logging.basicConfig(
            level=logging.DEBUG if settings.debug else logging.WARNING,
            handlers=[log_handler(settings)],
        )
        log_uncaught(_log)
        workspace.create()
        local = partial(local_trainer, workspace, settings)
        trainers = Trainers(local, settings.data_directories)
        with explained(db), closing(trainers):
            serve(workspace, settings, trainers, command_id, told_to_end)
    except LeaseLost as error:
        _log.error("%s", error)
        os._exit(1)  # at once: a thread may wait for a language model
    except (SettingsError, StoreError) as error:
        raise click.ClickException(str(error)) from None


def local_trainer(
    workspace: Workspace, settings: Settings, slot: int, spec: SearchSpec
) -> LocalTrainer:
    """Return the trainer of a slot on this machine, with its share of the GPUs that are there."""
    device = str(spec.start()["training.device"])
    shared, share = device_share(slot, spec.slots, cuda_devices(device))
    environment = {**settings.worker_environment(), **shared}
    found = gpus(device)
    gpu = found[slot % len(found)].cuda if found else ""
    return LocalTrainer(environment, workspace.worker_log, slot, memory_share=share, gpu=gpu)


def log_handler(settings: Settings, stream: TextIO | None = None) -> logging.Handler:
    """Return a handler that writes, to stderr by default, no keys: libraries log headers."""
    handler = logging.StreamHandler(stream)
    pattern = "%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"
    handler.setFormatter(RedactingFormatter(pattern, Redaction(settings.secrets())))
    return handler


def serve(
    workspace: Workspace,
    settings: Settings,
    make_trainer: MakeTrainer,
    command_id: int,
    told_to_end: threading.Event | None = None,
) -> None:
    """Become the engine of the search that a command is for, unless one lives that will see it.

    Args:
        workspace: has the command.
        settings: keys, addresses and paths.
        make_trainer: makes the trainer of a slot, by its number and the search.
        command_id: what to carry out.
        told_to_end: set from outside when the engine shall end, with the search paused.

    Raises:
        StoreError: the database cannot be used.
        LeaseLost: another engine took over.
    """
    writer = Writer(workspace)
    try:
        search_id = _addressed(writer, command_id, settings)
        if search_id is None:
            return
        try:
            replaced = writer.take_lease(search_id)
        except LeaseLost:
            return
        failpoint("engine.lease_taken")
        _clear_away(replaced, writer, search_id)
        Engine(workspace, settings, writer, make_trainer, search_id).run(told_to_end)
        failpoint("engine.before_release")
        _last_word(writer.release_lease)
    finally:
        writer.close()


def _last_word(write: Callable[[], object]) -> None:
    """Record the end of an engine; on a full disk it ends all the same, which can be seen."""
    try:
        write()
    except sqlite3.OperationalError as error:
        _log.warning("The end of the engine could not be recorded: %s", error)


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
    problems = reasons_not_to_start(command.spec, settings, writer.workspace)
    if problems := problems or lessons.problems(writer.read, command.spec):
        writer.answer(row.id, False, " ".join(problems))
        return None
    with writer.transaction():
        search_id = writer.open_search(command.spec)
        writer.address_command(row.id, search_id)
    failpoint("engine.search_opened")
    return search_id


def _clear_away(replaced: EngineRow | None, writer: Writer, search_id: int) -> None:
    """Kill what the engine before has left running: itself, if it hangs, and its workers."""
    if replaced is None or replaced.released or replaced.boot != boot_id():
        return  # it left nothing, or the machine has been restarted: these are other processes
    engine = (replaced.pid, replaced.process_start)
    for pid, start in (engine, *trainings.workers(writer.read, search_id)):
        if pid != os.getpid() and same_process(pid, start):
            os.kill(pid, signal.SIGKILL)


class Engine:
    """One search, from here to its end or to the next pause."""

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        writer: Writer,
        make_trainer: MakeTrainer,
        search_id: int,
    ) -> None:
        """Take on a search; `writer` has its lease."""
        self._workspace = workspace
        self._settings = settings
        self._writer = writer
        self._search_id = search_id
        self._spec = self._search().spec
        self._seen = make_trainer.nodes if isinstance(make_trainer, Trainers) else None
        self._trainers = Pool(lambda slot: make_trainer(slot, self._spec), self._spec.slots)
        writer.gather(self._spec.slots)
        self._threads = ThreadPoolExecutor(MOST_SLOTS + 1, thread_name_prefix="trial")
        # Of their own: errands that wait for a language model take no trial's thread.
        self._beside = ThreadPoolExecutor(max_workers=ERRANDS, thread_name_prefix="errand")
        self._work: dict[int | None, Future[None]] = {}  # by trial; the baselines under None
        self._errands: dict[Errand, Future[None]] = {}  # what is wanted beside the trials
        self._woken = threading.Event()
        self._closing = False
        self._cancelled = False
        self._stopping: frozenset[int] = frozenset()  # trials that a person has stopped
        self._begun = False  # whether a start or resume has already been carried out
        self._exhausted = ""  # why no more can be planned
        self._rests_until = 0.0
        self._last_beat = time.monotonic()
        self._patience = Patience()
        self._refused = Booking(0, 0.0)  # what the last call could have cost that was not allowed
        self._preparing = threading.Lock()
        self._planning: Planning | None = None
        self._pruner: Pruner | None = None
        self._checkpoints: Checkpoints | None = None

    def run(self, told_to_end: threading.Event | None = None) -> None:
        """Work until nothing is left to do; raises LeaseLost when another engine takes over."""
        try:
            while self._turn():
                if told_to_end is not None and told_to_end.is_set():
                    _last_word(partial(self._pause, TOLD_TO_END))
                    break
                self._woken.wait(LOOP_SECONDS)
                self._woken.clear()
        finally:
            self._closing = True  # trainings end at once, with their workers
            for threads in (self._threads, self._beside):
                threads.shutdown(wait=False, cancel_futures=True)
        while not all(work.done() for work in (*self._work.values(), *self._errands.values())):
            with suppress(sqlite3.Error):
                self._beat()  # a language model may keep a thread for as long as it answers
            time.sleep(LOOP_SECONDS)
        self._trainers.close()
        if self._planning is not None:
            self._planning.close()
        if self._checkpoints is not None:
            self._checkpoints.conn.close()

    def _turn(self) -> bool:
        """Do what is due; False when this engine has nothing more to do."""
        try:
            beats = self._beat()
            changed = self._apply_commands() | self._collect()
            return self._schedule() if changed or beats else True
        except (sqlite3.OperationalError, StoreError) as error:
            # Locked by another process, or the disk is full: wait until that is over.
            _log.error("The database cannot be written: %s", error)
            time.sleep(REST_SECONDS)
            return True

    def _beat(self) -> bool:
        now = time.monotonic()
        if now - self._last_beat < HEARTBEAT_SECONDS:
            return False
        # An answer about a search that has ended is no time that the search runs.
        runs = bool(self._work) or self._search().state == "running"
        self._writer.beat(now - self._last_beat if runs else 0.0)
        if self._seen is not None and (nodes := self._seen()):
            trainings.see_nodes(self._writer, self._search_id, nodes)
        self._last_beat = now
        return True

    # -- what comes next ------------------------------------------------------------------------

    def _schedule(self) -> bool:
        """Begin what there is room for; False when nothing is left to do."""
        search = self._search()
        self._decide_overdue(search)
        opened = trainings.open_trials(self._writer.read, self._search_id)
        self._stopping = frozenset(trial.number for trial in opened if trial.stopping)
        self._begin_errands()
        self._announce(search)
        if search.state == "stopping" and not self._work:
            why = Ended("stopped", "stopped", "The search was stopped.")
            self._writer.end_unfinished(self._search_id, why)
            self._end("stopped", search.reason)
            return self._wanted_beside()
        at_work = bool(self._work) or self._wanted_beside()
        if search.state != "running":
            return at_work
        if why_not := self._too_many_failures(search) or self._other_data(search):
            self._pause(why_not)
            return at_work
        if search.spec.backend != self._spec.backend:
            self._trainers.renew()
        self._spec = search.spec
        self._trainers.resize(search.spec.slots)
        self._writer.gather(search.spec.slots)
        spent = self._time_spent(search, self._writer) or self._money_spent(search)
        while not spent and len(self._work) < search.spec.slots and self._begin_next(search):
            if time.monotonic() - self._last_beat >= HEARTBEAT_SECONDS:
                break  # with hundreds of slots the rest has time until the next turn
        waits = any(trial.state == "proposed" and not trial.drafted for trial in opened)
        if self._work or (waits and not spent) or time.monotonic() < self._rests_until:
            return True
        self._end("completed", spent or self._exhausted)
        return self._wanted_beside()

    def _wanted_beside(self) -> bool:
        """Tell whether an errand is under way, or rests until it can be written."""
        return bool(self._errands) or time.monotonic() < self._rests_until

    def _decide_overdue(self, search: SearchRow) -> None:
        """Have the timer decide on what nobody has decided on in time."""
        timer = search.spec.timer
        if timer is None or search.state != "running":
            return
        engine = self._writer.read.engine(self._search_id)
        assert engine is not None, "an engine has its lease"
        for opened in trainings.open_trials(self._writer.read, self._search_id):
            if opened.state != "proposed" or opened.drafted:
                continue
            trial = self._writer.read.trial(self._search_id, opened.number)
            due = None if trial is None else due_at(trial, search, engine.started_at)
            if trial is not None and due is not None and time.time() >= due:
                # Only a person may go against what people told the search meanwhile.
                view = View.of(self._writer.read, search.id, trial.number)
                against = overtaken(view.record, trial.config)
                approves = timer.then == "approve" and not against
                decision: Literal["approved", "rejected"] = "approved" if approves else "rejected"
                why = f"Nobody decided within {timer.minutes:g} minutes."
                why += f" It breaks what holds by now: {against[0]}" if against else ""
                proposal = (trial.proposal_id, trial.version)
                if proposing.decide(self._writer, *proposal, decision, author="timer", comment=why):
                    text = f"Trial {trial.number} {decision} by the timer: {why}"
                    self._writer.log(self._search_id, text, trial.number)

    def _begin_errands(self) -> None:
        """Begin what people want beside the trials: it holds up none of them."""
        if time.monotonic() < self._rests_until:
            return
        for errand in wishes.errands(self._writer.read, self._search_id):
            if errand not in self._errands:
                self._errands[errand] = self._beside.submit(self._run_errand, errand)
                self._errands[errand].add_done_callback(lambda _: self._woken.set())

    def _announce(self, search: SearchRow) -> None:
        """Tell the user's webhook, where there is one, of each proposal that begins to wait."""
        if not self._settings.nas_webhook.get_secret_value():
            return
        for row in waiting(self._writer.read, self._search_id):
            trial = self._writer.read.trial(self._search_id, row.number)
            if trial is not None and not row.announced and not row.asked_again:
                proposing.announced(self._writer, row.proposal_id, row.version)  # at most once
                threading.Thread(target=self._post, args=(search, trial), daemon=True).start()

    def _begin_next(self, search: SearchRow) -> bool:
        """Begin the next trial, or plan one; False where there is none to begin now."""
        read = self._writer.read
        if not read.baselines(self._search_id):
            return self._begin(None, self._compute_baselines)
        opened = trainings.open_trials(read, self._search_id)
        numbers = read.numbers(self._search_id)
        first = next((trial for trial in opened if trial.number == 0), None)
        if 0 in self._work or (first is not None and first.state == "proposed"):
            return False  # it is what the others are judged and planned by
        if first is not None or 0 not in numbers:
            return self._begin(0, partial(self._advance, 0))
        for trial in opened:
            if trial.state != "proposed" and trial.number not in self._work:
                return self._begin(trial.number, partial(self._advance, trial.number))
        planned = self._at_work() - numbers
        held = sum(not (trial.drafted and trial.state == "proposed") for trial in opened)
        room = held + len(planned) < search.spec.slots
        if self._exhausted or not room or len(numbers | planned) >= search.max_trials:
            return False
        number = next(n for n in itertools.count() if n not in numbers and n not in planned)
        return self._begin(number, partial(self._advance, number))

    def _begin(self, number: int | None, work: Callable[[], None]) -> bool:
        if time.monotonic() < self._rests_until or number in self._work:
            return False
        self._work[number] = self._threads.submit(work)
        self._work[number].add_done_callback(lambda _: self._woken.set())
        return True

    def _time_spent(self, search: SearchRow, writer: Writer) -> str:
        """Return which budget of time is used up, in a sentence; empty while none is."""
        limits = search.spec.limits
        running = search.active_seconds + time.monotonic() - self._last_beat
        if limits.hours is not None and running >= 3600 * limits.hours:
            return f"The budget of {hours_text(limits.hours)} is used up."
        hours = limits.training_hours
        if (
            hours is not None
            and trainings.training_seconds(writer.read, self._search_id) >= 3600 * hours
        ):
            return f"The budget of {hours_text(hours)} of training is used up."
        return ""

    def _money_spent(self, search: SearchRow) -> str:
        """Say so, in a sentence, if no language model can be paid any more."""
        limits, read = search.spec.limits, self._writer.read
        if limits.usd is not None and search.spec.planner in ASKING:
            money, spend = Limits(usd=limits.usd), read.spend(self._search_id)
            least = worst_case("", self._settings.llm_max_tokens, self._settings.role("planner"))
            if beyond(money, spend, max(least, self._refused, key=lambda call: call.usd)):
                return (
                    f"The budget of {limits.usd:.4g} US dollars is used up: "
                    f"{spend.booked_usd:.4g} are booked."
                )
        return ""

    def _too_many_failures(self, search: SearchRow) -> str:
        """Return why the search should pause for what goes wrong, in a sentence."""
        count, kind, error = trainings.failures_in_a_row(self._writer.read, self._search_id)
        if count < search.spec.limits.failures:
            return ""
        return (
            f"{count} trials in a row failed with the same kind of error ({kind}): {error} "
            "Mend what causes it, then resume."
        )

    def _other_data(self, search: SearchRow) -> str:
        """Say so, in a sentence, if the data set is not what the search has seen any more."""
        try:
            now = search.spec.data()
        except DataError as error:
            return f"{error} This search needs its data as they were: add them again, then resume."
        seen = search.used or self._seen_by_trial_0()
        changed = [] if seen is None else seen.differences(now)
        if search.used is None:
            self._writer.note_data(search.id, seen if seen and changed else now)
        if not changed:
            return ""
        return (
            f"Data set {now.name} was replaced since this search began: {'; '.join(changed)}. Put "
            "the data back as they were and resume, or start a new search: errors on other data "
            "do not compare."
        )

    def _seen_by_trial_0(self) -> UsedData | None:
        """Return the data of the first training, of a search from before a search kept them."""
        found = self._workspace.run_dir(self._search_id, 0).read_environment()
        return None if found is None else found.data

    def _collect(self) -> bool:
        """Take note of work that has ended; an error pauses the search and says why."""
        ended = [number for number, work in self._work.items() if work.done()]
        for number in ended:
            error = self._work[number].exception()
            del self._work[number]
            match error:
                case None | EngineClosed() | Held() | BaselinesEnded():
                    pass
                case LeaseLost():
                    raise error
                case SpaceExhausted():
                    self._exhausted = str(error)
                case _ if cannot_be_written(error):
                    _log.error("Trial %s could not be written: %s", number, error)
                    self._rests_until = time.monotonic() + REST_SECONDS
                case AccessDenied() | TrainerError() | OwnRulesError():
                    self._pause(str(error))
                case _:
                    _log.error("The search pauses", exc_info=error)
                    name, log = type(error).__name__, self._workspace.launch_log
                    self._pause(f"The engine met an error ({name}); {log} has it in full.")
        return self._collect_errands() or bool(ended)

    def _collect_errands(self) -> bool:
        """Take note of errands that have ended; their own rows say how."""
        ended = [errand for errand, work in self._errands.items() if work.done()]
        for errand in ended:
            error = self._errands.pop(errand).exception()
            if isinstance(error, LeaseLost):
                raise error
            if error is not None and not isinstance(error, EngineClosed):
                _log.error("An errand (%s) could not be run", errand, exc_info=error)
                self._rests_until = time.monotonic() + REST_SECONDS
        return bool(ended)

    def _pause(self, reason: str) -> None:
        self._writer.pause(self._search_id, reason)
        self._writer.log(self._search_id, f"Paused: {reason}", level="error")

    def _end(self, state: Literal["stopped", "completed"], reason: str) -> None:
        finished = len(self._writer.read.numbers(self._search_id))
        failpoint("engine.before_end")
        self._writer.set_search_state(self._search_id, state, reason)
        text = f"The search has {state} with {finished} trials."
        self._writer.log(self._search_id, f"{text} {reason}".strip())

    # -- commands -------------------------------------------------------------------------------

    def _apply_commands(self) -> bool:
        rows = self._writer.pending_commands(self._search_id)
        for row in rows:
            self._apply(row)
        return bool(rows)

    def _apply(self, row: PendingCommand) -> None:
        """Apply a command and answer it, both or neither."""
        failpoint("command.before")
        try:
            command = COMMAND.validate_json(row.payload)
        except ValidationError as error:
            message = error.errors(include_url=False, include_input=False)[0]["msg"]
            self._writer.answer(row.id, False, f"The command is malformed: {message}.")
            return
        scope = Scope(self._writer, self._settings, self._search_id, self._at_work(), self._begun)
        try:
            with self._writer.transaction():
                text = apply(scope, command, row.author)
                failpoint("command.inside")
                self._writer.answer(row.id, True, text)
                self._writer.log(self._search_id, f"{row.author}: {text}")
        except Refused as error:
            self._writer.answer(row.id, False, str(error))
            return
        failpoint("command.after")
        if isinstance(command, Start) or command.kind == "resume":
            self._begun, self._exhausted, self._cancelled = True, "", False
        self._cancelled |= isinstance(command, Control) and command.kind == "cancel"

    # -- work, in threads -----------------------------------------------------------------------

    def _advance(self, number: int) -> None:
        # Imported here because LangGraph and LangChain take seconds, which a start command that
        # waits for its answer should not.
        from nas_engine import graph

        planning, pruner = self._prepared()
        with self._preparing:
            if self._checkpoints is None:
                self._checkpoints = graph.checkpoints_of(self._workspace)
            checkpoints = self._checkpoints
        writer = self._writer.another()
        try:
            spec = wishes.steered_spec(writer.read, self._search_id)
            evaluator_key = self._settings.role("evaluator").key.get_secret_value()
            asks = spec.planner in ASKING and bool(evaluator_key)
            resources = graph.Resources(
                workspace=self._workspace,
                writer=writer,
                search_id=self._search_id,
                spec=spec,
                planning=planning,
                trainer=self._trainers,
                pruner=pruner,
                evaluator=self._model(writer, "evaluator") if asks else None,
                own_rules=load(self._settings.nas_rules),
                ending=self._ending,
                held=self._held,
                out_of_time=self._out_of_time,
            )
            trial = writer.read.trial(self._search_id, number)
            round = 0 if trial is None else trial.round
            graph.advance(graph.build(resources, checkpoints), self._search_id, number, round)
        finally:
            writer.close()

    def _run_errand(self, errand: Errand) -> None:
        from nas_engine import errands

        writer = self._writer.another()
        try:
            means = errands.Means(
                workspace=self._workspace,
                settings=self._settings,
                patience=self._patience,
                writer=writer,
                search_id=self._search_id,
                planning=lambda: self._prepared()[0],
                at_work=self._at_work,
                go_on=self._go_on,
            )
            errands.run(means, errand)
        finally:
            writer.close()

    def _post(self, search: SearchRow, trial: TrialRow) -> None:
        from nas_engine.service import webhook  # its HTTP client takes a while to import

        address, link = self._settings.nas_webhook, self._settings.nas_dashboard_url
        said = webhook.note(search, trial, link)
        if problem := webhook.post(address.get_secret_value(), said):
            text = f"The webhook was not told that trial {trial.number} waits: {problem}."
            writer = self._writer.another()
            with closing(writer), suppress(LeaseLost, StoreError, sqlite3.Error):
                writer.log(search.id, text, trial.number, "warning")

    def _go_on(self) -> None:
        if self._closing:
            raise EngineClosed

    def _ending(self, number: int) -> Ended | None:
        self._go_on()
        return STOPPED if self._cancelled or number in self._stopping else None

    def _held(self, writer: Writer) -> bool:
        return self._search(writer).state != "running" or self._out_of_time(writer)

    def _out_of_time(self, writer: Writer) -> bool:
        return bool(self._time_spent(self._search(writer), writer))

    def _prepared(self) -> tuple[Planning, Pruner | None]:
        """Return the planner and the pruner, made when they are first needed."""
        with self._preparing:
            if self._planning is None:
                from nas_engine.pruning import Pruner

                writer = self._writer.another()
                spec = self._search(writer).spec
                planner = planner_of(spec, self._model(writer, "planner"))
                if spec.pruning.method != "none":
                    self._pruner = Pruner.of(writer.read, self._search_id)
                self._planning = Planning(writer, self._search_id, planner)
            return self._planning, self._pruner

    def _model(
        self, writer: Writer, role: Literal["planner", "evaluator"]
    ) -> Callable[[int], LanguageModel]:
        def model(number: int) -> LanguageModel:
            from nas_engine.llm import LanguageModel

            return LanguageModel(
                *(self._settings, writer, self._patience, self._search_id, number, role),
                on_limit=self._note_refused,
            )

        return model

    def _note_refused(self, worst: Booking) -> None:
        self._refused = worst

    def _compute_baselines(self) -> None:
        writer = self._writer.another()
        try:
            folder = RunDir(self._workspace.baselines(self._search_id))
            folder.create(self._search(writer).spec.base())
            rows = self._trainers.baselines(folder, partial(self._ending, 0))
            lessons.take(writer, self._search(writer), folder.traits, self._settings)
            failpoint("baselines.before_store")
            writer.add_baselines(self._search_id, rows)
            writer.log(self._search_id, "The baselines are computed.")
        finally:
            writer.close()

    # -- what it asks ---------------------------------------------------------------------------

    def _search(self, writer: Writer | None = None) -> SearchRow:
        search = (writer or self._writer).read.search(self._search_id)
        assert search is not None, "an engine is only started for a search that exists"
        return search

    def _at_work(self) -> set[int]:
        # As a tuple first: other threads ask while this one begins and ends work.
        return {number for number in tuple(self._work) if number is not None}


if __name__ == "__main__":
    main()
