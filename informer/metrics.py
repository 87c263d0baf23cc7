"""Squared and absolute errors over all windows, by horizon step and column, and by window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from data.splits import Floats


class Errors:
    """Sums of errors in float64, so that the size of batches does not show in the means.

    Takes tensors and arrays alike; sums of tensors stay on their device until they are asked for.
    """

    def __init__(self) -> None:
        self._squared: Any = 0.0  # (H, C_out)
        self._absolute: Any = 0.0
        self._by_window: list[Any] = []  # (B,) each
        self._windows = 0

    def add(self, error: Tensor | Floats) -> None:
        """Add errors (B, H, C_out), given in float64."""
        squared = error * error
        self._squared = self._squared + squared.sum(0)
        self._absolute = self._absolute + error.__abs__().sum(0)
        self._by_window.append(squared.mean((1, 2)))
        self._windows += len(error)

    @property
    def squared(self) -> Floats:
        """Mean squared error by horizon step and column, (H, C_out)."""
        return self._mean(self._squared)

    @property
    def absolute(self) -> Floats:
        """Mean absolute error by horizon step and column, (H, C_out)."""
        return self._mean(self._absolute)

    @property
    def by_window(self) -> Floats:
        """Mean squared error of each window, (N,), in the order in which they were added."""
        return np.concatenate([_array(part) for part in self._by_window])

    @property
    def mse(self) -> float:
        """Mean squared error of everything added."""
        return float(self.squared.mean())

    @property
    def mae(self) -> float:
        """Mean absolute error of everything added."""
        return float(self.absolute.mean())

    def _mean(self, total: Any) -> Floats:
        return _array(total) / self._windows


def _array(values: Any) -> Floats:
    array: Floats = values if isinstance(values, np.ndarray) else values.cpu().numpy()
    return array
