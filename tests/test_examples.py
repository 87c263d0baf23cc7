"""The examples run, as their first lines say, on tiny budgets and with real trainings."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((PROJECT / "examples").glob("*.py"))


def run(name: str, *arguments: object, code: int = 0) -> str:
    """Run an example in the environment of the test, and return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-m", f"examples.{name}", *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) < 40
    assert f"python -m examples.{path.stem}" in text.partition('"""\n\n')[0]


def test_there_is_a_test_for_every_example() -> None:
    assert [path.stem for path in SCRIPTS] == ["own_csv", "own_planner", "results", "search"]


def test_search_and_read_the_results() -> None:
    told = run("search", "--trials", 2, "--epochs", 1, "--steps", 2, "--seeds", 1)
    assert "trial 0: " in told and "trial 1: " in told
    assert "repeat-last, without training: " in told
    assert "Best: trial " in told and "python -m nas_engine bundle 1" in told
    rows = run("results", "--where", "val_mse<100")
    assert "default" in rows and "portfolio" in rows and "accepted" in rows


def test_results_without_a_search() -> None:
    assert run("results", code=1) == ""


@pytest.mark.long
def test_a_planner_outside_of_the_engine() -> None:
    told = run("own_planner", "--trials", 2, "--steps", 2)
    assert "Trial 1 is queued." in told
    assert "human" in run("results")


@pytest.mark.long
def test_a_csv_of_ones_own(tmp_path: Path) -> None:
    hours = (datetime(2025, 1, 1) + timedelta(hours=at) for at in range(1500))
    rows = [f"{hour:%Y-%m-%d %H:%M},{10 + hour.hour}" for hour in hours]
    rows[700] = rows[700].partition(",")[0] + ","
    file = tmp_path / "mine.csv"
    file.write_text("\n".join(["date,load", *rows, ""]))
    assert "Must be settled: " in run("own_csv", file, "mine", code=1)
    told = run("own_csv", file, "mine", "--fill", "interpolate", "--trials", 1, "--steps", 2)
    assert "Best: " in told and "trial 0" in told
