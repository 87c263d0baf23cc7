"""From bytes to an answer: whole and strict, or not at all."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, ConfigDict, SecretStr

from nas_engine.service.fault import Fault
from nas_engine.service.http import post
from nas_engine.service.reply import Completion, Objection, ToolCall, read_answer, read_completion
from nas_engine.service.strict_json import MAX_DEPTH, strict_json
from nas_engine.settings import Role
from tests.fakes.llm_server import (
    Line,
    Reply,
    Request,
    Wire,
    completion,
    encoded,
    head,
    serving,
    text,
    tool_call,
)


class Plan(BaseModel):
    """What is asked for here, whatever planners ask for."""

    model_config = ConfigDict(extra="forbid")

    why: str
    width: int
    rate: float
    names: list[str]


PLAN = {"why": 'naïve “plan” {[\\"', "width": 256, "rate": 3.3333e-05, "names": ["a", "b{}"]}
ARGUMENTS = json.dumps(PLAN, ensure_ascii=False)
CUTS = 1000


def said(words: str = "", *calls: tuple[str, str | None], reason: str = "stop") -> Completion:
    return Completion(words, tuple(ToolCall(*call) for call in calls), (reason,), "", {})


def objection(found: Plan | Objection) -> str:
    assert isinstance(found, Objection), found
    return f"{found.error_class}: {' '.join(found.sentences)}"


@pytest.mark.parametrize(
    "good",
    [
        said("", ("Plan", ARGUMENTS)),
        said("I propose:", ("Plan", ARGUMENTS)),
        said(ARGUMENTS),
        said(f"  {ARGUMENTS}\n"),
        said(f"Here:\n```json\n{ARGUMENTS}\n```\nDone."),
        said(f"```\n{json.dumps(PLAN, indent=2)}\n```"),
    ],
)
def test_a_whole_answer_is_read(good: Completion) -> None:
    answer = read_answer(good, Plan)
    assert isinstance(answer, Plan) and answer.model_dump() == PLAN


@pytest.mark.parametrize("form", ["call", "text", "fence"])
def test_of_answers_cut_at_random_bytes_none_is_accepted(
    form: str, record_property: Callable[[str, object], None]
) -> None:
    whole = f"```json\n{ARGUMENTS}\n```" if form == "fence" else ARGUMENTS
    data, draw = whole.encode(), random.Random(form)
    for _ in range(CUTS):
        part = data[: draw.randrange(len(data))].decode("utf-8", "replace")
        cut = said("", ("Plan", part)) if form == "call" else said(part)
        assert objection(read_answer(cut, Plan)).startswith("malformed")
    record_property("faults", CUTS)


@pytest.mark.parametrize("reply", [tool_call("Plan", ARGUMENTS), text(ARGUMENTS)])
def test_of_bodies_cut_at_any_byte_none_is_accepted(
    reply: tuple[int, dict[str, Any]], record_property: Callable[[str, object], None]
) -> None:
    body = encoded(reply)
    assert isinstance(read_answer(read_completion(200, {}, body), Plan), Plan)
    for end in range(len(body)):
        with pytest.raises(Fault) as caught:
            read_completion(200, {}, body[:end])
        assert caught.value.error_class == "bad_gateway"
    record_property("faults", len(body))


def test_of_responses_cut_in_transit_none_is_accepted(
    record_property: Callable[[str, object], None],
) -> None:
    body = encoded(tool_call("Plan", ARGUMENTS))
    draw, count = random.Random(7), 120

    def script(request: Request, index: int) -> Reply:
        part = body[: draw.randrange(len(body))]
        said_length = len(part) if index % 3 == 0 else len(body)
        length = f"Content-Length: {said_length}" if index % 3 < 2 else "X-No-Length: 1"

        def act(line: Line) -> None:
            line.send(head(200, length))
            line.send(part)

        return Wire(act)

    classes = []
    with serving(script) as server:
        for _ in range(count):
            with pytest.raises(Fault) as caught:
                response = ask(server.url)
                read_completion(response.status, response.headers, response.body)
            classes.append(caught.value.error_class)
    assert len(server.requests) == count
    assert set(classes) == {"connection", "bad_gateway"}
    assert classes.count("connection") == count // 3  # the length told of the missing bytes
    record_property("faults", count)


def ask(url: str) -> Any:
    role = Role("planner", "scripted", url, SecretStr("local"), None, 0.0, 0.0)
    return post(role, [HumanMessage("?")], {}, max_tokens=100, deadline_seconds=30.0)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (said(""), "malformed: Answer by calling Plan"),
        (said("no"), "malformed: Answer by calling Plan"),
        (said("", ("Plan", "")), "malformed: The arguments of Plan were not valid JSON"),
        (said("", ("Plan", None)), "malformed: The arguments of Plan were no JSON text"),
        (said(ARGUMENTS, ("Plan", "{")), "malformed: The arguments of Plan were not valid JSON"),
        (said("", ("Shell", ARGUMENTS)), "malformed: There is no tool 'Shell'; call Plan."),
        (said("", *[("Plan", ARGUMENTS)] * 2), "malformed: Call Plan once; 2 calls came."),
        (said(f"```json\n{ARGUMENTS}\n```\n```\n{{}}\n```"), "malformed: 2 blocks of JSON"),
        (said(f"{ARGUMENTS} Done."), "malformed: Answer by calling Plan"),
        (said("", ("Plan", ARGUMENTS), reason="length"), "truncated"),
        (said("", ("Plan", ARGUMENTS), reason="content_filter"), "refused"),
        (said('{"why": "x", "width": 1}'), "malformed: rate: Field required."),
        (said(ARGUMENTS[:-1] + ', "more": 1}'), "more: Extra inputs are not permitted"),
        (said(ARGUMENTS.replace("256", '"256"')), "width: Input should be a valid integer"),
        (said(ARGUMENTS.replace("256", "true")), "width: Input should be a valid integer"),
        (said(ARGUMENTS.replace("256", "256.5")), "width: Input should be a valid integer"),
        (said(ARGUMENTS.replace("256", '256, "width": 1')), "'width' occurs more than once"),
        (said(ARGUMENTS.replace("256", "NaN")), "NaN is not JSON"),
        (said(ARGUMENTS.replace("256", "-Infinity")), "-Infinity is not JSON"),
        (said(ARGUMENTS.replace("256", "1e999")), "1e999 is too large"),
        (said(ARGUMENTS.replace("256", "9" * 5000)), "has 5,000 digits"),
        (said(ARGUMENTS.replace("256", "[" * 99 + "]" * 99)), f"more than {MAX_DEPTH} levels"),
        (said(ARGUMENTS.replace("naïve", "x" * 300_000)), "characters; 200,000 are allowed"),
    ],
)
def test_what_is_no_answer_is_refused_in_a_short_sentence(bad: Completion, reason: str) -> None:
    sentence = objection(read_answer(bad, Plan))
    assert reason in sentence
    assert len(sentence) < 1000


@pytest.mark.parametrize(
    "deep", ["[" * 200_000, '{"a":' * 40_000, '"\\"' * 60_000, "[" * 99 + "]" * 99]
)
def test_deep_and_unclosed_texts_are_refused_at_once(deep: str) -> None:
    with pytest.raises(ValueError):
        strict_json(deep)


def test_brackets_in_strings_are_no_levels() -> None:
    assert strict_json(json.dumps(["[{" * 100, '\\"[' * 100])) == ["[{" * 100, '\\"[' * 100]


def test_lone_surrogates_are_escaped_and_other_odd_text_is_kept() -> None:
    odd = "\ud800 \u0000 \u202e \x1b[31m z͑ͫ"
    plan = read_answer(said("", ("Plan", json.dumps({**PLAN, "why": odd}))), Plan)
    assert isinstance(plan, Plan)
    assert plan.why == odd.replace("\ud800", "\\ud800")


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_refused_key_is_denied(status: int) -> None:
    with pytest.raises(Fault) as caught:
        read_completion(status, {}, b'{"error": {"message": "no"}}')
    assert (caught.value.error_class, caught.value.free) == ("denied", True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-3", 0.0), ("1e999", 86400.0), ("nan", None), ("soon", None)],
)
def test_a_retry_after_is_read_within_reason(header: str, seconds: float | None) -> None:
    with pytest.raises(Fault) as caught:
        read_completion(429, {"retry-after": header}, b"")
    assert caught.value.retry_after == seconds


def test_the_first_choice_counts_and_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    body = json.loads(encoded(completion({"content": parts})))
    body["choices"].append({"message": {"content": "other"}})
    assert read_completion(200, {}, json.dumps(body).encode()).text == "ab"
