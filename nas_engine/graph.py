"""The life of one trial as a LangGraph workflow: plan, review, execute, evaluate, record.

A difference that may be noise goes back from evaluate to execute for another seed. The state holds
the trial's number, how many trainings it needs and the verdict's figures; all else lies in the
database. Every node begins by asking whether its work is already done, so that a node that is run
again after a crash repeats nothing: the planner is not asked twice, a finished run is not trained
again.
"""

from __future__ import annotations

import os

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # checkpoints are data: nothing in them is code

import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, interrupt
from pydantic import TypeAdapter

from data.registry import DataError
from informer.config import SEEDS, RunConfig, from_flat
from informer.estimate import forecast_flops
from informer.failpoint import failpoint
from informer.orders import Orders
from informer.records import Epoch, Progress, Success, UsedData
from informer.rundir import RunDir
from nas_engine import head_start
from nas_engine.backends import lost_with_node
from nas_engine.evaluator import OPEN, AnotherSeed, Opinion, Verdict, advised, decide
from nas_engine.head_start import HeadStart
from nas_engine.inheritance import shortened
from nas_engine.llm import LanguageModel, NoAnswer
from nas_engine.machine import process_allowed
from nas_engine.opinion import ask_opinion
from nas_engine.own_rules import OwnRules
from nas_engine.planning import Held, Planning
from nas_engine.private import keep_private
from nas_engine.pruning import Pruner, Reached
from nas_engine.search import SearchSpec
from nas_engine.service.tracing import trace_nothing
from nas_engine.store import judging, trainings
from nas_engine.store.rows import RunRow, TrialRow
from nas_engine.store.writer import Writer
from nas_engine.trainers.base import Ended, Trainer, TrainerError, Watch, Worker
from nas_engine.workspace import Workspace

trace_nothing()

Graph = CompiledStateGraph[Any, Any, Any, Any]
Checkpoints = SqliteSaver


_VERDICT = TypeAdapter(Verdict)

SEEDLESS = frozenset({"config", "data", "out_of_memory", "time"})
"""Classes of errors that another seed would meet too."""

RETRIES = 2
"""Times that a training whose worker was lost is taken up again."""

QUIET = frozenset({"stopped", "pruned"})
"""Ends of a training that are nobody's fault."""


class Inert(JsonPlusSerializer):
    """Reads from checkpoints what this project writes there, and makes objects of nothing else.

    LangGraph's own default imports and calls what a row names; its strict mode, a variable of the
    environment, holds only where that is set before LangGraph is loaded.
    """

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=None)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return what was stored; raises ValueError for a kind that is never written here."""
        if data[0] not in ("msgpack", "bytes", "null"):
            raise ValueError(f"A checkpoint of the kind {data[0][:20]!r} is not read.")
        return super().loads_typed(data)


class TrialState(TypedDict, total=False):
    """What is kept between the nodes of one trial."""

    number: int
    trainings: int  # wanted; absent: as many as the rules begin with
    verdict: dict[str, Any] | None


@dataclass(frozen=True)
class Resources:
    """What the nodes work with.

    `evaluator` is None where no language model can be asked, `own_rules` where the user has none,
    `pruner` where every trial is trained to its end.
    """

    workspace: Workspace
    writer: Writer  # of the trial's thread
    search_id: int
    spec: SearchSpec
    planning: Planning
    trainer: Trainer
    pruner: Pruner | None
    evaluator: Callable[[int], LanguageModel] | None
    own_rules: OwnRules | None
    ending: Callable[[int], Ended | None]  # how a person has ended a trial, None while nobody has
    held: Callable[[Writer], bool]  # whether no trial shall begin now
    out_of_time: Callable[[Writer], bool]  # whether a budget of time is used up


def advance(graph: Graph, search_id: int, number: int, round: int) -> None:
    """Take a trial as far as it goes: to its end, or to the decision of a person.

    A trial that waits is taken on only after its decision lies in the database; the resume value
    is no more than a nudge. Each round of a trial has a thread of its own.
    """
    thread = f"{search_id}/{number}" + (f"/{round}" if round else "")
    config: RunnableConfig = {"configurable": {"thread_id": thread}}
    snapshot = graph.get_state(config)
    start: TrialState | Command[Any] | None
    if snapshot.interrupts:
        start = Command(resume={snapshot.interrupts[0].id: True})
    elif snapshot.next:
        start = None
    else:
        start = {"number": number}
    graph.invoke(start, config, durability="sync")


def checkpoints_of(workspace: Workspace) -> Checkpoints:
    """Open the checkpoints: for all threads of an engine, which wait for each other's turn.

    They do not wait for the disk: a step whose checkpoint is lost in a power cut is taken again,
    and finds in the tables what it has done.
    """
    keep_private(workspace.checkpoints)
    connection = sqlite3.connect(workspace.checkpoints, timeout=30, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return SqliteSaver(connection, serde=Inert())


def build(use: Resources, checkpoints: Checkpoints) -> Graph:
    """Return the compiled workflow."""
    builder = StateGraph(TrialState)
    builder.add_node("plan", lambda state: _plan(use, state))
    builder.add_node("review", lambda state: _review(use, state))
    builder.add_node("execute", lambda state: _execute(use, state))
    builder.add_node("evaluate", lambda state: _evaluate(use, state))
    builder.add_node("record", lambda state: _record(use, state))
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "review")
    builder.add_conditional_edges("review", lambda state: _after_review(use, state))
    builder.add_edge("execute", "evaluate")
    builder.add_conditional_edges("evaluate", _after_evaluation)
    builder.add_conditional_edges("record", _after_record)
    return builder.compile(checkpointer=checkpoints)


# -- nodes --------------------------------------------------------------------------------------


def _plan(use: Resources, state: TrialState) -> TrialState:
    use.planning.plan(state["number"], lambda: use.held(use.writer))
    use.planning.foresee(use.writer, state["number"])
    failpoint("plan.end")
    return {}


def _review(use: Resources, state: TrialState) -> TrialState:
    if _trial(use, state).state == "proposed":
        failpoint("review.before_wait")
        interrupt(state["number"])
    failpoint("review.end")
    return {}


def _after_review(use: Resources, state: TrialState) -> Literal["execute", "__end__"]:
    return "__end__" if _trial(use, state).decision == "rejected" else "execute"


def _execute(use: Resources, state: TrialState) -> TrialState:
    trial = _trial(use, state)
    wanted = max(_wanted(use, state), trial.wanted)
    if _ended_by_a_person(use, trial):
        return {}
    if trial.state == "queued" and use.held(use.writer):
        raise Held
    use.planning.foresee(use.writer, trial.number)  # of one that was edited, or a person's own
    if _given_up(use, trial) or _ended_by_a_person(use, trial):
        return {}
    at_once = use.spec.slots
    for first in range(0, wanted, at_once):
        repeats = range(first, min(first + at_once, wanted))
        trained = _trained(use, trial, repeats, wanted)
        # What ended before a person wanted another seed is no reason not to train that.
        if any(_ends_training(run) for run in trained[max(0, trial.wanted - 1 - first) :]):
            break
    failpoint("execute.end")
    return {}


def _ended_by_a_person(use: Resources, trial: TrialRow) -> bool:
    ended = use.ending(trial.number)
    if ended is not None:
        use.writer.end_unfinished(use.search_id, ended, trial.number)
    return ended is not None


def _given_up(use: Resources, trial: TrialRow) -> bool:
    """Tell whether what a trial comes to with the weights of its parent is the end of it.

    It is first trained so where the search allows it, and from scratch where that leaves hope.
    """
    reader, number = use.writer.read, trial.number
    if not head_start.wanted(reader, use.spec, trial):
        return False
    if trial.state == "pruned":  # by an engine that was lost
        return True
    start = head_start.of_parent(reader, use.workspace, trial)
    if start is None or shortened(from_flat(trial.config)) is None:
        missing = "it has one epoch alone" if start else "the trial it changes has no weights"
        use.writer.log(use.search_id, f"Trial {number} begins from scratch: {missing}.", number)
        return False
    run = _run(use, use.writer, trial, 0, 1, start)
    failpoint("inherit.trained")
    why = head_start.why_given_up(reader, use.spec, trial) if run.state == "completed" else None
    if why is not None:
        trainings.give_up(use.writer, use.search_id, number, why)
        use.writer.log(use.search_id, f"Trial {number} is not trained from scratch. {why}", number)
        failpoint("inherit.given_up")
    return why is not None


def _wanted(use: Resources, state: TrialState) -> int:
    return state.get("trainings", use.spec.rules.seeds if state["number"] == 0 else 1)


def _trained(use: Resources, trial: TrialRow, repeats: range, wanted: int) -> list[RunRow]:
    """Return the trainings with these seeds, carried out side by side where they are missing."""
    if len(repeats) == 1:
        return [_run(use, use.writer, trial, repeats[0], wanted)]

    def run(repeat: int) -> RunRow:
        writer = use.writer.another()
        try:
            return _run(use, writer, trial, repeat, wanted)
        finally:
            writer.close()

    with ThreadPoolExecutor(len(repeats), thread_name_prefix="seed") as threads:
        return list(threads.map(run, repeats))


def _run(
    use: Resources,
    writer: Writer,
    trial: TrialRow,
    repeat: int,
    wanted: int,
    start: HeadStart | None = None,
) -> RunRow:
    """Return a finished training; one whose worker was lost is taken up again, twice at most."""
    config = _with_seed(trial, repeat)
    config = (start and shortened(config)) or config
    while True:
        run = _run_of(use, writer, trial, config.training.seed, start is not None)
        lost = run is not None and run.state == "crashed" and run.crashes <= RETRIES
        if run is not None and run.state != "running" and not lost:
            return run
        _train(use, writer, trial, repeat, config, wanted, start)


def _train(
    use: Resources,
    writer: Writer,
    trial: TrialRow,
    repeat: int,
    config: RunConfig,
    wanted: int,
    start: HeadStart | None,
) -> None:
    number, seed = trial.number, config.training.seed
    folder = use.workspace.run_dir(use.search_id, number, repeat, inherited=start is not None)
    failpoint("train.before_booking")
    planned = (start.trial, config.training.epochs) if start else ()
    run_id = trainings.begin_run(writer, use.search_id, number, seed, *planned)
    failpoint("train.booked")
    watch = _watch(use, writer, trial, repeat, config, run_id, compared=start is None)
    seen = writer.read.data(use.search_id)
    outcome: Success | Ended | None = _finished_before(folder, config)
    if outcome is not None and _on_other_data(folder, seen):
        outcome = None
    if outcome is None:
        orders = use.spec.orders(wanted=_wanted_by_a_person(trial))
        epoch = folder.create(config, Orders(weights=str(start.weights)) if start else orders)
        which = f" with seed {seed} ({repeat + 1} of {wanted})" if wanted > 1 else ""
        which += f" with the weights of trial {start.trial} that fit" if start else ""
        which += " from scratch" if use.spec.inherits and number and not start else ""
        if lost := lost_with_node(use.spec, config):
            text = f"Trial {number} begins anew if its node is lost. {lost}"
            writer.log(use.search_id, text, number, "warning")

        def started(worker: Worker) -> None:
            watch.started(worker)
            after = max(epoch, worker.after)
            goes_on = f" goes on after epoch {after}" if after else " is training"
            writer.log(use.search_id, f"Trial {number}{goes_on}{which}.", number)

        failpoint("train.folder_ready")
        outcome = use.trainer.train(folder, replace(watch, started=started))
        watch.report([])  # the seconds since its last record
    else:
        watch.report(folder.read_metrics()[0])
    ended = watch.ending()
    if isinstance(outcome, Success) and ended is not None and ended.state == "pruned":
        outcome = ended  # whether the worker was done before it was asked to end is chance
    if isinstance(outcome, Success):
        outcome = _on_other_data(folder, seen) or outcome
    failpoint("train.before_result")
    if isinstance(outcome, Ended):
        if outcome.error_class == "weights":
            outcome = replace(outcome, state="stopped")  # no fault: it is trained from scratch
        if outcome.error_class == "disk":
            raise TrainerError(outcome.message)  # the machine's fault: the trial stays as it is
        trainings.end_without_result(writer, use.search_id, number, run_id, outcome)
        what = f"Trial {number} {outcome.state}" + (f" with seed {seed}" if wanted > 1 else "")
        what += " with inherited weights" if start else ""
        level: Literal["info", "warning"] = "info" if outcome.state in QUIET else "warning"
        writer.log(use.search_id, f"{what}: {outcome.message}", number, level)
    else:
        trainings.complete(
            writer, use.search_id, number, run_id, outcome, _data_of(folder), _flops_of(config)
        )
    failpoint("train.after_result")


def _watch(
    use: Resources,
    writer: Writer,
    trial: TrialRow,
    repeat: int,
    config: RunConfig,
    run_id: int,
    compared: bool,
) -> Watch:
    """Return how a training is followed.

    First seeds from scratch are `compared`, and may be pruned unless a person wants them. After
    the epoch with which one is to end, nothing is recorded: how far it comes until it has ended is
    chance.
    """
    number, last = trial.number, time.monotonic()
    pruner = use.pruner if number > 0 and repeat == 0 and compared else None
    pruned: list[Ended] = []

    def report(records: Sequence[Progress | Epoch]) -> None:
        nonlocal last
        now, kept = time.monotonic(), list[Progress | Epoch]()
        for record in records:
            if pruned:
                break
            kept.append(record)
            if pruner is not None and isinstance(record, Epoch):
                reached = Reached(number, record.epoch, config.training.epochs, record.val_mse)
                why = pruner.report(reached)
                if why is not None and trial.round == 0:
                    pruned.append(Ended("pruned", "", why))
        trainings.add_metrics(writer, use.search_id, number, run_id, kept, now - last)
        last = now
        failpoint("train.reported")

    return Watch(
        started=lambda worker: trainings.set_worker(writer, run_id, worker),
        report=report,
        ending=lambda: use.ending(number) or (pruned[0] if pruned else None),
        limit_seconds=60 * use.spec.limits.trial_minutes,
        memory_bytes=_memory_allowed(use.spec, config),
        measured=lambda load: trainings.set_load(writer, run_id, load),
    )


def _memory_allowed(spec: SearchSpec, config: RunConfig) -> int:
    """Return the bytes of memory at which a training is ended; a node has a bound of its own."""
    given = spec.limits.memory_mb
    if spec.backend.name == "ray":
        return sys.maxsize if given is None else given * 10**6
    return process_allowed(config, spec.slots, given)


def _evaluate(use: Resources, state: TrialState) -> TrialState:
    trial, rules = _trial(use, state), use.spec.rules
    cancelled = use.ending(trial.number) is not None
    runs = use.writer.read.runs(use.search_id, trial.number)
    ends = cancelled or use.out_of_time(use.writer) or any(_ends_training(run) for run in runs)
    if ends:  # it is decided on the seeds that it has
        rules = rules.model_copy(update={"extra_seeds": 0})
    figures = judging.figures(use.writer.read, use.search_id, trial.number)
    own = use.own_rules(figures) if use.own_rules else None
    decision = own or decide(figures, rules)
    if isinstance(decision, AnotherSeed):
        wanted = figures.tried + 1
        use.writer.log(
            use.search_id,
            f"Trial {trial.number} is trained with another seed ({wanted} of at most "
            f"{1 + rules.extra_seeds}): {decision.reason}.",
            trial.number,
        )
        return {"trainings": wanted}
    if own is None and decision.rule in OPEN and not cancelled:
        opinion = _consult(use, trial, decision)
        failpoint("evaluate.advised")
        decision = decision if opinion is None else advised(decision, opinion)
    failpoint("evaluate.end")
    return {"verdict": _VERDICT.dump_python(decision)}


def _after_evaluation(state: TrialState) -> Literal["execute", "record"]:
    return "record" if state.get("verdict") else "execute"


def _record(use: Resources, state: TrialState) -> TrialState:
    number, verdict = state["number"], _VERDICT.validate_python(state["verdict"])
    failpoint("record.before_verdict")
    if not judging.save_verdict(use.writer, use.search_id, number, verdict):
        return {"verdict": None}  # another trial has become the incumbent meanwhile
    failpoint("record.after_verdict")
    use.writer.log(use.search_id, f"Trial {number}: {verdict.sentence}", number)
    return {}


def _after_record(state: TrialState) -> Literal["evaluate", "__end__"]:
    return "evaluate" if state["verdict"] is None else "__end__"


# -- what the nodes ask -------------------------------------------------------------------------


def _trial(use: Resources, state: TrialState) -> TrialRow:
    trial = use.writer.read.trial(use.search_id, state["number"])
    assert trial is not None, "the plan node has stored it"
    return trial


def _with_seed(trial: TrialRow, repeat: int) -> RunConfig:
    """Return the configuration of a trial's training, `repeat` seeds after the first."""
    config = from_flat(trial.config)
    return config.with_changes({"training.seed": (config.training.seed + repeat) % SEEDS})


def _wanted_by_a_person(trial: TrialRow) -> bool:
    """Tell whether a trial is trained however it compares: the reference, and what people ask."""
    people = trial.source == "human" or trial.decision == "edited" or trial.round > 0
    return people or trial.number == 0


def _run_of(
    use: Resources, writer: Writer, trial: TrialRow, seed: int, inherited: bool
) -> RunRow | None:
    kind = "inherited" if inherited else "scratch"
    runs = writer.read.runs(use.search_id, trial.number, every=True)
    return next((run for run in runs if run.seed == seed and run.kind == kind), None)


def _ends_training(run: RunRow) -> bool:
    """Tell whether a trial gets no further seed after this run."""
    return run.state in ("stopped", "pruned") or run.error_class in SEEDLESS


def _finished_before(folder: RunDir, config: RunConfig) -> Success | None:
    """Return the result that an engine that was lost has left, if it is of this training."""
    try:
        same = folder.read_config() == config
    except (OSError, ValueError):
        return None
    result = folder.read_result() if same else None
    return result if isinstance(result, Success) else None


def _data_of(folder: RunDir) -> UsedData | None:
    found = folder.read_environment()
    return None if found is None else found.data


def _flops_of(config: RunConfig) -> int | None:
    """Return the FLOPs of a forecast; None where the data set has gone, which shapes it."""
    try:
        return forecast_flops(config)
    except DataError:
        return None


def _on_other_data(folder: RunDir, seen: UsedData | None) -> Ended | None:
    """Return a failure where a training saw other data than its search, as far as is known."""
    data = _data_of(folder)
    changed = [] if data is None or seen is None else seen.differences(data)
    if data is None or not changed:
        return None
    message = (
        f"The training saw other data than its search: of {data.name} {'; '.join(changed)}. Its "
        "errors would not compare with those of the others."
    )
    return Ended("failed", "data", message)


def _consult(use: Resources, trial: TrialRow, verdict: Verdict) -> Opinion | None:
    if use.evaluator is None:
        return None
    try:
        model = use.evaluator(trial.number)
        return ask_opinion(model, use.writer.read, use.search_id, trial, verdict)
    except NoAnswer as error:
        use.writer.log(use.search_id, f"No opinion: {error}", trial.number, "warning")
        return None
