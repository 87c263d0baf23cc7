"""What a training is to do beside training its configuration: the run's `orders.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Timing(BaseModel):
    """How the latency of forecasts is measured: of `batch` windows at once, on one device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: int = Field(1, ge=1, le=4096, description="Windows that are forecast at once")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
        description="Device that forecasts: cpu, cuda, cuda:1; auto: the one that trains",
    )
    threads: int = Field(1, ge=1, le=256, description="CPU threads that forecast")


class Orders(BaseModel):
    """What the engine asks of a training beside its configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timing: Timing | None = None  # None: latency is not measured
    latency_at_most: float | None = Field(None, gt=0)  # milliseconds; what is slower is not trained
    weights: str | None = None  # a file of weights to begin with, where they fit
