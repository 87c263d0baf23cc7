"""The file that holds a search: a zip archive of known members, read with suspicion.

Members are JSON Lines, a row a line; nothing in them is a path, and nothing is unpacked by a name
that the file gives. `manifest.json` says what there is, with the sha256 of each member.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

FORMAT = 1
MANIFEST, FILES = "manifest.json", "files.jsonl"
DATA_RECORD, DATA_VALUES = "data/dataset.json", "data/values"

RUN = re.compile(r"trial-(?P<number>\d{4,5})(-repeat-\d{1,10})?")
_WEIGHTS = re.compile(rf"weights/(?P<run>{RUN.pattern})\.safetensors")
_TABLE = re.compile(r"[a-z_]{1,30}\.jsonl")

ENTRIES = 60_000
DIRECTORY_BYTES = 2**23
TOTAL_BYTES = 8 * 2**30
TABLE_BYTES = 2 * 2**30
DATA_BYTES = 2**30
WEIGHT_BYTES = 2**30
MANIFEST_BYTES = 2**24
LINE_BYTES = 2**25
ROWS = 2_000_000
PACKED = 300
"""Times as large as the archive that its content may be; prompts repeat a lot, a bomb far more."""
PACKED_FREE = 2**26
"""Bytes of content up to which that is no matter."""

_CHUNK = 2**20
_END = b"PK\x05\x06"
_END_BYTES = 22
_ELSEWHERE = b"PK\x06\x07"
_ELSEWHERE_BYTES = 20
"""Of what stands before the end where another record counts the parts, more than are exported."""


class ExchangeError(ValueError):
    """A file or a search that cannot be taken over; the message is one sentence."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Part):
    """What the manifest says of a member; `rows` are lines."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    rows: int | None = None


class DataSet(_Part):
    """The data that the search was trained on."""

    name: str = Field(min_length=1, max_length=60)
    own: bool  # whether it is of the user's own; else it is one that everybody can get
    sha256: str = Field("", max_length=64)  # of the file; empty where it is not known
    included: bool = False


class Manifest(_Part):
    """What a file holds and where it comes from."""

    kind: Literal["informer-nas search"] = "informer-nas search"
    format: int = Field(ge=1)
    schema_version: str = Field(max_length=60)
    project_version: str = Field(max_length=60)
    exported_at: float = Field(ge=0, le=4e9, allow_inf_nan=False)
    search: int
    title: str = Field(max_length=400)
    weights: Literal["none", "incumbent", "all"]
    data: DataSet
    members: dict[str, Member] = Field(max_length=ENTRIES)


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


# -- writing ------------------------------------------------------------------------------------


class Packer:
    """Writes the members of a file, and keeps account of them for the manifest."""

    def __init__(self, file: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self.members: dict[str, Member] = {}

    def lines(self, name: str, records: Iterator[object]) -> None:
        """Write a member of JSON Lines."""
        digest, size, count = hashlib.sha256(), 0, 0
        with self._archive.open(_info(name), "w", force_zip64=True) as member:
            for record in records:
                line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
                member.write(line)
                digest.update(line)
                size, count = size + len(line), count + 1
        self.members[name] = Member(sha256=digest.hexdigest(), bytes=size, rows=count)

    def content(self, name: str, content: bytes) -> None:
        """Write a member as it is; weights, which hardly shrink, are not compressed."""
        info = _info(name)
        info.compress_type = (
            zipfile.ZIP_STORED if _WEIGHTS.fullmatch(name) else zipfile.ZIP_DEFLATED
        )
        self._archive.writestr(info, content)
        self.members[name] = Member(
            sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), rows=None
        )

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, and the end of the file."""
        self._archive.writestr(_info(MANIFEST), manifest.model_dump_json(indent=2))
        self._archive.close()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # of 1980: what is the same is the same file
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def weights_name(run: str) -> str:
    """Return the name of the member with the weights of a run folder."""
    return f"weights/{run}.safetensors"


# -- reading ------------------------------------------------------------------------------------


class Unpacker:
    """A file whose members are all known, of bounded size, and as its manifest says."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    @property
    def weights(self) -> dict[str, str]:
        """The run folders of which there are weights, and the members that hold them."""
        found = ((_WEIGHTS.fullmatch(name), name) for name in self.manifest.members)
        return {match["run"]: name for match, name in found if match}

    def lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Return the lines of a member with their numbers; raises ExchangeError."""
        with _reading(name), self._archive.open(name) as member:
            count = 0
            while line := member.readline(LINE_BYTES + 1):
                count += 1
                if len(line) > LINE_BYTES:
                    raise ExchangeError(
                        f"The file cannot be taken: line {count:,} of {name} is too long."
                    )
                if count > ROWS:
                    raise ExchangeError(
                        f"The file cannot be taken: {name} has more than {ROWS:,} rows."
                    )
                yield count, line

    def content(self, name: str) -> bytes:
        """Return a member whole; raises ExchangeError."""
        with _reading(name):
            return self._archive.read(name)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Return a member piece by piece; raises ExchangeError."""
        with _reading(name), self._archive.open(name) as member:
            while chunk := member.read(_CHUNK):
                yield chunk


@contextmanager
def unpacking(file: BinaryIO, tables: frozenset[str]) -> Iterator[Unpacker]:
    """Open a file for reading, with all of its content checked against its manifest.

    Args:
        file: a seekable binary file.
        tables: names of the tables of which it must hold the rows.

    Raises:
        ExchangeError: it is no such file, is damaged, or is more than is ever written.
    """
    _require_small_directory(file)
    with _reading("the file"):
        archive = zipfile.ZipFile(file)
    with archive:
        entries = archive.infolist()
        _require_harmless(entries, _size(file))
        manifest = _manifest(archive, {entry.filename for entry in entries})
        unpacker = Unpacker(archive, manifest)
        expected = {f"{table}.jsonl" for table in tables} | {FILES}
        if missing := sorted(expected - manifest.members.keys()):
            raise ExchangeError(f"The file is not complete: it has no {missing[0]}.")
        for name, member in manifest.members.items():
            _require_unchanged(unpacker, name, member, expected)
        yield unpacker


def _size(file: BinaryIO) -> int:
    return file.seek(0, io.SEEK_END)


def _require_small_directory(file: BinaryIO) -> None:
    """Refuse a directory that would fill the memory before it could be looked at."""
    size = _size(file)
    file.seek(max(0, size - _END_BYTES))
    end = file.read(_END_BYTES)
    if len(end) < _END_BYTES or not end.startswith(_END):
        raise ExchangeError(
            "This is not the file of an exported search, or its end is missing: export the search "
            "again, or copy the file again."
        )
    file.seek(max(0, size - _END_BYTES - _ELSEWHERE_BYTES))
    if (
        file.read(len(_ELSEWHERE)) == _ELSEWHERE
        or int.from_bytes(end[10:12], "little") > ENTRIES
        or int.from_bytes(end[12:16], "little") > DIRECTORY_BYTES
    ):
        raise ExchangeError(f"The file cannot be taken: it has more than {ENTRIES:,} parts.")
    file.seek(0)


def _require_harmless(entries: list[zipfile.ZipInfo], size: int) -> None:
    names = [entry.filename for entry in entries]
    if len(names) != len(set(names)):
        raise ExchangeError("The file cannot be taken: it has two parts of the same name.")
    for entry in entries:
        limit = _limit(entry.filename)
        if limit is None:
            name = "".join(s if s.isprintable() else " " for s in entry.filename[:60])
            raise ExchangeError(
                f"The file cannot be taken: it has a part {name!r}, which no export writes."
            )
        mode = entry.external_attr >> 16
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
            raise ExchangeError("The file cannot be taken: it has a link in it.")
        if entry.flag_bits & 1:
            raise ExchangeError("The file cannot be taken: it is encrypted; export it anew.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ExchangeError("The file cannot be taken: it is packed in an unknown way.")
        if entry.file_size > limit:
            raise ExchangeError(
                f"The file cannot be taken: {entry.filename} has {entry.file_size:,} bytes, and no "
                f"more than {limit:,} are read."
            )
    total = sum(entry.file_size for entry in entries)
    if total > TOTAL_BYTES or total > max(PACKED_FREE, PACKED * size):
        raise ExchangeError(
            f"The file cannot be taken: it would unpack to {total:,} bytes, far more than a search "
            "of its size does."
        )


def _limit(name: str) -> int | None:
    """Return how large a member may be; None where no file has such a member."""
    if name == MANIFEST:
        return MANIFEST_BYTES
    if name == DATA_VALUES:
        return DATA_BYTES
    if name == DATA_RECORD:
        return MANIFEST_BYTES
    if _WEIGHTS.fullmatch(name):
        return WEIGHT_BYTES
    return TABLE_BYTES if _TABLE.fullmatch(name) else None


def _manifest(archive: zipfile.ZipFile, names: set[str]) -> Manifest:
    if MANIFEST not in names:
        raise ExchangeError("This is not the file of an exported search: it has no manifest.json.")
    with _reading(MANIFEST):
        content = archive.read(MANIFEST)
    try:
        plain = orjson.loads(content)
    except ValueError:
        raise ExchangeError("The manifest.json of the file is no JSON that can be used.") from None
    if isinstance(plain, dict) and isinstance(found := plain.get("format"), int):
        _require_known(found)
    try:
        manifest = Manifest.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:60]
        raise ExchangeError(
            f"The manifest.json of the file cannot be used ({where}: {first['msg']})."
        ) from None
    if names - {MANIFEST} != manifest.members.keys():
        raise ExchangeError("The file does not hold what its manifest.json says; export it anew.")
    return manifest


def _require_known(found: int) -> None:
    if found > FORMAT:
        raise ExchangeError(
            f"The file has format {found}, and this version reads up to {FORMAT}: update the "
            "project, or export with an earlier version."
        )


def _require_unchanged(
    unpacker: Unpacker, name: str, member: Member, of_lines: frozenset[str] | set[str]
) -> None:
    digest: _Hash = hashlib.sha256()
    size = rows = 0
    for chunk in unpacker.chunks(name):
        digest.update(chunk)
        size, rows = size + len(chunk), rows + chunk.count(b"\n")
    if digest.hexdigest() != member.sha256 or size != member.bytes:
        raise ExchangeError(
            f"The file was changed after it was exported: {name} is not what its manifest.json "
            "says. Export the search again, or copy the file again."
        )
    if name in of_lines and rows > ROWS:
        raise ExchangeError(f"The file cannot be taken: {name} has more than {ROWS:,} rows.")


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Say in a sentence what was wrong with a part of the file."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
    ) as error:
        if isinstance(error, ExchangeError):
            raise
        raise ExchangeError(
            f"The file is damaged ({name} cannot be read): export the search again, or copy the "
            "file again."
        ) from error
