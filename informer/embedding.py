"""The embedding of a window: its values, its positions and its calendar, added up."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from informer.dropout import Dropout


class Embedding(nn.Module):
    """Sum of a convolution of the values, sinusoids of the position, and a map of the calendar."""

    positions: Tensor

    def __init__(self, columns: int, marks: int, width: int, length: int, dropout: float) -> None:
        """Build for `length` steps with `marks` calendar features; 0 means no calendar."""
        super().__init__()
        self.values = nn.Conv1d(columns, width, 3, padding=1, padding_mode="circular")
        nn.init.kaiming_normal_(self.values.weight, mode="fan_in", nonlinearity="leaky_relu")
        self.calendar = nn.Linear(marks, width) if marks else None
        self.register_buffer("positions", sinusoids(length, width), persistent=False)
        self.dropout = Dropout(dropout)

    def forward(self, values: Tensor, calendar: Tensor) -> Tensor:
        """Embed values (B, L, C) with calendar features (B, L, F) as (B, L, D)."""
        embedded: Tensor = self.values(values.transpose(1, 2)).transpose(1, 2) + self.positions
        if self.calendar is not None:
            embedded = embedded + self.calendar(calendar)
        embedded = self.dropout(embedded)
        return embedded


def sinusoids(length: int, width: int) -> Tensor:
    """Return sin and cos of each position at D/2 wavelengths, interleaved, (L, D).

    Vaswani et al. 2017, section 3.5; Zhou et al. 2021, appendix B.
    """
    position = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack((torch.sin(position * rate), torch.cos(position * rate)), dim=-1).flatten(1)
