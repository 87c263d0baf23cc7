"""What a search may want low beside the error: its names, units, and what is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

Objective = Literal["val_mse", "latency_ms", "parameters", "flops", "seconds", "memory_mb"]
"""Each names the attribute of a trial, and the column of its table, that holds its figure."""


@dataclass(frozen=True)
class Measure:
    """What an objective means. All are the better the lower."""

    title: str
    unit: str  # empty for an error and for counts
    exact: bool  # known from the configuration alone, by arithmetic
    help: str


MEASURES: Mapping[Objective, Measure] = MappingProxyType(
    {
        "val_mse": Measure(
            "Error", "", False, "Mean squared error on the validation part, on scaled data"
        ),
        "latency_ms": Measure(
            "Latency",
            "ms",
            False,
            "Milliseconds for one batch of forecasts, measured on the device that forecasts",
        ),
        "parameters": Measure("Parameters", "", True, "Weights of the model"),
        "flops": Measure(
            "FLOPs",
            "",
            True,
            "Operations for the forecast of one window, two for a multiply and add",
        ),
        "seconds": Measure("Training time", "s", False, "Seconds of training, all epochs"),
        "memory_mb": Measure(
            "Memory", "MB", False, "Megabytes that a training holds at its peak, measured"
        ),
    }
)
COSTS: tuple[Objective, ...] = get_args(Objective)[1:]
"""What the error may be traded against."""
