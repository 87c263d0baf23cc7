"""Adds data sets of the user's own, and removes them.

A data set is a folder with `data.parquet`, the copy as the choices left it, and `dataset.json`,
which `data/registry.py` reads. The file that was added is never changed. A folder is put in place
whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from data import actors, intake, stored
from data.beside import beside, put_whole
from data.choices import Choices
from data.dates import grid
from data.dates import season as season_of
from data.finding import shown
from data.quality import Report, inspect
from data.registry import (
    DATASETS,
    NAME,
    RECORD,
    VALUES,
    DataError,
    Dataset,
    Record,
    find,
    own_folder,
    own_names,
    record,
)
from data.table import Table


def add(
    name: str,
    table: Table,
    source: str,
    choices: Choices,
    *,
    seq_len: int = 96,
    pred_len: int = 24,
    season: int | None = None,
    replace: bool = False,
) -> Dataset:
    """Add a data set and return it.

    Args:
        name: by which it is known from now on.
        table: what was read of the file, see `intake.read`.
        source: where the file came from, for the record.
        choices: how it was read and is mended.
        seq_len: look-back that its rows must suffice for.
        pred_len: horizon that its rows must suffice for.
        season: steps of the main season; by default a day, a week or a year, by the frequency.
        replace: whether a data set of the user's own with this name is replaced.

    Raises:
        DataError: the name cannot be used, or something in the file must be mended or chosen.
    """
    _require_free(name, replace)
    report = inspect(table, choices, seq_len, pred_len)
    if report.frame is None or report.frequency is None or not report.usable:
        raise DataError(f"{source} cannot be used yet: {report.findings[0].text}")
    dataset = draft(report, choices, source, season=season, seq_len=seq_len, pred_len=pred_len)
    facts = _record(dataset, report, table, source, choices)
    frame = report.frame
    return _put(name, facts, lambda place: stored.write(place, frame))


def take_over(name: str, facts: Record, values: Path) -> Dataset:
    """Add a data set that was prepared elsewhere, whose copy is as its record says.

    Args:
        name: by which it is known from now on; no data set here has it.
        facts: its record.
        values: its file, which is copied as it is; its SHA-256 has been checked.

    Raises:
        DataError: the name cannot be used, or the file is not what its record says.
    """
    _require_free(name, replace=False)
    _require_as_recorded(intake.read(values, Choices(date="date")), facts)
    return _put(name, facts, lambda place: shutil.copyfile(values, place))


def _require_as_recorded(table: Table, facts: Record) -> None:
    """Raise DataError where a copy is not one that `add` could have written."""
    if list(table.columns) != ["date", *facts.columns]:
        raise DataError("its columns are not those of its record.")
    if (table.lines is None) != facts.file.endswith(".parquet"):
        raise DataError(f"it is no {facts.file}, which its record names.")
    if max(len(facts.description), len(facts.model_dump_json()) // 2**10) > _LONGEST_WORDS:
        raise DataError("more is said of it than of any data set.")
    try:
        index = pd.DatetimeIndex(pd.to_datetime(table.texts("date"), format="ISO8601"))
        fits = index.tz is None and index.equals(grid(index, facts.frequency))
    except (ValueError, OverflowError, TypeError):
        fits = False
    if not fits:
        raise DataError(f"its dates are not every step of {shown(facts.frequency)}, in order.")
    if not np.isfinite(table.frame(facts.columns).to_numpy()).all():
        raise DataError("it has a value that is missing or no finite number.")
    if table.rows < sum(facts.split_rows):
        raise DataError(f"it has {table.rows:,} rows, too few for its split.")


_LONGEST_WORDS = 1_000  # characters of a description, and 1,024ths of those of a record


def remove(name: str) -> Path:
    """Put a data set of the user's own aside and return where it lies; raises DataError."""
    actors.require(DataError)
    if name not in own_names():
        raise DataError(f"There is no data set {shown(name)} of your own that could be removed.")
    aside = removed_folder() / str(time.time_ns()) / name
    try:
        aside.parent.mkdir(mode=0o700, parents=True)
        os.replace(own_folder() / name, aside)
    except OSError as error:
        raise DataError(f"{own_folder() / name} cannot be removed ({error.strerror}).") from None
    return aside


def bring_back(aside: Path) -> None:
    """Make a data set known again that `remove` has put aside; raises DataError."""
    actors.require(DataError)
    place = own_folder() / aside.name
    if place.exists():
        raise DataError(f"There is another data set {shown(aside.name)} now; remove that first.")
    try:
        os.replace(aside, place)
    except OSError as error:
        raise DataError(f"{aside} cannot be brought back ({error.strerror}).") from None


def removed_folder() -> Path:
    """Return the folder of data sets that were removed; what is deleted there is gone."""
    return own_folder().parent / "removed"


def damaged() -> dict[str, str]:
    """Return the user's own data sets that cannot be used, each with a sentence."""
    found = {}
    for name in own_names():
        try:
            record(name)
        except DataError as error:
            found[name] = str(error)
    return found


def hidden() -> dict[str, str]:
    """Return the user's own data sets that a public one of the same name hides, a sentence each."""
    return {
        name: f"Your own data set {name} is hidden by the public one of that name: rename its "
        f"folder {own_folder() / name} to have it back."
        for name in DATASETS
        if (own_folder() / name / RECORD).is_file()
    }


def _require_free(name: str, replace: bool) -> None:
    if not NAME.fullmatch(name):
        raise DataError(
            f"{shown(name)} cannot be the name of a data set; take up to 60 letters, digits and "
            "any of . _ - with a letter or digit first."
        )
    if name in DATASETS:
        raise DataError(f"{name} is a built-in data set; take another name.")
    if name in own_names() and not replace:
        raise DataError(f"A data set {name} exists; take another name, or ask to replace it.")


def draft(
    report: Report,
    choices: Choices,
    source: str,
    *,
    season: int | None = None,
    seq_len: int | None = None,
    pred_len: int | None = None,
) -> Dataset:
    """Return the data set that a file would become; it is named as the file and has none yet.

    Args:
        report: on the file, of which dates and frequency are known.
        choices: that the report was made with.
        source: where the file came from.
        season: steps of the main season; by default a day, a week or a year, by the frequency. A
            training part that is shorter has none.
        seq_len: look-back that its user has in mind.
        pred_len: horizon that its user has in mind.
    """
    frame, parts = report.frame, report.split_rows
    assert frame is not None and report.frequency is not None
    assert report.target is not None and parts is not None
    usual = season_of(report.frequency)
    columns = tuple(frame.columns)
    return Dataset(
        name=Path(source).name,
        description=f"Your own, from {Path(source).name}: {report.rows:,} steps of "
        f"{report.frequency}, {len(columns)} column{'s' * (len(columns) > 1)}",
        columns=columns,
        target=report.target,
        frequency=report.frequency,
        season=season or (usual if usual <= parts[0] else 1),
        split_rows=parts,
        past_only=tuple(c for c in columns if c in choices.past_only),
        known_future=tuple(c for c in columns if c in choices.known_future),
        scaling=choices.scaling,
        seq_len=seq_len,
        pred_len=pred_len,
    )


def _record(
    dataset: Dataset, report: Report, table: Table, source: str, choices: Choices
) -> Record:
    """Return what is recorded of a data set, but for the sha256 of its file."""
    if dataset.season > dataset.split_rows[0]:
        raise DataError(
            f"{source} cannot be added: a season of {dataset.season:,} steps is longer than the "
            f"training part of {dataset.split_rows[0]:,} rows; name a shorter one, or let more "
            "rows train."
        )
    done = list(report.done)
    if dataset.season == 1 and (usual := season_of(dataset.frequency)) > dataset.split_rows[0]:
        done.append(f"The training part is shorter than a season of {usual:,} steps: none is set.")
    try:
        return Record(
            description=dataset.description,
            columns=dataset.columns,
            target=dataset.target,
            past_only=dataset.past_only,
            known_future=dataset.known_future,
            frequency=dataset.frequency,
            season=dataset.season,
            split_rows=dataset.split_rows,
            file=VALUES,
            sha256="",
            source=source,
            source_sha256=table.sha256,
            # New rows may have no day beyond 12 that tells day from month.
            choices=choices.model_copy(update={"date_format": report.date_format}),
            done=tuple(done),
            seq_len=dataset.seq_len,
            pred_len=dataset.pred_len,
        )
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise DataError(f"{source} cannot be added: {said}.") from None


def _put(name: str, facts: Record, write: Callable[[Path], object]) -> Dataset:
    """Write beside the place and rename, so that no half of a data set is ever found."""
    actors.require(DataError)
    folder = own_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        # Its name begins with a dot, which none of a data set does.
        with beside(folder) as temporary:
            made = temporary / "new"
            made.mkdir()
            write(made / facts.file)
            with (made / facts.file).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            whole = facts.model_copy(update={"sha256": digest})
            (made / RECORD).write_text(whole.model_dump_json(indent=2), "utf-8")
            put_whole(made, folder / name)
    except OSError as error:
        raise DataError(f"{folder / name} cannot be written ({error.strerror}).") from None
    return find(name)
