"""The file of a data set of the user's own: Parquet, which keeps every bit of a float64.

It was written here and its sha256 is checked before it is read, so that it is read in this process.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from data.registry import DataError

_ROWS = 1 << 20  # that are written at once


def write(path: Path, frame: pd.DataFrame) -> None:
    """Write a table of float64 (T, C) under the index `date`; raises OSError."""
    schema = pa.schema(
        [("date", pa.timestamp("us")), *((str(name), pa.float64()) for name in frame.columns)]
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as file:
        for start in range(0, len(frame), _ROWS):
            part = frame.iloc[start : start + _ROWS]
            dates = pd.DatetimeIndex(part.index).to_numpy().astype("datetime64[us]")
            values = [pa.array(column) for column in part.to_numpy(np.float64).T]
            file.write_table(pa.table([pa.array(dates), *values], schema=schema))


def read(file: BinaryIO, path: Path) -> pd.DataFrame:
    """Return the table of an open file, with `date` as its first column; raises DataError."""
    try:
        # What a file says of itself beside its columns is nobody's choice here.
        frame: pd.DataFrame = parquet.ParquetFile(file).read().to_pandas(ignore_metadata=True)
    except (OSError, pa.ArrowException) as error:
        cause = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a Parquet file ({cause}); replace it.") from None
    return frame
