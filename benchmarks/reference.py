"""A checkout of Informer2020, loaded from where the person who measures has put it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import torch
from torch import Tensor, nn

from data.source import locate
from informer.config import RunConfig

option = click.option(
    "--reference",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    help="Checkout of github.com/zhouhaoyi/Informer2020.",
)


def load(directory: Path) -> None:
    """Make the checkout's packages `models` and `utils` importable; ends with a sentence if not."""
    if not (directory / "models" / "model.py").is_file():
        raise SystemExit(f"{directory} is no checkout of Informer2020; name one with --reference.")
    sys.path.append(str(directory))


def model(config: RunConfig, columns: int = 7) -> nn.Module:
    """Return the checkout's Informer at the sizes of `config`."""
    from models.model import Informer  # type: ignore[import-not-found]

    data, sizes = config.data, config.model
    built: nn.Module = Informer(
        *(columns, columns, columns, data.seq_len, data.label_len, data.pred_len),
        factor=sizes.factor,
        d_model=sizes.d_model,
        n_heads=sizes.n_heads,
        e_layers=sizes.e_layers,
        d_layers=sizes.d_layers,
        d_ff=sizes.d_ff,
        dropout=sizes.dropout,
        attn=sizes.attention,
        embed="timeF",
        freq="h",
        activation=sizes.activation,
        distil=sizes.distil,
        mix=sizes.mix,
        device=torch.device("cpu"),
    )
    return built


def batches(directory: Path, config: RunConfig) -> Iterator[list[Tensor]]:
    """Yield the checkout's own training batches of ETTh1 without end: x, y and their marks."""
    loader = _module("reference_loader", directory / "data" / "data_loader.py")
    file = locate("ETTh1")
    data = config.data
    dataset = loader.Dataset_ETT_hour(
        root_path=str(file.parent),
        data_path=file.name,
        flag="train",
        size=[data.seq_len, data.label_len, data.pred_len],
        features="M",
        timeenc=1,
        freq="h",
    )
    while True:
        yield from torch.utils.data.DataLoader(
            dataset, batch_size=data.batch_size, shuffle=True, drop_last=True
        )


def forecast(model: nn.Module, batch: list[Tensor], config: RunConfig) -> tuple[Tensor, Tensor]:
    """Return forecast and target of a batch, prepared as exp/exp_informer.py does."""
    x, y, x_mark, y_mark = (tensor.float() for tensor in batch)
    data = config.data
    ahead = torch.zeros(y.shape[0], data.pred_len, y.shape[-1])
    start = torch.cat((y[:, : data.label_len], ahead), dim=1)
    result: Any = model(x, x_mark, start, y_mark)
    return result, y[:, -data.pred_len :]


def _module(name: str, path: Path) -> ModuleType:
    """Load one file under a name of its own: the checkout's `data` is not this project's."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
