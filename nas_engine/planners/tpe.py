"""Bayesian optimisation with Optuna's TPE, and plain random search.

The study is built anew from the results observed before each proposal, so nothing is lost with the
process, and trials of every source (people and language models too) are evidence. A pruned trial is
told as one, with its last epoch: TPE ranks it behind all that were trained to their end.

Where a search has several objectives, trials are ranked by how many rounds of taking away the front
leave them, and inside a round by hypervolume (Ozaki et al. 2022, Multiobjective TPE). What breaks a
bound ranks behind all that keeps them, by how much it breaks them (Watanabe and Hutter 2023, c-TPE,
in the simpler form of Optuna).
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
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
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from informer.config import Interval, Search, Value, fields
from nas_engine.lessons import PastTrial
from nas_engine.planners.base import OPEN, Results, SpaceExhausted, View
from nas_engine.planners.prior import of_earlier, prior_text, told_before
from nas_engine.proposals import Proposal
from nas_engine.search import SearchSpec
from nas_engine.space import contains, in_order
from nas_engine.store.rows import EpochRow, TrialRow

optuna.logging.set_verbosity(optuna.logging.WARNING)

ATTEMPTS = 300
"""Samples drawn before a search is called exhausted; most invalid ones fail a cross-field rule."""

RESULTS = (TrialState.COMPLETE, TrialState.PRUNED)
"""States of a study's trials of which TPE makes its model."""


class OptunaPlanner:
    """Proposes what an Optuna sampler asks for. A setting without a part to play is not asked."""

    def __init__(self, kind: Literal["tpe", "random"]) -> None:
        self._kind = kind
        self._results = Results()
        self._told: dict[int, FrozenTrial] = {}  # what the study is told of the results, by number
        self._open: dict[tuple[int, int], FrozenTrial] = {}  # and of what runs, by number, version
        self._space: Mapping[str, Search] = {}  # in whose terms it is told

    def observe(self, result: TrialRow) -> None:
        """Take a result as evidence; a failure is told as a failure."""
        self._results.observe(result)
        self._told.pop(result.number, None)

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
                if view.enforced:  # what TPE makes its model of may be larger than is allowed
                    changes = view.shrunk(changes)
                objections = view.check(changes) if changes else ["It is the parent itself."]
                if not objections:
                    return Proposal(
                        source=self._kind,
                        parent=view.incumbent,
                        changes=changes,
                        hypothesis=self._hypothesis(study, view),
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
        if view.space != self._space:  # a person has given or lifted a constraint
            self._told, self._open, self._space = {}, {}, view.space
        spec = view.spec
        results = [trial for trial in self._results.of(view) if trial.state in _TOLD]
        new = [trial for trial in results if trial.number not in self._told]
        ends = view.last_epochs([trial.number for trial in new if trial.state == "pruned"])
        distributions = {key: _distribution(search) for key, search in view.space.items()}
        for trial in new:
            end = ends.get(trial.number)
            self._told[trial.number] = _frozen(trial, spec, view.space, distributions, end)
        opened = {
            (trial.number, trial.version): trial for trial in view.trials if trial.state in OPEN
        }
        self._open = {
            version: self._open.get(version) or _frozen(trial, spec, view.space, distributions)
            for version, trial in opened.items()
        }
        told = [self._told[trial.number] for trial in results] + list(self._open.values())
        if self._kind == "tpe":
            space = view.space
            told += told_before(view, results, lambda past: _encoded(past, space), distributions)
        return optuna.create_study(
            storage=_Known(told),
            sampler=RandomSampler(seed=0),
            directions=["minimize"] * len(spec.objectives),
        )

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

    def _hypothesis(self, study: optuna.Study, view: View) -> str:
        everything = study.get_trials(deepcopy=False, states=RESULTS)
        learned = prior_text(everything)
        finished = len(everything) - of_earlier(everything).total()
        if self._kind == "random":
            return "Drawn at random from the search space."
        if isinstance(study.sampler, RandomSampler):
            return "Drawn at random: all that TPE would try has been tried."
        if len(everything) < startup_trials(view):
            return (
                f"Drawn at random: TPE models the space from {startup_trials(view)} results on, "
                f"and has {finished}{learned}."
            )
        return (
            f"TPE expects more of these values than of others, judged by {finished} results"
            f"{learned}: they are likely under its model of the best trials and unlikely under "
            "that of the rest."
        )


def startup_trials(view: View) -> int:
    """Return how many results TPE waits for before it models: a quarter of the budget, 4 to 10."""
    return min(10, max(4, view.max_trials // 4))


LEAST = 1e-12
"""Figures below this count as this, where logarithms are taken."""

INFEASIBLE = "infeasible"
"""Class of a trial that ended before it was trained, because a bound would be broken."""

_TOLD = frozenset({"completed", "pruned", "failed", "crashed"})

_BEFORE = 1_000_000
"""Trials are told with numbers below 0: a study numbers what it is asked from 0 on."""


class _Known(InMemoryStorage):
    """What is known beside what is asked: to add 1,000 trials to a study takes Optuna 0.5 s."""

    def __init__(self, told: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._told = told

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        told = [trial for trial in self._told if states is None or trial.state in states]
        return told + super().get_all_trials(study_id, deepcopy, states)


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


def _frozen(
    trial: TrialRow,
    spec: SearchSpec,
    space: Mapping[str, Search],
    distributions: Mapping[str, BaseDistribution],
    end: EpochRow | None = None,
) -> FrozenTrial:
    """Return a recorded trial as Optuna's; values outside the space are left out.

    Args:
        trial: what is told.
        spec: what the search wants low, and to what bounds.
        space: what planners may choose from.
        distributions: the same as Optuna's.
        end: the last epoch of a pruned trial.
    """
    params = _encoded(trial, space)
    state, number = _state(trial, spec), trial.number - _BEFORE
    frozen = FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=None,
        values=_values(trial, spec) if state is TrialState.COMPLETE else None,
        datetime_start=None,
        datetime_complete=None,
        params=params,
        distributions={key: distributions[key] for key in params},
        user_attrs={"source": trial.source, "number": trial.number},
        system_attrs={},
        intermediate_values={end.epoch: end.val_mse} if end and end.val_mse is not None else {},
    )
    for name, passed in _broken(trial, spec).items():
        frozen.set_constraint(name, passed)
    return frozen


def _encoded(trial: TrialRow | PastTrial, space: Mapping[str, Search]) -> dict[str, Value]:
    """Return the settings of which a sampler is told, in Optuna's terms."""
    return {key: _encode(search, trial.config[key]) for key, search in asked(trial, space)}


def _state(trial: TrialRow, spec: SearchSpec) -> TrialState:
    if trial.state in OPEN:
        return TrialState.RUNNING
    if trial.state == "pruned":
        # Between objectives Optuna knows no early ends but those of what breaks a bound.
        ranked = len(spec.objectives) == 1 or any(v > 0 for v in _broken(trial, spec).values())
        return TrialState.PRUNED if ranked else TrialState.FAIL
    known = all(getattr(trial, name) is not None for name in (*spec.objectives, *spec.at_most))
    return TrialState.COMPLETE if known else TrialState.FAIL


def _values(trial: TrialRow, spec: SearchSpec) -> list[float]:
    """Return what is minimised: the error, and costs by their logarithm, as they are drawn."""
    error, *costs = (getattr(trial, name) for name in spec.objectives)
    return [error, *(math.log(max(cost, LEAST)) for cost in costs)]


def _broken(trial: TrialRow, spec: SearchSpec) -> dict[str, float]:
    """Return how far each bound is passed, as the logarithm of the share: 0 or less keeps it.

    A trial that ended before it was trained, as too slow, always breaks one.
    """
    passed: dict[str, float] = {
        name: math.log(max(figure, LEAST) / most)
        for name, most in spec.at_most.items()
        if (figure := getattr(trial, name)) is not None
    }
    if trial.error_class == INFEASIBLE and not any(value > 0 for value in passed.values()):
        passed["latency_ms"] = LEAST
    return passed


def asked(trial: TrialRow | PastTrial, space: Mapping[str, Search]) -> Iterator[tuple[str, Search]]:
    """Return what a sampler is told of a trial: settings with a part to play, in the space."""
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
