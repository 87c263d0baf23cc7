"""What tests did: run by pytest here, or read from the results of a run that was made anyway."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """One case of a test, and how many faults it injected."""

    test: str  # as pytest names it
    outcome: Literal["passed", "failed", "skipped"]
    why: str  # it failed or was skipped: the first line
    faults: int
    """As the test recorded with `record_property("faults", ...)`; a test that records nothing
    injects one fault in each of its cases."""
    of_rows: Mapping[str, int]
    """As it recorded for single rows, with `record_property("faults A6", ...)`."""

    def injected(self, row: str) -> int:
        """Return how many faults of a row it injected."""
        return self.of_rows.get(row, 0) if self.of_rows else self.faults


def run(tests: Sequence[str], long: bool, results: Path) -> list[Case]:
    """Run tests with pytest, which writes its results to a file, and return what they did."""
    there = [test for test in tests if (PROJECT / test.partition("::")[0]).exists()]
    chosen = [] if long else ["-m", "not long"]
    options = ["-q", "--no-header", "-p", "no:cacheprovider", f"--junitxml={results}", *chosen]
    subprocess.run([sys.executable, "-m", "pytest", *options, *there], cwd=PROJECT, check=False)
    return read([results])


def read(results: Iterable[Path]) -> list[Case]:
    """Return the cases of files that pytest wrote with --junitxml."""
    return [
        _case(element) for path in results for element in ElementTree.parse(path).iter("testcase")
    ]


def _case(element: ElementTree.Element) -> Case:
    recorded = {
        each.attrib["name"]: int(each.attrib["value"])
        for each in element.iter("property")
        if each.attrib["name"].startswith("faults")
    }
    of_rows = {name.removeprefix("faults "): n for name, n in recorded.items() if " " in name}
    outcome: Literal["passed", "failed", "skipped"] = "passed"
    why = ""
    for tag, means in (("skipped", "skipped"), ("failure", "failed"), ("error", "failed")):
        if (found := element.find(tag)) is not None:
            outcome = means  # type: ignore[assignment]
            why = (found.attrib.get("message") or "").strip().partition("\n")[0]
    return Case(
        test=f"{_file(element.attrib['classname'])}::{element.attrib['name']}",
        outcome=outcome,
        why=why,
        faults=sum(of_rows.values()) if of_rows else recorded.get("faults", 1),
        of_rows=of_rows,
    )


def _file(classname: str) -> str:
    """Return the file of a test: results have it with dots."""
    return classname.replace(".", "/") + ".py"
