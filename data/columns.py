"""Gathers the columns of a file as they come in, block by block, into a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.choices import Choices, Decimal
from data.finding import Finding, option, shown
from data.limits import require_room
from data.table import Cells, Floats, Markers, Odd, Table, bounded, parsed

LONGEST_NAME = 200
"""Characters of the name of a column; it is shown, stored and told to language models."""
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+"
)
"""Controls, and marks that hide or reorder what follows: no part of a name."""
_CODED = (8, 10, 12, 13, 14)  # digits of numbers that may be dates, such as 20240131


class Columns:
    """The columns of a file, each with a name of its own.

    Args:
        header: names in the file, blank or repeated ones among them.
        choices: the columns of dates and times are kept as text whatever they hold; decimals
            follow its sign in numbers that come as text; and some cells stand for no value.
    """

    def __init__(self, header: Sequence[str], choices: Choices) -> None:
        self.names, self._unnamed = _names(header)
        dated = (choices.date, choices.time)
        self._columns = [_Column(True if name in dated else None) for name in self.names]
        self._missing = Markers.of(choices.missing)
        self._decimal = choices.decimal
        self.rows = 0

    def as_text(self, at: int) -> bool:
        """Tell whether a column must come as text: it may hold dates."""
        return self._columns[at].keep is not False

    def take(self, block: Sequence[pa.ChunkedArray], rows: int) -> None:
        """Take the next rows, every column as float64 or as text without blanks around it.

        Raises:
            DataError: there are more rows or cells than a data set may have.
        """
        for column, cells in zip(self._columns, block, strict=True):
            if pa.types.is_floating(cells.type):
                column.take_numbers(cells.to_numpy(), self._missing, self.rows)
            else:
                column.take(cells, self._missing, self.rows, self._decimal)
        self.rows += rows
        require_room(self.rows, len(self.names))

    def table(
        self,
        lines: Sequence[int] | NDArray[np.int64] | None,
        sha256: str,
        findings: Sequence[Finding],
    ) -> Table:
        """Return all that was taken; nothing can be taken after it."""
        values = np.empty((len(self.names), self.rows))
        for into, column in zip(values, self._columns, strict=True):
            np.concatenate(column.numbers, out=into)
            column.numbers.clear()
        cells = {n: c.cells() for n, c in zip(self.names, self._columns, strict=True)}
        return Table(cells, values, lines, sha256, findings, self._unnamed)


@dataclass
class _Column:
    """What was read of a column so far."""

    keep: bool | None  # whether it is kept as text; None: it was blank so far
    numbers: list[Floats] = field(default_factory=list)
    texts: list[pa.Array] = field(default_factory=list)
    bad: Odd | None = None
    infinite: Odd | None = None
    marked: int = 0

    def take_numbers(self, numbers: Floats, missing: Markers, before: int) -> None:
        """Take the next cells, which stand below `before` rows."""
        self.keep = False
        numbers, marked = missing.blanked(numbers)
        finite, beyond = bounded(numbers)
        self.numbers.append(finite)
        self.marked += marked
        if len(rows := np.flatnonzero(beyond)):
            found = Odd(int(rows[0]), str(numbers[rows[0]]), len(rows))
            self.infinite = _joined(self.infinite, found, before)

    def take(self, texts: pa.ChunkedArray, missing: Markers, before: int, decimal: Decimal) -> None:
        """Take the next cells as text; see `take_numbers`."""
        if self.keep is None:
            first = next((text for text in texts.to_pylist() if text), None)
            self.keep = None if first is None else _may_date(first)
        if self.keep is not False:
            self.texts.extend(texts.chunks)
        numbers, bad, infinite, marked = parsed(texts, decimal, missing)
        self.numbers.append(numbers)
        self.marked += marked
        self.bad = _joined(self.bad, bad, before)
        self.infinite = _joined(self.infinite, infinite, before)

    def cells(self) -> Cells:
        """Return what is known about the column beside its numbers."""
        texts = pa.chunked_array(self.texts, pa.string()) if self.keep is not False else None
        return Cells(self.bad, self.infinite, texts, self.marked)


def _joined(earlier: Odd | None, later: Odd | None, before: int) -> Odd | None:
    if later is not None:
        later = Odd(later.row + before, later.text, later.count)
    return later if earlier is None else earlier.and_then(later)


def _may_date(text: str) -> bool:
    """Tell text and long whole numbers, of which dates may be made, from other numbers."""
    if text.isdecimal():
        return len(text) in _CODED
    _, bad, *_ = parsed(pa.chunked_array([[text]]))
    return bad is not None


def _names(
    header: Sequence[str],
) -> tuple[list[str], list[tuple[frozenset[str], Finding]]]:
    """Return a name of its own for every column, and what to do where the header has none."""
    labels: list[str] = []
    unnamed: list[tuple[frozenset[str], Finding]] = []
    taken: set[str] = set()
    for number, written in enumerate(header, 1):
        name = _UNSEEN.sub(" ", written).strip()
        label = name[:LONGEST_NAME] or f"column {number}"
        while label in taken:
            label = f"{label} (column {number})"
        labels.append(label)
        taken.add(label)
        if label != name:
            finding = Finding(
                "error",
                f"Column {number} has {_fault(name)}; it is called {shown(label)} here: leave it "
                "out, or name it in the file.",
                (option("--drop", label),),
            )
            unnamed.append((frozenset({label, name} if name else {label}), finding))
    return labels, unnamed


def _fault(name: str) -> str:
    if len(name) > LONGEST_NAME:
        return f"a name of {len(name):,} characters ({shown(name)})"
    return f"the name {shown(name)} of an earlier one" if name else "no name"
