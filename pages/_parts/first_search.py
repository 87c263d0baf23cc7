"""A first search: what fits into a few minutes, and the two-minute one on built-in data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from informer.config import Value, from_flat
from informer.cost import steps_per_epoch
from informer.estimate import step_seconds, training_seconds
from nas_engine.machine import default_slots, gpus
from nas_engine.search import Limits, PlannerName, SearchSpec
from pages._parts.text import seconds_text

TRY_HOURS = 2 / 60
TRY_SETTINGS: Mapping[str, Value] = MappingProxyType(
    {
        "data.dataset": "synthetic",
        "data.seq_len": 48,
        "data.label_len": 24,
        "model.d_model": 32,
        "model.d_ff": 64,
        "model.e_layers": 1,
        "training.optimizer_params.lr": 1e-3,
    }
)
"""A small Informer, and a rate for a training of some hundred steps."""
BUDGETS: Mapping[float, tuple[str, int]] = MappingProxyType(
    {
        TRY_HOURS: ("2 minutes", 50),
        15 / 60: ("15 minutes", 100),
        1.0: ("1 hour", 300),
        8.0: ("8 hours", 1000),
    }
)
"""Hours that a first search may run, with their name and the trials that they may have."""

TRAININGS = 48
"""Trainings of the starting configuration that should fit, were nothing else at work."""
EPOCHS, LEAST_STEPS = 3, 20
"""A shortened training: its epochs, and the steps that each has at least."""
FEWEST = 5
"""Trials below which a search has hardly compared anything."""


def sized(spec: SearchSpec) -> SearchSpec:
    """Return a search whose trainings are so short that `TRAININGS` of them fit into its hours.

    By the estimate for CPU cores; trainings that fit as they are stay whole. Slots are those that
    suit this machine. Raises ConfigError where the task is not valid.
    """
    config = spec.base()
    slots = default_slots(config)
    spec = spec.model_copy(update={"slots": slots})
    each = available(spec) / TRAININGS
    if training_seconds(config) <= each:
        return spec
    shortest = {"training.epochs": EPOCHS, "training.steps_per_epoch": LEAST_STEPS}
    short = from_flat({**config.flat(), **shortest})
    room = max(0.0, each - training_seconds(short)) / (EPOCHS * step_seconds(short))
    steps = min(LEAST_STEPS + int(room), steps_per_epoch(config))
    shortest["training.steps_per_epoch"] = steps
    settings: dict[str, Value] = {**spec.settings, **shortest}
    return spec.model_copy(update={"settings": settings})


def two_minutes(planner: PlannerName) -> SearchSpec:
    """Return the search of two minutes on the data set that is generated."""
    spec = SearchSpec(
        settings=dict(TRY_SETTINGS),
        planner=planner,
        max_trials=BUDGETS[TRY_HOURS][1],
        limits=Limits(hours=TRY_HOURS),
    )
    return sized(spec)


def available(spec: SearchSpec) -> float:
    """Return the seconds of training that the hours of a search have, over all its slots."""
    return 3600 * (spec.limits.hours or 0.0) * spec.slots


def trainings_expected(spec: SearchSpec) -> int:
    """Return how many trainings as long as the first fit into the hours of a search."""
    return int(available(spec) / training_seconds(spec.base()))


def trials_expected(spec: SearchSpec) -> int:
    """Return about how many trials fit into the hours of a search.

    Each is taken to have all the trainings that the rules grant where a difference is open. The
    search of two minutes has finished six trials in what two cores do in that time; this says 8.
    """
    return min(spec.max_trials, trainings_expected(spec) // (1 + spec.rules.extra_seeds))


def estimate_text(spec: SearchSpec) -> str:
    """Return how long a training takes, how many fit and how many trials that makes."""
    config = spec.base()
    training, seconds = config.training, seconds_text(training_seconds(config))
    told = (
        f"About {trials_expected(spec)} trials: there is room for {trainings_expected(spec)} "
        f"trainings of {seconds} ({training.epochs} epochs of {steps_per_epoch(config):,} steps), "
        f"{spec.slots} at once, and a trial may take {1 + spec.rules.extra_seeds}."
    )
    return f"{told} {'A GPU does more.' if gpus() else 'An estimate for an idle machine.'}"
