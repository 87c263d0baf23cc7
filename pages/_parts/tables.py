"""Tables of trials: rows to data frames, and how their columns are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st

from informer.config import Value, fields
from nas_engine.amounts import broken_text
from nas_engine.front import keeps
from nas_engine.objectives import MEASURES, Objective
from nas_engine.search import SearchSpec
from nas_engine.store.rows import SearchRow, TrialRow
from pages._parts.effects import relative_change
from pages._parts.selection import Key, reference_of
from pages._parts.states import SOURCES, trial_state, verdict_text
from pages._parts.text import changes_text, readable, value_text

ERROR_FORMAT = "%.4g"


@dataclass(frozen=True)
class Facts:
    """What a table says of trials besides their own rows, by search."""

    incumbents: Mapping[int, int | None]
    references: Mapping[int, float | None]  # the val_mse that a search's trials are held against
    starts: Mapping[int, Mapping[str, Value]]  # configurations of trials 0
    configs: Mapping[Key, Mapping[str, Value]] = field(default_factory=dict)  # of parents
    bounds: Mapping[int, Mapping[Objective, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """One column: its cell for a trial, its type in a data frame, and how it is shown."""

    cell: Callable[[TrialRow, Facts], object]
    dtype: str
    shown: Any


def trial_frame(trials: Sequence[TrialRow], search: SearchRow) -> pd.DataFrame:
    """Return one row per trial of one search, in the order given."""
    best = next((trial.val_mse for trial in trials if trial.number == search.incumbent), None)
    facts = Facts(
        incumbents={search.id: search.incumbent},
        references={search.id: best},
        starts={search.id: search.spec.start()},
        configs={(search.id, trial.number): trial.config for trial in trials},
        bounds={search.id: search.spec.at_most},
    )
    return frame_of(trials, names_of(search.spec), facts)


def trial_columns(search: SearchRow) -> dict[str, Any]:
    """Return how the columns of `trial_frame` are shown."""
    return {name: COLUMNS[name].shown for name in names_of(search.spec)}


def names_of(spec: SearchSpec) -> list[str]:
    """Return the columns of a search's table: what all have, and what it wants low beside that."""
    at = OF_ONE_SEARCH.index("val_mae")
    return [*OF_ONE_SEARCH[:at], *costs_shown([spec]), *OF_ONE_SEARCH[at:]]


def costs_shown(specs: Iterable[SearchSpec]) -> list[str]:
    """Return the columns of bounds and costs that searches need beside those that all have."""
    found: dict[str, None] = {}
    for spec in specs:
        found |= dict.fromkeys(["Bounds"] if spec.at_most else [])
        found |= dict.fromkeys(name for name, cost in _COSTS.items() if cost in spec.counted)
    return list(found)


def frame_of(trials: Sequence[TrialRow], names: Sequence[str], facts: Facts) -> pd.DataFrame:
    """Return one row per trial and one column for each of `names`.

    A name is one of `COLUMNS`, else a setting by its dotted key.
    """
    columns = {name: COLUMNS.get(name) or setting_column(name) for name in names}
    return pd.DataFrame(
        {
            name: pd.Series([column.cell(row, facts) for row in trials], dtype=column.dtype)
            for name, column in columns.items()
        },
        columns=list(names),
    )


def setting_column(key: str) -> Column:
    """Return the column of a setting; numbers are sorted and aligned as numbers."""
    kind = fields()[key].type if key in fields() else str
    label = key.rpartition(".")[2]
    if kind in (int, float):
        shown = st.column_config.NumberColumn(label, help=key, width=90)
        return Column(lambda row, _: row.config.get(key), "Float64", shown)
    shown = st.column_config.TextColumn(label, help=key, width=105)
    return Column(lambda row, _: value_text(row.config.get(key)), "object", shown)


def above(value: float | None, reference: float | None) -> float | None:
    """Return by how many percent a figure lies above its reference."""
    change = relative_change(value, reference)
    return None if change is None else 100 * change


def _bounds(row: TrialRow, facts: Facts) -> str | None:
    """Return whether a trial keeps the bounds of its search, as far as its figures are known."""
    at_most = facts.bounds.get(row.search_id) or {}
    if broken := broken_text(row, at_most):
        return f"✕ {broken}"
    return "✓ kept" if at_most and keeps(row, at_most) else None


def _changes(row: TrialRow, facts: Facts) -> str:
    if row.parent is None:
        parent = facts.starts.get(row.search_id)
    else:
        parent = facts.configs.get((row.search_id, row.parent))
    return readable(changes_text(row.changes, parent))


_NUMBER, _TEXT = st.column_config.NumberColumn, st.column_config.TextColumn
_LINK = st.column_config.LinkColumn

COLUMNS: dict[str, Column] = {
    "Trial": Column(
        lambda row, _: row.number, "Int64", _NUMBER(pinned=True, width=60, format="%d")
    ),
    "Name": Column(
        lambda row, _: reference_of((row.search_id, row.number)),
        "object",
        _TEXT("Trial", pinned=True, width=70, help="Search and number"),
    ),
    "State": Column(lambda row, _: trial_state(row.state), "object", _TEXT(width=105)),
    "Verdict": Column(
        lambda row, facts: verdict_text(row, facts.incumbents.get(row.search_id)),
        "object",
        _TEXT(width=165),
    ),
    "val_mse": Column(
        lambda row, _: row.val_mse,
        "Float64",
        _NUMBER("val_mse ↓", format=ERROR_FORMAT, width=85, help="Lower is better"),
    ),
    "± spread": Column(
        lambda row, _: row.spread,
        "Float64",
        _NUMBER(
            format="%.2g", width=75, help="Standard deviation of val_mse over the trial's seeds"
        ),
    ),
    "Seeds": Column(
        lambda row, _: row.seeds or None,
        "Int64",
        _NUMBER(width=60, help="Finished trainings; errors are their means"),
    ),
    "vs best %": Column(
        lambda row, facts: above(row.val_mse, facts.references.get(row.search_id)),
        "Float64",
        _NUMBER(
            format="%+.2f", width=85, help="val_mse relative to the incumbent's; above 0 is worse"
        ),
    ),
    "vs reference %": Column(
        lambda row, facts: above(row.val_mse, facts.references.get(row.search_id)),
        "Float64",
        _NUMBER(
            format="%+.2f",
            width=105,
            help="val_mse relative to the reference's; above 0 is worse. Empty where the task is "
            "another one",
        ),
    ),
    "val_mae": Column(
        lambda row, _: row.val_mae,
        "Float64",
        _NUMBER("val_mae ↓", format=ERROR_FORMAT, width=85, help="Lower is better"),
    ),
    "Curve": Column(
        lambda row, _: row.spark,
        "object",
        st.column_config.LineChartColumn(width=90, help="val_mse by epoch"),
    ),
    "Source": Column(
        lambda row, _: SOURCES.get(row.source, row.source), "object", _TEXT(width=115)
    ),
    "Changes": Column(_changes, "object", _TEXT(width=330, help="What was changed in the parent")),
    "Parent": Column(
        lambda row, _: row.parent,
        "Int64",
        _NUMBER(width=65, help="The trial whose configuration was changed"),
    ),
    "Epochs": Column(
        lambda row, _: row.epochs if row.epochs is not None else row.epoch,
        "Int64",
        _NUMBER(width=65),
    ),
    "Parameters": Column(
        lambda row, _: row.parameters, "Int64", _NUMBER(format="localized", width=95)
    ),
    "Seconds": Column(lambda row, _: row.seconds, "Float64", _NUMBER(format="%.1f", width=75)),
    "Latency": Column(
        lambda row, _: row.latency_ms,
        "Float64",
        _NUMBER("Latency ms ↓", format="%.3g", width=90, help=MEASURES["latency_ms"].help),
    ),
    "FLOPs": Column(
        lambda row, _: row.flops,
        "Float64",
        _NUMBER("FLOPs ↓", format="compact", width=80, help=MEASURES["flops"].help),
    ),
    "Memory": Column(
        lambda row, _: row.memory_mb,
        "Float64",
        _NUMBER("Memory MB ↓", format="%.0f", width=95, help=MEASURES["memory_mb"].help),
    ),
    "Bounds": Column(
        _bounds,
        "object",
        _TEXT(width=190, help="Whether it keeps what the search demands of a model"),
    ),
    "Transcript": Column(
        lambda row, _: f"./transcript?search={row.search_id}&trial={row.number}",
        "object",
        _LINK(display_text="open", width=85),
    ),
    "Page": Column(
        lambda row, _: f"./trial?trial={reference_of((row.search_id, row.number))}",
        "object",
        _LINK(display_text="open", width=65, help="Everything about the trial"),
    ),
}

_COSTS: dict[str, Objective] = {
    "Latency": "latency_ms",
    "FLOPs": "flops",
    "Memory": "memory_mb",
}
"""Columns of costs that a table has where a search is after them; the others it has anyway."""

OF_ONE_SEARCH = (
    *("Trial", "State", "Verdict", "val_mse", "± spread", "Seeds", "vs best %", "val_mae"),
    *("Source", "Changes", "Parent", "Epochs", "Parameters", "Seconds", "Transcript"),
)
OF_ANY_SEARCH = (
    *("Name", "State", "val_mse", "vs reference %", "Verdict", "± spread", "Seeds", "val_mae"),
    *("Curve", "Source", "Changes", "Parameters", "Seconds", "Page", "Transcript"),
)
