"""What fuzzing has found: each input is judged as its name says, `OUTCOME-what-it-is.*`."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.fuzz.guided import SEEDS, TARGETS

FOUND = sorted(path for target in TARGETS for path in (SEEDS / target).glob("*"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_input_that_was_found_is_judged(path: Path) -> None:
    target = importlib.import_module(f"tests.fuzz.{path.parent.name}")
    assert target.judge(path.read_bytes()) == path.name.partition("-")[0]
