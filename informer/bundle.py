"""A bundle: one trained model with all that it takes to use, judge and check it. Reads it.

A bundle is a folder of the files in `FILES`. It is data alone: nothing in it is executed, unpickled
or followed, its `manifest.json` has the size and the SHA-256 of every file, and what is read is
what was checked. `informer/export.py` writes it. No torch is needed before `Bundle.model`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar

import numpy as np
from pydantic import Field, ValidationError, model_validator

from data.choices import Choices, Scaling
from data.registry import NAME, VALUES, Dataset, Roles, bringing, own_folder
from data.splits import Scaler
from informer.baselines import Baseline
from informer.config import ConfigError, RunConfig, from_nested
from informer.files import ProtocolError, read_file
from informer.rundir import Environment, Finite, Generated, JudgedOn, Record

if TYPE_CHECKING:
    from informer.forecaster import Forecaster

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

OPTIONAL = (INTERVALS, PROGRAM)
"""Files that a bundle can be without."""

MANIFEST_BYTES = 2**16
WEIGHTS_RULE = "the seed with the lowest val_mse"

_Kept = TypeVar("_Kept", bound=Record)


class BundleError(ValueError):
    """A bundle that cannot be read or written; the message is one sentence."""


# -- records ------------------------------------------------------------------------------------


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


# -- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and found intact."""

    path: Path
    manifest: Manifest
    config: RunConfig
    data: DataFacts
    metrics: Metrics
    environment: Environment
    contents: Mapping[str, bytes] = field(repr=False)  # as checked; `PROGRAM` is left out

    @classmethod
    def read(cls, path: Path) -> Bundle:
        """Read a bundle's folder, whose every file must be as its manifest says.

        Raises:
            BundleError: it is no bundle, or was changed.
        """
        manifest = _manifest(path)
        _require_these_files(path, manifest)
        contents = {}
        for name, file in manifest.files.items():
            content = _checked(path, name, file)
            if name != PROGRAM:  # the same model once more, which nothing here reads
                contents[name] = content
        data = _record(DataFacts, contents, DATA)
        config = _config(contents, data)
        return cls(
            path=path,
            manifest=manifest,
            config=config,
            data=data,
            metrics=_record(Metrics, contents, METRICS),
            environment=_record(Environment, contents, ENVIRONMENT),
            contents=contents,
        )

    @property
    def dataset(self) -> Dataset:
        """The facts of the data; work on the configuration within `registry.bringing` of it."""
        return self.data.dataset()

    @property
    def roles(self) -> Roles:
        """The parts that the columns play."""
        return self.dataset.roles(self.config.data.features, self.config.data.target)

    @property
    def scaler(self) -> Scaler:
        """The scaler of the input columns, in the order of `roles.inputs`."""
        return self.data.scaler.scaler()

    @property
    def known_scaler(self) -> Scaler:
        """The scaler of the known-future columns, in the order of `roles.known`."""
        return self.data.known_scaler.scaler()

    @property
    def choices(self) -> Choices:
        """How a raw file of such data is read."""
        return self.data.choices

    @property
    def intervals(self) -> bytes | None:
        """The content of `intervals.json`; None where the bundle has none."""
        return self.contents.get(INTERVALS)

    def model(self, device: str = "cpu") -> Forecaster:
        """Return the model in eval mode on a device; call it under `torch.inference_mode`.

        Raises:
            BundleError: the weights are not those of the configuration.
            DeviceError: the device is not there, see `training.choose_device`.
        """
        from informer.forecaster import WeightsError, forecaster
        from informer.training import choose_device

        with bringing(self.dataset):
            try:
                return forecaster(self.config, self.contents[WEIGHTS], choose_device(device))
            except WeightsError as error:
                raise BundleError(
                    f"{self.path / WEIGHTS} has not the weights of {CONFIG}: {error}."
                ) from None


def _manifest(path: Path) -> Manifest:
    if not path.is_dir():
        zipped = path.suffix == ".zip" and path.is_file()
        raise BundleError(
            f"{path} is a zip file; unpack it and name the folder."
            if zipped
            else f"There is no folder {path}; name the folder of a bundle."
        )
    content = _read(path, MANIFEST, MANIFEST_BYTES)
    try:
        version = json.loads(content).get("format")
    except (ValueError, AttributeError, RecursionError):
        raise BundleError(f"{path / MANIFEST} was changed; fetch the bundle again.") from None
    if version != FORMAT:
        raise BundleError(
            f"{path} is a bundle of format {str(version)[:20]!r}, and this program reads format "
            f"{FORMAT}; use the version of the project that wrote it."
        )
    try:
        manifest = Manifest.model_validate_json(content, strict=True)
    except ValidationError:
        raise BundleError(f"{path / MANIFEST} was changed; fetch the bundle again.") from None
    if not manifest.agrees(content):
        raise BundleError(f"{path / MANIFEST} was changed; fetch the bundle again.")
    return manifest


def _require_these_files(path: Path, manifest: Manifest) -> None:
    """Refuse files that are too many or too few, by the manifest and by the format."""
    if unknown := [name for name in manifest.files if name not in FILES]:
        raise BundleError(
            f"{path / MANIFEST} names {unknown[0][:60]!r}, which is no file of a bundle; do not "
            "use this bundle."
        )
    listed = {*manifest.files, MANIFEST}
    try:
        found = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}).") from None
    if extra := sorted(found - listed):
        raise BundleError(
            f"{path} holds {extra[0][:60]!r}, which is not part of the bundle; take it away."
        )
    needed = {*listed, *(name for name in FILES if name not in OPTIONAL)}
    if missing := sorted(needed - found | needed - listed):
        raise BundleError(f"{path} has lost its file {missing[0]}; fetch the bundle again.")


def _checked(path: Path, name: str, file: File) -> bytes:
    content = _read(path, name, FILES[name])
    if len(content) != file.bytes or hashlib.sha256(content).hexdigest() != file.sha256:
        raise BundleError(
            f"{path / name} was changed after the bundle was written; fetch the bundle again."
        )
    return content


def _read(path: Path, name: str, limit: int) -> bytes:
    try:
        return read_file(path / name, limit)
    except FileNotFoundError:
        raise BundleError(
            f"{path} has no {name}; name the folder of a bundle, or fetch it again."
        ) from None
    except ProtocolError as error:
        raise BundleError(str(error)) from None


def _record(kind: type[_Kept], contents: Mapping[str, bytes], name: str) -> _Kept:
    try:
        return kind.model_validate_json(contents[name], strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{name} is not valid: {where} {first['msg']}.") from None


def _config(contents: Mapping[str, bytes], data: DataFacts) -> RunConfig:
    """Return the configuration, which must be one of the data that the bundle describes."""
    dataset = data.dataset()
    try:
        values = json.loads(contents[CONFIG])
        named = values["data"]["dataset"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(f"{CONFIG} is not the configuration of a training.") from None
    if named != data.name:
        raise BundleError(
            f"{CONFIG} is of data set {str(named)[:60]!r}, and {DATA} of {data.name!r}: these "
            "files do not belong together."
        )
    try:
        with bringing(dataset):
            config = from_nested(values)
    except ConfigError as error:
        raise BundleError(f"{CONFIG} is not valid: {str(error)[:300]}") from None
    roles = dataset.roles(config.data.features, config.data.target)
    if (len(roles.inputs), len(roles.known)) != (
        len(data.scaler.scale),
        len(data.known_scaler.scale),
    ):
        raise BundleError(f"The scalers in {DATA} are not of the columns that {CONFIG} uses.")
    return config
