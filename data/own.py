"""Adds data sets of the user's own, and removes them.

A data set is a folder with `data.csv`, the copy as the choices left it, and `dataset.json`, which
`data/registry.py` reads. The file that was added is never changed. A folder is put in place whole.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from pydantic import ValidationError

from data.choices import Choices
from data.dates import season as season_of
from data.finding import shown
from data.quality import Report, inspect, split_rows
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

HEADER_BYTES = 2**20


def add(
    name: str,
    content: bytes,
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
        content: of a CSV file.
        source: where the file came from, for the record.
        choices: how it is read and mended.
        seq_len: look-back that its rows must suffice for.
        pred_len: horizon that its rows must suffice for.
        season: steps of the main season; by default a day, a week or a year, by the frequency.
        replace: whether a data set of the user's own with this name is replaced.

    Raises:
        DataError: the name cannot be used, or something in the file must be mended or chosen.
    """
    _require_free(name, replace)
    report = inspect(content, choices, seq_len, pred_len)
    if report.frame is None or report.frequency is None or not report.usable:
        raise DataError(f"{source} cannot be used yet: {report.findings[0].text}")
    values = report.frame.to_csv().encode()
    facts = _record(report, values, content, source, choices, season)
    return _put(name, facts, values)


def take_over(name: str, facts: Record, values: Path) -> Dataset:
    """Add a data set that was prepared elsewhere, whose copy is as its record says.

    Args:
        name: by which it is known from now on; no data set here has it.
        facts: its record.
        values: a file with the content of `data.csv`; its SHA-256 has been checked.

    Raises:
        DataError: the name cannot be used, or the copy has other columns than the record.
    """
    _require_free(name, replace=False)
    with values.open("rb") as file:
        line = file.readline(HEADER_BYTES).decode("utf-8", "replace")
    try:
        header = next(csv.reader([line]), [])
    except csv.Error:
        header = []
    if header != ["date", *facts.columns]:
        raise DataError("its columns are not those of its record.")
    return _put(name, facts, values.read_bytes())


def remove(name: str) -> None:
    """Remove a data set of the user's own, for good; raises DataError."""
    if name not in own_names():
        raise DataError(f"There is no data set {shown(name)} of your own that could be removed.")
    try:
        shutil.rmtree(own_folder() / name)
    except OSError as error:
        raise DataError(f"{own_folder() / name} cannot be removed ({error.strerror}).") from None


def damaged() -> dict[str, str]:
    """Return the user's own data sets that cannot be used, each with a sentence."""
    found = {}
    for name in own_names():
        try:
            record(name)
        except DataError as error:
            found[name] = str(error)
    return found


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


def _record(
    report: Report,
    values: bytes,
    content: bytes,
    source: str,
    choices: Choices,
    season: int | None,
) -> Record:
    assert report.frame is not None and report.frequency is not None and report.target is not None
    parts = split_rows(report.rows)
    done = list(report.done)
    if season is None and (season := season_of(report.frequency)) > parts[0]:
        done.append(f"The training part is shorter than a season of {season:,} steps: none is set.")
        season = 1
    columns = tuple(report.frame.columns)
    try:
        return Record(
            description=f"Your own, from {Path(source).name}: {report.rows:,} steps of "
            f"{report.frequency}, {len(columns)} column{'s' * (len(columns) > 1)}",
            columns=columns,
            target=report.target,
            past_only=tuple(c for c in columns if c in choices.past_only),
            known_future=tuple(c for c in columns if c in choices.known_future),
            frequency=report.frequency,
            season=season,
            split_rows=parts,
            sha256=hashlib.sha256(values).hexdigest(),
            source=source,
            source_sha256=hashlib.sha256(content).hexdigest(),
            choices=choices,
            done=tuple(done),
        )
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise DataError(f"{source} cannot be added: {said}.") from None


def _put(name: str, facts: Record, values: bytes) -> Dataset:
    """Write beside the place and rename, so that no half of a data set is ever found."""
    folder = own_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Its name begins with a dot, which none of a data set does.
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as temporary:
            made = Path(temporary) / "new"
            made.mkdir()
            (made / VALUES).write_bytes(values)
            (made / RECORD).write_text(facts.model_dump_json(indent=2), "utf-8")
            if (folder / name).exists():
                os.replace(folder / name, Path(temporary) / "old")
            os.replace(made, folder / name)
    except OSError as error:
        raise DataError(f"{folder / name} cannot be written ({error.strerror}).") from None
    return find(name)
