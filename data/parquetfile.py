"""A Parquet file as columns, unpacked by a process of its own whose memory and time are bounded.

What such a file unpacks to is not known from its size, and much code in C++ touches its bytes. The
process, `data/unpack.py`, leaves an Arrow file with nothing but numbers and text in it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa

from data.choices import Choices
from data.columns import Columns
from data.limits import BLOCK
from data.openfile import Unchanged
from data.registry import DataError
from data.table import Table
from data.unpack import BROKEN, MOST_MEMORY, REFUSED, SECONDS

MAGIC = b"PAR1"


def read(path: Path, choices: Choices) -> Table:
    """Return the cells of a Parquet file.

    Raises:
        DataError: it is damaged, too big, or has a column that is neither numbers, dates nor text.
    """
    with tempfile.TemporaryDirectory(prefix="intake-") as folder, Unchanged(path) as file:
        unpacked = Path(folder) / "unpacked.arrow"
        digest = hashlib.sha256()
        while content := file.read(BLOCK):
            digest.update(content)
        _unpack_apart(path.absolute(), unpacked)
        with pa.memory_map(str(unpacked)) as source, pa.ipc.open_file(source) as batches:
            columns = Columns(batches.schema.names, choices)
            for at in range(batches.num_record_batches):
                batch = batches.get_batch(at)
                batch.validate()
                columns.take([pa.chunked_array([c]) for c in batch.columns], batch.num_rows)
            if not columns.rows:
                raise DataError("The file has no rows; one for each time step is needed.")
            return columns.table(None, digest.hexdigest(), ())


def _unpack_apart(path: Path, unpacked: Path) -> None:
    try:
        ended = subprocess.run(  # noqa: S603
            (sys.executable, "-m", "data.unpack", str(path), str(unpacked)),
            cwd=Path(__file__).parents[1],
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise DataError(
            f"The file could not be unpacked within {SECONDS:g} s; take fewer rows or columns."
        ) from None
    if ended.returncode == REFUSED:
        raise DataError(ended.stdout.decode())
    if ended.returncode == BROKEN:
        raise DataError("The file begins as a Parquet file and is damaged; write it again.")
    if ended.returncode:
        raise DataError(
            f"The file could not be unpacked in {MOST_MEMORY / 1e9:g} GB of memory (exit code "
            f"{ended.returncode}); take fewer rows or columns, or save it as CSV."
        )
