"""Training of one configuration, in a run folder.

The recipe is that of Informer2020 where the configuration does not say otherwise, with three
differences: evaluation covers all windows and is exact, the test part is looked at once, with the
weights that were best on validation, and weights that gave no finite error are never kept.

A training that was interrupted goes on from its last epoch and ends with the same bits on a CPU.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping

# By default OpenMP threads spin while they wait: two trainings on the same cores then take twenty
# times as long, not twice. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import safetensors
import torch
from torch import Tensor, nn

from data.registry import DataError
from data.series import Series, series
from data.splits import SPLITS
from data.windows import Batch, Windows
from informer import checkpoint
from informer.checkpoint import Standing
from informer.config import RunConfig, TrainingConfig
from informer.cost import steps_per_epoch
from informer.devices import (
    DeviceError,
    begin_peak,
    choose_device,
    device_name,
    limit_memory,
    peak_memory,
    uses_bfloat16,
)
from informer.environment import environment
from informer.files import ProtocolError, checkpoints, replace_text
from informer.forecasts import forecasts
from informer.inherit import UnfitWeightsError, begin_with
from informer.latency import latency_ms
from informer.metrics import Errors
from informer.model import Informer
from informer.records import (
    Details,
    Epoch,
    Failure,
    PartErrors,
    Progress,
    Success,
    judged_on,
)
from informer.rundir import RunDir, what_takes_memory
from informer.schedule import learning_rate

PROGRESS_SECONDS = 1.0
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

OnRecord = Callable[[Progress | Epoch], None]

_OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "SGD": torch.optim.SGD,
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


class TooSlowError(RuntimeError):
    """A forecast takes longer than the model may take; the message says how long."""

    def __init__(self, latency: float, at_most: float) -> None:
        """Name what was measured and what is allowed, in milliseconds."""
        self.latency_ms = latency
        super().__init__(f"A forecast takes {latency:.3g} ms, and this search allows {at_most:g}.")


class AskedToEnd(BaseException):
    """The training was asked to end; no error, and its checkpoints stay."""


def train(
    config: RunConfig,
    run: RunDir,
    on_record: OnRecord | None = None,
    memory_share: float = 1.0,
) -> Success | Failure:
    """Train `config` in the folder `run`, and leave metrics, weights and result there.

    Every record is appended to the folder and then given to `on_record`. An error becomes a
    `Failure`. On a GPU no more than `memory_share` of its memory is taken.

    Raises:
        AskedToEnd: the file `end` was put into the folder.
        OSError: not even the result can be written.
    """

    def record(metric: Progress | Epoch) -> None:
        run.append(metric)
        if on_record is not None:
            on_record(metric)

    result: Success | Failure
    try:
        result = Training(config, run, record, memory_share).result()
    except TooSlowError as error:
        result = failure(error, config)
        _log.info(result.message)
    except Exception as error:
        result = failure(error, config)
        _log.exception("Training failed.")
    run.write_result(result)
    if isinstance(result, Success):
        for _, path in checkpoints(run.path):
            path.unlink()
    return result


def failure(error: Exception, config: RunConfig) -> Failure:
    """Return what `error` means for the person who chose `config`."""
    text = "".join(traceback.format_exception(error))
    match error:
        case DeviceError():
            return Failure(error_class="config", message=str(error), traceback=text)
        case DataError():
            return Failure(error_class="data", message=str(error), traceback=text)
        case ProtocolError():
            return Failure(error_class="protocol", message=str(error), traceback=text)
        case TooSlowError():
            slow = error.latency_ms
            return Failure(error_class="infeasible", message=str(error), latency_ms=slow)
        case NonfiniteError():
            return Failure(error_class="nonfinite", message=str(error), traceback=text)
        case UnfitWeightsError():
            return Failure(error_class="weights", message=str(error), traceback=text)
        case _ if _out_of_memory(error):
            device = config.training.device
            message = f"Memory ran out on {device}; lower {what_takes_memory(config)}."
            return Failure(error_class="out_of_memory", message=message, traceback=text)
        case _ if _disk_full(error):
            message = f"The disk is full or a quota is used up ({error}); free some space."
            return Failure(error_class="disk", message=message, traceback=text)
        case _ if _device_lost(error):
            first = str(error).strip().partition("\n")[0]
            message = f"The GPU failed ({first}); see whether nvidia-smi still finds it."
            return Failure(error_class="device", message=message, traceback=text)
        case _ if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            message = "training.compile failed on this machine; set it to false."
            return Failure(error_class="config", message=message, traceback=text)
        case _:
            message = f"{type(error).__name__}: {error}"
            return Failure(error_class="error", message=message, traceback=text)


def use_threads(count: int) -> None:
    """Train with this many CPU threads, and keep the memory of one step for the next.

    The C library of Linux would give it back after each step, and fetch it again page by page.
    """
    torch.set_num_threads(count)
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):  # glibc
            library.mallopt(_M_MMAP_THRESHOLD, 2**30)
            library.mallopt(_M_TRIM_THRESHOLD, 2**30)


def evaluate(
    model: Callable[[Tensor, Tensor], Tensor], windows: Windows, batch_size: int
) -> Errors:
    """Return the errors of a forecaster over all of `windows`, on scaled data."""
    errors = Errors()
    with torch.inference_mode():
        for batch in windows.batches(batch_size):
            errors.add(model(batch.values, batch.known).double() - batch.target)
    return errors


def in_detail(errors: Errors, source: Series) -> PartErrors:
    """Return errors by horizon step and column, and on the scale of the data."""
    scale = source.scaler.scale[source.outputs]
    squared, absolute = errors.squared, errors.absolute  # (H, C_out)
    return PartErrors(
        columns=source.roles.forecast,
        mse_by_step=tuple(squared.mean(axis=1).tolist()),
        mae_by_step=tuple(absolute.mean(axis=1).tolist()),
        mse_by_column=tuple(squared.mean(axis=0).tolist()),
        mae_by_column=tuple(absolute.mean(axis=0).tolist()),
        own_mse_by_column=tuple((squared.mean(axis=0) * scale**2).tolist()),
        own_mae_by_column=tuple((absolute.mean(axis=0) * scale).tolist()),
    )


class Training:
    """One training under way."""

    def __init__(
        self, config: RunConfig, run: RunDir, record: OnRecord, memory_share: float = 1.0
    ) -> None:
        self._config, self._run, self._record = config, run, record
        self._orders = run.read_orders()
        self._device = choose_device(config.training.device)
        self._peak_counts = begin_peak(self._device)
        limit_memory(self._device, memory_share)
        data, training = config.data, config.training
        self._source = series(data.dataset, data.features, data.target)
        self.windows, self._val, self._test = (
            Windows(
                self._source,
                split,
                data.seq_len,
                data.pred_len,
                self._device,
                drop_last=data.drop_last,
            )
            for split in SPLITS
        )
        torch.manual_seed(training.seed)
        self._order = torch.Generator().manual_seed(training.seed)
        self.model = Informer(config).to(self._device)
        self._inherited = self._begun_with(self._orders.weights)
        # Compiled for training alone: its batches have one size, evaluation would compile again.
        self._trained = torch.compile(self.model) if training.compile else self.model
        self._optimizer = _optimizer(training, self.model)
        self._criterion = criterion(training)
        self._bfloat16 = uses_bfloat16(training.precision, self._device)
        self._parameters = sum(weight.numel() for weight in self.model.parameters())
        self._losses = torch.empty(steps_per_epoch(config), device=self._device)
        self._standing = self._resumed()
        self._best_val: Errors | None = None  # of its best weights; None where they were resumed

    def result(self) -> Success:
        """Train until patience or epochs run out, and judge the best weights on the test part."""
        training, standing = self._config.training, self._standing
        ran_on = environment(self._source, device_name(self._device), training.seed)
        replace_text(self._run.environment, ran_on.model_dump_json(indent=2))
        _log.info("%s parameters, %s windows", f"{self._parameters:,}", f"{len(self.windows):,}")
        self._time_forecasts()
        while (
            standing.epoch < training.epochs
            and standing.epoch - standing.best_epoch < training.patience
        ):
            self._epoch()
        self.model.load_state_dict(standing.best)
        checkpoint.save_weights(self._run.weights, standing.best)
        val = self._best_val or self._evaluate(self._val)
        test = self._evaluate(self._test)
        details = Details(val=in_detail(val, self._source), test=in_detail(test, self._source))
        replace_text(self._run.details, details.model_dump_json())
        shown = forecasts(self._forecast, self._val, val, self._source)
        replace_text(self._run.forecasts, shown.model_dump_json())
        return Success(
            val_mse=standing.best_mse,
            val_mae=standing.best_mae,
            test_mse=test.mse,
            test_mae=test.mae,
            best_epoch=standing.best_epoch,
            epochs=standing.epoch,
            parameters=self._parameters,
            seconds=standing.seconds,
            device=device_name(self._device),
            windows=judged_on(self._config.data.drop_last),
            latency_ms=standing.latency_ms,
            memory_mb=peak_memory(self._device) / 1e6 if self._peak_counts else None,
            inherited_share=self._inherited,
        )

    def _time_forecasts(self) -> None:
        """Measure the latency where that is asked, once for all attempts.

        Raises:
            TooSlowError: it is above what is allowed.
        """
        timing, at_most = self._orders.timing, self._orders.latency_at_most
        if timing is None:
            return
        latency = self._standing.latency_ms
        if latency is None:
            latency = self._standing.latency_ms = latency_ms(self.model, self._config, timing)
            _log.info("A batch of %s forecasts takes %.3g ms.", timing.batch, latency)
        if at_most is not None and latency > at_most:
            raise TooSlowError(latency, at_most)

    def _begun_with(self, weights: str | None) -> float | None:
        """Take over what fits of other weights and return its share; None where there are none."""
        if weights is None:
            return None
        share = begin_with(self.model, self._run.path / weights)
        _log.info("Begins with %.1f %% of its weights from %s.", 100 * share, weights)
        return share

    def _resumed(self) -> Standing:
        """Go on from the run's checkpoint where it has one."""
        found = self._run.checkpoint()
        if found is None:
            return Standing()
        standing = checkpoint.load(found[1], self.model, self._optimizer, self._order, self._device)
        _log.info("Goes on after epoch %s.", standing.epoch)
        return standing

    def _epoch(self) -> None:
        """Train for one epoch, record it, and keep the weights if they are the best so far."""
        began = time.monotonic()
        standing = self._standing
        epoch = standing.epoch + 1
        train_loss = self._steps(epoch)
        val = self._evaluate(self._val)
        finite = math.isfinite(val.mse)
        seconds = time.monotonic() - began
        if finite and val.mse < standing.best_mse:
            standing.best_epoch, standing.best_mse, standing.best_mae = epoch, val.mse, val.mae
            self._best_val = val
            standing.best = {
                name: value.to("cpu", copy=True) for name, value in self.model.state_dict().items()
            }
        standing.epoch = epoch
        standing.seconds += seconds
        self._record(
            Epoch(
                epoch=epoch,
                train_loss=train_loss,
                val_mse=val.mse if finite else None,
                val_mae=val.mae if finite else None,
                lr=self._learning_rate(epoch, step=0),
                seconds=seconds,
            )
        )
        if not finite:
            raise NonfiniteError(
                f"The validation error became {val.mse} after epoch {epoch}; {self._blame()}."
            )
        checkpoint.save(
            self._run.path,
            standing,
            self.model,
            self._optimizer,
            self._order,
            self._device,
        )

    def _steps(self, epoch: int) -> float:
        """Run the optimiser steps of an epoch and return the mean loss."""
        steps, size = len(self._losses), self._config.data.batch_size
        order = torch.randperm(len(self.windows), generator=self._order).to(self._device)
        self.model.train()
        reported = -math.inf
        for step in range(steps):
            for group in self._optimizer.param_groups:
                group["lr"] = self._learning_rate(epoch, step)
            loss = self.step(self.windows.batch(order[step * size : (step + 1) * size]))
            self._losses[step] = loss  # stays on the device: reading it would wait for it
            now, last = time.monotonic(), step + 1 == steps  # what is told before a long validation
            if last or now - reported >= PROGRESS_SECONDS:
                reported = now
                self._require_finite(epoch, self._losses[: step + 1])
                self._record(Progress(epoch=epoch, step=step + 1, steps=steps))
        self._require_finite(epoch, self._losses)
        return float(self._losses.double().mean())

    def step(self, batch: Batch) -> Tensor:
        """Make one optimiser step and return its loss."""
        self._optimizer.zero_grad()
        loss: Tensor = self._criterion(self._forecast(batch.values, batch.known), batch.target)
        loss.backward()  # type: ignore[no-untyped-call]
        if limit := self._config.training.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self._optimizer.step()
        return loss.detach()

    def _forecast(self, values: Tensor, known: Tensor) -> Tensor:
        """Return the forecast in float32, whatever the precision of the products inside."""
        if self._run.end.exists():
            raise AskedToEnd
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            model = self._trained if self.model.training else self.model
            forecast: Tensor = model(values, known)
        return forecast.float()

    def _learning_rate(self, epoch: int, step: int) -> float:
        steps = len(self._losses)
        return learning_rate(self._config.training, (epoch - 1) * steps + step, steps)

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
        rate = f"training.optimizer_params.lr ({training.optimizer_params.lr:g})"
        advice = "lower it" if training.clip_norm else "lower it or set training.clip_norm"
        return f"{rate} is most likely too high for {training.optimizer_class}, {advice}"

    def _evaluate(self, windows: Windows) -> Errors:
        # Without gradients, twice the batch takes less memory than a training step.
        self.model.eval()
        return evaluate(self._forecast, windows, 2 * self._config.data.batch_size)


def criterion(training: TrainingConfig) -> nn.Module:
    """Return the loss that is minimised."""
    return _CRITERIA[training.criterion_class]()


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


def _disk_full(error: Exception) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, safetensors.SafetensorError):  # has the code in its text alone
        return any(f"(os error {code})" in str(error) for code in codes)
    return isinstance(error, OSError) and error.errno in codes


def _device_lost(error: Exception) -> bool:
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError)
        and any(sign in str(error) for sign in ("CUDA error", "CUDA driver", "cuDNN error"))
    )
