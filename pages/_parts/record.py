"""Who asked what of a search, and what was answered."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from nas_engine.audit import asked
from nas_engine.store.reader import CommandRow
from pages._parts.opening import searched
from pages._parts.text import clock_text, readable

OUTCOMES = {"pending": "… pending", "applied": "✓ applied", "refused": "✕ refused"}


def record_frame(commands: Sequence[CommandRow]) -> pd.DataFrame:
    """Return one row per command, newest first."""
    return pd.DataFrame(
        [
            {
                "Time": clock_text(row.created_at),
                "Who": readable(row.author),
                "Asked": readable(asked(row)),
                "Outcome": OUTCOMES[row.state],
                "Answer": readable(row.answer),
            }
            for row in reversed(commands)
        ],
        columns=["Time", "Who", "Asked", "Outcome", "Answer"],
    )


def show_record(search_id: int) -> None:
    """Draw it where it is asked for."""
    place = st.expander("Who asked what", key="live-record", on_change="rerun")
    if not place.open:
        return
    with searched() as reader:
        commands = reader.commands(search_id)
    wide = st.column_config.TextColumn(width=330)
    place.dataframe(
        record_frame(commands),
        hide_index=True,
        key="live-record-table",
        column_config={"Asked": wide, "Answer": wide},
        alt="What people asked of this search, newest first",
    )
