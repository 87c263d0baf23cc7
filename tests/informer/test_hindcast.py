"""Forecasts of all windows: they are the model's, of every part and beyond the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from data import calendar
from data.registry import find
from data.series import series
from data.windows import Windows
from informer.baselines import compute
from informer.config import RunConfig, Value
from informer.hindcast import Facts, Order, carry_out, identity, make
from informer.model import Informer
from informer.records import Failure, Success
from informer.rundir import RunDir
from informer.training import train


def order(config: RunConfig, folder: Path, **more: Any) -> Order:
    known = identity(find(config.data.dataset))
    given: dict[str, Any] = {"run": None, "baseline": None, "part": "val", "data": known, **more}
    return Order(
        config=config.flat(), folder=folder / "made", status=folder / "status.json", **given
    )


def trained(config: RunConfig, folder: Path) -> tuple[RunDir, Success]:
    run = RunDir(folder / "run")
    run.create(config)
    result = train(config, run)
    assert isinstance(result, Success), result
    return run, result


def arrays(folder: Path) -> tuple[Any, Any, Any]:
    files = ("forecast", "values", "dates")
    forecast, values, dates = (np.load(folder / "made" / f"{name}.npy") for name in files)
    return forecast, values, dates


def restored(run: RunDir, config: RunConfig) -> Informer:
    model = Informer(config)
    model.load_state_dict(safetensors.torch.load_file(run.weights))
    return model.eval()


SHORT: dict[str, Value] = {"training.epochs": 1, "training.steps_per_epoch": 4}


def test_a_run_forecasts_every_window_as_it_did_when_it_was_judged(
    tmp_path: Path, tiny: RunConfig
) -> None:
    config = tiny.with_changes(SHORT)
    run, result = trained(config, tmp_path)
    for part, recorded in (("test", result.test_mse), ("val", result.val_mse)):
        facts = make(order(config, tmp_path / part, run=run.path, part=part))
        assert facts.mse == pytest.approx(recorded, rel=1e-6)
        assert (facts.windows, facts.every, facts.of_windows) == (55, 1, 55)
    source = series("tiny", "M", "OT")
    windows = Windows(source, "val", 24, 6, torch.device("cpu"))
    batch = windows.batch(torch.arange(55))
    with torch.inference_mode():
        expected = restored(run, config)(batch.values, batch.known).numpy()
    forecast, values, dates = arrays(tmp_path / "val")
    np.testing.assert_allclose(forecast, expected, atol=1e-6)
    assert facts.past == 192 and len(values) == len(dates) == 192 + 60
    for window in (0, 54):
        first = 192 + window
        np.testing.assert_array_equal(values[first : first + 6], batch.target[window].numpy())
        assert dates[first] == source.dates[800 + window].to_numpy()
    own = values[192] * np.array(facts.scale) + np.array(facts.centre)
    assert own == pytest.approx(source.scaler.inverse(source.values[800]), rel=1e-5)
    assert not (tmp_path / "val" / ".made.tmp").exists()


@pytest.mark.parametrize("features", ["M", "MS"])
def test_baselines_forecast_what_their_errors_were_computed_from(
    tmp_path: Path, tiny: RunConfig, features: str
) -> None:
    config = tiny.with_changes({"data.features": features})
    for row in compute(config):
        place = tmp_path / row.name / row.split
        facts = make(order(config, place, baseline=row.name, part=row.split))
        assert (facts.mse, facts.mae) == pytest.approx((row.mse, row.mae), rel=1e-9)
        assert facts.columns == (
            ("OT",) if features == "MS" else series("tiny", "M", "OT").roles.forecast
        )


def test_where_all_windows_are_too_many_every_second_is_kept(
    tmp_path: Path, tiny: RunConfig
) -> None:
    whole = make(order(tiny, tmp_path / "whole", baseline="seasonal-naive"))
    half = 4 * 28 * 6 * 7
    facts = make(order(tiny, tmp_path / "half", baseline="seasonal-naive", most_bytes=half))
    assert (whole.windows, facts.windows, facts.every, facts.of_windows) == (55, 28, 2, 55)
    np.testing.assert_array_equal(arrays(tmp_path / "half")[0], arrays(tmp_path / "whole")[0][::2])


def test_beyond_the_end_the_last_look_back_is_continued(tmp_path: Path, tiny: RunConfig) -> None:
    config = tiny.with_changes(SHORT)
    run, _ = trained(config, tmp_path)
    facts = make(order(config, tmp_path, run=run.path, part="future"))
    source = series("tiny", "M", "OT")
    forecast, values, dates = arrays(tmp_path)
    assert facts.mse is None and facts.windows == 1 and len(values) == facts.past == 192
    step = np.timedelta64(1, "h")
    last = source.dates[-1].to_numpy()
    assert list(dates[-7:]) == [last + hour * step for hour in range(7)]
    known = np.concatenate((source.known[-24:], calendar.encode(pd.DatetimeIndex(dates[-6:]), "h")))
    past = torch.tensor(source.values[-24:], dtype=torch.float32)
    with torch.inference_mode():
        expected = restored(run, config)(past[None], torch.tensor(known)[None])
    np.testing.assert_allclose(forecast, expected.numpy(), atol=1e-6)


def refused(order: Order) -> str:
    carry_out(order)
    assert not order.folder.exists()
    return Failure.model_validate_json(order.status.read_text()).message


def test_what_stands_in_the_way_is_a_sentence(
    tmp_path: Path, tiny: RunConfig, covariates: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny.with_changes(SHORT)
    run, _ = trained(config, tmp_path)
    ordered = order(config, tmp_path, run=run.path)
    carry_out(ordered)
    assert not ordered.status.exists()
    assert Facts.model_validate_json((ordered.folder / "facts.json").read_text()).windows == 55
    other = order(config, tmp_path / "other", baseline="repeat-last", data="of before")
    (tmp_path / "other").mkdir()
    assert "Data set tiny was changed meanwhile" in refused(other)
    other = order(config, tmp_path / "other", run=run.path)
    ran_on = run.read_environment()
    assert ran_on is not None
    splits = ran_on.data.splits | {"val": (800, 900)}
    data = ran_on.data.model_copy(update={"splits": splits})
    run.environment.write_text(ran_on.model_copy(update={"data": data}).model_dump_json())
    assert "tiny has changed since this training: it is split into" in refused(other)
    run.environment.unlink()
    run.weights.write_bytes(run.weights.read_bytes()[:-9])
    assert "weights of this run cannot be used: they cannot be read" in refused(other)
    run.weights.unlink()
    assert "weights of this run cannot be used" in refused(other)
    future = tiny.with_changes({"data.dataset": covariates})
    message = refused(order(future, tmp_path / "other", baseline="repeat-last", part="future"))
    assert "known in advance (HULL)" in message and "informer.predict" in message
    unknown = other.model_copy(update={"config": config.flat() | {"data.dataset": "gone"}})
    assert "data.dataset must be one of" in refused(unknown)

    def no_memory(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("informer.hindcast.series", no_memory)
    assert refused(other) == "Memory ran out; try again when less runs on this machine."
