"""A parent that breaks what is in force, moved to where a planner's proposals may start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from informer.config import (
    Choices,
    ConfigError,
    Interval,
    Search,
    Value,
    fields,
    from_flat,
)
from informer.cost import parameters
from nas_engine.machine import memory_needed
from nas_engine.proposals import EXACT, Record
from nas_engine.space import contains, dimensions


def moved(record: Record, config: Mapping[str, Value]) -> dict[str, Value]:
    """Return the settings in which a configuration has to differ to keep what is in force.

    A setting outside takes the nearest value that is allowed. Where a model is beyond a bound, or a
    limit that was lowered, sizes are made smaller one step at a time, always the one that helps
    most. The result may still break a rule between settings, or a limit: then changes must mend it.
    """
    values, allowed = dict(config), dimensions(record.spec)
    for constraint in record.constraints:
        key = constraint.key
        if key in allowed and not contains(allowed[key], values[key]):
            values[key] = _nearest(allowed[key], values[key])
    values = shrunk(record, values)
    return {key: value for key, value in values.items() if value != config[key]}


def shrunk(record: Record, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return a configuration with sizes so small that it keeps bounds and lowered limits.

    Where that cannot be, or it is no valid configuration, they are as small as helps.
    """
    values = dict(values)
    while (smaller := _one_step_smaller(record, values)) is not None:
        values = smaller
    return values


def _nearest(allowed: Search, value: Value) -> Value:
    if isinstance(allowed, Interval):
        return min(max(float(value), allowed.low), allowed.high)
    numbers = [other for other in allowed.values if isinstance(other, int | float)]
    if isinstance(value, str | bool) or len(numbers) < len(allowed.values):
        return allowed.values[0]
    return min(numbers, key=lambda other: abs(other - value))


def _one_step_smaller(record: Record, values: Mapping[str, Value]) -> dict[str, Value] | None:
    """Return the values with one size smaller; None where none helps, or none is needed."""
    beyond = _beyond(record, values)
    if not beyond:
        return None
    steps = [(_beyond(record, smaller), smaller) for smaller in _smaller(record, values)]
    helpful = [(left, smaller) for left, smaller in steps if left is not None and left < beyond]
    return min(helpful, key=lambda step: step[0])[1] if helpful else None


def _smaller(record: Record, values: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    for key, search in record.space.items():
        if fields()[key].type is int and isinstance(search, Choices):
            below = [value for value in search.values if value < values[key]]  # type: ignore[operator]
            if below and fields()[key].active(values):
                yield {**values, key: below[-1]}


def _beyond(record: Record, values: Mapping[str, Value]) -> float | None:
    """Return by what share bounds and lowered limits are passed; None for no configuration."""
    try:
        config = from_flat(values)
    except ConfigError:
        return None
    limits = record.spec.limits
    total = sum(
        max(0.0, figure(config) / record.spec.at_most[name] - 1)
        for name, figure in EXACT.items()
        if name in record.spec.at_most
    )
    for constraint in record.constraints:
        match constraint.key:
            case "parameters":
                share = parameters(config) / limits.parameters
            case "memory_mb":
                share = memory_needed(config) / (1e6 * (limits.memory_mb or 1))
            case "trial_minutes":
                share = (record.seconds(config) or 0.0) / (60 * limits.trial_minutes)
            case _:
                continue
        total += max(0.0, share - 1)
    return total
