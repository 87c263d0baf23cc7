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
from informer.cost import Shape, parameters, steps_per_epoch
from informer.estimate import (
    forecast_flops,
    process_memory,
    step_seconds,
    training_flops,
    training_memory,
    training_seconds,
)
from informer.model import Informer
from informer.work import FLOAT, step_work
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


def forecast_counted(config: RunConfig, windows: int, device: str = "cpu") -> int:
    """Return the FLOPs that torch counts in a batch of forecasts."""
    with torch.device(device):
        model = Informer(config).eval()
    values, known = (tensor.to(device) for tensor in inputs(config, windows))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(values, known)
    return counter.get_total_flops()


@pytest.mark.parametrize("part", range(PARTS))
def test_flops_of_a_forecast_are_those_of_the_model_for_each_window(
    part: int, covariates: str
) -> None:
    for dataset in ("synthetic", covariates):
        for config in itertools.islice(draw(200 + part, dataset), DRAWN // PARTS // 2):
            windows = 1 + part
            counted = forecast_counted(config, windows)
            assert windows * forecast_flops(config) == counted, f"{config.model!r} {config.data!r}"


def test_flops_of_a_forecast_do_not_go_with_the_batch_of_the_training() -> None:
    small, large = (RunConfig().with_changes({"data.batch_size": size}) for size in (8, 32))
    assert forecast_flops(small) == forecast_flops(large) > 0


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


@pytest.mark.long
def test_full_sizes_do_and_keep_what_is_foretold() -> None:
    for config in itertools.islice(full_sizes(1), 60):
        told = f"{config.model!r} {config.data!r}"
        flops, kept = measured(config, device="meta")
        assert training_flops(config) == flops, told
        assert forecast_flops(config) == forecast_counted(config, 1, device="meta"), told
        # Elsewhere than on CPUs full attention is a kernel of its own, which keeps less.
        if config.model.attention != "full" and config.model.head != "decoder":
            assert 0.9 < step_work(config).saved / kept < 1.1, told


LARGER: tuple[dict[str, tuple[Value, Value]], ...] = (
    {"data.batch_size": (4, 8)},
    {"data.seq_len": (48, 96)},
    {"model.d_model": (16, 32)},
    {"model.e_layers": (2, 3)},
)


@pytest.mark.parametrize("change", LARGER, ids=lambda change: next(iter(change)))
def test_more_of_anything_takes_more(change: dict[str, tuple[Value, Value]]) -> None:
    ((key, (less, more)),) = change.items()
    for config in itertools.islice(draw(7, "synthetic"), 300):
        flat = config.flat()
        shorter = key == "model.e_layers" and flat["model.distil"]  # leaves the head fewer tokens
        if flat["model.e_layers"] == 0 or shorter:
            continue
        pair = [{**flat, "model.n_heads": 2, key: value} for value in (less, more)]
        if any(problems(values) for values in pair):
            continue
        small, large = (from_flat(values) for values in pair)
        for figure in (training_flops, training_memory, process_memory, step_seconds):
            assert figure(small) < figure(large), f"{figure.__name__} {config!r}"


def test_memory_holds_weights_gradients_and_moments() -> None:
    adam, sgd = (
        training_memory(RunConfig().with_changes({"training.optimizer_class": name}))
        for name in ("Adam", "SGD")
    )
    weights = FLOAT * parameters(RunConfig())
    assert adam - sgd == 2 * weights
    assert sgd > 2 * weights + step_work(RunConfig()).saved


def test_seconds_go_with_epochs_and_steps() -> None:
    def seconds(epochs: int, steps: int) -> float:
        changes: dict[str, Value] = {"training.epochs": epochs, "training.steps_per_epoch": steps}
        return training_seconds(RunConfig().with_changes(changes))

    assert 1.5 < seconds(4, 0) / seconds(2, 0) < 2
    assert seconds(2, 100) - seconds(2, 50) == pytest.approx(100 * step_seconds(RunConfig()))


def test_an_epoch_has_the_steps_that_its_windows_fill() -> None:
    def steps(at_most: int) -> int:
        config = RunConfig().with_changes({"training.steps_per_epoch": at_most})
        return steps_per_epoch(config)

    assert steps(0) == steps(100_000) == (12 * 30 * 24 - 96 - 24 + 1) // 32
    assert steps(10) == 10
