"""What trains now where there are too many slots for a card each: one table, the odd ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from nas_engine.standing import run_seconds_left, run_share
from nas_engine.store.rows import TrainingRow
from pages._parts.text import readable, seconds_text

CARDS = 12
"""Trainings that have a card each; of more there is a table."""
LISTED = 50
"""Trainings in the table, of those that need attention most."""
ROWS = 8
"""Of the table, seen without scrolling."""
HERE = "this machine"


def show_table(search_id: int, slots: int, trainings: Sequence[TrainingRow]) -> None:
    """Draw a summary and a table with a row for each training."""
    st.caption(summary(slots, trainings))
    shown = in_order(trainings)[:LISTED]
    st.dataframe(
        frame(search_id, shown),
        key="live-slots-table",
        hide_index=True,
        height=36 * (ROWS + 1),
        placeholder="–",
        column_config=COLUMNS,
        column_order=[name for name in COLUMNS if _has(name, shown)],
        alt=f"{len(shown)} of {len(trainings)} trainings, the odd ones first",
    )


def summary(slots: int, trainings: Sequence[TrainingRow]) -> str:
    """Return how many train, where, and what is odd about some, in sentences."""
    parts = [f"{len(trainings)} of {slots} slots train"]
    if nodes := Counter(run.node for run in trainings if run.node):
        parts[0] += f" on {len(nodes)} nodes"
    left = [seconds for run in trainings if (seconds := run_seconds_left(run)) is not None]
    if left:
        parts.append(f"the next one ends within about {seconds_text(min(left))}")
    if again := sum(run.attempt > 1 for run in trainings):
        parts.append(f"{again} {'was' if again == 1 else 'were'} taken up again")
    if waiting := sum(run.step is None for run in trainings):
        parts.append(f"{waiting} {'loads' if waiting == 1 else 'load'} data")
    listed = "Listed" if len(trainings) <= LISTED else f"Listed are {LISTED}"
    order = "those taken up again first, then those without an epoch, then the longest to go"
    return f"{' · '.join(parts)}. {listed}: {order}."


def in_order(trainings: Sequence[TrainingRow]) -> list[TrainingRow]:
    """Return trainings by what needs attention most."""

    def place(run: TrainingRow) -> tuple[float, float, float, int]:
        left = run_seconds_left(run)
        began = run.started_at or 0.0
        waits = left is None
        return (-run.attempt, -waits, began if waits else -(left or 0.0), run.number)

    return sorted(trainings, key=place)


def frame(search_id: int, trainings: Sequence[TrainingRow]) -> pd.DataFrame:
    """Return a row for each training, in the order given."""
    left = [run_seconds_left(run) for run in trainings]
    return pd.DataFrame(
        {
            "Trial": [f"./trial?trial={search_id}.{run.number}" for run in trainings],
            "Slot": pd.array([run.slot for run in trainings], dtype="Int64"),
            "Node": [readable(run.node) or HERE for run in trainings],
            "Done": [100 * run_share(run) for run in trainings],
            "Epoch": [epoch_text(run) for run in trainings],
            "Left": ["" if seconds is None else seconds_text(seconds) for seconds in left],
            "Attempt": [run.attempt for run in trainings],
            "Seed": [run.seed for run in trainings],
            "CPU": pd.array([run.cpu_percent for run in trainings], dtype="Float64"),
            "Memory": pd.array([run.memory_mb for run in trainings], dtype="Float64"),
            "GPU": pd.array([run.gpu_percent for run in trainings], dtype="Float64"),
            "GPU memory": pd.array([run.gpu_memory_mb for run in trainings], dtype="Float64"),
        }
    )


def epoch_text(run: TrainingRow) -> str:
    """Return how far a training is, in a few words."""
    return "loading data" if run.step is None else f"{run.epoch} of {run.epochs}"


def _has(name: str, trainings: Sequence[TrainingRow]) -> bool:
    """Tell whether a column has anything to say."""
    match name:
        case "Node":
            return any(run.node for run in trainings)
        case "GPU":
            return any(run.gpu_percent is not None for run in trainings)
        case "GPU memory":
            return any(run.gpu_memory_mb is not None for run in trainings)
    return True


_NUMBER, _TEXT = st.column_config.NumberColumn, st.column_config.TextColumn

COLUMNS = {
    "Trial": st.column_config.LinkColumn(display_text=r"\.(\d+)$", pinned=True, width=60),
    "Slot": _NUMBER(width=55, format="%d"),
    "Node": _TEXT(width=120),
    "Done": st.column_config.ProgressColumn(
        min_value=0, max_value=100, format="%d %%", width=120, help="Of all epochs that it may have"
    ),
    "Epoch": _TEXT(width=95),
    "Left": _TEXT(width=85, help="At most, about; empty before the first epoch has ended"),
    "Attempt": _NUMBER(
        width=70, format="%d", help="Above 1: its worker was lost, or it was resumed"
    ),
    "Seed": _NUMBER(width=65, format="%d"),
    "CPU": _NUMBER("CPU %", width=65, format="%.0f", help="Of one core"),
    "Memory": _NUMBER("Memory MB", width=95, format="localized"),
    "GPU": _NUMBER("GPU %", width=65, format="%.0f", help="Of the whole GPU, whoever uses it"),
    "GPU memory": _NUMBER("GPU MB", width=85, format="localized"),
}
