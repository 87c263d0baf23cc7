"""The newest rows of a series, as a person has them in a file, made ready to forecast from.

The file is read as the one that the model was trained on was, by the choices of a bundle. What is
known of times after the last value, such as a calendar, stands in rows without other values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data import dates, intake, markers
from data.choices import Choices
from data.cleaning import clean
from data.finding import Finding, shown
from data.registry import DataError, Dataset, Roles
from data.table import Table


@dataclass(frozen=True)
class Recent:
    """Rows of a file, by columns that a model needs."""

    frame: pd.DataFrame  # (T, C + K) under the index of dates, in order; NaN where nothing is known
    notes: tuple[str, ...] = ()  # what was done or left aside, a sentence each


def read(path: Path, dataset: Dataset, roles: Roles, choices: Choices) -> Recent:
    """Return what a CSV or Parquet file holds of the columns that play a role.

    Args:
        path: of the file, which is not changed.
        dataset: that the model was trained on.
        roles: of its columns.
        choices: by which a raw file of these data is read and mended.

    Raises:
        DataError: a column is missing, or something in the file must be mended.
    """
    table = intake.read(path, choices)
    needed = (*roles.inputs, *roles.known)
    _require_columns(table, needed, choices)
    _require_sound(table.findings)
    spare = [name for name in table.columns if name not in needed]
    # Columns that the model does not use have no say in which of them dates the rows.
    dated, found = dates.find(table, _for_dates(choices, needed))
    _require_sound(found)
    if dated is None:
        raise DataError(f"It is not known which column of {path.name} dates the rows.")
    _require_numbers(table, needed)
    frame = table.frame(needed).set_axis(pd.DatetimeIndex(dated.times))
    others = [name for name in spare if name not in (dated.column, choices.time)]
    notes = [_left_aside(others)] if others else []
    mended, done = _mended(frame, dataset, roles, choices)
    read_as = markers.done(table, needed, choices)
    return Recent(mended, (*notes, *read_as, *dated.done, *done))


def _for_dates(choices: Choices, needed: Sequence[str]) -> Choices:
    """Return choices under which no column is taken for the dates that is needed as a number."""
    return choices.model_copy(
        update={"target": None, "past_only": (), "known_future": (), "drop": tuple(needed)}
    )


def _require_columns(table: Table, needed: Sequence[str], choices: Choices) -> None:
    wanted = [name for name in (choices.date, choices.time, *needed) if name is not None]
    if missing := [name for name in wanted if name not in table.columns]:
        raise DataError(
            f"The file has no column {', '.join(shown(name) for name in missing[:20])}, which the "
            f"model needs; it has {', '.join(shown(name) for name in list(table.columns)[:20])}."
        )


def _require_sound(findings: Sequence[Finding]) -> None:
    if blocking := [finding for finding in findings if finding.blocks]:
        raise DataError(blocking[0].text)


def _require_numbers(table: Table, needed: Sequence[str]) -> None:
    for name in needed:
        cells = table.columns[name]
        for odd, fault in ((cells.bad, "no number"), (cells.infinite, "infinite")):
            if odd is not None:
                raise DataError(
                    f"{table.place(odd.row).capitalize()} has {shown(odd.text)} in column "
                    f"{shown(name)}, which is {fault}; mend the file."
                )


def _left_aside(names: Sequence[str]) -> str:
    listed = ", ".join(shown(name) for name in names[:10])
    more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
    return f"Columns that the model does not use were left aside: {listed}{more}."


def _mended(
    frame: pd.DataFrame, dataset: Dataset, roles: Roles, choices: Choices
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return rows mended as chosen; nothing is filled in after the last value of an input."""
    inputs, known = list(roles.inputs), list(roles.known)
    frame = frame.sort_index(kind="stable")
    valued = np.flatnonzero(frame[inputs].notna().any(axis=1))
    if not len(valued):
        raise DataError(f"The file has no value in {', '.join(map(shown, inputs[:20]))}.")
    past = clean(frame[inputs].iloc[: valued[-1] + 1], choices, dataset.frequency)
    if not known:
        return past.frame, past.done
    advance = clean(frame[known], choices, dataset.frequency)
    if not (past.frame.index.is_unique and advance.frame.index.is_unique):
        return frame, past.done  # for `predict` to refuse
    both = pd.concat((past.frame, advance.frame), axis=1).sort_index()
    return both, (*past.done, *advance.done)
