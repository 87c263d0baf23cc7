"""Bayesian optimisation with Optuna's TPE, and plain random search.

The study is rebuilt from the recorded trials before each proposal, so nothing is lost with the
process, and trials of every source (people and language models too) are evidence.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from informer.config import Interval, Search, Value
from nas_engine.planners.base import SpaceExhausted, View
from nas_engine.proposals import Proposal, active_changes
from nas_engine.space import contains, space
from nas_engine.store.reader import TrialRow

optuna.logging.set_verbosity(optuna.logging.WARNING)

ATTEMPTS = 200
"""Samples drawn before a search is called exhausted; most invalid ones fail a cross-field rule."""


class OptunaPlanner:
    """Proposes what an Optuna sampler asks for."""

    def __init__(self, kind: Literal["tpe", "random"]) -> None:
        self._kind = kind

    def propose(self, view: View) -> Proposal:
        """Return the first sample that is valid and new.

        Raises:
            SpaceExhausted: none of `ATTEMPTS` samples was.
        """
        dimensions = space(view.spec)
        study = optuna.create_study(sampler=self._sampler(view), direction="minimize")
        study.add_trials(
            [_told(trial, dimensions) for trial in view.trials if trial.state in _TOLD]
        )
        distributions = {key: _distribution(search) for key, search in dimensions.items()}
        for _ in range(ATTEMPTS):
            asked = study.ask(distributions)
            values = {key: _decode(dimensions[key], asked.params[key]) for key in dimensions}
            parent = view.parent
            changed = {key: value for key, value in values.items() if parent[key] != value}
            changes = active_changes(parent, changed)
            if changes and not view.check(changes):
                return Proposal(
                    source=self._kind,
                    parent=view.incumbent,
                    changes=changes,
                    hypothesis=self._hypothesis(view),
                )
            study.tell(asked, state=TrialState.FAIL)
        raise SpaceExhausted(
            f"{ATTEMPTS} samples held nothing valid that was not already tried; "
            "the search space is exhausted."
        )

    def _sampler(self, view: View) -> BaseSampler:
        seed = view.spec.base().training.seed + view.number
        if self._kind == "random":
            return RandomSampler(seed=seed)
        with warnings.catch_warnings():
            # `group` keeps trials whose values lie outside the space as evidence for the rest.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                multivariate=True, group=True, seed=seed, n_startup_trials=startup_trials(view)
            )

    def _hypothesis(self, view: View) -> str:
        finished = sum(trial.val_mse is not None for trial in view.trials)
        if self._kind == "random":
            return "Drawn at random from the search space."
        if finished < startup_trials(view):
            return (
                f"Drawn at random: TPE models the space from {startup_trials(view)} results on, "
                f"and has {finished}."
            )
        return (
            f"TPE expects more of these values than of others, judged by {finished} results: they "
            "are likely under its model of the best trials and unlikely under that of the rest."
        )


def startup_trials(view: View) -> int:
    """Return how many results TPE waits for before it models: a quarter of the budget, 4 to 10."""
    return min(10, max(4, view.max_trials // 4))


_TOLD = frozenset({"completed", "failed", "crashed"})


def _told(trial: TrialRow, dimensions: Mapping[str, Search]) -> FrozenTrial:
    """Return a recorded trial as Optuna's; values outside the space are left out."""
    inside = {
        key: search for key, search in dimensions.items() if contains(search, trial.config[key])
    }
    return optuna.trial.create_trial(
        state=TrialState.FAIL if trial.val_mse is None else TrialState.COMPLETE,
        value=trial.val_mse,
        params={key: _encode(search, trial.config[key]) for key, search in inside.items()},
        distributions={key: _distribution(search) for key, search in inside.items()},
        user_attrs={"source": trial.source, "number": trial.number},
    )


def _distribution(search: Search) -> BaseDistribution:
    if isinstance(search, Interval):
        return FloatDistribution(search.low, search.high, log=search.log)
    if _ordered(search.values):
        return IntDistribution(0, len(search.values) - 1)
    return CategoricalDistribution(search.values)


def _ordered(values: tuple[Value, ...]) -> bool:
    """Tell whether a list is of numbers, which are searched by position to keep their order."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _encode(search: Search, value: Value) -> Value:
    if isinstance(search, Interval) or not _ordered(search.values):
        return value
    return search.values.index(value)


def _decode(search: Search, value: Value) -> Value:
    if isinstance(search, Interval):
        return float(f"{value:.3g}")  # digits that a person would write
    return search.values[int(value)] if _ordered(search.values) else value
