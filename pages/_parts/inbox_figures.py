"""What a proposal is expected to bring and to cost, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from informer.config import ConfigError, Value, from_flat
from informer.cost import parameters
from informer.estimate import forecast_flops
from nas_engine.amounts import beforehand_text
from nas_engine.facts import mentioned
from nas_engine.guidance import SteeringRow
from nas_engine.machine import memory_needed
from nas_engine.proposals import Record, Tried
from nas_engine.search import SearchSpec
from nas_engine.standing import Budget
from nas_engine.store.inbox import Planning
from nas_engine.store.rows import RevisionRow, TrialRow
from pages._parts.text import count_text, error_text, percent_text, seconds_text, value_text

MOST_REFERENCES = 8
"""Earlier trials that are linked to from one proposal."""


@dataclass(frozen=True)
class Estimate:
    """What training a configuration will take, by arithmetic."""

    parameters: int
    flops: int  # for the forecast of one window
    memory: int  # bytes
    seconds: float | None  # None before a training has ended here


def estimate(record: Record, config: Mapping[str, Value]) -> Estimate | None:
    """Return what a configuration will take; None where it is not valid."""
    try:
        built = from_flat(config)
    except ConfigError:
        return None
    return Estimate(
        parameters=parameters(built),
        flops=forecast_flops(built),
        memory=memory_needed(built),
        seconds=record.seconds(built),
    )


def aims_line(after: Estimate, spec: SearchSpec) -> str:
    """Return what a configuration comes to in what its search wants low; empty for the error."""
    return beforehand_text({"parameters": after.parameters, "flops": after.flops}, spec)


def estimate_text(after: Estimate, before: Estimate | None, than: str = "") -> str:
    """Return an estimate in a line.

    Args:
        after: of the configuration that would be trained.
        before: of what it is compared with.
        than: what that is, where it is not the parent.
    """
    parts = [f"Parameters: {count_text(after.parameters)}"]
    if before is not None:
        parts = [f"Parameters: {_growth(after.parameters, before.parameters)}"]
    parts.append(f"{after.memory / 1e6:,.0f} MB of memory")
    if before is not None and than:
        parts[-1] += _changed(after.memory, before.memory)
    if after.seconds is not None:
        parts.append(f"{seconds_text(after.seconds)} of training")
        if before is not None and before.seconds is not None and than:
            parts[-1] += _changed(after.seconds, before.seconds)
    return " · ".join(parts) + (f", against {than}" if than else "")


def _growth(after: int, before: int) -> str:
    if after == before:
        return f"{count_text(after)}, unchanged"
    factor = f" (x {after / before:.2f})" if before else ""
    return f"{count_text(before)} → {count_text(after)}{factor}"


def _changed(after: float, before: float) -> str:
    share = after / before - 1 if before else 0.0
    return f" ({share:+.0%})".replace("-", "−") if abs(share) >= 0.005 else ""


def expectations(trial: TrialRow | RevisionRow, source: str, parent: float | None) -> list[str]:
    """Return who expects which effect of a proposal, in a sentence each.

    Args:
        trial: the proposal, or what it said before.
        source: who made it, in words.
        parent: val_mse of the trial that is changed, None while it is not known.
    """
    found = [
        (source, trial.expected_low, trial.expected_high),
        ("The surrogate", trial.surrogate_low, trial.surrogate_high),
    ]
    return [
        f"{who} expects val_mse {percent_text(low)} to {percent_text(high)} better than the "
        f"parent's{_in_figures(low, high, parent)}."
        for who, low, high in found
        if low is not None and high is not None
    ]


def _in_figures(low: float, high: float, parent: float | None) -> str:
    if parent is None:
        return ""
    best, worst = error_text(parent * (1 - high)), error_text(parent * (1 - low))
    return f": {best} to {worst}, from {error_text(parent)}"


def cost_text(
    asked: Planning | None,
    seconds: float | None,
    budgets: Sequence[Budget],
    usd_per_hour: float,
) -> str:
    """Return what a proposal has cost and would cost, empty where nothing is known.

    Args:
        asked: what asking a language model for it came to.
        seconds: that its training will take.
        budgets: of the search, of which those of time are told.
        usd_per_hour: price of an hour of training.
    """
    parts = []
    if asked is not None:
        calls = f"{asked.calls} call{'s' * (asked.calls != 1)}"
        parts.append(f"planning took {calls}, {asked.tokens:,} tokens, {asked.usd:.4g} USD")
    if seconds is not None:
        parts += _shares(seconds, budgets)
        if usd_per_hour:
            parts.append(f"training {seconds / 3600 * usd_per_hour:.2g} USD of machine time")
    return f"Cost: {' · '.join(parts)}" if parts else ""


def _shares(seconds: float, budgets: Sequence[Budget]) -> Iterator[str]:
    """Yield which part of what is left of each budget of time a training takes."""
    names = {"hours": "of the time", "training_hours": "of the training time"}
    for budget in budgets:
        if budget.name in names:
            left = 3600 * (budget.limit - budget.used)
            share = f"{seconds / left:.1%}" if left > seconds else "more than all"
            yield f"training takes {share} {names[budget.name]} that is left"


def references(trial: TrialRow, earlier: Sequence[Tried]) -> list[Tried]:
    """Return the earlier trials that hypothesis and reasons name, in order of their mention."""
    by_number = {other.number: other for other in earlier}
    named = mentioned(f"{trial.hypothesis}\n{trial.reasons}")
    return [by_number[number] for number in named if number in by_number][:MOST_REFERENCES]


def broken(
    constraints: Sequence[SteeringRow], config: Mapping[str, Value], cost: Estimate | None
) -> list[str]:
    """Return a sentence for each constraint in force that a configuration breaks."""
    figures: dict[str, float | None] = {}
    if cost is not None:
        minutes = None if cost.seconds is None else cost.seconds / 60
        figures = {
            "parameters": cost.parameters,
            "memory_mb": cost.memory / 1e6,
            "trial_minutes": minutes,
        }
    found = []
    for row in constraints:
        assert row.constraint is not None, "words are no constraint"
        value = config.get(row.constraint.key, figures.get(row.constraint.key))
        if value is not None and not row.constraint.allows(value):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            shown = f"{value:,.6g}" if number else value_text(value)
            found.append(f"{row.constraint.text}, says {row.author}; here it is {shown}.")
    return found
