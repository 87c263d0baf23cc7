"""Trials of earlier searches as a prior of TPE: told as trials that came before its own.

Watanabe and others (2023) weigh the densities of other tasks by similarities that they learn from
the best trials of each. Here the similarity is that of the data and decides how many trials are
told, and the results of the search decide what these should come to (`earlier.prior`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from informer.config import Value
from nas_engine.lessons import PastTrial
from nas_engine.planners.base import View
from nas_engine.planners.earlier import Told, prior
from nas_engine.store.rows import TrialRow

SEARCH = "search"
"""Attribute of a told trial that names the search it is of; the search's own have none."""

_BEFORE = 2_000_000
"""Their numbers lie below those of the search's own trials, which are newer."""


def told_before(
    view: View,
    results: Sequence[TrialRow],
    encoded: Callable[[PastTrial], dict[str, Value]],
    distributions: Mapping[str, BaseDistribution],
) -> list[FrozenTrial]:
    """Return what TPE is told of earlier searches.

    Args:
        view: has the lessons.
        results: of the search itself.
        encoded: returns the settings of a trial that lie in the space, in Optuna's terms.
        distributions: of the settings.
    """
    return [
        _frozen(at - _BEFORE, told, view, encoded(told.trial), distributions)
        for at, told in enumerate(prior(view, results))
    ]


def of_earlier(trials: Sequence[FrozenTrial]) -> Counter[int]:
    """Return how many of a study's trials are of which earlier search."""
    return Counter(trial.user_attrs[SEARCH] for trial in trials if SEARCH in trial.user_attrs)


def prior_text(trials: Sequence[FrozenTrial]) -> str:
    """Return what a study was told of earlier searches, for the end of a phrase; '' for nothing."""
    counts = of_earlier(trials)
    named = (
        f"{count} trial{'s' * (count > 1)} of search {search}" for search, count in counts.items()
    )
    return f" and, as a prior, {', '.join(named)}" if counts else ""


def _frozen(
    number: int,
    told: Told,
    view: View,
    params: dict[str, Value],
    distributions: Mapping[str, BaseDistribution],
) -> FrozenTrial:
    error, *costs = (told.figures[name] for name in view.spec.objectives)
    frozen = FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.COMPLETE,
        value=None,
        values=[error, *(math.log(cost) for cost in costs)],  # as those of the search itself
        datetime_start=None,
        datetime_complete=None,
        params=params,
        distributions={key: distributions[key] for key in params},
        user_attrs={SEARCH: told.search},
        system_attrs={},
        intermediate_values={},
    )
    for name, most in view.spec.at_most.items():
        frozen.set_constraint(name, math.log(told.figures[name] / most))
    return frozen
