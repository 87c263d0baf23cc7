"""From the bytes of an HTTP response to a checked answer, strictly, step by step.

The answer is the one tool call, else one JSON object in the text, bare or in a single fence.
Whatever was cut off is refused, even where what is left could be read.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nas_engine.service.fault import ErrorClass, Fault, fault_of_status
from nas_engine.service.strict_json import strict_json

Answer = TypeVar("Answer", bound=BaseModel)

MAX_BYTES = 1_000_000
"""Bytes of a response, at most: an answer of 10,000 tokens has about 40,000."""

LONGEST_WAIT = 24 * 3600.0
"""Seconds of a Retry-After that are believed, at most."""

LONGEST_SENTENCE = 300
"""Characters of a reason, whatever it quotes."""

_CUT_OFF = ("length", "max_tokens", "model_length", "incomplete")
_DECLINED = ("content_filter", "refusal", "safety")
_FENCE = re.compile(r"```(?:json)?[ \t]*\r?\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool; `arguments` is its JSON text, None where it was no text."""

    name: str
    arguments: str | None
    id: str = ""  # by which its result is sent back


@dataclass(frozen=True)
class Completion:
    """What a model said, and what the service reports that it took (still unchecked)."""

    text: str
    calls: tuple[ToolCall, ...]
    finish_reasons: tuple[str, ...]
    refusal: str
    usage: Mapping[str, Any]

    def said(self) -> str:
        """Return text and calls as one text, for the transcript and for a repair request."""
        calls = [f"{call.name}({call.arguments or ''})" for call in self.calls]
        return "\n".join(part for part in (self.text, self.refusal, *calls) if part)


@dataclass(frozen=True)
class Objection:
    """Why a completion holds no answer, in sentences that the model can act on."""

    error_class: ErrorClass
    sentences: list[str]


def read_completion(status: int, headers: Mapping[str, str], body: bytes) -> Completion:
    """Return the completion in a response; raises Fault.

    Args:
        status: HTTP status.
        headers: response headers, by name in lower case.
        body: the whole body, not compressed.
    """
    if not 200 <= status < 300:
        raise fault_of_status(status, _error_message(body), _retry_after(headers))
    try:
        value = strict_json(body.decode("utf-8-sig"), MAX_BYTES, constants=True)
    except (ValueError, RecursionError) as error:
        kind = headers.get("content-type", "no content type")
        raise unreadable(f"{len(body):,} bytes of {kind} that are no JSON: {error}") from None
    if not isinstance(value, dict):
        raise unreadable("JSON that is no object")
    if value.get("error"):
        raise error_inside(value["error"])
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise unreadable("no choices")
    if choices[0].get("error"):
        raise error_inside(choices[0]["error"])
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise unreadable("a choice without a message")
    usage = value.get("usage")
    return Completion(
        text=_content(message.get("content")),
        calls=_calls(message.get("tool_calls")),
        finish_reasons=tuple(
            reason.lower()
            for name in ("finish_reason", "native_finish_reason")
            if isinstance(reason := choices[0].get(name), str)
        ),
        refusal=_content(message.get("refusal")),
        usage=usage if isinstance(usage, dict) else {},
    )


def unfinished(completion: Completion) -> Objection | None:
    """Return why a completion is not all that was to be said; None where it is."""
    if any(reason in _CUT_OFF for reason in completion.finish_reasons):
        return Objection("truncated", ["The answer was cut off at the length limit; be brief."])
    if completion.refusal or any(reason in _DECLINED for reason in completion.finish_reasons):
        return Objection("refused", ["The model or a filter of the service declined to answer."])
    return None


def read_answer(completion: Completion, schema: type[Answer]) -> Answer | Objection:
    """Return the answer of the form `schema` in a completion, or what is wrong with it."""
    if (objection := unfinished(completion)) is not None:
        return objection
    name = schema.__name__
    if len(completion.calls) > 1:
        return _malformed(f"Call {name} once; {len(completion.calls)} calls came.")
    if completion.calls:
        call = completion.calls[0]
        if call.name != name:
            return _malformed(f"There is no tool {call.name!r}; call {name}.")
        return read_arguments(call, schema)
    fenced = _FENCE.findall(completion.text)
    if len(fenced) > 1:
        return _malformed(f"{len(fenced)} blocks of JSON came; answer with one.")
    text = fenced[0] if fenced else completion.text
    wanted = f"Answer by calling {name}, or with one JSON object of its form and no other text"
    return _validated(schema, text, wanted)


def read_arguments(call: ToolCall, schema: type[Answer]) -> Answer | Objection:
    """Return the arguments of a call in the form `schema`, or what is wrong with them."""
    if call.arguments is None:
        return _malformed(f"The arguments of {call.name} were no JSON text.")
    return _validated(schema, call.arguments, f"The arguments of {call.name} were not valid JSON")


def _validated(schema: type[Answer], text: str, otherwise: str) -> Answer | Objection:
    try:
        value = strict_json(text)
    except (ValueError, RecursionError) as error:
        return _malformed(f"{otherwise} ({error}).")
    try:
        return schema.model_validate_json(json.dumps(storable(value)), strict=True)
    except ValidationError as error:
        return _malformed(
            *(
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}."
                for item in error.errors(include_url=False, include_input=False)[:10]
            )
        )


def storable(value: Any) -> Any:
    """Return the value with lone surrogates, which JSON may smuggle in, escaped in all its text.

    Two that make a character, which a stream may have parted, are that character.
    """
    match value:
        case str():
            joined = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
            return joined.encode("utf-8", "backslashreplace").decode("utf-8")
        case dict():
            return {storable(key): storable(item) for key, item in value.items()}
        case list():
            return [storable(item) for item in value]
        case _:
            return value


def _malformed(*sentences: str) -> Objection:
    return Objection("malformed", [sentence[:LONGEST_SENTENCE] for sentence in sentences])


def unreadable(what: str) -> Fault:
    """Return the fault of a service that sent something else than a completion."""
    return Fault("bad_gateway", f"The service sent {what}")


def error_inside(error: object) -> Fault:
    """Return the fault that an error in an answer with status 200 means; it may be charged."""
    told: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
    message, code = str(told.get("message")), told.get("code")
    if isinstance(code, int) and 400 <= code < 600:
        fault = fault_of_status(code, message)
        fault.free = False
        return fault
    return Fault("server", f"The service sent an error in place of an answer: {message}")


def _error_message(body: bytes) -> str:
    text = body[:10_000].decode("utf-8", "replace")
    try:
        error = strict_json(text).get("error")
        return str(error.get("message")) if isinstance(error, dict) else str(error)
    except (ValueError, RecursionError, AttributeError):
        return " ".join(text.split())


def _content(content: object) -> str:
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _calls(calls: object) -> tuple[ToolCall, ...]:
    return tuple(_call(call) for call in calls) if isinstance(calls, list) else ()


def _call(call: object) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    function = function if isinstance(function, dict) else {}
    name, arguments = function.get("name"), function.get("arguments")
    identity = call.get("id") if isinstance(call, dict) else None
    return ToolCall(
        name if isinstance(name, str) else "",
        arguments if isinstance(arguments, str) else None,
        identity if isinstance(identity, str) else "",
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3), None where it has none."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT) if not math.isnan(seconds) else None
