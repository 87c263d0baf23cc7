"""Folders that are made beside their place and put there whole, so that no half is ever found."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = ".made-"
_YOUNG_SECONDS = 60.0  # before its maker has surely locked it
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """Make a folder inside `folder` that is gone in the end; raises OSError.

    It is locked as long as this process lives. Those that a lost process has left are removed.
    """
    _remove_lost(folder)
    made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
    lock = os.open(made, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield made
    finally:
        os.close(lock)
        shutil.rmtree(made, ignore_errors=True)


def put_whole(made: Path, place: Path) -> None:
    """Rename a folder to its place; raises OSError.

    One that is there comes to where `made` was, in one step where the kernel can do that.
    """
    if not place.exists():
        os.replace(made, place)
    elif not _exchanged(made, place):
        os.replace(place, made.with_name("old"))
        os.replace(made, place)


def _exchanged(one: Path, other: Path) -> bool:
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    done: int = rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    return done == 0


def _remove_lost(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if path.is_symlink() or time.time() - path.stat().st_mtime < _YOUNG_SECONDS:
                continue
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
