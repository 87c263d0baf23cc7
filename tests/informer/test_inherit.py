"""What a training takes over of other weights: what fits, all of it finite, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from informer.config import RunConfig
from informer.inherit import LEAST_SHARE, UnfitWeightsError, begin_with
from informer.model import Informer
from informer.orders import Orders
from informer.records import Failure, Success
from informer.rundir import RunDir
from informer.training import train
from tests.informer.conftest import figures, interrupt_in_epoch


def model_of(config: RunConfig, seed: int) -> Informer:
    torch.manual_seed(seed)
    return Informer(config)


def weights_of(config: RunConfig, path: Path, seed: int = 7) -> dict[str, Tensor]:
    """Write drawn weights of a configuration to `path`, and return them."""
    weights = {name: value.clone() for name, value in model_of(config, seed).state_dict().items()}
    save_file(weights, path)
    return weights


def test_what_fits_is_taken_over_and_the_rest_is_as_it_was_drawn(
    tiny: RunConfig, tmp_path: Path
) -> None:
    offered = weights_of(tiny, tmp_path / "parent")
    wider = tiny.with_changes({"model.d_ff": 48})
    drawn, child = model_of(wider, 1).state_dict(), model_of(wider, 1)
    share = begin_with(child, tmp_path / "parent")
    fits = [name for name, value in drawn.items() if offered[name].shape == value.shape]
    for name, value in child.state_dict().items():
        assert torch.equal(value, offered[name] if name in fits else drawn[name]), name
    sizes = {name: weight.numel() for name, weight in child.named_parameters()}
    assert share == sum(size for name, size in sizes.items() if name in fits) / sum(sizes.values())
    assert LEAST_SHARE < share < 1


def test_the_same_configuration_takes_all(tiny: RunConfig, tmp_path: Path) -> None:
    weights_of(tiny, tmp_path / "parent")
    assert begin_with(model_of(tiny, 1), tmp_path / "parent") == 1.0


def test_weights_that_cannot_be_begun_with_change_nothing(tiny: RunConfig, tmp_path: Path) -> None:
    weights = weights_of(tiny, tmp_path / "parent")
    name = next(iter(weights))
    faults = {
        "gone": "are gone",
        "link": "is a link",
        "torn": "cannot be read",
        "nan": f"not finite, in {name}",
        "other": r"Only \d+% of the weights fit",
        "half": r"Only 0% of the weights fit",
    }
    (tmp_path / "link").symlink_to(tmp_path / "parent")
    (tmp_path / "torn").write_bytes((tmp_path / "parent").read_bytes()[:-9])
    nan = weights[name].clone()
    nan.view(-1)[0] = float("nan")
    save_file(weights | {name: nan}, tmp_path / "nan")
    weights_of(tiny.with_changes({"model.d_model": 32}), tmp_path / "other")
    save_file({key: value.half() for key, value in weights.items()}, tmp_path / "half")
    for file, fault in faults.items():
        child, drawn = model_of(tiny, 1), model_of(tiny, 1).state_dict()
        with pytest.raises(UnfitWeightsError, match=fault):
            begin_with(child, tmp_path / file)
        assert all(torch.equal(drawn[key], value) for key, value in child.state_dict().items())


def test_a_training_begins_with_them_and_says_how_much_fitted(
    tiny: RunConfig, tmp_path: Path
) -> None:
    short = tiny.with_changes({"training.steps_per_epoch": 2})
    parent, child, alone = (RunDir(tmp_path / name) for name in ("parent", "child", "alone"))
    parent.create(tiny)
    assert isinstance(train(tiny, parent), Success)
    child.create(short, Orders(weights=str(parent.weights)))
    alone.create(short)
    begun, scratch = train(short, child), train(short, alone)
    assert isinstance(begun, Success) and isinstance(scratch, Success)
    assert (begun.inherited_share, scratch.inherited_share) == (1.0, None)
    assert begun.val_mse < scratch.val_mse
    assert child.read_result() == begun


def test_one_that_was_interrupted_ends_with_the_same_bits(tiny: RunConfig, tmp_path: Path) -> None:
    weights_of(tiny, tmp_path / "parent")
    orders = Orders(weights=str(tmp_path / "parent"))
    whole, cut = RunDir(tmp_path / "whole"), RunDir(tmp_path / "cut")
    for run in (whole, cut):
        run.create(tiny, orders)
    first = train(tiny, whole)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, cut, interrupt_in_epoch(2))
    assert cut.create(tiny, orders) == 1
    again = train(tiny, cut)
    assert isinstance(first, Success) and isinstance(again, Success)
    assert figures(again) == figures(first)
    ours, theirs = load_file(cut.weights), load_file(whole.weights)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_unfit_weights_end_a_training_with_a_class_of_their_own(
    tiny: RunConfig, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    run.create(tiny, Orders(weights="nowhere"))
    result = train(tiny, run)
    assert isinstance(result, Failure)
    assert (result.error_class, result.message) == (
        "weights",
        "The weights to begin with are gone.",
    )
