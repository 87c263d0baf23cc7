"""From a window to tokens: one class for each kind of token, and what is added to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data import calendar
from informer.config import DataConfig, ModelConfig, token_count
from informer.dropout import Dropout


class StepEmbedding(nn.Module):
    """A token for each time step: a convolution of the values, position and calendar, added up."""

    def __init__(
        self, model: ModelConfig, columns: int, length: int, names: Sequence[str], known: int
    ) -> None:
        """Build for `length` steps of `columns`, with calendar features `names` and known ones."""
        super().__init__()
        self.values = nn.Conv1d(columns, model.d_model, 3, padding=1, padding_mode=model.padding)
        nn.init.kaiming_normal_(self.values.weight, mode="fan_in", nonlinearity="leaky_relu")
        self.position = Position(model, length)
        self.known = KnownEmbedding(model, names, known)
        self.dropout = Dropout(model.dropout)

    def forward(self, values: Tensor, known: Tensor) -> Tensor:
        """Embed values (B, L, C) with what is known (B, >= L, F + K) as (B, L, D)."""
        tokens = self.values(values.transpose(1, 2)).transpose(1, 2)
        tokens = self.position(tokens)
        embedded: Tensor = self.dropout(self.known(tokens, known[:, : values.shape[1]]))
        return embedded


class PatchEmbedding(nn.Module):
    """A token for each patch of steps (Nie et al. 2023, section 3.1), of all columns together.

    What is known is taken at the last step of a patch.
    """

    last_steps: Tensor

    def __init__(
        self,
        data: DataConfig,
        model: ModelConfig,
        columns: int,
        names: Sequence[str],
        known: int,
    ) -> None:
        """Build for `columns`, with calendar features `names` and `known` known-future columns."""
        super().__init__()
        self.length, self.stride = model.patch_len, model.patch_stride
        self.values = nn.Linear(columns * model.patch_len, model.d_model)
        count = token_count(data, model)
        ends = torch.arange(count) * model.patch_stride + model.patch_len - 1
        self.register_buffer("last_steps", ends.clamp(max=data.seq_len - 1), persistent=False)
        self.position = Position(model, count)
        self.known = KnownEmbedding(model, names, known)
        self.dropout = Dropout(model.dropout)

    def forward(self, values: Tensor, known: Tensor) -> Tensor:
        """Embed values (B, L, C) with what is known (B, >= L, F + K) as (B, N, D)."""
        padded = F.pad(values.transpose(1, 2), (0, self.stride), mode="replicate")  # (B, C, L + S)
        patches = padded.unfold(-1, self.length, self.stride)  # (B, C, N, P)
        tokens = self.values(patches.transpose(1, 2).flatten(2))
        tokens = self.position(tokens)
        embedded: Tensor = self.dropout(self.known(tokens, known[:, self.last_steps]))
        return embedded


class InvertedEmbedding(nn.Module):
    """A token for the whole look-back of each column (Liu et al. 2024, section 3.1).

    The calendar and the known-future columns are tokens too, over look-back and horizon.
    """

    def __init__(
        self, data: DataConfig, model: ModelConfig, names: Sequence[str], known: int
    ) -> None:
        """Build for columns of seq_len steps; the calendar takes part unless temporal is none."""
        super().__init__()
        self.skipped = 0 if model.temporal == "linear" else len(names)
        self.values = nn.Linear(data.seq_len, model.d_model)
        self.known: nn.Module | None = None
        if len(names) + known > self.skipped:
            self.known = nn.Linear(data.seq_len + data.pred_len, model.d_model)
        self.dropout = Dropout(model.dropout)

    def forward(self, values: Tensor, known: Tensor) -> Tensor:
        """Embed values (B, L, C) and what is known (B, L + H, F + K) as (B, C + F + K, D)."""
        tokens = self.values(values.transpose(1, 2))
        if self.known is not None:
            others = self.known(known[..., self.skipped :].transpose(1, 2))
            tokens = torch.cat((tokens, others), dim=1)
        embedded: Tensor = self.dropout(tokens)
        return embedded


class Position(nn.Module):
    """Adds to each token what says where it stands."""

    table: Tensor | None

    def __init__(self, model: ModelConfig, length: int) -> None:
        """Build for `length` tokens."""
        super().__init__()
        match model.positional:
            case "sinusoidal":
                self.register_buffer("table", sinusoids(length, model.d_model), persistent=False)
            case "learned":
                self.table = nn.Parameter(0.02 * torch.randn(length, model.d_model))
            case "none":
                self.table = None

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens (B, N, D) with their positions added."""
        return tokens if self.table is None else tokens + self.table


class KnownEmbedding(nn.Module):
    """Adds to each token its calendar, as `model.temporal` says, and the known-future columns."""

    def __init__(self, model: ModelConfig, names: Sequence[str], known: int) -> None:
        """Build for calendar features `names`, which come first, and `known` columns after them."""
        super().__init__()
        self.sizes = [calendar.SIZES[name] for name in names]
        mapped = known + (len(names) if model.temporal == "linear" else 0)
        self.first_mapped = len(names) + known - mapped
        self.map = nn.Linear(mapped, model.d_model) if mapped else None
        self.tables = nn.ModuleList(
            nn.Embedding(size, model.d_model)
            for size in (self.sizes if model.temporal == "learned" else ())
        )

    def forward(self, tokens: Tensor, known: Tensor) -> Tensor:
        """Return tokens (B, N, D) with what is known at them, (B, N, F + K), added."""
        if self.map is not None:
            tokens = tokens + self.map(known[..., self.first_mapped :])
        for feature, table in enumerate(self.tables):
            tokens = tokens + table(counted(known[..., feature], self.sizes[feature]))
        return tokens


def counted(feature: Tensor, size: int) -> Tensor:
    """Return the whole numbers, from 0, that a calendar feature of `size` values stands for."""
    return ((feature + 0.5) * (size - 1)).round().long()


def sinusoids(length: int, width: int) -> Tensor:
    """Return sin and cos of each position at D/2 wavelengths, interleaved, (L, D).

    Vaswani et al. 2017, section 3.5; Zhou et al. 2021, appendix B.
    """
    position = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack((torch.sin(position * rate), torch.cos(position * rate)), dim=-1).flatten(1)
