"""A completion that comes in pieces: heard as it comes, whole and strict, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from nas_engine.service.fault import Fault, Stopped
from nas_engine.service.http import stream
from nas_engine.service.redaction import Redaction
from nas_engine.service.reply import MAX_BYTES, Completion, ToolCall
from nas_engine.service.stream import EventStream
from nas_engine.settings import Role
from tests.fakes.llm_server import (
    REPORTED,
    Line,
    Reply,
    Wire,
    ending,
    event,
    failure,
    head,
    saying,
    serving,
    streamed,
    text,
)

KEY = "sk-or-v1-canary-0123456789abcdef"


def read(data: bytes, size: int = 0) -> Completion:
    events = EventStream()
    step = size or len(data) or 1
    for start in range(0, len(data), step):
        events.feed(data[start : start + step])
    return events.completion()


def part(index: object, name: object = None, arguments: object = "", key: object = None) -> bytes:
    function = {"name": name, "arguments": arguments}
    return event({"tool_calls": [{"index": index, "id": key, "function": function}]})


GOOD = (
    b": keeps the connection alive\n\n"
    + event({"role": "assistant", "content": ""})
    + event({"content": "Trial 1 — "})
    + event({"content": 'best: 0.3876 "so"'})
    + part(0, "trial", '{"num', "call_a")
    + part(0, None, 'ber": 1}')
    + part(1, "baselines", "{}", "call_b")
    + ending("tool_calls")
)


@pytest.mark.parametrize("size", [1, 7, 64, 0])
def test_a_stream_is_the_same_however_it_is_cut(size: int) -> None:
    assert read(GOOD, size) == Completion(
        'Trial 1 — best: 0.3876 "so"',
        (ToolCall("trial", '{"number": 1}', "call_a"), ToolCall("baselines", "{}", "call_b")),
        ("tool_calls",),
        "",
        REPORTED,
    )


def test_lines_may_end_as_on_windows_and_the_last_one_not_at_all() -> None:
    assert read(GOOD.replace(b"\n", b"\r\n").rstrip()) == read(GOOD)


def chunk(**facts: Any) -> bytes:
    return f"data: {json.dumps(facts)}\n\n".encode()


SAID = event({"content": "The best"})
BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "bad_gateway"),
    "no end": (SAID, "bad_gateway"),
    "only the last event": (b"data: [DONE]\n\n", "bad_gateway"),
    "half an event": (SAID + event({"content": "x"})[:40], "bad_gateway"),
    "half an event after the end": (event({}, "stop") + b'data: {"choi', "bad_gateway"),
    "no JSON": (b"data: <html>\n\n", "bad_gateway"),
    "no UTF-8": (b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n', "bad_gateway"),
    "a key twice": (b'data: {"choices": [], "choices": []}\n\n', "bad_gateway"),
    "a list": (b"data: []\n\n", "bad_gateway"),
    "choices that are text": (chunk(choices="none"), "bad_gateway"),
    "a delta that is text": (chunk(choices=[{"delta": "none"}]), "bad_gateway"),
    "content that is a number": (chunk(choices=[{"delta": {"content": 7}}]), "bad_gateway"),
    "calls that are text": (chunk(choices=[{"delta": {"tool_calls": "x"}}]), "bad_gateway"),
    "a call without a place": (part("first", "trial"), "bad_gateway"),
    "a call at a place beyond all": (part(10**9, "trial"), "bad_gateway"),
    "two ends": (event({}, "stop") + event({}, "length"), "bad_gateway"),
    "words after the end": (event({}, "stop") + SAID, "bad_gateway"),
    "an event after the last": (SAID + ending() + SAID, "bad_gateway"),
    "an error": (SAID + chunk(error={"message": "overloaded"}), "server"),
    "an error with a status": (SAID + chunk(error={"message": "x", "code": 429}), "rate_limit"),
    "an error in a choice": (chunk(choices=[{"error": {"code": 502}}]), "server"),
    "a line without an end": (b"data: " + b"x" * (MAX_BYTES + 1), "too_large"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_is_a_fault_and_never_an_answer(name: str) -> None:
    data, error_class = BROKEN[name]
    with pytest.raises(Fault) as found:
        read(data)
    assert (found.value.error_class, found.value.free) == (error_class, False)


def test_arguments_that_are_no_text_stay_unknown() -> None:
    (call,) = read(part(0, "trial", {"number": 1}, "a") + part(0, None, "1") + ending()).calls
    assert call == ToolCall("trial", None, "a")


# -- over HTTP ----------------------------------------------------------------------------------


def heard(
    reply: Reply, deadline: float = 30.0, enough: Callable[[str], bool] = lambda text: False
) -> tuple[Completion, list[str], dict[str, Any]]:
    """Return what a service answers, what was heard meanwhile, and what it was asked."""
    texts: list[str] = []

    def listen(text: str) -> bool:
        texts.append(text)
        return enough(text)

    with serving(lambda request, index: reply) as server:
        role = Role("chat", "scripted", server.url, SecretStr(KEY), None, 0.0, 0.0)
        completion = stream(role, [HumanMessage("Which?")], {}, 100, deadline, listen)
        return completion, texts, server.requests[0]


def test_text_is_heard_while_it_comes() -> None:
    completion, texts, request = heard(saying("Trial ", "1 ", "is best.", pause=0.4))
    assert completion.text == "Trial 1 is best." and completion.usage == REPORTED
    assert {"Trial ", "Trial 1 "} & set(texts)
    assert request["stream"] is True and request["stream_options"] == {"include_usage": True}


def test_a_service_may_answer_at_once() -> None:
    assert heard(text("Trial 1."))[0].text == "Trial 1."


def test_who_has_heard_enough_waits_for_no_more() -> None:
    words = streamed(event({"content": "Trial 1"}), pause=0.0)

    def act(line: Line) -> None:
        words.act(line)
        line.wait(60)

    with pytest.raises(Stopped, match="Trial 1"):
        heard(Wire(act), enough=lambda text: text == "Trial 1")


def wire_of(*parts: bytes, length: str = "", hang: bool = False) -> Wire:
    def act(line: Line) -> None:
        line.send(head(200, *([length] if length else []), kind="text/event-stream"))
        for part in parts:
            line.send(part)
        if hang:
            line.wait(60)

    return Wire(act)


FAULTS: dict[str, tuple[Reply, str, bool]] = {
    "refused": (failure(401, "no"), "denied", False),
    "an HTML page": (wire_of(b"<html>"), "bad_gateway", False),
    "a broken connection": (wire_of(SAID, length="Content-Length: 9999"), "connection", True),
    "a stream that ends early": (wire_of(SAID), "bad_gateway", True),
    "an error on the way": (wire_of(SAID, chunk(error={"message": "x"})), "server", True),
    "silence": (wire_of(SAID, hang=True), "timeout", True),
    "silence from the start": (wire_of(hang=True), "timeout", False),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_says_whether_anything_was_heard(name: str) -> None:
    reply, error_class, begun = FAULTS[name]
    with pytest.raises(Fault) as found:
        heard(reply, deadline=0.6 if "silence" in name else 30.0)
    assert (found.value.error_class, found.value.begun) == (error_class, begun)
    assert not (begun and found.value.retryable)


def test_no_part_of_a_key_is_heard_before_it_is_known_for_one() -> None:
    redact = Redaction([KEY])
    whole = f"The key is {KEY}, as you see."
    said = [redact.of_beginning(whole[:end]) for end in range(len(whole) + 1)]
    assert said[-1].startswith("The key is [key], as you")
    assert not [text for text in said if KEY[:4] in text]
