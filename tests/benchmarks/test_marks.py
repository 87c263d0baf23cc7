"""What benchmarks tell of their marks, and that none of them is left out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from benchmarks.__main__ import NO_BENCHMARKS, PLAN, Ran, outcome, table
from benchmarks.marks import GATHERED, Mark, gathered, judge

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_a_mark_that_is_missed_says_by_how_much_of_its_bound() -> None:
    assert Mark("speed", 2.5, 2.5, "times", at_least=True).verdict == "met"
    assert Mark("speed", 1.68, 2.5, "times", at_least=True).verdict == "MISSED by 32.8 %"
    assert Mark("error", 0.2972, 0.297).verdict == "MISSED by 0.0673 %"
    assert Mark("epochs lost", 3, 0).verdict == "MISSED by 3"
    assert Mark("time saved", -31.22, 0, "%", at_least=True).verdict == "MISSED by 31.22 %"


def test_what_was_not_measured_or_is_no_number_misses_its_mark() -> None:
    for measured in (None, float("nan")):
        for at_least in (True, False):
            assert Mark("anything", measured, 0, "", at_least).verdict == "MISSED"
    assert Mark("anything", None, 0).figure == "not measured"


def test_marks_are_gathered_as_they_were_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "marks"
    assert gathered(file) == []
    monkeypatch.setenv(GATHERED, str(file))
    first, second = Mark("speed", 1.68, 2.5, "times", True), Mark("error", None, 0.3)
    judge([first])
    judge([second])
    assert gathered(file) == [first, second]


def test_the_table_has_a_row_for_each_mark_and_for_each_failure() -> None:
    runs = [
        Ran("store", 20.4, [Mark("rows a second", 43_940, 5000, "", True), Mark("locked", 1, 0)]),
        Ran("pruning", 60.0),
        Ran("found", 9.0, [Mark("test MSE", 0.29, 0.297)], "exit status 1: a | b"),
    ]
    assert list(table(runs))[2:] == [
        "| store | rows a second | 43,940 | at least 5,000 | **met** | 20 |",
        "|  | locked | 1 | at most 0 | **MISSED by 1** |  |",
        "| pruning | no mark: see its output |  |  |  | 60 |",
        "| found | test MSE | 0.29 | at most 0.297 | **met** | 9 |",
        "|  | exit status 1: a \\| b |  |  | **failed** |  |",
    ]
    assert outcome(runs) == "2 of 3 marks met, 1 missed. Failed: found."


def test_every_command_of_the_folder_is_run_or_is_named_as_none() -> None:
    commands = {
        path.stem
        for path in BENCHMARKS.glob("[!_]*.py")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "main"
            for node in ast.parse(path.read_text("utf-8")).body
        )
    }
    assert len(commands) > 15
    assert commands <= PLAN.keys() | NO_BENCHMARKS.keys()
    assert not PLAN.keys() & NO_BENCHMARKS.keys()


def test_every_option_of_the_plan_is_one_of_its_benchmark() -> None:
    for name, benchmark in PLAN.items():
        path = BENCHMARKS / f"{name}.py"
        if path.exists():
            source = path.read_text("utf-8")
            for line in benchmark.short + benchmark.long:
                for option in re.findall(r"--[\w-]+", line):
                    assert f'"{option}' in source, f"{name} {line}"


def test_every_benchmark_tells_on_what_it_was_run() -> None:
    for name in PLAN:
        path = BENCHMARKS / f"{name}.py"
        if path.exists():
            assert "announce()\n" in path.read_text("utf-8"), name
