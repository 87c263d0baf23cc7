"""Where a data set's file is found, and how it is read.

A published file is looked for in the directories of `NAS_DATA_DIRS`, by its name and in a folder
named as in its address, as the archives of the field have it; then in the user's cache; then it is
downloaded into that cache. A data set of the user's own lies in its folder. Whatever the place, the
sha256 must be a recorded one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pandas as pd
import pooch

from data import actors, stored
from data.registry import DataError, Dataset, find, some
from data.synthetic import generate

TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 2**16


def load(name: str) -> pd.DataFrame:
    """Return a data set: a row per time step under the index `date`, columns as in the registry.

    Raises:
        DataError: the data set is unknown, cannot be found or fetched, or is not as published.
    """
    return values_of(find(name))


def values_of(dataset: Dataset) -> pd.DataFrame:
    """Return the values of a data set, of which these are the facts; otherwise as `load`.

    What is read is the very file whose sha256 was taken: another may be put in its place meanwhile.
    """
    if dataset.url is None and dataset.path is None:
        return generate(dataset)
    path = dataset.path or on_this_machine(dataset.name) or _download(dataset, None)
    with _verified(path, dataset) as file:
        return read(file, path, dataset)


def locate(
    name: str, directories: Sequence[Path] | None = None, told: Progress | None = None
) -> Path:
    """Return the verified file of a data set, downloading it where it is not on this machine.

    Args:
        name: a data set that has an address or is the user's own.
        directories: where to look first for a published file; by default `NAS_DATA_DIRS`.
        told: called while it downloads; by default a bar is drawn on stderr.

    Raises:
        DataError: the data set is unknown, has no file, cannot be fetched, or fails its checksum.
    """
    dataset = find(name)
    if dataset.url is None and dataset.path is None:
        raise DataError(f"Data set {name!r} is generated and has no file; load it by its name.")
    if (path := dataset.path or on_this_machine(name, directories)) is None:
        return _download(dataset, told)
    with _verified(path, dataset):
        return path


Progress = Callable[[int, int], None]
"""Told how many bytes of how many have arrived."""


def on_this_machine(name: str, directories: Sequence[Path] | None = None) -> Path | None:
    """Return where the file of a published data set lies, unverified; None where it is not here.

    Args:
        name: a data set that has an address.
        directories: where to look before the cache; by default `NAS_DATA_DIRS`.

    Raises:
        DataError: the data set is unknown.
    """
    dataset = find(name)
    if dataset.url is None:
        return None
    if directories is None:
        listed = os.environ.get("NAS_DATA_DIRS", "").split(os.pathsep)
        directories = [Path(directory).expanduser() for directory in listed if directory]
    address = PurePosixPath(dataset.url)
    places = [
        *(folder / tail for folder in directories for tail in (address.name, *_in_folder(address))),
        cache() / address.name,
    ]
    return next((place for place in places if place.is_file()), None)


def _in_folder(address: PurePosixPath) -> tuple[str, ...]:
    return (f"{address.parent.name}/{address.name}",) if address.parent.name else ()


def cache() -> Path:
    """Return the folder into which published files are downloaded."""
    return Path(pooch.os_cache("informer-nas"))


def read(file: BinaryIO, path: Path, dataset: Dataset) -> pd.DataFrame:
    """Return the columns of `dataset` in its file, indexed by `date`; raises DataError."""
    frame = stored.read(file, path) if path.suffix == ".parquet" else _csv(file, path)
    if missing := [name for name in ("date", *dataset.columns) if name not in frame.columns]:
        raise DataError(
            f"{path} has no column {some(missing)}; data set {dataset.name!r} needs "
            f"{some(('date', *dataset.columns))}."
        )
    if len(frame) < (needed := sum(dataset.split_rows)):
        raise DataError(
            f"{path} has {len(frame):,} rows, but the split of data set {dataset.name!r} needs "
            f"{needed:,}; replace it with the complete file."
        )
    try:
        frame["date"] = pd.to_datetime(frame["date"])
        return frame.set_index("date")[list(dataset.columns)].astype("float64")
    except ValueError as error:
        cause = str(error).splitlines()[0]
        raise DataError(f"{path} holds something that is no date or number ({cause}).") from error


def _csv(file: BinaryIO, path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a CSV file ({error}); replace it.") from error


@contextmanager
def _verified(path: Path, dataset: Dataset) -> Iterator[BinaryIO]:
    """Open a file for reading whose sha256 is a recorded one; raises DataError."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); make it readable.") from error
    with file:
        try:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}).") from error
        if found not in (dataset.sha256, *dataset.same):
            raise DataError(_changed(path, dataset, found))
        yield file


def _changed(path: Path, dataset: Dataset, found: str) -> str:
    if dataset.url is None:
        return f"{path} was changed after data set {dataset.name!r} was added; add it again."
    return (
        f"{path} is not the published {dataset.name} (its sha256 is {found}, not "
        f"{dataset.sha256}); remove it or replace it with the file from {dataset.url}."
    )


@dataclass
class _Bar:
    """What pooch tells of a download, handed on; its `total` may be that of a packed transfer."""

    told: Progress
    size: int
    total: int = 0
    arrived: int = 0

    def update(self, count: int) -> None:
        self.arrived = min(self.arrived + count, self.size)
        self.told(self.arrived, self.size)

    def reset(self) -> None:
        self.arrived = 0

    def close(self) -> None:
        pass


def _download(dataset: Dataset, told: Progress | None) -> Path:
    assert dataset.url is not None
    actors.require(DataError)
    bar = True if told is None else _Bar(told, dataset.size)
    try:
        return Path(
            pooch.retrieve(
                dataset.url,
                known_hash=f"sha256:{dataset.sha256}",
                fname=PurePosixPath(dataset.url).name,
                path=cache(),
                downloader=pooch.HTTPDownloader(
                    progressbar=bar, chunk_size=CHUNK_BYTES, timeout=TIMEOUT_SECONDS
                ),
            )
        )
    except (OSError, ValueError) as error:  # no connection, or a checksum that does not match
        cause = "its checksum is wrong" if isinstance(error, ValueError) else _cause(error)
        raise DataError(
            f"{dataset.name} could not be downloaded from {dataset.url} ({cause}); put the file, "
            f"with sha256 {dataset.sha256}, into {cache()} or a directory that NAS_DATA_DIRS "
            "names, or take data set 'synthetic'."
        ) from error


def _cause(error: OSError) -> str:
    """Return what broke, without the address that requests repeats."""
    return error.strerror or type(error).__name__
