"""The checkpoints of one training in a folder that all nodes of a cluster reach, by fsspec.

A checkpoint is put there under a name that carries its digest, and then a manifest that names it:
one without a manifest does not count, and one that is not what its manifest says is passed over for
the one before. No rename is needed, which object stores do not have.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import fsspec
from pydantic import Field, ValidationError

from informer.files import KEPT_CHECKPOINTS, checkpoints, digest_of
from informer.records import Epoch, Record
from informer.rundir import FILE_BYTES, RunDir

CHECKPOINT_BYTES = 2**34
"""Of a checkpoint that is fetched, at most."""

TROUBLE = Exception
"""What is raised where a folder cannot be used: services add kinds of their own."""


class KeptError(RuntimeError):
    """The folder cannot be used; the message is one sentence."""


class _Manifest(Record):
    """What is told of a checkpoint: of which configuration it is, and the epochs before it."""

    config: str  # the SHA-256 of config.json
    checkpoint: str = Field(pattern=r"^epoch-\d{1,9}-[0-9a-f]{64}\.checkpoint$")
    records: tuple[Epoch, ...]


class Kept:
    """The newest checkpoints of one training, in a folder of its own."""

    def __init__(self, folder: str) -> None:
        """Take a folder, such as s3://bucket/nas/NAME; it is made when something is kept.

        Raises:
            KeptError: no file system of this kind can be used.
        """
        try:
            self._files, self._folder = fsspec.core.url_to_fs(folder)
        except TROUBLE as error:
            raise KeptError(f"Checkpoints cannot be kept at {folder} ({error}).") from error

    def keep(self, run: RunDir, epoch: int, checkpoint: Path) -> None:
        """Keep a checkpoint of a run folder, with the records of its epochs; older ones go.

        Raises:
            KeptError: it cannot be written.
            FileNotFoundError: the run folder has it no more.
        """
        records = [r for r in run.read_metrics()[0] if isinstance(r, Epoch)][:epoch]
        manifest = _Manifest(
            config=digest_of(run.config), checkpoint=checkpoint.name, records=tuple(records)
        )
        content = checkpoint.read_bytes()
        try:
            self._files.makedirs(self._folder, exist_ok=True)
            self._files.pipe_file(f"{self._folder}/{checkpoint.name}", content)
            self._files.pipe_file(
                f"{self._folder}/epoch-{epoch:09d}.json", manifest.model_dump_json().encode()
            )
            self._forget_old()
        except TROUBLE as error:
            raise KeptError(f"The checkpoint of epoch {epoch} was not kept ({error}).") from error

    def restore(self, run: RunDir) -> None:
        """Put the newest checkpoint that is whole, and its records, into a run folder.

        The folder has its configuration; where it has a newer checkpoint itself, that stays. What
        is of no use, such as what another configuration has left under this name, is removed.

        Raises:
            KeptError: the folder cannot be read.
        """
        mine, has = digest_of(run.config), run.checkpoint()
        try:
            for name in reversed(self._names(".json")):
                manifest = self._manifest(name)
                if manifest is not None and manifest.config == mine:
                    if has is not None and has[0] >= len(manifest.records):
                        return
                    content = self._content(manifest.checkpoint)
                    if content is not None:
                        lines = (f"{record.model_dump_json()}\n" for record in manifest.records)
                        run.metrics.write_text("".join(lines), "utf-8")
                        (run.path / manifest.checkpoint).write_bytes(content)
                        return
                self._files.rm_file(name)
        except TROUBLE as error:
            raise KeptError(f"{self._folder} cannot be read ({error}).") from error

    def clear(self) -> None:
        """Remove all that is kept of the training; what cannot be removed stays."""
        with suppress(TROUBLE):
            self._files.rm(self._folder, recursive=True)

    def _manifest(self, name: str) -> _Manifest | None:
        """Return what a manifest says, or None where it is none."""
        if self._files.size(name) > FILE_BYTES:
            return None
        try:
            return _Manifest.model_validate_json(self._files.cat_file(name))
        except ValidationError:
            return None

    def _content(self, name: str) -> bytes | None:
        """Return a checkpoint, or None where it is not what its name says."""
        path = f"{self._folder}/{name}"
        try:
            if self._files.size(path) > CHECKPOINT_BYTES:
                return None
            content: bytes = self._files.cat_file(path)
        except FileNotFoundError:
            return None
        whole = hashlib.sha256(content).hexdigest() == name.rpartition("-")[2].split(".")[0]
        return content if whole else None

    def _forget_old(self) -> None:
        """Remove all but the newest manifests, and the checkpoints that they do not name."""
        names = self._names(".json")
        for name in names[:-KEPT_CHECKPOINTS]:
            self._files.rm_file(name)
        newest = [self._manifest(name) for name in names[-KEPT_CHECKPOINTS:]]
        named = {f"{self._folder}/{manifest.checkpoint}" for manifest in newest if manifest}
        for path in self._names(".checkpoint"):
            if path not in named:
                self._files.rm_file(path)

    def _names(self, ending: str) -> list[str]:
        self._files.invalidate_cache(self._folder)
        try:
            found = self._files.ls(self._folder, detail=False)
        except FileNotFoundError:
            return []
        return sorted(path for path in map(str, found) if path.endswith(ending))


def newest_checkpoint(run: RunDir) -> tuple[int, Path] | None:
    """Return the newest checkpoint that a run folder shows, and its epoch."""
    return next(iter(checkpoints(run.path)), None)
