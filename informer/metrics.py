"""Squared and absolute errors over all windows, kept by horizon step and column."""

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
        self._windows = 0

    def add(self, error: Tensor | Floats) -> None:
        """Add errors (B, H, C_out), given in float64."""
        self._squared = self._squared + (error * error).sum(0)
        self._absolute = self._absolute + error.__abs__().sum(0)
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
    def mse(self) -> float:
        """Mean squared error of everything added."""
        return float(self.squared.mean())

    @property
    def mae(self) -> float:
        """Mean absolute error of everything added."""
        return float(self.absolute.mean())

    def _mean(self, total: Any) -> Floats:
        array = total if isinstance(total, np.ndarray) else total.cpu().numpy()
        mean: Floats = array / self._windows
        return mean
