"""How far a search is: its trials, its budgets, which ends first, and when trainings end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nas_engine.liveness import EngineState, engine_state
from nas_engine.search import ASKING
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow, Spend, TrainingRow, TrialRow

ENDING = ("trials", "hours", "training_hours", "usd")
"""Budgets that end a search; without tokens or calls, the built-in planner proposes."""


@dataclass(frozen=True)
class Budget:
    """What a search may spend of something."""

    name: str  # as in `search.Limits`, or "trials"
    used: float
    limit: float

    @property
    def share(self) -> float:
        """The used part, from 0 to 1."""
        return min(1.0, self.used / self.limit) if self.limit else 1.0


def budgets(search: SearchRow, spend: Spend, training_seconds: float) -> list[Budget]:
    """Return the budgets that a search has, trials first.

    Args:
        search: whose budgets.
        spend: what its calls of language models came to.
        training_seconds: of all its trainings, over all slots.
    """
    limits = search.spec.limits
    used: dict[str, float] = {
        "hours": search.active_seconds / 3600,
        "training_hours": training_seconds / 3600,
    }
    if search.spec.planner in ASKING:
        used |= {"usd": spend.booked_usd, "tokens": spend.booked_tokens, "calls": spend.calls}
    return [
        Budget("trials", search.finished, search.max_trials),
        *(
            Budget(name, amount, limit)
            for name, amount in used.items()
            if (limit := getattr(limits, name)) is not None
        ),
    ]


def ends_first(found: Sequence[Budget]) -> Budget | None:
    """Return the budget that ends the search if all goes on as until now; None before it began.

    All of them are used from the start of the search on, so it is the one with the largest share.
    """
    used = [budget for budget in found if budget.name in ENDING and budget.share > 0]
    return max(used, key=lambda budget: budget.share, default=None)


def due_at(trial: TrialRow, search: SearchRow, engine_started_at: float) -> float | None:
    """Return when the timer decides on a proposal, in seconds since 1970; None where it does not.

    The time counts from when the proposal began to wait, or from the start of the engine where
    that is later: nobody had the chance to see it decided before. What a chat drafted, and what is
    being proposed again, is left to people.
    """
    timer, since = search.spec.timer, trial.waiting_since
    waits = trial.state == "proposed" and not trial.drafted and not trial.asked_again
    if timer is None or since is None or not waits or search.state != "running":
        return None
    return max(since, engine_started_at) + 60 * timer.minutes


def run_seconds_left(run: TrainingRow) -> float | None:
    """Return how long a training goes on if it gets all its epochs; None before one has ended."""
    if run.epoch_seconds is None:
        return None
    return (1.0 - run_share(run)) * run.epochs * run.epoch_seconds


def run_share(run: TrainingRow) -> float:
    """Return the part of a training that is done, from 0 to 1."""
    if run.epoch is None:
        return 0.0
    begun = run.step / run.steps if run.step and run.steps else 0.0
    return min(1.0, (run.epoch - 1 + min(1.0, begun)) / run.epochs)


def search_seconds_left(search: SearchRow, mean_seconds: float | None) -> float | None:
    """Estimate the time to the last trial: mean time of an ended one x those left, by slots.

    Where the search may run for some hours only, it is at most what is left of them.
    """
    left = search.max_trials - search.finished
    if left <= 0 or mean_seconds is None or search.state in ("stopped", "completed"):
        return None
    seconds, hours = left * mean_seconds / search.spec.slots, search.spec.limits.hours
    if hours is None:
        return seconds
    return min(seconds, max(0.0, 3600 * hours - search.active_seconds))


def hours_text(hours: float) -> str:
    """Return a budget of time for a sentence: in hours, or in minutes below one."""
    return f"{hours:g} hour{'s' * (hours != 1)}" if hours >= 1 else f"{60 * hours:.3g} minutes"


def trials_now(reader: Reader, search_id: int) -> list[TrialRow]:
    """Return the trials of a search as they are to be seen at this moment."""
    return as_seen(reader.trials(search_id), engine_state(reader.engine(search_id)))


def as_seen(trials: Sequence[TrialRow], engine: EngineState) -> list[TrialRow]:
    """Return trials of one search; none is called running that no engine works on.

    A row is what the last engine wrote: a trial that was training when that ended is paused, and
    one whose engine lives but does not show it is stalled.
    """
    if engine == "alive":
        return list(trials)
    seen = "stalled" if engine == "stalled" else "paused"
    return [replace(row, state=seen) if row.state == "running" else row for row in trials]
