"""Rows from outside: each cell is what its column holds, or the row is refused with a sentence.

The schema checks what SQL can check; here is what lies inside the texts, and that figures are such
as pages can show.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from typing import Annotated, Any, get_args

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from data.traits import Traits
from informer.config import StepType, Value, fields
from informer.records import UsedData
from nas_engine.chat.looked_up import LookedUp
from nas_engine.commands import Describe
from nas_engine.evaluator import compared_of
from nas_engine.guidance import Constraint
from nas_engine.lessons import Lessons
from nas_engine.proposals import Source
from nas_engine.search import PlannerName, SearchSpec
from nas_engine.service.reply import Completion
from nas_engine.space import SpaceError, dimensions, typed
from nas_engine.store.copying import Cell, Column, columns
from nas_engine.store.derived import SPARK_POINTS
from nas_engine.store.migrations import settings_after

TEXT_LENGTH = 2**22
"""Characters of a text, at most."""
LARGEST = 2**53
"""Whole numbers up to which a figure is exact wherever it is shown."""
LATEST = 4e9
"""Seconds since the epoch, in the year 2096: a clock that shows more is wrong."""
LONGEST = 4e9
"""Seconds of a duration."""
MOST_TRIALS = 100_000
MOST_SEEDS = 1000

_MOMENTS = frozenset({"waiting_since"})
_DURATIONS = frozenset({"seconds", "spent", "active_seconds"})
_COUNTS: Mapping[str, int] = {"seeds": 0, "tried": 0, "incumbent_seeds": 0, "noise_degrees": 1}
"""The least of what margins are computed from."""


class RowError(ValueError):
    """A row that cannot be taken; the message is the rest of a sentence."""


def checked(table: str, line: bytes, version: str | None = None) -> dict[str, Cell]:
    """Return a row of a table that came as a line of JSON.

    Args:
        table: its name.
        line: the row.
        version: of the schema that it was written under; None: the newest.

    Raises:
        RowError: it is no row of this table.
    """
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise RowError("is no JSON object on one line") from None
    if not isinstance(row, dict):
        raise RowError("is no JSON object")
    return checked_row(table, row, version)


def checked_row(table: str, row: Mapping[str, Any], version: str | None = None) -> dict[str, Cell]:
    """Return a row of a table with each cell checked; raises RowError."""
    names, bounded = _columns(table, version)
    if row.keys() != names:
        raise RowError(
            f"has other columns than it should, such as {_short(min(names ^ row.keys()))}"
        )
    for column, low, high in bounded:
        _check_cell(column, low, high, row[column.name])
    for name, check in _inside(table, version).items():
        if name not in names:  # of a later version
            continue
        try:
            check(row[name])
        except (ValueError, TypeError, SpaceError, RecursionError) as error:
            raise RowError(f"holds a {name} that cannot be used ({_cause(error)})") from None
    return dict(row)


Bounded = tuple[Column, float, float]
"""A column with the least and the largest number that it may hold."""


@cache
def _columns(table: str, version: str | None) -> tuple[frozenset[str], tuple[Bounded, ...]]:
    known = columns(version)[table]
    return frozenset(column.name for column in known), tuple(map(_bounded, known))


def _bounded(column: Column) -> Bounded:
    if column.name.endswith("_at") or column.name in _MOMENTS:
        return column, 0, LATEST
    if column.name in _DURATIONS:
        return column, 0, LONGEST
    if column.name == "number":
        return column, 0, MOST_TRIALS
    if column.name in _COUNTS:
        return column, _COUNTS[column.name], MOST_TRIALS * MOST_SEEDS
    largest = LARGEST if column.type == "INTEGER" else sys.float_info.max
    return column, -largest, largest


def _check_cell(column: Column, low: float, high: float, value: object) -> None:
    if value is None:
        fits = not column.required
    elif column.type == "TEXT":
        fits = type(value) is str and len(value) <= TEXT_LENGTH
    elif type(value) is int or (type(value) is float and column.type == "REAL"):
        fits = low <= value <= high
    else:
        fits = False
    if not fits:
        raise RowError(f"holds a {column.name} that is none: {_short(value)}")


# -- what lies inside texts ---------------------------------------------------------------------

_DESCRIBED = Describe.model_fields
_NAME: TypeAdapter[str] = TypeAdapter(Annotated[str, Field(max_length=200)])
_TAGS: TypeAdapter[list[str]] = TypeAdapter(
    Annotated[list[Annotated[str, Field(min_length=1, max_length=40)]], Field(max_length=20)]
)
_SPARK: TypeAdapter[list[float | None]] = TypeAdapter(
    Annotated[list[float | None], Field(max_length=SPARK_POINTS)]
)
_MESSAGES: TypeAdapter[list[dict[str, str]]] = TypeAdapter(list[dict[str, str]])
_LOOKED_UP: TypeAdapter[list[LookedUp]] = TypeAdapter(list[LookedUp])
_COMPLETION: TypeAdapter[Completion] = TypeAdapter(Completion)
_STEP_TYPE: TypeAdapter[StepType] = TypeAdapter(StepType)
_PLANNER: TypeAdapter[PlannerName] = TypeAdapter(PlannerName)


def _json(text: str) -> Any:
    return orjson.loads(text)


def _spec(text: str) -> None:
    spec = SearchSpec.model_validate(_json(text))
    _settings(spec.settings)
    dimensions(spec)


def _settings(values: Mapping[str, Value]) -> None:
    for key, value in values.items():
        if key not in fields():
            raise ValueError(f"{_short(key)} is no setting")
        typed(fields()[key], value)


def _changes(text: str) -> None:
    if not isinstance(values := _json(text), dict):
        raise ValueError("it is no JSON object")
    _settings(values)


def _config(unsaid: Collection[str], text: str) -> None:
    _changes(text)
    if missing := [key for key in fields() if key not in _json(text) and key not in unsaid]:
        raise ValueError(f"{missing[0]} is missing")


def _config_if_any(unsaid: Collection[str], text: str) -> None:
    if text != "{}":
        _config(unsaid, text)


def _source(text: str) -> None:
    if text not in get_args(Source):
        raise ValueError(f"{_short(text)} makes no proposals")


def _source_if_any(text: str) -> None:
    if text:
        _source(text)


def _payload(text: str) -> None:
    if not isinstance(payload := _json(text), dict):
        raise ValueError("it is no JSON object")
    for name in ("proposal_id", "turn_id", "steering_id"):
        if type(payload.get(name, 0)) is not int:
            raise ValueError(f"its {name} is no number")


def _looked_up(text: str) -> None:
    for item in _json(text):
        LookedUp(**item)  # as pages read it: no names but these
    _LOOKED_UP.validate_python(_json(text), strict=True)


def _compared(text: str) -> None:
    if text:
        _json(text)  # which takes no figure that is not finite
        compared_of(text)


def _unless_empty(check: Callable[[Any], object]) -> Callable[[str], object]:
    return lambda text: check(_json(text)) if text else None


_INSIDE: Mapping[str, Mapping[str, Callable[[Any], object]]] = {
    "searches": {
        "spec": _spec,
        "name": _NAME.validate_python,
        "tags": lambda text: _TAGS.validate_python(_json(text), strict=True),
        "data": _unless_empty(UsedData.model_validate),
        "lessons": _unless_empty(Lessons.model_validate),
        "traits": _unless_empty(Traits.model_validate),
    },
    "proposals": {
        "changes": _changes,
        "original": _changes,
        "source": _source,
    },
    "revisions": {
        "changes": _changes,
        "source": _source,
        "step_type": _STEP_TYPE.validate_python,
    },
    "replays": {
        "changes": _changes,
        "source": _source_if_any,
        "planner": _PLANNER.validate_python,
    },
    "trials": {"spark": lambda text: _SPARK.validate_python(_json(text), strict=True)},
    "verdicts": {"compared": _compared},
    "turns": {"looked_up": _looked_up},
    "llm_calls": {
        "messages": lambda text: _MESSAGES.validate_python(_json(text), strict=True),
        "completion": _unless_empty(_COMPLETION.validate_python),
    },
    "steering": {"constraint_": _unless_empty(Constraint.model_validate)},
    "commands": {"payload": _payload},
}

_CONFIGS: Mapping[str, Callable[[Collection[str], str], None]] = {
    "proposals": _config,
    "revisions": _config,
    "replays": _config_if_any,
}


@cache
def _inside(table: str, version: str | None) -> Mapping[str, Callable[[Any], object]]:
    """Return the checks of a table's texts; in earlier versions there were fewer settings."""
    checks = dict(_INSIDE.get(table, {}))
    if table in _CONFIGS:
        checks["config"] = partial(_CONFIGS[table], settings_after(version))
    return checks


def _cause(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return _short(f"{where} {first['msg']}".strip(), 120)
    if isinstance(error, orjson.JSONDecodeError):
        return "it is no JSON"
    if isinstance(error, TypeError | RecursionError):
        return "it has another form"
    return _short(str(error).rstrip("."), 120)


def _short(value: object, limit: int = 40) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    return text if len(text) <= limit else f"{text[:limit]}…"
