"""A language model as planner: it sees the whole search and proposes one change."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from informer.config import Value, fields
from nas_engine.llm import LanguageModel, NoAnswer, prompt
from nas_engine.planners.base import View
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.proposals import Proposal, differences
from nas_engine.space import describe, space
from nas_engine.store.reader import TrialRow

RECENT = 20
"""Trials that are listed one by one, besides the five best."""


class Change(BaseModel):
    """One setting and its new value."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(description="Dotted key of the setting, such as model.d_model")
    value: int | float | bool | str = Field(description="The new value")


class ProposeChange(BaseModel):
    """Propose the next trial as changes to the parent configuration."""

    model_config = ConfigDict(extra="forbid")

    hypothesis: str = Field(description="What should happen to val_mse and why, in one sentence")
    reasons: str = Field(description="The evidence in the trials so far, in a few sentences")
    changes: list[Change] = Field(description="At least one change", min_length=1, max_length=12)

    def as_dict(self) -> dict[str, Value]:
        """Return the changes by dotted key; of a key named twice the last value counts."""
        return {change.path: change.value for change in self.changes}


class LLMPlanner:
    """Asks the model; where it gives no usable answer, TPE proposes, labelled `fallback`."""

    def __init__(self, model: Callable[[int], LanguageModel]) -> None:
        self._model = model

    def propose(self, view: View) -> Proposal:
        """Return the model's proposal or a fallback; raises AccessDenied."""
        try:
            plan = self._model(view.number).ask(
                system=prompt("planner_system"),
                question=describe_search(view),
                schema=ProposeChange,
                accept=lambda plan: _objections(view, plan),
            )
        except NoAnswer as error:
            proposal = OptunaPlanner("tpe").propose(view)
            return proposal.model_copy(
                update={
                    "source": "fallback",
                    "reasons": f"The language model gave no usable answer: {error}"[:4000],
                }
            )
        return Proposal(
            source="llm",
            parent=view.incumbent,
            changes=_changes(view, plan),
            hypothesis=plan.hypothesis[:4000],
            reasons=plan.reasons[:20_000],
        )


class HybridPlanner:
    """TPE owns the study; after a warm-up the language model proposes every third trial."""

    WARM_UP = 3
    EVERY = 3

    def __init__(self, model: Callable[[int], LanguageModel]) -> None:
        self._llm = LLMPlanner(model)
        self._tpe = OptunaPlanner("tpe")

    def propose(self, view: View) -> Proposal:
        """Return the proposal of whoever's turn it is; raises AccessDenied."""
        turn = view.number > self.WARM_UP and view.number % self.EVERY == 0
        return self._llm.propose(view) if turn else self._tpe.propose(view)


def describe_search(view: View) -> str:
    """Return the question to the planner: task, space, baselines, trials and what is left."""
    data = view.spec.base().data
    parent = view.parent
    return prompt(
        "planner",
        task=f"{data.dataset}, features {data.features}, target {data.target}, look-back "
        f"{data.seq_len}, horizon {data.pred_len}",
        number=str(view.number),
        left=str(view.max_trials - view.number),
        parent="the starting configuration"
        if view.incumbent is None
        else f"trial {view.incumbent}, the best so far",
        space="\n".join(
            f"- {key} = {parent[key]!r}: {describe(search)}. {fields()[key].help}."
            for key, search in space(view.spec).items()
        ),
        baselines="\n".join(
            f"- {row.name}: val_mse {row.mse:.6g}" for row in view.baselines if row.split == "val"
        )
        or "- none",
        trials="\n".join(_describe_trial(view, trial) for trial in _worth_telling(view))
        or "- none",
    )


def _worth_telling(view: View) -> list[TrialRow]:
    scored = [trial for trial in view.trials if trial.val_mse is not None]
    best = sorted(scored, key=lambda trial: trial.val_mse or 0.0)[:5]
    chosen = {trial.number: trial for trial in [*best, *view.trials[-RECENT:]]}
    return [chosen[number] for number in sorted(chosen)]


def _describe_trial(view: View, trial: TrialRow) -> str:
    changed = differences(view.spec.base().flat(), trial.config)
    settings = ", ".join(f"{key}={new!r}" for key, (_, new) in changed.items()) or "start"
    if trial.state == "rejected":
        outcome = f"turned down by a person: {trial.comment[:300]!r}"
    elif trial.val_mse is None:
        outcome = f"{trial.state} ({trial.error_class}): {trial.error[:200]!r}"
    else:
        outcome = f"val_mse {trial.val_mse:.6g}, best epoch {trial.best_epoch}, " + (
            "accepted" if trial.accepted else "rejected"
        )
    if trial.decision == "edited":
        outcome += f"; a person edited this proposal: {trial.comment[:300]!r}"
    return f"- trial {trial.number} ({trial.source}): {settings} -> {outcome}"


def _objections(view: View, plan: ProposeChange) -> list[str]:
    changes = _changes(view, plan)
    if not changes:
        return ["The changes leave the parent as it is; change at least one value."]
    return view.check(changes)


def _changes(view: View, plan: ProposeChange) -> dict[str, Value]:
    """Return what differs from the parent, with 256.0 read as 256 where a whole number is meant."""
    parent = view.parent
    changes: dict[str, Value] = {}
    for key, value in plan.as_dict().items():
        if isinstance(value, float) and key in fields() and fields()[key].type is int:
            value = int(value) if value.is_integer() else value
        elif type(value) is int and key in fields() and fields()[key].type is float:
            value = float(value) if abs(value) < 1e300 else value
        if key not in parent or parent[key] != value or type(parent[key]) is not type(value):
            changes[key] = value
    return changes
