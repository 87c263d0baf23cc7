"""Forecasts of finished runs and of baselines on all windows of a part: found, begun, kept.

Each is computed once, by a process of its own (`informer/hindcast.py`), into a folder beside the
database that is named after everything that decides it: weights, configuration, data and part. The
process holds a lock on a file, which the kernel lets go when it ends in whatever way; so two pages
never compute the same, and a process that was lost is known.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from data import actors
from data.registry import DataError, find
from data.source import on_this_machine
from informer.baselines import Name as Name
from informer.config import RunConfig
from informer.files import ProtocolError, digest_of, read_file, remove
from informer.hindcast import Facts, Order, Status, identity, write_status
from informer.hindcast import Part as Part
from informer.hindcast import Working as Working
from informer.records import Failure, Success
from informer.rundir import RunDir
from nas_engine.machine import cores
from nas_engine.settings import Settings
from nas_engine.workspace import PROJECT

FORMAT = 1
"""Of the folders; another makes all of them anew."""
KEPT_BYTES = 3_000_000_000
"""Of all folders together, beyond which the oldest are removed."""
_FACTS_BYTES = 2**20
_LOCK_TRIES, _LOCK_SECONDS = 5, 0.02

_STATUS: TypeAdapter[Working | Failure] = TypeAdapter(Status)
Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Wanted:
    """Forecasts that a page asks for; `key` names them by all that decides them."""

    key: str
    part: Part
    config: RunConfig
    data: str  # the data set as it was then, see `informer.hindcast.identity`
    run: RunDir | None
    baseline: Name | None
    recorded: float | None  # MSE of the part as the training has recorded it


@dataclass(frozen=True)
class Hindcast:
    """Forecasts that are there, N windows of H steps and C columns; the arrays stay on the disk."""

    key: str
    facts: Facts
    forecast: Numbers  # (N, H, C), on scaled data
    values: Numbers  # (P + R, C)
    dates: NDArray[np.datetime64]  # (P + R)

    @property
    def truth(self) -> Numbers:
        """What came in each window, (N, H, C), on scaled data: a view, nothing is copied."""
        facts = self.facts
        windows = sliding_window_view(self.values[facts.past :], facts.horizon, axis=0)
        return windows[:: facts.every].transpose(0, 2, 1)

    def rows(self, window: int, past: int = 0) -> slice:
        """Return the rows of values and dates that a window forecasts, and those before."""
        begin = self.facts.past + window * self.facts.every
        return slice(max(0, begin - past), begin + self.facts.horizon)

    def begins(self) -> NDArray[np.datetime64]:
        """Return the first date that each window forecasts, (N,)."""
        facts = self.facts
        return self.dates[facts.past :: facts.every][: facts.windows]


# -- what is wanted -----------------------------------------------------------------------------


def of_run(run: RunDir, part: Part) -> Wanted | str:
    """Return what names the forecasts of a finished run, or why there can be none."""
    result = run.read_result()
    if result is None and not run.path.is_dir():
        return "Its run folder is not on this machine, so that there are no weights to forecast by."
    if not isinstance(result, Success):
        return "Its training has not come to a result, so that there are no weights to forecast by."
    try:
        config, weights = run.read_config(), _digest(run)
        data = identity(find(config.data.dataset))
        key = _key(weights, config.model_dump(), part, data)
        recorded = {"val": result.val_mse, "test": result.test_mse}.get(part)
        return Wanted(key, part, config, data, run, None, recorded)
    except FileNotFoundError as error:
        return f"{error.filename} is gone; train the trial again."
    except (ProtocolError, DataError) as error:
        return str(error)
    except (ValueError, OSError) as error:
        return f"{run.path} cannot be read ({error})."


def of_baseline(config: RunConfig, name: Name, part: Part) -> Wanted | str:
    """Return what names the forecasts of a baseline for the task of `config`, or why not."""
    try:
        data = identity(find(config.data.dataset))
        key = _key(name, config.data.model_dump(), part, data)
        return Wanted(key, part, config, data, None, name, None)
    except DataError as error:
        return str(error)


def _digest(run: RunDir) -> str:
    """Return the SHA-256 of a run's weights, computed once while the file stays as it is."""
    if run.weights.is_symlink():
        raise ProtocolError(f"{run.weights} is a link, and links in a run folder are not followed.")
    status = run.weights.stat()
    return _digest_of(run.weights, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=256)
def _digest_of(path: Path, changed_ns: int, size: int) -> str:
    return digest_of(path)


def _key(forecaster: str, settings: dict[str, Any], part: Part, data: str) -> str:
    decides = json.dumps([FORMAT, forecaster, part, settings, data], sort_keys=True)
    return hashlib.sha256(decides.encode()).hexdigest()[:32]


# -- where it stands ----------------------------------------------------------------------------


def standing(folder: Path, wanted: Wanted) -> Hindcast | Working | str | None:
    """Return the forecasts, how far they are, why they have failed, or None: nothing was begun."""
    place = folder / wanted.key
    if (found := _loaded(place)) is not None:
        return found
    with _locked(_lock(folder, wanted.key), fcntl.LOCK_SH) as lock:
        status = _read_status(_status(folder, wanted.key))
        if lock is None:
            return status if isinstance(status, Working) else Working()
    if (found := _loaded(place)) is not None:  # it has ended in this moment
        return found
    if isinstance(status, Failure):
        return status.message
    if status is None:
        return None
    return "The process that computed it was lost, perhaps because memory ran out; try again."


def begin(folder: Path, wanted: Wanted, settings: Settings) -> str | None:
    """Have the forecasts computed, unless that is under way; return why it could not be begun.

    Args:
        folder: of all forecasts of a workspace.
        wanted: what is to be computed.
        settings: give the environment that a training would have.
    """
    if refusal := actors.current().refusal:
        return refusal
    name = wanted.config.data.dataset
    if find(name).url is not None and on_this_machine(name) is None:
        return f"Data set {name} is not on this machine: download it on the page Data first."
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_room(folder, {wanted.key})
        with _locked(_lock(folder, wanted.key), fcntl.LOCK_EX) as lock:
            if lock is None:
                return None
            remove(folder / wanted.key)  # what is there could not be read
            write_status(_status(folder, wanted.key), Working())
            _spawn(folder, wanted, settings, lock)
    except OSError as error:
        return (
            f"It could not be begun ({error.strerror}); see that {folder} can be written and that "
            "the disk has room."
        )
    return None


def order(folder: Path, wanted: Wanted) -> Order:
    """Return what the process that computes is told."""
    return Order(
        config=wanted.config.flat(),
        run=None if wanted.run is None else wanted.run.path.absolute(),
        baseline=wanted.baseline,
        part=wanted.part,
        data=wanted.data,
        folder=folder.absolute() / wanted.key,
        status=_status(folder.absolute(), wanted.key),
    )


def _spawn(folder: Path, wanted: Wanted, settings: Settings, lock: int) -> None:
    """Start the process, which inherits the lock and outlives this one."""
    threads = str(max(1, cores() // 2))
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "informer.hindcast", "--threads", threads],
        cwd=PROJECT,
        env=settings.worker_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(lock,),
        start_new_session=True,
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(order(folder, wanted).model_dump_json().encode())
    # Somebody must wait for it, or it stays a zombie for as long as the dashboard lives.
    threading.Thread(target=process.wait, daemon=True).start()


def _read_status(path: Path) -> Working | Failure | None:
    try:
        return _STATUS.validate_json(read_file(path, _FACTS_BYTES))
    except (FileNotFoundError, ProtocolError, ValidationError):
        return None


def _status(folder: Path, key: str) -> Path:
    return folder / f"{key}.json"


def _lock(folder: Path, key: str) -> Path:
    return folder / f"{key}.lock"


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[int | None]:
    """Hold a lock while the context lasts, or yield None where another process holds it.

    A page that only looks holds it for a moment, which is waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:  # the folder is not there: nothing was ever begun
        yield -1
        return
    try:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if kind == fcntl.LOCK_SH:
                    yield None
                    return
                time.sleep(_LOCK_SECONDS)
        else:
            yield None
            return
        yield descriptor
    finally:
        os.close(descriptor)


# -- what is kept -------------------------------------------------------------------------------


def _loaded(place: Path) -> Hindcast | None:
    """Return the forecasts of a folder; None where they are not there, or not as they should be."""
    try:
        facts = Facts.model_validate_json(read_file(place / "facts.json", _FACTS_BYTES))
        forecast, values, dates = (
            _mapped(place / f"{name}.npy") for name in ("forecast", "values", "dates")
        )
    except (OSError, ProtocolError, ValueError):
        return None
    columns, ahead = len(facts.columns), facts.horizon
    span = (facts.windows - 1) * facts.every + ahead
    seen, named = (0, ahead) if facts.part == "future" else (span, span)
    fits = (
        len(facts.centre) == len(facts.scale) == columns
        and facts.seq_len <= facts.past
        and forecast.shape == (facts.windows, ahead, columns)
        and values.shape == (facts.past + seen, columns)
        and dates.shape == (facts.past + named,)
        and (forecast.dtype, values.dtype, dates.dtype) == (np.float32, np.float32, "M8[us]")
    )
    return Hindcast(place.name, facts, forecast, values, dates) if fits else None


def _mapped(path: Path) -> np.memmap[Any, Any]:
    """Return an array that stays on the disk; raises OSError or ValueError where there is none."""
    if path.is_symlink() or not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{path} is no plain file")
    return np.lib.format.open_memmap(path, mode="r")  # numbers alone: objects are refused


def _make_room(folder: Path, keep: Collection[str], limit: int = KEPT_BYTES) -> None:
    """Remove the oldest forecasts until those that stay take no more than `limit` bytes."""
    found = []
    for place in folder.iterdir():
        if place.is_dir() and not place.is_symlink() and not place.name.startswith("."):
            with suppress(OSError):
                size = sum(file.stat().st_size for file in place.iterdir())
                found.append((place.stat().st_mtime, size, place))
    total = sum(size for _, size, _ in found)
    for _, size, place in sorted(found):
        if total <= limit:
            return
        if place.name not in keep:
            shutil.rmtree(place, ignore_errors=True)
            _lock(folder, place.name).unlink(missing_ok=True)
            total -= size
