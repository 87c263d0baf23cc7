"""The data sets that are known by name: facts only, so that reading a configuration stays light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class DataError(ValueError):
    """A data set that cannot be used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Dataset:
    """A data set: its columns in file order (the date apart) and its customary split."""

    name: str
    description: str
    columns: tuple[str, ...]
    target: str
    frequency: str  # pandas offset alias
    season: int  # time steps of the main season
    split_rows: tuple[int, int, int]  # training, validation, test
    url: str | None = None  # None: generated, not a file
    sha256: str = ""
    licence: str = ""


_ETT_COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
_MONTH = 30 * 24

DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="ETTh1",
            description="Electricity transformer temperature, hourly, two years, 7 columns",
            columns=_ETT_COLUMNS,
            target="OT",
            frequency="h",
            season=24,
            split_rows=(12 * _MONTH, 4 * _MONTH, 4 * _MONTH),
            url="https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
            sha256="f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            licence="CC BY-ND 4.0",
        ),
        Dataset(
            name="synthetic",
            description="Generated, not measured: hourly, 7 columns, two seasons, drift",
            columns=_ETT_COLUMNS,
            target="OT",
            frequency="h",
            season=24,
            split_rows=(12 * _MONTH, 4 * _MONTH, 4 * _MONTH),
        ),
    )
}
