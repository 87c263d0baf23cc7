"""A machine that has bundles and raw values, and does not know the data sets: it forecasts anew."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data import calendar
from data.registry import names
from data.series import Series
from data.windows import Windows
from informer.bundle import Bundle
from informer.config import RunConfig
from informer.metrics import Errors

Found = dict[str, float | str]


def all_forecasts(
    model: Callable[[Tensor, Tensor], Tensor], config: RunConfig, source: Series
) -> Found:
    """Return errors on both parts and a digest of all bits that were forecast, as training does."""
    data, found = config.data, Found()
    parts: tuple[Literal["val", "test"], ...] = ("val", "test")
    for split in parts:
        windows = Windows(source, split, data.seq_len, data.pred_len, torch.device("cpu"))
        errors, bits = Errors(), hashlib.sha256()
        with torch.inference_mode():
            for batch in windows.batches(2 * data.batch_size):
                forecast = model(batch.values, batch.known)
                bits.update(forecast.contiguous().numpy().tobytes())
                errors.add(forecast.double() - batch.target)
        found |= {f"{split}_mse": errors.mse, f"{split}_mae": errors.mae, split: bits.hexdigest()}
    return found


def read_again(folder: Path, table: Path) -> Found:
    """Return what a bundle forecasts from a table of raw values."""
    bundle = Bundle.read(folder)
    assert bundle.dataset.name not in names()
    frame = pd.read_csv(table, index_col=0, parse_dates=True, float_precision="round_trip")
    roles, dates = bundle.roles, pd.DatetimeIndex(frame.index)
    marks = calendar.encode(dates, bundle.dataset.frequency)
    known = bundle.known_scaler.transform(frame[list(roles.known)].to_numpy(np.float64))
    source = Series(
        dataset=bundle.dataset,
        roles=roles,
        values=bundle.scaler.transform(frame[list(roles.inputs)].to_numpy(np.float64)),
        known=np.concatenate((marks, known.astype(np.float32)), axis=1),
        scaler=bundle.scaler,
        known_scaler=bundle.known_scaler,
        dates=dates,
    )
    return all_forecasts(bundle.model("cpu"), bundle.config, source)


if __name__ == "__main__":
    torch.set_num_threads(1)
    *folders, values = map(Path, sys.argv[1:])
    print(json.dumps([read_again(folder, values) for folder in folders]))
