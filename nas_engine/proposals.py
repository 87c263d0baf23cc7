"""What a planner or a person wants to try, and whether it may be tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from informer.config import ConfigError, RunConfig, StepType, Value, fields, from_flat
from informer.cost import parameters
from nas_engine.search import TASK_KEYS, SearchSpec
from nas_engine.space import contains, describe, space, step_type

Source = Literal["default", "tpe", "llm", "hybrid", "rules", "random", "human", "fallback"]


class Proposal(BaseModel):
    """Changes to a parent's configuration, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Source
    parent: int | None  # number of the trial that is changed; None: the preset itself
    changes: dict[str, Value]
    hypothesis: str = Field("", max_length=4000)
    reasons: str = Field("", max_length=20_000)

    @property
    def step_type(self) -> StepType:
        """The largest step among the changes."""
        return step_type(self.changes)


def check(
    spec: SearchSpec,
    parent: Mapping[str, Value],
    changes: Mapping[str, Value],
    earlier: Mapping[int, Mapping[str, Value]],
    by: Literal["planner", "person"],
) -> list[str]:
    """Return a sentence for each reason why the changes cannot be tried; none means they can.

    A person may set any valid value; a planner only what the space of the search offers.

    Args:
        spec: the search.
        parent: the configuration that is changed.
        changes: new values by dotted key; values may be of any type.
        earlier: configurations of the search's other trials, by number.
        by: who proposes.
    """
    if shared := [key for key in changes if key in TASK_KEYS and changes[key] != parent.get(key)]:
        return [
            f"{key} is the same for all trials of a search; start a new search to change it."
            for key in shared
        ]
    if by == "planner":
        offered = space(spec)
        if outside := [
            f"{key} must be {describe(offered[key])}."
            if key in offered
            else f"{str(key)[:60]!r} is not a setting that this search varies."
            for key, value in changes.items()
            if key not in offered or not contains(offered[key], value)
        ]:
            return outside
    try:
        config = from_flat({**parent, **changes})
    except ConfigError as error:
        return error.problems
    return [*_beyond_limits(spec, config), *_repeated(config, earlier)]


def active_changes(parent: Mapping[str, Value], changes: Mapping[str, Value]) -> dict[str, Value]:
    """Return the changes that change something: those of settings that the result gives a part.

    Changes that make no valid configuration are returned as they are, for `check` to refuse.
    """
    try:
        inactive = from_flat({**parent, **changes}).inactive()
    except ConfigError:
        return dict(changes)
    return {key: value for key, value in changes.items() if key not in inactive}


def differences(
    parent: Mapping[str, Value], config: Mapping[str, Value]
) -> dict[str, tuple[Value, Value]]:
    """Return the settings that differ, as (old, new) by dotted key, in order of definition."""
    return {
        key: (parent[key], config[key])
        for key in fields()
        if key in parent and key in config and parent[key] != config[key]
    }


def _beyond_limits(spec: SearchSpec, config: RunConfig) -> list[str]:
    count = parameters(config)
    if count <= spec.limits.parameters:
        return []
    return [
        f"The model would have {count:,} parameters; this search allows {spec.limits.parameters:,}."
    ]


def _repeated(config: RunConfig, earlier: Mapping[int, Mapping[str, Value]]) -> list[str]:
    inactive = config.inactive()
    values = {key: value for key, value in config.flat().items() if key not in inactive}
    return [
        f"This is the configuration of trial {number}, which need not be trained again."
        for number, other in earlier.items()
        if all(other.get(key) == value for key, value in values.items())
    ]
