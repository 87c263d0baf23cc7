"""Reads a file from outside, whatever it is: CSV or Parquet, told by content and not by name."""

from __future__ import annotations

import tempfile
from pathlib import Path

from data import csvfile, parquetfile
from data.choices import Choices
from data.openfile import Unchanged
from data.registry import DataError
from data.table import Table

_PACKED = {
    b"\x1f\x8b": ("compressed by gzip", "unpack it"),
    b"PK\x03\x04": ("a zip archive or a workbook", "unpack it, or save the sheet as CSV"),
    b"PK\x05\x06": ("an empty zip archive", "name a CSV or Parquet file"),
    b"\xfd7zXZ\x00": ("compressed by xz", "unpack it"),
    b"BZh": ("compressed by bzip2", "unpack it"),
    b"\x28\xb5\x2f\xfd": ("compressed by Zstandard", "unpack it"),
    b"\x04\x22\x4d\x18": ("compressed by LZ4", "unpack it"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it"),
    b"Rar!\x1a\x07": ("a rar archive", "unpack it"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an old Office document", "save the sheet as CSV"),
    b"%PDF-": ("a PDF document", "export its table as CSV"),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", "export its table as CSV or Parquet"),
    b"ARROW1": ("an Arrow file", "save it as Parquet"),
    b"SQLite format 3\x00": ("an SQLite database", "export its table as CSV"),
    b"\x80\x04\x95": ("a pickle, which could run code", "save the table as CSV or Parquet"),
    b"\x80\x05\x95": ("a pickle, which could run code", "save the table as CSV or Parquet"),
}


def reading(choices: Choices) -> Choices:
    """Return the choices that decide how a file is read; a change of others needs no new reading.

    Two tables of one file are the same where these are.
    """
    return Choices(
        encoding=choices.encoding,
        delimiter=choices.delimiter,
        decimal=choices.decimal,
        skip_lines=choices.skip_lines,
        missing=choices.missing,
        date=choices.date,
        time=choices.time,
    )


def read(path: Path, choices: Choices | None = None) -> Table:
    """Return the cells of a file, which is never changed; nothing in it is ever run.

    Args:
        path: of a file on this machine.
        choices: how it is read, see `reading`.

    Raises:
        DataError: it is no file that can be read, too big, or has no rows that could be looked at.
    """
    choices = choices or Choices()
    with Unchanged(path) as file:
        start = file.read(32)
    for magic, (what, remedy) in _PACKED.items():
        if start.startswith(magic):
            raise DataError(f"The file is {what}; {remedy} first.")
    if start.startswith(parquetfile.MAGIC):
        return parquetfile.read(path, choices)
    return csvfile.read(path, choices)


def read_bytes(content: bytes, choices: Choices | None = None) -> Table:
    """Return the cells of a file that is in memory; raises DataError as `read` does."""
    with tempfile.NamedTemporaryFile(prefix="intake-") as file:
        file.write(content)
        file.flush()
        return read(Path(file.name), choices)
