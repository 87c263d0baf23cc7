"""A sound bundle without a training: what its files say, and weights that nobody reads."""

from __future__ import annotations

import functools
import json

import numpy as np

from data.registry import DATASETS
from data.splits import Scaler
from informer.bundle_format import (
    DataFacts,
    Mean,
    Metrics,
    Scale,
    SeedErrors,
    _published_choices,
)
from informer.config import RunConfig


@functools.cache
def bundle() -> str:
    """Return the files of a sound bundle as JSON, the manifest, which follows them, left out."""
    dataset = DATASETS["synthetic"]
    config = RunConfig().with_changes({"data.dataset": "synthetic", "data.pred_len": 24})
    scale = Scale.of(Scaler(np.zeros(len(dataset.columns)), np.ones(len(dataset.columns))))
    facts = DataFacts(
        name=dataset.name,
        description=dataset.description,
        columns=dataset.columns,
        past_only=dataset.past_only,
        known_future=dataset.known_future,
        target=dataset.target,
        frequency=dataset.frequency,
        season=dataset.season,
        split_rows=dataset.split_rows,
        origin="generated",
        url=None,
        sha256="",
        generated=None,
        source="",
        licence="",
        citation="",
        scaling=dataset.scaling,
        scaler=scale,
        known_scaler=Scale.of(Scaler(np.zeros(0), np.ones(0))),
        choices=_published_choices(dataset),
    )
    errors = SeedErrors(
        seed=1,
        val_mse=0.4,
        val_mae=0.4,
        test_mse=0.3,
        test_mae=0.3,
        best_epoch=2,
        epochs=3,
        seconds=9.0,
        device="cpu",
    )
    mean = Mean(mean=0.4, spread=None)
    metrics = Metrics(
        search="A search",
        trial=3,
        trials_looked_at=5,
        seeds=(errors,),
        weights_seed=1,
        val_mse=mean,
        val_mae=mean,
        test_mse=mean,
        test_mae=mean,
        windows="all windows",
        baselines=(),
        noise=None,
        verdict=None,
        parameters=100,
    )
    texts = {
        "README.md": "# A model",
        "config.json": config.model_dump_json(),
        "data.json": facts.model_dump_json(),
        "metrics.json": metrics.model_dump_json(),
        "exchange.md": "# Transcript",
        "model.safetensors": "weights",
        "predict.py": "print()",
    }
    return json.dumps(texts)
