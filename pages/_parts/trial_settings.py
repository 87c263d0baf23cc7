"""The configuration of a trial beside its parent's and that of trial 0."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from informer.config import Value, fields
from pages._parts.text import readable, value_text
from pages._parts.trial_view import View


def show_settings(view: View) -> None:
    """Draw the settings: those that differ, or all of them, filtered by words."""
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown("**Configuration**", width="content")
        words = st.text_input(
            "Find a setting",
            key="trial-settings-words",
            placeholder="Find a setting",
            label_visibility="collapsed",
            width=220,
        )
        everything = st.toggle("Show settings that are the same", key="trial-settings-all")
    frame = settings_frame(
        view.trial.config, view.before_change, view.search.spec.start(), everything, words
    )
    if frame.empty:
        st.caption(nothing_shown(words, everything))
        return
    st.dataframe(
        frame,
        hide_index=True,
        key="trial-settings",
        height="content" if len(frame) < 14 else 420,
        column_config={
            "Setting": st.column_config.TextColumn(pinned=True, width=215),
            "Meaning": st.column_config.TextColumn(width=420),
        },
        alt=f"{len(frame)} settings of trial {view.trial.number} beside its parent's",
    )


def settings_frame(
    config: Mapping[str, Value],
    parent: Mapping[str, Value],
    start: Mapping[str, Value],
    everything: bool,
    words: str,
) -> pd.DataFrame:
    """Return a row for each setting, those that differ from parent or start first.

    Args:
        config: of the trial; settings that a later version has brought are shown as unknown.
        parent: the configuration that was changed.
        start: that of trial 0.
        everything: whether settings that are the same everywhere are shown as well.
        words: all of which a setting's name or meaning must hold.
    """
    wanted = words.casefold().split()
    rows = []
    for key, spec in fields().items():
        value, old, first = config.get(key), parent.get(key), start.get(key)
        named = f"{key} {spec.help}".casefold()
        differs = [name for name, other in (("parent", old), ("trial 0", first)) if value != other]
        if all(word in named for word in wanted) and (differs or everything):
            active = key not in config or spec.active({**start, **config})
            rows.append(
                {
                    "Setting": key,
                    "Value": value_text(value) + ("" if active else " (no part to play)"),
                    "Parent": value_text(old),
                    "Trial 0": value_text(first),
                    "Differs from": ", ".join(differs) or "–",
                    "Meaning": readable(spec.help),
                }
            )
    rows.sort(key=lambda row: row["Differs from"] == "–")
    columns = ["Setting", "Value", "Parent", "Trial 0", "Differs from", "Meaning"]
    return pd.DataFrame(rows, columns=columns)


def nothing_shown(words: str, everything: bool) -> str:
    """Return why no setting is shown."""
    if words.strip():
        where = "" if everything else " that differs"
        return f"No setting{where} has these words in its name or meaning."
    return "It has the settings of its parent and of trial 0."
