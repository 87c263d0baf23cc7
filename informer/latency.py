"""How long a forecast takes: measured on the device that forecasts, for a stated batch.

From windows that lie on the device to forecasts that lie there: reading, scaling and copying from
and to main memory are not part of it, nor is what `torch.compile` would gain. The time depends on
the structure alone, not on the weights, so that an untrained model tells it.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from informer.config import RunConfig
from informer.cost import Shape
from informer.devices import choose_device, moment, uses_bfloat16
from informer.orders import Timing

WARM_UP = 5
"""Batches that are not timed: the first ones load libraries and fetch memory."""
REPEATS, SECONDS = 30, 1.0
"""Batches are timed until there are so many and a quarter of the seconds is over, or all are."""


def latency_ms(model: nn.Module, config: RunConfig, timing: Timing) -> float:
    """Return the milliseconds that a batch of forecasts takes, the median of many.

    Neither the model nor a generator of random numbers is other afterwards.

    Args:
        model: of `config`, on the device that trains; it goes to another as a copy.
        config: gives the shapes and the precision, which is that of evaluation.
        timing: batch, device and CPU threads.

    Raises:
        DeviceError: the device is not there.
    """
    there = next(model.parameters()).device
    device = there if timing.device == "auto" else choose_device(timing.device, "Latency's device")
    if device != there:
        model = copy.deepcopy(model).to(device)
    values, known = random_windows(config, timing.batch, device)
    bfloat16 = uses_bfloat16(config.training.precision, device)

    def seconds() -> float:
        began = moment(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            model(values, known).float()
        return moment(device) - began

    with _forecasting(model, timing.threads):
        for _ in range(WARM_UP):
            seconds()
        took: list[float] = []
        while sum(took) < SECONDS and (len(took) < REPEATS or sum(took) < SECONDS / 4):
            took.append(seconds())
    return 1000 * statistics.median(took)


def random_windows(config: RunConfig, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return random values and what is known, in the shapes of `windows.Batch`, always the same."""
    generator = torch.Generator().manual_seed(0)
    data, shape = config.data, Shape.of(config)
    steps = data.seq_len + data.pred_len
    values = torch.randn(count, data.seq_len, shape.columns, generator=generator)
    # Features of the calendar lie between -0.5 and 0.5, and are looked up where they are learned.
    marks = torch.rand(count, steps, len(shape.calendar), generator=generator) - 0.5
    covariates = torch.randn(count, steps, shape.known, generator=generator)
    return values.to(device), torch.cat((marks, covariates), dim=2).to(device)


@contextmanager
def _forecasting(model: nn.Module, threads: int) -> Iterator[None]:
    """Put a model into eval mode, without gradients and with so many CPU threads, for a while."""
    training, before = model.training, torch.get_num_threads()
    torch.set_num_threads(threads)
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
        torch.set_num_threads(before)
