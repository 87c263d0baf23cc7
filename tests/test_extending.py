"""The changes that docs/extending.md shows apply to the project, are small, and do what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PAGE = (PROJECT / "docs" / "extending.md").read_text("utf-8")
PATCHES = dict(re.findall(r"^## An? ([^\n]+)\n.*?^```diff\n(.*?)^```$", PAGE, re.M | re.S))
MOST_LINES = 30

BLOCK = """
import torch
from informer.config import from_flat
from informer.cost import Shape, parameters
from informer.model import Informer

config = from_flat({"model.normalisation": "median", "model.d_model": 16, "model.d_ff": 16})
with torch.device("meta"):
    model = Informer(config)
assert sum(weights.numel() for weights in model.parameters()) == parameters(config)
shape = Shape.of(config)
model = Informer(config).eval()
values = torch.randn(2, 96, shape.columns)
known = torch.zeros(2, 96 + 24, len(shape.calendar) + shape.known)
with torch.no_grad():
    raised = model(values + 5, known) - model(values, known)
assert raised.shape == (2, 24, 7)
torch.testing.assert_close(raised, torch.full_like(raised, 5.0), rtol=0, atol=1e-3)
"""

SEARCH = """
import sys
from pathlib import Path
from nas_engine.store import wishes
from nas_engine.commands import Start, send
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.store.reader import reading
from nas_engine.workspace import Workspace
from tests.fakes.trainer import FakeTrainer

def search(**spec):
    workspace = Workspace(Path(sys.argv[1]) / "nas.db")
    spec = SearchSpec(max_trials=4, rules={"seeds": 2, "extra_seeds": 0}, **spec)
    command = send(workspace, Start(spec=spec), None)
    serve(workspace, load_settings(), lambda slot, spec: FakeTrainer(), command)
    with reading(workspace) as reader:
        row = wishes.command(reader, command)
        assert row.state == "applied", row.answer
        return reader.trials(row.search_id)
"""

PLANNER = f"""{SEARCH}
trials = search(planner="mutation")
assert [trial.source for trial in trials] == ["default", *3 * ["mutation"]], trials
assert all(trial.state == "completed" and len(trial.changes) == 1 for trial in trials[1:])
"""

OBJECTIVE = f"""{SEARCH}
from nas_engine.amounts import aims_text, amount
from nas_engine.front import front
from nas_engine.objectives import parse_bounds, written
assert parse_bounds("under 0.4 MAE") == {{"val_mae": 0.4}}
assert parse_bounds(written({{"val_mae": 0.4}})) == {{"val_mae": 0.4}}
assert amount("val_mae", 0.25) == "0.25 MAE"
wanted = {{"objectives": ("val_mse", "val_mae"), "at_most": {{"val_mae": 9}}}}
trials = search(planner="tpe", **wanted)
assert [trial.state for trial in trials] == 4 * ["completed"]
assert trials[0].accepted and trials[0].val_mae < 9
spec = SearchSpec(**wanted)
assert "trades the error against absolute error, under 9 MAE" in aims_text(spec)
assert trials[0] in front(trials, spec) or any(row.accepted for row in trials[1:])
"""

DATASET = """
import sys
from data.series import series
from data.source import locate
from informer.config import from_flat
assert locate("Tides").parent.samefile(sys.argv[1])
assert series("Tides", "M", "north") is not None
from_flat({"data.dataset": "Tides", "data.target": "south", "data.features": "S"})
"""

PROVED_BY = {"block": BLOCK, "planner": PLANNER, "data set": DATASET, "objective": OBJECTIVE}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all four changes."""
    copy = tmp_path_factory.mktemp("changed")
    left_out = shutil.ignore_patterns("__pycache__")
    for part in ("nas_engine", "informer", "data", "pages"):
        shutil.copytree(PROJECT / part, copy / part, ignore=left_out)
    (copy / "tests" / "fakes").mkdir(parents=True)
    shutil.copy(PROJECT / "tests" / "fakes" / "trainer.py", copy / "tests" / "fakes")
    for name, patch in PATCHES.items():
        applied = subprocess.run(
            ["git", "apply", "-p0", "-"],
            cwd=copy,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)},
            input=patch,
            capture_output=True,
            text=True,
        )
        assert applied.returncode == 0, f"the change of a {name}: {applied.stderr}"
    return copy


def write_tides(folder: Path) -> None:
    start = datetime(2025, 1, 1)
    rows = (
        f"{start + timedelta(hours=at)},{300 + 9 * (at % 12)},{200 + 7 * ((at + 3) % 24)}"
        for at in range(1200)
    )
    (folder / "tides.csv").write_text("\n".join(["date,north,south", *rows, ""]))


def test_each_kind_of_change_is_shown_and_proved() -> None:
    assert set(PATCHES) == set(PROVED_BY)


@pytest.mark.parametrize("name", list(PROVED_BY))
def test_a_change_is_small(name: str) -> None:
    added = re.findall(r"^\+(?!\+\+ )(.*\S.*)$", PATCHES[name], re.MULTILINE)
    assert 0 < len(added) <= MOST_LINES


@pytest.mark.parametrize("name", list(PROVED_BY))
def test_a_change_does_what_it_says(name: str, changed: Path, tmp_path: Path) -> None:
    write_tides(tmp_path)
    ended = subprocess.run(
        [sys.executable, "-c", PROVED_BY[name], str(tmp_path)],
        cwd=changed,
        env={**os.environ, "NAS_DATA_DIRS": str(tmp_path), "PYTHONPATH": str(changed)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
