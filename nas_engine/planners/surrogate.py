"""What is expected of configurations that were not trained: a random forest over the results.

The forest and its use follow SMAC (Hutter, Hoos and Leyton-Brown 2011, sections 4.1 and 4.2): the
trees' mean is the expected error, their deviation its uncertainty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from informer.config import Interval, Search, Value, fields
from nas_engine.planners.tpe import ordered
from nas_engine.store.reader import TrialRow

TREES = 100
LEAST = 1e-12
"""Errors are compared by their logarithm: below this they are all the same."""

NO_PART = -1.0
"""Column of a setting that has no part to play; all others are 0 or above."""


class Surrogate:
    """A model of val_mse over the space, learned from the trials with a result."""

    def __init__(self, space: Mapping[str, Search], trials: Sequence[TrialRow]) -> None:
        """Learn from `trials`; at least two must have a result."""
        known = [trial for trial in trials if trial.val_mse is not None]
        self._space = space
        self.results = [trial.val_mse for trial in known if trial.val_mse is not None]
        self._forest = RandomForestRegressor(n_estimators=TREES, random_state=0, n_jobs=1)
        self._forest.fit(
            self._encoded([trial.config for trial in known]),
            np.log(np.maximum(self.results, LEAST)),
        )

    def predict(self, configs: Sequence[Mapping[str, Value]]) -> list[float]:
        """Return the val_mse expected of each configuration (the median of its distribution)."""
        return [float(math.exp(mean)) for mean, _ in self._log_errors(configs)]

    def expected_improvement(self, configs: Sequence[Mapping[str, Value]]) -> list[float]:
        """Return the expected improvement of log val_mse over the best result (Jones et al. 1998).

        E[max(best - y, 0)] for y normal with the trees' mean and deviation.
        """
        best, normal = math.log(max(min(self.results), LEAST)), NormalDist()
        gains = []
        for mean, deviation in self._log_errors(configs):
            if deviation == 0:
                gains.append(max(best - mean, 0.0))
                continue
            z = (best - mean) / deviation
            gains.append((best - mean) * normal.cdf(z) + deviation * normal.pdf(z))
        return gains

    def _log_errors(self, configs: Sequence[Mapping[str, Value]]) -> list[tuple[float, float]]:
        encoded = self._encoded(configs)
        trees = np.stack([tree.predict(encoded) for tree in self._forest.estimators_])  # (T, N)
        return list(zip(trees.mean(0).tolist(), trees.std(0).tolist(), strict=True))

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
                row.append(_share(search, float(config[key])))
            elif width:
                row.append(float(sum(value < config[key] for value in search.values)))  # type: ignore[operator]
            else:
                row += [float(config[key] == value) for value in search.values]
        return row


def _share(search: Interval, value: float) -> float:
    """Return where in its interval a value lies, 0 to 1 inside it."""
    low, high = search.low, search.high
    if search.log:
        low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-12))
    return (value - low) / (high - low)
