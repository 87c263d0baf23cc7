"""`python -m data.check` as a person at a terminal meets it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from data.check import main
from data.registry import find
from tests.data.files import csv, mine, table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my data.csv"
    path.write_bytes(mine())
    return path


def check(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_file_that_cannot_be_used_yet_ends_with_1_and_says_what_to_do(file: Path) -> None:
    ended = check(file)
    assert ended.exit_code == 1
    for words in (
        "594 rows, 2024-01-01 00:00:00 to 2024-01-25 23:00:00, every h",
        "6 steps of h are missing in 1 gap",
        "--fill interpolate",
        "--past-only site",
        "cannot be used yet",
    ):
        assert words in ended.output
    assert "Traceback" not in ended.output


def test_the_offers_taken_one_after_another_make_the_file_usable(file: Path) -> None:
    taken: list[str] = []
    for _ in range(6):
        report = json.loads(check(file, "--json", *taken).stdout)
        open_ = [f for f in report["findings"] if f["level"] in ("error", "choose")]
        if not open_:
            break
        taken += shlex.split(open_[0]["options"][0])
    assert report["usable"] and taken[:2] == ["--fill", "interpolate"]


def test_a_file_is_added_and_the_command_that_searches_it_is_printed(file: Path) -> None:
    before = file.read_bytes()
    ended = check(
        *(file, "--fill", "interpolate", "--past-only", "site", "--known-future", "holiday"),
        *("--target", "a", "--add", "mine"),
    )
    assert ended.exit_code == 0, ended.output
    assert "python -m nas_engine search --dataset mine" in ended.output
    assert "Filled 9 values of b" in ended.output
    assert find("mine").known_future == ("holiday",)
    assert file.read_bytes() == before, "the file itself stays as it is"


def test_what_is_not_usable_is_not_added(file: Path) -> None:
    ended = check(file, "--add", "mine")
    assert ended.exit_code == 1 and "It was not added." in ended.output
    assert json.loads(check(file, "--add", "mine", "--json").stdout)["added"] is None


def test_columns_of_the_table_are_aligned(file: Path) -> None:
    lines = check(file).output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("column"))
    head, *rows = lines[start : start + 6]
    at = head.index("role")
    assert [row[at - 1] + row[at] for row in rows] == [" d", *[" t"] * 4]
    assert rows[3].split()[:4] == ["site", "target", "constant", "0"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.csv"], "cannot be read (No such file or directory)"),
        ([Path.cwd()], "is no file"),
        (["/dev/null"], "is no file"),
        (["FILE", "--drop", "zebra"], "The file has no column 'zebra'"),
        (["FILE", "--target", "a", "--drop", "a"], "can play one part only"),
        (["FILE", "--timezone", "Mars"], "is no time zone"),
        (["FILE", "--fill", "magic"], "magic"),
        (["FILE", "--frequency", "fortnight"], "is no pandas frequency"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    file: Path, arguments: list[str | Path], said: str
) -> None:
    ended = check(*(file if argument == "FILE" else argument for argument in arguments))
    assert ended.exit_code == 2
    assert said in ended.output and "Traceback" not in ended.output


def test_a_name_that_is_taken_is_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "sound.csv"
    path.write_bytes(csv(table()))
    assert check(path, "--add", "sound").exit_code == 0
    again = check(path, "--add", "sound")
    assert again.exit_code == 2 and "exists" in again.output
    assert check(path, "--add", "sound", "--replace").exit_code == 0
    assert check(path, "--add", "ETTh1").exit_code == 2


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "hostile.csv"
    path.write_bytes(csv(table()).replace(b"time,a,b", b"time,\x1b[31ma,b\xe2\x80\xae", 1))
    output = check(path).output
    assert "\x1b" not in output and "\u202e" not in output


def test_the_module_runs_as_a_command_of_its_own(file: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "data.check", str(file), "--json"], capture_output=True, text=True
    )
    assert ended.returncode == 1 and ended.stderr == ""
    assert json.loads(ended.stdout)["frequency"] == "h"
