"""A search from a file: checked as a whole, then taken in at once or not at all.

Everything in the file is untrusted. Its rows go into a database of their own first (see
`store.copying`), its texts into a folder beside the run folders; nothing is executed, no name in
the file becomes a path. Only what has passed all checks is copied, in one transaction, while
engines may work on other searches.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from data import actors
from data.beside import beside
from informer.files import replace_text
from informer.rundir import RunDir
from nas_engine.exchange.archive import (
    FILES,
    RUN,
    ExchangeError,
    Manifest,
    Unpacker,
    unpacking,
)
from nas_engine.exchange.data_sets import Arrival, arriving
from nas_engine.exchange.exporting import TEXTS
from nas_engine.exchange.rows import RowError, checked
from nas_engine.search import SearchSpec
from nas_engine.store import copying
from nas_engine.store.migrations import known_versions
from nas_engine.store.schema import explained, open_database, transaction
from nas_engine.workspace import Workspace

NAME_LENGTH = 200
ORIGIN_LENGTH = 1000
FIRST_EXPORTED = "m011_data"
"""Version of the schema under which searches were first exported."""
_RECORDS = "metrics.jsonl"


@dataclass(frozen=True)
class Imported:
    """What was taken in."""

    search_id: int
    trials: int
    told: tuple[str, ...]  # a sentence each: what is otherwise than in the file, or missing

    @property
    def sentence(self) -> str:
        """What was taken in, for people."""
        return " ".join(
            (f"Search {self.search_id} is imported, with {self.trials:,} trials.", *self.told)
        )


class _File(BaseModel):
    """A line of `files.jsonl`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    name: str
    text: str


def import_search(
    workspace: Workspace, file: BinaryIO, file_name: str, name: str | None = None
) -> Imported:
    """Take in the search of a file as a new one, whatever searches there are already.

    Args:
        workspace: where it goes.
        file: a seekable file that `export_search` wrote.
        file_name: by which people know it, for the record.
        name: what the search is called here; by default as it was.

    Raises:
        ExchangeError: the file cannot be taken, or who acts may only look; nothing was changed.
        StoreError: the database cannot be used; nothing was changed.
    """
    actors.require(ExchangeError)
    if name is not None and not 0 < len(name.strip()) <= NAME_LENGTH:
        raise ExchangeError(f"Give the search a name of 1 to {NAME_LENGTH} characters.")
    with unpacking(file, frozenset(copying.TABLES)) as unpacker:
        version = _known_version(unpacker.manifest)
        workspace.create()
        with closing(copying.staging(version)) as staged, _folder(workspace) as folder:
            stage(staged, _rows(unpacker, version))
            before = _spec(staged)
            copying.settle(staged)
            _unpack_files(unpacker, folder, copying.numbers(staged))
            with arriving(unpacker, str(before.start()["data.dataset"])) as data:
                if data.name != data.before:
                    copying.rename_data(staged, data.before, data.name)
                    _rename_in_folders(folder, data)
                origin = _origin(staged, unpacker.manifest, file_name)
                search_id = take_in(workspace, staged, origin, name, folder)
            told = (*data.told, *_left_behind(before))
            return Imported(search_id, len(copying.numbers(staged)), told)


def _known_version(manifest: Manifest) -> str:
    """Return the version of the schema that a file was written under."""
    known, given = known_versions(), manifest.schema_version
    if given in known[known.index(FIRST_EXPORTED) :]:
        return given
    shown = "".join(sign for sign in given if sign.isprintable())
    if given in known:
        raise ExchangeError(f"No version of the project exports searches as {shown}.")
    raise ExchangeError(
        f"The file was written by a newer version of the project ({shown}, and this one knows up "
        f"to {known[-1]}): update the project here."
    )


def _origin(staged: sqlite3.Connection, manifest: Manifest, file_name: str) -> str:
    """Return where a search comes from, in a sentence; what was said of it before follows."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    there = time.strftime("%Y-%m-%d", time.gmtime(manifest.exported_at))
    (before,) = staged.execute("SELECT origin FROM searches").fetchone()
    sentence = (
        f"Imported on {day} from {file_name[-80:]}: search {manifest.search} of another workspace, "
        f"exported on {there}."
    )
    return f"{sentence} {before}".strip()[:ORIGIN_LENGTH]


# -- rows ---------------------------------------------------------------------------------------


class Placed(NamedTuple):
    """A checked row, and where it stands in words."""

    table: str
    place: str
    row: copying.Row


def _rows(unpacker: Unpacker, version: str) -> Iterator[Placed]:
    for table in copying.TABLES:
        name = f"{table}.jsonl"
        for number, line in unpacker.lines(name):
            try:
                yield Placed(table, f"line {number:,} of {name}", checked(table, line, version))
            except RowError as error:
                raise ExchangeError(
                    f"The file cannot be taken: line {number:,} of {name} {error}."
                ) from None


def stage(staged: sqlite3.Connection, rows: Iterator[Placed]) -> None:
    """Put checked rows into a staging database; raises ExchangeError where they do not fit."""
    staged.execute("BEGIN")
    for table, place, row in rows:
        try:
            copying.insert(staged, table, row)
        except sqlite3.OperationalError as error:
            raise ExchangeError(
                f"The search cannot be written ({error}); make room on the disk, then try again. "
                "Nothing was changed."
            ) from None
        except (sqlite3.Error, OverflowError) as error:
            raise ExchangeError(f"The file cannot be taken: {place} {_misfit(error)}.") from None
    staged.execute("COMMIT")
    copying.bring_up(staged)
    if found := copying.faults(staged):
        raise ExchangeError(f"The file cannot be taken: {found[0]}.")


def _misfit(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "FOREIGN KEY" in text:
        return "names something that is not in the file"
    if "UNIQUE" in text:
        return "is there twice"
    return f"does not fit its table ({text[:100]})"


def _spec(staged: sqlite3.Connection) -> SearchSpec:
    (spec,) = staged.execute("SELECT spec FROM searches").fetchone()
    return SearchSpec.model_validate_json(spec)


def _left_behind(before: SearchSpec) -> Iterator[str]:
    """Yield a sentence for each thing of its workspace that a search cannot have here."""
    if before.backend.name != "local":
        yield (
            "It was trained on a cluster. Here it is trained on this machine; to use a cluster of "
            "yours, resume it with --ray-address."
        )
    if before.lessons:
        yield "It keeps what it learned from earlier searches, but those are not here."


def take_in(
    workspace: Workspace,
    staged: sqlite3.Connection,
    origin: str,
    name: str | None,
    folder: Path | None = None,
) -> int:
    """Copy a staged search, and its run folders, into a workspace; return its id there.

    Its fingerprint is of its own: it is never taken for a search of this workspace that has the
    same settings, nor for another copy of itself.

    Raises:
        StoreError: the database cannot be used; nothing was changed.
    """
    workspace.create()
    fingerprint = f"imported {uuid.uuid4().hex}"
    copying.describe(staged, fingerprint=fingerprint, origin=origin, name=name and name.strip())
    place: Path | None = None
    try:
        with (
            explained(workspace.db),
            closing(open_database(workspace.db)) as db,
            transaction(db.conn),
        ):
            search_id = copying.next_id(db.conn)
            while (workspace.runs / str(search_id)).exists():  # left behind by a lost import
                search_id += 1
            copying.put(staged, db.conn, search_id)
            if folder is not None:
                place = workspace.runs / str(search_id)
                folder.rename(place)
    except BaseException:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        raise
    return search_id


# -- files --------------------------------------------------------------------------------------


@contextmanager
def _folder(workspace: Workspace) -> Iterator[Path]:
    """Make a folder beside the run folders, which is gone in the end unless it was renamed."""
    try:
        with beside(workspace.runs) as temporary:
            folder = temporary / "search"
            folder.mkdir(mode=0o700)
            yield folder
    except OSError as error:
        raise ExchangeError(
            f"The files of the search cannot be written ({error.strerror}); make room on the disk, "
            f"or see that {workspace.runs} can be written, then try again. Nothing was changed."
        ) from None


def _unpack_files(unpacker: Unpacker, folder: Path, numbers: set[int]) -> None:
    """Write the texts and weights of run folders, under names that are known here."""
    names = frozenset((*TEXTS, _RECORDS))
    for number, line in unpacker.lines(FILES):
        try:
            found = _File.model_validate(orjson.loads(line))
            text = found.text.encode()
        except (ValidationError, ValueError, RecursionError):
            raise ExchangeError(
                f"The file cannot be taken: line {number:,} of {FILES} is no file of a run."
            ) from None
        if not _is_run(found.run, numbers) or found.name not in names:
            raise ExchangeError(
                f"The file cannot be taken: line {number:,} of {FILES} belongs to no trial in it."
            )
        run = folder / found.run
        run.mkdir(exist_ok=True)
        (run / found.name).write_bytes(text)
    for run_name, member in unpacker.weights.items():
        if not _is_run(run_name, numbers):
            raise ExchangeError(f"The file cannot be taken: {member} belongs to no trial in it.")
        run = folder / run_name
        run.mkdir(exist_ok=True)
        with RunDir(run).weights.open("wb") as file:
            file.writelines(unpacker.chunks(member))


def _is_run(name: str, numbers: set[int]) -> bool:
    match = RUN.fullmatch(name)
    return match is not None and int(match["number"]) in numbers


def _rename_in_folders(folder: Path, data: Arrival) -> None:
    """Let the configurations in run folders name their data set otherwise.

    A result names the digest of the configuration that it belongs to, and follows it.
    """
    for path in folder.iterdir():
        run = RunDir(path)
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            before = run.config.read_bytes()
            config = json.loads(before)
            if config["data"]["dataset"] != data.before:
                continue
            config["data"]["dataset"] = data.name
            after = json.dumps(config, indent=2)
            replace_text(run.config, after)
            result = json.loads(run.result.read_bytes())
            if result["config"] == hashlib.sha256(before).hexdigest():
                result["config"] = hashlib.sha256(after.encode()).hexdigest()
                replace_text(run.result, json.dumps(result, indent=2))
