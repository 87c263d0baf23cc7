"""A training between two epochs in one file: weights, optimiser, generators and the best so far.

The file is safetensors, so that nothing in it can be executed. The best weights are in it as well:
in a file of their own they could be of an epoch that this one does not know of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from informer.files import keep_checkpoint, put_in_place, temporary_of


@dataclass
class Standing:
    """How far a training has come."""

    epoch: int = 0  # finished
    best_epoch: int = 0
    best_mse: float = float("inf")  # on validation
    best_mae: float = float("inf")
    seconds: float = 0.0  # of training so far
    latency_ms: float | None = None  # of forecasts, where it was measured
    best: dict[str, Tensor] = field(default_factory=dict)  # weights, in main memory

    def facts(self) -> dict[str, str]:
        """Return the figures as texts, for a file that holds nothing but tensors and texts."""
        return {name: repr(value) for name, value in vars(self).items() if name != "best"}

    @classmethod
    def of(cls, facts: dict[str, str]) -> Standing:
        """Return the standing with these `facts`; raises KeyError or ValueError."""
        latency = facts.get("latency_ms", "None")  # there was none in earlier versions
        return cls(
            epoch=int(facts["epoch"]),
            best_epoch=int(facts["best_epoch"]),
            best_mse=float(facts["best_mse"]),
            best_mae=float(facts["best_mae"]),
            seconds=float(facts["seconds"]),
            latency_ms=None if latency == "None" else float(latency),
        )


class CheckpointError(ValueError):
    """A checkpoint that cannot be used."""


def save(
    folder: Path,
    standing: Standing,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    order: torch.Generator,
    device: torch.device,
) -> None:
    """Keep everything that the next epoch depends on as the newest checkpoint of a run folder."""
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
    if standing.best_epoch != standing.epoch:  # else they are the model's
        tensors |= {f"best.{name}": value for name, value in standing.best.items()}
    temporary = temporary_of(folder / "checkpoint")
    safetensors.torch.save_file(tensors, temporary, standing.facts())
    keep_checkpoint(folder, standing.epoch, temporary)


def load(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    order: torch.Generator,
    device: torch.device,
) -> Standing:
    """Put a training back to where `save` found it.

    Raises:
        CheckpointError: the file is of another model or device, or cannot be read.
    """
    try:
        with safetensors.safe_open(path, framework="torch") as file:
            standing = Standing.of(file.metadata() or {})
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
        best_is_newest = standing.best_epoch == standing.epoch
        standing.best = _under("model." if best_is_newest else "best.", tensors)
    except (OSError, KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be used ({error}).") from error
    return standing


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write weights so that a reader sees no file or the whole one."""
    temporary = temporary_of(path)
    safetensors.torch.save_file(weights, temporary)
    put_in_place(temporary, path)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
