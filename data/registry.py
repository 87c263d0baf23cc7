"""The data sets that are known by name: facts only, so that reading a configuration stays light.

Some are built in. The others are the user's own: a folder each, made by `data/own.py`, whose
`dataset.json` is read here whenever it has changed.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal, Self

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from data.choices import Choices, Scaling

Features = Literal["M", "S", "MS"]
Part = Literal["train", "val", "test"]


PUBLISHED_BATCH = 32
"""Windows per batch in published tables, which leave out the last windows that fill no batch."""


LISTED = 24
"""Names of columns in a sentence, at most."""


class DataError(ValueError):
    """A data set that cannot be used; the message is one sentence that says what to do."""


def some(names: Iterable[str]) -> str:
    """Return names for a sentence, cut where there are hundreds."""
    listed = list(names)
    more = len(listed) - LISTED
    return ", ".join(listed[:LISTED]) + (f" and {more} more" if more > 0 else "")


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
    same: tuple[str, ...] = ()  # sha256 of copies that differ in their line ends alone
    size: int = 0  # bytes of the file at `url`
    licence: str = ""
    past_only: tuple[str, ...] = ()  # columns that help but are not forecast
    known_future: tuple[str, ...] = ()  # columns whose values are known in advance, as the calendar
    path: Path | None = None  # the file of a data set of the user's own
    source: str = ""  # name of the file that the user gave
    rows: int | None = None  # of the file, where the split leaves out its end
    scaling: Scaling = "standard"
    seq_len: int | None = None  # look-back and horizon that its user had in mind
    pred_len: int | None = None
    citation: str = ""

    @property
    def parts(self) -> dict[Part, tuple[int, int]]:
        """The first row of each part, and the row after its last."""
        training, validation, test = itertools.accumulate(self.split_rows)
        return {"train": (0, training), "val": (training, validation), "test": (validation, test)}

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


# -- published data sets ------------------------------------------------------------------------
# Where the facts below come from, and how they were checked: docs/data.md.

_ETT = (
    "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/1d16c8f4f943005d613b5bc962e9eeb06058cf07"
    "/ETT-small"
)
_COLLECTED = (
    "https://raw.githubusercontent.com/Xieyyyy/NEMoTS/0f58be8b0f77af83112592831b93efa728d0e929"
    "/dataset"
)

# Too large to have been read where this was written: the checksums are those that nine projects
# record of the archive, whose other files were compared and agree.
_ARCHIVE = (
    "https://huggingface.co/datasets/thuml/Time-Series-Library/resolve"
    "/2b66e59ee19dac8f6f19fb5d4997f289fdfea357"
)

_ZHOU = (
    "Zhou, Zhang, Peng, Zhang, Li, Xiong, Zhang. Informer: Beyond Efficient Transformer for Long "
    "Sequence Time-Series Forecasting. AAAI 2021."
)
_WU = (
    "Wu, Xu, Wang, Long. Autoformer: Decomposition Transformers with Auto-Correlation for "
    "Long-Term Series Forecasting. NeurIPS 2021."
)
_LAI = (
    "Lai, Chang, Yang, Liu. Modeling Long- and Short-Term Temporal Patterns with Deep Neural "
    "Networks. SIGIR 2018."
)

_ETT_COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")


def _ett(name: str, step: str, frequency: str, rows_a_day: int, sha256: str, size: int) -> Dataset:
    """Return one of the ETT sets, split at 12 and 16 of 20 months of 30 days."""
    month = 30 * rows_a_day
    return Dataset(
        name=name,
        description=f"Electricity transformer temperature, {step}, two years, 7 columns",
        columns=_ETT_COLUMNS,
        target="OT",
        frequency=frequency,
        season=rows_a_day,
        split_rows=(12 * month, 4 * month, 4 * month),
        rows=17_420 * rows_a_day // 24,
        url=f"{_ETT}/{name}.csv",
        sha256=sha256,
        size=size,
        licence="CC BY-ND 4.0",
        citation=_ZHOU,
    )


def _shares(rows: int) -> tuple[int, int, int]:
    """Return the split of the other sets: 70 and 20 % rounded down, the rest for validation."""
    training, test = int(rows * 0.7), int(rows * 0.2)
    return training, rows - training - test, test


DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        _ett(
            *("ETTh1", "hourly", "h", 24),
            "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            2_589_657,
        ),
        _ett(
            *("ETTh2", "hourly", "h", 24),
            "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
            2_417_960,
        ),
        _ett(
            *("ETTm1", "every 15 minutes", "15min", 96),
            "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e",
            10_360_719,
        ),
        _ett(
            *("ETTm2", "every 15 minutes", "15min", 96),
            "db973ca252c6410a30d0469b13d696cf919648d0f3fd588c60f03fdbdbadd1fd",
            9_677_236,
        ),
        Dataset(
            name="Exchange",
            description="Exchange rates of 8 currencies to the US dollar, daily, 8 columns",
            columns=(*map(str, range(7)), "OT"),
            target="OT",
            frequency="D",
            season=7,  # of the dates; the rates themselves have none
            split_rows=_shares(7588),
            url=f"{_COLLECTED}/exchange_rate/exchange_rate.csv",
            sha256="d55e7aa2641009814a18ba3279431b13f6d413b0eab195b9ff21988d8cf94e97",
            same=("48b4d9d3d508f5104162e85b9a6042e3557fde11aa9f2944eba8c0d0efc89842",),
            size=630_212,
            licence="not stated by its collectors",
            citation=_LAI,
        ),
        Dataset(
            name="Weather",
            description="Weather station in Jena, every 10 minutes, the year 2020, 21 columns",
            columns=(
                *("p (mbar)", "T (degC)", "Tpot (K)", "Tdew (degC)", "rh (%)", "VPmax (mbar)"),
                *("VPact (mbar)", "VPdef (mbar)", "sh (g/kg)", "H2OC (mmol/mol)", "rho (g/m**3)"),
                *("wv (m/s)", "max. wv (m/s)", "wd (deg)", "rain (mm)", "raining (s)"),
                # The file has lost its signs for square and micro to the replacement character.
                *("SWDR (W/m\ufffd)", "PAR (\ufffdmol/m\ufffd/s)"),
                *("max. PAR (\ufffdmol/m\ufffd/s)", "Tlog (degC)", "OT"),
            ),
            target="OT",
            frequency="10min",
            season=144,
            split_rows=_shares(52_696),
            url=f"{_COLLECTED}/weather/weather.csv",
            sha256="9b2b19b13e342d9c9b9c51620d42b4be232df7fba30e7f5c4968b7c79ab138ad",
            same=("34ee981d07313e51da2a50bb600072c8ae4a69cb4b0651f4cb93a069d7a2ba63",),
            size=7_182_728,
            licence="CC BY 4.0 (Max Planck Institute for Biogeochemistry, Jena)",
            citation=_WU,
        ),
        Dataset(
            name="ILI",
            description="Influenza-like illness in the USA, weekly, 2002 to 2020, 7 columns",
            columns=(
                *("% WEIGHTED ILI", "%UNWEIGHTED ILI", "AGE 0-4", "AGE 5-24", "ILITOTAL"),
                *("NUM. OF PROVIDERS", "OT"),
            ),
            target="OT",
            frequency="W-TUE",
            season=52,
            split_rows=_shares(966),
            url=f"{_COLLECTED}/illness/national_illness.csv",
            sha256="8594cecb98c6f2f9dc014eca11c4d5d1e38ad5ce6ed0592d4abe65b146fce395",
            same=("93601f64d2566dc796ca4305adad8b8560c2db1a1ff04543c3bd813a7263570a",),
            size=66_653,
            licence="public domain (Centers for Disease Control and Prevention, USA)",
            seq_len=36,
            pred_len=24,
            citation=_WU,
        ),
        Dataset(
            name="Electricity",
            description="Electricity used by 321 customers in Portugal, hourly, three years",
            columns=(*map(str, range(320)), "OT"),
            target="OT",
            frequency="h",
            season=24,
            split_rows=_shares(26_304),
            url=f"{_ARCHIVE}/electricity/electricity.csv",
            sha256="7e45845d54c5219bad0ae6bc1b5316cf8ff9cead5d33fa998a5a51c2e4a497ad",
            size=95_581_762,
            licence="CC BY 4.0 (UCI Machine Learning Repository)",
            citation=_LAI,
        ),
        Dataset(
            name="Traffic",
            description="Occupancy of 862 road sensors around San Francisco, hourly, two years",
            columns=(*map(str, range(861)), "OT"),
            target="OT",
            frequency="h",
            season=24,
            split_rows=_shares(17_544),
            url=f"{_ARCHIVE}/traffic/traffic.csv",
            sha256="cb06463d56fa17d87f47027cd9389ceae82a69eddee51cdb61480e120dab0b16",
            size=136_478_119,
            licence="not stated by its collectors (California Department of Transportation)",
            citation=_LAI,
        ),
        Dataset(
            name="synthetic",
            description="Generated, not measured: hourly, 7 columns, two seasons, drift",
            columns=_ETT_COLUMNS,
            target="OT",
            frequency="h",
            season=24,
            split_rows=(12 * 30 * 24, 4 * 30 * 24, 4 * 30 * 24),
            rows=17_420,
        ),
    )
}


# -- data sets of the user's own ----------------------------------------------------------------

RECORD, VALUES = "dataset.json", "data.parquet"
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
    file: Literal["data.parquet", "data.csv"] = "data.csv"  # as it was written formerly
    sha256: str  # of the file
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
            path=folder / self.file,
            source=PurePath(self.source).name,
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
