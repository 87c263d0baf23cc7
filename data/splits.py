"""Which rows belong to training, validation and test, and how the series is scaled.

Borders and scaling are those of Informer2020: validation and test windows may look back into the
part before theirs, but what they forecast lies in their own part alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from data.choices import Scaling
from data.registry import PUBLISHED_BATCH, Dataset, Part

Split = Part
Floats = NDArray[np.float64]

SPLITS: tuple[Split, ...] = ("train", "val", "test")


def rows(dataset: Dataset, split: Split, seq_len: int) -> range:
    """Return the rows of a split; those of val and test begin `seq_len` rows before the border."""
    first, after = dataset.parts[split]
    return range(first if split == "train" else first - seq_len, after)


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
    """A shift and a scale for each column, learned on the training part.

    A column that is constant there has no scale; it is held at 0, so that whatever it does later
    cannot swamp the others.
    """

    centre: Floats  # (C,)
    scale: Floats  # (C,); 0 for a constant column

    @classmethod
    def fit(cls, training: Floats, scaling: Scaling = "standard") -> Self:
        """Fit on the training rows (T, C); missing values (NaN) are left out of the figures.

        Args:
            training: the rows, of which every column needs one number at least to be scaled.
            scaling: standard takes mean and deviation (ddof 0), robust median and interquartile
                range, minmax the smallest value and the range, none leaves values as they are.
        """
        numbers = np.ma.masked_invalid(training)
        mean, std = numbers.mean(axis=0).filled(0.0), numbers.std(axis=0).filled(0.0)
        # The mean of equal numbers need not equal them to the last bit.
        noise = np.abs(mean) * np.finfo(np.float64).eps * len(training)
        match scaling:
            case "standard":
                centre, scale = mean, std
            case "robust":
                low, centre, high = _quartiles(training)
                scale = np.where(high > low, high - low, std)  # a column that is mostly one value
            case "minmax":
                centre = numbers.min(axis=0).filled(0.0)
                scale = numbers.max(axis=0).filled(0.0) - centre
            case "none":
                centre, scale = np.zeros_like(mean), np.ones_like(std)
        varies = std > noise
        # Held at 0, a constant column must come back as it was, unscaled ones too.
        return cls(np.where(varies, centre, mean), np.where(varies, scale, 0.0))

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which columns are constant over the training part, (C,)."""
        flat: NDArray[np.bool_] = self.scale == 0
        return flat

    def transform(self, values: Floats) -> Floats:
        """Return values (..., C) on the scale that models and metrics use."""
        return np.where(self.constant, 0.0, values - self.centre) / np.where(
            self.constant, 1.0, self.scale
        )

    def inverse(self, scaled: Floats) -> Floats:
        """Return scaled values (..., C) in the data set's own units."""
        return scaled * self.scale + self.centre

    def of(self, columns: slice) -> Scaler:
        """Return the scaler of some of the columns."""
        return Scaler(self.centre[columns], self.scale[columns])


def _quartiles(training: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the quartiles of each column of (T, C); 0 where it has no number."""
    columns = [column[np.isfinite(column)] for column in training.T]
    found = [np.quantile(c, (0.25, 0.5, 0.75)) if len(c) else np.zeros(3) for c in columns]
    low, middle, high = np.array(found, dtype=np.float64).reshape(-1, 3).T
    return low, middle, high
