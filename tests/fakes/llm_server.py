"""An OpenAI-compatible server that answers from a script, and keeps what it was asked and charged.

A reply is a status with a body, or a `Wire`: any misbehaviour at the level of the socket.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]


@dataclass(frozen=True)
class Charge:
    """What the service takes for a request, whatever it reports."""

    tokens: int
    usd: float


FREE = Charge(0, 0.0)
ANSWERED = Charge(120, 0.001)


class HungUp(Exception):
    """The client is gone, or the server stops."""


class Line:
    """The server's end of a connection."""

    def __init__(self, connection: socket.socket, stopping: threading.Event, port: int) -> None:
        self._connection = connection
        self._stopping = stopping
        self.port = port

    def send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError:
            raise HungUp from None

    def wait(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise HungUp

    def reset(self) -> None:
        """Break the connection with a RST instead of a FIN."""
        linger = struct.pack("ii", 1, 0)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._connection.close()


@dataclass(frozen=True)
class Wire:
    """A reply that is sent by hand, and what is charged for it."""

    act: Callable[[Line], None]
    charge: Charge = ANSWERED


Reply = tuple[int, dict[str, Any] | str] | Wire


class LLMServer:
    """Answers request after request with `script(request, index)`."""

    def __init__(self, script: Callable[[Request, int], Reply]) -> None:
        self.requests: list[Request] = []
        self.headers: list[dict[str, str]] = []
        self.ledger: list[Charge] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
                with outer._lock:
                    index = len(outer.requests)
                    outer.requests.append(body)
                    outer.headers.append({k.lower(): v for k, v in self.headers.items()})
                reply = script(body, index)
                with outer._lock:
                    outer.ledger.append(charge_of(reply))
                if isinstance(reply, tuple):
                    reply = wire(reply)
                self.close_connection = True
                with suppress(HungUp):
                    reply.act(Line(self.connection, outer._stopping, outer._port))

            def do_GET(self) -> None:
                """Only a redirect that was followed leads here."""
                with outer._lock:
                    outer.requests.append({})
                    outer.ledger.append(FREE)
                self.send_error(405)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def charged(self) -> Charge:
        return Charge(
            sum(charge.tokens for charge in self.ledger), sum(charge.usd for charge in self.ledger)
        )

    def start(self) -> None:
        self._thread.start()

    def stop_listening(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()

    def stop(self) -> None:
        self._stopping.set()
        self.stop_listening()
        self._thread.join()


def charge_of(reply: Reply) -> Charge:
    """Return what is charged: an answer costs, an error does not."""
    if isinstance(reply, Wire):
        return reply.charge
    status, body = reply
    return ANSWERED if status == 200 and isinstance(body, dict) and body.get("choices") else FREE


def encoded(reply: tuple[int, dict[str, Any] | str]) -> bytes:
    """Return the body of a reply."""
    body = reply[1]
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def head(status: int, *headers: str, kind: str = "application/json") -> bytes:
    """Return status line and headers."""
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Type: {kind}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def wire(reply: tuple[int, dict[str, Any] | str], *headers: str) -> Wire:
    """Return a reply as it goes over the wire, with more headers."""
    body = encoded(reply)
    data = head(reply[0], f"Content-Length: {len(body)}", *headers) + body
    return Wire(lambda line: line.send(data), charge_of(reply))


@contextmanager
def serving(script: Callable[[Request, int], Reply]) -> Iterator[LLMServer]:
    server = LLMServer(script)
    server.start()
    try:
        yield server
    finally:
        server.stop()


Answer = tuple[int, dict[str, Any]]

REPORTED = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "cost": ANSWERED.usd,
}


def event(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    """Return a chunk of a streamed completion as a server-sent event."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "choices": [choice], **more}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def ending(finish_reason: str = "stop") -> bytes:
    """Return the events that end a stream: the reason, what it took, and the last one."""
    usage = {"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": REPORTED}
    last = f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n".encode()
    return event({}, finish_reason) + last


def streamed(*parts: bytes, pause: float = 0.0) -> Wire:
    """Return a reply of server-sent events, with a pause before each part."""

    def act(line: Line) -> None:
        line.send(head(200, kind="text/event-stream"))
        for part in parts:
            line.wait(pause)
            line.send(part)

    return Wire(act)


def saying(*words: str, pause: float = 0.0) -> Wire:
    """Return a streamed reply of text, word by word."""
    return streamed(*(event({"content": word}) for word in words), ending(), pause=pause)


def calling(*calls: tuple[str, dict[str, Any] | str]) -> Wire:
    """Return a streamed reply that calls tools; arguments come in two halves."""
    parts = []
    for index, (name, arguments) in enumerate(calls):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        first = {"name": name, "arguments": text[: len(text) // 2]}
        begun = {"index": index, "id": f"call_{index}", "type": "function", "function": first}
        rest = {"index": index, "function": {"arguments": text[len(text) // 2 :]}}
        parts += [event({"tool_calls": [begun]}), event({"tool_calls": [rest]})]
    return streamed(*parts, ending("tool_calls"))


def tool_call(name: str, arguments: dict[str, Any] | str) -> Answer:
    """Return a reply that calls a tool; arguments given as text are sent as they are."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": text}}
    return completion({"content": None, "tool_calls": [call]}, "tool_calls")


def text(content: str, finish_reason: str = "stop") -> Answer:
    """Return a reply of plain text."""
    return completion({"content": content}, finish_reason)


def failure(status: int, message: str) -> Answer:
    """Return an error as OpenAI-compatible services send it."""
    return status, {"error": {"message": message, "type": "error", "code": status}}


def asked_for(request: Request) -> str:
    """Return the name of the form that a request asks for."""
    if "tool_choice" in request:
        return str(request["tool_choice"]["function"]["name"])
    return str(request["response_format"]["json_schema"]["name"])


def proposal(
    changes: Mapping[str, Any], hypothesis: str = "It should help.", **more: Any
) -> Answer:
    """Return a planner's proposal."""
    return tool_call("ProposeChange", {**_candidate(changes, hypothesis), **more})


def candidates(*several: Mapping[str, Any]) -> Answer:
    """Return a planner's candidates for the next trial."""
    listed = [_candidate(changes, f"Candidate {n}.") for n, changes in enumerate(several, 1)]
    return tool_call("ProposeCandidates", {"candidates": listed})


def judgement(accept: bool, reason: str = "Within the noise.") -> Answer:
    """Return an evaluator's advice."""
    return tool_call("Judge", {"accept": accept, "reason": reason})


def _candidate(changes: Mapping[str, Any], hypothesis: str) -> dict[str, Any]:
    return {
        "step_type": "small",
        "hypothesis": hypothesis,
        "plan": "The trials so far say so.",
        "changes": [{"path": key, "value": value} for key, value in changes.items()],
        "expected": {"low": -1.0, "high": 5.0},
    }


def completion(message: dict[str, Any], finish_reason: str | None = "stop") -> Answer:
    """Return a completion around a message."""
    message = {"role": "assistant", **message}
    return 200, {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": REPORTED,
    }
