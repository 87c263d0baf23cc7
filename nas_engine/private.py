"""Files of a workspace are their owner's alone, from the moment in which they are made."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""What the group and everybody else may do with a file."""


def keep_to_owner() -> None:
    """Let all that this process and its children make from now on be its owner's alone."""
    os.umask(OTHERS)


def make_private(path: Path) -> bool:
    """Make an empty file that no other can read, and return whether one was made.

    Where there is one already it stays as it is; where none can be made, whoever opens it finds out
    why. SQLite gives what it makes beside a database the rights of the database.
    """
    # Without opening it: a process that closes a database loses the locks that it holds on it.
    with suppress(OSError):
        os.mknod(path, 0o600 | stat.S_IFREG)
        return True
    return False


def keep_private(path: Path) -> None:
    """Make an empty file that no other can read, or take from others what they may do with one."""
    if not make_private(path):
        close_to_others(path)


def close_to_others(path: Path) -> None:
    """Take from others what they may do with a file, if it is there and ours to close."""
    with suppress(OSError):
        take_back(path)


def take_back(path: Path) -> bool:
    """Take from others what they may do with a file, and return whether they could do anything.

    Raises:
        OSError: it is another's, or its file system keeps no rights.
    """
    rights = stat.S_IMODE(path.stat().st_mode)
    if not rights & OTHERS:
        return False
    path.chmod(rights & ~OTHERS)
    if path.stat().st_mode & OTHERS:
        raise OSError(f"The file system of {path} keeps no rights.")
    return True
