"""Bundles whose models were never trained: their forecasts are as definite, and take no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save

from data.choices import Choices
from data.registry import Dataset, Features, bringing
from data.series import Series, prepared
from informer.bundle import Bundle
from informer.bundle_format import (
    CARD,
    CONFIG,
    DATA,
    EXCHANGE,
    INTERVALS,
    MANIFEST,
    METRICS,
    SCRIPT,
    WEIGHTS,
    DataFacts,
    Manifest,
    Mean,
    Metrics,
    SeedErrors,
)
from informer.config import RunConfig, Value, from_flat
from informer.intervals import calibrated
from informer.model import Informer

LINEAR: dict[str, Value] = {
    "data.seq_len": 8,
    "data.label_len": 0,
    "data.pred_len": 4,
    "model.e_layers": 0,
    "model.skip": True,
    "model.head": "linear",
    "model.distil": False,
}


def rows(count: int, frequency: str = "h", start: str = "2024-01-01") -> pd.DataFrame:
    """Return three columns that vary, under the index `date`."""
    index = pd.date_range(start, periods=count, freq=frequency, name="date")
    values = np.random.default_rng(3).normal(size=(count, 3)).cumsum(axis=0).round(3)
    return pd.DataFrame(values, index, columns=["load", "wind", "price"])


def dataset_of(
    frame: pd.DataFrame,
    *,
    frequency: str = "h",
    past_only: tuple[str, ...] = (),
    known_future: tuple[str, ...] = (),
) -> Dataset:
    """Return the facts of a table, which is cut into 60 %, 20 % and 20 %."""
    part = len(frame) // 5
    return Dataset(
        name="mine",
        description="of a test",
        columns=tuple(frame.columns),
        target=str(frame.columns[0]),
        frequency=frequency,
        season=2,
        split_rows=(len(frame) - 2 * part, part, part),
        past_only=past_only,
        known_future=known_future,
    )


def bundle_of(
    folder: Path,
    dataset: Dataset,
    frame: pd.DataFrame,
    features: Features = "M",
    choices: Choices | None = None,
    changes: dict[str, Value] | None = None,
) -> tuple[Bundle, Series]:
    """Write and read a bundle; return it and the series that it is of."""
    with bringing(dataset):
        config = from_flat(
            LINEAR
            | {"data.dataset": "mine", "data.features": features, "data.target": dataset.target}
            | {"training.device": "cpu"}
            | (changes or {})
        )
        torch.manual_seed(5)
        weights = Informer(config).state_dict()
    source = prepared(dataset, frame, features, dataset.target)
    facts = DataFacts.of(source).model_copy(update={"choices": choices or Choices(date="date")})
    folder.mkdir()
    files = {
        WEIGHTS: save(weights),
        CONFIG: config.model_dump_json().encode(),
        DATA: facts.model_dump_json().encode(),
        METRICS: _metrics().model_dump_json().encode(),
        INTERVALS: _intervals(config, source).encode(),
        **{name: b"" for name in (EXCHANGE, CARD, SCRIPT)},
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / MANIFEST).write_text(Manifest.of("now", None, files).text())
    return Bundle.read(folder), source


def _intervals(config: RunConfig, source: Series) -> str:
    generator = np.random.default_rng(9)
    columns = len(source.roles.forecast)
    errors = generator.normal(size=(40, config.data.pred_len, columns))
    spreads = generator.uniform(0.5, 1.5, size=(40, columns))
    training = source.dataset.split_rows[0]
    return calibrated(
        errors,
        spreads,
        test=(errors, spreads, 1),
        trained_until=source.dates[training - 1].to_pydatetime(),
    ).model_dump_json()


def _metrics() -> Metrics:
    one = Mean.of([1.0])
    errors = dict.fromkeys(("val_mse", "val_mae", "test_mse", "test_mae"), 1.0)
    seed = SeedErrors(seed=1, **errors, best_epoch=1, epochs=1, seconds=1.0, device="cpu")
    return Metrics(
        search="a test",
        trial=0,
        trials_looked_at=1,
        seeds=(seed,),
        weights_seed=1,
        **dict.fromkeys(("val_mse", "val_mae", "test_mse", "test_mae"), one),
        windows="all windows",
        baselines=(),
        noise=None,
        verdict=None,
        parameters=1,
    )
