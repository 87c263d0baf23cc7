"""A CSV file as rows of text, read strictly: a line that does not fit its header is never shifted.

pandas reads a file whose lines all have one field too many as if its first column were an index,
without a word. The lines are therefore taken by the csv module and counted here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.finding import Finding, option, shown
from data.registry import DataError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


@dataclass(frozen=True)
class Table:
    """The cells of a file, without blanks around them."""

    cells: pd.DataFrame  # (T, C) of text; every column has a name of its own
    lines: NDArray[np.int64]  # (T,) line of the file on which a row ends
    findings: list[Finding]


def read(content: bytes, drop: Collection[str] = ()) -> Table:
    """Return the cells of a CSV file whose first line names the columns.

    Args:
        content: of the file, in UTF-8.
        drop: columns that will be left out, about whose names nothing needs to be said.

    Raises:
        DataError: there are no rows that could be looked at.
    """
    text = _decoded(content)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []
    misfits: list[tuple[int, int]] = []  # line, fields
    try:
        for fields in reader:
            if not fields:
                continue  # a blank line
            if header is None:
                header = [field.strip() for field in fields]
            elif len(fields) == len(header):
                rows.append([field.strip() for field in fields])
                lines.append(reader.line_num)
            else:
                misfits.append((reader.line_num, len(fields)))
    except csv.Error as error:
        raise DataError(
            f"Line {reader.line_num:,} cannot be read as CSV ({error}); look for a quotation mark "
            "that is not closed."
        ) from None
    if header is None:
        raise DataError("The file is empty; it needs a line of column names and rows below it.")
    if not rows:
        raise DataError(
            f"No line has the {len(header)} fields that the header names"
            + (f" (line {misfits[0][0]:,} has {misfits[0][1]})" if misfits else "")
            + "; put one row for each time step below the line of column names."
        )
    labels, found = _labels(header, drop)
    found += _about_layout(header, delimiter, misfits)
    return Table(pd.DataFrame(rows, columns=labels, dtype=str), np.array(lines), found)


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"Line {line:,} is not UTF-8 (byte 0x{content[error.start]:02x}); save the file with "
            "the encoding UTF-8."
        ) from None


def _delimiter(text: str) -> str:
    """Return what occurs most often in the header; a comma where nothing does."""
    header = text.lstrip("\r\n").splitlines()[:1]
    counts = {delimiter: "".join(header).count(delimiter) for delimiter in DELIMITERS}
    return max(counts, key=counts.__getitem__)


def _labels(header: list[str], drop: Collection[str]) -> tuple[list[str], list[Finding]]:
    """Return a name of its own for every column, and what to do where the header has none."""
    labels: list[str] = []
    found: list[Finding] = []
    for number, name in enumerate(header, 1):
        label = name or f"column {number}"
        label = f"{label} (column {number})" if label in labels else label
        labels.append(label)
        settled = {label, name} if name else {label}
        if label != name and not settled.intersection(drop):
            fault = f"Column {number} has the name {shown(name)} of an earlier one"
            found.append(
                Finding(
                    "error",
                    f"{fault if name else f'Column {number} has no name'}; it is called "
                    f"{shown(label)} here: leave it out, or name it in the file.",
                    (option("--drop", label),),
                )
            )
    return labels, found


def _about_layout(
    header: list[str], delimiter: str, misfits: list[tuple[int, int]]
) -> list[Finding]:
    found = []
    if delimiter != ",":
        found.append(Finding("info", f"Fields are separated by {DELIMITERS[delimiter]}."))
    if all(any(sign.isdigit() for sign in name) and not _is_word(name) for name in header):
        found.append(
            Finding(
                "error",
                f"The first line ({shown(delimiter.join(header))}) holds values; put a line of "
                "column names above it.",
            )
        )
    if misfits:
        line, count = misfits[0]
        also = f", and so it is on {len(misfits) - 1:,} more lines" if len(misfits) > 1 else ""
        found.append(
            Finding(
                "error",
                f"Line {line:,} has {count} fields where the header names {len(header)}{also}; "
                "mend the file, in which a field with a separator in it needs quotation marks.",
            )
        )
    return found


def _is_word(name: str) -> bool:
    """Tell a name such as `sensor2` from a value such as `1e5` or `2020-01-01T00:00Z`."""
    return name[:1].isalpha() or name[:1] == "_"
