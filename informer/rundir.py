"""The run folder: the whole contract between the engine and a worker.

The engine writes `config.json`; the worker writes the rest. `result.json` comes last and is put in
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


class Success(Record):
    """Result of a run that trained to its end. All errors are on scaled data, over all windows."""

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
    def result(self) -> Path:
        """How it ended; its presence means that it did."""
        return self.path / "result.json"

    @property
    def log(self) -> Path:
        """What the worker printed."""
        return self.path / "log.txt"

    def create(self, config: RunConfig) -> None:
        """Make the folder anew for `config`: whatever an unfinished attempt left is removed."""
        self.path.mkdir(parents=True, exist_ok=True)
        for stale in (self.result, self.metrics, self.weights, self.log):
            stale.unlink(missing_ok=True)
        replace_text(self.config, config.model_dump_json(indent=2))

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


def replace_text(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader sees the old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
