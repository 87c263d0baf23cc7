"""The life of one trial as a LangGraph workflow: plan, review, execute, evaluate, record.

The state holds the trial's number and the verdict's figures; all else lies in the database. Every
node begins by asking whether its work is already done, so that a node that is run again after a
crash repeats nothing: the planner is not asked twice, a finished run is not trained again.
"""

from __future__ import annotations

import os

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # checkpoints are data: nothing in them is code

import dataclasses
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel, ConfigDict, Field

from informer.config import from_flat
from informer.rundir import Epoch, Progress, RunDir, Success
from nas_engine.evaluator import Opinion, Verdict, evaluate
from nas_engine.llm import LanguageModel, NoAnswer, prompt
from nas_engine.planners.base import Planner, View, first_proposal
from nas_engine.proposals import differences
from nas_engine.search import SearchSpec
from nas_engine.store.reader import TrialRow
from nas_engine.store.writer import Writer
from nas_engine.trainers.base import Ended, Trainer, Watch
from nas_engine.workspace import Workspace

Graph = CompiledStateGraph[Any, Any, Any, Any]


class TrialState(TypedDict, total=False):
    """What is kept between the nodes of one trial."""

    number: int
    verdict: dict[str, Any]


@dataclass(frozen=True)
class Resources:
    """What the nodes work with. `evaluator` is None where no language model can be asked."""

    workspace: Workspace
    writer: Writer
    search_id: int
    spec: SearchSpec
    planner: Planner
    trainer: Trainer
    evaluator: Callable[[int], LanguageModel] | None
    cancelled: Callable[[], bool]


class Judge(BaseModel):
    """Judge a borderline trial."""

    model_config = ConfigDict(extra="forbid")

    accept: bool = Field(description="Whether the trial should be accepted")
    reason: str = Field(description="Why, in one or two sentences")


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
    builder.add_edge("evaluate", "record")
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
    number, trial = state["number"], _trial(use, state)
    if trial.state not in ("queued", "running"):
        return {}
    config = from_flat(trial.config)
    run = use.workspace.run_dir(use.search_id, number)
    run_id = use.writer.begin_run(use.search_id, number, config.training.seed)
    outcome: Success | Ended | None = _finished_before(run, trial)
    if outcome is None:
        run.create(config)
        use.writer.log(use.search_id, f"Trial {number} is training.", number)
        outcome = use.trainer.train(
            run,
            Watch(
                started=lambda pid: use.writer.set_worker(run_id, pid),
                report=lambda records: _report(use, number, run_id, records),
                cancelled=use.cancelled,
                limit_seconds=60 * use.spec.limits.trial_minutes,
            ),
        )
    else:
        use.writer.add_metrics(run_id, run.read_metrics()[0])
    if isinstance(outcome, Ended):
        use.writer.end_without_result(
            use.search_id, number, outcome.state, outcome.error_class, outcome.message
        )
        use.writer.log(
            use.search_id, f"Trial {number} {outcome.state}: {outcome.message}", number, "warning"
        )
    else:
        use.writer.complete(use.search_id, number, run_id, outcome)
    return {}


def _evaluate(use: Resources, state: TrialState) -> TrialState:
    trial = _trial(use, state)
    search = use.writer.read.search(use.search_id)
    assert search is not None
    best = (
        (search.incumbent, search.best)
        if search.incumbent is not None and search.best is not None
        else None
    )
    verdict = evaluate(
        trial.val_mse,
        trial.error,
        best,
        use.spec.rules,
        consult=lambda borderline: _consult(use, trial, borderline),
    )
    return {"verdict": dataclasses.asdict(verdict)}


def _record(use: Resources, state: TrialState) -> TrialState:
    number, verdict = state["number"], Verdict(**state["verdict"])
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


def _finished_before(run: RunDir, trial: TrialRow) -> Success | None:
    """Return the result that an engine that was lost has left, if it is this trial's."""
    try:
        same = run.read_config().flat() == trial.config
    except (OSError, ValueError):
        return None
    result = run.read_result() if same else None
    return result if isinstance(result, Success) else None


def _consult(use: Resources, trial: TrialRow, borderline: Verdict) -> Opinion | None:
    if use.evaluator is None:
        return None
    parent = use.writer.read.trial(use.search_id, borderline.incumbent or 0)
    changed = differences(parent.config if parent else {}, trial.config)
    try:
        answer = use.evaluator(trial.number).ask(
            system=prompt("evaluator_system"),
            question=prompt(
                "evaluator",
                number=str(trial.number),
                changes=", ".join(f"{key} {old}->{new}" for key, (old, new) in changed.items()),
                value=f"{borderline.value:.6g}",
                incumbent=str(borderline.incumbent),
                incumbent_value=f"{borderline.incumbent_value:.6g}",
                improvement=f"{borderline.improvement:.3%}",
                epochs=_curve(use, trial.number),
                incumbent_epochs=_curve(use, borderline.incumbent or 0),
            ),
            schema=Judge,
            accept=lambda judge: [],
        )
    except NoAnswer as error:
        use.writer.log(use.search_id, f"No opinion: {error}", trial.number, "warning")
        return None
    return Opinion(answer.accept, answer.reason)


def _curve(use: Resources, number: int) -> str:
    rows = use.writer.read.epochs(use.search_id, [number])
    return "\n".join(f"- epoch {row.epoch}: {row.train_loss}, {row.val_mse}" for row in rows)
