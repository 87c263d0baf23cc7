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
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow
from numpy.typing import NDArray

from data import dialect
from data.choices import Choices, Decimal
from data.dialect import Dialect, lines_of
from data.finding import Finding, option, shown
from data.registry import DataError
from data.table import MISSING, Cells, Odd, Table, parsed
from data.textfile import LONGEST_LINE, TextFile

MOST_ROWS = 20_000_000
MOST_CELLS = 200_000_000
_BATCH = 20_000  # rows that the csv module hands on at once
_BLANK = ["".join(case) for word in MISSING for case in {(word,), (word.upper(),), (word.title(),)}]
_CODED = (8, 10, 12, 13, 14)  # digits of numbers that may be dates, such as 20240131


class _Unsure(Exception):
    """Arrow could take this file for something else than it is."""


def read(path: Path, choices: Choices) -> Table:
    """Return the cells of a CSV file whose first line names the columns.

    Raises:
        DataError: there are no rows that could be looked at, or too much of something.
    """
    with TextFile(path, choices.encoding) as file:
        found = dialect.find(file.head(), choices)
    labels, unnamed = _labels(found.header)
    try:
        return _fast(path, choices, found, labels, unnamed)
    except _Unsure:
        return _exact(path, choices, found, labels, unnamed)


# -- columns as they come in --------------------------------------------------------------------


@dataclass
class _Column:
    """What was read of a column so far."""

    keep: bool | None  # whether it is kept as text; None: it was blank so far
    numbers: list[NDArray[np.float64]] = field(default_factory=list)
    texts: list[pa.Array] = field(default_factory=list)
    bad: Odd | None = None
    infinite: Odd | None = None

    def take(self, texts: pa.ChunkedArray, before: int, decimal: Decimal) -> None:
        """Take the next cells, which stand below `before` rows."""
        if self.keep is None:
            first = next((text for text in texts.to_pylist() if text), None)
            self.keep = None if first is None else _may_date(first)
        if self.keep is not False:
            self.texts.extend(texts.chunks)
        numbers, bad, infinite = parsed(texts, decimal)
        self.numbers.append(numbers)
        self.bad = _joined(self.bad, bad, before)
        self.infinite = _joined(self.infinite, infinite, before)

    def cells(self) -> Cells:
        """Return what is known about the column beside its numbers."""
        texts = pa.chunked_array(self.texts, pa.string()) if self.keep is not False else None
        return Cells(self.bad, self.infinite, texts)


def _joined(earlier: Odd | None, later: Odd | None, before: int) -> Odd | None:
    if later is not None:
        later = Odd(later.row + before, later.text, later.count)
    return later if earlier is None else earlier.and_then(later)


def _may_date(text: str) -> bool:
    """Tell text and long whole numbers, of which dates may be made, from other numbers."""
    if text.isdecimal():
        return len(text) in _CODED
    _, bad, _ = parsed(pa.chunked_array([[text]]))
    return bad is not None


def _table(
    file: TextFile,
    columns: dict[str, _Column],
    rows: int,
    lines: Sequence[int] | NDArray[np.int64],
    findings: Sequence[Finding],
    unnamed: Sequence[tuple[frozenset[str], Finding]],
) -> Table:
    values = np.empty((len(columns), rows))
    for into, column in zip(values, columns.values(), strict=True):
        np.concatenate(column.numbers, out=into)
        column.numbers.clear()
    cells = {name: column.cells() for name, column in columns.items()}
    return Table(cells, values, lines, file.sha256, findings, unnamed)


def _require_room(rows: int, columns: int) -> None:
    if rows > MOST_ROWS:
        raise DataError(
            f"The file has more than {MOST_ROWS:,} rows; take fewer of them, or a longer step."
        )
    if rows * columns > MOST_CELLS:
        raise DataError(
            f"The file has more than {MOST_CELLS:,} cells; keep the columns that are needed, or "
            "take fewer rows."
        )


# -- fast ---------------------------------------------------------------------------------------


def _fast(
    path: Path,
    choices: Choices,
    found: Dialect,
    labels: Sequence[str],
    unnamed: Sequence[tuple[frozenset[str], Finding]],
) -> Table:
    if found.skipped:
        raise _Unsure
    columns = {label: _Column(True if label == choices.date else None) for label in labels}
    rows = 0
    with TextFile(path, choices.encoding) as file:
        for block in _whole_lines(file, found.first_line - 1):
            table = _block(block, labels, columns, found.delimiter, choices.decimal)
            for label, column in columns.items():
                if pa.types.is_floating(table[label].type):
                    column.numbers.append(table[label].to_numpy())
                else:
                    column.take(table[label], rows, choices.decimal)
            rows += table.num_rows
            _require_room(rows, len(labels))
    if not rows:
        raise _Unsure
    lines = range(found.first_line, found.first_line + rows)
    return _table(file, columns, rows, lines, found.findings, unnamed)


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


def _block(
    block: str,
    labels: Sequence[str],
    columns: dict[str, _Column],
    delimiter: str,
    decimal: Decimal,
) -> pa.Table:
    """Return a block as columns of numbers, or of text without blanks around it."""
    if block.startswith("\ufeff") or block.count("\r") != block.count("\r\n"):
        raise _Unsure  # Arrow would drop a mark and end a line at a CR
    types = {n: pa.float64() if columns[n].keep is False else pa.string() for n in labels}
    content = pa.py_buffer(block.encode())
    try:
        table = _parsed_by_arrow(content, types, delimiter, decimal)
        odd = [n for n in labels if pa.types.is_floating(types[n]) and not _all_finite(table[n])]
    except pa.ArrowInvalid:
        odd = list(labels)
    if odd:
        types |= dict.fromkeys(odd, pa.string())
        try:
            table = _parsed_by_arrow(content, types, delimiter, decimal)
        except pa.ArrowInvalid:
            raise _Unsure from None
    if table.num_rows != block.count("\n") + 1:
        raise _Unsure
    for at, name in enumerate(labels):
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
        self.taken = 0  # characters since the last row

    def __iter__(self) -> Iterator[str]:
        rest = ""
        for text in self._file:
            lines = list(lines_of(rest + text))
            rest = lines.pop() if lines else ""  # it may go on, or an LF may follow its CR
            yield from self._fed(lines)
            self._require_short(rest)
        yield from self._fed([rest] if rest else [])

    def _fed(self, lines: Sequence[str]) -> Iterator[str]:
        for line in lines:
            self.number += 1
            if self.number < self._found.first_line or self.number in self._found.skipped:
                continue
            self.taken += len(line)
            self._require_short(line)
            yield line

    def _require_short(self, line: str) -> None:
        if max(len(line), self.taken) > LONGEST_LINE:
            raise DataError(
                f"The row on line {max(self.number, 1):,} is longer than {LONGEST_LINE:,} "
                "characters; a row for each time step is needed, and quotation marks closed."
            )


def _exact(
    path: Path,
    choices: Choices,
    found: Dialect,
    labels: Sequence[str],
    unnamed: Sequence[tuple[frozenset[str], Finding]],
) -> Table:
    columns = {label: _Column(True if label == choices.date else None) for label in labels}
    batch: list[list[str]] = []
    ends: list[int] = []
    misfits: list[tuple[int, list[str]]] = []  # the first and how it was, the others by line
    surplus = 0

    def hand_on() -> None:
        for name, cells in zip(labels, zip(*batch, strict=True), strict=True):
            texts = pa.chunked_array([pa.array([cell.strip() for cell in cells], pa.string())])
            columns[name].take(texts, len(ends) - len(batch), choices.decimal)
        batch.clear()

    with TextFile(path, choices.encoding) as file:
        lines = _Lines(file, found)
        reader = csv.reader(iter(lines), delimiter=found.delimiter, strict=True)
        try:
            for fields in reader:
                lines.taken = 0
                if len(fields) == len(labels):
                    batch.append(fields)
                    ends.append(lines.number)
                    _require_room(len(ends), len(labels))
                elif fields:
                    misfits = misfits or [(lines.number, fields)]
                    surplus += 1
                if len(batch) >= _BATCH:
                    hand_on()
        except csv.Error as error:
            raise DataError(
                f"Line {lines.number:,} cannot be read as CSV ({error}); look for a quotation mark "
                "that is not closed."
            ) from None
    if not ends:
        raise DataError(_no_rows(len(labels), misfits))
    if batch:
        hand_on()
    findings = [*found.findings, *_about_misfits(len(labels), misfits, surplus)]
    return _table(file, columns, len(ends), np.array(ends), findings, unnamed)


def _no_rows(width: int, misfits: Sequence[tuple[int, list[str]]]) -> str:
    if not misfits:
        return "There is no row below the column names; put one for each time step."
    line, fields = misfits[0]
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


def _about_misfits(
    width: int, misfits: Sequence[tuple[int, list[str]]], count: int
) -> list[Finding]:
    if not misfits:
        return []
    line, fields = misfits[0]
    also = f", and so it is on {count - 1:,} more lines" if count > 1 else ""
    return [
        Finding(
            "error",
            f"Line {line:,} has {len(fields)} fields where the header names {width}{also}; "
            "mend the file, in which a field with a separator in it needs quotation marks.",
            (option("--skip-line", str(line)),) if count == 1 else (),
        )
    ]


# -- names --------------------------------------------------------------------------------------


def _labels(
    header: Sequence[str],
) -> tuple[list[str], list[tuple[frozenset[str], Finding]]]:
    """Return a name of its own for every column, and what to do where the header has none."""
    labels: list[str] = []
    unnamed: list[tuple[frozenset[str], Finding]] = []
    taken: set[str] = set()
    for number, name in enumerate(header, 1):
        label = name or f"column {number}"
        label = f"{label} (column {number})" if label in taken else label
        labels.append(label)
        taken.add(label)
        if label != name:
            fault = f"Column {number} has the name {shown(name)} of an earlier one"
            finding = Finding(
                "error",
                f"{fault if name else f'Column {number} has no name'}; it is called "
                f"{shown(label)} here: leave it out, or name it in the file.",
                (option("--drop", label),),
            )
            unnamed.append((frozenset({label, name} if name else {label}), finding))
    return labels, unnamed
