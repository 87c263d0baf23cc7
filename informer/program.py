"""A trained model as a program of torch.export, checked to forecast as the model does."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from data.series import Series
from data.windows import Windows
from informer.bundle_format import FILES, PROGRAM
from informer.config import RunConfig
from informer.files import read_file
from informer.forecaster import Forecaster, forecaster

WINDOWS = 4  # of the test part that are compared
MOST_APART = 1e-4  # of the largest forecast


class _NotEqualError(ArithmeticError):
    """The program forecasts something else than the model."""


def exported(
    config: RunConfig, weights: bytes, source: Series, scratch: Path
) -> tuple[bytes | None, str]:
    """Return the model as a file of torch.export, and a sentence about it.

    What was written is read back and must forecast real windows as the model does. A model that
    cannot be exported for any number of windows is exported for one.

    Args:
        config: of the model.
        weights: in safetensors.
        source: its data.
        scratch: a folder for files that are needed meanwhile.

    Returns:
        None in place of the file where the model cannot be exported at all.
    """
    cpu, data = torch.device("cpu"), config.data
    model = forecaster(config, weights, cpu)
    windows = Windows(source, "test", data.seq_len, data.pred_len, cpu)
    batch = windows.batch(torch.arange(min(WINDOWS, len(windows))))
    path, causes = scratch / PROGRAM, []
    for count, takes in ((len(batch.values), "any number of windows"), (1, "one window")):
        given = batch.values[:count].clone(), batch.known[:count].clone()
        try:
            apart = _written(model, given, path)
        except Exception as error:  # torch raises errors of many kinds for what it cannot trace
            said = str(error) if isinstance(error, _NotEqualError) else type(error).__name__
            causes.append(said)
            continue
        equal = f"differ by {apart:.2g} at most" if apart else "are equal to the last bit"
        return read_file(path, FILES[PROGRAM]), (
            f"`{PROGRAM}` is the same model by torch.export for CPUs; it takes {takes} at a time. "
            f"Its forecasts and the model's for {count} "
            f"window{'s' * (count > 1)} of the test part, compared when it was written, {equal}, "
            "on scaled data."
        )
    why = ", ".join(dict.fromkeys(causes))
    return None, f"There is no `{PROGRAM}`: torch.export cannot take this structure ({why})."


def _written(model: Forecaster, given: tuple[Tensor, Tensor], path: Path) -> float:
    """Export a model to a file for windows like these; return how far its forecasts lie apart."""
    any_number = {0: torch.export.Dim("windows")}
    with torch.inference_mode():
        expected = model(*given)  # draws the samples of keys, which tracing must find drawn
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        several = len(given[0]) > 1
        shapes = (any_number, any_number) if several else None
        torch.export.save(torch.export.export(model, given, dynamic_shapes=shapes), path)
        again = torch.export.load(path).module()
        found = again(*given)
    apart = float((found - expected).abs().max())
    if not apart <= MOST_APART * max(1.0, float(expected.abs().max())):
        raise _NotEqualError(f"its forecasts would differ by {apart:.2g}")
    return apart
