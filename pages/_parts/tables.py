"""Tables of trials: rows to data frames, and how their columns are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from informer.config import Value
from nas_engine.store.reader import TrialRow
from pages._parts.states import SOURCES, trial_state, verdict_text
from pages._parts.text import changes_text, readable

ERROR_FORMAT = "%.4g"


def trial_frame(
    trials: Sequence[TrialRow], incumbent: int | None, search_id: int, start: Mapping[str, Value]
) -> pd.DataFrame:
    """Return one row per trial, in the order given.

    Args:
        trials: the trials.
        incumbent: number of the best accepted trial.
        search_id: their search, for links.
        start: configuration of trial 0, the parent of a proposal that names none.
    """
    configs = {trial.number: trial.config for trial in trials}
    best = next((trial.val_mse for trial in trials if trial.number == incumbent), None)
    rows = [
        {
            "Trial": trial.number,
            "State": trial_state(trial.state),
            "Verdict": verdict_text(trial, incumbent),
            "val_mse": trial.val_mse,
            "± spread": trial.spread,
            "Seeds": trial.seeds or None,
            "vs best %": _above(trial.val_mse, best),
            "val_mae": trial.val_mae,
            "Source": SOURCES.get(trial.source, trial.source),
            "Changes": readable(
                changes_text(
                    trial.changes, start if trial.parent is None else configs.get(trial.parent)
                )
            ),
            "Parent": trial.parent,
            "Epochs": trial.epochs if trial.epochs is not None else trial.epoch,
            "Parameters": trial.parameters,
            "Seconds": trial.seconds,
            "Transcript": f"./transcript?search={search_id}&trial={trial.number}",
        }
        for trial in trials
    ]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return frame.astype(
        {
            **dict.fromkeys(("Seeds", "Parent", "Epochs", "Parameters"), "Int64"),
            **dict.fromkeys(("val_mse", "± spread", "vs best %", "val_mae", "Seconds"), "Float64"),
        }
    )


_COLUMNS = [
    "Trial",
    "State",
    "Verdict",
    "val_mse",
    "± spread",
    "Seeds",
    "vs best %",
    "val_mae",
    "Source",
    "Changes",
    "Parent",
    "Epochs",
    "Parameters",
    "Seconds",
    "Transcript",
]


def trial_columns() -> dict[str, Any]:
    """Return how the columns of `trial_frame` are shown."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "Trial": number(pinned=True, width=60, format="%d"),
        "State": text(width=105),
        "Verdict": text(width=165),
        "val_mse": number("val_mse ↓", format=ERROR_FORMAT, width=85, help="Lower is better"),
        "± spread": number(
            format="%.2g", width=75, help="Standard deviation of val_mse over the trial's seeds"
        ),
        "Seeds": number(width=60, help="Finished trainings; errors are their means"),
        "vs best %": number(
            format="%+.2f", width=85, help="val_mse relative to the incumbent's; above 0 is worse"
        ),
        "val_mae": number("val_mae ↓", format=ERROR_FORMAT, width=85, help="Lower is better"),
        "Source": text(width=115),
        "Changes": text(width=330, help="What was changed in the parent"),
        "Parent": number(width=65, help="The trial whose configuration was changed"),
        "Epochs": number(width=65),
        "Parameters": number(format="localized", width=95),
        "Seconds": number(format="%.1f", width=75),
        "Transcript": st.column_config.LinkColumn(display_text="open", width=85),
    }


def _above(value: float | None, best: float | None) -> float | None:
    return None if value is None or not best else 100 * (value - best) / best
