"""The data sets that are known by name: facts only, so that reading a configuration stays light.

Some are built in. The others are the user's own: a folder each, made by `data/own.py`, whose
`dataset.json` is read here whenever it has changed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from data.choices import Choices, Scaling

Features = Literal["M", "S", "MS"]


PUBLISHED_BATCH = 32
"""Windows per batch in published tables, which leave out the last windows that fill no batch."""


class DataError(ValueError):
    """A data set that cannot be used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Dataset:
    """A data set: its columns in file order (the date apart) and its customary split."""

    name: str
    description: str
    columns: tuple[str, ...]
    target: str
    frequency: str  # pandas offset alias
    season: int  # time steps of the main season
    split_rows: tuple[int, int, int]  # training, validation, test
    url: str | None = None  # None: generated, not a file
    sha256: str = ""
    licence: str = ""
    past_only: tuple[str, ...] = ()  # columns that help but are not forecast
    known_future: tuple[str, ...] = ()  # columns whose values are known in advance, as the calendar
    path: Path | None = None  # the file of a data set of the user's own
    scaling: Scaling = "standard"
    seq_len: int | None = None  # look-back and horizon that its user had in mind
    pred_len: int | None = None
    citation: str = ""

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns that can be forecast: those with no other part to play."""
        return tuple(c for c in self.columns if c not in (*self.past_only, *self.known_future))

    def roles(self, features: Features, target: str) -> Roles:
        """Return what each column is for: M forecasts all targets, MS and S forecast `target`.

        S sees the target alone; M and MS see the other targets and the covariates too.
        """
        if features == "S":
            return Roles((target,), slice(0, 1), ())
        inputs = (*self.targets, *self.past_only)
        one = inputs.index(target)
        outputs = slice(len(self.targets)) if features == "M" else slice(one, one + 1)
        return Roles(inputs, outputs, self.known_future)


@dataclass(frozen=True)
class Roles:
    """The parts that columns play in one task."""

    inputs: tuple[str, ...]  # their past is seen
    outputs: slice  # of the inputs: what is forecast
    known: tuple[str, ...]  # seen over look-back and horizon

    @property
    def forecast(self) -> tuple[str, ...]:
        """Names of the columns that are forecast."""
        return self.inputs[self.outputs]


_ETT_COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
_MONTH = 30 * 24

DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="ETTh1",
            description="Electricity transformer temperature, hourly, two years, 7 columns",
            columns=_ETT_COLUMNS,
            target="OT",
            frequency="h",
            season=24,
            split_rows=(12 * _MONTH, 4 * _MONTH, 4 * _MONTH),
            url="https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
            sha256="f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            licence="CC BY-ND 4.0",
        ),
        Dataset(
            name="synthetic",
            description="Generated, not measured: hourly, 7 columns, two seasons, drift",
            columns=_ETT_COLUMNS,
            target="OT",
            frequency="h",
            season=24,
            split_rows=(12 * _MONTH, 4 * _MONTH, 4 * _MONTH),
        ),
    )
}


# -- data sets of the user's own ----------------------------------------------------------------

RECORD, VALUES = "dataset.json", "data.csv"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


class Record(BaseModel):
    """What `dataset.json` holds: the facts of a data set and where they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    columns: tuple[str, ...]
    target: str
    past_only: tuple[str, ...]
    known_future: tuple[str, ...]
    frequency: str
    season: int
    split_rows: tuple[int, int, int]
    sha256: str  # of data.csv
    source: str  # the file that was added, which is left as it is
    source_sha256: str
    choices: Choices
    done: tuple[str, ...]  # what was changed in the copy, a sentence each
    seq_len: int | None = None
    pred_len: int | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not set((*self.past_only, *self.known_future)).issubset(self.columns):
            raise ValueError("a column that plays a part is not among the columns")
        if self.target not in self.dataset(Path("any")).targets:
            raise ValueError("the target is no column that can be forecast")
        if not 1 <= self.season <= self.split_rows[0] or min(self.split_rows) < 1:
            raise ValueError("a part or the season has no rows, or training has less than a season")
        return self

    def dataset(self, folder: Path) -> Dataset:
        """Return the data set whose values lie in `folder`."""
        return Dataset(
            name=folder.name,  # not recorded twice: a folder that is renamed is a data set renamed
            description=self.description,
            columns=self.columns,
            target=self.target,
            frequency=self.frequency,
            season=self.season,
            split_rows=self.split_rows,
            sha256=self.sha256,
            past_only=self.past_only,
            known_future=self.known_future,
            path=folder / VALUES,
            scaling=self.choices.scaling,
            seq_len=self.seq_len,
            pred_len=self.pred_len,
        )


def own_folder() -> Path:
    """Return the folder that holds a folder for each data set of the user's own."""
    return user_data_path("informer-nas") / "datasets"


def own_names() -> tuple[str, ...]:
    """Return the names of the user's own data sets, damaged ones among them, in order."""
    try:
        found = [path.name for path in own_folder().iterdir() if path.is_dir()]
    except OSError:  # none was ever added
        return ()
    return tuple(sorted(name for name in found if NAME.fullmatch(name) and name not in DATASETS))


def record(name: str) -> Record:
    """Return what is recorded about one of `own_names()`.

    Raises:
        DataError: the record cannot be read or is damaged.
    """
    path = own_folder() / name / RECORD
    try:
        return _record(path, path.stat().st_mtime_ns)
    except OSError as error:
        cause = error.strerror
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        cause = f"{where} {first['msg']}".strip()
    raise DataError(f"Data set {name!r} is damaged: {path}: {cause}; remove it and add it again.")


@functools.lru_cache(maxsize=128)
def _record(path: Path, changed_ns: int) -> Record:
    return Record.model_validate_json(path.read_bytes())


def find(name: str) -> Dataset:
    """Return a data set, built in or the user's own.

    Raises:
        DataError: no data set has this name, or its record is damaged.
    """
    if (brought := _BROUGHT.get()) is not None and brought.name == name:
        return brought
    if name in DATASETS:
        return DATASETS[name]
    if name in own_names():
        return record(name).dataset(own_folder() / name)
    raise DataError(f"Data set {name[:60]!r} is not known; take one of {', '.join(names())}.")


_BROUGHT: ContextVar[Dataset | None] = ContextVar("brought", default=None)


@contextmanager
def bringing(dataset: Dataset) -> Iterator[None]:
    """Have `find` know this data set, before any other of its name, while the context lasts.

    A bundle brings the facts of its data, so that its configuration can be read on a machine that
    does not have them, or has others of that name.
    """
    token = _BROUGHT.set(dataset)
    try:
        yield
    finally:
        _BROUGHT.reset(token)


def names() -> tuple[str, ...]:
    """Return the names of all data sets that can be used, the built-in ones first."""
    return (*DATASETS, *(name for name in own_names() if _usable(name)))


def _usable(name: str) -> bool:
    try:
        record(name)
    except DataError:
        return False
    return True
