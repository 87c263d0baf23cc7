"""One step of a configuration without training it: `python -m informer.dry_run`.

Reads a configuration from stdin, as flat JSON by dotted key. The model is built and goes
forward and backward on a batch of random numbers in the shapes of the data; no data are read and no
weight is changed. The last line on stdout is a `DryRun` or a `Failure` as JSON.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Literal

import click
from pydantic import Field

from informer.conduct import answer_order
from informer.config import ConfigError, RunConfig, from_flat
from informer.records import Failure, Record

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
    from informer.cost import Shape
    from informer.devices import device_name, moment, peak_memory, uses_bfloat16
    from informer.latency import random_windows
    from informer.model import Informer

    torch.manual_seed(config.training.seed)
    model = Informer(config).to(device)
    windows, shape = config.data.batch_size, Shape.of(config)
    values, known = random_windows(config, windows, device)
    target = torch.randn(windows, config.data.pred_len, shape.forecast, device=device)
    criterion = training.criterion(config.training)
    bfloat16 = uses_bfloat16(config.training.precision, device)
    for _ in range(2):  # the first also loads libraries and fetches memory: it is not timed
        model.zero_grad()
        began = moment(device)
        with torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext():
            forecast = model(values, known)
        loss = criterion(forecast.float(), target)
        forward = moment(device)
        loss.backward()
        backward = moment(device)
    figure = math.nan if device.type == "meta" else float(loss.detach())
    return DryRun(
        parameters=sum(weight.numel() for weight in model.parameters()),
        shape=tuple(forecast.shape),
        loss=figure if math.isfinite(figure) else None,
        forward_ms=1000 * (forward - began),
        backward_ms=1000 * (backward - forward),
        peak_memory_mb=peak_memory(device) / 1e6,
        device=device_name(device),
        bfloat16=bfloat16,
        compiles=config.training.compile,
    )


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
    from informer.devices import choose_device

    try:
        return step(config, choose_device(config.training.device))
    except Exception as error:
        return training.failure(error, config)


@click.command()
@click.option("--threads", type=click.IntRange(min=1), default=1, help="CPU threads.")
def main(threads: int) -> None:
    """Make one step of the configuration on stdin and print what it came to, as JSON."""
    answer_order(result, threads)


if __name__ == "__main__":
    main()
