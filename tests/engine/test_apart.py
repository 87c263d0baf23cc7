"""A process that is asked one thing: what it prints on the way, and its answer."""

from __future__ import annotations

import subprocess

import pytest

from nas_engine.apart import ask
from nas_engine.settings import load_settings


def test_lines_are_told_as_they_come_and_the_last_is_the_answer() -> None:
    told: list[str] = []
    answer, code = ask("calendar", "", load_settings(), 30.0, "2026", tell=told.append)
    assert code == 0 and told[0] == "2026" and len(told) > 20
    assert answer == told[-1]


def test_a_process_that_reads_no_order_is_heard_all_the_same() -> None:
    answer, code = ask("platform", "x" * 10**6, load_settings(), 30.0)
    assert code == 0 and answer


def test_a_process_that_takes_too_long_is_ended() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        ask("http.server", "", load_settings(), 0.5, "0")
