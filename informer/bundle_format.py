"""What a bundle consists of: the names of its files, and the records that stand in them."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from data import synthetic
from data.choices import Choices, Scaling
from data.registry import NAME, VALUES, Dataset, own_folder, record
from data.splits import Scaler
from informer.baselines import Baseline
from informer.records import Finite, Generated, JudgedOn, Record

if TYPE_CHECKING:
    from data.series import Series

FORMAT = 1
MANIFEST = "manifest.json"
CONFIG, DATA, METRICS = "config.json", "data.json", "metrics.json"
ENVIRONMENT, EXCHANGE, INTERVALS = "environment.json", "exchange.md", "intervals.json"
WEIGHTS, PROGRAM = "model.safetensors", "model.pt2"
CARD, SCRIPT = "README.md", "predict.py"

FILES: Mapping[str, int] = {
    CARD: 2**20,
    CONFIG: 2**20,
    DATA: 2**24,
    ENVIRONMENT: 2**20,
    EXCHANGE: 2**26,
    INTERVALS: 2**28,
    METRICS: 2**22,
    PROGRAM: 2**30,
    WEIGHTS: 2**30,
    SCRIPT: 2**16,
}
"""Every file of a bundle but the manifest, and the most bytes that it may have."""

OPTIONAL = (ENVIRONMENT, INTERVALS, PROGRAM)
"""Files that a bundle can be without."""

MANIFEST_BYTES = 2**16
WEIGHTS_RULE = "the seed with the lowest val_mse"


class Scale(Record):
    """A `data.splits.Scaler` as a record; its numbers are exact to the last bit as written."""

    centre: tuple[Finite, ...]
    scale: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.centre) != len(self.scale):
            raise ValueError("a scaler needs a centre and a scale for each column")
        return self

    @classmethod
    def of(cls, scaler: Scaler) -> Self:
        """Return the record of a scaler."""
        return cls(centre=tuple(scaler.centre.tolist()), scale=tuple(scaler.scale.tolist()))

    def scaler(self) -> Scaler:
        """Return the scaler."""
        return Scaler(
            np.array(self.centre, dtype=np.float64), np.array(self.scale, dtype=np.float64)
        )


class DataFacts(Record):
    """What a model has to know of its data; the data themselves are never in a bundle."""

    name: str
    description: str
    columns: tuple[str, ...]
    past_only: tuple[str, ...]
    known_future: tuple[str, ...]
    target: str
    frequency: str  # pandas offset alias
    season: int = Field(ge=1)
    split_rows: tuple[int, int, int]  # training, validation, test
    origin: Literal["published", "own", "generated"]
    url: str | None  # of published data
    sha256: str  # of the file with the data as they were trained on; empty where generated
    generated: Generated | None
    source: str  # the file that a data set of the user's own was made from
    licence: str
    citation: str
    scaling: Scaling
    scaler: Scale  # of the input columns, in their order
    known_scaler: Scale  # of the known-future columns
    choices: Choices  # by which a raw file of such data is read

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not NAME.fullmatch(self.name):
            raise ValueError("this cannot be the name of a data set")
        if not set((*self.past_only, *self.known_future)).issubset(self.columns):
            raise ValueError("a column that plays a part is not among the columns")
        if len(set(self.columns)) != len(self.columns) or min(self.split_rows) < 1:
            raise ValueError("a column is named twice, or a part has no rows")
        if (self.origin == "published") != (self.url is not None):
            raise ValueError("published data have an address, and no others")
        return self

    @classmethod
    def of(cls, source: Series) -> Self:
        """Return what a bundle says of the data of a series."""
        dataset = source.dataset
        kept = None if dataset.path is None else record(dataset.name)
        origin: Literal["published", "own", "generated"] = "own" if kept else "published"
        if kept is None and dataset.url is None:
            origin = "generated"
        made = Generated(rows=synthetic.ROWS, start=synthetic.START, seed=synthetic.SEED)
        return cls(
            name=dataset.name,
            description=dataset.description,
            columns=dataset.columns,
            past_only=dataset.past_only,
            known_future=dataset.known_future,
            target=dataset.target,
            frequency=dataset.frequency,
            season=dataset.season,
            split_rows=dataset.split_rows,
            origin=origin,
            url=dataset.url if origin == "published" else None,
            sha256=dataset.sha256,
            generated=made if origin == "generated" else None,
            source=Path(kept.source).name if kept else "",
            licence=dataset.licence,
            citation=dataset.citation,
            scaling=dataset.scaling,
            scaler=Scale.of(source.scaler),
            known_scaler=Scale.of(source.known_scaler),
            choices=kept.choices if kept else _published_choices(dataset),
        )

    def dataset(self) -> Dataset:
        """Return the data set, whose file is where this machine would have it."""
        return Dataset(
            name=self.name,
            description=self.description,
            columns=self.columns,
            target=self.target,
            frequency=self.frequency,
            season=self.season,
            split_rows=self.split_rows,
            url=self.url,
            sha256=self.sha256,
            licence=self.licence,
            past_only=self.past_only,
            known_future=self.known_future,
            path=own_folder() / self.name / VALUES if self.origin == "own" else None,
            scaling=self.scaling,
            citation=self.citation,
        )


def _published_choices(dataset: Dataset) -> Choices:
    return Choices(
        date="date",
        frequency=dataset.frequency,
        target=dataset.target,
        past_only=dataset.past_only,
        known_future=dataset.known_future,
        scaling=dataset.scaling,
    )


class SeedErrors(Record):
    """Errors of one training, on scaled data."""

    seed: int
    val_mse: Finite
    val_mae: Finite
    test_mse: Finite
    test_mae: Finite
    best_epoch: int
    epochs: int
    seconds: Finite
    device: str


class Mean(Record):
    """A mean over seeds, and the sample standard deviation; None for one seed."""

    mean: Finite
    spread: Finite | None

    @classmethod
    def of(cls, errors: Sequence[float]) -> Self:
        """Return mean and spread of the errors of some seeds."""
        spread = statistics.stdev(errors) if len(errors) > 1 else None
        return cls(mean=statistics.fmean(errors), spread=spread)


class Noise(Record):
    """How far trainings with other seeds lie apart in the search."""

    relative: Finite  # standard deviation of val_mse, relative to its mean
    degrees: int  # of freedom that it was learned with


class Verdict(Record):
    """What the search made of the trial."""

    accepted: bool
    rule: str
    sentence: str


class Metrics(Record):
    """What was measured of a trial, and against what. All errors are on scaled data."""

    search: str  # its title
    trial: int
    trials_looked_at: int  # trained trials of the search when the bundle was written
    seeds: tuple[SeedErrors, ...] = Field(min_length=1)
    weights_seed: int  # whose weights are in the bundle
    weights_rule: str = WEIGHTS_RULE
    val_mse: Mean
    val_mae: Mean
    test_mse: Mean
    test_mae: Mean
    windows: JudgedOn
    baselines: tuple[Baseline, ...]  # on the same windows
    noise: Noise | None  # None while no trial of the search has two seeds
    verdict: Verdict | None
    parameters: int

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.weights_seed not in {errors.seed for errors in self.seeds}:
            raise ValueError("the weights are of a seed without errors")
        return self

    @property
    def weights(self) -> SeedErrors:
        """Errors of the training whose weights are in the bundle."""
        return next(errors for errors in self.seeds if errors.seed == self.weights_seed)


class File(Record):
    """What the manifest says of a file."""

    bytes: int
    sha256: str


class Manifest(Record):
    """What a bundle consists of."""

    format: Literal[1] = 1
    created: str  # ISO 8601, UTC
    commit: str | None  # of the project that wrote it
    files: dict[str, File]
    sha256: str  # of all the above, so that the manifest cannot be damaged unseen

    @classmethod
    def of(cls, created: str, commit: str | None, files: Mapping[str, bytes | File]) -> Self:
        """Return the manifest of these files, which are given by content or as facts."""
        facts = {
            name: file
            if isinstance(file, File)
            else File(bytes=len(file), sha256=hashlib.sha256(file).hexdigest())
            for name, file in sorted(files.items())
        }
        bare = cls(created=created, commit=commit, files=facts, sha256="")
        return bare.model_copy(update={"sha256": bare._own_digest()})

    def text(self) -> str:
        """Return the manifest as it is written."""
        return f"{self.model_dump_json(indent=2)}\n"

    def _own_digest(self) -> str:
        bare = self.model_copy(update={"sha256": ""})
        return hashlib.sha256(bare.text().encode()).hexdigest()

    def agrees(self, content: bytes) -> bool:
        """Tell whether `content`, which this was read from, is what was written."""
        return content == self.text().encode() and self.sha256 == self._own_digest()
