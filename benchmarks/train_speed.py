"""Training speed and memory against a checkout of Informer2020, side by side in one run.

`python -m benchmarks.train_speed --reference DIR` trains both on ETTh1 `M` 96/48/24 with batch 32,
the same widths and the same threads, a few steps of one and of the other in turn, so that what else
the machine does falls on both. A ratio is the median over rounds of reference time / own time; its
spread is the range of the middle half. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
import torch

from benchmarks import reference
from informer.config import PUBLISHED, RunConfig, Value
from informer.rundir import RunDir
from informer.training import Training, use_threads

WIDTHS: Mapping[int, dict[str, Value]] = {
    64: {"model.d_model": 64, "model.n_heads": 8, "model.d_ff": 256},
    128: {"model.d_model": 128, "model.n_heads": 8, "model.d_ff": 512},
    512: {"model.d_model": 512, "model.n_heads": 8, "model.d_ff": 2048},
}
VARIANTS: Mapping[str, dict[str, Value]] = {
    "as published": {},
    "one sample of keys for all queries": {"model.sampled_keys": "shared"},
    "full attention": {"model.attention": "full"},
    "as published, bfloat16": {"training.precision": "bfloat16"},
    "full attention, bfloat16": {"model.attention": "full", "training.precision": "bfloat16"},
}


def configuration(width: int, variant: str) -> RunConfig:
    """Return the published Informer at a width, with what the variant changes."""
    changes = {**PUBLISHED, **WIDTHS[width], **VARIANTS[variant], "training.device": "cpu"}
    return RunConfig().with_changes(changes)


def own_steps(config: RunConfig) -> Callable[[], None]:
    """Return what makes one optimiser step of this project."""
    folder = RunDir(Path(tempfile.mkdtemp()))
    training = Training(config, folder, lambda record: None)
    windows, size = training.windows, config.data.batch_size
    training.model.train()

    def step() -> None:
        training.step(windows.batch(torch.randint(len(windows), (size,))))

    return step


def reference_steps(directory: Path, config: RunConfig) -> Callable[[], None]:
    """Return what makes one optimiser step of the checkout, as its exp_informer.py does."""
    model = reference.model(config)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    criterion = torch.nn.MSELoss()
    batches: Iterator[list[torch.Tensor]] = reference.batches(directory, config)

    def step() -> None:
        optimizer.zero_grad()
        forecast, target = reference.forecast(model, next(batches), config)
        loss = criterion(forecast, target)
        loss.item()  # as there: it is read in every step
        loss.backward()
        optimizer.step()

    return step


def milliseconds(step: Callable[[], None], count: int) -> float:
    """Return the mean time of `count` steps."""
    began = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - began) * 1000 / count


def side_by_side(directory: Path, width: int, rounds: int) -> None:
    """Print a row for each variant at one width."""
    steps = {"Informer2020": reference_steps(directory, configuration(width, "as published"))}
    steps |= {name: own_steps(configuration(width, name)) for name in VARIANTS}
    count = max(1, 640 // width)
    for step in steps.values():
        milliseconds(step, 2)  # warm
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(milliseconds(step, count))
    for name, measured in times.items():
        pairs = zip(times["Informer2020"], measured, strict=True)
        low, ratio, high = statistics.quantiles([theirs / own for theirs, own in pairs], n=4)
        middle = statistics.median(measured)
        click.echo(
            f"| {width} | {name} | {middle:.1f} | {32000 / middle:.0f} | "
            f"{ratio:.2f} | {low:.2f} to {high:.2f} |"
        )


def peak_of_this_process() -> float:
    """Return the peak of resident memory in MB; getrusage would report that of the parent too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def peak_megabytes(directory: Path, what: str, width: int, threads: int) -> float:
    """Return the peak memory of a process that makes three steps."""
    command = [sys.executable, "-m", "benchmarks.train_speed", "--reference", str(directory)]
    command += ["--threads", str(threads), "--memory-of", what, "--widths", str(width)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@click.command()
@click.option(
    "--reference",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    help="Checkout of github.com/zhouhaoyi/Informer2020.",
)
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=9, show_default=True)
@click.option("--widths", type=int, multiple=True, default=tuple(WIDTHS), show_default=True)
@click.option("--memory-of", hidden=True, help="Make three steps and print the peak in MB.")
def main(
    directory: Path, threads: int, rounds: int, widths: tuple[int, ...], memory_of: str | None
) -> None:
    """Print speed and memory of both as Markdown tables."""
    reference.load(directory)
    use_threads(threads)
    if memory_of is not None:
        config = configuration(widths[0], "as published" if memory_of == "ref" else memory_of)
        step = reference_steps(directory, config) if memory_of == "ref" else own_steps(config)
        milliseconds(step, 3)
        click.echo(peak_of_this_process())
        return
    click.echo(f"torch {torch.__version__}, {threads} threads, {rounds} rounds\n")
    click.echo("| d_model | variant | ms a step | samples/s | times Informer2020 | middle half |")
    click.echo("|---|---|---|---|---|---|")
    for width in widths:
        side_by_side(directory, width, rounds)
    click.echo("\n| d_model | Peak memory, MB: Informer2020 | this project |\n|---|---|---|")
    for width in widths:
        theirs = peak_megabytes(directory, "ref", width, threads)
        own = peak_megabytes(directory, "as published", width, threads)
        click.echo(f"| {width} | {theirs:.0f} | {own:.0f} |")


if __name__ == "__main__":
    main()
