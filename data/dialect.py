"""How a CSV file is written: what separates its fields, and where its column names stand.

What is found is told. Where a file can be read in two ways, or a line is neither names nor values,
a choice is asked for.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data.choices import Choices
from data.finding import Finding, option, shown
from data.limits import require_room, require_short
from data.registry import DataError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
HEAD_LINES = 50
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")
_COMMA = re.compile(r"(?<![\d,])\d+,\d+(?![\d,])")
_VALUE = re.compile(r"\s*[+-]?[.,]?\d")


@dataclass(frozen=True)
class Dialect:
    """How the lines of a file become rows."""

    delimiter: str
    header: tuple[str, ...]  # without blanks around the names
    first_line: int  # below the column names; every line before it is passed over
    skipped: frozenset[int]  # lines further down that are passed over too
    findings: tuple[Finding, ...]


def lines_of(text: str) -> Iterator[str]:
    """Yield the lines of a text with what ends them: LF, CR LF or CR, and nothing else."""
    return (found.group() for found in _LINE.finditer(text) if found.group())


def find(head: str, choices: Choices) -> Dialect:
    """Return the dialect of a file that begins with `head`.

    Raises:
        DataError: it has no line of column names, too many columns, or but one.
    """
    lines = [line for line, _ in zip(lines_of(head), range(HEAD_LINES + 1), strict=False)]
    skipped = frozenset(choices.skip_lines)
    above, names_at, found = _comments(lines, skipped)
    if names_at is None:
        raise DataError("The file is empty; it needs a line of column names and rows below it.")
    body = lines[names_at:]
    require_short(names_at + 1, len(body[0]))
    delimiter = choices.delimiter or _delimiter(body)
    header, used = _fields(body, delimiter)
    if above is not None:  # names behind a comment sign, as numpy writes them
        header, used = _fields([lines[above].lstrip("# ")], delimiter)[0], 0
        found = [Finding("info", f"Line {above + 1} names the columns behind its '#'.")]
    require_room(0, len(header))
    if not header:
        raise DataError(
            f"The column names on line {names_at + 1} cannot be read as CSV; look for a quotation "
            "mark that is not closed."
        )
    if len(header) == 1:
        raise DataError(
            f"Line {names_at + 1} ({shown(header[0])}) is one field; separate the fields by commas,"
            " semicolons, tabs or vertical bars: a date and a value are needed at least."
        )
    if skipped:
        numbers = ", ".join(f"{line:,}" for line in sorted(skipped)[:20])
        found.append(Finding("info", f"Passed over line {numbers}, as chosen."))
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
    if choices.decimal == ",":
        cell = next((text for line in body[1:] for text in _COMMA.findall(line)), "1,5")
        told = f"Decimals are written with a comma: {cell} is read as {cell.replace(',', '.')}."
        found.append(Finding("info", told))
    first = names_at + used + 1
    below, about_units = _units(lines, first, header, delimiter, skipped)
    return Dialect(
        delimiter,
        header,
        below,
        frozenset(line for line in skipped if line >= below),
        (*found, *about_units),
    )


def _is_word(name: str) -> bool:
    """Tell a name such as `sensor2` from a value such as `1e5` or `2020-01-01T00:00Z`."""
    return name[:1].isalpha() or name[:1] == "_"


def _comments(
    lines: Sequence[str], skipped: frozenset[int]
) -> tuple[int | None, int | None, list[Finding]]:
    """Return the line of a comment that names the columns, that on which names or values begin.

    Lines are counted from 0 here. The third is what is told about comments above the names.
    """
    comments = []
    for at, line in enumerate(lines):
        if at + 1 in skipped or not line.strip():
            continue
        if line.startswith("#"):
            comments.append(at)
            continue
        last = comments[-1] if comments else None
        if last is not None and _like_values(line) and _fit(lines[last], line):
            return last, at, []
        told = f"{len(comments)} comment line{'s' * (len(comments) > 1)} above the column names"
        found = [Finding("info", f"Passed over {told}.")] if comments else []
        return None, at, found
    return None, None, []


def _fit(comment: str, line: str) -> bool:
    return any(0 < comment.count(delimiter) == line.count(delimiter) for delimiter in DELIMITERS)


def _like_values(line: str) -> bool:
    return bool(_VALUE.match(line))


def _delimiter(lines: Sequence[str]) -> str:
    """Return what occurs in the header and splits most of the lines below it into as many fields.

    Of those that do so equally well it is the one that occurs most often; a comma where none does.
    """
    counts = {delimiter: lines[0].count(delimiter) for delimiter in DELIMITERS}
    below = [line for line in lines[1:HEAD_LINES] if line.strip()]

    def agreement(delimiter: str) -> tuple[bool, int, int]:
        width = len(_fields(lines, delimiter)[0])
        fitting = sum(len(_fields([line], delimiter)[0]) == width for line in below)
        return counts[delimiter] > 0, fitting, counts[delimiter]

    return max(DELIMITERS, key=agreement)


def _fields(lines: Sequence[str], delimiter: str) -> tuple[tuple[str, ...], int]:
    """Return the fields of the first row and the lines that it takes; none where it is no CSV."""
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        fields = next(reader, [])
    except csv.Error:
        return (), len(lines)
    return tuple(field.strip() for field in fields), reader.line_num


def _units(
    lines: Sequence[str],
    first: int,
    header: Sequence[str],
    delimiter: str,
    skipped: frozenset[int],
) -> tuple[int, list[Finding]]:
    """Return the line on which the rows begin, and what to choose about one without values."""
    while first in skipped:
        first += 1
    below = [_fields([line], delimiter)[0] for line in lines[first - 1 : first + 1]]
    if len(below) < 2 or len(below[0]) != len(header) or any(map(_is_value, below[0])):
        return first, []
    if not any(below[0]) or not any(map(_is_value, below[1])):
        return first, []
    what = "the column names again" if below[0] == tuple(header) else "neither date nor number"
    example = next(text for text in below[0] if text)
    return first + 1, [
        Finding(
            "choose",
            f"Line {first} holds {what} ({shown(example)}), as a line of units would; choose that "
            "it is passed over, or delete it.",
            (option("--skip-line", str(first)),),
        )
    ]


def _is_value(text: str) -> bool:
    """Tell a number or date from a unit such as `m3` or `W/m2`."""
    return bool(_VALUE.match(text)) or sum(sign.isdigit() for sign in text) > 3
