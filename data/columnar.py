"""Tables of results as Parquet: numbers as numbers, moments as moments."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

Kind = Literal["whole", "number", "truth", "text", "moment"]

_TYPES: Mapping[Kind, pa.DataType] = {
    "whole": pa.int64(),
    "number": pa.float64(),
    "truth": pa.bool_(),
    "text": pa.string(),
    "moment": pa.timestamp("us", tz="UTC"),
}


def parquet(records: Iterable[Mapping[str, object]], kinds: Mapping[str, Kind]) -> bytes:
    """Return records as the content of a Parquet file.

    Args:
        records: rows; a value of None is missing. Moments are seconds since the epoch.
        kinds: the columns in order, and what they hold.
    """
    columns: dict[str, list[object]] = {name: [] for name in kinds}
    for record in records:
        for name, kind in kinds.items():
            columns[name].append(_cell(record[name], kind))
    # Built as they are, then cast: an array that is built in a type loses what does not fit it.
    table = pa.table({n: pa.array(columns[n]).cast(_TYPES[kind]) for n, kind in kinds.items()})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _cell(value: object, kind: Kind) -> object:
    if value is None:
        return None
    if kind == "moment":
        assert isinstance(value, int | float)
        return datetime.fromtimestamp(value, UTC)
    return bool(value) if kind == "truth" else value
