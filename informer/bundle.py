"""A bundle: one trained model with all that it takes to use, judge and check it. Reads it.

A bundle is a folder of the files in `bundle_format.FILES`. It is data alone: nothing in it is
executed, unpickled or followed, its `manifest.json` has the size and the SHA-256 of every file, and
what is read is what was checked. `informer/export.py` writes it. No torch is needed before
`Bundle.model`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from data.choices import Choices
from data.registry import Dataset, Roles, bringing
from data.splits import Scaler
from informer.bundle_format import (
    CONFIG,
    DATA,
    ENVIRONMENT,
    FILES,
    FORMAT,
    INTERVALS,
    MANIFEST,
    MANIFEST_BYTES,
    METRICS,
    OPTIONAL,
    PROGRAM,
    WEIGHTS,
    DataFacts,
    File,
    Manifest,
    Metrics,
)
from informer.config import ConfigError, RunConfig, from_nested
from informer.files import ProtocolError, read_file
from informer.records import Environment, Record

if TYPE_CHECKING:
    from informer.forecaster import Forecaster

_Kept = TypeVar("_Kept", bound=Record)


class BundleError(ValueError):
    """A bundle that cannot be read or written; the message is one sentence."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and found intact."""

    path: Path
    manifest: Manifest
    config: RunConfig
    data: DataFacts
    metrics: Metrics
    environment: Environment | None  # None: it was trained before that was kept
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
            environment=_record(Environment, contents, ENVIRONMENT)
            if ENVIRONMENT in contents
            else None,
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
            DeviceError: the device is not there, see `devices.choose_device`.
        """
        from informer.devices import choose_device
        from informer.forecaster import WeightsError, forecaster

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
