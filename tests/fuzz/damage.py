"""Ways in which a line of a table is damaged, and what must be said of each, with its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.data.test_round_trip import NAMES, Written

LAST = len(NAMES) - 1


@dataclass
class Damaged:
    """A table in some dialect, of which one line is to be damaged.

    `at` is the place of the line among `made.lines`, `column` that of a number in it.
    """

    made: Written
    at: int
    column: int
    raw: dict[bytes, bytes] = field(default_factory=dict)  # replaced in the bytes of the file

    @property
    def line(self) -> list[str]:
        return self.made.lines[self.at]

    @property
    def number(self) -> int:
        """The number of the line, counted from 1."""
        return self.at + 1

    def content(self) -> bytes:
        content = self.made.content()
        for before, after in self.raw.items():
            assert content.count(before) == 1
            content = content.replace(before, after)
        return content

    def cell(self, text: str) -> None:
        self.line[self.column] = text

    def in_column(self, why: str) -> str:
        text = self.line[self.column]
        return f"Line {self.number} has {text!r} in column {NAMES[self.column]!r}, which is {why}"


Operator = Callable[[Damaged], str | None]
"""Damages a line and returns how the sentence begins that must be said; None: nothing is wrong."""


def _becomes(text: str, why: str = "no number") -> Operator:
    def operate(it: Damaged) -> str:
        it.cell(text)
        return it.in_column(why)

    return operate


def _field_lost(it: Damaged) -> str:
    del it.line[it.column]
    return f"Line {it.number} has {LAST} fields where the header names {len(NAMES)}"


def _field_more(it: Damaged) -> str:
    it.line.insert(it.column, "1")
    return f"Line {it.number} has {len(NAMES) + 1} fields where the header names {len(NAMES)}"


def _separator_at_the_end(it: Damaged) -> str:
    it.line.append("")
    return f"Line {it.number} has {len(NAMES) + 1} fields where the header names {len(NAMES)}"


def _torn_off(it: Damaged) -> str:
    del it.made.lines[it.at + 1 :]
    del it.line[it.column :]
    fields = f"{it.column} field{'s' * (it.column > 1)}"
    return f"Line {it.number} has {fields} where the header names {len(NAMES)}"


def _letter_behind(it: Damaged) -> str:
    it.cell(it.line[it.column] + "x")
    return it.in_column("no number")


def _empty(text: str) -> Operator:
    def operate(it: Damaged) -> str:
        it.cell(text)
        time, name = it.made.times[it.at - 1], NAMES[it.column]
        return f"1 value of column {name!r} is missing, first at {time};"

    return operate


def _date_becomes(text: str) -> Operator:
    def operate(it: Damaged) -> str:
        it.line[0] = text
        return f"Line {it.number} has {text!r}, which is no date written"

    return operate


def _no_date(it: Damaged) -> str:
    it.line[0] = ""
    return f"Line {it.number} has no date"


def _impossible_date(it: Damaged) -> str:
    it.line[0] = it.line[0].replace("-05-", "-02-").replace("/05/", "/02/")
    it.line[0] = it.line[0][:8] + "30" + it.line[0][10:]
    return f"Line {it.number} has {it.line[0]!r}, which is no date written"


def _date_twice(it: Damaged) -> str:
    it.line[0] = it.made.lines[it.at - 1][0]
    return f"1 row repeats a date, first on line {it.number} "


def _rows_swapped(it: Damaged) -> str:
    lines = it.made.lines
    lines[it.at - 1], lines[it.at] = lines[it.at], lines[it.at - 1]
    return f"The rows are not in order of time: line {it.number} "


def _names_again(it: Damaged) -> str:
    it.made.lines.insert(it.at, list(NAMES))
    return f"Line {it.number} holds the column names again"


def _nul(it: Damaged) -> str:
    it.cell(it.line[it.column] + "\0")
    return f"Line {it.number} holds the character NUL"


def _no_utf_8(it: Damaged) -> str | None:
    if it.made.encoding not in ("utf-8", "utf-8-sig"):
        return _letter_behind(it)
    it.cell("@@")
    it.raw[b"@@"] = b"\xff"
    return f"Line {it.number} is not UTF-8 (byte 0xff)"


def _quotation_not_closed(it: Damaged) -> str:
    if it.made.quoted:
        return _letter_behind(it)
    it.cell('"' + it.line[it.column])
    return f"The row on line {it.number} cannot be read as CSV"


def _quotation_inside(it: Damaged) -> str:
    if it.made.quoted:
        return _letter_behind(it)
    it.cell(f'{it.line[it.column]}"')
    return it.in_column("no number")


def _blank_line(it: Damaged) -> None:
    it.made.lines.insert(it.at, [])


def _blanks_around(it: Damaged) -> None:
    it.cell(f" {it.line[it.column]}  ")


def _plus_before(it: Damaged) -> None:
    it.cell("+" + it.line[it.column].removeprefix("-"))
    it.made.values[it.at - 1][it.column - 1] = abs(it.made.values[it.at - 1][it.column - 1])


OPERATORS: dict[str, Operator] = {
    "a field is lost": _field_lost,
    "a field too many": _field_more,
    "a separator at the end": _separator_at_the_end,
    "the file is torn off": _torn_off,
    "a letter behind a number": _letter_behind,
    "a word": _becomes("abc"),
    "two points": _becomes("1.2.3"),
    "hexadecimal": _becomes("0x10"),
    "an underscore": _becomes("1_000"),
    "two signs": _becomes("--5"),
    "a percentage": _becomes("5%"),
    "an exponent without digits": _becomes("1e"),
    "a truth": _becomes("true"),
    "a formula": _becomes("=1+1"),
    "infinity": _becomes("inf", "infinite"),
    "minus infinity": _becomes("-Infinity", "infinite"),
    "a number too large": _becomes("1e999", "infinite"),
    "a number that models cannot hold": _becomes("1e39", "larger than models can compute with"),
    "an empty cell": _empty(""),
    "a cell that says NA": _empty("NA"),
    "a cell that says NaN": _empty("NaN"),
    "no date": _no_date,
    "a word for a date": _date_becomes("yesterday"),
    "a date that is none": _impossible_date,
    "a date twice": _date_twice,
    "rows that are swapped": _rows_swapped,
    "the names again": _names_again,
    "NUL": _nul,
    "a byte that is no UTF-8": _no_utf_8,
    "a quotation mark that is not closed": _quotation_not_closed,
    "a quotation mark inside": _quotation_inside,
    "a blank line": _blank_line,
    "blanks around a number": _blanks_around,
    "a plus before a number": _plus_before,
}
