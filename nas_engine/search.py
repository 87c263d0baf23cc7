"""What defines one search: task, preset, budget, planner, mode and rules."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from informer.config import PRESETS, ConfigError, RunConfig, Value

PlannerName = Literal["tpe", "llm", "hybrid", "random"]
TASK_KEYS = (
    *("data.dataset", "data.features", "data.target", "data.pred_len", "data.drop_last"),
    "training.seed",
)
"""Settings that every trial of a search shares, so that their errors can be compared."""

SPENDING = ("usd", "tokens", "calls")
"""The limits that are a budget, which a later start may change."""


class Rules(BaseModel):
    """When a trial becomes the incumbent: relative improvements of val_mse over it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accept_above: float = Field(0.02, ge=0, le=1, description="Accepted when better by more")
    reject_below: float = Field(-0.005, ge=-1, le=0, description="Rejected when worse by more")


class Limits(BaseModel):
    """What may not be exceeded; the planners cannot change it. Spending has no limit at None."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: int = Field(20_000_000, ge=100, description="Weights of the model, at most")
    trial_minutes: float = Field(60.0, gt=0, description="Wall time of one training, at most")
    usd: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="US dollars for language models, at most"
    )
    tokens: int | None = Field(None, ge=0, description="Tokens of language models, at most")
    calls: int | None = Field(None, ge=0, description="Calls of language models, at most")


class SearchSpec(BaseModel):
    """One search. `settings` are the dotted keys in which trial 0 differs from the preset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["small", "paper"] = "small"
    settings: dict[str, Value] = Field(default_factory=dict)
    planner: PlannerName = "tpe"
    mode: Literal["auto", "review"] = "auto"
    max_trials: int = Field(20, ge=1, le=100_000)
    rules: Rules = Rules()
    limits: Limits = Limits()

    def base(self) -> RunConfig:
        """Return the configuration of trial 0; raises ConfigError."""
        return PRESETS[self.preset].config(self.settings)

    def start(self) -> dict[str, Value]:
        """Return the settings of trial 0 as they were stored, whether or not they still hold.

        A search outlives its data set, which may be removed.
        """
        return PRESETS[self.preset].config().flat() | self.settings

    def problems(self) -> list[str]:
        """Return a sentence for each fault of trial 0's configuration."""
        try:
            self.base()
        except ConfigError as error:
            return error.problems
        return []

    def fingerprint(self) -> str:
        """Return a digest of everything but the budget: searches that agree in it are the same.

        The budget is the number of trials, and what may be spent on language models.
        """
        facts = self.model_dump(exclude={"max_trials", "settings", "limits"})
        facts["limits"] = self.limits.model_dump(exclude=set(SPENDING))
        facts["config"] = self.base().flat()
        text = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def title(self) -> str:
        """Return a short name for lists: data, task, horizon and planner."""
        start = self.start()
        lengths = f"{start['data.seq_len']}→{start['data.pred_len']}"
        return f"{start['data.dataset']} {start['data.features']} {lengths} · {self.planner}"
