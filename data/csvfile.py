"""A CSV file as columns, read strictly: a line that does not fit its header is never shifted.

A sound file goes block by block through the reader of Arrow, which takes no quotation marks here.
Whatever Arrow could take for something else than the csv module - a quoted separator, a blank line,
a line with too many fields - ends that, and the csv module reads the whole file: slower, but it
knows the line of everything.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow

from data import dialect
from data.choices import Choices, Decimal
from data.columns import Columns
from data.dialect import Dialect, lines_of
from data.finding import Finding, option
from data.limits import LONGEST_LINE, require_short
from data.registry import DataError
from data.table import MISSING, Table
from data.textfile import TextFile

_BATCH = 20_000  # rows that the csv module hands on at once
_BLANK = ["".join(case) for word in MISSING for case in {(word,), (word.upper(),), (word.title(),)}]


class _Unsure(Exception):
    """Arrow could take this file for something else than it is."""


def read(path: Path, choices: Choices) -> Table:
    """Return the cells of a CSV file whose first line names the columns.

    Raises:
        DataError: there are no rows that could be looked at, or too much of something.
    """
    with TextFile(path, choices.encoding) as file:
        found = dialect.find(file.head(), choices)
    try:
        return _fast(path, choices, found)
    except _Unsure:
        return _exact(path, choices, found)


# -- fast ---------------------------------------------------------------------------------------


def _fast(path: Path, choices: Choices, found: Dialect) -> Table:
    if found.skipped:
        raise _Unsure
    columns = Columns(found.header, choices)
    with TextFile(path, choices.encoding) as file:
        for text in _whole_lines(file, found.first_line - 1):
            block = _block(text, columns, found.delimiter, choices.decimal)
            columns.take(block.columns, block.num_rows)
    if not columns.rows:
        raise _Unsure
    lines = range(found.first_line, found.first_line + columns.rows)
    return columns.table(lines, file.sha256, found.findings)


def _whole_lines(file: TextFile, passed_over: int) -> Iterator[str]:
    """Yield the text below the lines passed over, each time up to the end of a line.

    Blank lines at the end of the file belong to nothing and are left out.
    """
    rest = ""
    for text in file:
        text = rest + text
        if passed_over:
            above = list(itertools.islice(lines_of(text), passed_over))
            text = text[sum(map(len, above)) :]
            passed_over = 0
        kept = text[: text.rfind("\n") + 1].rstrip("\r\n")
        rest = text[len(kept) :]
        if kept:
            yield kept
            rest = rest.removeprefix("\r").removeprefix("\n")
        if len(rest) > LONGEST_LINE:
            raise _Unsure
    if rest.strip("\r\n"):
        yield rest


def _block(block: str, columns: Columns, delimiter: str, decimal: Decimal) -> pa.Table:
    """Return a block as columns of numbers, or of text without blanks around it."""
    if block.startswith("\ufeff") or block.count("\r") != block.count("\r\n"):
        raise _Unsure  # Arrow would drop a mark and end a line at a CR
    types = {
        name: pa.string() if columns.as_text(at) else pa.float64()
        for at, name in enumerate(columns.names)
    }
    content = pa.py_buffer(block.encode())
    try:
        table = _parsed_by_arrow(content, types, delimiter, decimal)
        odd = [n for n in types if pa.types.is_floating(types[n]) and not _all_finite(table[n])]
    except pa.ArrowInvalid:
        odd = list(types)
    if odd:
        types |= dict.fromkeys(odd, pa.string())
        try:
            table = _parsed_by_arrow(content, types, delimiter, decimal)
        except pa.ArrowInvalid:
            raise _Unsure from None
    if table.num_rows != block.count("\n") + 1:
        raise _Unsure
    for at, name in enumerate(types):
        if pa.types.is_string(types[name]):
            texts = _unquoted(table[name]) if '"' in block else table[name]
            table = table.set_column(at, name, pc.utf8_trim_whitespace(texts))
    return table


def _parsed_by_arrow(
    content: pa.Buffer, types: dict[str, pa.DataType], delimiter: str, decimal: Decimal
) -> pa.Table:
    return arrow.read_csv(
        pa.BufferReader(content),
        arrow.ReadOptions(column_names=list(types), block_size=1 << 22),
        arrow.ParseOptions(delimiter=delimiter, quote_char=False, double_quote=False),
        arrow.ConvertOptions(
            column_types=types,
            null_values=_BLANK,
            strings_can_be_null=False,
            decimal_point=decimal,
        ),
    )


def _all_finite(numbers: pa.ChunkedArray) -> bool:
    """Tell whether every number is finite, where one was written."""
    return bool(pc.all(pc.is_finite(numbers), min_count=0).as_py())


def _unquoted(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return cells without the quotation marks around them."""
    quoted = pc.match_substring(texts, '"')
    if not pc.any(quoted, min_count=0).as_py():
        return texts
    whole = pc.match_substring_regex(texts, '^"[^"]*"$')
    if not pc.all(pc.equal(quoted, whole), min_count=0).as_py():
        raise _Unsure
    return pc.replace_substring(texts, '"', "")


# -- exact --------------------------------------------------------------------------------------


class _Lines:
    """The lines of a file, of which the csv module takes one after another."""

    def __init__(self, file: TextFile, found: Dialect) -> None:
        self._file, self._found = file, found
        self.number = 0  # of the line taken last
        self.began = 0  # line on which the row begins
        self.taken = 0  # characters since the last row

    def __iter__(self) -> Iterator[str]:
        rest = ""
        for text in self._file:
            lines = list(lines_of(rest + text))
            rest = lines.pop() if lines else ""  # it may go on, or an LF may follow its CR
            yield from self._fed(lines)
            require_short(self.number + 1, len(rest))
        yield from self._fed([rest] if rest else [])

    def _fed(self, lines: Sequence[str]) -> Iterator[str]:
        for line in lines:
            self.number += 1
            if self.number < self._found.first_line or self.number in self._found.skipped:
                continue
            if not self.taken:
                self.began = self.number
            self.taken += len(line)
            require_short(self.began, self.taken)
            yield line


def _exact(path: Path, choices: Choices, found: Dialect) -> Table:
    columns = Columns(found.header, choices)
    width = len(columns.names)
    batch: list[list[str]] = []
    ends: list[int] = []
    misfit: tuple[int, list[str]] | None = None  # the first
    misfits = 0
    with TextFile(path, choices.encoding) as file:
        lines = _Lines(file, found)
        reader = csv.reader(iter(lines), delimiter=found.delimiter, strict=True)
        try:
            for fields in reader:
                lines.taken = 0
                if len(fields) == width:
                    batch.append(fields)
                    ends.append(lines.number)
                elif fields:
                    misfit = misfit or (lines.number, fields)
                    misfits += 1
                if len(batch) >= _BATCH:
                    columns.take(_as_arrow(batch), len(batch))
                    batch.clear()
        except csv.Error as error:
            raise DataError(
                f"The row on line {lines.began:,} cannot be read as CSV ({error}); look for a "
                "quotation mark that is not closed."
            ) from None
    if not ends:
        raise DataError(_no_rows(width, misfit))
    if batch:
        columns.take(_as_arrow(batch), len(batch))
    findings = [*found.findings, *_about_misfits(width, misfit, misfits)]
    return columns.table(np.array(ends), file.sha256, findings)


def _as_arrow(rows: Sequence[Sequence[str]]) -> list[pa.ChunkedArray]:
    columns = zip(*rows, strict=True)
    return [pa.chunked_array([[cell.strip() for cell in cells]], pa.string()) for cells in columns]


def _no_rows(width: int, misfit: tuple[int, list[str]] | None) -> str:
    if misfit is None:
        return "There is no row below the column names; put one for each time step."
    line, fields = misfit
    why = "put one row for each time step below the line of column names"
    if len(fields) == width + 1:
        why = (
            "delete the separator at the end of the lines, or put one behind the column names"
            if not fields[-1].strip()
            else "name every column in the first line"
        )
    return (
        f"No line has the {width} fields that the header names (line {line:,} has {len(fields)}); "
        f"{why}."
    )


def _about_misfits(width: int, misfit: tuple[int, list[str]] | None, count: int) -> list[Finding]:
    if misfit is None:
        return []
    line, fields = misfit
    also = f", and so it is on {count - 1:,} more lines" if count > 1 else ""
    return [
        Finding(
            "error",
            f"Line {line:,} has {len(fields)} field{'s' * (len(fields) > 1)} where the header "
            f"names {width}{also}; "
            "mend the file, in which a field with a separator in it needs quotation marks.",
            (option("--skip-line", str(line)),) if count == 1 else (),
        )
    ]
