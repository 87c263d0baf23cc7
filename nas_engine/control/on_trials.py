"""Queue, stop, retry and decide trials."""

from __future__ import annotations

from informer.config import RunConfig, from_flat
from nas_engine.commands import AskAgain, Decide, Enqueue, OnTrial
from nas_engine.control.scope import (
    Refused,
    Scope,
    configuration_of,
    demand,
    demand_not_stopping,
    run_again,
)
from nas_engine.proposals import Proposal, Record, beyond_bounds, check, overtaken
from nas_engine.search import ASKING, SearchSpec
from nas_engine.space import step_type
from nas_engine.store import proposing, wishes
from nas_engine.store.rows import TrialRow
from nas_engine.trainers.base import Ended

RETRIED = frozenset({"failed", "crashed", "stopped", "pruned"})


def enqueue(scope: Scope, command: Enqueue, author: str) -> str:
    """Queue a configuration of a person's own."""
    search, trials = scope.search, scope.writer.read.trials(scope.search_id)
    demand_not_stopping(scope)
    parent = configuration_of(command.parent, trials, search.spec)
    if parent is None:
        raise Refused(f"{scope.name} has no trial {command.parent}.")
    record = Record(wishes.steered_spec(scope.writer.read, scope.search_id), trials)
    demand(check(record, parent, command.changes, by="person"))
    numbers = scope.writer.read.numbers(scope.search_id) | scope.at_work
    number = max(numbers, default=0) + 1
    proposal = Proposal(
        source="human",
        parent=command.parent,
        changes=command.changes,
        hypothesis=command.comment or "A configuration of a person's own.",
        expected=command.expected,
    )
    config = from_flat({**parent, **command.changes})
    proposing.propose(scope.writer, scope.search_id, number, proposal, config, author=author)
    if len(numbers) >= search.max_trials:
        more = search.spec.model_copy(update={"max_trials": len(numbers) + 1})
        scope.writer.change(scope.search_id, more)
    run_again(scope)
    return f"Trial {number} is queued.{_told(search.spec, config)}"


def _told(spec: SearchSpec, config: RunConfig) -> str:
    """Return, to follow a sentence, which bounds a person's own configuration breaks."""
    return "".join(
        f" {sentence[0].upper()}{sentence[1:]} It is trained all the same, as you want it."
        for sentence in beyond_bounds(spec, config)
    )


def on_trial(scope: Scope, command: OnTrial, author: str) -> str:
    """Stop, skip, retry, repeat or prefer a trial."""
    number, writer = command.number, scope.writer
    trial = writer.read.trial(scope.search_id, number)
    if trial is None:
        raise Refused(f"{scope.name} has no trial {number}.")
    if command.version is not None and command.version != trial.trial_version:
        raise Refused(f"Trial {number} was changed meanwhile ({trial.state}); look at it again.")
    done = f"Trial {number} "
    why = f" {command.comment}" if command.comment else ""
    match command.kind:
        case "stop_trial":
            begun = trial.state == "running" or number in scope.at_work
            if trial.stopping or trial.ended_at is not None or not begun:
                raise Refused(f"Trial {number} is not training ({trial.state}).")
            writer.stop_trial(scope.search_id, number)
            done += "is stopped; the search goes on."
        case "skip":
            if trial.state != "queued" or number in scope.at_work:
                raise Refused(f"Trial {number} is not waiting in the queue ({trial.state}).")
            skipped = Ended("stopped", "stopped", f"Skipped by a person.{why}")
            writer.end_unfinished(scope.search_id, skipped, number)
            done += "is skipped."
        case "retry":
            demand_not_stopping(scope)
            if trial.state not in RETRIED or trial.ended_at is None or number in scope.at_work:
                raise Refused(
                    f"Trial {number} cannot be tried again ({trial.state}): only one that failed, "
                    "crashed, was stopped or pruned can."
                )
            writer.reopen(scope.search_id, number, author, trial.wanted, anew=True)
            run_again(scope)
            done += "is queued again."
        case "another_seed":
            demand_not_stopping(scope)
            ended = trial.ended_at is not None and number not in scope.at_work
            if trial.state != "completed" or not ended:
                raise Refused(f"Trial {number} has no result yet to be seen with another seed.")
            runs = writer.read.runs(scope.search_id, number)
            writer.reopen(scope.search_id, number, author, len(runs) + 1)
            run_again(scope)
            done += "is queued for one more training, with another seed."
        case "to_front":
            if trial.state != "queued":
                raise Refused(f"Trial {number} is not waiting in the queue ({trial.state}).")
            writer.to_front(scope.search_id, number)
            done += "is the next to be trained."
    writer.touch(scope.search_id, number)
    return done


def decide(scope: Scope, command: Decide, author: str) -> str:
    """Approve, edit or reject a proposal that waits."""
    trials = scope.writer.read.trials(scope.search_id)
    trial = next((t for t in trials if t.proposal_id == command.proposal_id), None)
    if trial is None:
        raise Refused(f"{scope.name} has no proposal {command.proposal_id}.")
    edited = None
    if command.decision == "edited":
        spec = wishes.steered_spec(scope.writer.read, scope.search_id)
        parent = configuration_of(trial.parent, trials, spec)
        assert parent is not None, "a proposal's parent is a trial"
        others = [other for other in trials if other.number != trial.number]
        demand(check(Record(spec, others), parent, command.changes, by="person"))
        config = from_flat({**parent, **command.changes})
        edited = (command.changes, config, step_type(command.changes))
    if command.decision == "approved":  # a limit may have been lowered while it waited
        lowered = Record(wishes.steered_spec(scope.writer.read, scope.search_id), ())
        demand([f"Trial {trial.number}: {why}" for why in overtaken(lowered, trial.config)])
    done = proposing.decide(
        scope.writer,
        command.proposal_id,
        command.version,
        command.decision,
        author,
        command.comment,
        edited,
        command.expected,
    )
    if not done:
        raise Refused(_gone(trial))
    if command.decision != "rejected":
        run_again(scope)
    told = "" if edited is None else _told(scope.search.spec, edited[1])
    return f"Trial {trial.number} {command.decision}.{told}"


def ask_again(scope: Scope, command: AskAgain, author: str) -> str:
    """Have something else proposed in the place of a proposal that waits."""
    trials = scope.writer.read.trials(scope.search_id)
    trial = next((t for t in trials if t.proposal_id == command.proposal_id), None)
    if trial is None:
        raise Refused(f"{scope.name} has no proposal {command.proposal_id}.")
    if not proposing.ask_again(
        scope.writer, command.proposal_id, command.version, author, command.hint
    ):
        raise Refused(_gone(trial))
    done = f"The planner is asked again for trial {trial.number}."
    planner = scope.search.spec.planner
    if command.hint and planner not in ASKING:
        done += f" The planner {planner} reads no hints: it only proposes something else."
    return done


def _gone(trial: TrialRow) -> str:
    """Return what happened to a proposal that a person saw as it stands no more."""
    what = trial.decision or ("asked for again" if trial.asked_again else trial.state)
    by = f" by {trial.author}" if trial.author else ""
    return (
        f"The proposal of trial {trial.number} was decided or changed meanwhile ({what}{by}); "
        "look at it again."
    )
