"""What has happened in a search: its log, and who asked what of it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from nas_engine.audit import asked
from nas_engine.store import wishes
from nas_engine.store.reader import Reader
from nas_engine.store.rows import CommandRow, TrialRow
from nas_engine.store.table import Pulse, Query, page, parse, pulse
from nas_engine.workspace import Workspace
from pages._parts.opening import searched
from pages._parts.text import clock_text, plain, readable

SHOWN = 5  # trials that failed last
FAILED = parse("state=failed,crashed")
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


def show_past(search_id: int, workspace: Workspace) -> None:
    """Draw the log, what workers of failed trials said, and the commands where asked for."""
    with searched() as reader:
        events, commands = reader.events(search_id, limit=100), wishes.commands(reader, search_id)
        failed = failed_last(str(workspace.db), pulse(reader, search_id), reader)
    st.markdown("**Log**")
    lines = [
        f"{clock_text(event.created_at)}  {event.level:<7}  {readable(event.text)}"
        for event in events
    ]
    with st.container(height=220, autoscroll=True, key="live-log"):
        st.code("\n".join(lines) or "No event yet.", language=None, wrap_lines=True)
    for trial in reversed(failed):
        kind = f" ({trial.error_class})" if trial.error_class else ""
        label = f"Trial {trial.number} {trial.state}{kind}: {trial.error or 'no message'}"
        with st.expander(plain(label, 200)):
            tail = workspace.run_dir(search_id, trial.number).log_tail(30)
            st.code(readable(tail) or "The worker left no log.", language=None, wrap_lines=True)
    show_commands(commands)


@st.cache_resource(max_entries=64, show_spinner=False)
def failed_last(db: str, of: Pulse, _reader: Reader) -> list[TrialRow]:
    """Return the trials that failed last, the newest first."""
    return page(_reader, Query((of.search_id,), FAILED, descending=True, limit=SHOWN))


def show_commands(commands: Sequence[CommandRow]) -> None:
    """Draw who asked what."""
    with st.expander(f"Who asked what ({len(commands)})", key="live-record"):
        if not commands:
            st.caption("Nobody has asked anything of this search yet.")
            return
        wide = st.column_config.TextColumn(width=320)
        st.dataframe(
            record_frame(commands),
            hide_index=True,
            key="live-record-table",
            height="content" if len(commands) < 10 else 330,
            column_config={"Asked": wide, "Answer": wide},
            alt="What people asked of this search, newest first",
        )
