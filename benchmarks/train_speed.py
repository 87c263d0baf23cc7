"""Training speed and memory against a checkout of Informer2020, side by side in one run.

`python -m benchmarks.train_speed --reference DIR` trains both on ETTh1 `M` 96/48/24 with batch 32,
the same widths and the same threads, each in a process of its own, a few steps of one and of the
other in turn, so that what else the machine does falls on both. A ratio is the median over rounds
of reference time / own time; its spread is the range of the middle half.
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
from benchmarks.marks import Mark, announce, judge
from informer.config import PUBLISHED, RunConfig, Value
from informer.rundir import RunDir
from nas_engine.cli.common import plainly

REFERENCE = "Informer2020"
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

GOALS: Mapping[tuple[int, str], float] = {
    (64, "as published"): 2.5,
    (128, "as published"): 2.0,
    (512, "as published"): 1.8,
    (512, "as published, bfloat16"): 3.5,
}
"""Times the speed of Informer2020, by width and variant."""


def configuration(width: int, variant: str) -> RunConfig:
    """Return the published Informer at a width, with what the variant changes."""
    changes = {**PUBLISHED, **WIDTHS[width], **VARIANTS[variant], "training.device": "cpu"}
    return RunConfig().with_changes(changes)


def own_steps(config: RunConfig) -> Callable[[], None]:
    """Return what makes one optimiser step of this project."""
    # Only here: importing it sets how threads wait, which the checkout's process must not share.
    from informer.training import Training

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


class Contender:
    """A process that trains when it is told to, with the settings that are its own by default."""

    def __init__(self, directory: Path, what: str, width: int, threads: int) -> None:
        """Start the process and let it warm up."""
        command = [sys.executable, "-m", "benchmarks.train_speed", "--reference", str(directory)]
        command += ["--threads", str(threads), "--serve", what, "--widths", str(width)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.milliseconds(3)

    def milliseconds(self, count: int) -> float:
        """Return the mean time of `count` steps; 0 asks for the peak memory in MB instead."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> float:
        """End the process and return its peak memory in MB."""
        peak = self.milliseconds(0)
        self._process.communicate()
        return peak


def serve(step: Callable[[], None]) -> None:
    """Answer each count on stdin with the time of so many steps, and 0 with the peak memory."""
    for line in sys.stdin:
        count = int(line)
        click.echo(milliseconds(step, count) if count else peak_of_this_process())


def side_by_side(directory: Path, width: int, rounds: int, threads: int) -> list[Mark]:
    """Print a row for each variant at one width; return the marks."""
    contenders = {
        name: Contender(directory, name, width, threads) for name in (REFERENCE, *VARIANTS)
    }
    count = max(1, 640 // width)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            times[name].append(contender.milliseconds(count))
    peaks, marks = dict[str, float](), list[Mark]()
    for name, measured in times.items():
        pairs = zip(times[REFERENCE], measured, strict=True)
        low, ratio, high = statistics.quantiles([theirs / own for theirs, own in pairs], n=4)
        middle, peaks[name] = statistics.median(measured), contenders[name].end()
        click.echo(
            f"| {width} | {name} | {middle:.1f} | {32000 / middle:.0f} | "
            f"{ratio:.2f} | {low:.2f} to {high:.2f} | {peaks[name]:.0f} |"
        )
        if goal := GOALS.get((width, name)):
            what = f"speed at d_model {width}, {name}, over Informer2020's"
            marks.append(Mark(what, ratio, goal, "times", at_least=True))
    if width == max(WIDTHS):
        what, most = f"peak memory at d_model {width}; Informer2020's", peaks[REFERENCE]
        marks.append(Mark(what, peaks["as published"], most, "MB"))
    return marks


def peak_of_this_process() -> float:
    """Return the peak of resident memory in MB; getrusage would report that of the parent too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@click.command()
@reference.option
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=9, show_default=True)
@click.option("--widths", type=int, multiple=True, default=tuple(WIDTHS), show_default=True)
@click.option("--serve", "what", hidden=True, help="Be one of the processes that are measured.")
@plainly
def main(
    directory: Path, threads: int, rounds: int, widths: tuple[int, ...], what: str | None
) -> None:
    """Print speed and memory of both as Markdown tables."""
    if what is not None:
        reference.load(directory)
        if what == REFERENCE:
            torch.set_num_threads(threads)
            serve(reference_steps(directory, configuration(widths[0], "as published")))
        else:
            from informer.training import use_threads

            use_threads(threads)
            serve(own_steps(configuration(widths[0], what)))
        return
    announce()
    click.echo(f"{threads} threads, {rounds} rounds\n")
    click.echo(
        "| d_model | variant | ms a step | samples/s | times Informer2020 | middle half "
        "| peak memory, MB |"
    )
    click.echo("|---|---|---|---|---|---|---|")
    judge([mark for width in widths for mark in side_by_side(directory, width, rounds, threads)])


if __name__ == "__main__":
    main()
