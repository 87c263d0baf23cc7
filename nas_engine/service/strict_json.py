"""JSON as RFC 8259 has it, and small: no repeated keys, no NaN, no infinity, no partial values."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_DEPTH = 40
MAX_CHARACTERS = 200_000

# A string is passed over as a whole; one that never ends runs to the end of the text.
_MARK = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def strict_json(text: str, max_characters: int = MAX_CHARACTERS, constants: bool = False) -> Any:
    """Return the one JSON value that `text` is.

    Args:
        text: the JSON text, with nothing but white space around the value.
        max_characters: the longest text that is read.
        constants: whether NaN and Infinity are read, as None, instead of being refused.

    Raises:
        ValueError: it is not JSON, repeats a key, holds a number that is not finite, or is too
            long or too deep. The message says which and where.
    """
    if len(text) > max_characters:
        raise ValueError(f"it has {len(text):,} characters; {max_characters:,} are allowed")
    _refuse_deep(text)
    return json.loads(
        text,
        object_pairs_hook=_object,
        parse_float=_finite,
        parse_int=_whole,
        parse_constant=_nothing if constants else _refuse_constant,
    )


def _refuse_deep(text: str) -> None:
    depth = 0
    for mark in _MARK.finditer(text):
        first = text[mark.start()]
        depth += (first in "[{") - (first in "]}")
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} occurs more than once in an object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > 100:
        raise ValueError(f"the number {text[:10]}… has {len(text):,} digits")
    return int(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _nothing(name: str) -> None:
    return None
