"""The whole model against a checkout of Informer2020, weights copied, where the two must agree.

`python -m benchmarks.reference_check --reference DIR` compares forecasts and gradients in float64
with the published faults switched on and the checkout's key sampling replaced by this project's.
It ends with exit code 1 where they differ.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from unittest import mock

import click
import torch
from torch import Tensor, nn

from benchmarks import reference
from benchmarks.marks import Mark, announce, judge
from informer.attention import sampled_keys
from informer.config import PUBLISHED, RunConfig, Value
from informer.model import Informer

TOLERANCE = 1e-10
SMALL: dict[str, Value] = {"model.d_model": 64, "model.n_heads": 8, "model.d_ff": 128}


def copy_weights(own: Informer, theirs: nn.Module) -> None:
    """Copy the checkout's weights into this project's model."""
    source = dict(theirs.state_dict())
    target = own.state_dict()

    def put(name: str, value: Tensor) -> None:
        target[name].copy_(value.view_as(target[name]))

    def put_layer(name: str, theirs: str) -> None:
        for part in ("weight", "bias"):
            put(f"{name}.{part}", source[f"{theirs}.{part}"])

    def put_embedding(name: str, theirs: str) -> None:
        put(f"{name}.values.weight", source[f"{theirs}.value_embedding.tokenConv.weight"])
        put(f"{name}.values.bias", source[f"{theirs}.value_embedding.tokenConv.bias"])
        put_layer(f"{name}.known.map", f"{theirs}.temporal_embedding.embed")

    def put_attention(name: str, theirs: str) -> None:
        for part in ("weight", "bias"):
            projections = [f"{theirs}.{p}_projection.{part}" for p in ("query", "key", "value")]
            joined = torch.cat([source[projection] for projection in projections])
            put(f"{name}.query_key_value.{part}", joined)
        put_layer(f"{name}.output", f"{theirs}.out_projection")

    def put_feed_forward(name: str, theirs: str) -> None:
        put_layer(f"{name}.inner", f"{theirs}.conv1")
        put_layer(f"{name}.outer", f"{theirs}.conv2")

    put_embedding("network.embedding", "enc_embedding")
    place = 0
    for number in itertools.count():
        layer = f"encoder.attn_layers.{number}"
        if f"{layer}.norm1.weight" not in source:
            break
        put_attention(f"network.encoder.{place}.sublayer", f"{layer}.attention")
        put_layer(f"network.encoder.{place}.norm", f"{layer}.norm1")
        put_feed_forward(f"network.encoder.{place + 1}.sublayer", layer)
        put_layer(f"network.encoder.{place + 1}.norm", f"{layer}.norm2")
        place += 2
        distilling = f"encoder.conv_layers.{number}"
        if f"{distilling}.norm.weight" in source:
            put_layer(f"network.encoder.{place}.convolution", f"{distilling}.downConv")
            put_layer(f"network.encoder.{place}.norm", f"{distilling}.norm")
            place += 1
    put_layer(f"network.encoder.{place}", "encoder.norm")
    put_embedding("network.head.embedding", "dec_embedding")
    for number in range(len(own.network.head.layers)):  # type: ignore[union-attr,arg-type]
        layer, name = f"decoder.layers.{number}", f"network.head.layers.{number}"
        put_attention(f"{name}.attention.sublayer", f"{layer}.self_attention")
        put_attention(f"{name}.cross_attention.sublayer", f"{layer}.cross_attention")
        put_feed_forward(f"{name}.feed_forward.sublayer", layer)
        for part, norm in (("attention", 1), ("cross_attention", 2), ("feed_forward", 3)):
            put_layer(f"{name}.{part}.norm", f"{layer}.norm{norm}")
    put_layer("network.head.norm", "decoder.norm")
    put_layer("network.head.projection", "projection")


def difference(config: RunConfig, seed: int) -> tuple[float, float]:
    """Return the largest differences of forecasts and of the gradient of the input."""
    torch.manual_seed(seed)
    theirs = reference.model(config).double().train()
    own = Informer(config).double().train()
    copy_weights(own, theirs)
    # Sinusoids are float32 buffers in both; each was rounded before it was made double.
    data = config.data
    values = torch.randn(4, data.seq_len, 7, dtype=torch.float64)
    known = torch.rand(4, data.seq_len + data.pred_len, 4, dtype=torch.float64) - 0.5
    y = torch.cat((values[:, -data.label_len :], torch.zeros(4, data.pred_len, 7)), dim=1)

    draw = torch.randint

    def sample(
        high: int, size: tuple[int, int], generator: torch.Generator | None = None
    ) -> Tensor:
        if generator is not None:  # it is this project that draws
            return draw(high, size, generator=generator)
        keys: Tensor = sampled_keys(size[0], high, size[1], torch.device("cpu"))
        return keys

    mine, other = values.clone().requires_grad_(), values.clone().requires_grad_()
    with mock.patch("torch.randint", sample):
        start = torch.cat((other[:, -data.label_len :], y[:, data.label_len :]), dim=1)
        expected = theirs(
            other, known[:, : data.seq_len], start, known[:, data.seq_len - data.label_len :]
        )
    found = own(mine, known)
    expected.square().sum().backward()
    found.square().sum().backward()
    assert mine.grad is not None and other.grad is not None
    scale = float(other.grad.abs().max())
    return (
        float((found - expected).detach().abs().max()),
        float((mine.grad - other.grad).abs().max()) / scale,
    )


@click.command()
@reference.option
def main(directory: Path) -> None:
    """Print the largest differences for each setting in which both must agree."""
    reference.load(directory)
    announce()
    worst = 0.0
    click.echo("| attention | distil | mix | e_layers | d_layers | forecast | gradient |")
    click.echo("|---|---|---|---|---|---|---|")
    for attention, distil, mix, layers in itertools.product(
        ("prob", "full"), (True, False), (True, False), ((2, 1), (3, 2))
    ):
        config = RunConfig().with_changes(
            {
                **PUBLISHED,
                **SMALL,
                "model.attention": attention,
                "model.distil": distil,
                "model.mix": mix,
                "model.e_layers": layers[0],
                "model.d_layers": layers[1],
                "model.dropout": 0.0,
            }
        )
        forecast, gradient = difference(config, seed=0)
        worst = max(worst, forecast, gradient)
        click.echo(
            f"| {attention} | {distil} | {mix} | {layers[0]} | {layers[1]} | {forecast:.1e} | "
            f"{gradient:.1e} |"
        )
    judge([Mark("largest difference to Informer2020, in float64", worst, TOLERANCE)])
    raise SystemExit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
