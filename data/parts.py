"""How the rows of a data set are parted into training, validation and test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.choices import Choices
from data.finding import Finding, option, shown
from data.registry import DataError

SHARES = (0.7, 0.1, 0.2)
"""Of the rows for training, validation and test, as Informer's authors part data of others."""

Parts = tuple[int, int, int]
"""Rows of training, validation and test, which follow each other in time."""

NAMES = ("training", "validation", "test")

_UNLIKE = 100.0  # times: deviations that differ by more leave a model no reason to learn the small


@dataclass(frozen=True)
class Part:
    """The rows that one part of a data set has."""

    name: str  # of NAMES
    rows: int
    first: pd.Timestamp
    last: pd.Timestamp


def split_rows(rows: int, shares: tuple[float, float, float] = SHARES) -> Parts:
    """Return the rows of each part; what rounding leaves over is validated on."""
    training, test = int(rows * shares[0]), int(rows * shares[2])
    return training, rows - training - test, test


def divide(index: pd.DatetimeIndex, choices: Choices) -> Parts:
    """Return the rows of each part of a table in order of time, by shares or by dates.

    Raises:
        DataError: a date cannot be read, leaves a part without rows, or the two are not in order.
    """
    if choices.validate_from is None or choices.test_from is None:
        return split_rows(len(index), choices.shares or SHARES)
    if not len(index):
        return 0, 0, 0
    borders = {"validation": choices.validate_from, "test": choices.test_from}
    moments = {name: _moment(name, text) for name, text in borders.items()}
    for name, moment in moments.items():
        if not index[0] < moment <= index[-1]:
            raise DataError(
                f"The {name} part cannot begin at {moment}: the data go from {index[0]} to "
                f"{index[-1]}; take a date after the first and not after the last."
            )
    if moments["test"] <= moments["validation"]:
        raise DataError(
            f"The test part begins at {moments['test']}, which is not after the validation part "
            f"begins ({moments['validation']}); training comes first, then validation, then test."
        )
    training, until_test = (int(index.searchsorted(moment)) for moment in moments.values())
    return training, until_test - training, len(index) - until_test


def _moment(name: str, text: str) -> pd.Timestamp:
    try:
        moment = pd.Timestamp(text.strip())
        if pd.isna(moment):
            raise ValueError(text)
        return moment if moment.tzinfo is None else moment.tz_convert("UTC").tz_localize(None)
    except (ValueError, OverflowError):
        raise DataError(
            f"{shown(text)} is no date that the {name} part could begin at; write it as 2024-05-31 "
            "or 2024-05-31 18:00."
        ) from None


def spans(index: pd.DatetimeIndex, parts: Parts) -> list[Part]:
    """Return the dates that each part covers, for parts that have rows."""
    found, border = [], 0
    for name, rows in zip(NAMES, parts, strict=True):
        if rows:
            found.append(Part(name, rows, index[border], index[border + rows - 1]))
        border += rows
    return found


def rows_needed(seq_len: int, pred_len: int, shares: tuple[float, float, float] = SHARES) -> int:
    """Return the fewest rows of which every part holds a window."""
    least = (seq_len + pred_len, pred_len, pred_len)
    rows = max(
        seq_len + pred_len,
        # Validation has what rounding left over: up to two rows more than its share.
        *(math.floor((needed - 2) / share) for needed, share in zip(least, shares, strict=True)),
    )
    while not _hold_windows(split_rows(rows, shares), seq_len, pred_len):
        rows += 1
    return rows


def about_parts(
    index: pd.DatetimeIndex, choices: Choices, seq_len: int, pred_len: int, season: int
) -> tuple[Parts | None, list[Finding]]:
    """Return the rows of each part, None where they cannot be had, and what is wrong with them.

    Args:
        index: (T,) dates in order of time.
        choices: say how it is divided.
        seq_len: look-back of which training needs one window at least.
        pred_len: horizon, which every part must hold.
        season: steps of the main season.
    """
    try:
        parts = divide(index, choices)
    except DataError as error:
        return None, [Finding("error", str(error), (_BY_DATES,))]
    if not _hold_windows(parts, seq_len, pred_len):
        return parts, [_too_short(len(index), parts, choices, seq_len, pred_len)]
    if season > parts[0]:
        text = (
            f"A season of {season:,} steps is longer than the training part of {parts[0]:,} rows: "
            "none is learned, and seasonal-naive repeats the last value; let more rows train."
        )
        return parts, [Finding("warning", text)]
    return parts, []


_BY_DATES = option("--validate-from", "DATE") + " " + option("--test-from", "DATE")


def _hold_windows(parts: Parts, seq_len: int, pred_len: int) -> bool:
    return parts[0] >= seq_len + pred_len and min(parts[1:]) >= pred_len


def _too_short(rows: int, parts: Parts, choices: Choices, seq_len: int, pred_len: int) -> Finding:
    lengths = option("--seq-len", "N") + " " + option("--pred-len", "N")
    task = f"a look-back of {seq_len} and a horizon of {pred_len}"
    if choices.validate_from is not None:
        number = next(
            at
            for at, least in enumerate((seq_len + pred_len, pred_len, pred_len))
            if parts[at] < least
        )
        return Finding(
            "error",
            f"The {NAMES[number]} part has {parts[number]:,} rows, too few for one window of "
            f"{task}; move the dates, or take a shorter look-back or horizon.",
            (_BY_DATES, lengths),
        )
    shares = choices.shares or SHARES
    said = [f"{100 * share:g} %" for share in shares]
    return Finding(
        "error",
        f"{rows:,} rows are too few: {task} need "
        f"{rows_needed(seq_len, pred_len, shares):,}, of which {said[0]} train, {said[1]} validate "
        f"and {said[2]} test; add rows, or take a shorter look-back or horizon.",
        (lengths,),
    )


def about_scaling(frame: pd.DataFrame, parts: Parts, choices: Choices) -> list[Finding]:
    """Say where columns that are not scaled would be learned very unequally."""
    names = [name for name in frame.columns if name not in choices.known_future]
    if choices.scaling != "none" or parts[0] < 2 or len(names) < 2:
        return []
    training = frame[names].iloc[: parts[0]]
    deviations = training.std(ddof=0).replace([0.0, np.inf], np.nan).dropna()
    if len(deviations) < 2 or deviations.max() <= _UNLIKE * deviations.min():
        return []
    large, small = str(deviations.idxmax()), str(deviations.idxmin())
    return [
        Finding(
            "warning",
            f"Values are not scaled, and column {shown(large)} varies "
            f"{deviations.max() / deviations.min():,.0f} times as much as {shown(small)}: errors "
            "on it are all that a model and its figures see; scale them, unless that is meant.",
            (option("--scaling", "standard"),),
        )
    ]
