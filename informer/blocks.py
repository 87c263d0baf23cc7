"""The parts of the architecture beside attention: one small class for each structural option.

B windows, L = seq_len, H = pred_len, N tokens, C columns in, C_out columns out, D = d_model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data import calendar
from informer.attention import Attention, FullAttention, mechanism
from informer.config import DataConfig, ModelConfig
from informer.cost import Shape, cycle_length
from informer.dropout import Dropout
from informer.embedding import StepEmbedding, counted

Statistics = tuple[Tensor, Tensor]  # level and scale of each window, (B, 1, C) both

_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}
_VARIANCE_FLOOR = 1e-5


# -- cycle of the calendar -----------------------------------------------------------------------


class Cycle(nn.Module):
    """A learned value of each step of the day or week, for each column (Lin et al. 2024, CycleNet).

    Residual cycle forecasting, section 3 there; but the calendar says at which step of the cycle a
    time step is, and it is taken off before the window is normalised. At first all values are 0.
    """

    def __init__(self, model: ModelConfig, shape: Shape) -> None:
        """Build for the calendar features and the columns of `shape`."""
        super().__init__()
        self.table = nn.Parameter(torch.zeros(cycle_length(model, shape), shape.columns))
        self.features = shape.calendar
        self.weekly, self.day = model.cycle == "week", shape.day

    def forward(self, known: Tensor) -> Tensor:
        """Return the cycle (B, N, C) at time steps of which known (B, N, F + K) begins with F."""
        return F.embedding(self.step(known), self.table)

    def step(self, known: Tensor) -> Tensor:
        """Return the step of the cycle, (B, N), at which each time step is."""
        hour, minute, weekday = (self._of(known, name) for name in ("hour", "minute", "dayofweek"))
        step = (60 * hour + minute) * self.day // calendar.DAY
        return step + self.day * weekday if self.weekly else step

    def _of(self, known: Tensor, name: str) -> Tensor:
        if name not in self.features:
            return torch.zeros_like(known[..., 0], dtype=torch.long)
        return counted(known[..., self.features.index(name)], calendar.SIZES[name])


# -- normalisation of each window ---------------------------------------------------------------


class Standardise(nn.Module):
    """Mean 0 and deviation 1 over the look-back (Liu et al. 2022, series stationarization)."""

    def forward(self, values: Tensor) -> tuple[Tensor, Statistics]:
        """Return values (B, L, C) normalised, and what undoes it."""
        variance, mean = torch.var_mean(values, dim=1, correction=0, keepdim=True)
        scale = (variance + _VARIANCE_FLOOR).sqrt()
        return (values - mean) / scale, (mean, scale)

    def undo(self, forecast: Tensor, statistics: Statistics, outputs: slice) -> Tensor:
        """Return the forecast (B, H, C_out) of the columns `outputs` on the scale of the input."""
        level, scale = statistics
        return forecast * scale[..., outputs] + level[..., outputs]


class RevIN(Standardise):
    """Standardisation followed by a learned scale and shift of each column (Kim et al. 2022)."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(columns))
        self.bias = nn.Parameter(torch.zeros(columns))

    def forward(self, values: Tensor) -> tuple[Tensor, Statistics]:
        """Return values (B, L, C) normalised, and what undoes it."""
        normalised, statistics = super().forward(values)
        return normalised * self.weight + self.bias, statistics

    def undo(self, forecast: Tensor, statistics: Statistics, outputs: slice) -> Tensor:
        """Return the forecast (B, H, C_out) of the columns `outputs` on the scale of the input."""
        forecast = (forecast - self.bias[outputs]) / self.weight[outputs]
        return super().undo(forecast, statistics, outputs)


class SubtractLast(Standardise):
    """The last value subtracted (Zeng et al. 2023, NLinear)."""

    def forward(self, values: Tensor) -> tuple[Tensor, Statistics]:
        """Return values (B, L, C) normalised, and what undoes it."""
        last = values[:, -1:]
        return values - last, (last, torch.ones_like(last))


def normalisation(model: ModelConfig, columns: int) -> Standardise | None:
    """Return what `model.normalisation` names."""
    match model.normalisation:
        case "standardise":
            return Standardise()
        case "revin":
            return RevIN(columns)
        case "last":
            return SubtractLast()
        case "none":
            return None


# -- decomposition ------------------------------------------------------------------------------


class MovingAverage(nn.Module):
    """Centred moving average, the ends repeated (Wu et al. 2021, eq. 1)."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, values: Tensor) -> Tensor:
        """Return the slow part of values (B, L, C)."""
        side = (self.kernel - 1) // 2
        padded = F.pad(values.transpose(1, 2), (side, side), mode="replicate")
        return F.avg_pool1d(padded, self.kernel, stride=1).transpose(1, 2)


# -- layers -------------------------------------------------------------------------------------


def layer_norm(model: ModelConfig) -> nn.Module:
    """Return the norm of tokens, or what leaves them alone (as RMLP does, Li et al. 2023)."""
    return nn.Identity() if model.norm == "none" else nn.LayerNorm(model.d_model)


class Residual(nn.Module):
    """x + sublayer(x), normalised after the sum, or the sublayer's input before it, or neither."""

    def __init__(self, model: ModelConfig, sublayer: nn.Module) -> None:
        super().__init__()
        self.before = model.norm == "pre"
        self.norm = layer_norm(model)
        self.sublayer = sublayer
        self.dropout = Dropout(model.dropout)

    def forward(self, x: Tensor, *memory: Tensor) -> Tensor:
        """Map (B, N, D), with the memory that the sublayer may need, to its own shape."""
        if self.before:
            after: Tensor = x + self.dropout(self.sublayer(self.norm(x), *memory))
        else:
            after = self.norm(x + self.dropout(self.sublayer(x, *memory)))
        return after


class FeedForward(nn.Module):
    """Two maps with an activation between them (Vaswani et al. 2017, eq. 2)."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(model.d_model, model.d_ff)
        self.activation = _ACTIVATIONS[model.activation]()
        self.dropout = Dropout(model.dropout)
        self.outer = nn.Linear(model.d_ff, model.d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to its own shape."""
        mapped: Tensor = self.outer(self.dropout(self.activation(self.inner(x))))
        return mapped


class GatedFeedForward(FeedForward):
    """A map gated by the activation of another (Shazeer 2020)."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        self.gate = nn.Linear(model.d_model, model.d_ff)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to its own shape."""
        gated = self.activation(self.gate(x)) * self.inner(x)
        mapped: Tensor = self.outer(self.dropout(gated))
        return mapped


_FEED_FORWARD: dict[str, type[FeedForward]] = {"dense": FeedForward, "gated": GatedFeedForward}


class Distilling(nn.Module):
    """Halves a sequence: MaxPool(ELU(BatchNorm(Conv1d(x)))) with stride 2 (Zhou et al., eq. 5)."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        width = model.d_model
        self.convolution = nn.Conv1d(width, width, 3, padding=1, padding_mode=model.padding)
        self.norm = nn.BatchNorm1d(width)
        self.pool = nn.MaxPool1d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, ceil(N / 2), D)."""
        x = self.norm(self.convolution(x.transpose(1, 2)))
        x = self.pool(F.elu(x))
        return x.transpose(1, 2)


def encoder(model: ModelConfig) -> nn.Sequential:
    """Return the encoder's layers and its last norm, mapping (B, N, D) to (B, N', D)."""
    layers: list[nn.Module] = []
    for number in range(model.e_layers):
        if number and model.distils:
            layers.append(Distilling(model))
        if model.attention != "none":
            attention = Attention(model.d_model, model.n_heads, mechanism(model))
            layers.append(Residual(model, attention))
        layers.append(Residual(model, _FEED_FORWARD[model.ffn](model)))
    return nn.Sequential(*layers, layer_norm(model))


# -- heads --------------------------------------------------------------------------------------


class LinearHead(nn.Module):
    """One map from all tokens to the whole forecast."""

    def __init__(self, tokens: int, width: int, horizon: int, columns: int) -> None:
        super().__init__()
        self.shape = (horizon, columns)
        self.projection = nn.Linear(tokens * width, horizon * columns)

    def forward(self, tokens: Tensor, values: Tensor, known: Tensor) -> Tensor:
        """Map tokens (B, N, D) to (B, H, C_out)."""
        forecast: Tensor = self.projection(tokens.flatten(1))
        return forecast.view(-1, *self.shape)


class StepLinearHead(nn.Module):
    """A map of each token to the columns, then one over time (Zeng et al. 2023, table 4)."""

    def __init__(self, tokens: int, width: int, horizon: int, columns: int) -> None:
        super().__init__()
        self.columns = nn.Linear(width, columns)
        self.time = nn.Linear(tokens, horizon)

    def forward(self, tokens: Tensor, values: Tensor, known: Tensor) -> Tensor:
        """Map tokens (B, N, D) to (B, H, C_out)."""
        forecast: Tensor = self.time(self.columns(tokens).transpose(1, 2)).transpose(1, 2)
        return forecast


class InvertedHead(nn.Module):
    """A map from the token of a column to its forecast (Liu et al. 2024, eq. 1)."""

    def __init__(self, width: int, horizon: int, outputs: slice) -> None:
        super().__init__()
        self.outputs = outputs
        self.projection = nn.Linear(width, horizon)

    def forward(self, tokens: Tensor, values: Tensor, known: Tensor) -> Tensor:
        """Map tokens (B, C + F + K, D), of which the columns come first, to (B, H, C_out)."""
        forecast: Tensor = self.projection(tokens[:, self.outputs]).transpose(1, 2)
        return forecast


class DecoderHead(nn.Module):
    """The generative decoder: the whole horizon in one pass (Zhou et al. 2021, eq. 6)."""

    def __init__(
        self,
        data: DataConfig,
        model: ModelConfig,
        columns: int,
        forecast: int,
        names: Sequence[str],
        known: int,
    ) -> None:
        """Build for `columns` in and `forecast` columns out."""
        super().__init__()
        self.label_len, self.pred_len = data.label_len, data.pred_len
        length = data.label_len + data.pred_len
        self.embedding = StepEmbedding(model, columns, length, names, known)
        self.layers = nn.ModuleList(DecoderLayer(model) for _ in range(model.d_layers))
        self.norm = layer_norm(model)
        self.projection = nn.Linear(model.d_model, forecast)

    def forward(self, tokens: Tensor, values: Tensor, known: Tensor) -> Tensor:
        """Forecast (B, H, C_out) from the encoder's tokens, the last known values and zeros."""
        start = values.shape[1] - self.label_len
        begun = F.pad(values[:, start:], (0, 0, 0, self.pred_len))  # (B, label_len + H, C)
        decoded = self.embedding(begun, known[:, start:])
        for layer in self.layers[:-1]:
            decoded = layer(decoded, tokens)
        # Of the last layer the steps before the horizon are nobody's input.
        decoded = self.layers[-1](decoded, tokens, self.label_len)
        forecast: Tensor = self.projection(self.norm(decoded))
        return forecast


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the encoder's output, and feed-forward."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        width, heads = model.d_model, model.n_heads
        self.attention = (
            None
            if model.attention == "none"
            else Residual(
                model, Attention(width, heads, mechanism(model, causal=True), mix=model.mix)
            )
        )
        across = FullAttention(dropout=model.dropout)
        self.cross_attention = Residual(model, Attention(width, heads, across))
        self.feed_forward = Residual(model, _FEED_FORWARD[model.ffn](model))

    def forward(self, x: Tensor, memory: Tensor, start: int = 0) -> Tensor:
        """Map (B, label_len + H, D), given memory (B, N, D), to its steps from `start` on."""
        if self.attention is not None:
            x = self.attention(x)
        x = self.feed_forward(self.cross_attention(x[:, start:], memory))
        return x
