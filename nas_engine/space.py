"""The search space of one search: the fields of `informer/config.py` that planners may change."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from informer.config import PRESETS, Choices, Interval, Search, StepType, Value, fields
from nas_engine.search import TASK_KEYS, SearchSpec

_STEPS: tuple[StepType, ...] = ("small", "medium", "radical")


def space(spec: SearchSpec) -> dict[str, Search]:
    """Return what planners may choose from, by dotted key, narrowed to the preset of the search.

    The value of trial 0 is always among the choices of its field: a search starts inside its own
    space.
    """
    start = spec.base().flat()
    narrowed = PRESETS[spec.preset].narrowed
    return {
        key: _including(_narrow(field.search, narrowed.get(key)), start[key])
        for key, field in fields().items()
        if field.search is not None and key not in TASK_KEYS
    }


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
        case Choices(values=values):
            return "one of " + ", ".join(str(value) for value in values)
        case Interval(low=low, high=high, log=log):
            return f"{low:g} to {high:g}" + (" (log scale)" if log else "")


def step_type(changes: Mapping[str, Value]) -> StepType:
    """Return the largest step type among the changed fields."""
    searches = [fields()[key].search for key in changes]
    steps = [search.step if search else "small" for search in searches]
    return max(steps, key=_STEPS.index, default="small")


def _narrow(search: Search, values: tuple[Value, ...] | None) -> Search:
    return Choices(search.step, values) if values is not None else search


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
