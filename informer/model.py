"""The Informer (Zhou et al. 2021, AAAI): a forecaster that gives its whole horizon in one pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data import calendar
from data.registry import DATASETS
from informer.attention import Attention
from informer.config import ModelConfig, RunConfig
from informer.dropout import Dropout
from informer.embedding import Embedding

_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


class Informer(nn.Module):
    """Encoder, decoder and, where it is asked for, normalisation of each window.

    B windows, L = seq_len, H = pred_len, C columns in, C_out columns out, D = d_model.
    """

    def __init__(self, config: RunConfig, columns: int) -> None:
        """Build for `columns` input columns; weights are drawn from torch's global generator."""
        super().__init__()
        data, model = config.data, config.model
        dataset = DATASETS[data.dataset]
        marks = len(calendar.names(dataset.frequency)) if model.temporal else 0
        target = dataset.columns.index(data.target) if data.features == "MS" else 0
        self.outputs = slice(None) if data.features == "M" else slice(target, target + 1)
        self.seq_len, self.label_len, self.pred_len = data.seq_len, data.label_len, data.pred_len
        self.normalisation = model.normalisation
        self.encoder_embedding = Embedding(
            columns, marks, model.d_model, data.seq_len, model.dropout
        )
        self.encoder = nn.Sequential(*_encoder_layers(model), nn.LayerNorm(model.d_model))
        self.decoder_embedding = Embedding(
            columns, marks, model.d_model, data.label_len + data.pred_len, model.dropout
        )
        self.decoder = nn.ModuleList(DecoderLayer(model) for _ in range(model.d_layers))
        self.decoder_norm = nn.LayerNorm(model.d_model)
        self.projection = nn.Linear(model.d_model, columns if data.features == "M" else 1)

    def forward(self, values: Tensor, calendar: Tensor) -> Tensor:
        """Forecast (B, H, C_out) from values (B, L, C) and calendar features (B, L + H, F).

        The decoder starts from the last label_len known values, followed by zeros (eq. 6).
        """
        level, scale = self._level_and_scale(values)  # (B, 1, C)
        values = (values - level) / scale
        memory = self.encoder(self.encoder_embedding(values, calendar[:, : self.seq_len]))
        known = self.seq_len - self.label_len
        start = nn.functional.pad(values[:, known:], (0, 0, 0, self.pred_len))
        decoded = self.decoder_embedding(start, calendar[:, known:])  # (B, label_len + H, D)
        for layer in self.decoder:
            decoded = layer(decoded, memory)
        forecast: Tensor = self.projection(self.decoder_norm(decoded[:, self.label_len :]))
        return forecast * scale[..., self.outputs] + level[..., self.outputs]

    def _level_and_scale(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each window is normalised by, (B, 1, C) both."""
        last = values[:, -1:]
        if self.normalisation == "last":
            return last, torch.ones_like(last)
        if self.normalisation == "standardise":
            variance, mean = torch.var_mean(values, dim=1, correction=0, keepdim=True)
            return mean, (variance + 1e-5).sqrt()
        return torch.zeros_like(last), torch.ones_like(last)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each added to its input and normalised after (post-norm)."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.attention = _self_attention(model)
        self.attention_norm = nn.LayerNorm(model.d_model)
        self.feed_forward = _feed_forward(model)
        self.feed_forward_norm = nn.LayerNorm(model.d_model)
        self.dropout = Dropout(model.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, x)))
        x = self.feed_forward_norm(x + self.feed_forward(x))
        return x


class Distilling(nn.Module):
    """Halves a sequence: MaxPool(ELU(BatchNorm(Conv1d(x)))) with stride 2 (eq. 5)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 3, padding=1, padding_mode="circular")
        self.norm = nn.BatchNorm1d(width)
        self.pool = nn.MaxPool1d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, D) to (B, ceil(L / 2), D)."""
        x = self.norm(self.convolution(x.transpose(1, 2)))
        x = self.pool(nn.functional.elu(x))
        return x.transpose(1, 2)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the encoder's output, and feed-forward, all post-norm."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.attention = _self_attention(model, causal=True, mix=model.mix)
        self.attention_norm = nn.LayerNorm(model.d_model)
        self.cross_attention = Attention(model.d_model, model.n_heads, dropout=model.dropout)
        self.cross_attention_norm = nn.LayerNorm(model.d_model)
        self.feed_forward = _feed_forward(model)
        self.feed_forward_norm = nn.LayerNorm(model.d_model)
        self.dropout = Dropout(model.dropout)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Map (B, label_len + H, D), given memory (B, L', D), to its own shape."""
        x = self.attention_norm(x + self.dropout(self.attention(x, x)))
        x = self.cross_attention_norm(x + self.dropout(self.cross_attention(x, memory)))
        x = self.feed_forward_norm(x + self.feed_forward(x))
        return x


def _encoder_layers(model: ModelConfig) -> list[nn.Module]:
    layers: list[nn.Module] = [EncoderLayer(model)]
    for _ in range(model.e_layers - 1):
        if model.distil:
            layers.append(Distilling(model.d_model))
        layers.append(EncoderLayer(model))
    return layers


def _self_attention(model: ModelConfig, *, causal: bool = False, mix: bool = False) -> Attention:
    factor = model.factor if model.attention == "prob" else None
    return Attention(
        model.d_model, model.n_heads, factor=factor, dropout=model.dropout, causal=causal, mix=mix
    )


def _feed_forward(model: ModelConfig) -> nn.Module:
    return nn.Sequential(
        nn.Linear(model.d_model, model.d_ff),
        _ACTIVATIONS[model.activation](),
        Dropout(model.dropout),
        nn.Linear(model.d_ff, model.d_model),
        Dropout(model.dropout),
    )
