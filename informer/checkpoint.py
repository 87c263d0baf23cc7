"""A training between two epochs in one file: weights, optimiser, generators and the best so far.

The file is safetensors, so that nothing in it can be executed; it is put in place by a rename.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from informer.rundir import read_facts


@dataclass
class Standing:
    """How far a training has come."""

    epoch: int = 0  # finished
    best_epoch: int = 0
    best_mse: float = float("inf")  # on validation
    best_mae: float = float("inf")
    seconds: float = 0.0  # of training so far

    @classmethod
    def of(cls, facts: dict[str, str]) -> Standing:
        """Return what `save` wrote as facts; raises KeyError or ValueError."""
        return cls(
            epoch=int(facts["epoch"]),
            best_epoch=int(facts["best_epoch"]),
            best_mse=float(facts["best_mse"]),
            best_mae=float(facts["best_mae"]),
            seconds=float(facts["seconds"]),
        )


class CheckpointError(ValueError):
    """A checkpoint that cannot be used."""


def save(
    path: Path,
    standing: Standing,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    order: torch.Generator,
    device: torch.device,
) -> None:
    """Write everything that the next epoch depends on to `path`, all at once."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{number}.{name}": value
            for name, value in state.items()
            if isinstance(value, Tensor)
        }
    tensors["generator.order"] = order.get_state()
    tensors["generator.cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["generator.cuda"] = torch.cuda.get_rng_state(device)
    save_tensors(path, tensors, {name: repr(value) for name, value in vars(standing).items()})


def load(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    order: torch.Generator,
    device: torch.device,
) -> Standing:
    """Put a training back to where `save` found it.

    Raises:
        CheckpointError: the file is damaged, or of another model or device.
    """
    try:
        standing = Standing.of(read_facts(path))
        tensors = safetensors.torch.load_file(path)
        model.load_state_dict(_under("model.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            number, field = name.split(".")
            state.setdefault(int(number), {})[field] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        if device.type == "cuda":
            torch.cuda.set_rng_state(tensors["generator.cuda"], device)
        order.set_state(tensors["generator.order"])
        torch.set_rng_state(tensors["generator.cpu"])
    except (OSError, KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be used ({error}).") from error
    return standing


def save_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
    """Write tensors, and facts about them, so that a reader sees the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    safetensors.torch.save_file(tensors, temporary, facts)
    os.replace(temporary, path)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
