"""Forecasts that need no training, for every search to be measured against. No torch.

On ETT the closed-form linear map beats every published Informer, and takes seconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import click
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from data.registry import DataError, find
from data.series import Series, series
from data.splits import Floats, Split, window_starts
from data.traits import traits
from informer.conduct import die_with_parent
from informer.config import ConfigError, RunConfig, Value, from_flat
from informer.configfile import Refusal, read_config
from informer.files import replace_text
from informer.metrics import Errors
from informer.records import JudgedOn, Record, judged_on

Name = Literal["repeat-last", "seasonal-naive", "closed-form linear"]
JudgedSplit = Literal["val", "test"]
Rows = NDArray[np.int64]

RIDGE = 1e-2  # of the mean diagonal of the normal equations
_CHUNK, _CELLS = 256, 16_000_000  # windows, and their numbers, at a time: bounds the memory

WORK = 2e10
"""Multiplications that a person waits for: a few seconds on one core."""


class Baseline(Record):
    """Errors of one forecast without training, on scaled data, over the windows of a split."""

    name: Name
    split: JudgedSplit
    mse: float
    mae: float
    windows: JudgedOn = "all windows"


def compute(config: RunConfig) -> list[Baseline]:
    """Return every baseline on validation and test, for the data section of `config`.

    Raises:
        DataError: the data set cannot be had.
    """
    data = config.data
    source = series(data.dataset, data.features, data.target)
    found = errors(source, data.seq_len, data.pred_len, drop_last=data.drop_last)
    return [
        Baseline(
            name=name,
            split=split,
            mse=sums.mse,
            mae=sums.mae,
            windows=judged_on(data.drop_last),
        )
        for split, by_name in found.items()
        for name, sums in by_name.items()
    ]


def errors(
    source: Series,
    seq_len: int,
    pred_len: int,
    *,
    drop_last: bool = False,
    judged: Sequence[JudgedSplit] = ("val", "test"),
    every: int = 1,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[JudgedSplit, dict[Name, Errors]]:
    """Return the errors of every baseline on scaled data, by part and name.

    Args:
        source: the data.
        seq_len: look-back, of which the linear map makes its forecast.
        pred_len: horizon.
        drop_last: whether whole batches alone are judged, see `window_starts`.
        judged: parts on which errors are wanted.
        every: windows are learned from and judged one in so many.
        progress: is told the share of the windows that is done.
    """
    values, horizon = source.values[:, source.outputs], np.arange(pred_len)  # (T, C)
    parts: list[Split] = ["train", *judged]
    starts = {
        split: window_starts(source.dataset, split, seq_len, pred_len, drop_last=drop_last)[::every]
        for split in parts
    }
    total, done = sum(map(len, starts.values())), 0

    def origins(split: Split) -> Iterator[Rows]:
        nonlocal done
        for some in chunks(source, starts[split], seq_len, pred_len):
            yield some
            done += len(some)
            progress(done / total)

    # While trainings run, several threads of one product mostly wait for each other.
    with threadpool_limits(1, "blas"):
        forecast = forecaster(source, seq_len, pred_len, origins("train"))
        found: dict[JudgedSplit, dict[Name, Errors]] = {}
        for split in judged:
            sums: dict[Name, Errors] = {}
            for origin in origins(split):
                for name, made in forecast(origin).items():
                    sums.setdefault(name, Errors()).add(made - values[origin + horizon])
            found[split] = sums
    return found


def chunks(source: Series, starts: range, seq_len: int, pred_len: int) -> Iterator[Rows]:
    """Yield the first forecast rows of the windows that begin at `starts`, (N, 1), a few at a time.

    Each is so few that their look-backs and horizons stay within bounds of memory.
    """
    columns = len(source.roles.forecast)
    size = max(1, min(_CHUNK, _CELLS // ((seq_len + pred_len) * columns)))
    all_of_them = np.array(starts, np.int64)
    for first in range(0, len(all_of_them), size):
        yield all_of_them[first : first + size, None] + seq_len


def forecaster(
    source: Series, seq_len: int, pred_len: int, training: Iterable[Rows]
) -> Callable[[Rows], dict[Name, Floats]]:
    """Return what forecasts windows by every baseline.

    It takes the first rows to be forecast (N, 1), and gives the forecasts (N, H, C) by name. Each
    forecasts an output column from that column's own past. Seasonal-naive takes its season from the
    series even where the look-back is shorter.

    Args:
        source: the data.
        seq_len: look-back, of which the linear map makes its forecast.
        pred_len: horizon.
        training: the first forecast rows (N, 1) of the windows on which it is fitted, in chunks.
    """
    values = source.values[:, source.outputs]  # (T, C)
    season, horizon = source.dataset.season, np.arange(pred_len)

    def past(origin: Rows) -> Floats:
        rows: Floats = values[origin - seq_len + np.arange(seq_len)]  # (N, L, C)
        return rows

    weights = _fit((past(origin), values[origin + horizon]) for origin in training)

    def forecast(origin: Rows) -> dict[Name, Floats]:
        return {
            "repeat-last": np.repeat(values[origin - 1], pred_len, axis=1),
            "seasonal-naive": values[origin - season + horizon % season],
            "closed-form linear": _forecast(past(origin), weights),
        }

    return forecast


def thinning(
    source: Series, seq_len: int, pred_len: int, judged: Sequence[JudgedSplit], work: float = WORK
) -> int:
    """Return the `every` with which `errors` stays within about `work` multiplications."""
    columns = len(source.roles.forecast)
    parts: list[Split] = ["train", *judged]
    windows = sum(len(window_starts(source.dataset, part, seq_len, pred_len)) for part in parts)
    return max(1, math.ceil(windows * columns * seq_len * (seq_len + pred_len) / work))


def _fit(windows: Iterator[tuple[Floats, Floats]]) -> Floats:
    """Return the ridge solution W (L, H) of (x - mean x) W = y - mean x, shared by all columns.

    From the normal equations (A + l I) W = B with A = X'X, B = X'Y and l = RIDGE tr(A) / L, summed
    over chunks of past (N, L, C) and future (N, H, C).
    """
    gram: Floats | float = 0.0
    moment: Floats | float = 0.0
    for past, future in windows:
        level = past.mean(axis=1, keepdims=True)
        inputs, outputs = _by_step(past - level), _by_step(future - level)  # (L, N C), (H, N C)
        gram = gram + inputs @ inputs.T
        moment = moment + inputs @ outputs.T
    assert isinstance(gram, np.ndarray), "a split has at least one window"
    return np.linalg.solve(gram + RIDGE * np.diag(gram).mean() * np.eye(len(gram)), moment)


def _by_step(windows: Floats) -> Floats:
    """Return windows (N, L, C) as (L, N C): every column of every window is one example."""
    return windows.swapaxes(0, 1).reshape(windows.shape[1], -1)


def _forecast(past: Floats, weights: Floats) -> Floats:
    """Return the linear forecast (N, H, C) from past (N, L, C)."""
    level = past.mean(axis=1, keepdims=True)
    by_step = weights.T @ _by_step(past - level)  # one product for all windows, (H, N C)
    forecast: Floats = by_step.reshape(-1, len(past), past.shape[2]).swapaxes(0, 1) + level
    return forecast


@click.command()
@click.option("--dataset", default="ETTh1", show_default=True, help="One of the registry.")
@click.option("--features", default="M", show_default=True, help="M, S or MS.")
@click.option("--seq-len", default=336, show_default=True, help="Look-back in time steps.")
@click.option(
    "--horizons", type=int, multiple=True, help="Time steps to forecast; 96 192 336 720 by default."
)
@click.argument("more_horizons", type=int, nargs=-1)  # the second and later values of --horizons
@click.option(
    "--drop-last", is_flag=True, help="Judge whole batches of 32 alone, as published tables do."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="Compute for the data section of this configuration, instead of the options above.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Write JSON to this file.")
@click.option(
    "--traits",
    "likeness",
    type=click.Path(path_type=Path),
    help="Write what the data are like to this file, as JSON.",
)
@click.option("--parent", type=int, help="Process to end with; by default none.")
def main(
    dataset: str,
    features: str,
    seq_len: int,
    horizons: tuple[int, ...],
    more_horizons: tuple[int, ...],
    drop_last: bool,
    as_json: bool,
    path: Path | None,
    output: Path | None,
    likeness: Path | None,
    parent: int | None,
) -> None:
    """Print the errors of forecasts that need no training, on scaled data over all windows."""
    if parent is not None:
        die_with_parent(parent)
    try:
        if path is not None:
            configs = [read_config(path)]
        else:
            configs = [
                _config(dataset, features, seq_len, horizon, drop_last)
                for horizon in (*horizons, *more_horizons) or (96, 192, 336, 720)
            ]
        found = {config.data.pred_len: compute(config) for config in configs}
        if output is not None:
            replace_text(output, _json(baseline for rows in found.values() for baseline in rows))
        if likeness is not None:
            data = configs[0].data
            measured = traits(find(data.dataset), data.features, data.target)
            replace_text(likeness, measured.model_dump_json(indent=2))
    except (ConfigError, DataError) as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(f"{output or likeness} cannot be written ({error.strerror}).") from None
    if as_json:
        click.echo(_json(baseline for rows in found.values() for baseline in rows))
    elif output is None:
        click.echo(_table(found))


def _config(dataset: str, features: str, seq_len: int, horizon: int, drop_last: bool) -> RunConfig:
    values: dict[str, Value] = {
        "data.dataset": dataset,
        "data.features": features,
        "data.seq_len": seq_len,
        "data.label_len": 0,
        "data.pred_len": horizon,
        "data.drop_last": drop_last,
        "data.target": find(dataset).target,
        "model.distil": False,
    }
    return from_flat(values)


def _json(baselines: Iterable[Baseline]) -> str:
    return json.dumps([baseline.model_dump() for baseline in baselines], indent=2)


def _table(found: Mapping[int, list[Baseline]]) -> str:
    lines = [f"{'horizon':>7}  {'baseline':<18}  {'split':<5} {'MSE':>8} {'MAE':>8}"]
    lines += [
        f"{horizon:>7}  {row.name:<18}  {row.split:<5} {row.mse:>8.4f} {row.mae:>8.4f}"
        for horizon, rows in found.items()
        for row in rows
    ]
    judged = {row.windows for rows in found.values() for row in rows}
    return "\n".join([*lines, f"On scaled data, over {' or '.join(judged)}."])


if __name__ == "__main__":
    main()
