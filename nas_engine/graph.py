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
os.environ["LANGSMITH_TRACING"] = (
    "false"  # prompts go to the model that was chosen, and nowhere else
)

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, interrupt
from pydantic import TypeAdapter

from informer.config import RunConfig, from_flat
from informer.rundir import Epoch, Progress, RunDir, Success
from nas_engine.evaluator import OPEN, AnotherSeed, Opinion, Verdict, advised, decide
from nas_engine.llm import LanguageModel, NoAnswer
from nas_engine.opinion import ask_opinion
from nas_engine.own_rules import OwnRules
from nas_engine.planners.base import Planner, View, first_proposal
from nas_engine.search import SearchSpec
from nas_engine.store.reader import RunRow, TrialRow
from nas_engine.store.writer import Writer
from nas_engine.trainers.base import Ended, Trainer, Watch
from nas_engine.workspace import Workspace

Graph = CompiledStateGraph[Any, Any, Any, Any]


_VERDICT = TypeAdapter(Verdict)

SEEDLESS = frozenset({"config", "data", "out_of_memory", "time"})
"""Classes of errors that another seed would meet too."""


class TrialState(TypedDict, total=False):
    """What is kept between the nodes of one trial."""

    number: int
    trainings: int  # wanted; absent: as many as the rules begin with
    verdict: dict[str, Any]


@dataclass(frozen=True)
class Resources:
    """What the nodes work with.

    `evaluator` is None where no language model can be asked, `own_rules` where the user has none.
    """

    workspace: Workspace
    writer: Writer
    search_id: int
    spec: SearchSpec
    planner: Planner
    trainer: Trainer
    evaluator: Callable[[int], LanguageModel] | None
    own_rules: OwnRules | None
    cancelled: Callable[[], bool]


def advance(graph: Graph, search_id: int, number: int) -> None:
    """Take a trial as far as it goes: to its end, or to the decision of a person.

    A trial that waits is taken on only after its decision lies in the database; the resume value
    is no more than a nudge.
    """
    config: RunnableConfig = {"configurable": {"thread_id": f"{search_id}/{number}"}}
    snapshot = graph.get_state(config)
    start: TrialState | Command[Any] | None
    if snapshot.interrupts:
        start = Command(resume={snapshot.interrupts[0].id: True})
    elif snapshot.next:
        start = None
    else:
        start = {"number": number}
    graph.invoke(start, config, durability="sync")


def build(use: Resources, checkpoints: sqlite3.Connection) -> Graph:
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
    builder.add_edge("record", END)
    return builder.compile(checkpointer=SqliteSaver(checkpoints))


# -- nodes --------------------------------------------------------------------------------------


def _plan(use: Resources, state: TrialState) -> TrialState:
    number = state["number"]
    if use.writer.read.trial(use.search_id, number) is not None:
        return {}
    view = View.of(use.writer.read, use.search_id, number)
    proposal = first_proposal() if number == 0 else use.planner.propose(view)
    config = from_flat({**view.parent, **proposal.changes})
    waiting = number > 0 and use.spec.mode == "review"
    use.writer.propose(use.search_id, number, proposal, config, waiting)
    changes = ", ".join(f"{key}={value}" for key, value in proposal.changes.items())
    use.writer.log(
        use.search_id,
        f"Trial {number} proposed by {proposal.source}: {changes or 'the starting configuration'}."
        + (" It waits for a decision." if waiting else ""),
        number,
    )
    return {}


def _review(use: Resources, state: TrialState) -> TrialState:
    if _trial(use, state).state == "proposed":
        interrupt(state["number"])
    return {}


def _after_review(use: Resources, state: TrialState) -> Literal["execute", "__end__"]:
    return "__end__" if _trial(use, state).decision == "rejected" else "execute"


def _execute(use: Resources, state: TrialState) -> TrialState:
    trial = _trial(use, state)
    wanted = state.get("trainings", use.spec.rules.seeds if trial.number == 0 else 1)
    for repeat in range(wanted):
        config = _with_seed(trial, repeat)
        run = _run_of(use, trial, config.training.seed)
        if run is None or run.state == "running":
            run = _train(use, trial, repeat, config, wanted)
        if _ends_training(run):
            break
    return {}


def _train(use: Resources, trial: TrialRow, repeat: int, config: RunConfig, wanted: int) -> RunRow:
    number, seed = trial.number, config.training.seed
    folder = use.workspace.run_dir(use.search_id, number, repeat)
    run_id = use.writer.begin_run(use.search_id, number, seed)
    outcome: Success | Ended | None = _finished_before(folder, config)
    if outcome is None:
        folder.create(config)
        which = f" with seed {seed} ({repeat + 1} of {wanted})" if wanted > 1 else ""
        use.writer.log(use.search_id, f"Trial {number} is training{which}.", number)
        outcome = use.trainer.train(
            folder,
            Watch(
                started=lambda pid: use.writer.set_worker(run_id, pid),
                report=lambda records: _report(use, number, run_id, records),
                cancelled=use.cancelled,
                limit_seconds=60 * use.spec.limits.trial_minutes,
            ),
        )
    else:
        use.writer.add_metrics(run_id, folder.read_metrics()[0])
    if isinstance(outcome, Ended):
        use.writer.end_without_result(
            *(use.search_id, number, run_id),
            *(outcome.state, outcome.error_class, outcome.message),
        )
        what = f"Trial {number} {outcome.state}" + (f" with seed {seed}" if wanted > 1 else "")
        use.writer.log(use.search_id, f"{what}: {outcome.message}", number, "warning")
    else:
        use.writer.complete(use.search_id, number, run_id, outcome)
    run = _run_of(use, trial, seed)
    assert run is not None, "it has just been recorded"
    return run


def _evaluate(use: Resources, state: TrialState) -> TrialState:
    trial, rules, cancelled = _trial(use, state), use.spec.rules, use.cancelled()
    runs = use.writer.read.runs(use.search_id, trial.number)
    if cancelled or any(_ends_training(run) for run in runs):
        rules = rules.model_copy(update={"extra_seeds": 0})
    figures = use.writer.read.figures(use.search_id, trial.number)
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
        decision = decision if opinion is None else advised(decision, opinion)
    return {"verdict": _VERDICT.dump_python(decision)}


def _after_evaluation(state: TrialState) -> Literal["execute", "record"]:
    return "record" if "verdict" in state else "execute"


def _record(use: Resources, state: TrialState) -> TrialState:
    number, verdict = state["number"], _VERDICT.validate_python(state["verdict"])
    use.writer.save_verdict(use.search_id, number, verdict)
    use.writer.log(use.search_id, f"Trial {number}: {verdict.sentence}", number)
    return {}


def _report(use: Resources, number: int, run_id: int, records: Sequence[Progress | Epoch]) -> None:
    use.writer.add_metrics(run_id, records)
    for record in records:
        if isinstance(record, Epoch):
            use.writer.log(
                use.search_id,
                f"Trial {number}, epoch {record.epoch}: train_loss {_figure(record.train_loss)}, "
                f"val_mse {_figure(record.val_mse)}, {record.seconds:.1f} s.",
                number,
                "debug",
            )


def _figure(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


# -- what the nodes ask -------------------------------------------------------------------------


def _trial(use: Resources, state: TrialState) -> TrialRow:
    trial = use.writer.read.trial(use.search_id, state["number"])
    assert trial is not None, "the plan node has stored it"
    return trial


def _with_seed(trial: TrialRow, repeat: int) -> RunConfig:
    """Return the configuration of a trial's training, `repeat` seeds after the first."""
    config = from_flat(trial.config)
    return config.with_changes({"training.seed": (config.training.seed + repeat) % 2**31})


def _run_of(use: Resources, trial: TrialRow, seed: int) -> RunRow | None:
    runs = use.writer.read.runs(use.search_id, trial.number)
    return next((run for run in runs if run.seed == seed), None)


def _ends_training(run: RunRow) -> bool:
    """Tell whether a trial gets no further seed after this run."""
    return run.state == "stopped" or run.error_class in SEEDLESS


def _finished_before(folder: RunDir, config: RunConfig) -> Success | None:
    """Return the result that an engine that was lost has left, if it is of this training."""
    try:
        same = folder.read_config() == config
    except (OSError, ValueError):
        return None
    result = folder.read_result() if same else None
    return result if isinstance(result, Success) else None


def _consult(use: Resources, trial: TrialRow, verdict: Verdict) -> Opinion | None:
    if use.evaluator is None:
        return None
    try:
        model = use.evaluator(trial.number)
        return ask_opinion(model, use.writer.read, use.search_id, trial, verdict)
    except NoAnswer as error:
        use.writer.log(use.search_id, f"No opinion: {error}", trial.number, "warning")
        return None
