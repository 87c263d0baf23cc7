"""The errors that a trained model makes on a part of its data, and the intervals they allow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from data.series import Series
from data.splits import Split, rows
from data.windows import Windows
from informer.config import RunConfig
from informer.intervals import Errors, Intervals, calibrated, spread

NUMBERS = 8_000_000
"""Of errors that are kept: of a part with more, windows at equal distances are taken."""

Forecast = Callable[[Tensor, Tensor], Tensor]


def intervals(forecast: Forecast, source: Series, config: RunConfig, device: str) -> Intervals:
    """Return intervals calibrated on the validation part, with their coverage of the test part.

    Args:
        forecast: a trained model in eval mode, from values (B, L, C) and what is known.
        source: the data that it was trained on.
        config: of the model.
        device: where the model is.
    """
    training = rows(source.dataset, "train", config.data.seq_len)
    return calibrated(
        residuals(forecast, source, config, "val", device),
        test=residuals(forecast, source, config, "test", device),
        trained_until=source.dates[training.stop - 1].to_pydatetime(),
    )


def residuals(
    forecast: Forecast, source: Series, config: RunConfig, part: Split, device: str
) -> Errors:
    """Return truth less forecast over the windows of a part, see `NUMBERS`."""
    data = config.data
    windows = Windows(source, part, data.seq_len, data.pred_len, torch.device(device))
    columns = len(source.roles.forecast)
    apart = math.ceil(len(windows) * data.pred_len * columns / NUMBERS)
    values, spreads = [], []
    with torch.inference_mode():
        for chosen in torch.split(torch.arange(0, len(windows), apart), 2 * data.batch_size):
            batch = windows.batch(chosen.to(windows.device))
            error = batch.target.double() - forecast(batch.values, batch.known).double()
            values.append(error.cpu().numpy())
            spreads.append(spread(batch.values[..., source.outputs].cpu().numpy()))
    return Errors(np.concatenate(values), np.concatenate(spreads), apart)
