"""Dropout that is cheap on CPUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Inverted dropout. On CPUs four decisions are made from each 64 random bits.

    The probability is rounded to a multiple of 2^-16, and the scale is that of the rounded one, so
    that the expectation is exact. On other devices it is the native dropout.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self._dropped = round(probability * 2**16)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` of any shape, with elements dropped while training."""
        if not self.training or not self._dropped:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.probability)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        keep = (bits >= self._dropped - 2**15).to(x.dtype)
        return x * keep.mul_(2**16 / (2**16 - self._dropped))
