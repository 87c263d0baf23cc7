"""What was read from a file: the cells of each column, and where a row stands in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.choices import Decimal
from data.finding import Finding

Floats = NDArray[np.float64]

MISSING = ("", "na", "n/a", "nan", "null", "none", "<na>")
"""Cells that stand for no value, in any case of letters."""

LARGEST = float(np.finfo(np.float32).max)
"""The largest number that models can compute with; what is larger counts as infinite."""

_NUMBER = {
    sign: rf"^[+-]?(\d+\{sign}?\d*|\{sign}\d+)([eE][+-]?\d+)?$|(?i)^[+-]?inf(inity)?$"
    for sign in ".,"
}


@dataclass(frozen=True)
class Markers:
    """Numbers and words that were chosen to stand for no value."""

    words: tuple[str, ...] = ()  # in small letters
    numbers: tuple[float, ...] = ()

    @classmethod
    def of(cls, chosen: Sequence[str]) -> Markers:
        """Return what was chosen, each a number where it is one with a point or a comma."""
        words = tuple(text.strip().lower() for text in chosen)
        return cls(words, tuple(number for word in words if (number := _number(word)) is not None))

    def blanked(self, numbers: Floats) -> tuple[Floats, int]:
        """Return numbers (T,), NaN for those that stand for no value, and how many those are."""
        if not self.numbers:
            return numbers, 0
        marked = np.isin(numbers, self.numbers)
        return np.where(marked, np.nan, numbers), int(marked.sum())


def _number(word: str) -> float | None:
    try:
        return float(word.replace(",", "."))
    except ValueError:
        return None


_NO_MARKERS = Markers()


@dataclass(frozen=True)
class Odd:
    """Cells of one kind that a column should not have."""

    row: int  # of the first
    text: str  # of the first
    count: int

    def and_then(self, later: Odd | None) -> Odd:
        """Return these and those further down as one."""
        return self if later is None else Odd(self.row, self.text, self.count + later.count)


@dataclass(frozen=True)
class Cells:
    """What is known about a column beside its numbers."""

    bad: Odd | None = None  # neither a number nor missing
    infinite: Odd | None = None
    texts: pa.ChunkedArray | None = None  # (T,), without blanks around them; None: not kept
    marked: int = 0  # cells that hold what was chosen to stand for no value


@dataclass(frozen=True)
class Table:
    """The cells of a file by column, every column with a name of its own."""

    columns: Mapping[str, Cells]  # in file order
    values: Floats  # (C, T); NaN where a cell is no number
    lines: Sequence[int] | NDArray[np.int64] | None  # (T,) on which a row ends; None: no lines
    sha256: str  # of the file
    findings: Sequence[Finding] = ()
    unnamed: Sequence[tuple[frozenset[str], Finding]] = ()  # settled by leaving one of them out
    times: dict[tuple[str, str], pd.Series] = field(default_factory=dict, repr=False, compare=False)
    """Dates already read, by column and format, so that they are read once."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.values.T)

    def texts(self, name: str) -> pd.Series:
        """Return the text of a column's cells (T,).

        Raises:
            ValueError: the table was read without choosing this column for the dates.
        """
        texts = self.columns[name].texts
        if texts is None:
            raise ValueError(f"the text of column {name!r} was not kept; see intake.reading")
        found: pd.Series = texts.to_pandas()
        return found

    def number(self, name: str) -> Floats:
        """Return a column as numbers (T,)."""
        column: Floats = self.values[list(self.columns).index(name)]
        return column

    def frame(self, names: Sequence[str]) -> pd.DataFrame:
        """Return columns as numbers (T, C); of columns side by side they are no copy."""
        order = list(self.columns)
        at = [order.index(name) for name in names]
        beside = bool(at) and at == list(range(at[0], at[0] + len(at)))
        values = self.values[at[0] : at[-1] + 1] if beside else self.values[at]
        return pd.DataFrame(values.T, columns=list(names), copy=False)

    def place(self, row: int) -> str:
        """Return where a row stands, for a sentence: `line 7`, or `row 6` of a file without."""
        return f"row {row + 1:,}" if self.lines is None else f"line {self.lines[row]:,}"


def parsed(
    texts: pa.ChunkedArray, decimal: Decimal = ".", missing: Markers = _NO_MARKERS
) -> tuple[Floats, Odd | None, Odd | None, int]:
    """Return text as numbers (T,), NaN where it is none, what is neither, what is infinite.

    The last is how many cells hold what was chosen to stand for no value.

    Numbers are written in ASCII digits with at most one decimal sign and an exponent. Nothing
    else that some language takes for a number is one: no hexadecimal, no underscores, no thousands.

    Args:
        texts: (T,) cells without blanks around them.
        decimal: the sign before the decimals.
        missing: what stands for no value beside `MISSING`.
    """
    small = pc.utf8_lower(texts)
    blank = pc.is_in(small, value_set=pa.array(MISSING))
    marked = pc.is_in(small, value_set=pa.array(missing.words, pa.string()))
    written = pc.match_substring_regex(texts, _NUMBER[decimal])
    plain = pc.if_else(written, texts, pa.scalar(None, pa.string()))
    plain = pc.replace_substring(pc.utf8_ltrim(plain, "+"), ",", ".")
    numbers = pc.cast(plain, pa.float64()).to_numpy()
    neither = ~(pc.or_(pc.or_(blank, marked), written).to_numpy().astype(bool))
    worded = int((marked.to_numpy().astype(bool) & np.isnan(numbers)).sum())
    numbers, of_value = missing.blanked(numbers)
    numbers, beyond = bounded(numbers)
    return numbers, _odd(neither, texts), _odd(beyond, texts), worded + of_value


def bounded(numbers: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return numbers (T,), infinite where they are beyond `LARGEST`, and where that is, (T,)."""
    beyond: NDArray[np.bool_] = np.abs(numbers) > LARGEST
    if not beyond.any():
        return numbers, beyond
    return np.where(beyond, np.copysign(np.inf, numbers), numbers), beyond


def _odd(where: NDArray[np.bool_], texts: pa.ChunkedArray) -> Odd | None:
    rows = np.flatnonzero(where)
    return Odd(int(rows[0]), texts[int(rows[0])].as_py(), len(rows)) if len(rows) else None
