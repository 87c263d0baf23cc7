"""What is expected of configurations that were not trained: a random forest over the results.

The forest and its use follow SMAC (Hutter, Hoos and Leyton-Brown 2011, sections 4.1 and 4.2): the
trees' mean is the expected error, their deviation its uncertainty.

What it expects of a proposal is kept as an interval that should hold the improvement with
probability `LEVEL`, 80 %. In 9 searches of 40 trials on the recorded table (6 by TPE, 3 at random;
`python -m benchmarks.foresight`) such intervals held 100 % of 36 with 8 to 11 results known, 91 %
of 162 with 12 to 29, and 87 % of 90 from 30 on, where TPE tries corners that no result is near to;
by the spread of the trees alone it would be 69 % of these last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from informer.config import Interval, Search, Value, fields
from nas_engine.objectives import Objective
from nas_engine.planners.tpe import ordered
from nas_engine.proposals import LEVEL, Tried

TREES = 100
MOST = 300
"""Trials that a tree learns from at most: of more, each draws its own."""

LEAST = 1e-12
"""Errors are compared by their logarithm: below this they are all the same."""

NO_PART = -1.0
"""Column of a setting that has no part to play; all others are 0 or above."""


@dataclass(frozen=True)
class Expected:
    """What is expected of a configuration."""

    val_mse: float  # the median of its distribution
    improvement: float  # of log val_mse over the best


@dataclass(frozen=True)
class Earlier:
    """A result of another search, see `earlier.prior`."""

    config: Mapping[str, Value]
    figure: float  # that it should come to here
    weight: float  # beside 1 of a result of the search itself


class Surrogate:
    """A model of val_mse, or of a measured cost, over the space, learned from trials that have it.

    What is said here of val_mse holds for the cost then.
    """

    def __init__(
        self,
        space: Mapping[str, Search],
        trials: Sequence[Tried],
        of: Objective = "val_mse",
        earlier: Sequence[Earlier] = (),
    ) -> None:
        """Learn from `trials`; at least two must have a result.

        Those that were pruned have none: an error after fewer epochs is no error at the end. Their
        latency was measured before the first.

        Args:
            space: what planners may choose from.
            trials: of the search.
            of: what is learned.
            earlier: trials of other searches.
        """
        known = [
            trial
            for trial in trials
            if getattr(trial, of) is not None and (trial.val_mse is not None or of == "latency_ms")
        ]
        self._space = space
        self.results: list[float] = [getattr(trial, of) for trial in known]
        errors = np.log(np.maximum(self.results, LEAST))
        configs, weights = [trial.config for trial in known], {}
        if earlier:
            configs += [trial.config for trial in earlier]
            before = np.log(np.maximum([trial.figure for trial in earlier], LEAST))
            errors = np.concatenate((errors, before))
            weights = {"sample_weight": [1.0] * len(known) + [t.weight for t in earlier]}
        self._forest = RandomForestRegressor(
            n_estimators=TREES,
            random_state=0,
            n_jobs=1,
            oob_score=True,
            max_samples=MOST if len(configs) > MOST else None,
        )
        self._forest.fit(self._encoded(configs), errors, **weights)
        # The mean square by which each result was missed by the trees that had not seen it.
        missed = (errors - self._forest.oob_prediction_)[: len(known)]
        self.missed = float(np.mean(missed**2))

    def expect(
        self, configs: Sequence[Mapping[str, Value]], best: float | None = None
    ) -> list[Expected]:
        """Return what is expected of each configuration.

        The improvement is E[max(best - y, 0)] for y normal with the trees' mean and deviation
        (Jones et al. 1998), y being log val_mse. `best` is the best result where none is given.
        """
        return expected(self.trees(configs), min(self.results) if best is None else best)

    def interval(self, config: Mapping[str, Value], parent: float) -> tuple[float, float]:
        """Return between which improvements over a parent's val_mse a configuration should lie.

        They are relative to the parent's, from least to most. log val_mse is taken as normal: its
        variance is that of the trees and the mean square by which each result was missed by the
        trees that had not seen it.
        """
        trees = self.trees([config])
        reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(trees.var() + self.missed)
        above = float(trees.mean()) - math.log(max(parent, LEAST))
        return 1 - math.exp(above + reach), 1 - math.exp(above - reach)

    def trees(self, configs: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """Return what each tree expects of log val_mse, (trees, configurations)."""
        encoded = self._encoded(configs)
        return np.stack([tree.predict(encoded) for tree in self._forest.estimators_])

    def _encoded(self, configs: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """Return configurations as rows, (N, columns): a column for each number or choice."""
        return np.array([self._row(config) for config in configs])

    def _row(self, config: Mapping[str, Value]) -> list[float]:
        row: list[float] = []
        for key, search in self._space.items():
            width = 1 if isinstance(search, Interval) or ordered(search.values) else None
            if not fields()[key].active(config):
                row += [NO_PART] * (width or len(search.values))  # type: ignore[union-attr]
            elif isinstance(search, Interval):
                row.append(search.share(float(config[key])))
            elif width:
                row.append(float(sum(value < config[key] for value in search.values)))  # type: ignore[operator]
            else:
                row += [float(config[key] == value) for value in search.values]
        return row


def expected(trees: NDArray[np.float64], best: float) -> list[Expected]:
    """Return what is expected of configurations by what trees do, (trees, configurations).

    The improvement is as `Surrogate.expect` has it.
    """
    least = math.log(max(best, LEAST))
    return [
        Expected(math.exp(mean), _improvement(least - mean, deviation))
        for mean, deviation in zip(trees.mean(0).tolist(), trees.std(0).tolist(), strict=True)
    ]


def _improvement(gain: float, deviation: float) -> float:
    """Return E[max(g, 0)] for g normal with mean `gain`."""
    if deviation == 0:
        return max(gain, 0.0)
    z, normal = gain / deviation, NormalDist()
    return gain * normal.cdf(z) + deviation * normal.pdf(z)
