"""A table written in any dialect reads back exactly; damaged, it is refused at the right place."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from data.choices import Choices
from data.intake import read_bytes
from data.quality import inspect
from data.registry import DataError

NAMES = ("time", "load", "größe", "a b")
TABLES = 20
"""That are damaged in each way."""


class Written:
    """A random table in a random dialect."""

    def __init__(self, seed: int) -> None:
        self.draw = draw = random.Random(seed)
        self.delimiter = draw.choice(",;\t|")
        self.decimal = "." if self.delimiter == "," else draw.choice(".,")
        self.encoding = draw.choice(("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"))
        self.quoted = draw.random() < 0.3
        self.end = draw.choice(("\n", "\r\n", "\r"))
        self.dates = draw.choice(("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y-%m-%dT%H:%MZ"))
        start, count = datetime(2021, 5, 14), draw.randint(30, 60)
        self.times = [start + timedelta(hours=at) for at in range(count)]
        self.values = [[self.number() for _ in NAMES[1:]] for _ in self.times]
        self.lines = [list(NAMES), *map(self.fields, self.times, self.values)]

    def number(self) -> float:
        exponent = self.draw.choice((-300, -8, -1, 0, 0, 0, 3, 20))
        return self.draw.uniform(-1, 1) * 10.0**exponent

    def fields(self, time: datetime, values: list[float]) -> list[str]:
        return [f"{time:{self.dates}}", *(repr(v).replace(".", self.decimal) for v in values)]

    def content(self) -> bytes:
        quote = '"' if self.quoted else ""
        lines = (self.delimiter.join(f"{quote}{f}{quote}" for f in line) for line in self.lines)
        return self.end.join([*lines, ""]).encode(self.encoding)

    @property
    def choices(self) -> Choices:
        told = self.encoding if self.encoding in ("cp1252", "latin-1") else None
        return Choices.model_validate({"encoding": told, "decimal": self.decimal})

    def said(self) -> list[str]:
        """Return all that is said about the file."""
        try:
            report = inspect(read_bytes(self.content(), self.choices), self.choices, 8, 1)
        except DataError as error:
            return [str(error)]
        return [finding.text for finding in report.findings if finding.blocks]


@pytest.mark.parametrize("seeds", [range(50), range(50, 100)])
def test_a_table_in_any_dialect_reads_back_exactly(
    seeds: range, record_property: Callable[[str, object], None]
) -> None:
    for seed in seeds:
        made = Written(seed)
        report = inspect(read_bytes(made.content(), made.choices), made.choices, 8, 1)
        assert report.usable, (seed, made.said())
        assert report.frame is not None and tuple(report.frame.columns) == NAMES[1:]
        assert report.frame.to_numpy().tolist() == made.values, seed
        assert report.frame.index.tolist() == made.times, seed
    record_property("faults", 0)  # what is sound is none


@pytest.mark.parametrize("damage", ["drop", "add", "cut", "number", "date"])
def test_a_damaged_table_is_refused_at_the_right_place(
    damage: str, record_property: Callable[[str, object], None]
) -> None:
    for seed in range(TABLES):
        made = Written(1000 + seed)
        at = made.draw.randrange(1, len(made.lines) - 1)
        column = made.draw.randrange(1, len(NAMES))
        line = made.lines[at]
        match damage:
            case "drop":
                del line[column]
                expected = f"Line {at + 1} has 3 fields"
            case "add":
                line.insert(column, "1")
                expected = f"Line {at + 1} has 5 fields"
            case "cut":
                del made.lines[at + 1 :]
                del line[column:]
                fields = "1 field " if column == 1 else f"{column} fields "
                expected = f"Line {at + 1} has {fields}" if at > 1 else ""
            case "number":
                line[column] += "x"
                expected = f"Line {at + 1} has '{line[column]}' in column '{NAMES[column]}'"
            case "date":
                line[0] = "x" + line[0][1:]
                expected = f"Line {at + 1} has '{line[0]}', which is no date" if at > 1 else ""
        said = made.said()
        assert said and any(text.startswith(expected) for text in said), (seed, at, said)
    record_property("faults", TABLES)
