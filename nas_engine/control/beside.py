"""Tell, ask and replay: what people want of a search beside its trials."""

from __future__ import annotations

from nas_engine.commands import ANSWER_NEEDS_KEY, Ask, Guide, Lift, Replay
from nas_engine.control.scope import Refused, Scope, configuration_of
from nas_engine.guidance import in_force, steered, understood
from nas_engine.search import ASKING
from nas_engine.space import SpaceError
from nas_engine.store import wishes


def guide(scope: Scope, command: Guide, author: str) -> str:
    """Keep words for the planner, and enforce those that are plain."""
    search, read, writer = scope.search, scope.writer.read, scope.writer
    parent = configuration_of(search.incumbent, read.trials(scope.search_id), search.spec)
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


def lift(scope: Scope, command: Lift, author: str) -> str:
    """Let a constraint or words hold no longer."""
    told = wishes.steering(scope.writer.read, scope.search_id)
    row = next((row for row in told if row.id == command.steering_id), None)
    if row is None or not wishes.lift(scope.writer, scope.search_id, row.id, author):
        raise Refused("That holds no longer: somebody has lifted or replaced it meanwhile.")
    return f"Lifted: {row.constraint.text if row.constraint else row.words}"


def ask(scope: Scope, command: Ask, author: str) -> str:
    """Put a question about the search."""
    if not scope.settings.has_key:
        raise Refused(ANSWER_NEEDS_KEY)
    wishes.add_turn(scope.writer, scope.search_id, command.question, author)
    return "The question is put."


def replay(scope: Scope, command: Replay, author: str) -> str:
    """Have another planner say what it would have proposed as a trial."""
    if scope.writer.read.trial(scope.search_id, command.number) is None:
        raise Refused(f"{scope.name} has no trial {command.number}.")
    if command.planner in ASKING and not scope.settings.has_key:
        raise Refused(f"The planner {command.planner} needs a key: set OPENROUTER_API_KEY in .env.")
    wishes.add_replay(
        scope.writer, scope.search_id, command.number, command.planner, command.model, author
    )
    return f"The planner {command.planner} is asked for trial {command.number}."
