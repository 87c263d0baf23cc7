"""What a person has decided, and what was paid for, survives a power cut."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.power_cut import Commit, record_search, trials

CUTS = 300


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> list[Commit]:
    """What a real engine and a person wrote."""
    folder: Path = tmp_path_factory.mktemp("recorded")
    return record_search(folder)


def test_no_power_cut_loses_a_decision_and_a_database_that_syncs_less_would(
    commits: list[Commit], record_property: Callable[[str, object], None]
) -> None:
    proof, control = trials(commits, CUTS, seed=1)
    assert [(trial.count("lost"), trial.count("damaged")) for trial in proof] == [(0, 0)] * 2
    assert control.count("lost") > CUTS / 4
    record_property("faults", sum(len(trial.cuts) for trial in proof))


def test_all_but_metrics_waits_for_the_disk(commits: list[Commit]) -> None:
    text = {commit: " ".join(commit.statements) for commit in commits}
    for table in ("proposals", "trials", "runs", "verdicts", "commands", "llm_calls", "engines"):
        inserts = re.compile(rf'INTO "?{table}"?\s')
        writing = [c for c in commits if c.decision and inserts.search(text[c])]
        assert writing, f"the recorded search writes no row of {table}"
        assert {commit.synchronous for commit in writing} == {"FULL"}, table
    spared = Counter(commit.decision for commit in commits if commit.synchronous == "NORMAL")
    assert spared[False] > 0 and spared[True] == 0
