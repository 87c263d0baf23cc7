"""What the data of a task are like in a few figures, by which tasks are told to be alike.

What is measured is in the training part; only the drift looks at the validation part too. Test rows
are never looked at. Work is bounded: at most `MOST_COLUMNS` columns, and of the training part its
newest `MOST_ROWS` rows.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from data.registry import Dataset, Features

MOST_COLUMNS = 16
MOST_ROWS = 20_000
LEAST_STRENGTH = 0.1
"""Strength of a season below which there is none."""


class Traits(BaseModel):
    """Figures of the columns that are forecast; strengths and drift are means over them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rows: int = Field(ge=1)  # of the training part
    columns: int = Field(ge=1)
    step_seconds: float = Field(gt=0)
    period: int | None = Field(None, ge=2)  # steps of the strongest season; None: there is none
    season: float = Field(ge=0, le=1)  # strength, see `profile.strength`
    trend: float = Field(ge=0, le=1)
    drift: float = Field(ge=0, le=1)  # training to validation, Kolmogorov and Smirnov's distance


def traits(dataset: Dataset, features: Features, target: str) -> Traits:
    """Return what the data of a task are like.

    Raises:
        DataError: the data cannot be had.
    """
    # Imported here: whoever reads figures that were measured before needs no pandas.
    import numpy as np

    from data.profile import drift, main_seasons, strength
    from data.source import values_of

    frame = values_of(dataset)
    names = dataset.roles(features, target).forecast
    looked_at = list(names[:: -(-len(names) // MOST_COLUMNS)])
    training, validation, _ = dataset.split_rows
    values = frame[looked_at].to_numpy(np.float64)[: training + validation]
    known = values[max(0, training - MOST_ROWS) : training]
    usual = main_seasons(dataset.frequency, len(known))
    named = (dataset.season,) if 1 < dataset.season <= len(known) // 2 else ()
    found = [
        [strength(column, steps) for column in known.T] for steps in dict.fromkeys(named + usual)
    ]
    season = max(found, key=lambda each: np.mean([s.season for s in each]), default=[])
    strong = float(np.mean([s.season for s in season])) if season else 0.0
    distances = [d.distance for d in drift(values, looked_at, (training, validation, 0))]
    return Traits(
        rows=training,
        columns=len(names),
        step_seconds=_step_seconds(dataset.frequency),
        period=season[0].steps if season and strong >= LEAST_STRENGTH else None,
        season=strong,
        trend=float(np.mean([s.trend for s in season])) if season else 0.0,
        drift=float(np.mean(distances)) if distances else 0.0,
    )


def _step_seconds(frequency: str) -> float:
    """Return the seconds of a step, of months and years in the middle."""
    import pandas as pd

    from data.dates import offset

    dates = pd.date_range("2024-01-01", periods=13, freq=offset(frequency))
    return float((dates[-1] - dates[0]).total_seconds() / 12)
