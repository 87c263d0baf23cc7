"""What defines one search: task, preset, budget, planner, mode and rules."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.registry import find
from informer.config import PRESETS, RunConfig, StepType, Value
from informer.orders import Orders, Timing
from informer.records import UsedData
from nas_engine.objectives import COSTS, Objective

BackendName = Literal["local", "ray"]
PlannerName = Literal["portfolio", "tpe", "llm", "hybrid", "rules", "random"]
ASKING: tuple[PlannerName, ...] = ("llm", "hybrid")
"""Planners that ask a language model."""

TASK_KEYS = (
    *("data.dataset", "data.features", "data.target", "data.pred_len", "data.drop_last"),
    "training.seed",
)
"""Settings that every trial of a search shares, so that their errors can be compared."""

SPENDING = ("hours", "training_hours", "usd", "tokens", "calls")
"""The limits that are a budget."""

CHANGEABLE = (*SPENDING, "failures")
"""The limits that may be changed while the search runs."""


MOST_SLOTS = 1024
"""Trainings at once: each has two threads of the engine."""


def default_planner(has_key: bool) -> PlannerName:
    """Return the planner that is taken where none is named."""
    return "hybrid" if has_key else "portfolio"


class Rules(BaseModel):
    """When a trial becomes the incumbent: relative improvements of val_mse over it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accept_above: float = Field(
        0.02, ge=0, le=1, description="Accepted when better by more than this share"
    )
    reject_below: float = Field(
        -0.005, ge=-1, le=0, description="Rejected when its improvement is below this share"
    )
    seeds: int = Field(3, ge=1, le=20, description="Trainings of trial 0, to learn the spread")
    extra_seeds: int = Field(
        2, ge=0, le=20, description="More trainings of a trial whose difference is open, at most"
    )
    noise_multiple: float = Field(
        2.0, ge=0, le=4, description="Standard deviations up to which a difference may be noise"
    )


class Pruning(BaseModel):
    """Whether trials that fall behind others at the same epoch end early, and how eagerly.

    Trial 0 and the further seeds of a trial are always trained to their end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["none", "successive_halving", "hyperband"] = Field(
        "none", description="Optuna's pruner; none trains every trial to its end"
    )
    min_epochs: int = Field(1, ge=1, le=1000, description="Epochs that every trial gets")
    reduction: int = Field(
        2, ge=2, le=16, description="At each step one trial in this many goes on"
    )


class Limits(BaseModel):
    """What may not be exceeded; the planners cannot change it. Spending has no limit at None.

    A search ends when its hours, its hours of training or its US dollars are used up. Without more
    tokens or calls it goes on without language models.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: int = Field(20_000_000, ge=100, description="Weights of the model, at most")
    trial_minutes: float = Field(60.0, gt=0, description="Minutes of one training, at most")
    memory_mb: int | None = Field(
        None, ge=1, description="MB of memory of one training, at most; empty: what the machine has"
    )
    prompt_tokens: int = Field(
        12_000, ge=4000, description="Tokens of a question to the planner's language model, about"
    )
    failures: int = Field(
        5, ge=1, description="Failures of one kind in a row after which the search pauses"
    )
    hours: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Hours that the search runs, at most"
    )
    training_hours: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Hours of training over all slots, at most"
    )
    usd: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="US dollars for language models, at most"
    )
    tokens: int | None = Field(None, ge=0, description="Tokens of language models, at most")
    calls: int | None = Field(None, ge=0, description="Calls of language models, at most")


class Narrowing(BaseModel):
    """What planners may choose for a setting: these `values`, any but some, or a range."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    values: tuple[Value, ...] = ()  # a single one pins the setting
    without: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        ranged = self.low is not None and self.high is not None and self.low < self.high
        unranged = self.low is None and self.high is None
        if [bool(self.values), bool(self.without), ranged].count(True) != 1 or not (
            ranged or unranged
        ):
            raise ValueError("a narrowing is a list of values, a list to ban, or low below high")
        return self


class Timer(BaseModel):
    """What becomes of a proposal on which nobody has decided for a while."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minutes: float = Field(gt=0, le=10_080, description="Minutes that a proposal waits, at most")
    then: Literal["approve", "reject"] = Field(description="What the timer decides")

    @property
    def text(self) -> str:
        """What it does, and when, for sentences."""
        return f"{self.then} after {self.minutes:g} minutes"


class Backend(BaseModel):
    """Where trials are trained: in processes on this machine, or on a Ray cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: BackendName = "local"
    address: str = Field(
        "",
        max_length=500,
        description="Of the cluster: HOST:PORT; auto: the one here",
    )
    cpus: float = Field(1.0, gt=0, le=1024, description="CPU cores that a training has")
    gpus: float = Field(0.0, ge=0, le=64, description="GPUs that a training has; a share is fine")
    memory_mb: int | None = Field(
        None, ge=1, description="MB of memory that a training needs; empty: as estimated"
    )
    checkpoints: str = Field(
        "", max_length=1000, description="Folder that all nodes reach, such as s3://bucket/nas"
    )

    @property
    def shares(self) -> str | None:
        """What a training has of a node, for sentences; None on this machine."""
        if self.name == "local":
            return None
        memory = "memory as estimated" if self.memory_mb is None else f"{self.memory_mb:,} MB"
        kept = f", checkpoints at {self.checkpoints}" if self.checkpoints else ""
        return f"{self.cpus:g} CPUs, {self.gpus:g} GPUs, {memory}{kept}"

    @property
    def text(self) -> str:
        """What it is, for sentences."""
        return "this machine" if self.name == "local" else f"the Ray cluster {self.address}"


Mode = Literal["auto", "radical", "review"]
"""Which proposals wait for a person: none, the radical ones, or all."""


class SearchSpec(BaseModel):
    """One search.

    `settings` are the dotted keys in which trial 0 differs from the preset; `space` pins, bans or
    re-bounds what planners may choose.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["small", "paper"] = "small"
    settings: dict[str, Value] = Field(default_factory=dict)
    planner: PlannerName = "tpe"
    mode: Mode = "auto"
    timer: Timer | None = None  # None: a proposal waits for as long as it takes
    space: dict[str, Narrowing] = Field(default_factory=dict)  # by dotted key
    guidance: str = Field("", max_length=4000)  # what a person tells the language model
    max_trials: int = Field(20, ge=1, le=100_000)
    slots: int = Field(1, ge=1, le=MOST_SLOTS)  # trials that are trained at once
    backend: Backend = Backend()
    objectives: tuple[Objective, ...] = ("val_mse",)  # the error first, then what it is traded for
    at_most: dict[Objective, float] = Field(default_factory=dict)  # what a model must keep to
    timing: Timing = Timing()  # how latency is measured, where it counts
    lessons: tuple[int, ...] = ()  # earlier searches of this workspace that it learns from
    inherits: bool = False  # trainings may begin with the weights of the trial that was changed
    pruning: Pruning = Pruning()
    rules: Rules = Rules()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _error_first(self) -> Self:
        if self.objectives[:1] != ("val_mse",) or len(set(self.objectives)) < len(self.objectives):
            raise ValueError("objectives are val_mse, then what it is traded for, each once")
        if any(not math.isfinite(most) or most <= 0 for most in self.at_most.values()):
            raise ValueError("what a model must keep to is a figure above 0")
        if unknown := self.at_most.keys() - set(COSTS):
            raise ValueError(f"{', '.join(unknown)} cannot be held to a figure")
        if len(self.objectives) > 1 and self.pruning.method != "none":
            raise ValueError(
                "pruning compares errors alone, and would end small models that the front needs; "
                "leave it off where a search has several objectives"
            )
        if self.inherits and (len(self.objectives) > 1 or self.at_most):
            raise ValueError(
                "trials are given up after a training with inherited weights by their error alone, "
                "and small ones would be lost; begin all from scratch where a search has several "
                "objectives or bounds"
            )
        return self

    def waits(self, step: StepType) -> bool:
        """Tell whether a planner's proposal of this step waits for a person."""
        return self.mode == "review" or (self.mode == "radical" and step == "radical")

    @property
    def counted(self) -> tuple[Objective, ...]:
        """What the search wants low, the error first, and what it bounds beside that."""
        return tuple(dict.fromkeys((*self.objectives, *self.at_most)))

    @property
    def timed(self) -> bool:
        """Whether the latency of forecasts counts, and so is measured."""
        return "latency_ms" in self.counted

    def orders(self, *, wanted: bool) -> Orders | None:
        """Return what is asked of a training beside its configuration; None: nothing.

        Args:
            wanted: whether it is to be trained however slow its forecasts are.
        """
        if not self.timed:
            return None
        at_most = None if wanted else self.at_most.get("latency_ms")
        return Orders(timing=self.timing, latency_at_most=at_most)

    def base(self) -> RunConfig:
        """Return the configuration of trial 0; raises ConfigError."""
        return PRESETS[self.preset].config(self.settings)

    def start(self) -> dict[str, Value]:
        """Return the settings of trial 0 as they were stored, whether or not they still hold.

        A search outlives its data set, which may be removed.
        """
        return {**_preset(self.preset), **self.settings}

    def data(self) -> UsedData:
        """Return the facts of the data set as it is now; raises DataError where there is none."""
        return UsedData.of(find(str(self.start()["data.dataset"])))

    def fingerprint(self) -> str:
        """Return a digest of all that a search keeps: searches that agree in it are the same.

        What may be changed while it runs is not part of it: budgets, slots, mode and timer.
        """
        changing = {"max_trials", "slots", "mode", "timer", "backend"}
        facts = self.model_dump(exclude={*changing, *_LATER, "settings", "limits"})
        facts["mode"] = "auto"  # as in databases in which the mode was still part of it
        facts["limits"] = self.limits.model_dump(exclude=set(CHANGEABLE))
        facts |= {name: value for name, value in self._said() if name in _LATER}
        config = self.base().flat()
        facts["config"] = dict(config.items() - LATER_SETTINGS.items())
        text = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _said(self) -> Iterator[tuple[str, object]]:
        """Return the fields that are not as they are by default."""
        for name, field in type(self).model_fields.items():
            if getattr(self, name) != field.get_default(call_default_factory=True):
                yield name, self.model_dump()[name]

    def title(self) -> str:
        """Return a short name for lists: data, task, horizon and planner."""
        start = self.start()
        lengths = f"{start['data.seq_len']}→{start['data.pred_len']}"
        return f"{start['data.dataset']} {start['data.features']} {lengths} · {self.planner}"


_LATER = frozenset({"pruning", "objectives", "at_most", "timing", "lessons", "inherits"})
"""Fields that came after the first fingerprints: part of one only where they are said."""

LATER_SETTINGS: Mapping[str, Value] = MappingProxyType({"model.cycle": "none"})
"""Settings that came after them, with the values that they had unsaid until then."""


@functools.cache
def _preset(name: str) -> Mapping[str, Value]:
    return MappingProxyType(PRESETS[name].config().flat())
