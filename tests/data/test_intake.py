"""What is no table, or too much of one, is refused before it does harm; Parquet is read too."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from data import columns, limits
from data.choices import Choices
from data.intake import read, read_bytes, reading
from data.openfile import Unchanged
from data.quality import choose, inspect
from data.registry import DataError
from data.unpack import main as unpack
from tests.data.files import csv, table


def refusal(path: Path, **choices: object) -> str:
    with pytest.raises(DataError) as caught:
        read(path, choose(**choices))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


def saved(folder: Path, made: object, name: str = "table") -> Path:
    path = folder / name
    parquet.write_table(made if isinstance(made, pa.Table) else pa.table(made), path)
    return path


# -- what is no file ----------------------------------------------------------------------------


def test_what_is_no_ordinary_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, said in {
        "pipe": "is no file",
        "nowhere": "No such file",
        "loop": "Too many levels",
        ".": "is no file",
        "x" * 300: "File name too long",
    }.items():
        assert said in refusal(tmp_path / name)
    assert "is no file" in refusal(Path("/dev/zero"))
    assert "null" in refusal(Path("a\0b"))
    assert "No such file" in refusal(Path("https://127.0.0.1:9/table.csv"))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grows.csv"
    path.write_bytes(csv(table()))
    with (
        pytest.raises(DataError, match=r"changed while it was read; wait until it is complete"),
        Unchanged(path) as file,
    ):
        file.read(100)
        with path.open("ab") as writer:
            writer.write(b"2030-01-01 00:00:00,1,2\n")


def test_the_file_itself_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "kept.csv"
    path.write_bytes(csv(table()))
    path.chmod(0o400)
    before = path.stat()
    assert inspect(read(path)).usable
    assert path.stat().st_mtime_ns == before.st_mtime_ns and path.read_bytes() == csv(table())


# -- too much -----------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"time,a\n2024-01-01,", b'time,a\n2024-01-01,"', b""])
def test_an_endless_line_is_refused_before_it_is_in_memory(start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "endless.csv"
    with path.open("wb") as file:
        file.write(start)
        for _ in range(20):
            file.write(b"1" * 10_000_000)
    tracemalloc.start()
    try:
        said = refusal(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "is longer than 1,048,576 characters" in said and peak < 100_000_000, (said, peak)


def test_lines_within_quotes_cannot_gather_without_end(tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    path.write_bytes(b"time,a\n2024-01-01," + b'"\n",' * 300_000)
    assert "is longer than" in refusal(path)


def test_more_rows_or_cells_than_a_data_set_may_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(csv(table()))
    monkeypatch.setattr(limits, "MOST_ROWS", 300)
    assert refusal(path).startswith("The file has more than 300 rows;")
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MOST_CELLS", 1000)
    assert refusal(path).startswith("The file has more than 1,000 cells;")


def test_a_big_file_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    path = tmp_path / "sparse.csv"
    with path.open("wb") as file:
        file.truncate(3_000_000_000)
    assert "has 3 GB; the most is 2 GB" in refusal(path)


# -- large files --------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_blocks_meet_without_losing_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    frame = table(300)
    path = tmp_path / "blocks.csv"
    path.write_bytes(csv(frame).replace(b"\n", end) + 3 * end)
    for size in (61, 64, 1000):
        monkeypatch.setattr("data.textfile.BLOCK", size)
        found = read(path)
        assert found.rows == 300 and found.place(299) == "line 301"
        np.testing.assert_array_equal(found.frame(["a", "b"]).to_numpy(), frame.to_numpy())


def test_odd_cells_far_down_are_located_whichever_way_they_are_read(tmp_path: Path) -> None:
    frame = table(3000).astype(object)
    frame.iloc[2500, 1] = "odd"
    content = csv(frame)
    path = tmp_path / "odd.csv"
    for text in (content, content.replace(b"\n", b"\n\n", 1), content.replace(b"time", b'"time"')):
        path.write_bytes(text)
        line = 2502 + (b"\n\n" in text)
        said = [f.text for f in inspect(read(path)).findings if f.level == "error"]
        assert said[0].startswith(f"Line {line:,} has 'odd' in column 'b'"), said


def test_a_change_of_other_choices_needs_no_new_reading() -> None:
    assert reading(choose(fill="zero", target="a", drop=("b",))) == Choices()
    assert reading(choose(decimal=",", date="time", fill="zero")) == choose(
        decimal=",", date="time"
    )


# -- Parquet ------------------------------------------------------------------------------------


def test_parquet_is_known_by_its_content_and_read_as_csv_is(tmp_path: Path) -> None:
    frame = table()
    frame["count"] = np.arange(400)
    path = tmp_path / "named.csv"
    frame.to_parquet(path)
    report = inspect(read(path), choose(target="a"))
    assert report.usable and report.frequency == "h" and report.frame is not None
    np.testing.assert_array_equal(report.frame[["a", "b", "count"]].to_numpy(), frame.to_numpy())
    assert (report.frame.index == frame.index).all()


def unpacked(made: dict[str, object], folder: Path) -> tuple[int, Path]:
    """Unpack in this process, which is what the process of its own does; without its limits."""
    out = folder / "out.arrow"
    return subprocess.run(
        [sys.executable, "-m", "data.unpack", str(saved(folder, made)), str(out)], check=False
    ).returncode, out


def test_every_kind_of_column_becomes_numbers_or_text(tmp_path: Path) -> None:
    times = pd.date_range("2024-03-31", periods=3, freq="h", tz="Europe/Berlin")
    made = {
        "zoned": pa.array(times),
        "day": pa.array([0, 1, None], pa.date32()),
        "text": pa.array([" a", None, "b"]).dictionary_encode(),
        "whole": pa.array([1, None, 3], pa.int16()),
        "truth": pa.array([True, False, None]),
        "money": pa.array(["1.50", "2.25", "3.00"]).cast(pa.decimal128(9, 2)),
        "nothing": pa.nulls(3),
    }
    code, out = unpacked(made, tmp_path)
    assert code == 0
    with pa.OSFile(str(out)) as source:
        found = pa.ipc.open_file(source).read_all().to_pydict()
    assert found["zoned"][:2] == ["2024-03-30 23:00:00.000000Z", "2024-03-31 00:00:00.000000Z"]
    assert found["day"] == ["1970-01-01", "1970-01-02", ""] and found["text"] == ["a", "", "b"]
    assert found["whole"] == [1.0, None, 3.0] and found["truth"] == [1.0, 0.0, None]
    assert found["money"] == [1.5, 2.25, 3.0] and found["nothing"] == [None] * 3


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"t": ["x"], "l": [[1]]}, "Column 'l' holds 'list<element: int64>'; save the file"),
        ({"t": ["x"], "s": [{"a": 1}]}, "Column 's' holds 'struct<a: int64>'; save the file"),
        ({f"c{at}": [1] for at in range(2001)}, "The file has 2,001 columns; the most is 2,000."),
    ],
)
def test_what_parquet_may_hold_and_a_table_may_not_is_one_sentence(
    made: dict[str, object],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)  # this process goes on
    monkeypatch.setattr("pyarrow.set_cpu_count", lambda _: None)
    code = unpack([str(saved(tmp_path, made)), str(tmp_path / "out")])
    assert code == 3 and capsys.readouterr().out.startswith(said)


def test_a_parquet_bomb_ends_the_process_that_unpacks_it_and_no_other(tmp_path: Path) -> None:
    big = pa.DictionaryArray.from_arrays(pa.array([0] * 65_000, pa.int32()), ["x" * 1_000_000])
    path = saved(tmp_path, {"t": big})
    assert path.stat().st_size < 2_000_000
    assert "could not be unpacked in 3 GB of memory" in refusal(path)


def test_names_twice_in_parquet_are_told_apart() -> None:
    made = columns.Columns(["t", "a", "a"], Choices())
    assert made.names == ["t", "a", "a (column 3)"]


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["a", "a (column 4)", "a"], ["a", "a (column 4)", "a (column 4) (column 4)"]),
        (["a\x1b[31m", '"b\nc"', "\u202ed"], ["a [31m", "b c", "d"]),
        (["x" * 300, "x" * 299, "y"], ["x" * 200, f"{'x' * 200} (column 3)", "y"]),
    ],
)
def test_every_column_has_a_short_visible_name_of_its_own(
    names: list[str], kept: list[str]
) -> None:
    table = read_bytes(f"date,{','.join(names)}\n2024-01-01,1,2,3\n2024-01-02,4,5,6\n".encode())
    assert list(table.columns) == ["date", *kept]
    assert [table.number(name)[0] for name in kept] == [1, 2, 3]
    told = sum(len(name) > 200 for name in names) or len(names) - len(set(names))
    assert len(table.unnamed) == told


def test_a_file_that_would_have_to_be_waited_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("date,a\n")
    silent, other_end = os.pipe2(os.O_NONBLOCK)  # as /proc/kmsg answers
    with Unchanged(tmp_path / "file") as opened, os.fdopen(silent, "rb", buffering=0) as pipe:
        file, opened.file = opened.file, pipe
        with pytest.raises(DataError, match="is no file"):
            opened.read(1)
        opened.file = file
    os.close(other_end)
