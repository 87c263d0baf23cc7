"""Training of one configuration, in a run folder.

The recipe is that of Informer2020 where the configuration does not say otherwise, with three
differences: evaluation covers all windows and is exact, the test part is looked at once, with the
weights that were best on validation, and weights that gave no finite error are never kept.
"""

from __future__ import annotations

import logging
import math
import os
import time
import traceback
from collections.abc import Callable, Mapping

# By default OpenMP threads spin while they wait: two trainings on the same cores then take twenty
# times as long, not twice. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import safetensors.torch
import torch
from torch import Tensor, nn

from data.registry import DataError
from data.series import series
from data.windows import Windows
from informer.config import RunConfig, TrainingConfig
from informer.metrics import Errors
from informer.model import Informer
from informer.rundir import Epoch, Failure, Progress, RunDir, Success

PROGRESS_SECONDS = 1.0

OnRecord = Callable[[Progress | Epoch], None]

_OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "SGD": torch.optim.SGD,
}

# Factor of the learning rate in epoch 0, 1, ... of so many.
_SCHEDULES: Mapping[str, Callable[[int, int], float]] = {
    "Halving": lambda epoch, epochs: 0.5 ** max(0, epoch - 1),
    "StepLR": lambda epoch, epochs: 0.1 ** (epoch // math.ceil(epochs / 3)),
    "CosineAnnealingLR": lambda epoch, epochs: (1 + math.cos(math.pi * epoch / epochs)) / 2,
    "Constant": lambda epoch, epochs: 1.0,
}

_CRITERIA: Mapping[str, type[nn.Module]] = {
    "MSELoss": nn.MSELoss,
    "L1Loss": nn.L1Loss,
    "SmoothL1Loss": nn.SmoothL1Loss,
    "HuberLoss": nn.HuberLoss,
}

_log = logging.getLogger(__name__)


class NonfiniteError(ArithmeticError):
    """Training diverged; the message names where, and what is most likely to blame."""


class DeviceError(ValueError):
    """The device that was asked for is not there."""


def train(config: RunConfig, run: RunDir, on_record: OnRecord | None = None) -> Success | Failure:
    """Train `config` in the folder `run`, and leave metrics, weights and result there.

    Every record is appended to the folder and then given to `on_record`. An error becomes a
    `Failure`; only what is meant to end the process (such as KeyboardInterrupt) is raised.
    """

    def record(metric: Progress | Epoch) -> None:
        run.append(metric)
        if on_record is not None:
            on_record(metric)

    result: Success | Failure
    try:
        result = _Training(config, run, record).result()
    except Exception as error:
        result = failure(error, config)
        _log.exception("Training failed.")
    run.write_result(result)
    return result


def failure(error: Exception, config: RunConfig) -> Failure:
    """Return what `error` means for the person who chose `config`."""
    text = "".join(traceback.format_exception(error))
    match error:
        case DeviceError():
            return Failure(error_class="config", message=str(error), traceback=text)
        case DataError():
            return Failure(error_class="data", message=str(error), traceback=text)
        case NonfiniteError():
            return Failure(error_class="nonfinite", message=str(error), traceback=text)
        case _ if _out_of_memory(error):
            message = (
                f"Memory ran out; lower data.batch_size ({config.data.batch_size}), data.seq_len "
                f"({config.data.seq_len}) or model.d_model ({config.model.d_model})."
            )
            return Failure(error_class="out_of_memory", message=message, traceback=text)
        case _:
            message = f"{type(error).__name__}: {error}"
            return Failure(error_class="error", message=message, traceback=text)


def use_threads(count: int) -> None:
    """Train with this many CPU threads."""
    torch.set_num_threads(count)


def choose_device(name: str) -> torch.device:
    """Return the device that `training.device` means; raises DeviceError where it is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "training.device is cuda, but this machine has no GPU that torch can use; "
            "take auto or cpu."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def evaluate(model: nn.Module, windows: Windows, batch_size: int) -> Errors:
    """Return the errors of `model` over all windows, on scaled data."""
    model.eval()
    errors = Errors()
    with torch.inference_mode():
        for batch in windows.batches(batch_size):
            errors.add(model(batch.values, batch.known).double() - batch.target)
    return errors


class _Training:
    """One training under way."""

    def __init__(self, config: RunConfig, run: RunDir, record: OnRecord) -> None:
        self._began = time.monotonic()
        self._config, self._run, self._record = config, run, record
        self._device = choose_device(config.training.device)
        data = config.data
        source = series(data.dataset, data.features, data.target)
        self._train, self._val, self._test = (
            Windows(source, split, data.seq_len, data.pred_len, self._device)
            for split in ("train", "val", "test")
        )
        torch.manual_seed(config.training.seed)
        self._order = torch.Generator().manual_seed(config.training.seed)
        self._model = Informer(config, source.values.shape[1]).to(self._device)
        self._optimizer = _optimizer(config.training, self._model)
        self._criterion = _CRITERIA[config.training.criterion_class]()
        self._parameters = sum(weight.numel() for weight in self._model.parameters())
        # As published, the last windows of an epoch that fill no batch are left out.
        steps = max(1, len(self._train) // data.batch_size)
        self._losses = torch.empty(
            min(steps, config.training.steps_per_epoch or steps), device=self._device
        )

    def result(self) -> Success:
        """Train until patience or epochs run out, and judge the best weights on the test part."""
        training = self._config.training
        _log.info("%s parameters, %s windows", f"{self._parameters:,}", f"{len(self._train):,}")
        best, best_epoch, epoch = (math.inf, math.inf), 0, 0
        for epoch in range(1, training.epochs + 1):
            val = self._epoch(epoch)
            if val.mse < best[0]:
                best, best_epoch = (val.mse, val.mae), epoch
                self._keep_weights()
            elif epoch - best_epoch >= training.patience:
                break
        weights = safetensors.torch.load_file(self._run.weights, device=str(self._device))
        self._model.load_state_dict(weights)
        test = self._evaluate(self._test)
        return Success(
            val_mse=best[0],
            val_mae=best[1],
            test_mse=test.mse,
            test_mae=test.mae,
            best_epoch=best_epoch,
            epochs=epoch,
            parameters=self._parameters,
            seconds=time.monotonic() - self._began,
            device=_device_name(self._device),
        )

    def _epoch(self, epoch: int) -> Errors:
        """Train for one epoch, record it, and return the errors on validation."""
        began = time.monotonic()
        training = self._config.training
        lr = training.optimizer_params.lr
        lr *= _SCHEDULES[training.scheduler_class](epoch - 1, training.epochs)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        train_loss = self._steps(epoch)
        val = self._evaluate(self._val)
        finite = math.isfinite(val.mse)
        self._record(
            Epoch(
                epoch=epoch,
                train_loss=train_loss,
                val_mse=val.mse if finite else None,
                val_mae=val.mae if finite else None,
                lr=lr,
                seconds=time.monotonic() - began,
            )
        )
        if not finite:
            raise NonfiniteError(
                f"The validation error became {val.mse} after epoch {epoch}; {self._blame()}."
            )
        return val

    def _steps(self, epoch: int) -> float:
        """Run the optimiser steps of an epoch and return the mean loss."""
        steps, size = len(self._losses), self._config.data.batch_size
        order = torch.randperm(len(self._train), generator=self._order).to(self._device)
        self._model.train()
        reported = -math.inf
        for step in range(steps):
            batch = self._train.batch(order[step * size : (step + 1) * size])
            self._optimizer.zero_grad()
            loss = self._criterion(self._model(batch.values, batch.known), batch.target)
            loss.backward()
            self._optimizer.step()
            self._losses[step] = loss.detach()  # stays on the device: reading it would wait for it
            if (now := time.monotonic()) - reported >= PROGRESS_SECONDS:
                reported = now
                self._require_finite(epoch, self._losses[: step + 1])
                self._record(Progress(epoch=epoch, step=step + 1, steps=steps))
        self._require_finite(epoch, self._losses)
        return float(self._losses.double().mean())

    def _require_finite(self, epoch: int, losses: Tensor) -> None:
        faults = torch.nonzero(~torch.isfinite(losses))
        if len(faults):
            step = int(faults[0])
            before_any_step = epoch == 1 and step == 0
            cause = self._blame_data() if before_any_step else self._blame()
            raise NonfiniteError(
                f"The training loss became {float(losses[step])} in epoch {epoch}, step {step + 1} "
                f"of {len(self._losses)}; {cause}."
            )

    def _blame_data(self) -> str:
        return f"look for missing or huge values in data.dataset ({self._config.data.dataset})"

    def _blame(self) -> str:
        training = self._config.training
        return (
            f"training.optimizer_params.lr ({training.optimizer_params.lr:g}) is most likely too "
            f"high for {training.optimizer_class}, lower it"
        )

    def _evaluate(self, windows: Windows) -> Errors:
        # Without gradients, twice the batch takes less memory than a training step.
        return evaluate(self._model, windows, 2 * self._config.data.batch_size)

    def _keep_weights(self) -> None:
        temporary = self._run.weights.with_suffix(".tmp")
        safetensors.torch.save_file(self._model.state_dict(), temporary)
        os.replace(temporary, self._run.weights)


def _optimizer(training: TrainingConfig, model: nn.Module) -> torch.optim.Optimizer:
    arguments = training.optimizer_params
    return _OPTIMIZERS[training.optimizer_class](
        model.parameters(),
        lr=arguments.lr,  # type: ignore[call-arg]  # which each class of the table takes
        weight_decay=arguments.weight_decay,
        fused=True,
    )


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate" in str(error)
    )


def _device_name(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)
