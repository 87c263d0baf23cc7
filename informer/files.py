"""Files of a run folder: written so that a kill or a power cut leaves no half, read with suspicion.

Only the standard library is needed here, and failpoints.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from pathlib import Path
from typing import BinaryIO

from informer.failpoint import failpoint

LINE_BYTES = 2**16
"""More than a line of a file of records ever has."""

KEPT_CHECKPOINTS = 2
_CHECKPOINT = re.compile(r"epoch-(\d{1,9})-([0-9a-f]{64})\.checkpoint")


class ProtocolError(ValueError):
    """A run folder does not hold what it should; the message is one sentence."""


def read_file(path: Path, limit: int, offset: int = 0) -> bytes:
    """Return a file from byte `offset` on.

    Raises:
        FileNotFoundError: there is none.
        ProtocolError: it cannot be read, is a link or no plain file, which may lead out of the
            folder or never end, or has more than `limit` bytes left.
    """
    if path.is_symlink():
        raise ProtocolError(f"{path} is a link, and links in a run folder are not followed.")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ProtocolError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ProtocolError(f"{path} is not a plain file.")
        if status.st_size - offset > limit:
            raise ProtocolError(
                f"{path} has {status.st_size:,} bytes; no more than {offset + limit:,} are read."
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            return file.read(limit)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, or whatever stands in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def append_line(path: Path, line: str, *, durable: bool = False) -> None:
    """Append a line; what a writer that was lost has left of its last one is cut off before.

    With `durable` it is on the disk when this returns.
    """
    with path.open("ab+") as file:
        if is_torn(file):
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LINE_BYTES))
            block = file.read()
            file.truncate(size - len(block) + block.rfind(b"\n") + 1)
        file.write(f"{line}\n".encode())
        if durable:
            file.flush()
            os.fsync(file.fileno())
    failpoint("line.appended")


def is_torn(file: BinaryIO) -> bool:
    """Tell whether a file ends inside a line; leaves it at its end."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def replace_text(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader sees the old file or the whole new one."""
    temporary = temporary_of(path)
    temporary.write_text(text, "utf-8")
    put_in_place(temporary, path)


def temporary_of(path: Path) -> Path:
    """Return where the next content of a file is written before it is put in place."""
    return path.with_name(f".{path.name}.tmp")


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a finished file to its name, content and name on the disk when this returns."""
    _to_disk(temporary)
    failpoint("file.written")
    os.replace(temporary, path)
    failpoint("file.in_place")
    _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- checkpoints --------------------------------------------------------------------------------


def keep_checkpoint(folder: Path, epoch: int, temporary: Path) -> None:
    """Make a finished file the newest checkpoint; the one before is kept, older ones are not.

    The name carries the digest of the content, so that neither can be without the other.
    """
    failpoint("checkpoint.before")
    name = f"epoch-{epoch}-{digest_of(temporary)}.checkpoint"
    put_in_place(temporary, folder / name)
    failpoint("checkpoint.kept")
    for _, path in checkpoints(folder)[KEPT_CHECKPOINTS:]:
        path.unlink()


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Return the checkpoints of a run folder and their epochs, the newest first, intact or not."""
    named = ((_CHECKPOINT.fullmatch(path.name), path) for path in folder.glob("*.checkpoint"))
    return sorted(((int(name[1]), path) for name, path in named if name), reverse=True)


def is_intact(checkpoint: Path) -> bool:
    """Tell whether a checkpoint holds what was written to it."""
    name = _CHECKPOINT.fullmatch(checkpoint.name)
    if name is None or checkpoint.is_symlink() or not checkpoint.is_file():
        return False
    return digest_of(checkpoint) == name[2]


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
