"""Random histories of a search: `tests.chaos.soak`, a few and more; 200 are a command."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.engine.test_chaos import output_of

Recorder = Callable[[str, object], None]


def lived(histories: int, steps: int, record_property: Recorder) -> None:
    printed = output_of("tests.chaos.soak", "--histories", str(histories), "--steps", str(steps))
    (counts,) = re.findall(r"(\d+) histories, (\d+) faults, (\d+) with a violation", printed)
    played, faults, broken = map(int, counts)
    assert (played, broken) == (histories, 0)
    assert faults > histories
    record_property("faults", faults)


def test_random_histories_break_nothing(record_property: Recorder) -> None:
    lived(3, 15, record_property)


@pytest.mark.long
def test_many_random_histories_break_nothing(record_property: Recorder) -> None:
    lived(40, 30, record_property)
