"""What a person can ask of an engine, as rows of the `commands` table.

Pages and the command line call `send`; the engine claims, applies and answers. A command is checked
again when it is applied: a row is data from outside.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    field_validator,
)
from pydantic_core import PydanticCustomError

from data import actors
from informer.config import Value
from nas_engine.search import SPENDING, Backend, Mode, PlannerName, SearchSpec, Timer
from nas_engine.store.schema import StoreError, explained, open_database
from nas_engine.workspace import Workspace

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A whole number that the database can be asked for, whatever it names."""

Improvement = Annotated[float, Field(ge=-10, le=1, allow_inf_nan=False)]


def _in_order(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise PydanticCustomError("order", "The least that is expected comes first")
    return interval


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Start(_Command):
    """Start the search, or extend the one that has the same settings to more trials."""

    kind: Literal["start"] = "start"
    spec: SearchSpec


class _OnSearch(_Command):
    version: Whole | None = None
    """Of the search that the person saw; None: however it stands."""


class Control(_OnSearch):
    """Pause, resume, stop or cancel a search.

    Pause: no new trials, running ones finish. Stop: the same, and the search ends. Cancel: running
    ones are killed too.
    """

    kind: Literal["pause", "resume", "stop", "cancel"]


class Change(_OnSearch):
    """Change budgets, slots, mode and backend; what is not given stays.

    A finished search may so go on.
    """

    kind: Literal["change"] = "change"
    max_trials: Whole | None = None
    slots: Whole | None = None
    mode: Mode | None = None
    timer: Timer | Literal["none"] | None = None
    backend: Backend | None = None
    limits: dict[str, float | None] = Field(default_factory=dict)
    """By their names in `search.CHANGEABLE`; None takes a limit away."""


Expected = Annotated[
    tuple[Improvement, Improvement],
    AfterValidator(_in_order),
]
"""The relative improvement over the parent that its proposer expects, from least to most."""


class Enqueue(_Command):
    """Train a configuration of one's own: changes to trial `parent`, or to the start at None."""

    kind: Literal["enqueue"] = "enqueue"
    parent: Whole | None = None
    changes: dict[str, Value]
    expected: Expected | None = None
    comment: str = Field("", max_length=4000)


class OnTrial(_Command):
    """Act on one trial.

    stop_trial ends its training at once. skip takes a queued one out of the queue. retry trains one
    again that failed, crashed, was stopped or pruned. another_seed trains a completed one once more
    and judges it anew. to_front lets a queued one be the next.
    """

    kind: Literal["stop_trial", "skip", "retry", "another_seed", "to_front"]
    number: Whole
    version: Whole | None = None
    """Of the trial that the person saw; None: however it stands."""
    comment: str = Field("", max_length=4000)


class Decide(_Command):
    """Approve, edit or reject the version of a proposal that the person saw."""

    kind: Literal["decide"] = "decide"
    proposal_id: Whole
    version: Whole
    decision: Literal["approved", "edited", "rejected"]
    changes: dict[str, Value] = Field(default_factory=dict)  # edited: what to try instead
    expected: Expected | None = None  # edited: by the person
    comment: str = Field("", max_length=4000)


class AskAgain(_Command):
    """Have the planner propose something else in the place of the version that the person saw."""

    kind: Literal["ask_again"] = "ask_again"
    proposal_id: Whole
    version: Whole
    hint: str = Field("", max_length=4000)


def visible(text: str) -> bool:
    """Tell whether a text has a character that can be seen: no space, no mark."""
    return any(sign.isprintable() and not sign.isspace() for sign in text)


def _seen(text: str) -> str:
    if text and not visible(text):
        raise PydanticCustomError("unseen", "It needs a character that can be seen")
    return text


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_seen)
]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=40),
    AfterValidator(_seen),
]


Words = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=4000),
    AfterValidator(_seen),
]


class Guide(_Command):
    """Tell the search something: what can be enforced becomes constraints, the planner is told."""

    kind: Literal["guide"] = "guide"
    words: Words


class Lift(_Command):
    """Let a constraint or a word of guidance hold no longer."""

    kind: Literal["lift"] = "lift"
    steering_id: Whole


class Ask(_Command):
    """Put a question about the search to the language model; the answer comes as a turn."""

    kind: Literal["ask"] = "ask"
    question: Words


ANSWER_NEEDS_KEY = "An answer needs a language model: set OPENROUTER_API_KEY in .env."


class StopAnswer(_Command):
    """Stop an answer that is being written; what there is of it stays."""

    kind: Literal["stop_answer"] = "stop_answer"
    turn_id: Whole


class Replay(_Command):
    """Have a planner say, offline, what it would have proposed as trial `number`."""

    kind: Literal["replay"] = "replay"
    number: Whole = Field(ge=1)
    planner: PlannerName
    model: str = Field("", max_length=200)  # empty: the one of the settings


class Describe(_Command):
    """Give a search a name, tags and notes, or put it away; what is None stays as it is.

    No engine has a part in it: `labels.describe` applies it at once.
    """

    kind: Literal["describe"] = "describe"
    edition: Whole
    """Of the search that the person saw."""
    name: Name | None = None
    tags: tuple[Tag, ...] | None = Field(None, max_length=20)
    notes: str | None = Field(None, max_length=20_000)
    archived: bool | None = None

    @field_validator("tags")
    @classmethod
    def _once_each(cls, tags: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if tags is None else tuple(dict.fromkeys(tags))


Steering = AskAgain | Guide | Lift | Ask | StopAnswer | Replay
Command = Start | Control | Change | Enqueue | OnTrial | Decide | Steering | Describe
COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="kind")])


def started_again(before: SearchSpec, spec: SearchSpec) -> SearchSpec:
    """Return what a search becomes where it is started again with the settings of `spec`.

    A budget that is not given stays as it was, lest a search lose it unawares, and so does a
    review.
    """
    given = spec.limits.model_dump(include=set(SPENDING), exclude_none=True)
    changed = {
        "max_trials": max(spec.max_trials, before.max_trials),
        "limits": before.limits.model_copy(update=given),
        "slots": spec.slots,
        "mode": max(spec.mode, before.mode, key=get_args(Mode).index),
        "timer": spec.timer or before.timer,
        "backend": before.backend if spec.backend == Backend() else spec.backend,
    }
    return before.model_copy(update=changed)


def changed(before: SearchSpec, command: Change) -> SearchSpec:
    """Return what a search becomes by a change; raises ValidationError."""
    names = {"max_trials", "slots", "mode", "timer", "backend"}
    given = command.model_dump(include=names, exclude_none=True)
    if given.get("timer") == "none":
        given["timer"] = None
    limits = before.limits.model_dump() | command.limits
    return SearchSpec.model_validate(before.model_dump() | given | {"limits": limits})


def send(workspace: Workspace, command: Command, search_id: int | None = None) -> int:
    """Insert a command and return its id.

    Raises:
        StoreError: who acts may only look, or the database cannot be used.
    """
    row = given(command, search_id)
    workspace.create()
    db = open_database(workspace.db)
    try:
        with explained(workspace.db):
            inserted = db.table("commands").insert(row).last_pk
        return int(inserted)  # type: ignore[arg-type]  # an INTEGER PRIMARY KEY
    finally:
        db.close()


def given(command: Command, search_id: int | None) -> dict[str, Any]:
    """Return the row of a command that is given at this moment.

    Raises:
        StoreError: who acts may only look.
    """
    return {
        "search_id": search_id,
        "kind": command.kind,
        "payload": command.model_dump_json(),
        "author": actors.require(StoreError),
        "created_at": time.time(),
    }
