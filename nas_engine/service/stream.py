"""A completion that comes in pieces, as server-sent events, read as strictly as a whole one.

Each event is a line `data:` with a JSON chunk; the last one is `data: [DONE]`. See "Server-sent
events" in the HTML standard (9.2) for the lines, and OpenAI's "chat completion chunk" for what they
hold. The first sign that the stream is broken ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas_engine.service.fault import Fault
from nas_engine.service.reply import (
    MAX_BYTES,
    Completion,
    ToolCall,
    error_inside,
    unreadable,
)
from nas_engine.service.strict_json import strict_json

MAX_STREAM_BYTES = 8_000_000
"""Bytes of a streamed response, at most: each token comes in about 300."""

MOST_CALLS = 32
"""Tool calls of one answer, at most."""


@dataclass
class _Call:
    """A tool call as far as it has come."""

    id: str = ""
    name: str = ""
    arguments: str | None = ""


class EventStream:
    """Takes the bytes of a streamed completion as they come; `text` is what was said so far."""

    def __init__(self) -> None:
        self.text = ""
        self._refusal = ""
        self._line = bytearray()  # that has not ended
        self._calls: dict[int, _Call] = {}
        self._finish: dict[str, str] = {}
        self._usage: Mapping[str, Any] = {}
        self._done = False

    def feed(self, data: bytes) -> None:
        """Take more bytes; raises Fault."""
        self._line += data
        if b"\n" in data:
            *lines, self._line = self._line.split(b"\n")
            for line in lines:
                self._take(bytes(line))
        if len(self._line) > MAX_BYTES:
            raise Fault("too_large", f"The service sent a line of more than {MAX_BYTES:,} bytes")

    def completion(self) -> Completion:
        """Return what was said, once all bytes have come; raises Fault where the end is missing."""
        self.feed(b"\n")
        if "finish_reason" not in self._finish:
            raise unreadable("a stream that broke off before its end")
        return Completion(
            text=self.text,
            calls=tuple(
                ToolCall(call.name, call.arguments, call.id)
                for _, call in sorted(self._calls.items())
            ),
            finish_reasons=tuple(self._finish.values()),
            refusal=self._refusal,
            usage=self._usage,
        )

    def _take(self, line: bytes) -> None:
        field, _, value = line.strip().partition(b":")
        if field != b"data":
            return  # a comment that keeps the connection alive, a name, or the end of an event
        if value.strip() == b"[DONE]":
            self._done = True
        elif self._done:
            raise unreadable("more events after the last one")
        else:
            self._take_chunk(_chunk(value))

    def _take_chunk(self, chunk: Mapping[str, Any]) -> None:
        if chunk.get("error"):
            raise error_inside(chunk["error"])
        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        if not choices:
            return  # one that reports the usage alone
        if not isinstance(choices, list) or not isinstance(choices[0], dict):
            raise unreadable("choices that are none")
        if choices[0].get("error"):
            raise error_inside(choices[0]["error"])
        delta = choices[0].get("delta") or {}
        if not isinstance(delta, dict):
            raise unreadable("a choice whose delta is no object")
        self._take_delta(delta)
        for name in ("finish_reason", "native_finish_reason"):
            self._take_reason(name, choices[0].get(name))

    def _take_delta(self, delta: Mapping[str, Any]) -> None:
        said, refusal = delta.get("content"), delta.get("refusal")
        calls = delta.get("tool_calls") or []
        if (said or refusal or calls) and self._finish:
            raise unreadable("more of an answer that had ended")
        if not isinstance(said, str | None) or not isinstance(refusal, str | None):
            raise unreadable("a delta whose content is no text")
        if not isinstance(calls, list):
            raise unreadable("tool calls that are no list")
        self.text += said or ""
        self._refusal += refusal or ""
        for call in calls:
            self._take_call(call)

    def _take_call(self, part: object) -> None:
        index = part.get("index", 0) if isinstance(part, dict) else None
        if not isinstance(part, dict) or not isinstance(index, int) or not 0 <= index < MOST_CALLS:
            raise unreadable("a tool call without a place")
        function = part.get("function")
        function = function if isinstance(function, dict) else {}
        call = self._calls.setdefault(index, _Call())
        if isinstance(part.get("id"), str):
            call.id = call.id or part["id"]
        if isinstance(function.get("name"), str):
            call.name = call.name or function["name"]
        more = function.get("arguments", "")
        known = isinstance(more, str | None) and call.arguments is not None
        call.arguments = f"{call.arguments}{more or ''}" if known else None

    def _take_reason(self, name: str, reason: object) -> None:
        if not isinstance(reason, str) or not reason:
            return
        if self._finish.setdefault(name, reason.lower()) != reason.lower():
            raise unreadable(f"an answer that ended twice ({self._finish[name]}, {reason[:40]})")


def is_stream(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether a response holds server-sent events, and no error."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return 200 <= status < 300 and kind == "text/event-stream"


def _chunk(value: bytes) -> Mapping[str, Any]:
    try:
        chunk = strict_json(value.decode("utf-8"), MAX_BYTES, constants=True)
    except (ValueError, RecursionError) as error:
        raise unreadable(f"an event of {len(value):,} bytes that is no JSON: {error}") from None
    if not isinstance(chunk, dict):
        raise unreadable("an event that is no object")
    return chunk
