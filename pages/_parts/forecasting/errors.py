"""Errors of forecasts taken apart: by window, step, hour, date and column. Pure functions.

N windows of H steps and C columns; e is a squared or an absolute error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nas_engine.hindcasts import Hindcast, Numbers
from pages._parts.breakdown import Measure

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Clock = Literal["hour", "weekday", "month"]

CLOCKS: dict[Clock, str] = {
    "hour": "Hour of the day",
    "weekday": "Day of the week",
    "month": "Month",
}
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TAKEN = 4_000_000  # numbers at a time: bounds the memory


def by_window_and_step(made: Hindcast, measure: Measure, column: int | None) -> Numbers:
    """Return e of each window and step, (N, H): of one column, or the mean over all of them."""
    windows, steps, columns = made.forecast.shape
    taken = slice(None) if column is None else slice(column, column + 1)
    found = np.empty((windows, steps), np.float32)
    size = max(1, _TAKEN // (steps * columns))
    for begin in range(0, windows, size):
        chunk = slice(begin, begin + size)
        found[chunk] = _error(made, chunk, taken, measure).mean(axis=2)
    return found


def by_step_and_column(made: Hindcast, measure: Measure) -> Floats:
    """Return the mean of e over all windows by step and column, (H, C)."""
    windows, steps, columns = made.forecast.shape
    total = np.zeros((steps, columns))
    size = max(1, _TAKEN // (steps * columns))
    for begin in range(0, windows, size):
        error = _error(made, slice(begin, begin + size), slice(None), measure)
        total += error.sum(axis=0, dtype=np.float64)
    found: Floats = total / windows
    return found


def _error(made: Hindcast, windows: slice, columns: slice, measure: Measure) -> Numbers:
    error: Numbers = made.forecast[windows, :, columns] - made.truth[windows, :, columns]
    return error * error if measure == "mse" else np.abs(error)


# -- groups of steps ----------------------------------------------------------------------------


def clocks(made: Hindcast) -> list[Clock]:
    """Return the clocks by which steps of this frequency differ."""
    step = np.median(np.diff(made.dates[:1000])).astype("timedelta64[us]")
    if step < np.timedelta64(1, "D"):
        return ["hour", "weekday"]
    return ["weekday"] if step < np.timedelta64(7, "D") else ["month"]


def told(dates: NDArray[np.datetime64], clock: Clock) -> Places:
    """Return what a clock shows at each date: hour 0 to 23, Monday 0 to Sunday 6, month 0 to 11."""
    match clock:
        case "hour":
            return dates.astype("datetime64[h]").astype(np.int64) % 24
        case "weekday":
            return (
                dates.astype("datetime64[D]").astype(np.int64) + 3
            ) % 7  # 1970 began on a Thursday
        case "month":
            return dates.astype("datetime64[M]").astype(np.int64) % 12


def names_of(clock: Clock) -> Sequence[str]:
    """Return the names of what a clock shows."""
    hours = [f"{hour:02d}" for hour in range(24)]
    return {"hour": hours, "weekday": WEEKDAYS, "month": MONTHS}[clock]


def of_steps(made: Hindcast, clock: Clock) -> Places:
    """Return what a clock shows at each step of each window, (N, H)."""
    facts = made.facts
    shown = told(made.dates[facts.past :], clock)
    found: Places = np.lib.stride_tricks.sliding_window_view(shown, facts.horizon)[:: facts.every]
    return found


def by_group(error: Numbers, groups: Places, count: int) -> Floats:
    """Return the mean of e (N, H) over the steps of each group; NaN for a group without any."""
    many = np.bincount(groups.ravel(), minlength=count)
    total = np.bincount(groups.ravel(), error.ravel(), minlength=count)
    found: Floats = np.divide(total, many, out=np.full(count, np.nan), where=many > 0)
    return found


def by_group_and_step(error: Numbers, groups: Places, count: int) -> Floats:
    """Return the mean of e (N, H) by group and step, (groups, H); NaN where there is none."""
    steps = error.shape[1]
    places = groups * steps + np.arange(steps)
    return by_group(error, places, count * steps).reshape(count, steps)


def by_stretch_and_step(error: Numbers, most: int) -> tuple[Floats, Places]:
    """Return the mean of e over stretches of successive windows, (S, H), S of `most` at most.

    The second are the first windows of the stretches, (S).
    """
    length = -(-len(error) // most)
    begins = np.arange(0, len(error), length)
    total = np.add.reduceat(error, begins, axis=0, dtype=np.float64)
    many = np.diff(np.append(begins, len(error)))
    found: Floats = total / many[:, None]
    return found, begins


# -- windows ------------------------------------------------------------------------------------


def separate(error: NDArray[np.floating], apart: int, most: int) -> list[int]:
    """Return the windows with the largest figures, the largest first, so that none overlap.

    Args:
        error: (N) a figure of each window.
        apart: windows between which there must be so many do not overlap.
        most: windows that are returned.
    """
    left = np.ones(len(error), np.bool_)
    found: list[int] = []
    for window in np.argsort(-error, kind="stable"):
        if left[window]:
            found.append(int(window))
            left[max(0, window - apart + 1) : window + apart] = False
        if len(found) == most:
            break
    return found
