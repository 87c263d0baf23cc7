"""What a planner or a person wants to try, and whether it may be tried."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from informer.config import (
    ConfigError,
    Interval,
    RunConfig,
    Search,
    StepType,
    Value,
    fields,
    from_flat,
    short,
)
from informer.cost import parameters
from informer.estimate import training_seconds
from nas_engine.amounts import amount
from nas_engine.guidance import Constraint
from nas_engine.machine import cuda_devices, gpus, memory_allowed, memory_needed
from nas_engine.objectives import exact_figures
from nas_engine.search import TASK_KEYS, SearchSpec
from nas_engine.space import contains, describe, space, step_type
from nas_engine.store.rows import TrialRow
from nas_engine.store.table import TriedRow

Source = Literal[
    "default", "portfolio", "forest", "tpe", "llm", "hybrid", "rules", "random", "human",
    "fallback", "imported", "past",
]  # fmt: skip

TIMED = 50
"""Newest trials from which the pace of this machine is taken; an estimate takes 0.3 ms."""

LEVEL = 0.8
"""Probability with which an expected interval of improvements is meant to hold the actual one."""

NEAR = 0.02
"""Share of an interval within which two values of a setting are as good as the same."""


class Proposal(BaseModel):
    """Changes to a parent's configuration, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Source
    parent: int | None  # number of the trial that is changed; None: the preset itself
    changes: dict[str, Value]
    hypothesis: str = Field("", max_length=4000)
    reasons: str = Field("", max_length=20_000)
    # Interval of the relative improvement over the parent, such as (-0.01, 0.05), at `LEVEL`.
    expected: tuple[float, float] | None = None

    @property
    def step_type(self) -> StepType:
        """The largest step among the changes."""
        return step_type(self.changes)


Tried = TrialRow | TriedRow
"""An earlier trial, whole or as light as many of them must be."""


@dataclass(frozen=True)
class Record:
    """What a search has tried so far: what its proposals are checked against."""

    spec: SearchSpec  # with the limits and the space that are in force
    trials: Sequence[Tried]
    constraints: Sequence[Constraint] = ()  # of `spec`, those that people gave on the way

    @cached_property
    def space(self) -> dict[str, Search]:
        """What planners may choose from."""
        return space(self.spec)

    @cached_property
    def slowness(self) -> float | None:
        """Seconds that the newest trainings took here over those estimated, their median."""
        timed = [trial for trial in self.trials if trial.seconds and trial.epochs]
        ratios = [
            trial.seconds / estimate
            for trial in timed[-TIMED:]
            if trial.seconds and (estimate := _seconds_estimated(trial))
        ]
        return statistics.median(ratios) if ratios else None

    def seconds(self, config: RunConfig) -> float | None:
        """Return the seconds that a training will take here; None before one has ended."""
        return None if self.slowness is None else self.slowness * training_seconds(config)


def check(
    record: Record,
    parent: Mapping[str, Value],
    changes: Mapping[str, Value],
    by: Literal["planner", "person"],
) -> list[str]:
    """Return a sentence for each reason why the changes cannot be tried; none means they can.

    Each sentence names its setting and is short, whatever the changes hold. A person may set any
    valid value; a planner only what the space of the search offers, nothing that breaks a
    constraint, be it by what it leaves as it was, or a bound on what arithmetic knows, and nothing
    so near to an earlier trial that the difference could not be told from chance. The limits hold
    for both.

    Args:
        record: the search and the trials that the proposal must differ from.
        parent: the configuration that is changed.
        changes: new values by dotted key; keys and values may be of any type.
        by: who proposes.
    """
    if shared := [key for key in changes if key in TASK_KEYS and changes[key] != parent.get(key)]:
        return [
            f"{key} is the same for all trials of a search; start a new search to change it."
            for key in shared
        ]
    if by == "planner" and (outside := list(_outside(record, parent, changes))):
        return outside
    try:
        config = from_flat({**parent, **changes})
    except ConfigError as error:
        return error.problems
    found = [*_beyond_limits(record, config, changes), *_repeated(record, config, changes)]
    if by == "planner":
        found += _breaking(record, config)
        found += [
            f"{_named(changes)}: {sentence}" for sentence in beyond_bounds(record.spec, config)
        ]
    if by == "planner" and not found:
        found += [
            f"{_named(changes)}: too near to trial {trial.number} ({outcome(trial)}) to tell the "
            "two apart; change more."
            for trial in near_duplicates(record, config)[:1]
        ]
    return found


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


def too_large(spec: SearchSpec, config: RunConfig) -> list[str]:
    """Return a sentence for each limit of size that a configuration passes, in lower case."""
    found = []
    if (count := parameters(config)) > spec.limits.parameters:
        found.append(
            f"the model would have {count:,} parameters; this search allows "
            f"{spec.limits.parameters:,}."
        )
    given = spec.limits.memory_mb
    if spec.backend.name == "ray":  # whose nodes have what they have, not this machine
        given = given or spec.backend.memory_mb
        allowed = math.inf if given is None else given * 10**6
    else:
        allowed = memory_allowed(config, spec.slots) if given is None else given * 10**6
    if (needed := memory_needed(config)) > allowed:
        found.append(
            f"training would take about {needed / 1e9:.2g} GB of memory; {allowed / 1e9:.2g} GB "
            "are allowed."
        )
    return found


def beyond_bounds(spec: SearchSpec, config: RunConfig) -> list[str]:
    """Return a sentence for each bound that a configuration is known to break, in lower case."""
    return [
        f"{'a forecast would take' if name == 'flops' else 'the model would have'} "
        f"{amount(name, figure)}; this search looks for at most {amount(name, spec.at_most[name])}."
        for name, figure in (exact_figures(config) if spec.at_most else {}).items()
        if figure > spec.at_most.get(name, math.inf)
    ]


def untimeable(spec: SearchSpec) -> list[str]:
    """Return a sentence where latency cannot be measured on the device that the search names."""
    kind, _, number = spec.timing.device.partition(":")
    if not spec.timed or spec.backend.name != "local" or kind in ("auto", "cpu"):
        return []
    if kind == "mps":
        there = sys.platform == "darwin"
    else:  # where slots are spread over GPUs, a training sees its own alone
        device = spec.base().training.device
        there = int(number or 0) < (1 if cuda_devices(device) else len(gpus()))
    sentence = (
        f"Latency is to be measured on {spec.timing.device}, which a training on this machine does "
        "not have; take auto or cpu."
    )
    return [] if there else [sentence]


def overtaken(record: Record, values: Mapping[str, Value]) -> list[str]:
    """Return why a planner could propose a configuration no more because of what people said since.

    It was checked when it was proposed: only what may have come later is looked at, a lowered limit
    of size and the constraints on settings.
    """
    try:
        config = from_flat(values)
    except ConfigError as error:  # its data set has gone
        return error.problems
    return [*too_large(record.spec, config), *_breaking(record, config)]


def near_duplicates(record: Record, config: RunConfig) -> list[Tried]:
    """Return the trials that differ from `config` by less than `NEAR` of an interval at most."""
    active = _active(config)  # once for all of them: it takes as long as hundreds of comparisons
    # What is varied comes first: there most trials differ.
    values = {key: active[key] for key in sorted(active, key=lambda key: key not in record.space)}
    return [trial for trial in record.trials if _near(record.space, values, trial.config)]


def alike(space: Mapping[str, Search], config: RunConfig, other: Mapping[str, Value]) -> bool:
    """Tell whether `other` differs from `config` by less than `NEAR` of an interval at most."""
    return _near(space, _active(config), other)


def repeats(config: RunConfig, trials: Iterable[Tried]) -> list[Tried]:
    """Return the trials that train the same, whatever their seeds and what has no part to play."""
    values = {key: value for key, value in _active(config).items() if key != "training.seed"}
    return [
        trial
        for trial in trials
        if all(trial.config.get(key) == value for key, value in values.items())
    ]


def outcome(trial: Tried) -> str:
    """Return what became of a trial, in a few words."""
    if trial.val_mse is not None:
        return f"val_mse {trial.val_mse:.6g}{judged(trial)}"
    return f"{trial.state}, {trial.error_class}" if trial.error_class else trial.state


def judged(trial: Tried) -> str:
    """Return the verdict on a trial for the end of a phrase, empty where there is none."""
    return {True: ", accepted", False: ", rejected", None: ""}[trial.accepted]


# -- what is checked ----------------------------------------------------------------------------


def _outside(
    record: Record, parent: Mapping[str, Value], changes: Mapping[str, Value]
) -> Iterator[str]:
    for key, value in changes.items():
        if key in record.space:
            if not contains(record.space[key], value):
                yield f"{key} must be {describe(record.space[key])}, but got {short(value)}."
        elif key in record.spec.space:
            yield f"{key} is pinned to {short(parent.get(key))} in this search."
        else:
            yield f"{short(key)} is not a setting that this search varies."


def _breaking(record: Record, config: RunConfig) -> Iterator[str]:
    values = _active(config)
    for constraint in record.constraints:
        key = constraint.key
        if key in values and not constraint.allows(values[key]):
            yield f"{key} would be {short(values[key])}: {constraint.sentence}"


def _beyond_limits(
    record: Record, config: RunConfig, changes: Mapping[str, Value]
) -> Iterator[str]:
    limits = record.spec.limits
    yield from (f"{_named(changes)}: {sentence}" for sentence in too_large(record.spec, config))
    seconds = record.seconds(config)
    if seconds is not None and seconds > 60 * limits.trial_minutes:
        yield (
            f"{_named(changes)}: training would take about {seconds / 60:.2g} minutes, judged by "
            f"the trials so far; this search allows {limits.trial_minutes:g}."
        )


def _seconds_estimated(trial: Tried) -> float | None:
    """Return the seconds estimated for the epochs that a trial had; None where it is not valid."""
    try:
        config = from_flat(trial.config)
    except ConfigError:  # of a search from before a rule
        return None
    return training_seconds(config) * (trial.epochs or 0) / config.training.epochs


def _repeated(record: Record, config: RunConfig, changes: Mapping[str, Value]) -> list[str]:
    return [
        f"{_named(changes)}: this is the configuration of trial {trial.number} "
        f"({outcome(trial)}), which need not be trained again."
        for trial in repeats(config, record.trials)
    ]


def _named(changes: Mapping[str, Value], most: int = 3) -> str:
    """Return the changed settings for the head of a sentence."""
    names = list(changes) or ["No change"]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _active(config: RunConfig) -> dict[str, Value]:
    inactive = config.inactive()
    return {key: value for key, value in config.flat().items() if key not in inactive}


def _near(
    dimensions: Mapping[str, Search], values: Mapping[str, Value], other: Mapping[str, Value]
) -> bool:
    return all(
        other.get(key) == value or _close(dimensions.get(key), value, other.get(key))
        for key, value in values.items()
    )


def _close(dimension: Search | None, value: Value, other: Value | None) -> bool:
    if not isinstance(dimension, Interval) or not isinstance(other, int | float):
        return False
    return abs(dimension.share(float(value)) - dimension.share(float(other))) < NEAR
