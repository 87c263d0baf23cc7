"""Configurations drawn from the whole space, every structure at small sizes, and their inputs."""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from torch import Tensor

from informer.config import Choices, RunConfig, Value, fields, from_flat, problems
from informer.cost import Shape

SIZES: dict[str, tuple[Value, ...]] = {
    "data.features": ("M", "S", "MS"),
    "data.target": ("OT", "MUFL"),
    "data.seq_len": (12, 24, 37, 48),
    "data.label_len": (0, 5, 12),
    "data.pred_len": (1, 6, 11),
    "data.batch_size": (4,),
    "model.d_model": (8, 16, 20),
    "model.n_heads": (1, 2, 4),
    "model.d_ff": (16, 24),
    "model.e_layers": (0, 1, 2, 3),
    "model.kernel": (3, 4, 7, 25),
    "model.patch_len": (4, 8, 16),
    "model.patch_stride": (2, 4, 8),
    "model.dropout": (0.0, 0.1, 0.5),
}


def draw(seed: int, dataset: str) -> Iterator[RunConfig]:
    """Yield valid configurations of the model without end; the same ones for a seed."""
    generator = random.Random(seed)
    choices = {
        key: field.search.values
        for key, field in fields().items()
        if key.startswith("model.") and isinstance(field.search, Choices)
    } | SIZES
    while True:
        values: dict[str, Value] = {key: generator.choice(v) for key, v in choices.items()}
        values["data.dataset"] = dataset
        if not problems(values):
            yield from_flat(values)


def inputs(config: RunConfig, batch: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape, data = Shape.of(config), config.data
    steps = data.seq_len + data.pred_len
    values = torch.randn(batch, data.seq_len, shape.columns, generator=generator)
    known = torch.rand(batch, steps, len(shape.calendar), generator=generator) - 0.5
    covariates = torch.randn(batch, steps, shape.known, generator=generator)
    return values, torch.cat((known, covariates), dim=-1)
