"""Weights of another training to begin with: those that fit by name and shape.

A child that keeps the weights of its parent wherever shapes allow it is how Real et al. (2017,
"Large-Scale Evolution of Image Classifiers") made a search affordable. What has no counterpart is
drawn as in any training, by the seed; the state of the optimiser is not inherited.
"""

from __future__ import annotations

from pathlib import Path

import safetensors
import torch
from safetensors.torch import load as tensors_of
from torch import nn

from informer.files import ProtocolError, read_file

LEAST_SHARE = 0.5
"""Of the weights that have to fit; with fewer, nothing would have been inherited to speak of."""

WEIGHTS_BYTES = 2**30
"""Of a file of weights, at most."""


class UnfitWeightsError(ValueError):
    """Weights that a training cannot begin with; the message is one sentence."""


def begin_with(model: nn.Module, path: Path) -> float:
    """Copy the weights at `path` (safetensors) that fit into `model`, and return their share.

    A tensor fits where the model has one of its name, shape and type. The share is of the model's
    trained weights. Nothing is changed where too few fit.

    Raises:
        UnfitWeightsError: the file cannot be read, holds figures that are not finite, or fewer than
            `LEAST_SHARE` of the weights fit.
    """
    try:
        offered = tensors_of(read_file(path, WEIGHTS_BYTES))
    except FileNotFoundError:
        raise UnfitWeightsError("The weights to begin with are gone.") from None
    except (ProtocolError, ValueError, safetensors.SafetensorError) as error:
        raise UnfitWeightsError(
            f"The weights to begin with cannot be read ({' '.join(str(error).split())[:200]})."
        ) from None
    fitting = {
        name: (own, offered[name])
        for name, own in model.state_dict().items()
        if name in offered and offered[name].shape == own.shape and offered[name].dtype == own.dtype
    }
    for name, (_, value) in fitting.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise UnfitWeightsError(
                f"The weights to begin with hold figures that are not finite, in {name}."
            )
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    share = sum(size for name, size in sizes.items() if name in fitting) / sum(sizes.values())
    if share < LEAST_SHARE:
        raise UnfitWeightsError(
            f"Only {share:.0%} of the weights fit by name and shape; {LEAST_SHARE:.0%} are needed."
        )
    with torch.no_grad():
        for own, value in fitting.values():
            own.copy_(value)
    return share
