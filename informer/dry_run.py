"""One step of a configuration without training it: `python -m informer.dry_run`.

Reads a configuration from stdin, as flat JSON by dotted key. The model is built and goes
forward and backward on a batch of random numbers in the shapes of the data; no data are read and no
weight is changed. The last line on stdout is a `DryRun` or a `Failure` as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click
from pydantic import Field

from informer.conduct import answer_order
from informer.config import ConfigError, RunConfig, from_flat
from informer.rundir import Failure, Record

if TYPE_CHECKING:
    import torch


class DryRun(Record):
    """What one step of a configuration came to.

    Times are those of a step after the first, without the optimiser's part. Memory is that of all
    tensors on a GPU, of the whole process on a CPU, without what the optimiser keeps.
    """

    status: Literal["stepped"] = "stepped"
    parameters: int
    shape: tuple[int, ...]  # of the forecast: windows, steps, columns
    loss: float | None  # on random numbers; None where it was not finite, or without any figures
    forward_ms: float
    backward_ms: float
    peak_memory_mb: float
    device: str
    bfloat16: bool
    compiles: bool  # training.compile is set, which was not tried


Outcome = Annotated[DryRun | Failure, Field(discriminator="status")]


def step(config: RunConfig, device: torch.device) -> DryRun:
    """Build the model on `device`, and go one step forward and backward.

    Raises:
        Exception: whatever stands in the way of training, see `training.failure`.
    """
    import math

    import torch

    from informer import training
    from informer.model import Informer

    torch.manual_seed(config.training.seed)
    model = Informer(config).to(device)
    values, known, target = _batch(config, device)
    criterion = training.criterion(config.training)
    bfloat16 = training.uses_bfloat16(config.training.precision, device)
    for _ in range(2):  # the first also loads libraries and fetches memory: it is not timed
        model.zero_grad()
        began = _moment(device)
        with torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext():
            forecast = model(values, known)
        loss = criterion(forecast.float(), target)
        forward = _moment(device)
        loss.backward()
        backward = _moment(device)
    figure = math.nan if device.type == "meta" else float(loss.detach())
    return DryRun(
        parameters=sum(weight.numel() for weight in model.parameters()),
        shape=tuple(forecast.shape),
        loss=figure if math.isfinite(figure) else None,
        forward_ms=1000 * (forward - began),
        backward_ms=1000 * (backward - forward),
        peak_memory_mb=_peak_memory(device) / 1e6,
        device=device.type if device.type != "cuda" else torch.cuda.get_device_name(device),
        bfloat16=bfloat16,
        compiles=config.training.compile,
    )


def _batch(
    config: RunConfig, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return values, what is known and the target of a batch, in the shapes of `windows.Batch`."""
    import torch

    from informer.cost import Shape

    data, shape = config.data, Shape.of(config)
    windows, calendar = data.batch_size, len(shape.calendar)
    values = torch.randn(windows, data.seq_len, shape.columns, device=device)
    steps = data.seq_len + data.pred_len
    # Features of the calendar lie between -0.5 and 0.5, and are looked up where they are learned.
    marks = torch.rand(windows, steps, calendar, device=device) - 0.5
    known = torch.cat((marks, torch.randn(windows, steps, shape.known, device=device)), dim=2)
    target = torch.randn(windows, data.pred_len, shape.forecast, device=device)
    return values, known, target


def _moment(device: torch.device) -> float:
    """Return the time at which the device has done all that it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _peak_memory(device: torch.device) -> int:
    """Return the most bytes that were taken until now."""
    import resource

    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():  # the other figure counts what the process was before it became this one
        lines = status.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def result(text: str) -> DryRun | Failure:
    """Return what one step of a configuration comes to, or why it cannot be trained."""
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ConfigError(["It must be an object of settings by dotted key."])
        config = from_flat(values)
    except (ValueError, RecursionError) as error:
        return Failure(error_class="config", message=f"The configuration is not valid: {error}")
    from informer import training

    try:
        return step(config, training.choose_device(config.training.device))
    except Exception as error:
        return training.failure(error, config)


@click.command()
@click.option("--threads", type=click.IntRange(min=1), default=1, help="CPU threads.")
def main(threads: int) -> None:
    """Make one step of the configuration on stdin and print what it came to, as JSON."""
    answer_order(result, threads)


if __name__ == "__main__":
    main()
