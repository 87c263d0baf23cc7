"""Small sets of trials and axes for the tests of the analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from informer.config import Value
from pages._parts.analysis.axes import Axis, axis

LR = "training.optimizer_params.lr"


def of(*errors: float | None, **columns: Sequence[Any]) -> pd.DataFrame:
    """Return trials of search 1 with these values of val_mse, as `results_frame` has them."""
    trials = len(errors)
    frame = pd.DataFrame(
        {
            "search": 1,
            "number": range(trials),
            "state": ["failed" if error is None else "completed" for error in errors],
            "source": "tpe",
            "accepted": [1.0, *[0.0] * (trials - 1)][:trials],
            "val_mse": np.array(errors, dtype=float),
        },
        index=[f"1.{number}" for number in range(trials)],
    )
    return frame.assign(**columns)


def along(key: str, values: Sequence[Value | None]) -> Axis:
    return axis(key, pd.Series(list(values)), key)


def drawn(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(trace for trace in figure["data"] if trace["name"] == name)


def grid(trials: int) -> tuple[pd.DataFrame, Axis, Axis]:
    rng = np.random.default_rng(1)
    errors = np.sort(rng.random(trials)) + 0.3
    x = along("model.dropout", (rng.random(trials) / 2).tolist())
    y = along("model.normalisation", rng.choice(["none", "revin"], trials).tolist())
    return of(*errors), x, y


def additive(trials: int) -> tuple[pd.DataFrame, pd.Series]:
    """Return settings whose effects on an error are known: strong, middle, weak and none."""
    rng = np.random.default_rng(3)
    settings = pd.DataFrame(
        {
            "none": rng.random(trials),
            "weak": rng.choice(["a", "b", "c"], trials),
            "strong": rng.random(trials),
            "middle": rng.integers(0, 4, trials),
            "constant": 7,
            "noisy": rng.choice([True, False], trials),
        }
    )
    effect = 6 * (settings["strong"] - 0.5) ** 2 + 0.2 * settings["middle"]
    effect += settings["weak"].map({"a": 0.0, "b": 0.25, "c": 0.1})
    return settings, 0.4 + effect + rng.normal(0, 0.05, trials)
