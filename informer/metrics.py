"""Mean squared and absolute error over all windows, time steps and channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from data.splits import Floats


class Errors:
    """Sums of errors in float64, so that the size of batches does not show in the means.

    Takes tensors and arrays alike and imports neither library.
    """

    def __init__(self) -> None:
        self._squared = self._absolute = 0.0
        self._count = 0

    def add(self, error: Tensor | Floats) -> None:
        """Add errors of any shape, given in float64."""
        self._squared += float((error * error).sum())
        self._absolute += float(error.__abs__().sum())
        self._count += math.prod(error.shape)

    @property
    def mse(self) -> float:
        """Mean squared error of everything added."""
        return self._squared / self._count

    @property
    def mae(self) -> float:
        """Mean absolute error of everything added."""
        return self._absolute / self._count
