from __future__ import annotations

import numpy as np
import pytest
import torch

from data.registry import DATASETS
from data.series import Features, series
from data.source import load
from data.splits import Scaler, Split, rows, window_starts
from data.windows import Windows

HOURLY = DATASETS["synthetic"]


@pytest.mark.parametrize(
    ("pred_len", "counts"), [(24, (8521, 2857, 2857)), (96, (8449, 2785, 2785))]
)
def test_windows_are_as_many_as_published(pred_len: int, counts: tuple[int, int, int]) -> None:
    splits: tuple[Split, ...] = ("train", "val", "test")
    assert tuple(len(window_starts(HOURLY, split, 96, pred_len)) for split in splits) == counts


def test_borders_are_those_of_informer2020() -> None:
    assert rows(HOURLY, "train", 96) == range(8640)
    assert rows(HOURLY, "val", 96) == range(8640 - 96, 11520)
    assert rows(HOURLY, "test", 96) == range(11520 - 96, 14400)


@pytest.mark.parametrize("split", ["val", "test"])
def test_what_is_forecast_lies_in_its_own_split(split: Split) -> None:
    starts = window_starts(HOURLY, split, 96, 24)
    border = 8640 if split == "val" else 11520
    assert starts[0] + 96 == border
    assert starts[-1] + 96 + 24 == border + 2880


def test_scaling_knows_the_training_part_only() -> None:
    source = series("synthetic", "M", "OT")
    training = source.values[:8640]
    np.testing.assert_allclose(training.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(training.std(axis=0, ddof=0), 1)
    raw = source.scaler.inverse(source.values)
    np.testing.assert_allclose(source.scaler.transform(raw), source.values)


def test_a_constant_column_stays_finite() -> None:
    values = np.array([[1.0, 5.0], [3.0, 5.0]])
    np.testing.assert_array_equal(Scaler.fit(values).transform(values), [[-1, 0], [1, 0]])


def test_a_window_is_its_rows_of_the_series() -> None:
    source = series("synthetic", "MS", "MUFL")
    windows = Windows(source, "val", 48, 12, torch.device("cpu"))
    assert len(windows) == 2880 - 12 + 1
    batch = windows.batch(torch.tensor([0, 7, len(windows) - 1]))
    for at, number in enumerate((0, 7, len(windows) - 1)):
        start = 8640 - 48 + number
        expected = source.values[start : start + 60].astype(np.float32)
        np.testing.assert_array_equal(batch.values[at], expected[:48])
        np.testing.assert_array_equal(batch.target[at], expected[48:, 2:3])
        np.testing.assert_array_equal(batch.known[at], source.known[start : start + 60])


def test_batches_cover_every_window_once() -> None:
    windows = Windows(series("synthetic", "S", "OT"), "test", 24, 24, torch.device("cpu"))
    sizes = [len(batch.values) for batch in windows.batches(1000)]
    assert sizes == [1000, 1000, 857]


@pytest.mark.parametrize(
    ("features", "inputs", "outputs"), [("M", 7, 7), ("S", 1, 1), ("MS", 7, 1)]
)
def test_features_choose_the_columns(features: Features, inputs: int, outputs: int) -> None:
    source = series("synthetic", features, "OT")
    assert source.values.shape[1] == inputs
    assert source.values[:, source.outputs].shape[1] == outputs


def test_a_series_is_read_once() -> None:
    assert series("synthetic", "M", "OT") is series("synthetic", "M", "OT")


@pytest.mark.data
@pytest.mark.usefixtures("etth1")
def test_etth1_is_as_published() -> None:
    frame = load("ETTh1")
    assert frame.shape == (17_420, 7)
    assert frame["OT"].iloc[0] == pytest.approx(30.531)
    assert str(frame.index[-1]) == "2018-06-26 19:00:00"
