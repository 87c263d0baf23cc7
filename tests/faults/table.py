"""What the cases of tests come to: for each row how often it was injected, and whether it held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.faults.cases import Case
from tests.faults.row import PROMISES, Row, is_of

Verdict = Literal["kept", "broken", "missing", "not run", "does not apply"]


@dataclass(frozen=True)
class Outcome:
    """What came of a row."""

    row: Row
    verdict: Verdict
    injected: int
    survived: int
    happened: str
    """In a sentence: what the tests saw, or what went wrong, or why nothing was injected."""


def judge(row: Row, cases: Iterable[Case], long: bool) -> Outcome:
    """Return what the cases of all tests say of a row, of which some are its own."""
    named = row.named(long)
    own = [case for case in cases if any(is_of(case.test, test) for test in named)]
    missing = [test for test in named if not any(is_of(case.test, test) for case in own)]
    failed = [case for case in own if case.outcome == "failed"]
    passed = [case for case in own if case.outcome == "passed"]
    survived = sum(case.injected(row.name) for case in passed if row.injected_by(case.test))
    injected = survived + sum(
        case.injected(row.name) for case in failed if row.injected_by(case.test)
    )

    def outcome(verdict: Verdict, happened: str) -> Outcome:
        return Outcome(row, verdict, injected, survived, " ".join(happened.split()))

    if failed:
        return outcome("broken", f"{failed[0].test}: {failed[0].why}")
    if not named:
        why = "Its tests take longer: --long runs them." if row.long else row.not_here
        return outcome("not run" if row.long else "does not apply", why)
    if missing:
        return outcome("missing", f"{missing[0]} was not run.")
    if not passed:
        return outcome("not run", own[0].why)
    return outcome("kept", f"{row.happens} {row.not_here}")


def lines(outcomes: Sequence[Outcome]) -> Iterable[str]:
    """Yield the table as Markdown, whose first columns are aligned for a terminal too."""
    yield "| row | promise | injected | verdict        | fault | what happened |"
    yield "|-----|---------|---------:|----------------|-------|---------------|"
    for one in outcomes:
        promises = " ".join(one.row.promises)
        count = f"{one.injected:,}" if one.injected else "-"
        facts = f"{one.row.name:3} | {promises:7} | {count:>8} | {one.verdict:14}"
        yield f"| {facts} | {one.row.fault} | {one.happened} |"


def total(rows: Sequence[Row], cases: Iterable[Case], long: bool) -> tuple[int, int]:
    """Return how many faults were injected and survived: those of several rows count once."""
    injecting = {test for row in rows for test in row.tests + row.long * long}
    injected = survived = 0
    for case in cases:
        if case.outcome != "skipped" and any(is_of(case.test, test) for test in injecting):
            injected += case.faults
            survived += case.faults * (case.outcome == "passed")
    return injected, survived


def promises(rows: Sequence[Row]) -> Iterable[str]:
    """Yield each promise with its rows."""
    for name, text in PROMISES.items():
        own = [row.name for row in rows if name in row.promises]
        yield f"{name:3} {text} Rows: {', '.join(own)}."
