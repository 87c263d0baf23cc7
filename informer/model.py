"""The forecaster: what a configuration means, put together from embedding, blocks and attention.

At the defaults it is the Informer (Zhou et al. 2021), which gives its whole horizon in one pass.
DLinear, NLinear, PatchTST and iTransformer are other points of the same space.
"""

from __future__ import annotations

from torch import Tensor, nn

from informer.blocks import (
    Cycle,
    DecoderHead,
    InvertedHead,
    LinearHead,
    MovingAverage,
    StepLinearHead,
    encoder,
    normalisation,
)
from informer.config import RunConfig, token_count
from informer.cost import Shape, encoded_tokens
from informer.embedding import InvertedEmbedding, PatchEmbedding, StepEmbedding


class Informer(nn.Module):
    """A forecaster built from a configuration; weights are drawn from torch's global generator.

    B windows, L = seq_len, H = pred_len, C columns in, C_out columns out, F calendar features,
    K known-future columns.
    """

    def __init__(self, config: RunConfig) -> None:
        """Build for the columns that the configuration's data set and features give."""
        super().__init__()
        data, model = config.data, config.model
        shape = Shape.of(config)
        self.outputs = shape.outputs
        self.calendar = len(shape.calendar)
        self.cycle = Cycle(model, shape) if model.cycle != "none" else None
        self.normalisation = normalisation(model, shape.columns)
        self.average: nn.Module | None = None
        if model.decomposition == "moving_average":
            self.average = MovingAverage(model.kernel)
            self.trend = nn.Linear(data.seq_len, data.pred_len)
        self.skip = nn.Linear(data.seq_len, data.pred_len) if model.skip else None
        self.ahead = nn.Linear(shape.known, shape.forecast) if shape.known else None
        self.network: nn.Module | None = None
        if model.e_layers:
            kind = Independent if model.channels == "independent" else Network
            self.network = kind(config, shape)

    def forward(self, values: Tensor, known: Tensor) -> Tensor:
        """Forecast (B, H, C_out) from values (B, L, C) and what is known (B, L + H, F + K)."""
        if self.cycle is None:
            return self._normalised(values, known)
        cycle, length = self.cycle(known), values.shape[1]
        forecast = self._normalised(values - cycle[:, :length], known)
        whole: Tensor = forecast + cycle[:, length:, self.outputs]
        return whole

    def _normalised(self, values: Tensor, known: Tensor) -> Tensor:
        if self.normalisation is None:
            return self._forecast(values, known)
        normalised, statistics = self.normalisation(values)
        forecast = self._forecast(normalised, known)
        return self.normalisation.undo(forecast, statistics, self.outputs)

    def _forecast(self, values: Tensor, known: Tensor) -> Tensor:
        forecast: Tensor | float = 0.0
        if self.average is not None:
            slow = self.average(values)
            values = values - slow
            forecast = _over_time(self.trend, slow[..., self.outputs])
        if self.skip is not None:
            forecast = forecast + _over_time(self.skip, values[..., self.outputs])
        if self.ahead is not None:
            forecast = forecast + self.ahead(known[:, values.shape[1] :, self.calendar :])
        if self.network is not None:
            forecast = forecast + self.network(values, known)
        assert isinstance(forecast, Tensor), "without layers there is a linear skip"
        return forecast


def _over_time(linear: nn.Module, values: Tensor) -> Tensor:
    """Map (B, L, C) to (B, H, C) with one linear map of time for all columns."""
    mapped: Tensor = linear(values.transpose(1, 2)).transpose(1, 2)
    return mapped


class Network(nn.Module):
    """Tokens, encoder and head."""

    def __init__(self, config: RunConfig, shape: Shape) -> None:
        """Build for `shape.columns` in and `shape.forecast` columns out."""
        super().__init__()
        data, model = config.data, config.model
        names, known = shape.calendar, shape.known
        self.embedding: nn.Module
        match model.tokens:
            case "step":
                self.embedding = StepEmbedding(model, shape.columns, data.seq_len, names, known)
            case "patch":
                self.embedding = PatchEmbedding(data, model, shape.columns, names, known)
            case "inverted":
                self.embedding = InvertedEmbedding(data, model, names, known)
        self.encoder = encoder(model)
        self.head: nn.Module
        if model.head == "decoder":
            self.head = DecoderHead(data, model, shape.columns, shape.forecast, names, known)
        elif model.tokens == "inverted":
            self.head = InvertedHead(model.d_model, data.pred_len, shape.outputs)
        else:
            kind = LinearHead if model.head == "linear" else StepLinearHead
            tokens = encoded_tokens(model, token_count(data, model))
            self.head = kind(tokens, model.d_model, data.pred_len, shape.forecast)

    def forward(self, values: Tensor, known: Tensor) -> Tensor:
        """Forecast (B, H, C_out) from values (B, L, C) and what is known (B, L + H, F + K)."""
        tokens = self.encoder(self.embedding(values, known))
        forecast: Tensor = self.head(tokens, values, known)
        return forecast


class Independent(nn.Module):
    """The same network for each forecast column, which sees its own past alone."""

    def __init__(self, config: RunConfig, shape: Shape) -> None:
        """Build one network for a single column."""
        super().__init__()
        self.outputs = shape.outputs
        self.network = Network(config, shape.single())

    def forward(self, values: Tensor, known: Tensor) -> Tensor:
        """Forecast (B, H, C_out) from values (B, L, C) and what is known (B, L + H, F + K)."""
        own = values[..., self.outputs]
        columns = own.shape[-1]
        folded = own.transpose(1, 2).flatten(0, 1).unsqueeze(-1)  # (B C_out, L, 1)
        forecast: Tensor = self.network(folded, known.repeat_interleave(columns, dim=0))
        return forecast.view(len(values), columns, -1).transpose(1, 2)
