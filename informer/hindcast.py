"""Forecasts of all windows of a part by a run or a baseline: `python -m informer.hindcast`.

Reads an `Order` as JSON from stdin and makes the folder that it names, put in place by a rename:

    forecast.npy  float32 (N, H, C): the forecast of each window, in order of time
    values.npy    float32 (P + R, C): P rows of the past, then the R rows of the part
    dates.npy     datetime64[us] (P + R), and of the H rows to come where these are forecast
    facts.json    `Facts`

Forecasts and values are on scaled data.
The forecast of window n begins with row `P + n every` of the values. Until then the status file
tells how far it is, or why it has failed; it is gone once the folder is there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from data import calendar
from data.registry import DataError, Dataset
from data.series import Series, series
from data.splits import Floats, window_starts
from informer.baselines import Name, Rows, chunks, forecaster
from informer.conduct import yield_to_others
from informer.config import ConfigError, RunConfig, Value, from_flat
from informer.files import ProtocolError, put_in_place, read_file, temporary_of
from informer.metrics import Errors
from informer.records import Failure, Finite, Record, UsedData
from informer.rundir import RunDir

if TYPE_CHECKING:
    import torch

Part = Literal["val", "test", "future"]
"""What is forecast: all windows of a part, or the steps after the last row of the data."""

BYTES = 300_000_000
"""Of the forecasts of one folder; where all windows take more, every k-th is kept."""
WEIGHTS_BYTES = 2**33
SECONDS = 3600.0
"""After which a computation is given up."""
SHOWN_PAST = 192
"""Rows before the first forecast that are kept for people to look at, at least."""
_REPORT_SECONDS = 0.3
_BASELINE_WINDOWS = 256  # at a time


class Order(Record):
    """What is to be forecast, by whom, and where it is put."""

    config: dict[str, Value]  # by dotted key
    run: Path | None  # the folder of a finished run, or
    baseline: Name | None
    part: Part
    data: str  # the data set as whoever ordered knew it, see `identity`
    folder: Path  # that is made
    status: Path
    most_bytes: int = BYTES


class Working(Record):
    """How many windows are forecast so far; of 0 while the libraries are being loaded."""

    status: Literal["working"] = "working"
    done: int = 0
    of: int = 0


class Facts(Record):
    """What the arrays of a folder hold."""

    part: Part
    dataset: str
    frequency: str
    columns: tuple[str, ...]  # C
    centre: tuple[Finite, ...]  # of each column: own units are scaled * scale + centre
    scale: tuple[Finite, ...]
    seq_len: int
    horizon: int  # H
    past: int  # P
    windows: int  # N
    every: int  # window of the part that is kept
    of_windows: int  # that the part has
    mse: Finite | None  # over the windows that are kept, on scaled data; None beyond the end
    mae: Finite | None
    device: str
    seconds: Finite


def identity(dataset: Dataset) -> str:
    """Return what tells a data set from every other, and from what it was before a change."""
    facts = json.dumps(dataclasses.asdict(dataset), default=str, sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()


Status = Annotated[Working | Failure, Field(discriminator="status")]
Forecaster = Callable[[Rows], Floats]  # from first rows (N, 1) to forecasts (N, H, C)
Report = Callable[[int, int], None]


def make(order: Order, report: Report = lambda done, of: None) -> Facts:
    """Compute the forecasts and put their folder in place.

    Raises:
        Exception: whatever stands in the way, see `failed`.
    """
    began = time.monotonic()
    config = from_flat(order.config)
    data = config.data
    source = series(data.dataset, data.features, data.target)
    if identity(source.dataset) != order.data:
        raise DataError(f"Data set {data.dataset} was changed meanwhile; load the page again.")
    origins, every, of_windows = _origins(order, config, source)
    report(0, len(origins))
    forecast, size, device = _chosen_forecaster(order, config, source)
    folder = _emptied(order.folder)
    shape = (len(origins), data.pred_len, len(source.roles.forecast))
    kept = np.lib.format.open_memmap(folder / "forecast.npy", "w+", np.float32, shape)
    errors = Errors()
    for begin in range(0, len(origins), size):
        chunk = origins[begin : begin + size, None]
        made = forecast(chunk)
        kept[begin : begin + size] = made
        if order.part != "future":
            truth = source.values[chunk + np.arange(data.pred_len), source.outputs]
            errors.add(made - truth)
        report(begin + len(chunk), len(origins))
    if not np.isfinite(kept).all():
        raise ArithmeticError("Some of the forecasts are not finite numbers.")
    kept.flush()
    past = _keep_truth(folder, order, config, source, origins)
    scaler, seen = source.scaler.of(source.outputs), order.part != "future"
    facts = Facts(
        part=order.part,
        dataset=data.dataset,
        frequency=source.dataset.frequency,
        columns=source.roles.forecast,
        centre=tuple(scaler.centre.tolist()),
        scale=tuple(scaler.scale.tolist()),
        seq_len=data.seq_len,
        horizon=data.pred_len,
        past=past,
        windows=len(origins),
        every=every,
        of_windows=of_windows,
        mse=errors.mse if seen else None,
        mae=errors.mae if seen else None,
        device=device,
        seconds=time.monotonic() - began,
    )
    (folder / "facts.json").write_text(facts.model_dump_json(indent=2), "utf-8")
    put_in_place(folder, order.folder)
    return facts


def _keep_truth(
    folder: Path, order: Order, config: RunConfig, source: Series, origins: NDArray[np.int64]
) -> int:
    """Write what came and the dates; return how many rows of the past stand before it."""
    past = int(min(origins[0], max(config.data.seq_len, SHOWN_PAST)))
    kept = slice(int(origins[0]) - past, int(origins[-1]) + config.data.pred_len)
    values = source.values[kept, source.outputs].astype(np.float32)
    future = order.part == "future"
    dates = _continued(source, config.data.pred_len) if future else source.dates
    stamps = dates[kept].to_numpy("datetime64[us]")
    np.save(folder / "values.npy", values, allow_pickle=False)
    np.save(folder / "dates.npy", stamps, allow_pickle=False)
    return past


def _emptied(folder: Path) -> Path:
    """Return the folder in which that of this name is written, without what a loss has left."""
    temporary = temporary_of(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700, parents=True)
    return temporary


def _origins(order: Order, config: RunConfig, source: Series) -> tuple[NDArray[np.int64], int, int]:
    """Return the first rows to be forecast (N,), which of the windows these are, and of how many.

    Every k-th window is kept, so that the forecasts take no more bytes than they may.
    """
    data = config.data
    if order.part == "future":
        if source.roles.known:
            raise DataError(
                f"{data.dataset} has columns that are known in advance "
                f"({', '.join(source.roles.known)}), of which no values are there beyond its end; "
                "give them with python -m informer.predict."
            )
        return np.array([len(source.values)]), 1, 1
    starts = window_starts(
        source.dataset, order.part, data.seq_len, data.pred_len, drop_last=data.drop_last
    )
    columns = len(source.roles.forecast)
    every = max(1, -(-4 * len(starts) * data.pred_len * columns // order.most_bytes))
    return np.array(starts[::every]) + data.seq_len, every, len(starts)


def _chosen_forecaster(
    order: Order, config: RunConfig, source: Series
) -> tuple[Forecaster, int, str]:
    """Return the forecaster, how many windows it takes at a time, and the device that computes."""
    if order.run is None:
        assert order.baseline is not None, "an order is of a run or of a baseline"
        size, name = (config.data.seq_len, config.data.pred_len), order.baseline
        training = chunks(source, window_starts(source.dataset, "train", *size), *size)
        every = forecaster(source, *size, training)
        return lambda origins: every(origins)[name], _BASELINE_WINDOWS, "cpu"
    run = RunDir(order.run)
    _require_same_data(run, source)
    device = _device(config)
    return _trained(run, config, source, device), 2 * config.data.batch_size, device.type


def _require_same_data(run: RunDir, source: Series) -> None:
    """Raise DataError where a training has seen other data, or other parts, than there are now."""
    ran_on = run.read_environment()
    if ran_on is None:
        return
    if changed := ran_on.data.differences(UsedData.of(source.dataset)):
        raise DataError(
            f"Data set {source.dataset.name} has changed since this training: "
            f"{', '.join(changed)}; its weights do not fit it any more. Train the trial again."
        )


def _device(config: RunConfig) -> torch.device:
    """Return the device of the training where this machine has it, else the CPU."""
    import torch

    from informer.devices import DeviceError, choose_device

    try:
        return choose_device(config.training.device)
    except DeviceError:
        return torch.device("cpu")


def _trained(run: RunDir, config: RunConfig, source: Series, device: torch.device) -> Forecaster:
    """Return what forecasts with the best weights of a run."""
    import torch

    from informer.forecaster import WeightsError
    from informer.forecaster import forecaster as ready

    try:
        model = ready(config, read_file(run.weights, WEIGHTS_BYTES), device)
    except (FileNotFoundError, ProtocolError, WeightsError) as error:
        raise ConfigError(
            [f"The weights of this run cannot be used: {error}; train the trial again."]
        ) from None
    data = config.data
    behind, ahead = np.arange(data.seq_len) - data.seq_len, np.arange(data.pred_len)
    steps = np.concatenate((behind, ahead))
    known = np.concatenate((source.known, _marks_beyond(source, data.pred_len)))

    def forecast(origins: Rows) -> Floats:
        past = torch.tensor(source.values[origins + behind], dtype=torch.float32, device=device)
        in_advance = torch.tensor(known[origins + steps], device=device)
        with torch.inference_mode():
            made: Floats = model(past, in_advance).double().cpu().numpy()
        return made

    return forecast


def _continued(source: Series, steps: int) -> pd.DatetimeIndex:
    """Return the dates of a series and of so many steps after its end."""
    frequency = source.dataset.frequency
    ahead = pd.date_range(source.dates[-1], periods=steps + 1, freq=frequency)
    if ahead[0] != source.dates[-1]:  # the last date is none of the frequency's own
        raise DataError(f"The dates of {source.dataset.name} do not follow {frequency!r}.")
    return pd.DatetimeIndex(source.dates.append(ahead[1:]))


def _marks_beyond(source: Series, steps: int) -> NDArray[np.float32]:
    """Return the calendar of the steps after the end, (H, F + K); columns known are not, and 0."""
    dates = pd.date_range(source.dates[-1], periods=steps + 1, freq=source.dataset.frequency)[1:]
    marks = calendar.encode(dates, source.dataset.frequency)
    unknown = np.zeros((len(marks), source.known.shape[1] - marks.shape[1]), np.float32)
    return np.concatenate((marks, unknown), axis=1)


# -- the process --------------------------------------------------------------------------------


def failed(error: Exception, order: Order) -> Failure:
    """Return why forecasts could not be computed, in a sentence."""
    if isinstance(error, DataError | ConfigError):
        kind: Literal["config", "data"] = "data" if isinstance(error, DataError) else "config"
        return Failure(error_class=kind, message=str(error))
    from informer import training

    try:
        config = from_flat(order.config)
    except ConfigError as refused:
        return Failure(error_class="config", message=str(refused))
    found = training.failure(error, config)
    if found.error_class == "out_of_memory":
        message = "Memory ran out; try again when less runs on this machine."
        return found.model_copy(update={"message": message})
    return found


def write_status(path: Path, status: Working | Failure) -> None:
    """Replace the status; it need not outlive a power cut, which no computation does."""
    temporary = temporary_of(path)
    temporary.write_text(status.model_dump_json(), "utf-8")
    os.replace(temporary, path)


def carry_out(order: Order) -> None:
    """Compute what is ordered, and leave its status or why it failed."""
    reported = -_REPORT_SECONDS

    def report(done: int, of: int) -> None:
        nonlocal reported
        if (now := time.monotonic()) - reported >= _REPORT_SECONDS:
            reported = now
            write_status(order.status, Working(done=done, of=of))

    try:
        make(order, report)
        order.status.unlink(missing_ok=True)
    except Exception as error:
        shutil.rmtree(temporary_of(order.folder), ignore_errors=True)
        write_status(order.status, failed(error, order))


def _give_up(order: Order) -> None:
    message = (
        f"It was ended after {SECONDS / 60:g} minutes; try again when less runs on this machine."
    )
    write_status(order.status, Failure(error_class="error", message=message))
    os._exit(1)


@click.command()
@click.option("--threads", type=click.IntRange(min=1), default=1, help="CPU threads.")
def main(threads: int) -> None:
    """Compute the forecasts of the order on stdin."""
    yield_to_others()
    order = Order.model_validate_json(sys.stdin.read())
    timer = threading.Timer(SECONDS, _give_up, (order,))
    timer.daemon = True
    timer.start()
    if order.run is not None:
        from informer import training

        training.use_threads(threads)
    carry_out(order)


if __name__ == "__main__":
    main()
