"""Start, pause, stop and change a search."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationError

from informer.config import Value
from nas_engine.commands import Change, Control, changed, started_again
from nas_engine.control.scope import (
    Refused,
    Scope,
    demand,
    demand_rest,
    demand_time,
    demand_version,
    go_on,
)
from nas_engine.search import CHANGEABLE, SearchSpec
from nas_engine.store.rows import SearchRow

ENDED = frozenset({"stopped", "completed"})


def start(scope: Scope, spec: SearchSpec) -> str:
    """Begin the search, or let one with the same settings go on."""
    search = scope.search
    demand_rest(scope)
    demand(scope.reasons_not_to_start(spec))
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
    go_on(scope)
    if search.finished == 0:
        return f"{scope.name} has started."
    return f"{scope.name} continues with trial {search.finished} of {new.max_trials}."


def control(scope: Scope, command: Control) -> str:
    """Resume, pause, stop or cancel the search."""
    search = scope.search
    demand_version(scope, command.version)
    if command.kind == "resume":
        demand_rest(scope)
        if scope.begun and search.state == "running":
            raise Refused(f"{scope.name} is running already.")
        if search.state in ENDED and search.finished >= search.max_trials:
            raise Refused(
                f"{scope.name} has finished its {search.max_trials} trials; give it more to go on."
            )
        demand(scope.reasons_not_to_start(search.spec))
        demand_time(scope)
        go_on(scope)
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


def change(scope: Scope, command: Change) -> str:
    """Give the search other budgets, slots, mode or timer."""
    search = scope.search
    demand_version(scope, command.version)
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
        demand(scope.reasons_not_to_start(spec))  # there is less memory for each
    scope.writer.change(scope.search_id, spec)
    scope.writer.touch(scope.search_id)
    if search.state == "completed":
        go_on(scope)
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


def _set_state(scope: Scope, state: Literal["paused", "stopping"], reason: str) -> None:
    scope.writer.set_search_state(scope.search_id, state, reason)
    scope.writer.touch(scope.search_id)
