"""What candidates promise in a search: a lower error, a better front, and that bounds are kept.

A candidate's worth is its expected gain times the probability that it keeps the bounds (Gardner et
al. 2014, Bayesian optimization with inequality constraints). The gain is the expected improvement
of the error, or with several objectives the expected growth of the hypervolume (Emmerich et al.
2006), for which each tree of the forests is a sample. What arithmetic gives is exact; for each
measured cost there is a forest of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from informer.config import Value, from_flat
from nas_engine.front import excess, excess_of, figures, hypervolume
from nas_engine.objectives import MEASURES, Objective, exact_figures
from nas_engine.planners.aims import Standing, names, traded
from nas_engine.planners.base import View
from nas_engine.planners.earlier import Told, prior
from nas_engine.planners.surrogate import LEAST, Earlier, Surrogate, expected
from nas_engine.search import SearchSpec
from nas_engine.store.rows import TrialRow

Logs = NDArray[np.float64]
"""Logarithms of a figure, (trees, configurations)."""


@dataclass(frozen=True)
class Prospect:
    """What is expected of a candidate."""

    gain: float  # expected
    keeps: float  # the probability that it keeps the bounds
    figures: Mapping[Objective, float]  # expected, of all objectives and of what is bounded

    @property
    def worth(self) -> tuple[float, float]:
        """What candidates are ranked by: where none promises a gain, by the bounds."""
        return self.gain * self.keeps, self.keeps

    def standing(self, spec: SearchSpec) -> Standing:
        """Return how it would stand beside results."""
        over = excess_of(self.figures, spec.at_most)
        return over or 0.0, tuple(self.figures[name] for name in spec.objectives)


def earlier(told: Sequence[Told], name: Objective) -> list[Earlier]:
    """Return what a surrogate learns from other searches of one figure."""
    return [Earlier(each.trial.config, each.figures[name], each.weight) for each in told]


class Prospects:
    """A model of all that a search wants low or bounds, learned from its results."""

    def __init__(self, view: View, results: Sequence[TrialRow]) -> None:
        """Learn from `results`; at least two must have all figures."""
        self._view, spec = view, view.spec
        told = prior(view, results)
        self.errors = Surrogate(view.space, results, earlier=earlier(told, "val_mse"))
        self._costs = {
            name: Surrogate(view.space, results, of=name, earlier=earlier(told, name))
            for name in names(spec)[1:]
            if not MEASURES[name].exact
        }
        kept = [t.val_mse for t in results if t.val_mse is not None and not excess(t, spec.at_most)]
        self._best = min(kept, default=None)

    def of(self, configs: Sequence[Mapping[str, Value]]) -> list[Prospect]:
        """Return what is expected of each configuration.

        Those of a search that wants a low error alone need not be valid.
        """
        more = traded(self._view.spec)
        exact = [exact_figures(from_flat(config)) if more else {} for config in configs]
        logs = self._logs(configs, exact)
        gains = self._gains(logs, len(configs))
        return [
            Prospect(
                gain=gains[at],
                keeps=math.prod(
                    float(exact[at][name] <= most)
                    if name in exact[at]
                    else self._keeps(name, most, logs[name][:, at])
                    for name, most in self._view.spec.at_most.items()
                ),
                figures={
                    name: exact[at].get(name) or math.exp(logs[name][:, at].mean()) for name in logs
                },
            )
            for at in range(len(configs))
        ]

    def _logs(
        self,
        configs: Sequence[Mapping[str, Value]],
        exact: Sequence[Mapping[Objective, float]],
    ) -> dict[Objective, Logs]:
        """Return the logarithm of each figure as each tree expects it."""
        errors = self.errors.trees(configs)
        logs: dict[Objective, Logs] = {"val_mse": errors}
        for name in names(self._view.spec)[1:]:
            if MEASURES[name].exact:
                known = [math.log(max(figures[name], LEAST)) for figures in exact]
                logs[name] = np.broadcast_to(known, errors.shape)
            else:
                logs[name] = self._costs[name].trees(configs)
        return logs

    def _keeps(self, name: Objective, most: float, trees: NDArray[np.float64]) -> float:
        """Return the probability that a figure keeps its bound, its logarithm being normal."""
        below = math.log(most) - float(trees.mean())
        deviation = math.sqrt(float(trees.var()) + self._costs[name].missed)
        return NormalDist().cdf(below / deviation) if deviation else float(below >= 0)

    def _gains(self, logs: Mapping[Objective, Logs], count: int) -> list[float]:
        spec = self._view.spec
        if len(spec.objectives) > 1:
            points = np.exp(np.stack([logs[name] for name in spec.objectives], axis=-1))
            return self._growths(points)
        if self._best is None:  # as long as nothing keeps the bounds, only that counts
            return [1.0] * count
        return [one.improvement for one in expected(logs["val_mse"], self._best)]

    def _growths(self, points: NDArray[np.float64]) -> list[float]:
        """Return the mean growth of the hypervolume by points, (trees, configurations, figures)."""
        within = self._view.box
        assert within is not None, "there are results"
        lowest = points.min(axis=(0, 1)).tolist()  # what is cheaper than all so far counts too
        within = replace(within, low=(within.low[0], *map(min, within.low[1:], lowest[1:])))
        found = (figures(trial, within.objectives) for trial in self._view.front)
        front = [point for point in found if point is not None]
        before = hypervolume(front, within)
        return [
            sum(hypervolume([*front, tuple(point)], within) - before for point in each) / len(each)
            for each in points.swapaxes(0, 1).tolist()
        ]
