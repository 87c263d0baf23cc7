"""`python -m tests.fuzz.replies`: what a language model answers, from the bytes to a proposal.

An input is the body of a response, or what the model says in one. Two searches are asked: one that
is as it is by default, and one whose space, sizes and words of people bind.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from informer.config import Choices, Interval, Value, fields, from_flat
from nas_engine.guidance import Constraint, SteeringRow, steered
from nas_engine.machine import memory_allowed, memory_needed
from nas_engine.planners.base import View
from nas_engine.planners.llm import (
    ProposeCandidates,
    ProposeChange,
    _none_usable,
    _usable,
    objections,
    proposal_of,
)
from nas_engine.proposals import Proposal, check
from nas_engine.search import Limits, Narrowing, SearchSpec
from nas_engine.service.cost import believed, reported
from nas_engine.service.fault import Fault
from nas_engine.service.reply import (
    LONGEST_SENTENCE,
    Completion,
    Objection,
    ToolCall,
    read_answer,
    read_completion,
)
from nas_engine.space import contains
from nas_engine.store.reader import Spend
from tests.engine.rows import no_epochs, trial_row
from tests.fuzz.mutation import changed as changed_value
from tests.fuzz.mutation import changed_json

OUTCOMES = ("accepted", "stopped", "refused", "malformed")  # the first of several counts
LONGEST = 2000
"""Characters of a sentence about an answer, whatever that holds."""

_HEADERS = {"content-type": "application/json"}
_SPENT = Spend(0, 0, 0, 0.0, 0, 0.0)
_TRIED = {"model.dropout": 0.3, "training.optimizer_params.lr": 3e-4}


@cache
def views() -> tuple[View, ...]:
    """Return two searches after their first trials."""
    trials = [trial_row(0, {}, seconds=9.0, epochs=3), trial_row(1, _TRIED, seconds=9.0, epochs=3)]
    held = [
        Constraint(key="model.d_model", low=32.0, high=128.0),
        Constraint(key="model.attention", without=("full",)),
        Constraint(key="parameters", high=900_000.0),
    ]
    spec = SearchSpec(
        planner="hybrid",
        at_most={"parameters": 600_000.0},
        limits=Limits(memory_mb=900),
        space={
            "model.e_layers": Narrowing(values=(1, 2)),
            "model.head": Narrowing(values=("decoder",)),
            "training.optimizer_params.lr": Narrowing(low=1e-5, high=1e-3),
        },
    )
    words = [SteeringRow(at, "words", one, "me", 1.0, "", None) for at, one in enumerate(held)]
    plain = SearchSpec(planner="llm")
    narrow = steered(spec, held)
    return (
        View(1, 6, plain, 20, None, trials, [], no_epochs, None, _SPENT),
        View(1, 6, narrow, 20, 0, trials, [], no_epochs, None, _SPENT, words),
    )


def judge(data: bytes) -> str:
    """Return what becomes of an answer; anything but a sentence about it is an error."""
    completion = read(data)
    assert json.dumps([believed(completion.usage), completion.said()], allow_nan=False)
    assert reported(completion.usage).prompt_tokens != 0
    outcomes = set()
    for schema in (ProposeChange, ProposeCandidates):
        answer = read_answer(completion, schema)
        assert read_answer(completion, schema) == answer
        if isinstance(answer, Objection):
            assert answer.sentences
            require_sentences(answer.sentences, LONGEST_SENTENCE)
            outcomes.add("malformed")
            continue
        for view in views():
            outcomes.add(_judged(view, answer))
    return next(outcome for outcome in OUTCOMES if outcome in outcomes)


def read(data: bytes) -> Completion:
    """Return a body as a completion, or as what one says, by its text or by a call."""
    try:
        return read_completion(200, _HEADERS, data)
    except Fault as fault:
        require_sentences([str(fault)], 20_000)
    text = data.decode("utf-8", "replace")
    if text.startswith(("ProposeChange", "ProposeCandidates")):
        name, _, arguments = text.partition("(")
        return Completion("", (ToolCall(name, arguments.removesuffix(")")),), (), "", {})
    return Completion(text, (), (), "", {})


def _judged(view: View, answer: ProposeChange | ProposeCandidates) -> str:
    if isinstance(answer, ProposeCandidates):
        refused = _none_usable(view, answer)
        require_sentences(refused, LONGEST)
        proposals = _usable(view, answer)
        assert bool(proposals) != bool(refused)
    else:
        refused = objections(view, answer)
        require_sentences(refused, LONGEST)
        wanted = {change.path: change.value for change in answer.changes}
        require_sentences(check(view.record, view.parent, wanted, by="person"), LONGEST)
        if not refused and answer.stop:
            return "stopped"
        proposals = [] if refused else [proposal_of(view, answer)]
    for proposal in proposals:
        require_trainable(view, proposal)
    return "accepted" if proposals else "refused"


def require_sentences(sentences: list[str], longest: int) -> None:
    """Raise AssertionError where one cannot be shown, stored or sent back."""
    for sentence in sentences:
        assert 0 < len(sentence) <= longest, len(sentence)
        assert sentence.strip() and sentence.encode("utf-8")


def require_trainable(view: View, proposal: Proposal) -> None:
    """Raise AssertionError where an accepted proposal is none that may be trained."""
    assert proposal.changes
    for key, value in proposal.changes.items():
        assert contains(view.space[key], value), (key, value)
    config = from_flat({**view.parent, **proposal.changes})
    assert json.dumps(config.flat(), allow_nan=False)
    assert Proposal.model_validate_json(proposal.model_dump_json()) == proposal
    allowed = memory_allowed(config, 1)
    if view.spec.limits.memory_mb is not None:
        allowed = view.spec.limits.memory_mb * 10**6
    assert memory_needed(config) <= allowed


# -- answers ------------------------------------------------------------------------------------


def written(changes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return changes in the form in which one is asked for."""
    listed = [{"path": key, "value": value} for key, value in changes.items()]
    plain = {"step_type": "small", "hypothesis": "It helps.", "plan": "The trials say so."}
    return {**plain, "changes": listed, **more}


def offered(view: View, key: str) -> list[Value]:
    """Return some of the values that a search offers for a setting."""
    match view.space[key]:
        case Choices(values=values):
            return list(values)
        case Interval() as interval:
            return [interval.at(share) for share in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)]


def seeds() -> Iterator[bytes]:
    """Yield an answer of each form."""
    view = views()[0]
    plain = written({"model.dropout": 0.1, "training.optimizer_params.lr": 1e-3})
    expected = written({"model.d_model": 32}, expected={"low": -1.0, "high": 4.5})
    text = json.dumps(plain)
    several = json.dumps({"candidates": [{**plain}, written({"model.e_layers": 1})]})
    for key in view.space:
        yield json.dumps(written({key: offered(view, key)[-1]})).encode()
    yield text.encode()
    yield json.dumps(expected).encode()
    yield json.dumps(written({}, stop=True)).encode()
    yield f"```json\n{text}\n```".encode()
    yield f"ProposeChange({text})".encode()
    yield several.encode()
    calls = [{"id": "1", "function": {"name": "ProposeChange", "arguments": text}}]
    usage = {"prompt_tokens": 900, "completion_tokens": 80, "cost": 0.003}
    message = {"content": None, "tool_calls": calls}
    choices = [{"message": message, "finish_reason": "tool_calls"}]
    yield json.dumps({"choices": choices, "usage": usage}).encode()
    yield json.dumps({"error": {"message": "busy", "code": 429}}).encode()


WORDS = (
    *fields(),
    *(value for field in fields().values() for value in field.options or ()),
    *("small", "medium", "radical", "ProposeChange", "ProposeCandidates", "candidates", "changes"),
    *("path", "value", "step_type", "hypothesis", "plan", "expected", "low", "high", "stop"),
    *("choices", "message", "content", "tool_calls", "function", "name", "arguments", "usage"),
    *("finish_reason", "length", "refusal", "error", "code", 0.1, 0.25, 32, 64, 128, 96, 168),
)


def changed(data: bytes, draw: random.Random) -> bytes:
    """Return an answer that differs in something; more often than not it keeps its form."""
    head, tail = b"", b""
    for before, after in ((b"ProposeChange(", b")"), (b"```json\n", b"\n```")):
        if data.startswith(before):
            head, tail = before, after
    inside = data.removeprefix(head).removesuffix(tail)
    found = _sensible(inside, draw) if draw.random() < 0.6 else None
    return head + (found or changed_json(inside, draw, WORDS)) + tail


def _sensible(data: bytes, draw: random.Random) -> bytes | None:
    """Return an answer with another change to a setting; None where it is no answer."""
    try:
        answer = json.loads(data)
        one = draw.choice(answer["candidates"]) if "candidates" in answer else answer
        listed = one["changes"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if not isinstance(listed, list):
        return None
    view = draw.choice(views())
    key = draw.choice(sorted(view.space if draw.random() < 0.8 else fields()))
    value = draw.choice(offered(view, key)) if key in view.space else fields()[key].default
    value = changed_value(value, draw, WORDS) if draw.random() < 0.3 else value
    if listed and draw.random() < 0.5:
        del listed[draw.randrange(len(listed))]
    listed.append({"path": key, "value": value})
    return json.dumps(answer).encode()


if __name__ == "__main__":
    from tests.fuzz.guided import main

    main("replies")
