"""Which rows belong to training, validation and test, and how the series is scaled.

Borders and scaling are those of Informer2020: validation and test windows may look back into the
part before theirs, but what they forecast lies in their own part alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from data.registry import PUBLISHED_BATCH, Dataset

Split = Literal["train", "val", "test"]
Floats = NDArray[np.float64]

SPLITS: tuple[Split, ...] = ("train", "val", "test")


def rows(dataset: Dataset, split: Split, seq_len: int) -> range:
    """Return the rows of a split; those of val and test begin `seq_len` rows before the border."""
    part = SPLITS.index(split)
    border = sum(dataset.split_rows[:part])
    return range(border - seq_len if part else 0, border + dataset.split_rows[part])


def window_starts(
    dataset: Dataset, split: Split, seq_len: int, pred_len: int, *, drop_last: bool = False
) -> range:
    """Return the first rows of all windows of a split, a window having seq_len + pred_len rows.

    With `drop_last` validation and test keep whole batches of `PUBLISHED_BATCH` alone, so that
    figures can be held against published tables.
    """
    part = rows(dataset, split, seq_len)
    starts = range(part.start, part.stop - seq_len - pred_len + 1)
    if drop_last and split != "train":
        starts = starts[: len(starts) // PUBLISHED_BATCH * PUBLISHED_BATCH]
    return starts


@dataclass(frozen=True)
class Scaler:
    """Standardisation of each column by the mean and deviation (ddof 0) of the training part.

    A column that is constant there has no scale; it is held at 0, so that whatever it does later
    cannot swamp the others.
    """

    mean: Floats  # (C,)
    std: Floats  # (C,); 0 for a constant column

    @classmethod
    def fit(cls, training: Floats) -> Self:
        """Fit on the training rows (T, C); missing values (NaN) are left out of the figures."""
        numbers = np.ma.masked_invalid(training)
        mean, std = numbers.mean(axis=0).filled(0.0), numbers.std(axis=0).filled(0.0)
        # The mean of equal numbers need not equal them to the last bit.
        noise = np.abs(mean) * np.finfo(np.float64).eps * len(training)
        return cls(mean, np.where(std > noise, std, 0.0))

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which columns are constant over the training part, (C,)."""
        flat: NDArray[np.bool_] = self.std == 0
        return flat

    def transform(self, values: Floats) -> Floats:
        """Return values (..., C) on the scale that models and metrics use."""
        return np.where(self.constant, 0.0, values - self.mean) / np.where(
            self.constant, 1.0, self.std
        )

    def inverse(self, scaled: Floats) -> Floats:
        """Return scaled values (..., C) in the data set's own units."""
        return scaled * self.std + self.mean
