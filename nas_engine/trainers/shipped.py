"""What nodes of a cluster get from the engine: the project's code, and the data set of a search.

The code is what is imported, not the folder of the project, which may hold anything. A data set is
fetched once by each node, checked against its SHA-256, and kept in the user's cache under it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from data.registry import NAME, RECORD, DataError, find, own_folder
from informer.commit import note_commit
from informer.files import digest_of
from nas_engine.workspace import PROJECT

PACKAGES = ("informer", "nas_engine", "data")


def copy_code(folder: Path) -> None:
    """Copy what a node needs of the project into a folder, and of which commit it is."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
        shutil.copytree(PROJECT / package, folder / package, ignore=ignored)
    shutil.copy2(PROJECT / "pyproject.toml", folder)
    note_commit(PROJECT, folder)


@dataclass(frozen=True)
class Shipment:
    """The facts of a data set's file; its bytes go another way, to nodes that lack them."""

    name: str  # of the data set
    file: str  # its name
    sha256: str
    record: bytes  # dataset.json of a data set of the user's own; empty: a published one


def shipment_of(name: str, directories: Sequence[Path]) -> tuple[Shipment, bytes] | None:
    """Return the facts and the bytes of a data set's file, None of one that is generated.

    Args:
        name: the data set.
        directories: where to look first for a published file.

    Raises:
        DataError: the data set cannot be had, or is not as published.
    """
    dataset = find(name)
    if dataset.url is None and dataset.path is None:
        return None
    from data.source import locate  # pandas takes a while to import

    path = locate(name, directories)
    record = b"" if dataset.path is None else (own_folder() / name / RECORD).read_bytes()
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 not in (dataset.sha256, *dataset.same):
        raise DataError(f"{path} was changed while it was read; try again.")
    return Shipment(name, path.name, sha256, record), content


def unpack(shipment: Shipment, fetch: Callable[[], bytes]) -> Mapping[str, str]:
    """Have the data set in this node's cache, and return the environment in which it is found.

    Args:
        shipment: its facts.
        fetch: returns its bytes; called where the cache does not have them.

    Raises:
        DataError: what was fetched is not what was announced.
    """
    if not NAME.fullmatch(shipment.name) or not NAME.fullmatch(shipment.file):
        raise DataError(f"{shipment.file[:80]!r} is no name of a data file.")
    digest = hashlib.sha256(shipment.record + shipment.sha256.encode()).hexdigest()
    root = user_cache_path("informer-nas") / "nodes" / digest
    folder = root / "informer-nas" / "datasets" / shipment.name if shipment.record else root
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / shipment.file
    if not path.exists() or digest_of(path) != shipment.sha256:
        content = fetch()
        if hashlib.sha256(content).hexdigest() != shipment.sha256:
            raise DataError(f"Data set {shipment.name} came to this node with another SHA-256.")
        _put(path, content)
    if not shipment.record:
        return {"NAS_DATA_DIRS": str(root)}
    _put(folder / RECORD, shipment.record)
    return {"XDG_DATA_HOME": str(root)}


def _put(path: Path, content: bytes) -> None:
    """Put a file in place whole, whoever else does so at the same time."""
    handle, name = tempfile.mkstemp(prefix=".fetched-", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(name, path)
