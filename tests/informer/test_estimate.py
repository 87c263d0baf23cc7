"""What a training will take, held against the real model: its products, and what it keeps."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from informer.config import PRESETS, Choices, RunConfig, Value, fields, from_flat, problems
from informer.cost import Shape
from informer.estimate import step_work, training_flops
from informer.model import Informer
from tests.informer.drawn import draw, inputs

PARTS, DRAWN = 3, 240


def measured(config: RunConfig, device: str = "cpu") -> tuple[int, int]:
    """Return FLOPs of a step, and the bytes that backward keeps beside weights and the batch.

    The counter knows products of matrices and convolutions; it does not see elementwise work or
    spectra, and neither do the estimated FLOPs.
    """
    with torch.device(device):
        model = Informer(config)
    size = config.data.batch_size
    values, known = (tensor.to(device) for tensor in inputs(config, size))
    target = torch.zeros(size, config.data.pred_len, Shape.of(config).forecast, device=device)
    given = {storage(x) for x in (*model.parameters(), *model.buffers(), values, known, target)}
    kept: dict[int, Tensor] = {}  # held, so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        if storage(tensor) not in given:
            kept[storage(tensor)] = tensor.detach()
        return tensor

    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = F.mse_loss(model(values, known), target)
        loss.backward()
    return counter.get_total_flops(), sum(x.untyped_storage().nbytes() for x in kept.values())


def storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # meta tensors have no address


@pytest.mark.parametrize("part", range(PARTS))
def test_flops_are_those_of_the_model_and_what_backward_keeps_is_too(
    part: int, covariates: str
) -> None:
    for dataset in ("synthetic", covariates):
        for config in itertools.islice(draw(100 + part, dataset), DRAWN // PARTS // 2):
            told = f"{config.model!r} {config.data!r}"
            flops, kept = measured(config)
            assert training_flops(config) == flops, told
            assert 0.8 < step_work(config).saved / kept < 1.2, told


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_does_and_keeps_what_is_foretold(preset: str) -> None:
    config = PRESETS[preset].config({"data.batch_size": 8})
    flops, kept = measured(config)
    assert training_flops(config) == flops
    assert 0.95 < step_work(config).saved / kept < 1.05


def full_sizes(seed: int) -> Iterator[RunConfig]:
    """Yield configurations of the search space at its real sizes."""
    generator = random.Random(seed)
    while True:
        values: dict[str, Value] = {
            key: generator.choice(field.search.values)
            for key, field in fields().items()
            if isinstance(field.search, Choices)
        }
        values |= {"data.dataset": "synthetic", "model.dropout": 0.0}
        if not problems(values):
            yield from_flat(values)


def test_full_sizes_do_and_keep_what_is_foretold() -> None:
    for config in itertools.islice(full_sizes(1), 60):
        told = f"{config.model!r} {config.data!r}"
        flops, kept = measured(config, device="meta")
        assert training_flops(config) == flops, told
        # Elsewhere than on CPUs full attention is a kernel of its own, which keeps less.
        if config.model.attention != "full" and config.model.head != "decoder":
            assert 0.9 < step_work(config).saved / kept < 1.1, told
