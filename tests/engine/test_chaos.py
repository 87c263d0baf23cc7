"""The short forms of the commands that kill engines, and break our own code to test the tests."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from nas_engine.workspace import PROJECT
from tests.chaos.leases import JUMPS, LATE_WRITES


def output_of(*arguments: str) -> str:
    """Return what a command prints; it must end well."""
    ended = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


Recorder = Callable[[str, object], None]


def kills_in(printed: str, cases: int) -> int:
    """Return how many kills came; every search must have ended like the undisturbed one."""
    (total,) = re.findall(r"seed \d+: (\d+) of (\d+) the same, (\d+) kills", printed)
    same, played, kills = map(int, total)
    assert same == played == cases
    return kills


def test_a_killed_engine_ends_like_one_that_was_not(record_property: Recorder) -> None:
    """Every failpoint of the source is passed by some search here, or the command fails."""
    kills = kills_in(output_of("tests.chaos", "--short", "--kills", "46", "--triples", "5"), 51)
    assert kills > 36, "fewer than the points: kills came after the end"
    record_property("faults", kills)


@pytest.mark.long
def test_hundreds_of_kills_change_nothing(record_property: Recorder) -> None:
    kills = kills_in(output_of("tests.chaos", "--kills", "300", "--triples", "100"), 400)
    assert kills > 300
    record_property("faults", kills)


def test_a_search_has_one_engine_whatever_happens(record_property: Recorder) -> None:
    of_leases(2, record_property)


@pytest.mark.long
def test_a_search_has_one_engine_whatever_happens_again_and_again(
    record_property: Recorder,
) -> None:
    of_leases(20, record_property)


def of_leases(rounds: int, record_property: Recorder) -> None:
    printed = output_of("tests.chaos.leases", "--rounds", str(rounds), "--exit-seconds", "60")
    assert len(re.findall(r": 0 failures", printed)) == 4
    record_property("faults A6", rounds)
    record_property("faults A7", rounds * (LATE_WRITES + 1))
    record_property("faults A14", len(JUMPS))


def test_a_mutant_of_our_own_code_is_caught(record_property: Recorder) -> None:
    """The one whose proof is the quickest."""
    record_property("faults", caught_in(output_of("tests.mutants", "--only", "no fencing")))


@pytest.mark.long
def test_every_mutant_of_our_own_code_is_caught(record_property: Recorder) -> None:
    caught = caught_in(output_of("tests.mutants"))
    assert caught == 7
    record_property("faults", caught)


def caught_in(printed: str) -> int:
    caught = len(re.findall(r"\bcaught\b", printed))
    assert caught > 0
    return caught
