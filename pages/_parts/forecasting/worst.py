"""The worst windows of A, each another event."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages._parts.forecasting.errors import separate
from pages._parts.forecasting.figures import Forecaster
from pages._parts.forecasting.reduced import Look, of_windows
from pages._parts.forecasting.window import go_to, moment
from pages._parts.selection import at_rows
from pages._parts.text import plain, readable

MOST = 20
HEADS = {"A": "A", "B": "B", "baseline": "Baseline"}


def show(forecasters: Sequence[Forecaster], look: Look) -> None:
    """Draw the table; a row that is chosen shows its window above."""
    frame, windows = worst_frame(forecasters, look)
    st.caption(
        f"The {len(windows)} windows with the largest {readable(look.name)} of A that do not "
        "overlap. Select a row to see it in the chart."
    )
    key = f"forecast-worst-{forecasters[0].made.key}-{look.measure}-{look.over}-{look.shown}"
    st.dataframe(
        frame,
        hide_index=True,
        height=35 * min(len(frame), 10) + 38,
        column_config={
            HEADS[one.role]: st.column_config.NumberColumn(
                format="%.4g", width=70, help=plain(one.name)
            )
            for one in forecasters
        },
        key=key,
        selection_mode="single-row",
        on_select=lambda: _choose(key, windows),
        alt=f"The worst windows of A: {', '.join(frame['From'][:3])} and so on",
    )


def _choose(key: str, windows: Sequence[int]) -> None:
    for window in at_rows(st.session_state[key].selection.rows, windows):
        go_to(window)


def worst_frame(forecasters: Sequence[Forecaster], look: Look) -> tuple[pd.DataFrame, list[int]]:
    """Return the worst windows of A with the errors of everybody, and their numbers."""
    made = forecasters[0].made
    apart = -(-made.facts.horizon // made.facts.every)
    windows = separate(of_windows(made, look), apart, MOST)
    begins = made.begins()
    columns: dict[str, list[str] | list[float]] = {"From": [moment(begins[at]) for at in windows]}
    for one in forecasters:
        errors = of_windows(one.made, look)
        columns[HEADS[one.role]] = [float(errors[at]) for at in windows]
    return pd.DataFrame(columns), windows
