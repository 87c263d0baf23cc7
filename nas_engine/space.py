"""The search space of one search: the fields of `informer/config.py` that planners may change.

A search may pin a setting, ban values of it or give it another range (`Narrowing`); the rest is
what the definition offers, narrowed to the preset.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping

from informer.config import (
    LEAST,
    PRESETS,
    Choices,
    ConfigError,
    FieldSpec,
    Interval,
    Search,
    StepType,
    Value,
    fields,
    short,
    unknown_key,
)
from nas_engine.search import TASK_KEYS, Narrowing, SearchSpec

_STEPS: tuple[StepType, ...] = ("small", "medium", "radical")


class SpaceError(ValueError):
    """A narrowing that cannot be used; the message is one sentence."""


def space(spec: SearchSpec) -> dict[str, Search]:
    """Return what planners may choose from, by dotted key; a pinned setting is not among it.

    The value of trial 0 is among the choices of its field: a search starts inside its own space.

    Raises:
        SpaceError: the search narrows a setting to something that cannot be.
    """
    return {key: search for key, search in dimensions(spec).items() if not _pinned(search)}


def dimensions(spec: SearchSpec) -> dict[str, Search]:
    """Return what the settings of a search may be, by dotted key, pinned ones with one value.

    Raises:
        SpaceError: the search narrows a setting to something that cannot be.
    """
    start, found = spec.start(), {}
    for key, field in fields().items():
        if key in TASK_KEYS:
            continue
        offered = _offered(spec, key)
        if key in spec.space:
            found[key] = _narrowed(field, offered, spec.space[key])
        elif offered is not None:
            found[key] = _including(offered, field.in_type(start[key]))
    return found


def problems_of(spec: SearchSpec) -> list[str]:
    """Return a sentence for each fault of trial 0's configuration and of the space."""
    try:
        spec.base()
    except ConfigError as error:
        return error.problems
    found = [unknown_key(key) for key in spec.space if key not in fields()]
    found += [
        f"{key} is the same for all trials of a search; set it for trial 0 instead."
        for key in spec.space
        if key in TASK_KEYS
    ]
    start = spec.start()
    for key, narrowing in spec.space.items():
        if key not in fields() or key in TASK_KEYS:
            continue
        try:
            search = _narrowed(fields()[key], _offered(spec, key), narrowing)
        except SpaceError as error:
            found.append(str(error))
            continue
        if not contains(search, fields()[key].in_type(start[key])):
            found.append(
                f"{key} of trial 0 ({short(start[key])}) lies outside the space of the search "
                f"({describe(search)}); change one of the two."
            )
    return found


def in_order(dimensions: Mapping[str, Search]) -> list[str]:
    """Return the keys so that each comes after the settings on which its part to play depends."""
    ordered: list[str] = []

    def place(key: str) -> None:
        for only in (only for either in fields()[key].only for only in either.of):
            if only.key in dimensions:
                place(only.key)
        if key not in ordered:
            ordered.append(key)

    for key in dimensions:
        place(key)
    return ordered


def parse(text: str) -> tuple[str, Narrowing]:
    """Read a narrowing as people write it.

    `KEY=VALUE` pins, `KEY=VALUE,VALUE` lists, `KEY=LOW..HIGH` bounds, `KEY!=VALUE,VALUE` bans.

    Raises:
        SpaceError: the text has another form.
    """
    key, sign, written = text.partition("!=" if "!=" in text else "=")
    key, written = key.strip(), written.strip()
    if not sign or not key or not written:
        raise SpaceError(
            f"{short(text)} is no narrowing; write KEY=VALUE, KEY=VALUE,VALUE, KEY=LOW..HIGH or "
            "KEY!=VALUE."
        )
    low, dots, high = written.partition("..")
    try:
        if sign == "!=":
            return key, Narrowing(without=_listed(written))
        if not dots:
            return key, Narrowing(values=_listed(written))
        return key, Narrowing(low=float(low), high=float(high))
    except ValueError:  # of float, and of the model
        raise SpaceError(
            f"{short(text)} needs finite numbers, and in a range the lower one first."
        ) from None


def parse_all(texts: Iterable[str]) -> dict[str, Narrowing]:
    """Read several narrowings; raises SpaceError for one that cannot be read or comes twice."""
    found: dict[str, Narrowing] = {}
    for text in texts:
        key, narrowing = parse(text)
        if key in found:
            raise SpaceError(f"{short(key)} is narrowed twice; say all of it in one line.")
        found[key] = narrowing
    return found


def written(space: Mapping[str, Narrowing]) -> list[str]:
    """Return narrowings as `parse_all` reads them, a line each."""
    return [_written(key, narrowing) for key, narrowing in space.items()]


def _written(key: str, narrowing: Narrowing) -> str:
    if narrowing.values or narrowing.without:
        values = (
            value if isinstance(value, str) else json.dumps(value)
            for value in narrowing.values or narrowing.without
        )
        return f"{key}{'=' if narrowing.values else '!='}{','.join(values)}"
    return f"{key}={narrowing.low!r}..{narrowing.high!r}"


def value_of(text: str) -> Value:
    """Return a written value: a number, true or false as JSON has them, else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text


def editable_keys() -> list[str]:
    """Return the keys that a person may change in a proposal: all but those of the task."""
    return [key for key in fields() if key not in TASK_KEYS]


def contains(dimension: Search, value: object) -> bool:
    """Tell whether planners may choose `value`."""
    match dimension:
        case Choices(values=values):
            return any(value == choice and type(value) is type(choice) for choice in values)
        case Interval(low=low, high=high):
            return (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and low <= value <= high
            )


def describe(dimension: Search) -> str:
    """Return the range in words, for prompts, sentences and docs."""
    match dimension:
        case Choices(values=(value,)):
            return f"{value} alone"
        case Choices(values=values):
            return "one of " + ", ".join(str(value) for value in values)
        case Interval(low=low, high=high, log=log):
            return f"{low:g} to {high:g}" + (" (log scale)" if log else "")


def step_type(changes: Mapping[str, Value]) -> StepType:
    """Return the largest step type among the changed fields."""
    searches = [fields()[key].search for key in changes]
    steps = [search.step if search else "small" for search in searches]
    return max(steps, key=_STEPS.index, default="small")


# -- one dimension ------------------------------------------------------------------------------


def _offered(spec: SearchSpec, key: str) -> Search | None:
    """Return what definition and preset offer for a field; None where planners leave it alone."""
    search = fields()[key].search
    values = PRESETS[spec.preset].narrowed.get(key)
    return Choices(search.step, values) if search is not None and values is not None else search


def _narrowed(field: FieldSpec, offered: Search | None, narrowing: Narrowing) -> Search:
    """Return the dimension that a search gives to a field; raises SpaceError."""
    step = offered.step if offered is not None else "small"
    if narrowing.values:
        return Choices(step, _unique(typed(field, value) for value in narrowing.values))
    if narrowing.without:
        return _without(field, offered, narrowing)
    low, high = narrowing.low, narrowing.high
    assert low is not None and high is not None, "a narrowing has one of its three forms"
    if field.type is float:
        for bound in (low, high):
            typed(field, bound)
        log = isinstance(offered, Interval) and offered.log and low >= LEAST
        return Interval(step, low, high, log)
    kept = tuple(
        value
        for value in (offered.values if isinstance(offered, Choices) else ())
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    )
    if not kept:
        raise SpaceError(f"{field.key} has no values to keep from {low:g} to {high:g}; list them.")
    return Choices(step, kept)


def _without(field: FieldSpec, offered: Search | None, narrowing: Narrowing) -> Search:
    if not isinstance(offered, Choices):
        raise SpaceError(f"{field.key} offers no list from which values could be banned.")
    banned = [typed(field, value) for value in narrowing.without]
    kept = tuple(value for value in offered.values if value not in banned)
    if not kept:
        raise SpaceError(f"{field.key} would have no value left; leave at least one.")
    return Choices(offered.step, kept)


_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def typed(field: FieldSpec, value: Value) -> Value:
    """Return `value` in the type of the field; raises SpaceError where the field cannot hold it."""
    value = field.in_type(value)
    options, low, high = field.options, field.low, field.high
    if type(value) is not field.type or (options is not None and value not in options):
        kind = f"one of {', '.join(map(str, options))}" if options else _KINDS[field.type]
        raise SpaceError(f"{field.key} must be {kind}, but got {short(value)}.")
    if isinstance(value, int | float) and (
        (low is not None and not value >= low) or (high is not None and not value <= high)
    ):
        raise SpaceError(f"{field.key} must be {low:g} to {high:g}, but got {short(value)}.")
    return value


def _listed(written: str) -> tuple[Value, ...]:
    return tuple(value_of(part.strip()) for part in written.split(","))


def _unique(values: Iterable[Value]) -> tuple[Value, ...]:
    """Return the values without repeats, numbers in their order."""
    return tuple(sorted(dict.fromkeys(values), key=_numbers_in_order))


def _pinned(search: Search) -> bool:
    return isinstance(search, Choices) and len(search.values) == 1


def _including(search: Search, value: Value) -> Search:
    if contains(search, value):
        return search
    if isinstance(search, Interval):
        number = float(value)
        low, high = min(search.low, number), max(search.high, number)
        return dataclasses.replace(search, low=low, high=high, log=search.log and low > 0)
    return Choices(search.step, tuple(sorted((*search.values, value), key=_numbers_in_order)))


def _numbers_in_order(value: Value) -> float:
    return value if isinstance(value, int | float) else 0.0
