"""Optuna's storages: a database by its address, or a journal in a file.

Optuna 5.0 keeps attributes, distributions and journals as JSON. It unpickles snapshots of journals
alone, which a journal in a file does not have.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from nas_engine.exchange.archive import ExchangeError

SQLITE = "sqlite:///"
STUDY_BYTES = 2**30
"""Of a file that is read, at most."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


def opened_for_writing(address: str) -> BaseStorage:
    """Return a storage to which a study can be added, made where there is none.

    Raises:
        ExchangeError: it cannot be opened.
    """
    try:
        if "://" in address:
            return RDBStorage(address)
        return JournalStorage(JournalFileBackend(address))
    except Exception as error:  # whatever the driver of a database raises
        raise ExchangeError(f"{address} cannot be opened for writing ({_cause(error)}).") from None


@contextmanager
def opened_for_reading(address: str) -> Iterator[BaseStorage]:
    """Open a storage that is there; a file is not changed, and may be written meanwhile.

    Raises:
        ExchangeError: it cannot be read.
    """
    with TemporaryDirectory() as folder:
        try:
            yield _readable(address, Path(folder) / "copy.db")
        except ExchangeError:
            raise
        except Exception as error:  # of a file from anywhere, whatever Optuna makes of it
            raise ExchangeError(
                f"{address} cannot be read as a storage of Optuna ({_cause(error)})."
            ) from None


def _readable(address: str, copy: Path) -> BaseStorage:
    if "://" in address and not address.startswith(SQLITE):
        return RDBStorage(address, skip_table_creation=True)
    path = Path(address.removeprefix(SQLITE)).expanduser()
    if not path.is_file():
        raise ExchangeError(f"There is no file {path}.")
    if path.stat().st_size > STUDY_BYTES:
        raise ExchangeError(f"{path} has more than {STUDY_BYTES:,} bytes; export less of it.")
    if not address.startswith(SQLITE):
        return JournalStorage(JournalFileBackend(str(path)))
    # Optuna writes to what it opens, and the schema of a foreign file may hold triggers.
    with (
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as there,
        closing(sqlite3.connect(copy)) as here,
    ):
        there.backup(here)
    return RDBStorage(f"{SQLITE}{copy}", skip_table_creation=True)


def _cause(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:160]}…"
