"""A search with all that belongs to it, as one file."""

from __future__ import annotations

import os
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from data.registry import (
    DATASETS,
    RECORD,
    DataError,
    find,
    own_folder,
    own_names,
    record,
)
from informer.files import ProtocolError, read_file
from informer.records import Epoch
from informer.rundir import FILE_BYTES, METRICS_BYTES, RunDir
from nas_engine.exchange.archive import (
    DATA_BYTES,
    DATA_RECORD,
    DATA_VALUES,
    FILES,
    FORMAT,
    MANIFEST_BYTES,
    RUN,
    WEIGHT_BYTES,
    DataSet,
    ExchangeError,
    Manifest,
    Packer,
    weights_name,
)
from nas_engine.service.redaction import Redaction
from nas_engine.store.copying import TABLES, Cell, of_one_moment, rows, schema_version
from nas_engine.store.reader import Reader, reading
from nas_engine.store.rows import SearchRow
from nas_engine.workspace import PROJECT, Workspace

Weights = Literal["none", "incumbent", "all"]

TEXTS = (
    *("config.json", "errors.json", "forecasts.json", "environment.json", "result.json"),
    "log.txt",
)
"""Files of a run folder that are taken along, beside its metrics and its weights."""
LOG_LINES = 5_000


@dataclass(frozen=True)
class Exported:
    """What was written."""

    search: SearchRow
    manifest: Manifest

    @property
    def trials(self) -> int:
        """How many trials the file holds."""
        return self.manifest.members["trials.jsonl"].rows or 0

    @property
    def sentence(self) -> str:
        """What the file holds, for people."""
        count = sum(name.startswith("weights/") for name in self.manifest.members)
        data = self.manifest.data
        told = (
            f"its data set {data.name} is in it"
            if data.included
            else f"its data set {data.name} is not in it, only the name and the checksum"
        )
        return (
            f"Search {self.search.id} with {self.trials:,} trials; the weights of {count:,} "
            f"training{'s' * (count != 1)}; {told}."
        )


def export_to(
    workspace: Workspace,
    search_id: int,
    target: Path,
    secrets: Iterable[str],
    weights: Weights = "none",
    with_data: bool = True,
) -> Exported:
    """Write a search to a new file, which is put in place whole; see `export_search`.

    Raises:
        ExchangeError: the file is there already or cannot be written, or there is no such search.
        StoreError: the database cannot be used.
    """
    if target.exists():
        raise ExchangeError(f"{target} is there already; name a new file.")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            written = Path(folder) / target.name
            with written.open("xb") as file:
                exported = export_search(workspace, search_id, file, secrets, weights, with_data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(written, target)
    except OSError as error:
        raise ExchangeError(f"{target} cannot be written ({error.strerror}).") from None
    return exported


def export_search(
    workspace: Workspace,
    search_id: int,
    file: BinaryIO,
    secrets: Iterable[str],
    weights: Weights = "none",
    with_data: bool = True,
) -> Exported:
    """Write all that belongs to a search, as it is at this moment, also while it runs.

    Args:
        workspace: where the search is.
        search_id: the search.
        file: where the zip archive goes.
        secrets: keys, which are taken out of every text.
        weights: of which trials the best weights are taken along.
        with_data: whether a data set of the user's own is.

    Raises:
        ExchangeError: there is no such search.
        StoreError: the database cannot be used.
    """
    redact, packer = Redaction(secrets), Packer(file)
    with reading(workspace) as reader:
        if reader is None:
            raise ExchangeError(f"There is no search {search_id} in {workspace.db}.")
        with of_one_moment(reader):
            if (search := reader.search(search_id)) is None:
                raise ExchangeError(f"There is no search {search_id} in {workspace.db}.")
            for table in TABLES:
                packer.lines(f"{table}.jsonl", _redacted(reader, table, search_id, redact))
            folders = _folders(workspace, reader, search_id)
            shown = _with_weights(reader, search, weights)
    packer.lines(FILES, _files(folders, redact))
    for folder in folders:
        if shown is None or folder.path.name in shown:
            _pack_weights(packer, folder)
    manifest = Manifest(
        format=FORMAT,
        schema_version=schema_version(),
        project_version=_project_version(),
        exported_at=time.time(),
        search=search_id,
        title=redact(search.title)[:400],
        weights=weights,
        data=_pack_data(packer, search, with_data),
        members=packer.members,
    )
    packer.finish(manifest)
    return Exported(search, manifest)


def _project_version() -> str:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


def _redacted(
    reader: Reader, table: str, search_id: int, redact: Redaction
) -> Iterator[dict[str, Cell]]:
    for row in rows(reader, table, search_id):
        yield {name: redact(cell) if isinstance(cell, str) else cell for name, cell in row.items()}


# -- run folders --------------------------------------------------------------------------------


def _folders(workspace: Workspace, reader: Reader, search_id: int) -> list[RunDir]:
    """Return the run folders of a search that are there, in order of their trials."""
    found = workspace.runs / str(search_id)
    if found.is_symlink() or not found.is_dir():
        return []
    numbers = reader.numbers(search_id)
    matches = ((RUN.fullmatch(path.name), path) for path in sorted(found.iterdir()))
    return [
        RunDir(path)
        for match, path in matches
        if match and int(match["number"]) in numbers and path.is_dir() and not path.is_symlink()
    ]


def _files(folders: list[RunDir], redact: Redaction) -> Iterator[dict[str, str]]:
    for folder in folders:
        for name in TEXTS:
            if (text := _text(folder, name)) is not None:
                yield {"run": folder.path.name, "name": name, "text": redact(text)}
        if epochs := _epochs(folder):
            yield {"run": folder.path.name, "name": folder.metrics.name, "text": epochs}


def _text(folder: RunDir, name: str) -> str | None:
    """Return a file of a run folder, of a log its end; None where it cannot be read."""
    if name == folder.log.name:
        return folder.log_tail(LOG_LINES) or None
    try:
        return read_file(folder.path / name, FILE_BYTES).decode("utf-8")
    except (FileNotFoundError, ProtocolError, UnicodeDecodeError):
        return None


def _epochs(folder: RunDir) -> str:
    """Return the records of finished epochs; what came between them is of no use any more."""
    try:
        records = folder.read_metrics()[0]
    except ProtocolError:
        return ""
    lines = [f"{record.model_dump_json()}\n" for record in records if isinstance(record, Epoch)]
    text = "".join(lines)
    return text if len(text) <= METRICS_BYTES // 4 else ""


def _with_weights(reader: Reader, search: SearchRow, weights: Weights) -> frozenset[str] | None:
    """Return the run folders of which the weights are taken along; None: all that there are."""
    if weights == "all":
        return None
    if weights == "none" or search.incumbent is None:
        return frozenset()
    runs = reader.runs(search.id, search.incumbent)
    name = f"trial-{search.incumbent:04d}"
    repeats = (f"{name}-repeat-{repeat}" for repeat in range(1, len(runs)))
    return frozenset((name, *repeats))


def _pack_weights(packer: Packer, folder: RunDir) -> None:
    try:
        content = read_file(folder.weights, WEIGHT_BYTES)
    except (FileNotFoundError, ProtocolError):
        return
    packer.content(weights_name(folder.path.name), content)


# -- data ---------------------------------------------------------------------------------------


def _pack_data(packer: Packer, search: SearchRow, with_data: bool) -> DataSet:
    """Take a data set of the user's own along; of others say only what they are."""
    name, used = str(search.spec.start()["data.dataset"]), search.used
    own, seen = name not in DATASETS, (used.sha256 if used else None) or ""
    try:
        dataset = find(name)
    except DataError:  # removed, or damaged
        return DataSet(name=name[:60], own=own, sha256=seen)
    if seen not in (
        "",
        dataset.sha256,
        *dataset.same,
    ):  # replaced by another one since the search began
        return DataSet(name=name, own=own, sha256=seen)
    if not (name in own_names() and with_data):
        return DataSet(name=name, own=own, sha256=dataset.sha256)
    folder = own_folder() / name
    try:
        facts = read_file(folder / RECORD, MANIFEST_BYTES)
        values = read_file(folder / record(name).file, DATA_BYTES)
    except (FileNotFoundError, ProtocolError, DataError) as error:
        raise ExchangeError(
            f"The data set {name} cannot be read ({error}); leave it out with --without-data."
        ) from None
    packer.content(DATA_RECORD, facts)
    packer.content(DATA_VALUES, values)
    return DataSet(name=name, own=True, sha256=dataset.sha256, included=True)
