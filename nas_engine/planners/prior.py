"""Trials of earlier searches as a prior of TPE, which depends on the order of its results alone.

Yogatama and Mann (2014) standardise the errors of each data set to make them comparable; here the
ranks take their place, because TPE uses no more of them. Each trial has its share of the order
within its own search, and so have the results of the search itself for as long as there is a prior.
Watanabe and others (2023) weigh the densities of other tasks by similarity, which they learn from
the best trials; here the similarity is that of the data, and decides how many trials are told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from informer.config import Value
from nas_engine.lessons import PastTrial, shares
from nas_engine.planners.base import View

SEARCH = "search"
"""Attribute of a told trial that names the search it is of; the search's own have none."""

_BEFORE = 2_000_000
"""Their numbers lie below those of the search's own trials, which are newer."""


def with_prior(
    told: Sequence[FrozenTrial],
    view: View,
    encoded: Callable[[PastTrial], dict[str, Value]],
    distributions: Mapping[str, BaseDistribution],
) -> list[FrozenTrial]:
    """Return what TPE is told with the trials of earlier searches before it, all told by rank.

    Args:
        told: the trials of the search itself.
        view: has the lessons.
        encoded: returns the settings of a trial that lie in the space, in Optuna's terms.
        distributions: of the settings.
    """
    complete = [trial for trial in told if trial.state is TrialState.COMPLETE]
    prior = view.lessons.prior(len(complete))
    if not prior:
        return list(told)
    found: list[FrozenTrial] = []
    for lesson, trials in prior:
        for trial in trials:
            if any(name not in trial.ranks for name in view.spec.objectives):
                continue  # what one of the objectives was there is not known
            params, number = encoded(trial), len(found) - _BEFORE
            found.append(
                FrozenTrial(
                    number=number,
                    trial_id=number,
                    state=TrialState.COMPLETE,
                    value=None,
                    values=[trial.ranks[name] for name in view.spec.objectives],
                    datetime_start=None,
                    datetime_complete=None,
                    params=params,
                    distributions={key: distributions[key] for key in params},
                    user_attrs={SEARCH: lesson.search},
                    system_attrs={},
                    intermediate_values={},
                )
            )
    return [*found, *_ranked(told, complete)]


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


def _ranked(told: Sequence[FrozenTrial], complete: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return trials with shares of their order, objective by objective, in place of results."""
    by_objective = [shares(column) for column in zip(*(t.values for t in complete), strict=True)]
    placed = dict(zip((t.number for t in complete), zip(*by_objective, strict=True), strict=True))
    return [
        _with(trial, placed[trial.number]) if trial.number in placed else trial for trial in told
    ]


def _with(trial: FrozenTrial, values: Sequence[float | None]) -> FrozenTrial:
    return FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=trial.state,
        value=None,
        values=[value for value in values if value is not None],
        datetime_start=None,
        datetime_complete=None,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
    )
