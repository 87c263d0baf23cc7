"""Run folders as workers leave them, for pages that show what lies in them."""

from __future__ import annotations

from datetime import datetime, timedelta

from informer.records import (
    ColumnForecast,
    Details,
    Environment,
    Forecasts,
    PartErrors,
    UsedData,
    WindowForecast,
)
from informer.rundir import RunDir
from nas_engine.workspace import Workspace

COLUMNS = ("HUFL", "OT <b>", "LULL")


def leave_folder(workspace: Workspace, search_id: int, number: int, repeat: int = 0) -> RunDir:
    """Write what a worker leaves behind but for its result and its weights."""
    run = workspace.run_dir(search_id, number, repeat)
    run.path.mkdir(parents=True)
    details = Details(val=errors(24, 0.4), test=errors(24, 0.3))
    run.details.write_text(details.model_dump_json())
    run.forecasts.write_text(forecasts().model_dump_json())
    run.environment.write_text(environment().model_dump_json())
    run.log.write_text("loading ETTh1\nepoch 1 of 6\n")
    return run


def errors(steps: int, level: float) -> PartErrors:
    by_step = tuple(level * (0.6 + step / steps) for step in range(steps))
    by_column = tuple(level * (1 + at) for at in range(len(COLUMNS)))
    return PartErrors(
        columns=COLUMNS,
        mse_by_step=by_step,
        mae_by_step=tuple(value**0.5 for value in by_step),
        mse_by_column=by_column,
        mae_by_column=tuple(value**0.5 for value in by_column),
        own_mse_by_column=tuple(9 * value for value in by_column),
        own_mae_by_column=tuple(3 * value**0.5 for value in reversed(by_column)),
    )


def forecasts() -> Forecasts:
    begin = datetime(2017, 10, 1)
    dates = tuple(begin + timedelta(hours=hour) for hour in range(72))
    truth = [10 + 3 * (hour % 24) / 24 for hour in range(72)]
    windows = tuple(
        WindowForecast(
            which=which,
            window=place,
            mse=mse,
            dates=dates,
            columns=tuple(
                ColumnForecast(
                    name=name,
                    past=tuple(truth[:48]),
                    truth=tuple(truth[48:]),
                    forecast=tuple(value + mse for value in truth[48:]),
                )
                for name in COLUMNS
            ),
        )
        for place, (which, mse) in enumerate((("worst", 1.5), ("median", 0.4), ("best", 0.1)))
    )
    return Forecasts(forecast_columns=7, windows=windows)


def environment() -> Environment:
    return Environment(
        versions={"Python": "3.11.9", "torch": "2.13.0"},
        commit="0123456789abcdef",
        changed=True,
        platform="Linux-6.1",
        device="cpu",
        threads=2,
        seed=2021,
        data=UsedData(
            name="ETTh1",
            sha256="f18de3ad269cef59",
            generated=None,
            rows=17420,
            splits={"train": (0, 8640), "val": (8640, 11520), "test": (11520, 14400)},
        ),
    )
