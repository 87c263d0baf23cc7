"""How well `informer/estimate.py` foretells the time and memory of a training.

`python -m benchmarks.cost_model` draws configurations from the whole search space and trains each
for a few steps on one thread, in a process of its own. Time is that of the processor, so that what
else the machine does matters little; memory is what the process occupies at its peak. Printed are
the constants that fit these times best, and how far the estimates are off that stand in the code.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import torch

from benchmarks.marks import announce
from benchmarks.train_speed import peak_of_this_process
from informer import estimate
from informer.config import Choices, RunConfig, Value, fields, from_flat, problems
from informer.rundir import RunDir
from informer.training import Training, use_threads
from nas_engine.cli.common import plainly

TASKS: dict[str, tuple[Value, ...]] = {
    "data.features": ("M", "M", "S", "MS"),
    "data.pred_len": (24, 48, 96, 168, 336),
    "model.dropout": (0.0, 0.05, 0.2),
}
KINDS = (  # of tokens, with each head that goes with them
    *(("step", "decoder"), ("step", "linear"), ("step", "step_linear")),
    *(("patch", "linear"), ("patch", "step_linear"), ("inverted", "linear")),
)
MOST_FLOPS, MOST_BYTES = 1e11, 4e9  # of a step: what is larger takes too long here


def draw(seed: int) -> Iterator[RunConfig]:
    """Yield configurations of the search space that can be measured, the same ones for a seed."""
    generator = random.Random(seed)
    choices = {
        key: field.search.values
        for key, field in fields().items()
        if isinstance(field.search, Choices)
    } | TASKS
    for tokens, head in itertools.cycle(KINDS):
        fixed: dict[str, Value] = {
            "model.tokens": tokens,
            "model.head": head,
            "training.device": "cpu",
        }
        while True:
            values = {key: generator.choice(v) for key, v in choices.items()} | fixed
            if not problems(values) and _measurable(config := from_flat(values)):
                yield config
                break


def _measurable(config: RunConfig) -> bool:
    return (
        estimate.training_flops(config) < MOST_FLOPS
        and estimate.training_memory(config) < MOST_BYTES
    )


def measure(config: RunConfig) -> dict[str, float]:
    """Return processor seconds of an optimiser step and of a batch of evaluation, and peak MB."""
    use_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(config, RunDir(Path(folder)), lambda record: None)
    windows, size = training.windows, config.data.batch_size
    loaded = peak_of_this_process()

    def step() -> None:
        training.step(windows.batch(torch.randint(len(windows), (size,))))

    @torch.inference_mode()
    def batch() -> None:
        chosen = windows.batch(torch.randint(len(windows), (2 * size,)))
        training.model(chosen.values, chosen.known)

    training.model.train()
    seconds = processor_seconds(step)
    training.model.eval()
    evaluation = processor_seconds(batch)
    peak = peak_of_this_process()
    return {"step": seconds, "batch": evaluation, "loaded": loaded, "peak": peak}


def processor_seconds(work: Callable[[], None], seconds: float = 0.6) -> float:
    """Return the median processor time of `work`, repeated for about so many seconds."""
    work()
    times: list[float] = []
    began = time.process_time()
    while len(times) < 3 or (time.process_time() - began < seconds and len(times) < 50):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def fitted(counts: Sequence[Mapping[str, float]], seconds: Sequence[float]) -> dict[str, float]:
    """Return the positive constants whose estimates have the least squared error of logarithms."""
    table = torch.tensor([list(count.values()) for count in counts], dtype=torch.float64)
    measured = torch.tensor(seconds, dtype=torch.float64).log()
    scale = table.mean(0)
    shares = (measured.mean().exp() / scale.numel()).log().expand(len(scale)).clone()
    shares.requires_grad_()
    optimizer = torch.optim.LBFGS([shares], max_iter=1000, line_search_fn="strong_wolfe")

    def error() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (((table / scale) @ shares.exp()).log() - measured).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(error)  # type: ignore[no-untyped-call]
    return dict(zip(counts[0], (shares.exp() / scale).tolist(), strict=True))


def report(name: str, ratios: Sequence[float]) -> None:
    """Print how far estimates are off, as a row of a Markdown table."""
    factors = sorted(math.exp(abs(math.log(ratio))) for ratio in ratios)
    tenth = statistics.quantiles(ratios, n=10)
    click.echo(
        f"| {name} | {statistics.median(ratios):.2f} | {tenth[0]:.2f} to {tenth[-1]:.2f} "
        f"| {statistics.median(factors):.2f} | {statistics.quantiles(factors, n=10)[-1]:.2f} "
        f"| {factors[-1]:.2f} |"
    )


@click.command()
@click.option("--count", default=90, show_default=True, help="Configurations to measure.")
@click.option("--seed", default=1, show_default=True)
@plainly
def main(count: int, seed: int) -> None:
    """Print the fit and the errors."""
    announce()
    configs = list(itertools.islice(draw(seed), count))
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = list(pool.imap(measure, configs))
    counts = [estimate.step_counts(config) for config in configs]
    steps = [each["step"] for each in found]
    for name, value in fitted(counts, steps).items():
        click.echo(f"{name}: fitted {value:.2g}, in the code {estimate.SECONDS_PER[name]:.2g}")
    shares = [each["batch"] / 2 / each["step"] for each in found]
    click.echo(
        f"evaluation: measured {statistics.median(shares):.2f}, in the code {estimate.EVALUATION}"
    )
    loaded = statistics.median(each["loaded"] for each in found)
    click.echo(f"libraries: measured {loaded * 2**20:.2g}, in the code {estimate.LIBRARIES:.2g}\n")
    click.echo(f"{count} configurations, seed {seed}\n")
    click.echo("| estimated / measured | median | 10 to 90 % | factor off, median | 90 % | most |")
    click.echo("|---|---|---|---|---|---|")
    report(
        "seconds of a step",
        [
            estimate.step_seconds(config) / seconds
            for config, seconds in zip(configs, steps, strict=True)
        ],
    )
    report(
        "seconds of a window's evaluation",
        [
            estimate.EVALUATION * estimate.step_seconds(config) / (each["batch"] / 2)
            for config, each in zip(configs, found, strict=True)
        ],
    )
    report(
        "memory of the process",
        [
            estimate.process_memory(config) / 2**20 / each["peak"]
            for config, each in zip(configs, found, strict=True)
        ],
    )


if __name__ == "__main__":
    main()
