"""What a model sees of a table to forecast beyond its end: the last complete steps, scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data import calendar
from data.choices import Choices
from data.dates import offset
from data.finding import shown
from data.registry import DataError
from informer.bundle import Bundle


@dataclass(frozen=True)
class Window:
    """The complete steps before the forecast, scaled, and the H steps of the forecast."""

    steps: int  # T, before the forecast
    values: NDArray[np.float32]  # (T + H, C); NaN after the last value
    known: NDArray[np.float32]  # (T + H, F + K)
    dates: pd.DatetimeIndex  # (T + H,)


def window(bundle: Bundle, frame: pd.DataFrame, earlier: int) -> Window:
    """Return the look-back of the model, and as many complete steps before it as there are.

    Args:
        bundle: with the facts of the data.
        frame: as `informer.predict.predict` takes it.
        earlier: how many steps before the look-back to return at most.

    Raises:
        DataError: the frame does not suffice.
    """
    data, roles, dataset = bundle.config.data, bundle.roles, bundle.dataset
    grid = _Grid(dataset.frequency, bundle.choices)
    frame = _in_order(frame, (*roles.inputs, *roles.known), grid)
    inputs, known = list(roles.inputs), list(roles.known)
    last = frame[inputs].dropna(how="all").index.max()
    if pd.isna(last):
        raise DataError(f"There is no value in {', '.join(map(shown, inputs[:20]))}.")
    past = grid.until(last, data.seq_len + min(earlier, len(frame)))
    future = grid.after(last, data.pred_len)
    seen = frame.reindex(past)
    seen = seen.iloc[_complete_from(seen, frame, data.seq_len, grid) :]
    dates = pd.DatetimeIndex(seen.index.append(future))
    _require_on_grid(pd.DatetimeIndex(frame.index), dates, grid)
    ahead = frame[known].reindex(future)
    _require_ahead(ahead, last, grid)
    covariates = np.concatenate((seen[known].to_numpy(), ahead.to_numpy()))
    scaled_known = bundle.known_scaler.transform(covariates).astype(np.float32)
    return Window(
        steps=len(seen),
        values=bundle.scaler.transform(seen.reindex(dates)[inputs].to_numpy()).astype(np.float32),
        known=np.concatenate((calendar.encode(dates, dataset.frequency), scaled_known), axis=1),
        dates=dates,
    )


def written(dates: pd.DatetimeIndex, choices: Choices) -> list[str]:
    """Return dates as a person knows them: where a time zone was chosen there, with its offset.

    Raises:
        DataError: the zone is none.
    """
    if choices.timezone is not None:
        try:
            dates = dates.tz_localize("UTC").tz_convert(choices.timezone)
        except (KeyError, ValueError, OSError):
            raise DataError(f"{shown(choices.timezone)} is no time zone.") from None
    return [date.isoformat(sep=" ") for date in dates]


@dataclass(frozen=True)
class _Grid:
    """The steps of a series."""

    frequency: str  # pandas offset alias
    choices: Choices

    def until(self, last: pd.Timestamp, steps: int) -> pd.DatetimeIndex:
        """Return as many steps up to `last`; raises DataError where that is no step."""
        found = pd.date_range(end=last, periods=steps, freq=offset(self.frequency))
        if found[-1] != last:
            raise DataError(
                f"The last value is of {self.say(last)}, which is no step of {self.frequency}."
            )
        return found

    def after(self, last: pd.Timestamp, steps: int) -> pd.DatetimeIndex:
        """Return the steps that follow `last`."""
        return pd.date_range(last, periods=steps + 1, freq=offset(self.frequency))[1:]

    def say(self, date: pd.Timestamp) -> str:
        """Return a date for a sentence."""
        return written(pd.DatetimeIndex([date]), self.choices)[0]


def _in_order(frame: pd.DataFrame, needed: Sequence[str], grid: _Grid) -> pd.DataFrame:
    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is not None:
        raise DataError("Rows must be indexed by dates without zone, in UTC where one is known.")
    if missing := [name for name in needed if name not in frame.columns]:
        raise DataError(
            f"There is no column {', '.join(shown(name) for name in missing[:20])}, which the "
            "model needs."
        )
    frame = frame[list(needed)].astype(np.float64)
    if infinite := [name for name in needed if np.isinf(frame[name]).any()]:
        raise DataError(f"Column {shown(infinite[0])} has a value that is infinite; mend it.")
    if not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()][0]
        raise DataError(f"There are several rows of {grid.say(twice)}; keep one of each step.")
    return frame.sort_index()


def _complete_from(seen: pd.DataFrame, frame: pd.DataFrame, needed: int, grid: _Grid) -> int:
    """Return from which step on everything is there, which must be `needed` steps or more."""
    holes = seen.isna().to_numpy()
    incomplete = np.flatnonzero(holes.any(axis=1))
    complete = int(incomplete[-1]) + 1 if len(incomplete) else 0
    if len(seen) - complete >= needed:
        return complete
    when, last = seen.index[complete - 1], seen.index[-1]
    if when < frame.index[0]:
        raise DataError(
            f"There are {len(seen) - complete:,} steps of {grid.frequency} up to "
            f"{grid.say(last)}, and the model looks back over {needed:,}; give a file that begins "
            f"at {grid.say(seen.index[len(seen) - needed])} or earlier."
        )
    columns = seen.columns[holes[complete - 1]]
    what = "row" if when not in frame.index else f"value of {shown(columns[0])}"
    raise DataError(
        f"There is no {what} at {grid.say(when)}, and the last {needed:,} steps of "
        f"{grid.frequency} up to {grid.say(last)} must be complete; put in what is missing."
    )


def _require_on_grid(dates: pd.DatetimeIndex, steps: pd.DatetimeIndex, grid: _Grid) -> None:
    between = dates[(dates >= steps[0]) & (dates <= steps[-1]) & ~dates.isin(steps)]
    if len(between):
        raise DataError(
            f"There is a row at {grid.say(between[0])}, which is no step of {grid.frequency}; "
            "bring the rows to the steps that the model was trained on."
        )


def _require_ahead(ahead: pd.DataFrame, last: pd.Timestamp, grid: _Grid) -> None:
    holes = ahead.isna().to_numpy()
    if holes.any():
        row, column = np.argwhere(holes)[0]
        raise DataError(
            f"Column {shown(ahead.columns[column])} is known in advance, and its value at "
            f"{grid.say(ahead.index[row])} is missing; add rows after {grid.say(last)} up to "
            f"{grid.say(ahead.index[-1])}, in which the other columns are empty."
        )
