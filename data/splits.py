"""Which rows belong to training, validation and test, and how the series is scaled.

Borders and scaling are those of Informer2020: validation and test windows may look back into the
part before theirs, but what they forecast lies in their own part alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from data.registry import Dataset

Split = Literal["train", "val", "test"]
Floats = NDArray[np.float64]

_ORDER: tuple[Split, ...] = ("train", "val", "test")


def rows(dataset: Dataset, split: Split, seq_len: int) -> range:
    """Return the rows of a split; those of val and test begin `seq_len` rows before the border."""
    part = _ORDER.index(split)
    border = sum(dataset.split_rows[:part])
    return range(border - seq_len if part else 0, border + dataset.split_rows[part])


def window_starts(dataset: Dataset, split: Split, seq_len: int, pred_len: int) -> range:
    """Return the first rows of all windows of a split, a window having seq_len + pred_len rows."""
    part = rows(dataset, split, seq_len)
    return range(part.start, part.stop - seq_len - pred_len + 1)


@dataclass(frozen=True)
class Scaler:
    """Standardisation of each column by the mean and deviation (ddof 0) of the training part."""

    mean: Floats  # (C,)
    std: Floats  # (C,)

    @classmethod
    def fit(cls, training: Floats) -> Self:
        """Fit on the training rows (T, C); a constant column keeps its scale."""
        std = training.std(axis=0)
        return cls(training.mean(axis=0), np.where(std > 0, std, 1.0))

    def transform(self, values: Floats) -> Floats:
        """Return values (..., C) on the scale that models and metrics use."""
        return (values - self.mean) / self.std

    def inverse(self, scaled: Floats) -> Floats:
        """Return scaled values (..., C) in the data set's own units."""
        return scaled * self.std + self.mean
