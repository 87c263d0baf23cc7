"""`python -m tests.power_cut --cuts 300`: cut the power under the store's own SQL, and look again.

What a real engine writes is recorded, statement by statement and with the pragmas of each
connection, and replayed onto a disk that keeps only what was synced. Of what was written since, a
cut leaves a part: in order (a beginning of it, the last write torn), or reordered (any of it, by
sectors). SQLite then opens what is left, and all that counts must be there: every commit that had
been acknowledged, except for figures of epochs, beats and debug lines, which may be lost.
"""

from __future__ import annotations

import hashlib
import random
import re
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import apsw
import click
from pydantic import SecretStr

from nas_engine.api import SearchError, load_agent_state
from nas_engine.commands import Start, send
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings
from nas_engine.trainers.base import Trainer
from nas_engine.workspace import Workspace
from tests.chaos.searches import KINDS, Kind, Person
from tests.chaos.service import answer
from tests.fakes.llm_server import serving

SECTOR = 512
Loss = Literal["in order", "reordered"]
Synchronous = Literal["FULL", "NORMAL"]

MAY_BE_LOST = re.compile(
    r"(INSERT OR REPLACE INTO|DELETE FROM) epochs\b"  # the run folder has them too
    r"|UPDATE runs SET (epoch|spent|cpu_percent)\b"
    r"|UPDATE engines SET heartbeat\b"
    r"|UPDATE searches SET active_seconds\b"
    r"|INSERT INTO events\b"
)


# -- recording ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Commit:
    """What one transaction wrote, and how its connection synced."""

    synchronous: Synchronous
    statements: tuple[str, ...]

    @property
    def decision(self) -> bool:
        """Whether an acknowledged commit must survive."""
        return not all(
            MAY_BE_LOST.match(" ".join(statement.split())) for statement in self.statements
        )


@dataclass
class Recorder:
    """Puts what connections execute into the order of its commits."""

    commits: list[Commit] = field(default_factory=list)
    _synchronous: dict[int, Synchronous] = field(default_factory=dict)
    _open: dict[int, list[str]] = field(default_factory=dict)

    def note(self, connection: int, statement: str) -> None:
        word = statement.split(maxsplit=1)[0].upper().rstrip(";")
        if word == "PRAGMA" and (given := re.search(r"synchronous = (\w+)", statement)):
            assert given[1] in ("FULL", "NORMAL"), statement
            self._synchronous[connection] = given[1]  # type: ignore[assignment]
        elif word == "BEGIN":
            self._open[connection] = []
        elif word == "ROLLBACK":
            del self._open[connection]
        elif word == "COMMIT":
            self._commit(connection, self._open.pop(connection))
        elif word in ("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP"):
            if connection in self._open:
                self._open[connection].append(statement)
            else:
                self._commit(connection, [statement])

    def _commit(self, connection: int, statements: Sequence[str]) -> None:
        if statements:  # the write lock is still held: commits are noted in their order
            self.commits.append(Commit(self._synchronous[connection], tuple(statements)))


@contextmanager
def recording(db: Path) -> Iterator[Recorder]:
    """Record what connections that are opened meanwhile write to the database `db`."""
    recorder, connect, numbers = Recorder(), sqlite3.connect, count()

    def traced(path: Any, *args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(path, *args, **options)
        if path == db:
            number = next(numbers)
            connection.set_trace_callback(lambda statement: recorder.note(number, statement))
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]
    try:
        yield recorder
    finally:
        sqlite3.connect = connect


def record_search(folder: Path) -> list[Commit]:
    """Return what a real engine and a person write in a search with questions and decisions."""
    kind, workspace = KINDS["review"], Workspace(folder / "nas.db")
    with serving(lambda request, index: answer(request)) as service, recording(workspace.db) as log:
        settings = Settings(openrouter_api_key=SecretStr("sk-power"), openai_base_url=service.url)
        command_id = send(workspace, Start(spec=kind.spec))
        make = partial(_trainer, kind, folder / "trainings.txt")
        engine = Thread(target=serve, args=(workspace, settings, make, command_id))
        engine.start()
        person = Person(workspace)
        while engine.is_alive():
            with suppress(SearchError):  # it is not there yet
                person.look(load_agent_state(workspace.db))
            time.sleep(0.02)
    state = load_agent_state(workspace.db).search.state
    assert state == "completed", f"the search to record is {state}"
    return log.commits


def _trainer(kind: Kind, ledger: Path, slot: int, spec: SearchSpec) -> Trainer:
    return kind.trainer(ledger, slot)


# -- the disk -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """A write to a file; without data it cuts the file off at `offset`."""

    file: str
    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(frozen=True)
class Sync:
    """What was written to a file until now is safe."""

    file: str


@dataclass(frozen=True)
class Acknowledged:
    """A commit has returned; `content` is what the database holds now."""

    content: str


Event = Write | Sync | Acknowledged


class Disk(apsw.VFS):
    """Files in memory, and the log of what happened to them."""

    def __init__(self) -> None:
        self.name = f"disk-{id(self)}"
        self.files: dict[str, bytearray] = {}
        self.log: list[Event] = []
        super().__init__(self.name, base="")

    def write(self, write: Write) -> None:
        self.log.append(write)
        write.apply(self.files[write.file])

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        flags[1] = flags[0]
        self.files.setdefault(path, bytearray())
        return OpenFile(self, path)

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, name: str, flags: int) -> bool:
        return name in self.files

    def xDelete(self, name: str, sync: bool) -> None:
        del self.files[name]


class OpenFile:
    """One of the disk's files, as SQLite asks for it."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._disk.files[self._name][offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.write(Write(self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        self._disk.write(Write(self._name, size, None))

    def xSync(self, flags: int) -> None:
        self._disk.log.append(Sync(self._name))

    def xFileSize(self) -> int:
        return len(self._disk.files[self._name])

    def xClose(self) -> None: ...

    def xLock(self, level: int) -> None: ...

    def xUnlock(self, level: int) -> None: ...

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xDeviceCharacteristics(self) -> int:
        return 0  # writes are neither atomic nor in order

    def xSectorSize(self) -> int:
        return SECTOR


def replay(
    commits: Sequence[Commit], synchronous: Synchronous | None = None
) -> tuple[dict[str, bytearray], list[Event]]:
    """Write the commits to a disk; return its files before the first one, and what happened then.

    Each is synced as its connection was, or as `synchronous` says for all of them.
    """
    disk = Disk()
    connection = apsw.Connection("nas.db", vfs=disk.name)
    # One connection stands for all, as there is no shared memory on this disk. The write-ahead log
    # is copied back early, so that cuts meet this too.
    for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "wal_autocheckpoint = 50"):
        connection.execute(f"PRAGMA {pragma}")
    before = {name: bytearray(content) for name, content in disk.files.items()}
    disk.log.clear()
    for commit in commits:
        connection.execute(f"PRAGMA synchronous = {synchronous or commit.synchronous}")
        with connection:
            for statement in commit.statements:
                connection.execute(statement).fetchall()
        disk.log.append(Acknowledged(content_of(connection)))
    log = list(disk.log)
    connection.close()
    disk.unregister()
    return before, log


def content_of(connection: apsw.Connection | sqlite3.Connection) -> str:
    """Return a digest of all that a database holds."""
    tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    digest = hashlib.sha256(repr(tables).encode())
    for name, sql in tables:
        if str(sql).startswith("CREATE TABLE"):
            rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()
            digest.update(repr(rows).encode())
    return digest.hexdigest()


EMPTY = hashlib.sha256(b"[]").hexdigest()


# -- cuts ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """How many commits were acknowledged at a cut, and how many were there afterwards."""

    acknowledged: int
    decided: int  # up to and with the last acknowledged decision
    recovered: int | None  # None: a state in which the database never was

    @property
    def harm(self) -> Literal["none", "lost", "damaged"]:
        if self.recovered is None:
            return "damaged"
        return "lost" if self.recovered < self.decided else "none"


def cut_power(
    commits: Sequence[Commit],
    cuts: int,
    seed: int,
    loss: Loss,
    synchronous: Synchronous | None = None,
) -> list[Cut]:
    """Replay the commits, and see what a cut at each of `cuts` random moments leaves of them."""
    safe, log = replay(commits, synchronous)
    chance = random.Random(seed)
    moments = Counter(chance.randrange(len(log)) for _ in range(cuts))
    pending: list[Write] = []
    states: list[str] = []  # after each commit
    images: list[tuple[int, dict[str, bytearray]]] = []  # acknowledged commits, files
    for moment, event in enumerate(log):
        match event:
            case Write():
                pending.append(event)
            case Sync(file):
                for write in pending:
                    if write.file == file:
                        write.apply(safe.setdefault(file, bytearray()))
                pending = [write for write in pending if write.file != file]
            case Acknowledged(content):
                states.append(content)
        for _ in range(moments[moment]):
            left = {name: bytearray(content) for name, content in safe.items()}
            for write in surviving(pending, chance, loss):
                write.apply(left.setdefault(write.file, bytearray()))
            images.append((len(states), left))
    number_of = {content: number for number, content in enumerate([EMPTY, *states])}
    decisions = [number for number, commit in enumerate(commits, 1) if commit.decision]
    return [
        Cut(
            acknowledged,
            max((number for number in decisions if number <= acknowledged), default=0),
            number_of.get(recovered(files)),
        )
        for acknowledged, files in images
    ]


def surviving(pending: Sequence[Write], chance: random.Random, loss: Loss) -> list[Write]:
    """Return what reaches the disk of the writes that were not synced."""
    if loss == "in order":
        kept = list(pending[: chance.randint(0, len(pending))])
        if kept and (data := kept[-1].data):
            kept[-1] = replace(kept[-1], data=data[: chance.randint(0, len(data))])
        return kept
    parts = [part for write in pending for part in _sectors(write)]
    return [part for part in parts if chance.random() < 0.5]


def _sectors(write: Write) -> Iterator[Write]:
    if write.data is None:
        yield write
        return
    for start in range(0, len(write.data), SECTOR):
        yield Write(write.file, write.offset + start, write.data[start : start + SECTOR])


def recovered(files: Mapping[str, bytearray]) -> str:
    """Return what SQLite makes of the files; an empty text where it finds them damaged."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        connection = sqlite3.connect(Path(folder, "nas.db"))
        try:
            if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                return ""
            return content_of(connection)
        except sqlite3.DatabaseError:
            return ""
        finally:
            connection.close()


@dataclass(frozen=True)
class Trial:
    """Many cuts of one sort, and what they did."""

    loss: Loss
    synchronous: Synchronous | None
    cuts: list[Cut]

    def count(self, harm: str) -> int:
        return sum(cut.harm == harm for cut in self.cuts)

    def __str__(self) -> str:
        how = self.synchronous or "as the store does"
        return (
            f"{len(self.cuts)} cuts, {self.loss}, synced {how}: {self.count('lost')} lost what was "
            f"acknowledged, {self.count('damaged')} damaged the file"
        )


def trials(commits: Sequence[Commit], cuts: int, seed: int) -> tuple[list[Trial], Trial]:
    """Return cuts that must do no harm, and the control: all synced as metrics are."""
    proof = [
        Trial(loss, None, cut_power(commits, cuts, seed, loss))
        for loss in ("in order", "reordered")
    ]
    control = cut_power(commits, cuts, seed, "in order", "NORMAL")
    return proof, Trial("in order", "NORMAL", control)


@click.command(help=__doc__)
@click.option("--cuts", default=300)
@click.option("--seed", default=1)
def main(cuts: int, seed: int) -> None:
    """Cut the power, and count."""
    with tempfile.TemporaryDirectory() as folder:
        commits = record_search(Path(folder))
    decisions = sum(commit.decision for commit in commits)
    click.echo(f"recorded {len(commits)} commits, {decisions} of which must not be lost")
    proof, control = trials(commits, cuts, seed)
    for trial in (*proof, control):
        click.echo(str(trial))
    harmless = all(trial.count("none") == cuts for trial in proof)
    click.echo(f"seed {seed}: " + ("nothing was lost" if harmless else "FAILED"))
    if not control.count("lost"):
        click.echo("FAILED: the control lost nothing, so the proof proves nothing")
    raise SystemExit(not harmless or not control.count("lost"))


if __name__ == "__main__":
    main()
