"""What a person chose about a file: how it is read and mended, and what its columns are for."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Delimiter = Literal[",", ";", "\t", "|"]
Decimal = Literal[".", ","]
Duplicates = Literal["first", "last", "mean"]
Resample = Literal["mean", "last", "sum"]
Fill = Literal["interpolate", "forward", "zero"]
Scaling = Literal["standard", "robust", "minmax", "none"]


class Choices(BaseModel):
    """Everything is left as it is in the file unless it was chosen here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoding: str | None = Field(
        None, description="of a text file, as Python names it, such as cp1252; UTF-8 if absent"
    )
    delimiter: Delimiter | None = Field(None, description="what separates the fields of a line")
    decimal: Decimal = Field(".", description="the sign before the decimals of a number")
    skip_lines: tuple[int, ...] = Field(
        (), description="numbers of lines that are passed over, such as one of units"
    )
    missing: tuple[str, ...] = Field(
        (), description="numbers or words that stand for no value, such as -200 or n.d."
    )
    date: str | None = Field(None, description="column that holds the dates")
    time: str | None = Field(
        None, description="column that holds the times of day, where the dates have none"
    )
    date_format: str | None = Field(
        None, description="as in %d/%m/%Y; ISO8601, or s or ms for seconds since 1970"
    )
    timezone: str | None = Field(
        None, description="zone of the written times, such as Europe/Berlin; they are kept in UTC"
    )
    frequency: str | None = Field(None, description="pandas alias, such as h, 15min, D or MS")
    duplicates: Duplicates | None = Field(None, description="which row of a repeated date is kept")
    resample: Resample | None = Field(None, description="what becomes of the rows of one step")
    fill: Fill | None = Field(None, description="what takes the place of missing values")
    limit: int | None = Field(None, ge=1, description="longest run of missing values to fill")
    drop: tuple[str, ...] = Field((), description="columns left out")
    target: str | None = Field(None, description="column that MS and S forecast")
    past_only: tuple[str, ...] = Field((), description="columns that help but are not forecast")
    known_future: tuple[str, ...] = Field((), description="columns whose future is known")
    shares: tuple[float, float, float] | None = Field(
        None,
        description="of the rows for training, validation and test; 0.7, 0.1 and 0.2 if absent",
    )
    validate_from: str | None = Field(None, description="first date of the validation part")
    test_from: str | None = Field(None, description="first date of the test part")
    scaling: Scaling = Field(
        "standard",
        description="what models see instead of the values, learned on the training part",
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        parts = [*self.drop, *self.past_only, *self.known_future]
        parts += [name for name in (self.date, self.time, self.target) if name is not None]
        if twice := sorted({name for name in parts if parts.count(name) > 1}):
            raise ValueError(f"column {twice[0]} can play one part only")
        if not all(word.strip() for word in self.missing):
            raise ValueError("what stands for missing is a number or a word; blank cells do anyway")
        if self.limit is not None and self.fill is None:
            raise ValueError("a limit needs a fill")
        if (self.validate_from is None) != (self.test_from is None):
            raise ValueError("a split by date needs both validate_from and test_from")
        if self.shares is not None:
            if self.validate_from is not None:
                raise ValueError("the split goes by shares or by dates, not by both")
            if min(self.shares) <= 0 or not math.isclose(sum(self.shares), 1, abs_tol=1e-6):
                raise ValueError("shares are three numbers above 0 that add up to 1")
        return self
