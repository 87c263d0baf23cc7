"""A generated data set for trying things out where no file can be had. It is not measured."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.registry import Dataset

ROWS = 17_420
START = "2016-07-01"
SEED = 20_160_701


def generate(dataset: Dataset) -> pd.DataFrame:
    """Return `ROWS` time steps of the columns of `dataset`; every call gives the same numbers.

    Three hidden series, each with a daily and a weekly season, a slow drift and autoregressive
    noise, are mixed into the columns, which makes them correlated; each adds its own noise.
    """
    generator = np.random.default_rng(SEED)
    hidden, columns = 3, len(dataset.columns)
    hour = np.arange(ROWS, dtype=np.float64)[:, None]  # (T, 1)
    phase = generator.uniform(0, 2 * np.pi, (4, hidden))
    daily = np.sin(2 * np.pi * hour / 24 + phase[0]) + 0.4 * np.sin(
        4 * np.pi * hour / 24 + phase[1]
    )
    weekly = 0.5 * np.sin(2 * np.pi * hour / 168 + phase[2])
    drift = 1.5 * np.sin(2 * np.pi * hour / ROWS + phase[3])
    latent = daily + weekly + drift + 0.6 * _autoregressive(generator, hidden, 0.95)  # (T, 3)
    mixed = latent @ generator.normal(size=(hidden, columns))
    mixed += 0.3 * _autoregressive(generator, columns, 0.5)
    level, scale = generator.uniform(-2, 12, columns), generator.uniform(0.5, 6, columns)
    dates = pd.date_range(START, periods=ROWS, freq=dataset.frequency, name="date")
    return pd.DataFrame(level + scale * mixed, index=dates, columns=list(dataset.columns))


def _autoregressive(generator: np.random.Generator, columns: int, memory: float) -> np.ndarray:
    """Return unit-variance noise (T, columns) of which each step keeps `memory` of the last."""
    noise = generator.normal(size=(ROWS, columns))
    noise[1:] *= np.sqrt(1 - memory**2)
    for step in range(1, ROWS):
        noise[step] += memory * noise[step - 1]
    return noise
