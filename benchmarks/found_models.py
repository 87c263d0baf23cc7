"""What `benchmarks.found` judges: models trained once more, forecasts that need no training.

A model is trained from scratch with seeds that its search has not used, each training with one
thread in a worker of the product, two at once. Its test figures are those of the weights that were
best on validation. The error of each test window, which the paired tests need, is computed from the
forecasts that the product makes of all windows, and must come to what the training has told.
"""

from __future__ import annotations

import hashlib
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from tqdm import tqdm

from data.series import series
from data.splits import Floats
from informer.baselines import errors
from informer.config import RunConfig
from informer.files import ProtocolError
from informer.records import Success
from informer.rundir import RunDir
from nas_engine.hindcasts import Hindcast, Working, begin, of_run, standing
from nas_engine.settings import load_settings
from nas_engine.workspace import PROJECT

AT_ONCE = 2
AGREES = 1e-5
"""Relative: how far forecasts made later, in other batches, may lie from what training told."""
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Judged:
    """A configuration trained with several seeds, and its errors on the test part."""

    name: str
    config: RunConfig
    seeds: tuple[int, ...]
    results: tuple[Success, ...]  # by seed
    by_window: Floats  # (N,) MSE of each test window, the mean over the seeds
    commits: tuple[
        str, ...
    ]  # of the project by which it was trained; one, unless a kept end is old

    @property
    def mse(self) -> float:
        """Test MSE, the mean over the seeds."""
        return statistics.mean(result.test_mse for result in self.results)

    @property
    def mae(self) -> float:
        """Test MAE, the mean over the seeds."""
        return statistics.mean(result.test_mae for result in self.results)

    @property
    def deviation(self) -> float:
        """Standard deviation of the test MSE between the seeds (n - 1); NaN for one."""
        each = [result.test_mse for result in self.results]
        return statistics.stdev(each) if len(each) > 1 else math.nan


@dataclass(frozen=True)
class Untrained:
    """A forecast that needs no training, and its errors."""

    name: str
    seq_len: int  # of which the linear map makes its forecast
    val_mse: float
    mse: float  # on the test part, as are the next
    mae: float
    by_window: Floats  # (N,)


# -- models -------------------------------------------------------------------------------------


def lowest(
    configs: Mapping[int, RunConfig], seeds: Sequence[int], folder: Path
) -> tuple[int, dict[int, float]]:
    """Train finalists with each of the seeds; return the best on validation, and their val_mse.

    Args:
        configs: by the number of the trial.
        seeds: of the trainings.
        folder: as `judged` has it, which does not train the best once more.
    """
    _train(configs.values(), seeds, folder)
    means = {
        number: statistics.mean(result.val_mse for result in _results(config, seeds, folder))
        for number, config in configs.items()
    }
    return min(means, key=lambda number: (means[number], number)), means


def judged(
    configs: Mapping[str, RunConfig], seeds: Sequence[int], folder: Path
) -> dict[str, Judged]:
    """Train configurations with each of the seeds and judge them on the test part.

    Finished trainings that are in the folder already are not made again, unfinished ones go on.

    Args:
        configs: by the name under which they are told.
        seeds: of the trainings.
        folder: in which their run folders and forecasts are kept.

    Raises:
        click.ClickException: a training has failed, or its forecasts are not what it told.
    """
    _train(configs.values(), seeds, folder)
    found = {}
    for name, config in configs.items():
        runs = [run for run, _ in _runs(config, seeds, folder)]
        by_window = np.stack([_by_window(run, folder / "forecasts") for run in runs]).mean(axis=0)
        commits = tuple(sorted({_commit(run) for run in runs}))
        results = _results(config, seeds, folder)
        found[name] = Judged(name, config, tuple(seeds), results, by_window, commits)
    return found


def _runs(config: RunConfig, seeds: Sequence[int], folder: Path) -> list[tuple[RunDir, RunConfig]]:
    """Return the run folder of a configuration with each seed, and what it is to hold."""
    seeded = [config.with_changes({"training.seed": seed}) for seed in seeds]
    names = [hashlib.sha256(one.model_dump_json().encode()).hexdigest()[:16] for one in seeded]
    return [(RunDir(folder / name), one) for name, one in zip(names, seeded, strict=True)]


def _results(config: RunConfig, seeds: Sequence[int], folder: Path) -> tuple[Success, ...]:
    return tuple(_success(run) for run, _ in _runs(config, seeds, folder))


def _is_finished(run: RunDir, config: RunConfig) -> bool:
    try:
        return isinstance(run.read_result(), Success) and run.read_config() == config
    except (OSError, ValueError, ProtocolError):
        return False


def _train(configs: Iterable[RunConfig], seeds: Sequence[int], folder: Path) -> None:
    """Have configurations trained with each seed, `AT_ONCE` at a time, with one thread each."""
    wanted = {
        run.path: (run, seeded)
        for config in configs
        for run, seeded in _runs(config, seeds, folder)
        if not _is_finished(run, seeded)
    }
    for run, seeded in wanted.values():
        run.create(seeded)
    runs = [run for run, _ in wanted.values()]
    workers = [_worker(runs[first::AT_ONCE]) for first in range(min(AT_ONCE, len(runs)))]
    try:
        with tqdm(total=len(runs), unit="training", disable=None, leave=False) as bar:
            while any(worker.poll() is None for worker in workers):
                time.sleep(POLL_SECONDS)
                bar.update(sum(run.result.exists() for run in runs) - bar.n)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _worker(runs: Iterable[RunDir]) -> subprocess.Popen[str]:
    """Start a worker of the product that trains these folders one after another."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "informer", "--threads", "1"],
        cwd=PROJECT,
        env=load_settings().worker_environment(),
        stdin=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    with worker.stdin as pipe:
        pipe.writelines(f"{run.path.absolute()}\n" for run in runs)
    return worker


def _success(run: RunDir) -> Success:
    result = run.read_result()
    if not isinstance(result, Success):
        why = result.message if result else f"its worker was lost; {run.log} may say why"
        raise click.ClickException(f"The training in {run.path} has come to no result: {why}")
    return result


def _commit(run: RunDir) -> str:
    environment = run.read_environment()
    if environment is None or environment.commit is None:
        return "unknown"
    return f"{environment.commit[:8]}{' with changes' * bool(environment.changed)}"


def _by_window(run: RunDir, folder: Path) -> Floats:
    """Return the MSE of a run on each window of the test part, (N,)."""
    told = _success(run)
    wanted = of_run(run, "test")
    if isinstance(wanted, str):
        raise click.ClickException(f"{run.path} cannot forecast: {wanted}")
    if not isinstance(found := standing(folder, wanted), Hindcast):
        if problem := begin(folder, wanted, load_settings()):
            raise click.ClickException(f"{run.path} cannot forecast: {problem}")
        while isinstance(found := standing(folder, wanted), Working):
            time.sleep(POLL_SECONDS)
    if not isinstance(found, Hindcast):
        raise click.ClickException(f"{run.path} cannot forecast: {found}")
    if found.facts.every != 1:
        raise click.ClickException(f"The forecasts of {run.path} take too much room to keep all.")
    squared = (found.forecast.astype(np.float64) - found.truth) ** 2
    by_window: Floats = squared.mean(axis=(1, 2))
    if not math.isclose(by_window.mean(), told.test_mse, rel_tol=AGREES):
        raise click.ClickException(
            f"The forecasts of {run.path} have MSE {by_window.mean():.6f}, and its training told "
            f"{told.test_mse:.6f}."
        )
    return by_window


# -- what needs no training ---------------------------------------------------------------------


def untrained(config: RunConfig, look_backs: Sequence[int]) -> list[Untrained]:
    """Return the forecasts that need no training for the task of a configuration.

    The linear map has the look-back with the lowest error on validation, as the model has.

    Args:
        config: of which the data section counts.
        look_backs: those that the linear map may have.
    """
    data = config.data
    source = series(data.dataset, data.features, data.target)
    best: dict[str, Untrained] = {}
    for seq_len in look_backs:
        parts = errors(source, seq_len, data.pred_len, drop_last=data.drop_last)
        for name, sums in parts["test"].items():
            val_mse = parts["val"][name].mse
            if name not in best or val_mse < best[name].val_mse:
                best[name] = Untrained(name, seq_len, val_mse, sums.mse, sums.mae, sums.by_window)
    return list(best.values())
