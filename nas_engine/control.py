"""What the commands of people do to a search: each is checked as things stand, and applied or not.

The engine calls `apply` inside a transaction, in which the command is answered too: a command has
all of its effect or none, and has it once.
"""

from __future__ import annotations

import shutil
from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from informer.config import ConfigError, RunConfig, Value, from_flat
from informer.cost import parameters
from informer.files import KEPT_CHECKPOINTS
from nas_engine.backends import backend_problems
from nas_engine.commands import (
    ANSWER_NEEDS_KEY,
    Ask,
    AskAgain,
    Change,
    Command,
    Control,
    Decide,
    Describe,
    Enqueue,
    Guide,
    Lift,
    OnTrial,
    Replay,
    Start,
    StopAnswer,
    changed,
    started_again,
)
from nas_engine.guidance import in_force, steered, understood
from nas_engine.own_rules import OwnRulesError, load
from nas_engine.proposals import (
    Proposal,
    Record,
    beyond_bounds,
    check,
    overtaken,
    too_large,
    untimeable,
)
from nas_engine.search import ASKING, CHANGEABLE, SearchSpec
from nas_engine.service.cost import worst_case
from nas_engine.settings import Settings
from nas_engine.space import SpaceError, problems_of, step_type
from nas_engine.standing import budgets, hours_text
from nas_engine.store import proposing, trainings, wishes
from nas_engine.store.rows import SearchRow, TrialRow
from nas_engine.store.writer import Writer
from nas_engine.trainers.base import Ended
from nas_engine.workspace import Workspace

STOPPED = Ended("stopped", "stopped", "Stopped by a person.")
ENDED = frozenset({"stopped", "completed"})
RECORDS_BYTES = 10**6
"""Of a trial's log, figures and rows, about."""
LOOKED_AHEAD = 1000
"""Trials for which there must be room on the disk: other budgets may end a search before more."""
RETRIED = frozenset({"failed", "crashed", "stopped", "pruned"})


class Refused(Exception):
    """A command that cannot be applied; the message says why, and what to do."""


@dataclass(frozen=True)
class Scope:
    """What a command acts on: a search, as its engine holds it."""

    writer: Writer
    settings: Settings
    search_id: int
    at_work: Set[int]  # trials that are being planned, trained or judged at this moment
    begun: bool  # whether this engine has been told to start or to resume

    @property
    def search(self) -> SearchRow:
        """The search as it stands."""
        found = self.writer.read.search(self.search_id)
        assert found is not None, "an engine is only started for a search that exists"
        return found

    def reasons_not_to_start(self, spec: SearchSpec) -> list[str]:
        """Return why the search cannot go on, with the settings of `spec`."""
        workspace, finished = self.writer.workspace, self.search.finished
        return reasons_not_to_start(spec, self.settings, workspace, finished)

    @property
    def name(self) -> str:
        """The search, for sentences."""
        return f"Search {self.search_id}"


def apply(scope: Scope, command: Command, author: str) -> str:
    """Apply a command of `author` and return what is to be said of it; raises Refused."""
    try:
        return _applied(scope, command, author)
    except ConfigError as error:  # what a search starts from may be gone, as its data set
        raise Refused(" ".join(error.problems)) from None


def _applied(scope: Scope, command: Command, author: str) -> str:
    match command:
        case Start():
            return _start(scope, command.spec)
        case Control():
            return _control(scope, command)
        case Change():
            return _change(scope, command)
        case Enqueue():
            return _enqueue(scope, command, author)
        case OnTrial():
            return _on_trial(scope, command, author)
        case Decide():
            return _decide(scope, command, author)
        case AskAgain():
            return _ask_again(scope, command, author)
        case Guide():
            return _guide(scope, command, author)
        case Lift():
            return _lift(scope, command, author)
        case Ask():
            return _ask(scope, command, author)
        case StopAnswer():
            if not wishes.stop_turn(scope.writer, command.turn_id):
                raise Refused("That answer has ended already.")
            return "The answer is stopped; what there is of it stays."
        case Replay():
            return _replay(scope, command, author)
        case Describe():  # applied where it is given; a row that waits is not of this project's
            raise Refused("A description is saved at once, without an engine; give it again.")


def reasons_not_to_start(
    spec: SearchSpec, settings: Settings, workspace: Workspace, finished: int = 0
) -> list[str]:
    """Return why a search cannot start, or go on after `finished` trials, a sentence each."""
    if spec.planner in ASKING and not settings.has_key:
        return [
            f"The planner {spec.planner} needs a key: set OPENROUTER_API_KEY in .env, or choose "
            "the planner portfolio, which needs none."
        ]
    usd = spec.limits.usd
    if usd is not None and spec.planner in ASKING:
        least = worst_case("", settings.llm_max_tokens, settings.role("planner")).usd
        if usd < least:
            return [
                f"usd: {usd:.4g} US dollars do not pay for a call of the language model, which can "
                f"cost {least:.4g} and more; allow more, or choose a planner that asks none."
            ]
    try:
        load(settings.nas_rules)
    except OwnRulesError as error:
        return [str(error)]
    if problems := problems_of(spec) or backend_problems(spec):
        return problems
    return [
        *(f"Trial 0: {sentence}" for sentence in too_large(spec, spec.base())),
        *untimeable(spec),
        *_too_little_room(spec, workspace, finished),
    ]


def disk_needed(spec: SearchSpec, trials: int) -> int:
    """Return the bytes that `trials` more take on the disk if they are as large as trial 0.

    Of each trial the weights are kept. A training under way has its checkpoints too: weights, best
    weights and two moments of the optimiser in each.
    """
    weights = 4 * parameters(spec.base())
    checkpoints = (KEPT_CHECKPOINTS + 1) * 4 * weights  # one more while it is being written
    return spec.slots * checkpoints + trials * (weights + RECORDS_BYTES)


def _too_little_room(spec: SearchSpec, workspace: Workspace, finished: int) -> list[str]:
    trials = min(LOOKED_AHEAD, max(0, spec.max_trials - finished))
    wanted = 2 * disk_needed(spec, trials)  # later trials may be larger than trial 0
    free = shutil.disk_usage(workspace.db.parent).free
    if free >= wanted:
        return []
    return [
        f"The disk of {workspace.db.parent} has {free / 1e9:,.1f} GB free, and the next {trials:,} "
        f"trials should have {wanted / 1e9:,.1f} GB: make room, or ask for fewer trials."
    ]


# -- on the search ------------------------------------------------------------------------------


def _start(scope: Scope, spec: SearchSpec) -> str:
    search = scope.search
    _demand_rest(scope)
    _demand(scope.reasons_not_to_start(spec))
    larger = spec.max_trials > search.max_trials
    if scope.begun and search.state == "running" and not larger:
        raise Refused(f"{scope.name} with these settings is already running; see its Live page.")
    if search.state in ENDED and search.finished >= search.max_trials and not larger:
        raise Refused(
            f"{scope.name} has already finished its {search.max_trials} trials with these "
            "settings; give a larger number of trials to continue it."
        )
    new = started_again(_as_it_stands(search), spec)
    _demand_no_training_elsewhere(scope, new)
    scope.writer.change(scope.search_id, new)
    _go_on(scope)
    if search.finished == 0:
        return f"{scope.name} has started."
    return f"{scope.name} continues with trial {search.finished} of {new.max_trials}."


def _control(scope: Scope, command: Control) -> str:
    search = scope.search
    _demand_version(scope, command.version)
    if command.kind == "resume":
        _demand_rest(scope)
        if scope.begun and search.state == "running":
            raise Refused(f"{scope.name} is running already.")
        if search.state in ENDED and search.finished >= search.max_trials:
            raise Refused(
                f"{scope.name} has finished its {search.max_trials} trials; give it more to go on."
            )
        _demand(scope.reasons_not_to_start(search.spec))
        _demand_time(scope)
        _go_on(scope)
        return f"{scope.name} goes on."
    if search.state in ENDED:
        raise Refused(f"{scope.name} has already ended ({search.state}).")
    if command.kind == "pause":
        if search.state == "paused":
            raise Refused(f"{scope.name} is paused already.")
        _set_state(scope, "paused", "Paused by a person.")
        return f"{scope.name} pauses: no new trials, what runs is finished."
    if command.kind == "stop":
        if search.state == "stopping":
            raise Refused(f"{scope.name} is stopping already.")
        _set_state(scope, "stopping", "Stopped by a person.")
        return f"{scope.name} stops: no new trials, what runs is finished."
    _set_state(scope, "stopping", "Cancelled by a person.")
    return f"{scope.name} is cancelled: what runs is ended now."


def _change(scope: Scope, command: Change) -> str:
    search = scope.search
    _demand_version(scope, command.version)
    if unknown := command.limits.keys() - set(CHANGEABLE):
        raise Refused(
            f"{', '.join(sorted(unknown))} cannot be changed while a search runs; what can is "
            f"{', '.join(CHANGEABLE)}."
        )
    before = _as_it_stands(search)
    try:
        spec = changed(before, command)
    except ValidationError as error:
        fault = error.errors()[0]
        raise Refused(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}.") from None
    if spec.max_trials < (known := len(scope.writer.read.numbers(scope.search_id))):
        raise Refused(f"{scope.name} has {known} trials already; it cannot be held to fewer.")
    told = [
        f"{name} {'none' if value is None else value}"
        for name, value in _changeable(spec).items()
        if value != _changeable(before)[name]
    ]
    if not told:
        raise Refused(f"{scope.name} has these figures already.")
    _demand_no_training_elsewhere(scope, spec)
    if spec.slots > search.spec.slots or spec.backend != search.spec.backend:
        _demand(scope.reasons_not_to_start(spec))  # there is less memory for each
    scope.writer.change(scope.search_id, spec)
    scope.writer.touch(scope.search_id)
    if search.state == "completed":
        _go_on(scope)
    return f"{scope.name} now has {', '.join(told)}."


def _as_it_stands(search: SearchRow) -> SearchSpec:
    return search.spec.model_copy(update={"max_trials": search.max_trials})


def _changeable(spec: SearchSpec) -> dict[str, Value | None]:
    facts = spec.model_dump(include={"max_trials", "slots", "mode"})
    timer = spec.timer
    facts["timer"] = f"to {timer.text}" if timer else None
    facts["trainings on"] = spec.backend.text
    facts["of each training"] = spec.backend.shares
    return facts | spec.limits.model_dump(include=set(CHANGEABLE))


def _demand_no_training_elsewhere(scope: Scope, new: SearchSpec) -> None:
    if new.backend != scope.search.spec.backend and scope.at_work:
        raise Refused(
            f"{scope.name} trains on {scope.search.spec.backend.text} at this moment; pause it, "
            "and change where it trains when what runs has ended."
        )


def _go_on(scope: Scope) -> None:
    scope.writer.go_on(scope.search_id)
    scope.writer.touch(scope.search_id)


def _set_state(scope: Scope, state: Literal["paused", "stopping"], reason: str) -> None:
    scope.writer.set_search_state(scope.search_id, state, reason)
    scope.writer.touch(scope.search_id)


# -- on trials ----------------------------------------------------------------------------------


def _enqueue(scope: Scope, command: Enqueue, author: str) -> str:
    search, trials = scope.search, scope.writer.read.trials(scope.search_id)
    _demand_not_stopping(scope)
    parent = _parent(command.parent, trials, search.spec)
    if parent is None:
        raise Refused(f"{scope.name} has no trial {command.parent}.")
    record = Record(wishes.steered_spec(scope.writer.read, scope.search_id), trials)
    _demand(check(record, parent, command.changes, by="person"))
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
    _run_again(scope)
    return f"Trial {number} is queued.{_told(search.spec, config)}"


def _told(spec: SearchSpec, config: RunConfig) -> str:
    """Return, to follow a sentence, which bounds a person's own configuration breaks."""
    return "".join(
        f" {sentence[0].upper()}{sentence[1:]} It is trained all the same, as you want it."
        for sentence in beyond_bounds(spec, config)
    )


def _on_trial(scope: Scope, command: OnTrial, author: str) -> str:
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
            _demand_not_stopping(scope)
            if trial.state not in RETRIED or trial.ended_at is None or number in scope.at_work:
                raise Refused(
                    f"Trial {number} cannot be tried again ({trial.state}): only one that failed, "
                    "crashed, was stopped or pruned can."
                )
            writer.reopen(scope.search_id, number, author, trial.wanted, anew=True)
            _run_again(scope)
            done += "is queued again."
        case "another_seed":
            _demand_not_stopping(scope)
            ended = trial.ended_at is not None and number not in scope.at_work
            if trial.state != "completed" or not ended:
                raise Refused(f"Trial {number} has no result yet to be seen with another seed.")
            runs = writer.read.runs(scope.search_id, number)
            writer.reopen(scope.search_id, number, author, len(runs) + 1)
            _run_again(scope)
            done += "is queued for one more training, with another seed."
        case "to_front":
            if trial.state != "queued":
                raise Refused(f"Trial {number} is not waiting in the queue ({trial.state}).")
            writer.to_front(scope.search_id, number)
            done += "is the next to be trained."
    writer.touch(scope.search_id, number)
    return done


def _decide(scope: Scope, command: Decide, author: str) -> str:
    trials = scope.writer.read.trials(scope.search_id)
    trial = next((t for t in trials if t.proposal_id == command.proposal_id), None)
    if trial is None:
        raise Refused(f"{scope.name} has no proposal {command.proposal_id}.")
    edited = None
    if command.decision == "edited":
        spec = wishes.steered_spec(scope.writer.read, scope.search_id)
        parent = _parent(trial.parent, trials, spec)
        assert parent is not None, "a proposal's parent is a trial"
        others = [other for other in trials if other.number != trial.number]
        _demand(check(Record(spec, others), parent, command.changes, by="person"))
        config = from_flat({**parent, **command.changes})
        edited = (command.changes, config, step_type(command.changes))
    if command.decision == "approved":  # a limit may have been lowered while it waited
        lowered = Record(wishes.steered_spec(scope.writer.read, scope.search_id), ())
        _demand([f"Trial {trial.number}: {why}" for why in overtaken(lowered, trial.config)])
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
        _run_again(scope)
    told = "" if edited is None else _told(scope.search.spec, edited[1])
    return f"Trial {trial.number} {command.decision}.{told}"


# -- beside the trials --------------------------------------------------------------------------


def _ask_again(scope: Scope, command: AskAgain, author: str) -> str:
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


def _guide(scope: Scope, command: Guide, author: str) -> str:
    search, read, writer = scope.search, scope.writer.read, scope.writer
    parent = _parent(search.incumbent, read.trials(scope.search_id), search.spec)
    assert parent is not None, "an incumbent is a trial"
    told = wishes.steering(read, scope.search_id)
    held = [row.constraint for row in told if row.constraint is not None]
    try:
        found = understood(command.words, search.spec, parent)
        steered(search.spec, in_force(held, found.constraints))
    except SpaceError as error:
        raise Refused(str(error)) from None
    for row in told:
        if row.constraint and any(new.replaces(row.constraint) for new in found.constraints):
            wishes.lift(writer, scope.search_id, row.id, author)
    for constraint in found.constraints:
        wishes.steer(writer, scope.search_id, command.words, constraint.model_dump_json(), author)
    said = []
    if found.constraints:
        said.append(f"Enforced: {'; '.join(one.text for one in found.constraints)}.")
    if found.rest:
        wishes.steer(writer, scope.search_id, found.rest, "", author)
        planner = search.spec.planner
        reads = planner in ASKING
        heard = (
            "Told to the planner" if reads else f"Kept, but the planner {planner} reads no words"
        )
        said.append(f"{heard}: {found.rest}")
    return " ".join(said)


def _lift(scope: Scope, command: Lift, author: str) -> str:
    told = wishes.steering(scope.writer.read, scope.search_id)
    row = next((row for row in told if row.id == command.steering_id), None)
    if row is None or not wishes.lift(scope.writer, scope.search_id, row.id, author):
        raise Refused("That holds no longer: somebody has lifted or replaced it meanwhile.")
    return f"Lifted: {row.constraint.text if row.constraint else row.words}"


def _ask(scope: Scope, command: Ask, author: str) -> str:
    if not scope.settings.has_key:
        raise Refused(ANSWER_NEEDS_KEY)
    wishes.add_turn(scope.writer, scope.search_id, command.question, author)
    return "The question is put."


def _replay(scope: Scope, command: Replay, author: str) -> str:
    if scope.writer.read.trial(scope.search_id, command.number) is None:
        raise Refused(f"{scope.name} has no trial {command.number}.")
    if command.planner in ASKING and not scope.settings.has_key:
        raise Refused(f"The planner {command.planner} needs a key: set OPENROUTER_API_KEY in .env.")
    wishes.add_replay(
        scope.writer, scope.search_id, command.number, command.planner, command.model, author
    )
    return f"The planner {command.planner} is asked for trial {command.number}."


def _gone(trial: TrialRow) -> str:
    """Return what happened to a proposal that a person saw as it stands no more."""
    what = trial.decision or ("asked for again" if trial.asked_again else trial.state)
    by = f" by {trial.author}" if trial.author else ""
    return (
        f"The proposal of trial {trial.number} was decided or changed meanwhile ({what}{by}); "
        "look at it again."
    )


def _run_again(scope: Scope) -> None:
    """Let a search that has ended take up what has been given to it; a paused one stays so."""
    if scope.search.state in ("completed", "stopped"):
        _go_on(scope)


def _parent(
    number: int | None, trials: list[TrialRow], spec: SearchSpec
) -> dict[str, Value] | None:
    """Return the configuration that a proposal changes; None where there is no such trial."""
    if number is None:
        return spec.base().flat()
    return next((trial.config for trial in trials if trial.number == number), None)


# -- what the commands share --------------------------------------------------------------------


def _demand(problems: list[str]) -> None:
    if problems:
        raise Refused(" ".join(problems))


def _demand_rest(scope: Scope) -> None:
    if scope.search.state == "stopping" and scope.at_work:
        raise Refused(f"{scope.name} is stopping still; it can go on when what runs has ended.")


def _demand_not_stopping(scope: Scope) -> None:
    if scope.search.state == "stopping":
        raise Refused(f"{scope.name} is stopping; resume it first, when what runs has ended.")


def _demand_time(scope: Scope) -> None:
    read, search = scope.writer.read, scope.search
    seconds = trainings.training_seconds(read, scope.search_id)
    for budget in budgets(search, read.spend(scope.search_id), seconds):
        if budget.name in ("hours", "training_hours") and budget.used >= budget.limit:
            limit = hours_text(budget.limit) + " of training" * (budget.name == "training_hours")
            raise Refused(
                f"{scope.name} has used up its {limit}; change that budget, and it goes on."
            )


def _demand_version(scope: Scope, seen: int | None) -> None:
    search = scope.search
    if seen is not None and seen != search.version:
        raise Refused(
            f"{scope.name} was changed meanwhile (it is {search.state} now); look at it again."
        )
