"""The records of a run folder: what a training reports, what it saw, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.choices import Scaling
from data.registry import Dataset, Part, some

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


class ColumnForecast(Record):
    """A column in a window, in the units of the data: what was known, what came, the forecast."""

    name: str
    past: tuple[Finite, ...]  # the end of the look-back
    truth: tuple[Finite, ...]
    forecast: tuple[Finite, ...]


class WindowForecast(Record):
    """The forecast of one window of the validation part."""

    which: Literal["worst", "median", "best"]
    window: int  # its number among the windows of the part, in order of time
    mse: Finite  # over all columns that are forecast, on scaled data
    dates: tuple[datetime, ...]  # of the steps of `past`, then of those that are forecast
    columns: tuple[ColumnForecast, ...]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for column in self.columns:
            steps = len(column.past) + len(column.truth)
            if len(column.forecast) != len(column.truth) or len(self.dates) != steps:
                raise ValueError("dates, truth and forecast have not the same steps")
        if not (self.columns and self.columns[0].truth):
            raise ValueError("nothing was forecast")
        return self

    @property
    def begins(self) -> datetime:
        """The first time step that is forecast."""
        return self.dates[len(self.columns[0].past)]


class Forecasts(Record):
    """The validation windows that the best weights forecast worst, at the median, and best.

    They hold the columns with the largest error over the whole part, the worst first: 12, or fewer
    where the horizon is long. `forecast_columns` is how many are forecast in all.
    """

    forecast_columns: int
    windows: tuple[WindowForecast, ...]


class Generated(Record):
    """The parameters of a data set that is generated."""

    rows: int
    start: str
    seed: int


class UsedData(Record):
    """The data of a training; `splits` are the first row of a part, and the row after its last.

    What records of earlier versions do not tell is None.
    """

    name: str
    sha256: Annotated[str, Field(max_length=64)] | None  # of the file; None where there is none
    generated: Generated | None
    rows: int
    splits: dict[Part, tuple[int, int]]
    source: str = ""  # name of the file that was published or given
    scaling: Scaling | None = None
    past_only: tuple[str, ...] | None = None
    known_future: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls, dataset: Dataset, rows: int | None = None, generated: Generated | None = None
    ) -> Self:
        """Return the facts of a data set, with those that only its values tell."""
        return cls(
            name=dataset.name,
            sha256=dataset.sha256 or None,
            generated=generated,
            rows=rows or dataset.rows or sum(dataset.split_rows),
            splits=dataset.parts,
            source=dataset.source or (dataset.url or "").rpartition("/")[2],
            scaling=dataset.scaling,
            past_only=dataset.past_only,
            known_future=dataset.known_future,
        )

    @property
    def checksum(self) -> str:
        """The SHA-256 in short, for sentences."""
        return f"{self.sha256[:8]}…" if self.sha256 else "none"

    @property
    def split(self) -> str:
        """How many rows train, validate and test, for sentences."""
        counts = (f"{after - first:,}" for first, after in self.splits.values())
        return f"{' + '.join(counts)} rows"

    @property
    def text(self) -> str:
        """What tells these data from others of their name, in a few words."""
        declared = (
            *([f"{self.scaling} scaling"] if self.scaling else []),
            *([f"past only {some(self.past_only)}"] if self.past_only else []),
            *([f"known future {some(self.known_future)}"] if self.known_future else []),
        )
        return ", ".join((f"SHA-256 {self.checksum}", self.split, *declared))

    def told_from(self, others: Sequence[UsedData]) -> str:
        """Return what tells these data from others, in as few words as do."""
        shared = any(one.sha256 == self.sha256 for one in others if one.differences(self))
        return self.text if shared else f"SHA-256 {self.checksum}"

    def differences(self, other: UsedData) -> list[str]:
        """Return in what the other differs, so that errors on both do not compare."""
        found = []
        if self.sha256 != other.sha256:
            found.append(f"its SHA-256 is {other.checksum}, not {self.checksum}")
        if self.splits != other.splits:
            found.append(f"it is split into {other.split}, not {self.split}")
        if None not in (self.scaling, other.scaling) and self.scaling != other.scaling:
            found.append(f"it is scaled {other.scaling}, not {self.scaling}")
        for mine, theirs, part in (
            (self.past_only, other.past_only, "past-only"),
            (self.known_future, other.known_future, "known-future"),
        ):
            if mine is not None and theirs is not None and mine != theirs:
                are, were = some(theirs) or "none", some(mine) or "none"
                found.append(f"its {part} columns are {are}, not {were}")
        return found


class Environment(Record):
    """What a training ran on, as it was when it began or last went on."""

    versions: dict[str, str]  # of Python, the project and the libraries that decide results
    commit: str | None  # of the project; None where git does not know it
    changed: bool | None  # whether files of the project differed from the commit
    platform: str
    cpu: str = ""  # its model and the instructions that torch uses of it; empty: not recorded
    device: str
    threads: int
    seed: int
    data: UsedData


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
    latency_ms: Finite | None = None  # of one batch of forecasts, as `orders.Timing` has it
    memory_mb: Finite | None = None  # at the peak of the training, in 10^6 bytes
    inherited_share: Finite | None = None  # of its weights that it began with; None: from scratch


class Failure(Record):
    """Result of a run that ended in an error. `message` is for people, `traceback` for the log."""

    status: Literal["failed"] = "failed"
    error_class: Literal[
        "config",
        "data",
        "nonfinite",
        "out_of_memory",
        "disk",
        "device",
        "protocol",
        "infeasible",  # it breaks a bound of its search
        "weights",  # that it was to begin with
        "error",
    ]
    message: str
    traceback: str = ""
    latency_ms: Finite | None = None  # of a batch of forecasts, where that is why


Result = Annotated[Success | Failure, Field(discriminator="status")]
