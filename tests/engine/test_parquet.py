"""Trials as Parquet have the columns of the CSV, each in its type."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from data.columnar import parquet
from nas_engine.cli.main import main
from nas_engine.store.table import Query
from nas_engine.workspace import Workspace
from pages._parts.comparing.downloads import _exporter, parquet_exporter
from tests.pages import seed


def test_the_command_writes_the_columns_of_the_csv_in_their_types(
    workspace: Workspace, tmp_path: Path
) -> None:
    seed.eventful(workspace)
    file = tmp_path / "trials.parquet"
    run = CliRunner().invoke(main, ["export", "--format", "parquet", "--output", str(file)])
    assert run.exit_code == 0 and "9 trials written" in run.output
    table, text = pq.read_table(file), CliRunner().invoke(main, ["export"]).output
    lines = list(csv.DictReader(io.StringIO(text)))
    assert table.column_names == list(lines[0]) and table.num_rows == len(lines)
    for name, kind in (
        ("number", pa.int64()),
        ("val_mse", pa.float64()),
        ("accepted", pa.bool_()),
        ("state", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("model.d_model", pa.int64()),
        ("model.dropout", pa.float64()),
        ("data.drop_last", pa.bool_()),
        ("model.norm", pa.string()),
        ("worker_pid", pa.int64()),  # of which there may be none
    ):
        assert table.schema.field(name).type == kind, name
    values = [float(line["val_mse"]) if line["val_mse"] else None for line in lines]
    assert table["val_mse"].to_pylist() == values
    assert CliRunner().invoke(main, ["export", "--format", "parquet"]).exit_code == 2


def test_compare_offers_what_its_filter_leaves_in_both_forms(workspace: Workspace) -> None:
    number = seed.eventful(workspace)
    query = Query((number,))
    table = pq.read_table(io.BytesIO(parquet_exporter(query)()))
    lines = list(csv.DictReader(io.StringIO(_exporter(query)())))
    assert table.column_names == list(lines[0]) and table.num_rows == len(lines) == 9
    assert table.schema.field("parameters").type == pa.int64()
    assert table.schema.field("created").type == pa.timestamp("us", tz="UTC")
    assert table["state"].to_pylist() == [line["state"] for line in lines]


def test_a_cell_of_another_kind_is_not_written_as_something_else() -> None:
    with pytest.raises(pa.ArrowInvalid):
        parquet([{"number": 1.5}], {"number": "whole"})
