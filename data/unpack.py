"""Unpacks a Parquet file into plain columns: `python -m data.unpack FILE ARROW_FILE`.

A process of its own, see `data/parquetfile.py`, with a limit on its memory and its time.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from data.finding import shown
from data.limits import require_room
from data.registry import DataError

SECONDS = 120
MOST_MEMORY = 3_000_000_000
"""Bytes of address space that the process may have."""
MOST_UNPACKED = 4_000_000_000
REFUSED, BROKEN = 3, 4
"""Exit codes: a sentence is on stdout; Arrow cannot read the file."""
_BATCH = 65_536


def unpack(path: Path, unpacked: Path) -> None:
    """Write the columns of a Parquet file as float64 and text into an Arrow file.

    Raises:
        DataError: a column cannot be taken, or there is too much.
        pa.ArrowException: the file is damaged.
    """
    with parquet.ParquetFile(path) as file:
        kept = file.schema_arrow
        require_room(file.metadata.num_rows, len(kept))
        if size := sum(
            file.metadata.row_group(at).total_byte_size for at in range(file.num_row_groups)
        ):
            _require_memory(size)
        for field in kept:
            _require_plain(field)
        names = [str(name) for name in kept.names]
        schema = pa.schema([(n, _plain_type(f.type)) for n, f in zip(names, kept, strict=True)])
        rows = size = 0
        with pa.OSFile(str(unpacked), "wb") as sink, pa.ipc.new_file(sink, schema) as out:
            for batch in file.iter_batches(_BATCH, use_threads=False):
                made = [
                    _plain(column, name) for column, name in zip(batch.columns, names, strict=True)
                ]
                block = pa.record_batch(made, schema=schema)
                rows, size = rows + block.num_rows, size + block.nbytes
                require_room(rows, len(names))
                _require_memory(size)
                out.write_batch(block)


def _require_memory(size: int) -> None:
    if size > MOST_UNPACKED:
        raise DataError(
            f"The file unpacks to more than {MOST_UNPACKED / 1e9:g} GB; take fewer rows or columns."
        )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _require_plain(field: pa.Field) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    timed = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if not (_is_number(kind) or _is_text(kind) or timed):
        raise DataError(
            f"Column {shown(str(field.name))} holds {shown(str(kind), 60)}; save the file without "
            "it: a data set has numbers, and one column of dates."
        )


def _plain_type(kind: pa.DataType) -> pa.DataType:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.float64() if _is_number(kind) else pa.string()


def _plain(column: pa.Array, name: str) -> pa.Array:
    """Return a column as float64 or as text; times as ISO 8601, those with a zone in UTC."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        try:
            column = column.cast(pa.timestamp("us", column.type.tz and "UTC"))
        except pa.ArrowInvalid:
            raise DataError(
                f"Column {shown(name)} holds times finer than a microsecond; round them first."
            ) from None
    if not _is_number(column.type):
        return pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))
    return column.cast(pa.float64(), safe=False)


def main(arguments: Sequence[str]) -> int:
    """Unpack one file into another; the exit code says how it went."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    pa.set_cpu_count(1)
    try:
        unpack(*map(Path, arguments))
    except DataError as error:
        sys.stdout.write(str(error))
        return REFUSED
    except (MemoryError, pa.ArrowMemoryError):
        return 1
    except (pa.ArrowException, OSError, ValueError):
        return BROKEN
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
