"""The run folder: the whole contract between the engine and a worker.

The engine writes `config.json`; the worker writes the rest. A checkpoint lets an unfinished run go
on after its last epoch. `result.json` comes last and is put in
place by a rename, so that a folder with a result is finished and one without is not. Reading never
trusts what it finds: a damaged line or file is skipped or refused with a sentence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import safetensors
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from informer.config import RunConfig, from_nested

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """A record of a run folder: immutable, with exactly its own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Progress(Record):
    """Where training stands inside an epoch."""

    kind: Literal["progress"] = "progress"
    epoch: int
    step: int
    steps: int


class Epoch(Record):
    """Figures of one finished epoch, on scaled data; a diverged epoch has none that are finite."""

    kind: Literal["epoch"] = "epoch"
    epoch: int
    train_loss: float | None
    val_mse: float | None
    val_mae: float | None
    lr: Finite
    seconds: Finite


class PartErrors(Record):
    """Errors of the best weights on one part: by horizon step, by column, and in own units."""

    columns: tuple[str, ...]
    mse_by_step: tuple[Finite, ...]
    mae_by_step: tuple[Finite, ...]
    mse_by_column: tuple[Finite, ...]
    mae_by_column: tuple[Finite, ...]
    own_mse_by_column: tuple[Finite, ...]  # in the squared units of the data
    own_mae_by_column: tuple[Finite, ...]


class Details(Record):
    """What lies behind the figures of a result."""

    val: PartErrors
    test: PartErrors


JudgedOn = Literal["all windows", "whole batches of 32"]


def judged_on(drop_last: bool) -> JudgedOn:
    """Return the name of the windows that `data.drop_last` leaves to be judged on."""
    return "whole batches of 32" if drop_last else "all windows"


class Success(Record):
    """Result of a run that trained to its end. All errors are on scaled data.

    They are over all windows unless `windows` says that only whole batches were judged.
    """

    status: Literal["completed"] = "completed"
    val_mse: Finite
    val_mae: Finite
    test_mse: Finite
    test_mae: Finite
    best_epoch: int
    epochs: int
    parameters: int
    seconds: Finite
    device: str
    windows: JudgedOn = "all windows"


class Failure(Record):
    """Result of a run that ended in an error. `message` is for people, `traceback` for the log."""

    status: Literal["failed"] = "failed"
    error_class: Literal["config", "data", "nonfinite", "out_of_memory", "error"]
    message: str
    traceback: str = ""


Result = Annotated[Success | Failure, Field(discriminator="status")]
_RESULT: TypeAdapter[Success | Failure] = TypeAdapter(Result)
_METRIC: TypeAdapter[Progress | Epoch] = TypeAdapter(
    Annotated[Progress | Epoch, Field(discriminator="kind")]
)


@dataclass(frozen=True)
class RunDir:
    """Names and formats of the files of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """What to train, written by the engine."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """One record a line, appended while training."""
        return self.path / "metrics.jsonl"

    @property
    def weights(self) -> Path:
        """The best weights so far."""
        return self.path / "model.safetensors"

    @property
    def checkpoint(self) -> Path:
        """What the next epoch depends on, while the run is unfinished."""
        return self.path / "checkpoint.safetensors"

    @property
    def details(self) -> Path:
        """Errors of the best weights by horizon step and column."""
        return self.path / "errors.json"

    @property
    def result(self) -> Path:
        """How it ended; its presence means that it did."""
        return self.path / "result.json"

    @property
    def log(self) -> Path:
        """What the worker printed."""
        return self.path / "log.txt"

    def create(self, config: RunConfig) -> int:
        """Make the folder ready for `config`, and return after which epoch training goes on.

        What an unfinished attempt at the same configuration left is kept as far as its last
        checkpoint; anything else is removed.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        epoch = self._resumable_epoch(config)
        kept = [r for r in self.read_metrics()[0] if isinstance(r, Epoch) and r.epoch <= epoch]
        stale = [self.result, self.details]
        if len(kept) == epoch > 0:
            replace_text(self.metrics, "".join(f"{r.model_dump_json()}\n" for r in kept))
        else:
            stale += [self.checkpoint, self.weights, self.metrics, self.log]
            epoch = 0
        for file in stale:
            file.unlink(missing_ok=True)
        replace_text(self.config, config.model_dump_json(indent=2))
        return epoch

    def _resumable_epoch(self, config: RunConfig) -> int:
        try:
            return int(read_facts(self.checkpoint)["epoch"]) if self.read_config() == config else 0
        except (OSError, ValueError, KeyError):
            return 0

    def read_config(self) -> RunConfig:
        """Return the configuration; raises ConfigError or OSError."""
        return from_nested(json.loads(self.config.read_text("utf-8")))

    def append(self, record: Progress | Epoch) -> None:
        """Append a metric record as one line."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(record.model_dump_json() + "\n")

    def read_metrics(self, offset: int = 0) -> tuple[list[Progress | Epoch], int]:
        """Return the records from byte `offset` on, and the offset to go on from.

        A last line without its newline is left for the next call; a damaged line is skipped.
        """
        if not self.metrics.exists():
            return [], offset
        with self.metrics.open("rb") as file:
            file.seek(offset)
            block = file.read()
        complete = block[: block.rfind(b"\n") + 1]
        return list(_records(complete)), offset + len(complete)

    def write_result(self, result: Success | Failure) -> None:
        """Put the result in place, all at once."""
        replace_text(self.result, result.model_dump_json(indent=2))

    def read_result(self) -> Success | Failure | None:
        """Return the result, or None while there is none.

        A file that is no valid result reads as a failure: it must never count as a success.
        """
        try:
            return _RESULT.validate_json(self.result.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            return Failure(error_class="error", message=f"{self.result} is not a valid result.")

    def read_details(self) -> Details | None:
        """Return the details of the errors, or None where there are none that can be read."""
        try:
            return Details.model_validate_json(self.details.read_bytes())
        except (OSError, ValidationError):
            return None

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the worker's log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 200 * lines))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])


def _records(block: bytes) -> Iterator[Progress | Epoch]:
    for line in block.splitlines():
        try:
            yield _METRIC.validate_json(line)
        except ValidationError:
            continue


def read_facts(path: Path) -> dict[str, str]:
    """Return the facts that a safetensors file carries; raises OSError or ValueError."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            facts: dict[str, str] | None = file.metadata()
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}).") from error
    return facts or {}


def replace_text(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader sees the old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
