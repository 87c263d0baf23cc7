"""Where a data set's file is found, and how it is read.

A published file is looked for in the directories of `NAS_DATA_DIRS`, by its name and in a folder
named as in its address, as the archives of the field have it; then in the user's cache; then it is
downloaded into that cache. A data set of the user's own lies in its folder. Whatever the place, the
sha256 must be a recorded one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd
import pooch

from data import stored
from data.registry import DataError, Dataset, find, some
from data.synthetic import generate

TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 2**16


def load(name: str) -> pd.DataFrame:
    """Return a data set: a row per time step under the index `date`, columns as in the registry.

    Raises:
        DataError: the data set is unknown, cannot be found or fetched, or is not as published.
    """
    dataset = find(name)
    if dataset.url is None and dataset.path is None:
        return generate(dataset)
    return read(locate(name), dataset)


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
    if dataset.path is not None:
        return _verified(dataset.path, dataset)
    if dataset.url is None:
        raise DataError(f"Data set {name!r} is generated and has no file; load it by its name.")
    if (path := on_this_machine(name, directories)) is not None:
        return _verified(path, dataset)
    return _download(dataset, told)


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


def read(path: Path, dataset: Dataset) -> pd.DataFrame:
    """Return the columns of `dataset` in its file, indexed by `date`; raises DataError."""
    frame = stored.read(path) if path.suffix == ".parquet" else _csv(path)
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


def _csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a CSV file ({error}); replace it.") from error


def _verified(path: Path, dataset: Dataset) -> Path:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); make it readable.") from error
    if found in (dataset.sha256, *dataset.same):
        return path
    if dataset.url is None:
        raise DataError(
            f"{path} was changed after data set {dataset.name!r} was added; add it again."
        )
    raise DataError(
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
