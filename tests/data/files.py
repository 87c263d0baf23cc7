"""CSV files for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.choices import Choices
from data.intake import read_bytes
from data.quality import Report, inspect


def table(rows: int = 400, frequency: str = "h", start: str = "2024-01-01") -> pd.DataFrame:
    """Return two columns that vary, indexed by `time`."""
    generator = np.random.default_rng(1)
    index = pd.date_range(start, periods=rows, freq=frequency, name="time")
    return pd.DataFrame(generator.normal(size=(rows, 2)).round(4), index, columns=["a", "b"])


def csv(frame: pd.DataFrame, **options: str) -> bytes:
    """Return a table as the content of a CSV file."""
    return frame.to_csv(**options).encode()


def mine() -> bytes:
    """Return a file with a gap, missing values, a constant column and one known in advance."""
    frame = table(600)
    frame["site"] = 7.0
    frame["holiday"] = (pd.DatetimeIndex(frame.index).day_of_week == 6).astype(float)
    frame.iloc[50:53, 1] = np.nan
    return csv(frame.drop(frame.index[200:206]))


def check(
    content: bytes, choices: Choices | None = None, seq_len: int = 96, pred_len: int = 24
) -> Report:
    """Return what is wrong with the content of a file."""
    return inspect(read_bytes(content, choices), choices, seq_len, pred_len)
