"""What tests of training share: a data set that takes no time, and the real one where it is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from data.registry import DATASETS, DataError, Dataset
from data.series import Series, series
from data.source import locate
from informer.config import RunConfig, Value
from informer.records import Epoch, Progress, Success

TINY: dict[str, Value] = {
    "data.dataset": "tiny",
    "data.seq_len": 24,
    "data.label_len": 12,
    "data.pred_len": 6,
    "data.batch_size": 16,
    "model.d_model": 16,
    "model.n_heads": 2,
    "model.d_ff": 32,
    "training.epochs": 2,
    "training.steps_per_epoch": 16,
    "training.device": "cpu",
}


def interrupt_in_epoch(number: int) -> Callable[[Progress | Epoch], None]:
    """Return what interrupts a training as a person would, inside an epoch."""

    def interrupt(record: Progress | Epoch) -> None:
        if isinstance(record, Progress) and record.epoch == number:
            raise KeyboardInterrupt

    return interrupt


def figures(result: Success) -> dict[str, Any]:
    """Return what a training decides, without what is measured while it runs."""
    return result.model_dump(exclude={"seconds", "memory_mb", "latency_ms"})


def tiny_dataset() -> Dataset:
    """Return the synthetic series cut short, so that an epoch takes no time."""
    return dataclasses.replace(DATASETS["synthetic"], name="tiny", split_rows=(800, 60, 60))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep tests that run at the same time from fighting for cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """A configuration that trains in a second, on the synthetic series cut short."""
    monkeypatch.setitem(DATASETS, "tiny", tiny_dataset())
    return RunConfig().with_changes(TINY)


@pytest.fixture
def covariates(monkeypatch: pytest.MonkeyPatch) -> str:
    """A data set with past-only and known-future columns."""
    columns = DATASETS["synthetic"].columns
    dataset = dataclasses.replace(
        DATASETS["synthetic"],
        name="covariates",
        past_only=columns[:1],
        known_future=columns[1:2],
    )
    monkeypatch.setitem(DATASETS, "covariates", dataset)
    return dataset.name


@pytest.fixture
def diverging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values whose squared error has a finite float32, but only until weights have that size."""

    def series_out_of_range(*arguments: Any) -> Series:
        source = series(*arguments)
        return dataclasses.replace(source, values=source.values * 1e15)

    monkeypatch.setattr("informer.training.series", series_out_of_range)


@pytest.fixture
def etth1(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real ETTh1, never downloaded for a test."""

    def no_download(*_: object) -> Path:
        raise DataError("not on this machine")

    monkeypatch.setattr("data.source._download", no_download)
    try:
        return locate("ETTh1")
    except DataError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"ETTh1 is needed in a directory that NAS_DATA_DIRS names: {error}")
