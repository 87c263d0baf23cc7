"""`python -m tests.fuzz.tables`: CSV files, from the bytes to the report of the Data page.

An input is a file. One that begins with a line of JSON has choices there, as a person makes them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data import own
from data.check import _text
from data.choices import Choices
from data.intake import read_bytes, reading
from data.quality import Report, choose, inspect
from data.registry import DataError
from data.splits import Scaler
from tests.data.bad_files import CASES
from tests.data.files import csv, mine, table
from tests.fuzz.mutation import changed_json, changed_lines

OUTCOMES = ("usable", "findings", "refused")
LONGEST = 2000
SEQ_LEN, PRED_LEN = 8, 1


def judge(data: bytes) -> str:
    """Return what is said of a file; whatever it is, it is said in sentences."""
    told, content = _parted(data)
    try:
        choices = choose(**told)
        read = read_bytes(content, choices)
        assert reading(reading(choices)) == reading(choices)
        report = inspect(read, choices, SEQ_LEN, PRED_LEN)
    except DataError as error:
        require_sentences([str(error)])
        return "refused"
    require_sentences([finding.text for finding in report.findings])
    require_sentences(list(report.done))
    assert json.dumps(report.facts(), default=list, allow_nan=False)
    assert _text(Path("file.csv"), report)
    if not report.usable:
        return "findings"
    require_series(report, choices)
    return "usable"


def _parted(data: bytes) -> tuple[dict[str, object], bytes]:
    """Return the choices on the first line, if there are some, and the file below it."""
    line, _, content = data.partition(b"\n")
    if line.startswith(b"{"):
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            return {}, data
        if isinstance(told, dict):
            return told, content
    return {}, data


def require_sentences(sentences: list[str]) -> None:
    """Raise AssertionError where one cannot be shown."""
    for sentence in sentences:
        assert 0 < len(sentence) <= LONGEST, len(sentence)


def require_series(report: Report, choices: Choices) -> None:
    """Raise AssertionError where a usable file is none that could be trained on."""
    frame = report.frame
    assert frame is not None and report.frequency and report.split_rows and report.target
    assert np.isfinite(frame.to_numpy()).all()
    assert frame.index.is_monotonic_increasing and frame.index.is_unique
    assert sum(report.split_rows) == len(frame) or choices.validate_from
    scaler = Scaler.fit(frame.to_numpy()[: report.split_rows[0]], choices.scaling)
    assert np.isfinite(scaler.centre).all() and np.isfinite(scaler.scale).all()
    dataset = own.draft(report, choices, "file.csv", seq_len=SEQ_LEN, pred_len=PRED_LEN)
    assert dataset.columns == tuple(frame.columns) and dataset.season >= 1


def seeds() -> Iterator[bytes]:
    """Yield files as people have them, with the choices that go with them."""
    for case in CASES:
        content = case.content if isinstance(case.content, bytes) else case.content.encode()
        if len(content) < 6000:
            told = f"{json.dumps(case.choices)}\n".encode() if case.choices else b""
            yield told + content
    yield csv(table(40))
    yield csv(table(40, "D"))
    yield csv(table(30, "MS"))
    yield csv(table(60, "15min"), sep=";")
    yield b'{"fill": "interpolate", "limit": 6, "past_only": ["b"]}\n' + mine()[:4000]


WORDS = (
    *(
        b"",
        b" ",
        b'"',
        b'""',
        b"#",
        b"\r",
        b"\n",
        b",",
        b";",
        b"\t",
        b"|",
        b"\x00",
        b"\xff",
        b"\xe9",
    ),
    *(b"nan", b"NA", b"inf", b"-inf", b"1e999", b"1e308", b"-1e308", b"0x10", b"1_000", b"1,5"),
    *(b"1.234,5", b"-0.0", b"1e-320", b"9" * 400, b"3.5", b"0", b"-200", b"+1", b".5", b"5."),
    *(b"2024-01-14 05:00", b"2024-02-30", b"0001-01-01", b"9999-12-31", b"14/01/2024", b"1e9"),
    *(b"2024-01-14T05:00:60Z", b"2024-03-31 02:30", b"2024-10-27 02:30+02:00", b"20240114"),
    *(
        b"1705190400",
        b"time",
        b"date",
        b"a",
        b"column 1",
        b"=1+1",
        "größe".encode(),
        b"\xef\xbb\xbf",
    ),
    *("\u2028".encode(), "٣".encode(), b"\xff\xfe", b"PK\x03\x04", b"PAR1", b"12:00", b"24:00"),
)
CHOSEN = (
    *Choices.model_fields,
    *("time", "a", "b", "utf-8", "cp1252", "gbk", "utf-16", "utf-7", "idna", "hex", ",", ";", "|"),
    *("%Y-%m-%d %H:%M", "%d/%m/%Y", "%d", "%", "%Q", "ISO8601", "s", "ms", "Europe/Berlin", "UTC"),
    *("h", "15min", "D", "MS", "B", "0h", "-1h", "W-SUN", "ns", "first", "last", "mean", "sum"),
    *("interpolate", "forward", "zero", "standard", "robust", "minmax", "none", "-200", "n.d."),
    *("2024-01-20", "2024-02-30", "9999-01-01", 1, 2, 3, 0.7, 0.1, 0.2, 10**9),
)


def changed(data: bytes, draw: random.Random) -> bytes:
    """Return a file, or choices, that differ in something."""
    line, _, content = data.partition(b"\n")
    if line.startswith(b"{"):
        if draw.random() < 0.4:
            return changed_json(line, draw, CHOSEN) + b"\n" + content
        return line + b"\n" + changed_lines(content, draw, WORDS)
    if draw.random() < 0.5:
        return _other_number(data, draw)
    if draw.random() < 0.1:
        named = {str(draw.choice(CHOSEN)): draw.choice(CHOSEN) for _ in range(2)}
        return json.dumps(named).encode() + b"\n" + data
    return changed_lines(data, draw, WORDS)


def _other_number(data: bytes, draw: random.Random) -> bytes:
    """Return a file in which one number is another one."""
    numbers = list(re.finditer(rb"(?<=[,;\t|])[-0-9.]+", data))
    if not numbers:
        return changed_lines(data, draw, WORDS)
    found = draw.choice(numbers)
    other = draw.choice((b"0", b"-0.0", b"3.5", b"1e308", b"-1e-320", b"7", b"", found[0] + b"1"))
    return data[: found.start()] + other + data[found.end() :]


if __name__ == "__main__":
    from tests.fuzz.guided import main

    main("tables")
