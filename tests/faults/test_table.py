"""The table of faults is whole, its tests exist, and it says what they did."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.__main__ import ROWS
from tests.faults.cases import PROJECT, Case, read
from tests.faults.row import PROMISES, Row, is_of
from tests.faults.table import judge, lines, total

GROUPS = {"A": 18, "B": 12, "C": 16, "D": 12, "E": 15}
PAGE = (PROJECT / "docs" / "faults.md").read_text("utf-8")


def test_the_table_has_its_73_rows_in_order() -> None:
    names = [f"{group}{number + 1}" for group, count in GROUPS.items() for number in range(count)]
    assert [row.name for row in ROWS] == names
    assert len(names) == 73


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_has_tests_or_a_reason_and_a_promise_that_is_made(row: Row) -> None:
    assert row.named(long=True) or row.not_here.endswith((".", ".)"))
    assert row.promises and set(row.promises) <= PROMISES.keys()
    assert row.fault and row.happens.endswith(".")
    named = row.named(long=True)
    assert max(Counter(named).values(), default=1) == 1, "it names a test twice"


def test_every_promise_has_rows() -> None:
    assert {promise for row in ROWS for promise in row.promises} == PROMISES.keys()


@functools.cache
def functions(file: str) -> dict[str, bool]:
    """Return the tests of a file, and whether each is among the longest."""
    tree = ast.parse((PROJECT / file).read_text("utf-8"))
    marks = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign)]
    all_long = any(mark.startswith("pytestmark") and "mark.long" in mark for mark in marks)
    return {
        node.name: all_long or "pytest.mark.long" in map(ast.unparse, node.decorator_list)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_tests_of_a_row_exist_and_are_as_long_as_it_says(row: Row) -> None:
    for test in row.named(long=True):
        file, _, name = test.partition("::")
        assert (PROJECT / file).is_file(), file
        if name:
            found = functions(file)
            assert name.partition("[")[0] in found, test
            assert found[name.partition("[")[0]] == (test in row.long), test


def test_the_page_has_every_row_and_every_promise() -> None:
    for row in ROWS:
        start = rf"^\| {row.name} +\| {' '.join(row.promises)} +\|"
        (line,) = [line for line in PAGE.splitlines() if re.match(start, line)]
        assert f"| {row.fault} |" in line, row.name
    for name, text in PROMISES.items():
        assert f"{name} " in PAGE and text in " ".join(PAGE.split()), name


# -- how it is judged ---------------------------------------------------------------------------

ROW = Row("A6", "a fault", ("P4",), "It held.", tests=("a.py::one", "b.py"), long=("a.py::slow",))


def case(test: str, outcome: str = "passed", faults: int = 1, **of_rows: int) -> Case:
    return Case(test, outcome, "why", faults, of_rows)  # type: ignore[arg-type]


WHOLE = [case("a.py::one[x]", faults=3), case("a.py::one[y]", faults=4), case("b.py::two")]


def test_a_row_is_kept_where_all_its_tests_passed_and_counts_what_they_injected() -> None:
    outcome = judge(ROW, [*WHOLE, case("a.py::one_more"), case("c.py::one")], long=False)
    assert (outcome.verdict, outcome.injected, outcome.survived) == ("kept", 8, 8)
    assert outcome.happened == "It held."


def test_a_check_must_pass_and_counts_nothing() -> None:
    row = Row("A6", "a fault", ("P4",), "It held.", tests=("a.py::one",), checks=("b.py",))
    assert (judge(row, WHOLE, long=False).injected, total([row], WHOLE, long=False)) == (7, (7, 7))
    failing = [*WHOLE[:2], case("b.py::two", "failed")]
    assert judge(row, failing, long=False).verdict == "broken"


def test_a_test_may_count_for_single_rows() -> None:
    both = [case("a.py::one", faults=12, A6=2, A7=10), case("b.py::two")]
    assert judge(ROW, both, long=False).injected == 3
    assert total([ROW], both, long=False) == (13, 13)


def test_a_failure_breaks_the_promise_and_none_of_its_faults_survived() -> None:
    outcome = judge(ROW, [*WHOLE, case("b.py::three", "failed")], long=False)
    assert (outcome.verdict, outcome.injected, outcome.survived) == ("broken", 9, 8)
    assert outcome.happened == "b.py::three: why"


def test_what_was_not_run_is_not_called_kept() -> None:
    assert judge(ROW, WHOLE[:2], long=False).verdict == "missing"
    assert judge(ROW, WHOLE, long=True).verdict == "missing"
    skipped = [case("a.py::one", "skipped"), case("b.py::two", "skipped")]
    assert judge(ROW, skipped, long=False).verdict == "not run"
    alone = Row("A6", "a fault", ("P4",), "It held.", long=("a.py::slow",))
    assert judge(alone, WHOLE, long=False).verdict == "not run"
    nowhere = Row("A6", "a fault", ("P4",), "It held.", not_here="There is none here.")
    outcome = judge(nowhere, WHOLE, long=False)
    assert (outcome.verdict, outcome.happened) == ("does not apply", "There is none here.")
    assert list(lines([outcome]))[2].count("|") == 7


def test_a_fault_that_stands_in_several_rows_counts_once() -> None:
    other = Row("A7", "another", ("P4",), "It held.", tests=("a.py::one",))
    assert total([ROW, other], WHOLE, long=False) == (8, 8)


def test_results_are_read_as_pytest_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "results.xml"
    file.write_text(
        """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite>
        <testcase classname="tests.engine.test_x" name="test_a[x/y]" time="0">
        <properties><property name="faults" value="20"/></properties></testcase>
        <testcase classname="tests.engine.test_x" name="test_b" time="0">
        <failure message="assert 1 == 2&#10; more">...</failure></testcase>
        <testcase classname="tests.engine.test_x" name="test_c" time="0">
        <properties><property name="faults A6" value="2"/><property name="faults A7" value="5"/>
        </properties></testcase>
        <testcase classname="tests.engine.test_x" name="test_d" time="0">
        <skipped type="pytest.skip" message="no browser">...</skipped></testcase>
        </testsuite></testsuites>"""
    )
    file_of = "tests/engine/test_x.py"
    assert read([file]) == [
        Case(f"{file_of}::test_a[x/y]", "passed", "", 20, {}),
        Case(f"{file_of}::test_b", "failed", "assert 1 == 2", 1, {}),
        Case(f"{file_of}::test_c", "passed", "", 7, {"A6": 2, "A7": 5}),
        Case(f"{file_of}::test_d", "skipped", "no browser", 1, {}),
    ]


def test_a_name_stands_for_itself_its_cases_and_the_tests_of_a_file() -> None:
    assert is_of("a.py::one[x]", "a.py::one") and is_of("a.py::one", "a.py")
    assert not is_of("a.py::one_more", "a.py::one")
    assert not is_of("a.py::one[xy]", "a.py::one[x]")
