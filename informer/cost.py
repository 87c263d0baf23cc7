"""What a configuration costs, by arithmetic alone: no model is built and torch is not needed."""

from __future__ import annotations

from data import calendar
from data.registry import DATASETS
from informer.config import RunConfig


def parameters(config: RunConfig, columns: int) -> int:
    """Return the number of trainable parameters of `Informer(config, columns)`, exactly."""
    model = config.model
    width = model.d_model
    marks = len(calendar.names(DATASETS[config.data.dataset].frequency)) if model.temporal else 0
    embedding = _linear(3 * columns, width) + (_linear(marks, width) if marks else 0)
    attention = 4 * _linear(width, width)
    feed_forward = _linear(width, model.d_ff) + _linear(model.d_ff, width)
    norm = 2 * width
    encoder_layer = attention + feed_forward + 2 * norm
    decoder_layer = 2 * attention + feed_forward + 3 * norm
    distilling = _linear(3 * width, width) + norm
    return (
        2 * embedding
        + model.e_layers * encoder_layer
        + (model.e_layers - 1) * distilling * model.distil
        + norm
        + model.d_layers * decoder_layer
        + norm
        + _linear(width, columns if config.data.features == "M" else 1)
    )


def _linear(inputs: int, outputs: int) -> int:
    """Return the parameters of a linear map, or of a convolution with kernel x channels inputs."""
    return (inputs + 1) * outputs
