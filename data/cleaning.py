"""Mends a table by explicit choices, and says in sentences what it did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.choices import Choices
from data.dates import grid
from data.limits import require_room

_FILLED = {
    "interpolate": "by a straight line between its neighbours",
    "forward": "with the last value before",
    "zero": "with 0",
}


@dataclass(frozen=True)
class Cleaned:
    """A table after the choices were followed."""

    frame: pd.DataFrame  # (T, C) of float64 under the index `date`, in order of time
    done: tuple[str, ...]  # what was changed, a sentence each


def clean(frame: pd.DataFrame, choices: Choices, frequency: str | None) -> Cleaned:
    """Return a table in order of time, mended as chosen and not otherwise.

    Repeated dates are merged, rows brought to the frequency, missing steps and values filled, in
    this order. Without a choice they stay as they are.

    Args:
        frame: (T, C) of float64, indexed by dates without time zone in any order.
        choices: of a person.
        frequency: pandas alias of the step; None where it is not known.

    Raises:
        DataError: between the first date and the last there are too many steps.
    """
    done: list[str] = []
    if not frame.index.is_monotonic_increasing:
        frame = frame.sort_index(kind="stable")
        done.append("Sorted the rows by date.")
    frame = _merge_repeated(frame, choices, done)
    if frequency is not None and len(frame):
        frame = _bring_to_grid(frame, choices, frequency, done)
    if choices.fill is not None:
        frame = _fill(frame, choices, done)
    return Cleaned(frame.rename_axis("date"), tuple(done))


def _merge_repeated(frame: pd.DataFrame, choices: Choices, done: list[str]) -> pd.DataFrame:
    if choices.duplicates is None or frame.index.is_unique:
        return frame
    surplus = int(frame.index.duplicated().sum())
    if choices.duplicates == "mean":
        done.append(f"Merged {surplus:,} repeated rows into the mean of their date.")
        return frame.groupby(level=0).mean()
    done.append(f"Removed {surplus:,} repeated rows: the {choices.duplicates} of a date was kept.")
    return frame[~frame.index.duplicated(keep=choices.duplicates)]


def _bring_to_grid(
    frame: pd.DataFrame, choices: Choices, frequency: str, done: list[str]
) -> pd.DataFrame:
    index = pd.DatetimeIndex(frame.index)
    steps = grid(index, frequency)
    require_room(len(steps), frame.shape[1])
    if choices.resample is not None:
        before = len(frame)
        rule = frame.resample(frequency)
        match choices.resample:
            case "mean":
                frame = rule.mean()
            case "last":
                frame = rule.last()
            case "sum":
                frame = rule.sum(min_count=1)
        if before != len(frame) or not frame.index.equals(index):
            done.append(
                f"Resampled {before:,} rows to {len(frame):,} steps of {frequency} by their "
                f"{choices.resample}."
            )
        return frame
    fits = index.is_unique and not len(index.difference(steps))
    if choices.fill is not None and fits and len(steps) > len(frame):
        done.append(f"Added {len(steps) - len(frame):,} missing steps of {frequency}.")
        return frame.reindex(steps)
    return frame


def _fill(frame: pd.DataFrame, choices: Choices, done: list[str]) -> pd.DataFrame:
    match choices.fill:
        case "interpolate":
            filled = frame.interpolate("linear", limit_area="inside")
        case "forward":
            filled = frame.ffill()
        case _:
            filled = frame.fillna(0.0)
    if choices.limit is not None:
        filled = filled.mask(frame.isna() & (gap_lengths(frame) > choices.limit))
    for name in frame.columns:
        count = int(frame[name].isna().sum() - filled[name].isna().sum())
        if count:
            done.append(f"Filled {count:,} values of {name} {_FILLED[choices.fill or 'zero']}.")
    return filled


def gap_lengths(frame: pd.DataFrame) -> pd.DataFrame:
    """Return for each missing value of (T, C) how many are missing in a row there, else 0."""
    lengths = np.zeros(frame.shape, np.int64)
    for number, name in enumerate(frame.columns):
        missing = frame[name].isna()
        runs = (missing != missing.shift()).cumsum()
        lengths[:, number] = missing.groupby(runs).transform("sum")
    return pd.DataFrame(lengths, index=frame.index, columns=frame.columns)
