"""What a training will take, by arithmetic alone: FLOPs, memory and seconds. Torch is not needed.

The constants are those of one core of a virtual machine (AMD EPYC with AVX-512), fitted by
`python -m benchmarks.cost_model`; docs/performance.md says how far the estimates are off. Between
machines the level differs more than the ratio of two configurations.
"""

from __future__ import annotations

from collections.abc import Mapping

from data.registry import find
from data.splits import SPLITS, Split, rows, window_starts
from informer.config import RunConfig
from informer.cost import Shape, parameters, steps_per_epoch
from informer.work import FLOAT, step_work

SECONDS_PER: Mapping[str, float] = {
    "step": 4.7e-4,
    "call": 2.8e-5,  # operation of the model, forward and backward
    "map": 1.0e-11,  # FLOP of linear maps and convolutions
    "score": 3.0e-11,  # FLOP inside attention
    "spectrum": 3.4e-9,  # byte of spectra
    "saved": 9.5e-10,  # byte that is kept for backward
    "parameter": 1.8e-9,
}
EVALUATION = 0.3  # seconds of a window that is forecast alone, in those of one trained on
HEAP, LIBRARIES = 1.6, 430_000_000  # resident bytes for each byte of tensors, and beside them
_MOMENTS = {"Adam": 2, "AdamW": 2, "SGD": 0}  # tensors of the optimiser for each weight


def training_flops(config: RunConfig) -> float:
    """Return the FLOPs of one optimiser step, forward and backward, two for a multiply and add.

    Products of matrices and convolutions alone, as torch.utils.flop_counter counts them.
    """
    work = step_work(config)
    return work.maps + work.scores


def forecast_flops(config: RunConfig) -> int:
    """Return the FLOPs of the forecast of one window, counted as those of a training step are.

    A batch of forecasts takes as many for each of its windows.
    """
    return int(step_work(config).forward) // config.data.batch_size


def training_memory(config: RunConfig) -> int:
    """Return the bytes of float32 tensors that a training on a CPU holds at its peak.

    bfloat16 takes less. On a GPU full attention takes less, and measuring the queries of
    ProbSparse up to 0.5 GiB more.
    """
    data, work = config.data, step_work(config)
    weights = FLOAT * parameters(config)
    beside_weights = weights * (1 + _MOMENTS[config.training.optimizer_class])  # gradients too
    held = sum(len(rows(find(data.dataset), split, data.seq_len)) for split in SPLITS)
    shape = Shape.of(config)
    row = FLOAT * (shape.columns + len(shape.calendar) + shape.known)
    batch = row * data.batch_size * (data.seq_len + data.pred_len)
    # Two of the largest tensors at a time: a gradient in and a gradient out, an input and a result.
    training = batch + work.saved + 2 * work.largest
    evaluation = 2 * (batch + 2 * work.largest)  # its batches are twice as large
    return round(weights + beside_weights + row * held + max(training, evaluation))


def process_memory(config: RunConfig) -> int:
    """Return the bytes of main memory that a process occupies at most while it trains on a CPU.

    More than its tensors: libraries too, and a share that was measured, most likely gaps.
    """
    return round(LIBRARIES + HEAP * training_memory(config))


def training_seconds(config: RunConfig) -> float:
    """Return the seconds of a training on one core: all epochs, with validation and one test."""
    data, epochs = config.data, config.training.epochs
    judged = (epochs + 1) * _windows(config, "val") + _windows(config, "test")
    steps = epochs * steps_per_epoch(config) + EVALUATION * judged / data.batch_size
    return steps * step_seconds(config)


def step_seconds(config: RunConfig) -> float:
    """Return the seconds of one optimiser step on one core."""
    return sum(SECONDS_PER[name] * count for name, count in step_counts(config).items())


def step_counts(config: RunConfig) -> dict[str, float]:
    """Return what takes time in an optimiser step, as often as it occurs, by `SECONDS_PER`."""
    work = step_work(config)
    return {
        "step": 1,
        "call": work.calls,
        "map": work.maps,
        "score": work.scores,
        "spectrum": work.spectra,
        "saved": work.saved,
        "parameter": parameters(config),
    }


def _windows(config: RunConfig, split: Split) -> int:
    data = config.data
    dataset = find(data.dataset)
    starts = window_starts(dataset, split, data.seq_len, data.pred_len, drop_last=data.drop_last)
    return len(starts)
