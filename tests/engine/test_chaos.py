"""The short forms of the commands that kill engines, and break our own code to test the tests."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from nas_engine.workspace import PROJECT


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


def test_a_killed_engine_ends_like_one_that_was_not() -> None:
    """Every failpoint of the source is passed by some search here, or the command fails."""
    printed = output_of("tests.chaos", "--short", "--kills", "46", "--triples", "5")
    (total,) = re.findall(r"seed 1: (\d+) of (\d+) the same, (\d+) kills", printed)
    same, cases, kills = map(int, total)
    assert same == cases == 51
    assert kills > 36, "fewer than the points: kills came after the end"


def test_a_search_has_one_engine_whatever_happens() -> None:
    printed = output_of("tests.chaos.leases", "--rounds", "2", "--exit-seconds", "60")
    assert len(re.findall(r": 0 failures", printed)) == 4


@pytest.mark.long
def test_every_mutant_of_our_own_code_is_caught() -> None:
    printed = output_of("tests.mutants")
    assert len(re.findall(r"\bcaught\b", printed)) == 7
