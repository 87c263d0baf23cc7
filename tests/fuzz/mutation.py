"""Changes of JSON and of lines that keep most of their form, drawn at random."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 63, 64, 65, 255, 256, 4096, 2**31, 2**53, 2**63, -(2**63)),
    *(2**64, 10**18, 10**90, 10**400, 0.5, -0.0, 1e-320, 1e-8, 1e308, 1.7e308, 64.0, 63.5),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "0", "64", "1e999", "NaN", "null"),
    *("a" * 300, "A\u202eB", "\u0000", "\ud800", "é" * 70, "../../etc/passwd", "/etc/passwd"),
    *("C:\\NUL", "%s%s%n", "{0}", "=1+1", "\x1b[2J", "line\nline", [], {}, [[]], [{}], {"": {}}),
)
"""Values at which code that reads values has broken before."""

Words = Sequence[Any]


def changed_json(data: bytes, draw: random.Random, words: Words) -> bytes:
    """Return a JSON text with one to four changes; what is none becomes a new one."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = [draw.choice(words)]
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        value = changed(value, draw, words)
    return json.dumps(value, ensure_ascii=draw.random() < 0.8).encode("utf-8", "surrogatepass")


def changed(value: Any, draw: random.Random, words: Words) -> Any:
    """Return a value with a change somewhere inside."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        return _changed_object(dict(value), draw, words)
    if isinstance(value, list) and value and draw.random() < 0.85:
        return _changed_list(list(value), draw, words)
    return _other(value, draw, words)


def _changed_object(value: dict[str, Any], draw: random.Random, words: Words) -> dict[str, Any]:
    key = draw.choice(list(value))
    match draw.randrange(10):
        case 0:
            del value[key]
        case 1:
            value[str(draw.choice(words))] = value.pop(key)
        case 2:
            value[str(draw.choice(words))] = _new(draw, words)
        case 3:
            value[key] = value[draw.choice(list(value))]
        case _:
            value[key] = changed(value[key], draw, words)
    return value


def _changed_list(value: list[Any], draw: random.Random, words: Words) -> list[Any]:
    at = draw.randrange(len(value))
    match draw.randrange(10):
        case 0:
            del value[at]
        case 1:
            value.insert(at, value[draw.randrange(len(value))])
        case 2:
            value.insert(at, _new(draw, words))
        case 3:
            value *= draw.choice((2, 3, 20)) if len(value) < 50 else 1
        case _:
            value[at] = changed(value[at], draw, words)
    return value


def _other(value: Any, draw: random.Random, words: Words) -> Any:
    match value, draw.randrange(6):
        case bool(), 0 | 1:
            return not value
        case int(), 0 | 1 | 2:
            return draw.choice((value + 1, value - 1, -value, value * 1000, value * 2, value // 2))
        case float(), 0 | 1 | 2:
            return draw.choice((-value, value * 1000, value / 1000, value + 1, float(f"{value:g}")))
        case str(), 0 | 1 if value:
            at = draw.randrange(len(value))
            return value[:at] + draw.choice(("", " ", ".", "\u0000", "é", str(_new(draw, words))))
        case str(), 2:
            return value.swapcase() if draw.random() < 0.5 else value * draw.choice((2, 30))
    return [value] if draw.random() < 0.05 else _new(draw, words)


def _new(draw: random.Random, words: Words) -> Any:
    return draw.choice(words) if draw.random() < 0.6 else draw.choice(ODD)


def changed_lines(data: bytes, draw: random.Random, words: Sequence[bytes]) -> bytes:
    """Return lines of fields with one to four changes."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        lines = data.split(b"\n")
        at = draw.randrange(len(lines))
        match draw.randrange(9):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[draw.randrange(len(lines))])
            case 2:
                lines.insert(at, draw.choice(words))
            case 3:
                lines[at] = draw.choice(words) + lines[at]
            case 4:
                lines[at] += draw.choice(words)
            case 5:
                return data.replace(*draw.sample((b",", b";", b"\t", b".", b"\n", b'"', b"0"), 2))
            case _:
                delimiter = draw.choice((b",", b",", b";", b"\t", b"|"))
                fields = lines[at].split(delimiter)
                field = draw.randrange(len(fields))
                fields[field] = draw.choice(words)
                if draw.random() < 0.2:
                    fields.insert(field, draw.choice(words))
                lines[at] = delimiter.join(fields)
        data = b"\n".join(lines)
    return data
