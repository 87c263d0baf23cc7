"""What ends the work of an engine's threads though the work itself has no fault."""

from __future__ import annotations

import errno
import sqlite3

from nas_engine.store.schema import StoreError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class EngineClosed(RuntimeError):
    """The engine ends: what its threads do is left as it is, for the next one."""


def cannot_be_written(error: BaseException) -> bool:
    """Tell whether an error is of a disk or a database that may be writable again soon."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    return isinstance(error, sqlite3.OperationalError | StoreError)
