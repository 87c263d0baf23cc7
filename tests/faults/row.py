"""A row of the table of faults: what goes wrong, what was promised, and the tests that inject it.

A row has no code of its own. It names tests, which inject the fault for real and check what came
of it, and which the suite runs anyway; so a fault has one proof, wherever it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

PROMISES: dict[str, str] = {
    "P1": "What the screen showed as saved is saved: across kill -9 always, across a power cut "
    "for decisions, results and money.",
    "P2": "Any stop, anywhere: resuming ends with the same table and the same best trial, and "
    "trains no finished proposal a second time.",
    "P3": "At most one question to a model and one piece of a training are paid twice for each "
    "kill, and both are counted.",
    "P4": "One search, one engine, one writer: an engine that was paused and wakes up cannot "
    "write.",
    "P5": "A training can fail in any way; the search goes on, or stops with a sentence that says "
    "why.",
    "P6": "No sentence of a language model, a file or a web page is ever executed, imported, used "
    "as a path or fetched.",
    "P7": "The budget is a wall, not an alarm.",
    "P8": "A key is in one place, and in nothing that is written.",
    "P9": "Out of the box only this computer can reach the dashboard; others only with a login.",
    "P10": "Nothing is sent but to what was configured: a language model, a webhook, a cluster.",
}


@dataclass(frozen=True)
class Row:
    """A fault of the table."""

    name: str  # of its group, A to E, and its number
    fault: str
    promises: tuple[str, ...]
    happens: str
    """What the tests assert, as a sentence."""
    tests: tuple[str, ...] = ()
    """Tests that inject the fault, as pytest names them: a file, a test, or one case of it."""
    long: tuple[str, ...] = ()
    """Tests that take longer, and are run when asked for."""
    checks: tuple[str, ...] = ()
    """Tests that must pass, too, but inject nothing."""
    not_here: str = ""
    """What of the row does not apply, and why; without any tests, none of it does."""

    def named(self, long: bool) -> tuple[str, ...]:
        """Return all its tests, with those that take longer or without."""
        return self.tests + self.checks + self.long * long

    def injected_by(self, case: str) -> bool:
        """Whether a case of its tests injects something."""
        return not any(is_of(case, test) for test in self.checks)


def is_of(case: str, test: str) -> bool:
    """Whether a case, as pytest names it, is one of a test or of a file of tests."""
    return case == test or case.startswith((f"{test}[", f"{test}::"))
