"""Bayesian optimisation with Optuna's TPE, and plain random search.

The study is built anew from the results observed before each proposal, so nothing is lost with the
process, and trials of every source (people and language models too) are evidence.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
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
from optuna.trial import FrozenTrial, Trial, TrialState

from informer.config import Interval, Search, Value, fields
from nas_engine.planners.base import SpaceExhausted, View
from nas_engine.proposals import Proposal
from nas_engine.space import contains, in_order
from nas_engine.store.reader import TrialRow

optuna.logging.set_verbosity(optuna.logging.WARNING)

ATTEMPTS = 300
"""Samples drawn before a search is called exhausted; most invalid ones fail a cross-field rule."""


class OptunaPlanner:
    """Proposes what an Optuna sampler asks for. A setting without a part to play is not asked."""

    def __init__(self, kind: Literal["tpe", "random"]) -> None:
        self._kind = kind
        self._results: list[TrialRow] = []

    def observe(self, result: TrialRow) -> None:
        """Take a result as evidence; a failure is told as a failure."""
        if result.state in _TOLD:
            self._results.append(result)

    def propose(self, view: View) -> Proposal:
        """Return the first sample that is valid and new.

        Raises:
            SpaceExhausted: none of `ATTEMPTS` samples was, nor of as many random ones.
        """
        study, order = self.study(view), in_order(view.space)
        refusals: Counter[str] = Counter()
        # A small space that is nearly used up has its last configurations where TPE looks least.
        for sampler in (self._sampler(view), RandomSampler(seed=self._seed(view))):
            study.sampler = sampler
            for _ in range(ATTEMPTS):
                trial = study.ask()
                changes = _sampled(trial, view, order)
                objections = view.check(changes) if changes else ["It is the parent itself."]
                if not objections:
                    return Proposal(
                        source=self._kind,
                        parent=view.incumbent,
                        changes=changes,
                        hypothesis=self._hypothesis(view, sampler),
                    )
                refusals.update(objections)
                study.tell(trial, state=TrialState.FAIL)
        often, times = refusals.most_common(1)[0]
        raise SpaceExhausted(
            f"None of {2 * ATTEMPTS} samples was valid and new; refused most often ({times} "
            f"times): {often}"
        )

    def study(self, view: View) -> optuna.Study:
        """Return what is known as a study: results, and what still runs (the constant liar's)."""
        study = optuna.create_study(direction="minimize", sampler=RandomSampler(seed=0))
        waiting = [trial for trial in view.trials if trial.state in _OPEN]
        study.add_trials([_told(trial, view.space) for trial in (*self._results, *waiting)])
        return study

    def _sampler(self, view: View) -> BaseSampler:
        if self._kind == "random":
            return RandomSampler(seed=self._seed(view))
        with warnings.catch_warnings():
            # `group` models each set of settings that were active together on its own, so that
            # conditional settings, and values outside the space, do not void the rest of a trial.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=self._seed(view),
                n_startup_trials=startup_trials(view),
            )

    def _seed(self, view: View) -> int:
        return int(view.spec.start()["training.seed"]) + view.number

    def _hypothesis(self, view: View, sampler: BaseSampler) -> str:
        finished = sum(trial.val_mse is not None for trial in self._results)
        if self._kind == "random":
            return "Drawn at random from the search space."
        if isinstance(sampler, RandomSampler):
            return "Drawn at random: all that TPE would try has been tried."
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


_TOLD = frozenset({"completed", "pruned", "failed", "crashed"})
_OPEN = frozenset({"queued", "running", "stalled"})


def _sampled(trial: Trial, view: View, order: list[str]) -> dict[str, Value]:
    """Ask for each setting that has a part to play, and return what differs from the parent."""
    values = dict(view.parent)
    asked: dict[str, Value] = {}
    for key in order:
        if fields()[key].active(values):
            values[key] = asked[key] = _suggested(trial, key, view.space[key])
    return {
        key: value
        for key, value in asked.items()
        if view.parent[key] != value and fields()[key].active(values)
    }


def _suggested(trial: Trial, key: str, search: Search) -> Value:
    match _distribution(search):
        case FloatDistribution(low=low, high=high, log=log):
            drawn = float(f"{trial.suggest_float(key, low, high, log=log):.3g}")  # as people write
            return min(max(drawn, low), high)
        case IntDistribution(low=low, high=high):
            assert not isinstance(search, Interval)
            return search.values[trial.suggest_int(key, low, high)]
        case CategoricalDistribution(choices=choices):
            chosen: Value = trial.suggest_categorical(key, choices)  # type: ignore[assignment]
            return chosen
        case other:
            raise AssertionError(f"no setting has a {other}")


def _told(trial: TrialRow, space: Mapping[str, Search]) -> FrozenTrial:
    """Return a recorded trial as Optuna's; values outside the space are left out."""
    inside = dict(_asked(trial, space))
    state = (
        TrialState.RUNNING
        if trial.state in _OPEN
        else TrialState.FAIL
        if trial.val_mse is None
        else TrialState.COMPLETE
    )
    return optuna.trial.create_trial(
        state=state,
        value=trial.val_mse if state is TrialState.COMPLETE else None,
        params={key: _encode(search, trial.config[key]) for key, search in inside.items()},
        distributions={key: _distribution(search) for key, search in inside.items()},
        user_attrs={"source": trial.source, "number": trial.number},
    )


def _asked(trial: TrialRow, space: Mapping[str, Search]) -> Iterator[tuple[str, Search]]:
    for key, search in space.items():
        if fields()[key].active(trial.config) and contains(search, trial.config[key]):
            yield key, search


def _distribution(search: Search) -> BaseDistribution:
    if isinstance(search, Interval):
        return FloatDistribution(search.low, search.high, log=search.log)
    if ordered(search.values):
        return IntDistribution(0, len(search.values) - 1)
    return CategoricalDistribution(search.values)


def ordered(values: tuple[Value, ...]) -> bool:
    """Tell whether a list is of numbers, which are searched by position to keep their order."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _encode(search: Search, value: Value) -> Value:
    if isinstance(search, Interval) or not ordered(search.values):
        return value
    return search.values.index(value)
