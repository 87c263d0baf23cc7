"""The run folder: the whole contract between the engine and a worker.

The engine writes `config.json`, `orders.json` where more is asked, and `end` to have a training
ended early; the worker writes the rest, and takes `end` away once it has ended. Checkpoints let an
unfinished run go on after its last epoch. `result.json` comes last and is put in place by a rename,
so that a folder with a result is finished and one without is not. Reading never trusts what it
finds: a damaged line is skipped, a file that is not what it should be is refused with a sentence.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from informer.config import RunConfig, from_nested
from informer.files import (
    LINE_BYTES,
    ProtocolError,
    append_line,
    checkpoints,
    is_intact,
    read_file,
    remove,
    replace_text,
)
from informer.orders import Orders
from informer.records import (
    Details,
    Environment,
    Epoch,
    Failure,
    Forecasts,
    Progress,
    Record,
    Result,
    Success,
)

FILE_BYTES = 2**24
"""Of a configuration, a result or its details, at most."""
SHOWN_BYTES = 2**20
"""Of what is only for people to look at: the environment and the forecasts."""
METRICS_BYTES = 2**26
LOG_BYTES = 2**23
"""Of a log, from which on only its end is kept."""
LOG_KEPT_BYTES = 2**20


class _ResultFile(Record):
    """A result and the SHA-256 of the configuration that it belongs to."""

    config: str
    result: Result


_Shown = TypeVar("_Shown", Details, Forecasts, Environment)

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
        """The best weights."""
        return self.path / "model.safetensors"

    @property
    def end(self) -> Path:
        """Asks the worker to end the training; it is gone when the worker has."""
        return self.path / "end"

    @property
    def details(self) -> Path:
        """Errors of the best weights by horizon step and column."""
        return self.path / "errors.json"

    @property
    def forecasts(self) -> Path:
        """Forecasts of the best weights on three windows of the validation part."""
        return self.path / "forecasts.json"

    @property
    def environment(self) -> Path:
        """What the training ran on."""
        return self.path / "environment.json"

    @property
    def result(self) -> Path:
        """How it ended; its presence means that it did."""
        return self.path / "result.json"

    @property
    def orders(self) -> Path:
        """What is asked of the training beside its configuration; not there: nothing."""
        return self.path / "orders.json"

    @property
    def traits(self) -> Path:
        """What the data are like, beside the baselines of a search."""
        return self.path / "traits.json"

    @property
    def log(self) -> Path:
        """What the worker printed."""
        return self.path / "log.txt"

    def create(self, config: RunConfig, orders: Orders | None = None) -> int:
        """Make the folder ready for `config`, and return after which epoch training goes on.

        What an unfinished attempt at the same configuration left is kept as far as its newest
        checkpoint that can be used; anything else is removed.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        same = self._is_of(config)
        epoch, _ = (same and self.checkpoint()) or (0, None)
        kept = [r for r in self.read_metrics()[0] if isinstance(r, Epoch)][:epoch] if epoch else []
        useless = [path for number, path in checkpoints(self.path) if number > epoch or not epoch]
        outcome = [self.result, self.details, self.forecasts, self.environment, self.weights]
        for path in [*outcome, self.end, *self.path.glob(".*")]:
            remove(path)
        for path in [*useless, *([] if epoch else [self.metrics, self.log])]:
            remove(path)
        if epoch:
            replace_text(self.metrics, "".join(f"{r.model_dump_json()}\n" for r in kept))
        if same and useless:
            where = f"goes on after epoch {epoch}" if epoch else "begins anew"
            names = ", ".join(path.name for path in useless)
            append_line(self.log, f"Damaged, or without its records: {names}. Training {where}.")
        if orders is None:
            remove(self.orders)
        else:
            replace_text(self.orders, orders.model_dump_json(indent=2))
        replace_text(self.config, config.model_dump_json(indent=2))
        return epoch

    def _is_of(self, config: RunConfig) -> bool:
        try:
            return self.read_config() == config
        except (OSError, ValueError, RecursionError):
            return False

    def checkpoint(self) -> tuple[int, Path] | None:
        """Return the newest checkpoint that is intact and has all its epochs recorded."""
        try:
            records = self.read_metrics()[0]
        except ProtocolError:
            return None
        recorded = [record.epoch for record in records if isinstance(record, Epoch)]
        for epoch, path in checkpoints(self.path):
            if recorded[:epoch] == list(range(1, epoch + 1)) and is_intact(path):
                return epoch, path
        return None

    def read_config(self) -> RunConfig:
        """Return the configuration; raises ConfigError, ProtocolError or FileNotFoundError."""
        return from_nested(json.loads(read_file(self.config, FILE_BYTES)))

    def read_orders(self) -> Orders:
        """Return what is asked beside the configuration; raises ProtocolError."""
        try:
            return Orders.model_validate_json(read_file(self.orders, FILE_BYTES))
        except FileNotFoundError:
            return Orders()
        except ValidationError:
            raise ProtocolError(f"{self.orders} holds no valid orders.") from None

    def append(self, record: Progress | Epoch) -> None:
        """Append a metric record as one line; an epoch's is on the disk when this returns."""
        durable = isinstance(record, Epoch)
        append_line(self.metrics, record.model_dump_json(), durable=durable)

    def read_metrics(self, offset: int = 0) -> tuple[list[Progress | Epoch], int]:
        """Return the records from byte `offset` on, and the offset to go on from.

        A last line without its newline is left for the next call; a damaged line is skipped.

        Raises:
            ProtocolError: the file is not what a worker writes.
        """
        try:
            block = read_file(self.metrics, METRICS_BYTES, offset)
        except FileNotFoundError:
            return [], offset
        complete = block[: block.rfind(b"\n") + 1]
        if len(block) - len(complete) > LINE_BYTES:
            raise ProtocolError(f"{self.metrics} has a line of more than {LINE_BYTES:,} bytes.")
        return list(_records(complete)), offset + len(complete)

    def write_result(self, result: Success | Failure) -> None:
        """Put the result in place, all at once."""
        file = _ResultFile(config=self._config_digest(), result=result)
        replace_text(self.result, file.model_dump_json(indent=2))

    def read_result(self) -> Success | Failure | None:
        """Return the result, or None while there is none.

        What is no valid result of this folder's configuration and records reads as a failure: it
        must never count as a success.
        """
        try:
            return self._checked_result()
        except FileNotFoundError:
            return None
        except ValidationError:
            message = f"{self.result} is not a valid result."
        except ProtocolError as error:
            message = str(error)
        return Failure(error_class="protocol", message=message)

    def _checked_result(self) -> Success | Failure:
        file = _ResultFile.model_validate_json(read_file(self.result, FILE_BYTES), strict=True)
        if file.config != self._config_digest():
            raise ProtocolError(f"{self.result} belongs to another configuration.")
        if isinstance(file.result, Success):
            epochs = [r for r in self.read_metrics()[0] if isinstance(r, Epoch)]
            if not _fits(file.result, epochs):
                raise ProtocolError(f"{self.result} does not fit the epochs in {self.metrics}.")
        return file.result

    def _config_digest(self) -> str:
        try:
            return hashlib.sha256(read_file(self.config, FILE_BYTES)).hexdigest()
        except FileNotFoundError:
            return ""

    def read_details(self) -> Details | None:
        """Return the details of the errors, or None where there are none that can be read."""
        return _shown(Details, self.details, FILE_BYTES)

    def read_forecasts(self) -> Forecasts | None:
        """Return the forecasts of three windows, or None where there are none to be read."""
        return _shown(Forecasts, self.forecasts, SHOWN_BYTES)

    def read_environment(self) -> Environment | None:
        """Return what the training ran on, or None where nothing says so that can be read."""
        return _shown(Environment, self.environment, SHOWN_BYTES)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the worker's log."""
        try:
            size = self.log.lstat().st_size
            block = read_file(self.log, 200 * lines, max(0, size - 200 * lines))
        except (FileNotFoundError, ProtocolError):
            return ""
        return "\n".join(block.decode("utf-8", "replace").splitlines()[-lines:])

    def trim_log(self) -> None:
        """Keep only the end of a log that has grown too long; its writer may go on meanwhile."""
        try:
            size = self.log.lstat().st_size
            if size <= LOG_BYTES:
                return
            tail = read_file(self.log, size, size - LOG_KEPT_BYTES)[-LOG_KEPT_BYTES:]
        except (FileNotFoundError, ProtocolError):
            return
        with self.log.open("ab") as file:
            file.truncate(0)
            file.write(b"(What stood before was too long to keep.)\n" + tail)


def _shown(kind: type[_Shown], path: Path, limit: int) -> _Shown | None:
    try:
        return kind.model_validate_json(read_file(path, limit))
    except (FileNotFoundError, ProtocolError, ValidationError):
        return None


def _records(block: bytes) -> Iterator[Progress | Epoch]:
    for line in block.splitlines():
        try:
            yield _METRIC.validate_json(line)
        except ValidationError:
            continue


def _fits(result: Success, epochs: Sequence[Epoch]) -> bool:
    """Tell whether a result is what a training with these epochs ends with."""
    if [epoch.epoch for epoch in epochs] != list(range(1, result.epochs + 1)):
        return False
    best = epochs[result.best_epoch - 1].val_mse if 1 <= result.best_epoch <= len(epochs) else None
    return best is not None and math.isclose(best, result.val_mse, rel_tol=1e-9)


def what_takes_memory(config: RunConfig) -> str:
    """Return the settings to lower where memory has run out, with their values."""
    return (
        f"data.batch_size ({config.data.batch_size}), data.seq_len ({config.data.seq_len}) "
        f"or model.d_model ({config.model.d_model})"
    )
