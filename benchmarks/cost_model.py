"""How well `informer/estimate.py` foretells the time and memory of a training.

`python -m benchmarks.cost_model` draws configurations from the whole search space and trains each
for a few steps on one thread, in a process of its own. Time is that of the processor, so that what
else the machine does matters little; memory is what the peak rises above that of the loaded
libraries and data.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.train_speed import peak_of_this_process
from informer import estimate
from informer.config import Choices, RunConfig, Value, fields, from_flat, problems
from informer.rundir import RunDir
from informer.training import Training, use_threads

TASKS: dict[str, tuple[Value, ...]] = {
    "data.features": ("M", "M", "S", "MS"),
    "data.pred_len": (24, 48, 96, 168, 336),
    "model.dropout": (0.0, 0.05, 0.2),
}
MOST_FLOPS, MOST_BYTES = 1e11, 4e9  # of a step: what is larger takes too long here


def draw(seed: int) -> Iterator[RunConfig]:
    """Yield configurations of the search space that can be measured, the same ones for a seed."""
    generator = random.Random(seed)
    choices = {
        key: field.search.values
        for key, field in fields().items()
        if isinstance(field.search, Choices)
    } | TASKS
    while True:
        values: dict[str, Value] = {key: generator.choice(v) for key, v in choices.items()}
        values["training.device"] = "cpu"
        if problems(values):
            continue
        config = from_flat(values)
        if (
            estimate.training_flops(config) < MOST_FLOPS
            and estimate.training_memory(config) < MOST_BYTES
        ):
            yield config


def measure(config: RunConfig) -> dict[str, float]:
    """Return processor seconds of an optimiser step and of a batch of evaluation, and peak MB."""
    use_threads(1)
    training = Training(config, RunDir(Path(tempfile.mkdtemp())), lambda record: None)
    windows, size = training.windows, config.data.batch_size
    loaded = peak_of_this_process()

    def step() -> None:
        training.step(windows.batch(torch.randint(len(windows), (size,))))

    @torch.inference_mode()
    def batch() -> None:
        chosen = windows.batch(torch.randint(len(windows), (2 * size,)))
        training.model(chosen.values, chosen.known)

    training.model.train()
    seconds = processor_seconds(step)
    training.model.eval()
    return {
        "step": seconds,
        "batch": processor_seconds(batch),
        "megabytes": peak_of_this_process() - loaded,
    }


def processor_seconds(work: Callable[[], None], seconds: float = 0.6) -> float:
    """Return the median processor time of `work`, repeated for about so many seconds."""
    work()
    times: list[float] = []
    began = time.process_time()
    while len(times) < 3 or (time.process_time() - began < seconds and len(times) < 50):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)
