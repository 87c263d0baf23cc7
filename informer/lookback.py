"""What a model sees of a table to forecast beyond its end: the last complete steps, scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data import calendar
from data.dates import offset
from data.finding import shown
from data.registry import DataError
from informer.bundle import Bundle


@dataclass(frozen=True)
class Window:
    """The complete steps before the forecast, scaled, and what is known of those and of H more."""

    values: NDArray[np.float32]  # (T, C)
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
    config, roles, frequency = bundle.config.data, bundle.roles, bundle.dataset.frequency
    frame = _in_order(frame, (*roles.inputs, *roles.known))
    inputs, known = list(roles.inputs), list(roles.known)
    last = frame[inputs].dropna(how="all").index.max()
    if pd.isna(last):
        raise DataError(f"There is no value in {', '.join(map(shown, inputs[:20]))}.")
    step = offset(frequency)
    steps = config.seq_len + min(earlier, len(frame))
    past = pd.date_range(end=last, periods=steps, freq=step)
    if past[-1] != last:
        raise DataError(f"The last value is of {last}, which is no step of {frequency}.")
    future = pd.date_range(last, periods=config.pred_len + 1, freq=step)[1:]
    seen = frame.reindex(past)
    complete = _complete_from(seen, frame, config.seq_len, frequency)
    ahead = frame[known].reindex(future)
    _require_ahead(ahead, last)
    covariates = np.concatenate((seen[known].to_numpy()[complete:], ahead.to_numpy()))
    stamps = pd.DatetimeIndex(past[complete:].append(future))
    marks = calendar.encode(stamps, frequency)
    scaled_known = bundle.known_scaler.transform(covariates).astype(np.float32)
    values = bundle.scaler.transform(seen[inputs].to_numpy()[complete:])
    return Window(values.astype(np.float32), np.concatenate((marks, scaled_known), axis=1), stamps)


def _in_order(frame: pd.DataFrame, needed: Sequence[str]) -> pd.DataFrame:
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
        raise DataError(f"There are several rows of {twice}; keep one of each step.")
    return frame.sort_index()


def _complete_from(seen: pd.DataFrame, frame: pd.DataFrame, needed: int, frequency: str) -> int:
    """Return from which step on everything is there, which must be `needed` steps or more."""
    holes = seen.isna().to_numpy()
    incomplete = np.flatnonzero(holes.any(axis=1))
    complete = int(incomplete[-1]) + 1 if len(incomplete) else 0
    if len(seen) - complete >= needed:
        return complete
    when, last = seen.index[complete - 1], seen.index[-1]
    if when < frame.index[0]:
        raise DataError(
            f"There are {len(seen) - complete:,} steps of {frequency} up to {last}, and the model "
            f"looks back over {needed:,}; give a file that begins at "
            f"{seen.index[len(seen) - needed]} or earlier."
        )
    columns = seen.columns[holes[complete - 1]]
    what = "row" if when not in frame.index else f"value of {shown(columns[0])}"
    raise DataError(
        f"There is no {what} at {when}, and the last {needed:,} steps of {frequency} up to {last} "
        "must be complete; put in what is missing."
    )


def _require_ahead(ahead: pd.DataFrame, last: pd.Timestamp) -> None:
    holes = ahead.isna().to_numpy()
    if holes.any():
        row, column = np.argwhere(holes)[0]
        raise DataError(
            f"Column {shown(ahead.columns[column])} is known in advance, and its value at "
            f"{ahead.index[row]} is missing; add rows after {last} up to {ahead.index[-1]}, in "
            "which the other columns are empty."
        )
