"""Windows of a series, gathered on the device that trains.

A series is small (ETTh1: half a megabyte), so it lies on the device as a whole, and a batch is one
gather by index: no loader, no copies from the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from data.series import Series
from data.splits import Split, window_starts


@dataclass(frozen=True)
class Batch:
    """B windows. What is known in advance, such as dates, covers look-back and horizon."""

    values: Tensor  # (B, seq_len, C)
    known: Tensor  # (B, seq_len + pred_len, F + K): calendar features, known-future columns
    target: Tensor  # (B, pred_len, C_out)


class Windows:
    """All windows of one split of a series."""

    def __init__(
        self,
        series: Series,
        split: Split,
        seq_len: int,
        pred_len: int,
        device: torch.device,
        *,
        drop_last: bool = False,
    ) -> None:
        """Put the rows of the split on `device` in float32; see `window_starts`."""
        starts = window_starts(series.dataset, split, seq_len, pred_len, drop_last=drop_last)
        rows = slice(starts.start, starts.stop + seq_len + pred_len - 1)
        self._values = torch.tensor(series.values[rows], dtype=torch.float32, device=device)
        self._known = torch.tensor(series.known[rows], device=device)
        self._outputs = series.outputs
        self._seq_len = seq_len
        self._steps = torch.arange(seq_len + pred_len, device=device)
        self.starts = starts  # the first row of each window in the series
        self.device = device

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, windows: Tensor) -> Batch:
        """Return the windows with these numbers, (B,), of 0 to len(self) - 1."""
        rows = windows[:, None] + self._steps  # (B, seq_len + pred_len)
        values = self._values[rows]
        return Batch(
            values=values[:, : self._seq_len],
            known=self._known[rows],
            target=values[:, self._seq_len :, self._outputs],
        )

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield every window once, in order of time, `size` at a time."""
        for windows in torch.split(torch.arange(len(self), device=self.device), size):
            yield self.batch(windows)
