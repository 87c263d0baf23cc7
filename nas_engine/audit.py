"""What people have asked of a search, in words: the table of commands is the record of it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from informer.config import Value, short
from nas_engine.commands import (
    COMMAND,
    Ask,
    AskAgain,
    Change,
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
)
from nas_engine.store.rows import CommandRow

_ACTS = {
    "stop_trial": "stop trial {}",
    "skip": "skip trial {}",
    "retry": "retry trial {}",
    "another_seed": "train trial {} with another seed",
    "to_front": "let trial {} be the next",
}
_DECISIONS = {"approved": "approve", "edited": "edit", "rejected": "reject"}


def asked(row: CommandRow) -> str:
    """Return what a command asked for, with the comment that was given."""
    try:
        command = COMMAND.validate_json(row.payload)
    except ValidationError:  # a row is data from outside
        return f"{row.kind} (malformed)"
    match command:
        case Start(spec=spec):
            return f"start, {spec.max_trials} trials"
        case Control(kind=kind):
            return kind
        case Change():
            return f"change {_changed(command)}"
        case Enqueue(parent=parent, changes=changes, comment=comment):
            base = "the start" if parent is None else f"trial {parent}"
            return f"enqueue {_listed(changes)} on {base}{_because(comment)}"
        case OnTrial(kind=kind, number=number, comment=comment):
            return f"{_ACTS[kind].format(number)}{_because(comment)}"
        case Decide(decision=decision, proposal_id=proposal, changes=changes, comment=comment):
            edit = f" to {_listed(changes)}" if changes else ""
            return f"{_DECISIONS[decision]} proposal {proposal}{edit}{_because(comment)}"
        case AskAgain(proposal_id=proposal, hint=hint):
            return f"ask again for proposal {proposal}{_because(hint)}"
        case Guide(words=words):
            return f"guide: {words}"
        case Lift(steering_id=steering):
            return f"lift guidance {steering}"
        case Ask(question=question):
            return f"ask: {question}"
        case StopAnswer(turn_id=turn):
            return f"stop answer {turn}"
        case Replay(number=number, planner=planner, model=model):
            return f"ask {planner} again for trial {number}{model and f', model {model}'}"
        case Describe():
            return f"describe {_described(command)}"


def _changed(command: Change) -> str:
    parts = {"trials": command.max_trials, "slots": command.slots, "mode": command.mode}
    listed = [f"{name} to {value}" for name, value in parts.items() if value is not None]
    if command.timer is not None:
        timer = command.timer
        told = timer if timer == "none" else timer.text
        listed.append(f"timer to {told}")
    listed += [
        f"{name} to {'none' if value is None else format(value, 'g')}"
        for name, value in command.limits.items()
    ]
    return ", ".join(listed) or "nothing"


def _described(command: Describe) -> str:
    said = []
    if command.name is not None:
        said.append(f"name to {command.name or 'none'}")
    if command.tags is not None:
        said.append(f"tags to {', '.join(command.tags) or 'none'}")
    if command.notes is not None:
        said.append(f"notes to {len(command.notes):,} characters")
    if command.archived is not None:
        said.append("archive it" if command.archived else "restore it")
    return "; ".join(said) or "nothing"


def _listed(changes: Mapping[str, Value]) -> str:
    return ", ".join(f"{key[:60]}={short(value)}" for key, value in changes.items()) or "nothing"


def _because(comment: str) -> str:
    return f": {comment}" if comment else ""
