from __future__ import annotations

import dataclasses
import errno
import math
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
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
from informer.config import ConfigError, RunConfig, Value, fields
from informer.devices import DeviceError, choose_device, limit_memory, uses_bfloat16
from informer.metrics import Errors
from informer.model import Informer
from informer.records import Epoch, Failure, Progress, Success
from informer.rundir import RunDir
from informer.schedule import learning_rate
from informer.training import train
from tests.informer.conftest import figures, interrupt_in_epoch

ALL_WINDOWS: dict[str, Value] = {"training.steps_per_epoch": 0}


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
    result, run = completed(tiny.with_changes(ALL_WINDOWS), tmp_path / "run")
    records, _ = run.read_metrics()
    epochs = [record for record in records if isinstance(record, Epoch)]
    assert run.read_result() == result
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert result.val_mse == min(epoch.val_mse or math.inf for epoch in epochs)
    assert any(isinstance(record, Progress) for record in records)
    assert sorted(path.name for path in run.path.iterdir()) == [
        "config.json",
        "environment.json",
        "errors.json",
        "forecasts.json",
        "metrics.jsonl",
        "model.safetensors",
        "result.json",
    ]


def test_the_kept_weights_give_the_reported_errors(tiny: RunConfig, tmp_path: Path) -> None:
    result, run = completed(tiny.with_changes({"training.epochs": 4}), tmp_path / "run")
    model = Informer(tiny)
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
    assert figures(first) == figures(second)


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
    found = [
        (key, option)
        for key, spec in training_fields.items()
        if key not in ("training.device", "training.compile")
        for option in spec.options or ()
    ]
    found += [("training.device", "cpu"), ("training.warmup_steps", 1), ("training.clip_norm", 0.1)]
    return [*found, ("data.features", "S"), ("data.features", "MS"), ("data.batch_size", 512)]


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
def test_the_learning_rate_follows_its_schedule(schedule: str, factors: list[float]) -> None:
    config = RunConfig().with_changes({"training.scheduler_class": schedule, "training.epochs": 6})
    for step in range(6 * 10):
        rate = learning_rate(config.training, step, 10)
        assert rate == pytest.approx(1e-4 * factors[step // 10], rel=1e-3)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 4), (2, 10), (6, 7)])
def test_one_cycle_is_that_of_torch(epochs: int, steps: int) -> None:
    config = RunConfig().with_changes(
        {"training.scheduler_class": "OneCycleLR", "training.epochs": epochs}
    )
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-4)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-4, epochs=epochs, steps_per_epoch=steps, cycle_momentum=False
    )
    for step in range(epochs * steps):
        rate = learning_rate(config.training, step, steps)
        assert rate == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < epochs * steps - 1:
            scheduler.step()


def test_one_cycle_of_a_single_step_has_a_rate() -> None:
    config = RunConfig().with_changes(
        {"training.scheduler_class": "OneCycleLR", "training.epochs": 1}
    )
    assert 0 < learning_rate(config.training, 0, 1) <= 1e-4


def test_warm_up_rises_to_the_rate_of_the_schedule() -> None:
    config = RunConfig().with_changes({"training.warmup_steps": 4})
    rates = [learning_rate(config.training, step, 100) for step in range(6)]
    assert rates == pytest.approx([0.25e-4, 0.5e-4, 0.75e-4, 1e-4, 1e-4, 1e-4])


def test_the_recorded_learning_rate_is_that_of_the_epoch(tiny: RunConfig, tmp_path: Path) -> None:
    config = tiny.with_changes({"training.epochs": 3, "training.steps_per_epoch": 1})
    _, run = completed(config, tmp_path)
    rates = [record.lr for record in run.read_metrics()[0] if isinstance(record, Epoch)]
    assert rates == pytest.approx([1e-4, 1e-4, 5e-5])


def test_clipping_bounds_the_step(tiny: RunConfig, tmp_path: Path) -> None:
    """One step of SGD at rate 1 moves the weights by the norm of the gradient."""

    def moved(clip: float) -> float:
        torch.manual_seed(tiny.training.seed)
        before = Informer(tiny).state_dict()
        config = tiny.with_changes(
            {
                "training.epochs": 1,
                "training.steps_per_epoch": 1,
                "training.optimizer_class": "SGD",
                "training.optimizer_params.lr": 1.0,
                "training.clip_norm": clip,
            }
        )
        _, run = completed(config, tmp_path / str(clip))
        after = safetensors.torch.load_file(run.weights)
        trained = [name for name in before if "running" not in name and "tracked" not in name]
        return math.sqrt(sum(float((after[n] - before[n]).square().sum()) for n in trained))

    assert moved(0.05) == pytest.approx(0.05, rel=1e-3)
    assert moved(0.0) > 0.2


# -- interruption -------------------------------------------------------------------------------

RESUMED: dict[str, dict[str, Value]] = {
    "adam": ALL_WINDOWS,
    "adamw": {"training.optimizer_class": "AdamW", "training.scheduler_class": "OneCycleLR"},
    "sgd": {"training.optimizer_class": "SGD", "training.warmup_steps": 24},
    "patience": {"training.patience": 2, "training.optimizer_params.lr": 0.05},
}


@pytest.mark.parametrize("changes", RESUMED.values(), ids=RESUMED)
def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not_to_the_last_bit(
    tiny: RunConfig,
    tmp_path: Path,
    changes: dict[str, Value],
) -> None:
    """By each way to train; tests.informer.kills tries each moment."""
    config = tiny.with_changes({"training.epochs": 4, "model.dropout": 0.2, **changes})
    whole, undisturbed = completed(config, tmp_path / "whole")
    run = RunDir(tmp_path / "stopped")
    assert run.create(config) == 0
    finished = [r for r in undisturbed.read_metrics()[0] if isinstance(r, Epoch)]
    with pytest.raises(KeyboardInterrupt):
        train(config, run, interrupt_in_epoch(2))
    assert run.read_result() is None
    torch.manual_seed(99)
    assert run.create(config) == 1
    resumed = train(config, run)
    assert isinstance(resumed, Success)
    assert run.weights.read_bytes() == undisturbed.weights.read_bytes()
    assert run.details.read_bytes() == undisturbed.details.read_bytes()
    assert run.forecasts.read_bytes() == undisturbed.forecasts.read_bytes()
    assert figures(resumed) == figures(whole)
    again = [r for r in run.read_metrics()[0] if isinstance(r, Epoch)]
    assert [r.model_dump(exclude={"seconds"}) for r in again] == [
        r.model_dump(exclude={"seconds"}) for r in finished
    ]
    assert run.checkpoint() is None


def test_training_stops_when_patience_runs_out(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([3.0, 2.0, 2.5, 2.0, 9.0])  # four epochs, then the test part

    def scripted(*_: object) -> Errors:
        found = Errors()
        found.add(torch.full((1, 6, 7), math.sqrt(next(errors)), dtype=torch.float64))
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
    result, run = failed(tiny.with_changes(sgd | ALL_WINDOWS), tmp_path)
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
        found.add(torch.full((1, 6, 7), math.nan, dtype=torch.float64))
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
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk"),
        (PermissionError(errno.EACCES, "Permission denied"), "error"),
        (torch.AcceleratorError("CUDA error: device-side assert triggered\nand so on"), "device"),
        (RuntimeError("CUDA driver error: unknown error"), "device"),
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


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow larger, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_fails_the_run_which_goes_on_where_it_was_when_there_is_space(
    tiny: RunConfig, tmp_path: Path
) -> None:
    whole, _ = completed(tiny, tmp_path / "whole")
    run = RunDir(tmp_path / "run")
    run.create(tiny)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, run, interrupt_in_epoch(2))
    run.create(tiny)
    with files_of_at_most(20_000):  # less than a checkpoint
        result = train(tiny, run)
    assert isinstance(result, Failure) and result.error_class == "disk", result
    assert result.message.startswith("The disk is full") and "free some space" in result.message
    assert run.create(tiny) == 1
    again = train(tiny, run)
    assert figures(again) == figures(whole)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(tiny: RunConfig, tmp_path: Path) -> None:
    result, _ = failed(tiny.with_changes({"training.device": "cuda"}), tmp_path)
    assert result.error_class == "config"
    assert "no GPU" in result.message


def test_a_checkpoint_holds_everything_that_the_next_epoch_depends_on(
    tiny: RunConfig, tmp_path: Path
) -> None:
    run = RunDir(tmp_path)
    run.create(tiny)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, run, interrupt_in_epoch(2))
    found = run.checkpoint()
    assert found is not None
    names = set(safetensors.torch.load_file(found[1]))
    assert {"generator.cpu", "generator.order"} <= names
    assert any(name.startswith("optimizer.0.exp_avg") for name in names)
    assert any(name.startswith("model.network.encoder") for name in names)


# -- figures ------------------------------------------------------------------------------------


def test_the_details_are_errors_by_step_and_column_and_in_own_units(
    tiny: RunConfig, tmp_path: Path
) -> None:
    result, run = completed(
        tiny.with_changes({"data.features": "MS", "data.target": "MUFL"}), tmp_path
    )
    details = run.read_details()
    assert details is not None
    test = details.test
    assert test.columns == ("MUFL",) and len(test.mse_by_step) == 6
    assert np.mean(test.mse_by_step) == pytest.approx(result.test_mse)
    assert test.mse_by_column[0] == pytest.approx(result.test_mse)
    assert np.mean(test.mae_by_step) == pytest.approx(result.test_mae)
    source = series("tiny", "MS", "MUFL")
    model = Informer(run.read_config())
    model.load_state_dict(safetensors.torch.load_file(run.weights))
    windows = Windows(source, "test", 24, 6, torch.device("cpu"))
    batch = windows.batch(torch.arange(len(windows)))
    with torch.no_grad():
        forecast = model.eval()(batch.values, batch.known)[..., 0].double().numpy()
    mean, std = source.scaler.centre[2], source.scaler.scale[2]
    own = (forecast * std + mean) - (batch.target[..., 0].double().numpy() * std + mean)
    assert test.own_mae_by_column[0] == pytest.approx(abs(own).mean(), rel=1e-5)
    assert test.own_mse_by_column[0] == pytest.approx((own**2).mean(), rel=1e-5)
    assert test.mse_by_step[3] == pytest.approx((own[:, 3] ** 2).mean() / std**2, rel=1e-5)


def test_dropping_the_last_windows_is_named_in_the_result(tiny: RunConfig, tmp_path: Path) -> None:
    every, _ = completed(tiny, tmp_path / "all")
    whole, _ = completed(tiny.with_changes({"data.drop_last": True}), tmp_path / "whole")
    assert (every.windows, whole.windows) == ("all windows", "whole batches of 32")
    assert every.test_mse != whole.test_mse


def test_dropping_all_windows_is_refused(tiny: RunConfig) -> None:
    with pytest.raises(ConfigError, match=r"data.drop_last leaves nothing .* has 31 windows"):
        tiny.with_changes({"data.drop_last": True, "data.pred_len": 30})


def test_bfloat16_trains_to_nearly_the_same_error(tiny: RunConfig, tmp_path: Path) -> None:
    exact, _ = completed(tiny, tmp_path / "exact")
    half, _ = completed(tiny.with_changes({"training.precision": "bfloat16"}), tmp_path / "half")
    assert half.val_mse != exact.val_mse
    assert half.val_mse == pytest.approx(exact.val_mse, rel=0.05)


def test_precision_is_chosen_by_what_the_device_has(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda:1")
    assert not uses_bfloat16("auto", torch.device("cpu"))
    assert uses_bfloat16("bfloat16", torch.device("cpu"))
    for able in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda able=able: able)
        assert uses_bfloat16("auto", gpu) is able
        assert not uses_bfloat16("float32", gpu)


def test_the_device_is_chosen_per_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(DeviceError, match="cuda:2, but this machine has 2 GPUs"):
        choose_device("cuda:2")


def test_errors_do_not_depend_on_how_they_are_cut_into_batches() -> None:
    errors = np.random.default_rng(0).normal(size=(101, 3, 7))
    whole, parts = Errors(), Errors()
    whole.add(errors)
    for part in np.array_split(errors, [3, 50, 97]):
        parts.add(torch.from_numpy(part))
    assert parts.mse == pytest.approx((errors**2).mean(), rel=1e-14)
    assert parts.mae == pytest.approx(abs(errors).mean(), rel=1e-14)
    assert whole.mse == pytest.approx(parts.mse, rel=1e-14)
    np.testing.assert_allclose(parts.squared, (errors**2).mean(axis=0))
    np.testing.assert_allclose(parts.absolute, abs(errors).mean(axis=0))


@pytest.mark.parametrize(
    ("device", "share", "limited"),
    [
        ("cuda:1", 0.25, [(0.25, 1)]),
        ("cuda", 0.5, [(0.5, 0)]),
        ("cuda:1", 1.0, []),
        ("cpu", 0.5, []),
    ],
)
def test_a_share_of_memory_limits_the_gpu_of_the_training_and_touches_no_other(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    share: float,
    limited: list[tuple[float, int]],
) -> None:
    found: list[tuple[float, int]] = []
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *given: found.append(given)
    )
    limit_memory(torch.device(device), share)
    assert found == limited
