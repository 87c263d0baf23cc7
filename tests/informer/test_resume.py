"""A training that was killed and taken up again ends with the same bits as one that was not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.informer.kills import DAMAGED, EPOCHS, WRITES

pytestmark = pytest.mark.xdist_group("kills")  # they share one run of `kills`

PROJECT = Path(__file__).resolve().parents[2]

Cases = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """What became of each case of `kills`."""
    folder = tmp_path_factory.mktemp("kills")
    command = [sys.executable, "-m", "tests.informer.kills", str(folder)]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return {case["name"]: case["end"] for case in map(json.loads, ended.stdout.splitlines())}


def ends(cases: Cases, start: str) -> list[dict[str, Any]]:
    return [end for name, end in cases.items() if name.startswith(start)]


def test_the_undisturbed_training_could_tell_a_difference(cases: Cases) -> None:
    whole = cases["undisturbed"]
    assert whole["result"]["epochs"] == EPOCHS
    assert whole["result"]["best_epoch"] not in (0, EPOCHS), "the best weights are the last"
    assert whole["checkpoints"] == 0


@pytest.mark.parametrize(("start", "count"), [("SIGKILL", 5), ("SIGTERM twice", 3)])
def test_it_may_be_killed_inside_an_epoch(
    cases: Cases, start: str, count: int, record_property: Callable[[str, object], None]
) -> None:
    assert ends(cases, start) == [cases["undisturbed"]] * count
    record_property("faults", count)


def test_it_may_be_killed_between_any_two_writes_with_the_newest_checkpoint_damaged_too(
    cases: Cases, record_property: Callable[[str, object], None]
) -> None:
    count = WRITES + len(DAMAGED)
    assert ends(cases, "write") == [cases["undisturbed"]] * count
    record_property("faults", count)


def test_without_its_generators_it_would_end_otherwise(cases: Cases) -> None:
    (control,) = ends(cases, "control")
    assert control["epochs"] != cases["undisturbed"]["epochs"]
