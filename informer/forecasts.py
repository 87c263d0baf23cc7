"""Forecasts to look at: of the validation windows that came out worst, at the median, and best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from data.series import Series
from data.splits import Floats
from data.windows import Windows
from informer.metrics import Errors
from informer.records import ColumnForecast, Forecasts, WindowForecast

COLUMNS = 12
SHORTEST_PAST, LONGEST_PAST = 24, 192
NUMBERS = 36_000
"""In all windows together: a few hundred kilobytes, however long the horizon is."""
_DIGITS = 7  # of a number: those of float32


def forecasts(
    forecast: Callable[[Tensor, Tensor], Tensor], windows: Windows, errors: Errors, source: Series
) -> Forecasts:
    """Return the windows with the largest, the (lower) median and the smallest error.

    Args:
        forecast: the forecaster, from values and what is known in advance to (B, H, C_out).
        windows: of the part.
        errors: of the forecaster on all of them, in their order.
        source: the series that they are cut from.
    """
    order = np.argsort(errors.by_window, kind="stable")
    chosen: Mapping[Literal["worst", "median", "best"], int] = {
        "worst": int(order[-1]),
        "median": int(order[(len(order) - 1) // 2]),
        "best": int(order[0]),
    }
    batch = windows.batch(torch.tensor(list(chosen.values()), device=windows.device))
    with torch.inference_mode():
        scaled = forecast(batch.values, batch.known).double().cpu().numpy()  # (3, H, C_out)
    scaler = source.scaler.of(source.outputs)
    made = scaler.inverse(scaled)
    seen, horizon = batch.values.shape[1], batch.target.shape[1]
    past = min(seen, max(SHORTEST_PAST, min(2 * horizon, LONGEST_PAST)))
    columns = _worst_columns(errors, past + 2 * horizon)

    def shown(
        which: Literal["worst", "median", "best"], number: int, made: Floats
    ) -> WindowForecast:
        begins = windows.starts[number] + seen
        rows = slice(begins - past, begins + horizon)
        values = scaler.inverse(source.values[rows, source.outputs])  # (past + H, C_out)
        return WindowForecast(
            which=which,
            window=number,
            mse=float(errors.by_window[number]),
            dates=tuple(source.dates[rows].to_pydatetime()),
            columns=tuple(
                ColumnForecast(
                    name=source.roles.forecast[column],
                    past=_rounded(values[:past, column]),
                    truth=_rounded(values[past:, column]),
                    forecast=_rounded(made[:, column]),
                )
                for column in columns
            ),
        )

    return Forecasts(
        forecast_columns=len(source.roles.forecast),
        windows=tuple(
            shown(which, number, made[place])
            for place, (which, number) in enumerate(chosen.items())
        ),
    )


def _worst_columns(errors: Errors, numbers: int) -> list[int]:
    """Return the columns with the largest error, as many as may be kept with `numbers` each."""
    by_column = errors.squared.mean(axis=0)
    count = max(1, min(COLUMNS, NUMBERS // (3 * numbers)))
    return [int(column) for column in np.argsort(-by_column, kind="stable")[:count]]


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)
