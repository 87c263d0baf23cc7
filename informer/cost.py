"""What a configuration comes to, by arithmetic alone: no model is built and torch is not needed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from data import calendar
from data.registry import find
from data.splits import window_starts
from informer.config import DataConfig, ModelConfig, RunConfig, epoch_steps, token_count


@dataclass(frozen=True)
class Shape:
    """What the data give a model to see and ask of it."""

    columns: int  # C, seen over the look-back
    outputs: slice  # which of them are forecast
    calendar: tuple[str, ...]  # names of the F calendar features
    known: int  # K, known-future columns
    day: int  # time steps of a day; 1 where a step is as long or longer

    @property
    def forecast(self) -> int:
        """C_out, the number of columns that are forecast."""
        return len(range(self.columns)[self.outputs])

    @classmethod
    def of(cls, config: RunConfig) -> Shape:
        """Return the shape of a configuration's data."""
        data = config.data
        dataset = find(data.dataset)
        roles = dataset.roles(data.features, data.target)
        return cls(
            columns=len(roles.inputs),
            outputs=roles.outputs,
            calendar=calendar.names(dataset.frequency),
            known=len(roles.known),
            day=calendar.steps_a_day(dataset.frequency),
        )

    def single(self) -> Shape:
        """Return the shape for one column on its own."""
        return replace(self, columns=1, outputs=slice(0, 1))


def cycle_length(model: ModelConfig, shape: Shape) -> int:
    """Return the time steps of the cycle that is learned; 0 where none is."""
    return {"none": 0, "day": shape.day, "week": 7 * shape.day}[model.cycle]


def encoded_tokens(model: ModelConfig, tokens: int) -> int:
    """Return how many of `tokens` leave the encoder: distilling keeps ceil(N / 2) each time."""
    for _ in range(model.e_layers - 1 if model.distils else 0):
        tokens = (tokens + 1) // 2
    return tokens


def natural_count(factor: int, length: int) -> int:
    """Return c ceil(ln L), at least 1 and at most L: queries of ProbSparse, lags that are kept."""
    return min(length, max(1, factor * math.ceil(math.log(length))))


def steps_per_epoch(config: RunConfig) -> int:
    """Return the optimiser steps of an epoch."""
    data = config.data
    windows = len(window_starts(find(data.dataset), "train", data.seq_len, data.pred_len))
    return epoch_steps(data, config.training, windows)


def parameters(config: RunConfig) -> int:
    """Return the number of trainable parameters of `Informer(config)`, exactly."""
    data, model = config.data, config.model
    shape = Shape.of(config)
    over_time = _linear(data.seq_len, data.pred_len)
    count = cycle_length(model, shape) * shape.columns
    count += over_time * (model.skip + (model.decomposition == "moving_average"))
    if model.normalisation == "revin":
        count += 2 * shape.columns
    if shape.known:
        count += _linear(shape.known, shape.forecast)
    if model.e_layers:
        count += _network(data, model, shape.single() if model.channels == "independent" else shape)
    return count


def _network(data: DataConfig, model: ModelConfig, shape: Shape) -> int:
    width = model.d_model
    if model.tokens == "inverted":
        embedding = _linear(data.seq_len, width)
        if model.temporal == "linear" or shape.known:
            embedding += _linear(data.seq_len + data.pred_len, width)
        return embedding + _encoder(model) + _linear(width, data.pred_len)
    tokens = token_count(data, model)
    seen = _linear(shape.columns * (model.patch_len if model.tokens == "patch" else 3), width)
    embedding = seen + _position(model, tokens) + _known(model, shape)
    left = encoded_tokens(model, tokens)
    match model.head:
        case "decoder":
            head = _decoder(data, model, shape)
        case "linear":
            head = _linear(left * width, data.pred_len * shape.forecast)
        case "step_linear":
            head = _linear(width, shape.forecast) + _linear(left, data.pred_len)
    return embedding + _encoder(model) + head


def _encoder(model: ModelConfig) -> int:
    width, batch_norm = model.d_model, 2 * model.d_model
    attention = 0 if model.attention == "none" else _attention(model)
    distilling = (_linear(3 * width, width) + batch_norm) * (model.e_layers - 1) * model.distils
    return model.e_layers * (attention + _feed_forward(model)) + distilling + _norm(model)


def _decoder(data: DataConfig, model: ModelConfig, shape: Shape) -> int:
    width = model.d_model
    embedding = (
        _linear(3 * shape.columns, width)
        + _position(model, data.label_len + data.pred_len)
        + _known(model, shape)
    )
    attention = _attention(model) * (1 if model.attention == "none" else 2)
    layer = attention + _feed_forward(model)
    return embedding + model.d_layers * layer + _norm(model) + _linear(width, shape.forecast)


def _attention(model: ModelConfig) -> int:
    """Return the parameters of the four projections and their norm."""
    return 4 * _linear(model.d_model, model.d_model) + _norm(model)


def _feed_forward(model: ModelConfig) -> int:
    """Return the parameters of a feed-forward sublayer and its norm."""
    inner = _linear(model.d_model, model.d_ff) * (2 if model.ffn == "gated" else 1)
    return inner + _linear(model.d_ff, model.d_model) + _norm(model)


def _norm(model: ModelConfig) -> int:
    """Return the parameters of a layer norm where there is one."""
    return 0 if model.norm == "none" else 2 * model.d_model


def _position(model: ModelConfig, tokens: int) -> int:
    return tokens * model.d_model if model.positional == "learned" else 0


def _known(model: ModelConfig, shape: Shape) -> int:
    mapped = shape.known + (len(shape.calendar) if model.temporal == "linear" else 0)
    count = _linear(mapped, model.d_model) if mapped else 0
    if model.temporal == "learned":
        count += model.d_model * sum(calendar.SIZES[name] for name in shape.calendar)
    return count


def _linear(inputs: int, outputs: int) -> int:
    """Return the parameters of a linear map, or of a convolution with kernel x channels inputs."""
    return (inputs + 1) * outputs
