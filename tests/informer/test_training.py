from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from data.registry import DataError
from data.series import Series, series
from data.windows import Windows
from informer import training
from informer.config import RunConfig, Value, fields
from informer.metrics import Errors
from informer.model import Informer
from informer.rundir import Epoch, Failure, Progress, RunDir, Success
from informer.training import train


def trained(config: RunConfig, folder: Path) -> tuple[Success | Failure, RunDir]:
    run = RunDir(folder)
    run.create(config)
    return train(config, run), run


def completed(config: RunConfig, folder: Path) -> tuple[Success, RunDir]:
    result, run = trained(config, folder)
    assert isinstance(result, Success), result
    return result, run


def failed(config: RunConfig, folder: Path) -> tuple[Failure, RunDir]:
    result, run = trained(config, folder)
    assert isinstance(result, Failure)
    assert run.read_result() == result
    assert "\n" not in result.message
    return result, run


def test_a_run_leaves_metrics_weights_and_result(tiny: RunConfig, tmp_path: Path) -> None:
    result, run = completed(tiny, tmp_path / "run")
    records, _ = run.read_metrics()
    epochs = [record for record in records if isinstance(record, Epoch)]
    assert run.read_result() == result
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert result.val_mse == min(epoch.val_mse or math.inf for epoch in epochs)
    assert any(isinstance(record, Progress) for record in records)
    assert sorted(path.name for path in run.path.iterdir()) == [
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "result.json",
    ]


def test_the_kept_weights_give_the_reported_errors(tiny: RunConfig, tmp_path: Path) -> None:
    result, run = completed(tiny.with_changes({"training.epochs": 4}), tmp_path / "run")
    model = Informer(tiny, 7)
    model.load_state_dict(safetensors.torch.load_file(run.weights))
    model.eval()
    source = series("tiny", "M", "OT")
    for split, mse, mae in (
        ("val", result.val_mse, result.val_mae),
        ("test", result.test_mse, result.test_mae),
    ):
        windows = Windows(source, split, 24, 6, torch.device("cpu"))  # type: ignore[arg-type]
        batch = windows.batch(torch.arange(len(windows)))
        with torch.no_grad():
            error = (model(batch.values, batch.known) - batch.target).double()
        assert mse == pytest.approx(float(error.square().mean()), rel=1e-5)
        assert mae == pytest.approx(float(error.abs().mean()), rel=1e-5)


@pytest.mark.parametrize("attention", ["prob", "full"])
def test_training_twice_is_equal_to_the_last_bit(
    tiny: RunConfig, tmp_path: Path, attention: str
) -> None:
    config = tiny.with_changes({"model.attention": attention})
    torch.manual_seed(1)
    first, one = completed(config, tmp_path / "one")
    torch.manual_seed(2)
    second, two = completed(config, tmp_path / "two")
    assert one.weights.read_bytes() == two.weights.read_bytes()
    assert first.model_dump(exclude={"seconds"}) == second.model_dump(exclude={"seconds"})


def test_another_seed_gives_another_model(tiny: RunConfig, tmp_path: Path) -> None:
    first, _ = completed(tiny, tmp_path / "one")
    second, _ = completed(tiny.with_changes({"training.seed": 1}), tmp_path / "two")
    assert first.val_mse != second.val_mse


def test_it_learns(tmp_path: Path, tiny: RunConfig) -> None:
    changes: dict[str, Value] = {
        "data.dataset": "synthetic",
        "data.batch_size": 32,
        "training.steps_per_epoch": 60,
        "training.epochs": 3,
        "training.optimizer_params.lr": 3e-3,
        "training.scheduler_class": "Constant",
    }
    result, run = completed(tiny.with_changes(changes), tmp_path / "run")
    epochs = [record for record in run.read_metrics()[0] if isinstance(record, Epoch)]
    assert epochs[0].val_mse is not None
    assert result.val_mse < 0.8 * epochs[0].val_mse


def choices() -> list[tuple[str, Value]]:
    training_fields = {k: s for k, s in fields().items() if k.startswith("training.")}
    found = [(k, o) for k, s in training_fields.items() for o in s.options or () if o != "cuda"]
    return [*found, ("data.features", "S"), ("data.features", "MS"), ("data.batch_size", 4096)]


@pytest.mark.parametrize(("key", "value"), choices())
def test_every_choice_of_training_trains(
    tiny: RunConfig, tmp_path: Path, key: str, value: Value
) -> None:
    completed(
        tiny.with_changes({"training.epochs": 1, "training.steps_per_epoch": 2, key: value}),
        tmp_path,
    )


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("Halving", [1, 1, 0.5, 0.25, 0.125, 0.0625]),
        ("StepLR", [1, 1, 0.1, 0.1, 0.01, 0.01]),
        ("CosineAnnealingLR", [1, 0.9330, 0.75, 0.5, 0.25, 0.0670]),
        ("Constant", [1, 1, 1, 1, 1, 1]),
    ],
)
def test_the_learning_rate_follows_its_schedule(
    tiny: RunConfig, tmp_path: Path, schedule: str, factors: list[float]
) -> None:
    changes: dict[str, Value] = {
        "training.scheduler_class": schedule,
        "training.epochs": 6,
        "training.patience": 6,
        "training.steps_per_epoch": 1,
    }
    _, run = completed(tiny.with_changes(changes), tmp_path)
    rates = [record.lr for record in run.read_metrics()[0] if isinstance(record, Epoch)]
    assert rates == pytest.approx([1e-4 * factor for factor in factors], rel=1e-3)


def test_training_stops_when_patience_runs_out(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([3.0, 2.0, 2.5, 2.0, 9.0])

    def scripted(*_: object) -> Errors:
        found = Errors()
        found.add(torch.tensor([math.sqrt(next(errors))], dtype=torch.float64))
        return found

    monkeypatch.setattr(training, "evaluate", scripted)
    config = tiny.with_changes({"training.epochs": 9, "training.patience": 2})
    result, _ = completed(config, tmp_path)
    assert (result.best_epoch, result.epochs) == (2, 4)
    assert result.val_mse == pytest.approx(2.0)
    assert result.test_mse == pytest.approx(9.0)


@pytest.mark.usefixtures("diverging")
def test_a_loss_that_is_not_finite_fails_the_run_and_keeps_nothing(
    tiny: RunConfig, tmp_path: Path
) -> None:
    sgd: dict[str, Value] = {
        "training.optimizer_class": "SGD",
        "training.optimizer_params.lr": 0.5,
    }
    result, run = failed(tiny.with_changes(sgd), tmp_path)
    assert result.error_class == "nonfinite"
    assert re.search(r"became (inf|nan) in epoch 1, step \d+ of 48; ", result.message)
    assert "training.optimizer_params.lr (0.5) is most likely too high for SGD" in result.message
    assert "NonfiniteError" in result.traceback
    assert not run.weights.exists()


def test_a_loss_that_is_not_finite_at_once_is_the_fault_of_the_data(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def holes(name: str, *arguments: Any) -> Series:
        source = series(name, *arguments)
        return dataclasses.replace(source, values=source.values * math.nan)

    monkeypatch.setattr(training, "series", holes)
    result, _ = failed(tiny, tmp_path)
    assert result.error_class == "nonfinite"
    assert "data.dataset (tiny)" in result.message


def test_a_validation_error_that_is_not_finite_is_recorded_and_never_best(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(*_: object) -> Errors:
        found = Errors()
        found.add(torch.tensor([math.nan], dtype=torch.float64))
        return found

    monkeypatch.setattr(training, "evaluate", diverged)
    result, run = failed(tiny, tmp_path)
    assert result.error_class == "nonfinite"
    assert "after epoch 1" in result.message
    epochs = [record for record in run.read_metrics()[0] if isinstance(record, Epoch)]
    assert [epoch.val_mse for epoch in epochs] == [None]
    assert not run.weights.exists()


@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (DataError("The file is broken; replace it."), "data"),
        (torch.OutOfMemoryError("CUDA out of memory."), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("something else"), "error"),
    ],
)
def test_an_error_becomes_a_failure_of_its_class(
    tiny: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    error_class: str,
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(training, "series", broken)
    result, _ = failed(tiny, tmp_path)
    assert result.error_class == error_class
    assert type(error).__name__ in result.traceback


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(tiny: RunConfig, tmp_path: Path) -> None:
    result, _ = failed(tiny.with_changes({"training.device": "cuda"}), tmp_path)
    assert result.error_class == "config"
    assert "no GPU" in result.message


def test_errors_do_not_depend_on_how_they_are_cut_into_batches() -> None:
    errors = np.random.default_rng(0).normal(size=(101, 7))
    whole, parts = Errors(), Errors()
    whole.add(errors)
    for part in np.array_split(errors, [3, 50, 97]):
        parts.add(torch.from_numpy(part))
    assert parts.mse == pytest.approx((errors**2).mean(), rel=1e-14)
    assert parts.mae == pytest.approx(abs(errors).mean(), rel=1e-14)
    assert whole.mse == pytest.approx(parts.mse, rel=1e-14)
