"""What a training leaves for people to look at: what it ran on, and forecasts of three windows."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from data import synthetic
from data.registry import DATASETS
from data.series import series
from data.source import load
from data.windows import Windows
from informer.commit import commit_of, note_commit
from informer.config import RunConfig
from informer.environment import environment
from informer.files import digest_of
from informer.forecasts import COLUMNS, forecasts
from informer.metrics import Errors
from informer.model import Informer
from informer.records import Generated, Success
from informer.rundir import RunDir
from informer.training import evaluate, train

CPU = torch.device("cpu")


@pytest.fixture
def run(tiny: RunConfig, tmp_path: Path) -> RunDir:
    """A run folder in which `tiny` was trained for an epoch, to forecast one column."""
    run = RunDir(tmp_path / "run")
    changes = {"training.epochs": 1, "training.steps_per_epoch": 2, "data.target": "MUFL"}
    run.create(tiny.with_changes({**changes, "data.features": "MS"}))
    assert isinstance(train(run.read_config(), run), Success)
    return run


def test_the_forecasts_are_those_of_the_kept_weights_on_the_windows_that_their_names_say(
    run: RunDir,
) -> None:
    found = run.read_forecasts()
    assert found is not None and found.forecast_columns == 1
    windows = Windows(series("tiny", "MS", "MUFL"), "val", 24, 6, CPU)
    model = Informer(run.read_config()).eval()
    model.load_state_dict(safetensors.torch.load_file(run.weights))
    every = windows.batch(torch.arange(len(windows)))
    with torch.inference_mode():
        scaled = model(every.values, every.known)
    errors = (scaled - every.target).double().square().mean((1, 2)).tolist()
    ranked = sorted(range(len(errors)), key=errors.__getitem__)
    named = {window.which: window for window in found.windows}
    assert {which: window.window for which, window in named.items()} == {
        "worst": ranked[-1],
        "median": ranked[(len(ranked) - 1) // 2],
        "best": ranked[0],
    }
    frame = load("tiny")["MUFL"]
    scaler = series("tiny", "MS", "MUFL").scaler
    for window in found.windows:
        assert window.mse == pytest.approx(errors[window.window], rel=1e-5)
        (column,) = window.columns
        assert column.name == "MUFL" and len(column.past) == 24
        known = frame[pd.DatetimeIndex(window.dates)].to_numpy()
        assert (*column.past, *column.truth) == pytest.approx(known, rel=1e-6)
        own = scaled[window.window, :, 0].double().numpy() * scaler.scale[2] + scaler.centre[2]
        assert column.forecast == pytest.approx(own, rel=1e-4)
        assert window.begins == frame.index[800 + window.window]


def test_of_many_columns_and_a_long_horizon_the_worst_are_kept_in_a_file_that_stays_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = tuple(f"σ {number}" for number in range(117))
    wide = dataclasses.replace(
        DATASETS["synthetic"], name="wide", columns=columns, target="σ 0", split_rows=(900, 725, 1)
    )
    monkeypatch.setitem(DATASETS, "wide", wide)
    source = series("wide", "M", "σ 0")
    for horizon in (24, 720):
        windows = Windows(source, "val", 336, horizon, CPU)

        def of_zeros(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(values), horizon, 117)  # noqa: B023

        errors = evaluate(of_zeros, windows, 64)
        found = forecasts(of_zeros, windows, errors, source)
        assert found.forecast_columns == 117
        assert len(found.model_dump_json()) < 500_000
        by_column = dict(zip(columns, errors.squared.mean(axis=0), strict=True))
        worst = sorted(columns, key=by_column.__getitem__, reverse=True)
        for window in found.windows:
            kept = [column.name for column in window.columns]
            assert kept == worst[: len(kept)]
            assert len(kept) == COLUMNS if horizon == 24 else 1 < len(kept) <= COLUMNS


@pytest.mark.parametrize(("count", "numbers"), [(1, [0, 0, 0]), (2, [1, 0, 0]), (4, [3, 1, 0])])
def test_the_median_of_few_windows_is_one_of_them(count: int, numbers: list[int]) -> None:
    source, errors = series("synthetic", "S", "OT"), Errors()
    errors.add(torch.arange(count, dtype=torch.float64)[:, None, None].expand(count, 6, 1))
    windows = Windows(source, "val", 24, 6, CPU)
    found = forecasts(lambda values, known: values[:, :6], windows, errors, source)
    assert [window.window for window in found.windows] == numbers


def test_errors_by_window_do_not_depend_on_batches() -> None:
    values, errors = np.random.default_rng(0).normal(size=(101, 3, 7)), Errors()
    for part in np.array_split(values, [3, 50]):
        errors.add(torch.from_numpy(part))
    np.testing.assert_allclose(errors.by_window, (values**2).mean(axis=(1, 2)))


def test_the_environment_is_that_of_the_training(run: RunDir) -> None:
    found = run.read_environment()
    assert found is not None
    assert found.versions["torch"] == torch.__version__ and "Python" in found.versions
    assert found.versions["informer-nas"] and found.platform
    assert (found.device, found.threads) == ("cpu", 1)
    assert found.seed == run.read_config().training.seed
    assert found.data.name == "tiny" and found.data.sha256 is None
    parameters = Generated(rows=synthetic.ROWS, start=synthetic.START, seed=synthetic.SEED)
    assert found.data.generated == parameters
    assert found.data.rows == synthetic.ROWS
    assert found.data.splits == {"train": (0, 800), "val": (800, 860), "test": (860, 920)}


def test_data_from_a_file_are_known_by_its_checksum(etth1: Path) -> None:
    data = environment(series("ETTh1", "M", "OT"), "cpu", 1).data
    assert (data.sha256, data.generated) == (digest_of(etth1), None)


def test_the_commit_is_that_of_the_project_and_a_changed_file_shows(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
        command = ["git", *who, *arguments]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return ended.stdout.strip()

    git("init")
    assert commit_of(tmp_path) == (None, None), "there is no commit yet"
    commit_of.cache_clear()
    git("commit", "--allow-empty", "-m", "First.")
    commit = git("rev-parse", "HEAD")
    assert commit_of(tmp_path) == (commit, False)
    commit_of.cache_clear()
    (tmp_path / "new.py").touch()
    assert commit_of(tmp_path) == (commit, True)
    commit_of.cache_clear()
    inside = tmp_path / "inside"
    inside.mkdir()
    assert commit_of(inside) == (None, None), "the clone is another project's"
    copy = tmp_path / "copy"
    copy.mkdir()
    note_commit(tmp_path, copy)
    assert commit_of(copy) == (commit, True), "a copy on another machine has no git"


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(tmp_path) == (None, None)
