"""Time and memory of attention over look-backs of 96 to 6144, forward and backward.

`python -m benchmarks.attention_speed` compares ProbSparse, with keys sampled per query and shared,
with full attention written with plain softmax and with torch's fused kernel. Each pair of length
and kind runs in a process of its own; memory is what its peak rises above that of the inputs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping

import click
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.marks import announce
from benchmarks.train_speed import peak_of_this_process
from informer.attention import FullAttention, ProbSparse
from informer.training import use_threads

LENGTHS = (96, 192, 384, 768, 1536, 3072, 6144)
HEADS, WIDTH = 8, 64  # of each head


class Fused(nn.Module):
    """torch.nn.functional.scaled_dot_product_attention."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the context (B, H, L, E)."""
        return F.scaled_dot_product_attention(query, key, value)


KINDS: Mapping[str, nn.Module] = {
    "plain softmax": FullAttention(),
    "fused kernel": Fused(),
    "ProbSparse": ProbSparse(5),
    "ProbSparse, shared keys": ProbSparse(5, shared=True),
}


def measure(kind: nn.Module, length: int, batch: int) -> tuple[float, float]:
    """Return the median time of a forward and backward pass in ms, and its memory in MB."""
    inputs = [torch.randn(batch, HEADS, length, WIDTH, requires_grad=True) for _ in range(3)]
    gradient = torch.randn(batch, HEADS, length, WIDTH)
    before = peak_of_this_process()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 4 or (time.perf_counter() - began < 2 and len(times) < 50):
        start = time.perf_counter()
        kind(*inputs).backward(gradient)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[1:]), peak_of_this_process() - before


@click.command()
@click.option("--threads", default=2, show_default=True)
@click.option("--batch", default=2, show_default=True)
@click.option(
    "--lengths", type=int, multiple=True, default=LENGTHS, show_default=True, help="Look-backs."
)
@click.option("--only", hidden=True, nargs=2, help="Print the figures of a kind and a length.")
def main(threads: int, batch: int, lengths: tuple[int, ...], only: tuple[str, str] | None) -> None:
    """Print time and memory of each kind as a Markdown table."""
    use_threads(threads)
    if only:
        click.echo(" ".join(map(str, measure(KINDS[only[0]], int(only[1]), batch))))
        return
    announce()
    click.echo(f"{threads} threads, batch {batch}, {HEADS} heads of {WIDTH} channels\n")
    click.echo("| look-back | " + " | ".join(f"{kind}, ms | MB" for kind in KINDS) + " |")
    click.echo("|---" * (1 + 2 * len(KINDS)) + "|")
    for length in lengths:
        cells = []
        for kind in KINDS:
            command = [sys.executable, "-m", "benchmarks.attention_speed", "--only", kind]
            command += [str(length), "--threads", str(threads), "--batch", str(batch)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            milliseconds, megabytes = map(float, printed.split())
            cells.append(f"{milliseconds:.1f} | {megabytes:.0f}")
        click.echo(f"| {length} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
