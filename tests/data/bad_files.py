"""Files as people have them, and what becomes of each: the table of `test_bad_files.py`."""

# ruff: noqa: E501  (sentences stand whole in the table)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

START = datetime(2024, 1, 14)  # no day of a month here may be a month
ROWS = 24
A = [round(0.25 * at - 1, 2) for at in range(ROWS)]
B = [float(at * at % 7) for at in range(ROWS)]


def file(
    *,
    header: str = "time,a,b",
    written: str = "%Y-%m-%d %H:%M",
    step: timedelta = timedelta(hours=1),
    start: datetime = START,
    end: str = "\n",
    lines: dict[int, str] | None = None,
) -> str:
    """Return a sound file, some of whose lines may be others."""
    rows = [f"{start + at * step:{written}},{A[at]},{B[at]}" for at in range(ROWS)]
    every = [header, *rows]
    for number, line in (lines or {}).items():
        every[number - 1] = line
    return end.join([*every, ""])


@dataclass(frozen=True)
class Case:
    """A file, and what becomes of it."""

    name: str
    content: bytes | str
    said: str = ""  # the gravest sentence; "" where the file can be used
    choices: dict[str, Any] = field(default_factory=dict)
    reads: Sequence[float] = tuple(A)  # values of the first column


def row(line: int, a: object = None, b: object = None, time: str | None = None) -> dict[int, str]:
    """Return one line of the file, with other cells."""
    at = line - 2
    moment = f"{START + timedelta(hours=at):%Y-%m-%d %H:%M}" if time is None else time
    return {line: f"{moment},{A[at] if a is None else a},{B[at] if b is None else b}"}


def damaged(line: int, a: object = None, b: object = None, time: str | None = None) -> str:
    return file(lines=row(line, a, b, time))


SEMICOLONS = file().replace(",", ";")
GERMAN = SEMICOLONS.replace(".", ",")
QUOTED = "\n".join(
    ",".join(f'"{cell}"' for cell in line.split(",")) for line in file().splitlines()
)
AMBIGUOUS = file(start=datetime(2024, 4, 3), step=timedelta(minutes=5), written="%d/%m/%Y %H:%M")


def dated(dates: Iterable[str]) -> str:
    """Return the file with other dates."""
    rows = (f"{date},{A[at]},{B[at]}\n" for at, date in enumerate(dates))
    return "".join(["time,a,b\n", *rows])


def without(*numbers: int) -> str:
    """Return the file without some of its lines."""
    lines = file().splitlines(keepends=True)
    return "".join(line for number, line in enumerate(lines, 1) if number not in numbers)


def b_is(value: str) -> str:
    """Return the file with one value in all cells of its last column."""
    return "time,a,b\n" + "".join(
        f"{START + timedelta(hours=at)},{A[at]},{value}\n" for at in range(ROWS)
    )


CASES = (
    Case("sound", file()),
    Case("byte order mark", "\ufeff" + file()),
    Case("UTF-16 little endian", b"\xff\xfe" + file().encode("utf-16-le")),
    Case("UTF-16 big endian", b"\xfe\xff" + file().encode("utf-16-be")),
    Case(
        "UTF-16 without a mark",
        file().encode("utf-16-le"),
        "Line 1 holds the character NUL, which text never does; save the file as UTF-8, or say which encoding it has (--encoding utf-16-le for UTF-16 without a mark).",
    ),
    Case(
        "latin-1 in a name",
        file(header="time,a,\u00e9").encode("latin-1"),
        "Line 1 is not UTF-8 (byte 0xe9); save the file with the encoding UTF-8, or say which it has (--encoding cp1252 for Windows of the West).",
    ),
    Case(
        "cp1252 on the last line",
        (file() + "2024-01-15 00:00,1,\u00b5\n").encode("latin-1"),
        "Line 26 is not UTF-8 (byte 0xb5); save the file with the encoding UTF-8, or say which it has (--encoding cp1252 for Windows of the West).",
    ),
    Case(
        "GBK",
        file(header="time,a,温度").encode("gbk"),
        "Line 1 is not UTF-8 (byte 0xce); save the file with the encoding UTF-8, or say which it has (--encoding cp1252 for Windows of the West).",
    ),
    Case(
        "encoding that is none",
        file(),
        "'klingon' is no encoding that is known; write one such as utf-8, cp1252, latin-1, gbk or utf-16-le.",
        choices={"encoding": "klingon"},
    ),
    Case(
        "codec that is no encoding",
        file(),
        "'hex' is no encoding that is known; write one such as utf-8, cp1252, latin-1, gbk or utf-16-le.",
        choices={"encoding": "hex"},
    ),
    Case(
        "encoding chosen wrongly",
        file(header="time,a,温度").encode(),
        "Line 1 is not ascii (byte 0xe6); save the file with the encoding UTF-8, or say which it has (--encoding cp1252 for Windows of the West).",
        choices={"encoding": "ascii"},
    ),
    Case("semicolons", SEMICOLONS),
    Case("tabs", file().replace(",", "\t")),
    Case("vertical bars", file().replace(",", "|")),
    Case(
        "decimal comma",
        GERMAN,
        "Line 2 has '-1,0' in column 'a', which is no number (24 such cells); if its comma is for decimals, choose so, and -1,0 is read as -1.0; if it is for thousands, save the file without it.",
    ),
    Case("decimal comma, chosen", GERMAN, choices={"decimal": ","}),
    Case(
        "decimal comma with thousands",
        GERMAN.replace(";-1,0;", ";1.234,5;", 1),
        "Line 2 has '1.234,5' in column 'a', which is no number (1 such cell); save the file without signs between thousands.",
        choices={"decimal": ","},
    ),
    Case(
        "separator chosen wrongly",
        file(),
        "Line 1 ('time,a,b') is one field; separate the fields by commas, semicolons, tabs or vertical bars: a date and a value are needed at least.",
        choices={"delimiter": ";"},
    ),
    Case(
        "blanks between fields",
        file().replace(",", "  "),
        "Line 1 ('time  a  b') is one field; separate the fields by commas, semicolons, tabs or vertical bars: a date and a value are needed at least.",
    ),
    Case("all fields quoted", QUOTED),
    Case(
        "quote not closed",
        damaged(9, '"1.5'),
        "The row on line 9 cannot be read as CSV (unexpected end of data); look for a quotation mark that is not closed.",
    ),
    Case(
        "quote doubled",
        damaged(9, '"1""5"'),
        "Line 9 has '1\"5' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "quote within a field",
        damaged(9, '"1"5'),
        "The row on line 9 cannot be read as CSV (',' expected after '\"'); look for a quotation mark that is not closed.",
    ),
    Case(
        "line end within a field",
        damaged(9, '"1\n5"'),
        "Line 10 has '1\\n5' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "comma within a field",
        file(lines=row(9, '"1,5"')),
        "Line 9 has '1,5' in column 'a', which is no number (1 such cell); if its comma is for decimals, choose so, and 1,5 is read as 1.5; if it is for thousands, save the file without it.",
    ),
    Case(
        "a field too many",
        damaged(9, b="1,2"),
        "Line 9 has 4 fields where the header names 3; mend the file, in which a field with a separator in it needs quotation marks.",
    ),
    Case(
        "a field too few",
        file(lines={9: "2024-01-14 07:00,1"}),
        "Line 9 has 2 fields where the header names 3; mend the file, in which a field with a separator in it needs quotation marks.",
    ),
    Case(
        "a field too many on every line",
        file().replace("\n", ",9\n").replace("a,b,9", "a,b"),
        "No line has the 3 fields that the header names (line 2 has 4); name every column in the first line.",
    ),
    Case(
        "separator behind every row",
        file().replace("\n", ",\n").replace("a,b,", "a,b"),
        "No line has the 3 fields that the header names (line 2 has 4); delete the separator at the end of the lines, or put one behind the column names.",
    ),
    Case(
        "separator behind every line",
        file().replace("\n", ",\n"),
        "Column 4 has no name; it is called 'column 4' here: leave it out, or name it in the file.",
    ),
    Case(
        "name twice",
        file(header="time,a,a"),
        "Column 3 has the name 'a' of an earlier one; it is called 'a (column 3)' here: leave it out, or name it in the file.",
    ),
    Case(
        "name blank",
        file(header="time,a,"),
        "Column 3 has no name; it is called 'column 3' here: leave it out, or name it in the file.",
    ),
    Case("name of 100 characters", file(header="time,a," + "x" * 100)),
    Case("names of JavaScript", file(header="time,__proto__,constructor")),
    Case("formula for a name", file(header='time,=HYPERLINK("http://x"),b')),
    Case("formula for a name, quoted", file(header='time,"=HYPERLINK(""http://x"",""y"")",b')),
    Case(
        "formula for a value",
        damaged(9, "=1+1"),
        "Line 9 has '=1+1' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "no column names",
        file().split("\n", 1)[1],
        "The first line ('2024-01-14 00:00,-1.0,0.0') holds values; put a line of column names above it.",
    ),
    Case(
        "names twice on top",
        file(lines={2: "time,a,b"}),
        "Line 2 holds the column names again ('time'), as a line of units would; choose that it is passed over, or delete it.",
    ),
    Case(
        "names twice further down",
        file(lines={9: "time,a,b"}),
        "Line 9 holds the column names again; choose that it is passed over, or delete it.",
    ),
    Case(
        "line of units",
        file(lines={2: "[UTC],kW,m3"}),
        "Line 2 holds neither date nor number ('[UTC]'), as a line of units would; choose that it is passed over, or delete it.",
    ),
    Case(
        "line of units, passed over",
        file(lines={2: ",kW,m3"}),
        choices={"skip_lines": (2,)},
        reads=A[1:],
    ),
    Case("comments above", "# made by x, y\n#\n" + file()),
    Case("names behind a comment sign", "# " + file()),
    Case(
        "comment between rows",
        file(lines={9: "# a gap"}),
        "Line 9 has 1 field where the header names 3; mend the file, in which a field with a separator in it needs quotation marks.",
    ),
    Case(
        "NUL",
        damaged(9, "1\0"),
        "Line 9 holds the character NUL, which text never does; save the file as UTF-8, or say which encoding it has (--encoding utf-16-le for UTF-16 without a mark).",
    ),
    Case("CR alone", file(end="\r")),
    Case("CR LF", file(end="\r\n")),
    Case("blank lines between", file(end="\n\n")),
    Case("no end of the last line", file().rstrip("\n")),
    Case("blank lines at the end", file() + "\n\n\r\n\n"),
    Case("empty", b"", "The file is empty; it needs a line of column names and rows below it."),
    Case(
        "nothing but a mark",
        b"\xef\xbb\xbf",
        "The file is empty; it needs a line of column names and rows below it.",
    ),
    Case(
        "header only",
        "time,a,b\n",
        "There is no row below the column names; put one for each time step.",
    ),
    Case(
        "one row",
        without(*range(3, 26)),
        "Fewer than 3 dates have no frequency; add the rows that are missing.",
    ),
    Case(
        "one field",
        "hello\nworld\n",
        "Line 1 ('hello') is one field; separate the fields by commas, semicolons, tabs or vertical bars: a date and a value are needed at least.",
    ),
    Case("one comma", ",\n", "There is no row below the column names; put one for each time step."),
    Case(
        "thousands with a comma",
        damaged(9, '"1,234"'),
        "Line 9 has '1,234' in column 'a', which is no number (1 such cell); if its comma is for decimals, choose so, and 1,234 is read as 1.234; if it is for thousands, save the file without it.",
    ),
    Case(
        "thousands with a point",
        SEMICOLONS.replace(";0.75;", ";1.234,5;"),
        "Line 9 has '1.234,5' in column 'a', which is no number (1 such cell); save the file without signs between thousands.",
    ),
    Case(
        "thousands with a blank",
        damaged(9, "1 234"),
        "Line 9 has '1 234' in column 'a', which is no number (1 such cell); save the file without signs between thousands.",
    ),
    Case(
        "thousands with an apostrophe",
        damaged(9, "1'234.5"),
        "Line 9 has \"1'234.5\" in column 'a', which is no number (1 such cell); save the file without signs between thousands.",
    ),
    Case(
        "1e999",
        damaged(9, "1e999"),
        "Line 9 has '1e999' in column 'a', which is infinite (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "inf",
        damaged(9, "-inf"),
        "Line 9 has '-inf' in column 'a', which is infinite (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "NaN",
        damaged(9, "NaN"),
        "1 value of column 'a' is missing, first at 2024-01-14 07:00:00; choose how they are filled, or leave it out.",
    ),
    Case(
        "N/A",
        damaged(9, "N/A"),
        "1 value of column 'a' is missing, first at 2024-01-14 07:00:00; choose how they are filled, or leave it out.",
    ),
    Case(
        "dash for missing",
        damaged(9, "-"),
        "Line 9 has '-' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "5,000 digits",
        damaged(9, "7" * 5000),
        "Line 9 has '777777777777777777777777777777777777777… in column 'a', which is infinite (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "hexadecimal",
        damaged(9, "0x1F"),
        "Line 9 has '0x1F' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "percent",
        damaged(9, "12%"),
        "Line 9 has '12%' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "underscore",
        damaged(9, "1_000"),
        "Line 9 has '1_000' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "fullwidth",
        damaged(9, "１２"),
        "Line 9 has '１２' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "money",
        damaged(9, "€5"),
        "Line 9 has '€5' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "exponent of Fortran",
        damaged(9, "1d5"),
        "Line 9 has '1d5' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "truth value",
        damaged(9, "true"),
        "Line 9 has 'true' in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case("plus sign", damaged(9, "+1.5"), reads=[*A[:7], 1.5, *A[8:]]),
    Case("blanks", damaged(9, " 1.5 "), reads=[*A[:7], 1.5, *A[8:]]),
    Case("blank column", b_is(""), "Column 'b' has no values; leave it out."),
    Case(
        "constant column",
        b_is("7.1"),
        "Column 'b' is constant, so that it has no scale and cannot be forecast; leave it out, or make it past-only.",
    ),
    Case(
        "column of zeros",
        b_is("0"),
        "Column 'b' is constant, so that it has no scale and cannot be forecast; leave it out, or make it past-only.",
    ),
    Case(
        "column of text",
        b_is("on"),
        "Line 2 has 'on' in column 'b', which is no number (24 such cells); mend the file, or leave the column out.",
    ),
    Case(
        "dates in two ways",
        damaged(9, time="14.01.2024 07:00"),
        "Line 9 has '14.01.2024 07:00', which is no date written %Y-%m-%d %H:%M, in column 'time'; mend or remove it in the file.",
    ),
    Case(
        "dates in two ways of ISO 8601",
        damaged(9, time="2024-01-14T07:00:00"),
        "Dates are written in several ways, as '2024-01-14 00:00' and, on line 9, '2024-01-14T07:00:00'; all of them can be read as ISO 8601.",
    ),
    Case(
        "dates that change half-way",
        dated(
            (datetime(2024, 1, 2) + timedelta(i)).strftime("%d/%m/%Y" if i < 12 else "%m/%d/%Y")
            for i in range(ROWS)
        ),
        "Line 13 has '13/01/2024', which is no date written %m/%d/%Y, in column 'time'; mend or remove it in the file.",
    ),
    Case(
        "day or month",
        AMBIGUOUS,
        "'03/04/2024 00:00' in column 'time' may be 03 April 2024 or 04 March 2024, and so it is with all its dates; choose how they are written.",
    ),
    Case("day or month, chosen", AMBIGUOUS, choices={"date_format": "%d/%m/%Y %H:%M"}),
    Case(
        "seconds since 1970",
        dated(f"{1705190400 + 3600 * i}" for i in range(ROWS)),
        "No column was found that holds dates; name the column and how its dates are written.",
    ),
    Case(
        "milliseconds since 1970",
        dated(f"{1705190400000 + 3600000 * i}" for i in range(ROWS)),
        "No column was found that holds dates; name the column and how its dates are written.",
    ),
    Case(
        "seconds since 1970, chosen",
        dated(f"{1705190400 + 3600 * i}" for i in range(ROWS)),
        choices={"date": "time", "date_format": "s"},
    ),
    Case(
        "dates as whole numbers",
        dated(f"{datetime(2024, 1, 14) + timedelta(i):%Y%m%d}" for i in range(ROWS)),
        "No column was found that holds dates; name the column and how its dates are written.",
    ),
    Case(
        "day numbers of a workbook",
        dated(f"{45305 + i / 24:.5f}" for i in range(ROWS)),
        "No column was found that holds dates, but 'time' rises as the day numbers of a workbook do; give its cells a format of dates there, and save it again.",
    ),
    Case(
        "two offsets",
        dated(
            f"2024-03-{31 if i > 1 else 30} {(22 + i) % 24:02d}:00+0{1 if i < 3 else 2}:00"
            for i in range(ROWS)
        ),
        "The dates carry several offsets from UTC (+0100 and +0200), as with daylight saving; choose UTC, in which every hour occurs once.",
    ),
    Case(
        "offset missing once",
        file(written="%Y-%m-%d %H:%M+01:00", lines={9: "2024-01-14 07:00,1,2"}),
        "Dates are written in several ways, as '2024-01-14 00:00+01:00' and, on line 9, '2024-01-14 07:00'; all of them can be read as ISO 8601.",
    ),
    Case(
        "unsorted",
        dated(f"{START + timedelta(hours=ROWS - 1 - i)}" for i in range(ROWS)),
        reads=A[::-1],
    ),
    Case(
        "date twice",
        damaged(9, time="2024-01-14 06:00"),
        "1 row repeats a date, first on line 9 (2024-01-14 06:00:00), with other values; choose which count.",
    ),
    Case(
        "hours missing",
        without(9, 10),
        "2 steps of h are missing in 1 gap, the longest of 2 from 2024-01-14 07:00:00 on; choose how they are filled.",
    ),
    Case(
        "year 1",
        damaged(2, time="0001-01-01 00:00"),
        "From 0001-01-01 00:00:00 to 2024-01-14 23:00:00 there are 17,733,575 steps of h; choose a longer frequency and resample, or mend the dates.",
    ),
    Case(
        "year 9999",
        damaged(25, time="9999-12-31 23:00"),
        "From 2024-01-14 00:00:00 to 9999-12-31 23:00:00 there are 69,915,863 steps of h; choose a longer frequency and resample, or mend the dates.",
    ),
    Case(
        "leap second",
        file(written="%Y-%m-%d %H:%M:%S", lines={9: "2024-01-14 07:59:60,1,2"}),
        "Line 9 has '2024-01-14 07:59:60', which is no date written %Y-%m-%d %H:%M:%S, in column 'time'; mend or remove it in the file.",
    ),
    Case(
        "30 February",
        damaged(9, time="2024-02-30 07:00"),
        "Line 9 has '2024-02-30 07:00', which is no date written %Y-%m-%d %H:%M, in column 'time'; mend or remove it in the file.",
    ),
    Case(
        "hour 24",
        damaged(9, time="2024-01-14 24:00"),
        "Line 9 has '2024-01-14 24:00', which is no date written %Y-%m-%d %H:%M, in column 'time'; mend or remove it in the file.",
    ),
    Case(
        "word for a date",
        damaged(9, time="yesterday"),
        "Line 9 has 'yesterday', which is no date written %Y-%m-%d %H:%M, in column 'time'; mend or remove it in the file.",
    ),
    Case(
        "blank date",
        damaged(9, time=""),
        "Line 9 has no date in column 'time'; mend or remove it in the file.",
    ),
    Case(
        "two columns of dates",
        file(header="time,a,updated").replace(",0.0\n", ",2024-01-01\n"),
        "Columns 'time', 'updated' hold dates; choose the one that dates the rows, and leave out the others.",
    ),
    Case(
        "target that is no column",
        file(),
        "The file has no column 'z'; it has 'time', 'a', 'b'.",
        choices={"target": "z"},
    ),
    Case(
        "cell of 140,000 characters",
        damaged(9, "9" * 140_000 + "x"),
        "Line 9 has '999999999999999999999999999999999999999… in column 'a', which is no number (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "quoted cell of 140,000",
        damaged(9, '"' + "9" * 140_000 + '"'),
        "Line 9 has '999999999999999999999999999999999999999… in column 'a', which is infinite (1 such cell); mend the file, or leave the column out.",
    ),
    Case(
        "line of 2,000,000",
        "time,a,b\n" + "1" * 2_000_000,
        "The row on line 2 is longer than 1,048,576 characters; a row for each time step is needed, and quotation marks closed.",
    ),
    Case(
        "10,000 columns",
        ",".join(f"c{i}" for i in range(10_000)) + "\n" + ",".join("1" * 10_000) + "\n",
        "The file has 10,000 columns; the most is 2,000. Keep those that are needed.",
    ),
    Case("gzip", b"\x1f\x8b\x08" + b"x" * 50, "The file is compressed by gzip; unpack it first."),
    Case(
        "zip",
        b"PK\x03\x04" + b"x" * 50,
        "The file is a zip archive or a workbook; unpack it, or save the sheet as CSV first.",
    ),
    Case("xz", b"\xfd7zXZ\x00x", "The file is compressed by xz; unpack it first."),
    Case("bz2", b"BZh9x", "The file is compressed by bzip2; unpack it first."),
    Case("zst", b"\x28\xb5\x2f\xfd1", "The file is compressed by Zstandard; unpack it first."),
    Case(
        "pickle",
        b"\x80\x04\x95x",
        "The file is a pickle, which could run code; save the table as CSV or Parquet first.",
    ),
    Case(
        "damaged Parquet",
        b"PAR1xxxx",
        "The file begins as a Parquet file and is damaged; write it again.",
    ),
    Case(
        "too few rows",
        without(*range(6, 26)),
        "4 rows are too few: a look-back of 4 and a horizon of 1 need 8, of which 70 % train, 10 % validate and 20 % test; add rows, or take a shorter look-back or horizon.",
    ),
    Case(
        "html",
        "<!DOCTYPE html>\n<html><body>404</body></html>\n",
        "Line 1 ('<!DOCTYPE html>') is one field; separate the fields by commas, semicolons, tabs or vertical bars: a date and a value are needed at least.",
    ),
    Case(
        "json",
        '{"a": [1, 2],\n "b": 3}\n',
        "No line has the 3 fields that the header names (line 2 has 1); put one row for each time step below the line of column names.",
    ),
    Case(
        "misfit passed over",
        damaged(9, b="1,2"),
        "1 step of h is missing in 1 gap, the longest of 1 from 2024-01-14 07:00:00 on; choose how they are filled.",
        choices={"skip_lines": (9,)},
    ),
    Case(
        "mark between lines",
        file() + "\ufeff2024-01-15 00:00,1,2\n",
        "Line 26 has '\\ufeff2024-01-15 00:00', which is no date written %Y-%m-%d %H:%M, in column 'time'; mend or remove it in the file.",
    ),
)
