"""Opens a file from outside: an ordinary file alone, for reading alone, and only while it stays."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from data.finding import shown
from data.limits import MOST_BYTES
from data.registry import DataError


class Unchanged:
    """A file opened for reading, of which it is an error that it changes meanwhile.

    Raises:
        DataError: it cannot be opened, is no ordinary file or too big; on leaving, it has changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        name = shown(str(self._path), 200)
        try:
            # Without waiting: a pipe would make it wait for a writer.
            number = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) else error
            raise DataError(
                f"{name} cannot be read ({cause}); name a CSV or Parquet file on this machine."
            ) from None
        self._before = os.fstat(number)
        if not stat.S_ISREG(self._before.st_mode):  # a device would never end
            os.close(number)
            raise DataError(f"{name} is no file; name a CSV or Parquet file.")
        if self._before.st_size > MOST_BYTES:
            os.close(number)
            raise DataError(
                f"{name} has {self._before.st_size / 1e9:.3g} GB; the most is "
                f"{MOST_BYTES / 1e9:g} GB. Take fewer rows or columns, or a longer step."
            )
        self.file: BinaryIO = os.fdopen(number, "rb", buffering=0)
        return self

    def read(self, size: int) -> bytes:
        """Return the next bytes, b"" at the end; raises DataError."""
        try:
            content: bytes | None = self.file.read(size)
        except OSError as error:
            raise DataError(f"{self._path} cannot be read ({error.strerror}).") from None
        if content is None:  # as of the log of the kernel, which has no end
            raise DataError(f"{self._path} is no file; name a CSV or Parquet file.")
        return content

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        after = os.fstat(self.file.fileno())
        self.file.close()
        same = (after.st_size, after.st_mtime_ns) == (
            self._before.st_size,
            self._before.st_mtime_ns,
        )
        if not same and (kind is None or issubclass(kind, DataError)):
            raise DataError(
                f"{shown(str(self._path), 200)} changed while it was read; wait until it is "
                "complete and read it again."
            ) from None
