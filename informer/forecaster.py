"""A trained model put to use: what it forecasts is what its training was judged by."""

from __future__ import annotations

import safetensors
import torch
from safetensors.torch import load as tensors_of
from torch import Tensor, nn

from informer.config import RunConfig
from informer.cost import parameters
from informer.devices import uses_bfloat16
from informer.model import Informer


class WeightsError(ValueError):
    """Weights that are not those of a configuration; the message says what does not fit."""


class Forecaster(nn.Module):
    """A model in eval mode, in the precision that its configuration asks for."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        """Build the model; its weights are drawn until `load_state_dict` of `model` is called."""
        super().__init__()
        self.model = Informer(config).to(device)
        self._in_bfloat16 = uses_bfloat16(config.training.precision, device)
        self.eval()

    def forward(self, values: Tensor, known: Tensor) -> Tensor:
        """Forecast (B, H, C_out) in float32 from scaled values (B, L, C) and what is known.

        Args:
            values: the look-back, as `data.windows.Batch.values`.
            known: (B, L + H, F + K), as `data.windows.Batch.known`.
        """
        with torch.autocast(values.device.type, torch.bfloat16, enabled=self._in_bfloat16):
            forecast: Tensor = self.model(values, known)
        return forecast.float()


def forecaster(config: RunConfig, weights: bytes, device: torch.device) -> Forecaster:
    """Return the forecaster of a configuration with the weights in a safetensors file.

    Raises:
        WeightsError: they are not the weights of this configuration.
    """
    try:
        tensors = tensors_of(weights)
    except (ValueError, safetensors.SafetensorError) as error:
        raise WeightsError(f"they cannot be read ({error})") from None
    held = sum(tensor.numel() for tensor in tensors.values())
    if (needed := parameters(config)) > held:  # before memory is taken for a model of that size
        raise WeightsError(f"there are {held:,} of them, and {needed:,} are needed")
    # Weights that are made in inference mode take other products, which round otherwise.
    with torch.inference_mode(mode=False):
        made = Forecaster(config, device)
        try:
            made.model.load_state_dict(tensors)
        except RuntimeError as error:
            raise WeightsError(" ".join(str(error).split())[:200]) from None
    return made
