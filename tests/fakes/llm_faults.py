"""What a language model service can do wrong, and what is required of us in each case."""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Literal
from urllib.parse import quote

from tests.fakes.llm_server import (
    ANSWERED,
    FREE,
    Answer,
    Charge,
    Line,
    Reply,
    Request,
    Wire,
    completion,
    encoded,
    failure,
    head,
    proposal,
    text,
    tool_call,
    wire,
)

KEY = "sk-or-v1-canary/0123456789+abcdef"
DEADLINE_SECONDS = 0.6
"""Where a fault is a silence; where the service answers, there is all the time it needs."""

Script = Callable[[Request, int], Reply]
Source = Literal["llm", "fallback", "paused"]


@dataclass(frozen=True)
class Fault:
    """A fault and what is required: who proposes, the class of each request, honest books.

    `exact` asks for books that equal the service's; otherwise they must cover them.
    """

    name: str
    script: Script
    source: Source
    classes: tuple[str, ...]
    exact: bool = False
    deadline: float = 30.0
    listening: bool = True


GOOD = proposal({"model.normalisation": "standardise"})
_CALL = GOOD[1]["choices"][0]["message"]["tool_calls"][0]["function"]
TOOL, ARGUMENTS = _CALL["name"], _CALL["arguments"]
BODY = encoded(GOOD)
SSE = "text/event-stream"


def always(reply: Reply) -> Script:
    return lambda request, index: reply


def in_turn(*replies: Reply) -> Script:
    """Answer in this order; the last reply is repeated."""
    return lambda request, index: replies[min(index, len(replies) - 1)]


def sent(*parts: bytes, charge: Charge = ANSWERED) -> Wire:
    """Send these bytes and close."""

    def act(line: Line) -> None:
        for part in parts:
            line.send(part)

    return Wire(act, charge)


def body_of(data: bytes, *headers: str, kind: str = "application/json") -> Wire:
    return sent(head(200, f"Content-Length: {len(data)}", *headers, kind=kind), data)


def slowly(data: bytes, at_once: bytes = b"") -> Wire:
    """Send byte by byte, so slowly that no reading ever waits for long."""

    def act(line: Line) -> None:
        line.send(at_once)
        for byte in data:
            line.send(bytes([byte]))
            line.wait(0.02)

    return Wire(act)


def silent_after(data: bytes) -> Wire:
    def act(line: Line) -> None:
        if data:
            line.send(data)
        line.wait(60)

    return Wire(act)


def endless(first: bytes, again: bytes, times: int) -> Wire:
    def act(line: Line) -> None:
        line.send(first)
        for _ in range(times):
            line.send(again)

    return Wire(act)


def gzip_bomb(megabytes: int) -> Wire:
    def act(line: Line) -> None:
        line.send(head(200, "Content-Encoding: gzip"))
        packer = zlib.compressobj(wbits=31)
        for _ in range(megabytes):
            line.send(packer.compress(bytes(1_000_000)))
        line.send(packer.flush())

    return Wire(act)


def redirect(status: int) -> Wire:
    def act(line: Line) -> None:
        where = f"Location: http://localhost:{line.port}/elsewhere"
        line.send(head(status, where, "Content-Length: 0"))

    return Wire(act, FREE)


def reset() -> Wire:
    return Wire(lambda line: line.reset())


def events(*deltas: dict[str, Any], done: bool = True, identity: str = "c1") -> bytes:
    lines = [
        "data: "
        + json.dumps(
            {
                "id": identity,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": delta}],
            }
        )
        + "\n\n"
        for delta in deltas
    ]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def refused(arguments: str) -> Script:
    return always(tool_call(TOOL, arguments))


def usage(**changes: Any) -> Answer:
    """Return a good answer whose usage says something else; None leaves a field out."""
    told = {**GOOD[1]["usage"], **changes}
    return 200, GOOD[1] | {"usage": {k: v for k, v in told.items() if v is not None}}


def hypothesis(words: str) -> Answer:
    return proposal({"model.normalisation": "standardise"}, hypothesis=words)


def faults() -> Iterator[Fault]:
    """Yield every fault, by kind."""
    yield from _statuses()
    yield from _bodies()
    yield from _connections()
    yield from _streams()
    yield from _answers()
    yield from _reports()
    yield from _echoes()
    yield from _sequences()


def _statuses() -> Iterator[Fault]:
    for status in (401, 402, 403, 404):
        script = always(failure(status, f"refused: {KEY}"))
        yield Fault(f"HTTP {status} echoing the key", script, "paused", ("denied",), exact=True)
    for status in (400, 413, 422):
        script = always(failure(status, "this request cannot be served"))
        yield Fault(f"HTTP {status}", script, "fallback", ("rejected",), exact=True)
    yield Fault("HTTP 408", always(failure(408, "slow")), "fallback", ("timeout",) * 2)
    for status in (500, 502, 503, 529):
        script = always(failure(status, "overloaded"))
        yield Fault(f"HTTP {status}", script, "fallback", ("server",) * 2)
    for name, header, calls in (
        ("no Retry-After", "X-Nothing: 1", 2),
        ("Retry-After: 0", "Retry-After: 0", 2),
        ("Retry-After: soon", "Retry-After: soon", 2),
        ("Retry-After: -7", "Retry-After: -7", 2),
        ("Retry-After: 3600", "Retry-After: 3600", 1),
        ("Retry-After: 1e999", "Retry-After: 1e999", 1),
        (
            "Retry-After as a date",
            f"Retry-After: {formatdate(time.time() + 7200, usegmt=True)}",
            1,
        ),
    ):
        script = always(wire(failure(429, "too many requests"), header))
        yield Fault(f"HTTP 429, {name}", script, "fallback", ("rate_limit",) * calls, exact=True)
    script = always(wire(failure(503, "maintenance"), "Retry-After: 7200"))
    yield Fault("HTTP 503, Retry-After: 7200", script, "fallback", ("server",))
    for status in (301, 302, 307, 308):
        script = always(redirect(status))
        yield Fault(f"HTTP {status} to another host", script, "fallback", ("redirect",), exact=True)


def _bodies() -> Iterator[Fault]:
    for name, data in (
        ("HTML", b"<html><h1>Bad gateway</h1></html>"),
        ("no body", b""),
        ("prose as body", b"OK"),
        ("null", b"null"),
        ("an array", b"[]"),
        ("an empty object", b"{}"),
        ("a string", b'"sk"'),
        ("choices []", b'{"choices": []}'),
        ("choices [null]", b'{"choices": [null]}'),
        ("choices as an object", b'{"choices": {"0": {}}}'),
        ("a message null", b'{"choices": [{"message": null}]}'),
        ("bytes that are no UTF-8", BODY.replace(b"help", b"\xff\xfe")),
        ("UTF-16", BODY.decode().encode("utf-16")),
        ("two bodies in one", BODY * 2),
        ("the key choices twice", b'{"choices": [], ' + BODY[1:]),
        ("50,000 levels of nesting", b'{"choices": ' + b"[" * 50_000),
        ("50,000 levels, closed", b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    ):
        yield Fault(f"HTTP 200: {name}", always(body_of(data)), "fallback", ("bad_gateway",) * 2)
    for name, error, error_class in (
        ("an error 502", {"code": 502, "message": "provider failed"}, "server"),
        ("an error 429", {"code": 429, "message": "slow down"}, "rate_limit"),
        ("an error as text", "provider failed", "server"),
    ):
        reply = (200, {"id": "x", "choices": None, "error": error})
        yield Fault(f"HTTP 200: {name}", always(reply), "fallback", (error_class,) * 2)
    reply = (200, {"error": {"code": 402, "message": f"no credit on {KEY}"}})
    yield Fault("HTTP 200: an error 402", always(reply), "paused", ("denied",))
    broken = {"choices": [{"error": {"code": 502, "message": "upstream"}, "message": {}}]}
    yield Fault(
        "HTTP 200: a choice with an error", always((200, broken)), "fallback", ("server",) * 2
    )
    yield Fault("HTTP 204", always(sent(head(204))), "fallback", ("bad_gateway",) * 2)
    yield Fault("a byte order mark", always(body_of(b"\xef\xbb\xbf" + BODY)), "llm", ("",), True)


def _connections() -> Iterator[Fault]:
    half, whole = BODY[: len(BODY) // 2], f"Content-Length: {len(BODY)}"
    lost, late = ("connection",) * 2, ("timeout",) * 2
    chunks = head(200, "Transfer-Encoding: chunked")
    packed = zlib.compress(BODY, wbits=31)
    chunk = f"{len(BODY):x}\r\n".encode() + BODY
    for name, reply in (
        ("nothing is ever sent", silent_after(b"")),
        ("headers, then nothing", silent_after(head(200, whole))),
        ("half a body, then nothing", silent_after(head(200, whole) + half)),
        ("headers one byte at a time", slowly(head(200, whole) + BODY)),
        ("a body one byte at a time", slowly(BODY, head(200, whole))),
        ("an error one byte at a time", slowly(BODY, head(500, whole))),
        ("a redirect that never ends", silent_after(head(307)[:-2])),
    ):
        yield Fault(name, always(reply), "fallback", late, deadline=DEADLINE_SECONDS)
    for name, reply in (
        ("reset before an answer", reset()),
        ("closed before an answer", sent()),
        ("half a body, Content-Length whole", sent(head(200, whole), half)),
        ("a chunk cut off", sent(chunks, chunk[:-9])),
        ("chunks without the last", sent(chunks, chunk, b"\r\n")),
        (
            "a chunk size that is no number",
            sent(chunks, b"zz\r\n"),
        ),
        ("no HTTP", sent(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
        ("endless headers", endless(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 8000 + b"\r\n", 500)),
        ("two lengths", sent(head(200, whole, "Content-Length: 7"), BODY)),
    ):
        yield Fault(name, always(reply), "fallback", lost)
    for name, reply in (
        ("half a body, Content-Length to match", body_of(half)),
        ("Content-Length too short", sent(head(200, f"Content-Length: {len(BODY) - 9}"), BODY)),
        ("half a body, HTTP/1.0", sent(b"HTTP/1.0 200 OK\r\n\r\n", half)),
        (
            "gzip that nobody asked for",
            body_of(packed, "Content-Encoding: gzip"),
        ),
        ("gzip bomb of 400 MB", gzip_bomb(400)),
    ):
        yield Fault(name, always(reply), "fallback", ("bad_gateway",) * 2)
    megabyte = b" " * 1_000_000
    for name, reply in (
        ("30 MB", endless(head(200, "Content-Length: 30000000"), megabyte, 30)),
        ("300 MB without a length", endless(head(200), megabyte, 300)),
        ("an error of 30 MB", endless(head(500), megabyte, 30)),
    ):
        yield Fault(name, always(reply), "fallback", ("too_large",))
    yield Fault("nobody listens", always(GOOD), "fallback", lost, exact=True, listening=False)
    early = sent(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\n\r\n", wired(GOOD))
    yield Fault("100 Continue and 103 first", always(early), "llm", ("",), exact=True)
    old = sent(b"HTTP/1.0 200 OK\r\n\r\n", BODY)
    yield Fault("HTTP/1.0, closed at the end", always(old), "llm", ("",), exact=True)


def wired(reply: Answer) -> bytes:
    body = encoded(reply)
    return head(200, f"Content-Length: {len(body)}") + body


def _streams() -> Iterator[Fault]:
    """Yield faults of a server that streams although it was not asked to."""
    call = {"index": 0, "id": "a", "function": {"name": TOOL, "arguments": ARGUMENTS}}
    whole = events({"tool_calls": [call]})
    other = events({"content": "mine"}, done=False, identity="c2")
    error = b'data: {"error": {"code": 502, "message": "provider failed"}}\n\n'
    for name, data in (
        ("a whole stream", whole),
        ("stopped mid-event", whole[: len(whole) // 2]),
        ("without [DONE]", events({"tool_calls": [call]}, done=False)),
        ("of interleaved ids", other + events({"content": ARGUMENTS}, done=False) + other),
        ("with gaps in the indices", events({"tool_calls": [{**call, "index": 7}]})),
        ("with an error in it", error),
        ("of comments", b": keep-alive\n\n" * 20),
    ):
        reply = body_of(data, kind=SSE)
        yield Fault(f"a stream {name}", always(reply), "fallback", ("bad_gateway",) * 2)
    token = events({"content": "a"}, done=False)

    def one_a_second(line: Line) -> None:
        line.send(head(200, kind=SSE))
        for _ in range(60):
            line.send(token)
            line.wait(1.0)

    yield Fault(
        "a stream of one token a second",
        always(Wire(one_a_second)),
        "fallback",
        ("timeout",) * 2,
        deadline=1.2,
    )
    flood = endless(head(200, kind=SSE), token * 1000, 300)
    yield Fault("a stream without an end", always(flood), "fallback", ("too_large",))


def _answers() -> Iterator[Fault]:
    """Yield answers of a service that works and a model that does not, or does in its own way."""
    long = "[" * 50_000 + "]" * 50_000
    twice = '{"changes": [], ' + ARGUMENTS[1:]
    call = {"id": "1", "type": "function", "function": {"name": TOOL, "arguments": ARGUMENTS}}
    gaps = [{**call, "index": 0}, {**call, "index": 7, "id": "2"}]
    for name, script in (
        ("prose", always(text("I would widen the model."))),
        ("no content at all", always(completion({"content": None}))),
        ("arguments cut off", refused(ARGUMENTS[:-7])),
        ("no arguments", refused("")),
        ("arguments null", refused("null")),
        ("arguments as an object", always(_with_arguments(json.loads(ARGUMENTS)))),
        ("arguments with NaN", refused('{"changes": NaN}')),
        ("arguments with -Infinity", refused('{"changes": -Infinity}')),
        ("arguments with 1e999", refused('{"changes": 1e999}')),
        ("a number of 5,000 digits", refused('{"changes": ' + "9" * 5000 + "}")),
        ("a key twice", refused(twice)),
        ("50,000 levels of nesting in arguments", refused(f'{{"changes": {long}}}')),
        ("wrong keys", refused('{"model": {"d_model": 64}}')),
        ("one key too many", refused(ARGUMENTS[:-1] + ', "seed": 7}')),
        ("text in place of a list", refused('{"changes": "all of them"}')),
        ("Python in place of JSON", refused("{'changes': None}")),
        ("JSON with a comment", refused(ARGUMENTS[:-1] + " // done\n}")),
        ("two JSON values", refused(ARGUMENTS * 2)),
        ("another tool", always(tool_call("run_shell", ARGUMENTS))),
        ("two calls", always(completion({"content": None, "tool_calls": [call, call]}))),
        ("calls with gaps in the indices", always(completion({"content": "", "tool_calls": gaps}))),
        ("a call that is null", always(completion({"content": None, "tool_calls": [None]}))),
        ("a call of the old kind", always(completion({"function_call": call["function"]}))),
        ("two fences", always(text(f"```json\n{ARGUMENTS}\n```\n```json\n{ARGUMENTS}\n```"))),
        ("an open fence", always(text(f"```json\n{ARGUMENTS}\n"))),
        ("JSON and prose after it", always(text(f"{ARGUMENTS}\nI hope that helps."))),
        ("900 kB of prose", always(text("so " * 300_000))),
        ("200 kB of quotes", always(text('"\\"' * 100_000))),
    ):
        yield Fault(f"answer: {name}", script, "fallback", ("malformed",) * 3, exact=True)
    cut = completion({"content": None, "tool_calls": [call]}, "length")
    native = completion({"content": ARGUMENTS})
    native[1]["choices"][0]["native_finish_reason"] = "MAX_TOKENS"
    for name, answer in (
        ("finish_reason length, arguments whole", cut),
        ("finish_reason length, JSON whole", text(ARGUMENTS, "length")),
        ("native_finish_reason MAX_TOKENS", native),
    ):
        yield Fault(f"answer: {name}", always(answer), "fallback", ("truncated",) * 3, exact=True)
    for name, answer in (
        ("a refusal", completion({"content": None, "refusal": "I cannot help with that."})),
        ("content_filter", text(ARGUMENTS, "content_filter")),
    ):
        yield Fault(f"answer: {name}", always(answer), "fallback", ("refused",), exact=True)
    for name, changes in (("the seed", {"training.seed": 7}), ("no setting", {"os.system": "ls"})):
        script = always(proposal(changes))
        yield Fault(
            f"answer: changes {name}", script, "fallback", ("unacceptable",) * 3, exact=True
        )
    parts = [{"type": "text", "text": ARGUMENTS[:9]}, {"type": "text", "text": ARGUMENTS[9:]}]
    for name, answer in (
        ("a call", GOOD),
        ("bare JSON", text(ARGUMENTS)),
        ("JSON in a fence", text(f"Here:\n```json\n{ARGUMENTS}\n```")),
        ("JSON in parts", completion({"content": parts})),
        ("a call and prose", completion({"content": "Wider.", "tool_calls": [call]})),
        ("surrogates, NUL and RLO", hypothesis("odd \ud800 \u0000 \u202e end")),
        ("no finish_reason", completion({"content": ARGUMENTS}, None)),
    ):
        yield Fault(f"answer: {name}", always(answer), "llm", ("",), exact=True)


def _with_arguments(arguments: object) -> Answer:
    function = {"name": TOOL, "arguments": arguments}
    return completion({"content": None, "tool_calls": [{"id": "1", "function": function}]})


def _reports() -> Iterator[Fault]:
    """Yield what a service may say about the cost of a good answer."""
    absent = (200, {key: value for key, value in GOOD[1].items() if key != "usage"})
    for name, reply, exact in (
        ("no usage", absent, False),
        ("usage null", (200, GOOD[1] | {"usage": None}), False),
        ("usage as text", (200, GOOD[1] | {"usage": "much"}), False),
        ("negative tokens", usage(prompt_tokens=-100, cost=None), False),
        ("10^9 tokens", usage(completion_tokens=10**9, cost=None), False),
        ("tokens as text", usage(prompt_tokens="100", cost=None), False),
        ("tokens true", usage(completion_tokens=True, cost=None), False),
        ("no tokens", usage(prompt_tokens=0, completion_tokens=0, cost=None), False),
        ("cost NaN", usage(cost=float("nan")), True),
        ("cost Infinity", usage(cost=float("inf")), True),
        ("cost -1", usage(cost=-1), True),
        ("cost as text", usage(cost="free"), True),
        ("no cost, priced by us", usage(cost=None), True),
    ):
        yield Fault(f"report: {name}", always(reply), "llm", ("",), exact)


def _echoes() -> Iterator[Fault]:
    """Yield replies that hold the key."""
    encoded_key = base64.b64encode(f"Bearer {KEY}".encode()).decode()
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
    for name, answer in (
        ("in a hypothesis", hypothesis(f"The key is {KEY}.")),
        ("URL-encoded", hypothesis(f"See http://x/?k={quote(KEY, safe='')}")),
        ("in base64", hypothesis(f"Authorization: {encoded_key}")),
    ):
        yield Fault(f"the key {name}", always(answer), "llm", ("",), exact=True)
    body = BODY.replace(b"It should help.", json.dumps(KEY)[1:-1].encode())
    headers = (f"X-Echo: Bearer {KEY}", f"Set-Cookie: key={quote(KEY)}")
    yield Fault("the key in headers", always(body_of(body, *headers)), "llm", ("",), exact=True)
    for name, answer in (
        ("in prose", text(f"Your key is {KEY}")),
        ("in JSON escapes", tool_call(TOOL, ARGUMENTS.replace("It should help.", escaped))),
    ):
        yield Fault(f"the key {name}", always(answer), "fallback", ("malformed",) * 3, exact=True)
    script = always(failure(500, f"Authorization: Bearer {KEY} / {encoded_key}"))
    yield Fault("the key in an error", script, "fallback", ("server",) * 2)
    script = always(failure(500, "x" * 370 + KEY))
    yield Fault("the key where errors are cut", script, "fallback", ("server",) * 2)
    script = always(completion({"content": None, "refusal": f"Not with {KEY}"}))
    yield Fault("the key in a refusal", script, "fallback", ("refused",), exact=True)
    script = always(tool_call(KEY, ARGUMENTS))
    yield Fault("the key as name of a tool", script, "fallback", ("malformed",) * 3, exact=True)


def _sequences() -> Iterator[Fault]:
    """Yield faults that pass."""
    busy, prose = failure(429, "busy"), text("no")
    for name, replies, classes in (
        ("500, then good", (failure(500, "x"), GOOD), ("server", "")),
        ("reset, then good", (reset(), GOOD), ("connection", "")),
        ("prose, cut, then good", (prose, tool_call(TOOL, "{"), GOOD), ("malformed",) * 2 + ("",)),
        (
            "429, prose, 502, then good",
            (busy, prose, failure(502, "x"), GOOD),
            ("rate_limit", "malformed", "server", ""),
        ),
        (
            "Retry-After: 1, then good",
            (wire(busy, "Retry-After: 1"), GOOD),
            ("rate_limit", ""),
        ),
    ):
        yield Fault(name, in_turn(*replies), "llm", classes)
    yield Fault(
        "prose, then dead", in_turn(prose, reset()), "fallback", ("malformed", *("connection",) * 2)
    )


FAULTS = list(faults())
