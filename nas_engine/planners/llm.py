"""A language model as planner: it sees the whole search and proposes a change, or candidates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import optuna
from pydantic import BaseModel, ConfigDict, Field

from informer.config import Value, fields
from nas_engine.llm import LanguageModel, NoAnswer, prompt
from nas_engine.planners.base import SpaceExhausted, View
from nas_engine.planners.question import ask_text, optimiser_text, system_text
from nas_engine.planners.tpe import OptunaPlanner, startup_trials
from nas_engine.proposals import LEVEL, Proposal, active_changes
from nas_engine.store.rows import TrialRow

CANDIDATES = 5
SENTENCES = 12
"""Objections that are sent back, at most."""


class Answer(BaseModel):
    """Part of an answer: without unknown fields; no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Change(Answer):
    """One setting and its new value."""

    path: str = Field(
        max_length=100, description="Dotted key of the setting, such as model.d_model"
    )
    value: int | float | bool | str = Field(description="The new value")


TAIL = f"{(1 - LEVEL) / 2:.0%}"


class Expected(Answer):
    """Relative improvement of val_mse over the parent, in percent; negative means worse."""

    low: float = Field(
        ge=-1000, le=100, description=f"It will be below this with a probability of {TAIL}"
    )
    high: float = Field(
        ge=-1000, le=100, description=f"It will be above this with a probability of {TAIL}"
    )


class Candidate(Answer):
    """Changes to the parent configuration, and why."""

    step_type: Literal["small", "medium", "radical"] = Field(description="The largest step")
    hypothesis: str = Field(
        max_length=1000, description="What should happen to val_mse and why, in one sentence"
    )
    plan: str = Field(
        max_length=4000, description="The evidence in the trials, and what the result will teach"
    )
    changes: list[Change] = Field(description="The settings to change", max_length=12)
    expected: Expected | None = Field(
        None,
        description="Expected improvement over the parent: an interval that holds it with a "
        f"probability of {LEVEL:.0%}; it is compared with the result afterwards",
    )


class ProposeChange(Candidate):
    """Propose the next trial as changes to the parent configuration, or stop."""

    stop: bool = Field(False, description="Whether nothing more is worth a trial")


class ProposeCandidates(Answer):
    """Propose several candidates for the next trial, each as changes to the parent."""

    candidates: list[Candidate] = Field(min_length=1, max_length=2 * CANDIDATES)


class Stopped(SpaceExhausted):
    """The planner sees nothing more worth a trial."""


class LLMPlanner:
    """Asks the model; where it gives no usable answer, TPE proposes, labelled `fallback`."""

    def __init__(self, model: Callable[[int], LanguageModel]) -> None:
        self._model = model
        self._optimiser = OptunaPlanner("tpe")

    def observe(self, result: TrialRow) -> None:
        """Tell the optimiser that stands by."""
        self._optimiser.observe(result)

    def propose(self, view: View) -> Proposal:
        """Return the model's proposal or a fallback; raises AccessDenied, Stopped."""
        model = self._model(view.number)
        try:
            plan = model.ask(
                system=system_text(view),
                question=ask_text(view, prompt("request_one", number=str(view.number))),
                schema=ProposeChange,
                accept=lambda plan: objections(view, plan),
            )
        except NoAnswer as error:
            return fallback(self._optimiser.propose(view), str(error))
        if plan.stop:
            model.conclude()  # a person who resumes wants another answer
            raise Stopped(f"The planner sees nothing more worth a trial: {plan.hypothesis}")
        return proposal_of(view, plan)


def ask_for_candidates(model: LanguageModel, view: View, study: optuna.Study) -> list[Proposal]:
    """Return the model's candidates that are valid, new and different; at least one.

    Raises:
        NoAnswer: the model named none, or could not be asked.
        AccessDenied: the service refuses the key.
    """
    answer = model.ask(
        system=system_text(view),
        question=ask_text(view, several(view, study)),
        schema=ProposeCandidates,
        accept=lambda answer: _none_usable(view, answer),
    )
    return _usable(view, answer)


def several(view: View, study: optuna.Study) -> str:
    """Return what the model is asked for as the partner of an optimiser."""
    return prompt(
        "request_several",
        number=str(view.number),
        wanted=str(CANDIDATES),
        optimiser=optimiser_text(view, study),
    )


def fallback(proposal: Proposal, why: str) -> Proposal:
    """Return the optimiser's proposal labelled as made in the model's place."""
    reasons = f"The optimiser proposes in the place of the language model: {why}"
    return proposal.model_copy(update={"source": "fallback", "reasons": reasons[:4000]})


# -- what is made of an answer ------------------------------------------------------------------


def proposal_of(view: View, candidate: Candidate) -> Proposal:
    """Return a candidate without faults as a proposal that changes the view's parent."""
    expected = candidate.expected
    return Proposal(
        source="llm",
        parent=view.incumbent,
        changes=_changes(view, candidate),
        hypothesis=candidate.hypothesis,
        reasons=candidate.plan,
        expected=(expected.low / 100, expected.high / 100) if expected else None,
    )


def objections(view: View, plan: ProposeChange) -> list[str]:
    """Return a sentence for each reason why the answer cannot be used."""
    if plan.stop:
        if plan.changes:
            return ["stop: either stop, or propose changes, not both."]
        if view.number < startup_trials(view):
            return [f"stop: at least {startup_trials(view)} trials are tried before a stop."]
        return []
    return faults(view, plan)


def faults(view: View, candidate: Candidate) -> list[str]:
    """Return a sentence for each reason why a candidate cannot be tried on the view's parent."""
    paths = [change.path for change in candidate.changes]
    if twice := [path for path in dict.fromkeys(paths) if paths.count(path) > 1]:
        return [f"changes: {twice[0][:60]!r} is changed twice; give it one value."]
    if candidate.expected and candidate.expected.low > candidate.expected.high:
        return ["expected: low must not exceed high."]
    changes = _changes(view, candidate)
    if not changes:
        return [_without_effect(view, paths)]
    return view.check(changes)[:SENTENCES]


def _without_effect(view: View, paths: list[str]) -> str:
    """Return a sentence on changes that leave the parent as it is, and why one of them does."""
    sentence = "changes: they leave the parent as it is; change at least one value."
    for path in paths:
        if path in fields() and not fields()[path].active(view.parent):
            needs = " and ".join(
                either.text for either in fields()[path].only if not either.holds(view.parent)
            )
            return f"{sentence} {path} has an effect only with {needs}."
    return sentence


def _usable(view: View, answer: ProposeCandidates) -> list[Proposal]:
    found: list[Proposal] = []
    for candidate in answer.candidates:
        proposal = None if faults(view, candidate) else proposal_of(view, candidate)
        if proposal is not None and proposal.changes not in [other.changes for other in found]:
            found.append(proposal)
    return found


def _none_usable(view: View, answer: ProposeCandidates) -> list[str]:
    """Return the objections to each candidate where none can be used."""
    if _usable(view, answer):
        return []
    return [
        f"candidate {number}: {sentence}"
        for number, candidate in enumerate(answer.candidates, start=1)
        for sentence in faults(view, candidate)[:3]
    ][:SENTENCES]


def _changes(view: View, candidate: Candidate) -> dict[str, Value]:
    """Return what differs from the parent, with 256.0 read as 256 where a whole number is meant.

    A change to a setting without a part to play changes nothing, and is left out.
    """
    parent = view.parent
    changes: dict[str, Value] = {}
    for path, value in ((change.path, change.value) for change in candidate.changes):
        if path in fields():
            value = fields()[path].in_type(value)
            if isinstance(value, float) and fields()[path].type is int and value.is_integer():
                value = int(value)
        if path not in parent or parent[path] != value or type(parent[path]) is not type(value):
            changes[path] = value
    known = all(path in view.space for path in changes)
    return active_changes(parent, changes) if known else changes
