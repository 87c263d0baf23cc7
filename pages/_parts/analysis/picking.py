"""What the tabs of the analysis share: which settings are shown, and tables of trials."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages._parts.address import mirrored, words
from pages._parts.analysis.frames import finished
from pages._parts.analysis.importance import PAIRS, Importance, importance
from pages._parts.tables import ERROR_FORMAT

MOST_ROWS = 100


def ranked(results: pd.DataFrame, settings: pd.DataFrame, intervals: bool) -> list[Importance]:
    """Return the settings that vary among trials with a result; say so where there are none."""
    scored = finished(results)
    if scored.empty:
        st.info(f"None of the {len(results):,} trials in scope has a val_mse yet.")
        return []
    pairs = PAIRS if intervals else 0
    found = importance(settings.loc[scored.index], scored["val_mse"], pairs)
    if not found:
        trials = "The one trial" if len(scored) == 1 else f"All {len(scored):,} trials"
        st.info(f"{trials} with a result: no setting varies, so there is nothing to compare.")
    return found


def pick_settings(name: str, found: Sequence[Importance], usual: int, most: int) -> list[str]:
    """Draw a choice of settings, which the address holds as `name`, and return the chosen ones.

    Where none is chosen, they are the most important.
    """
    names = [item.key for item in found]
    chosen = [key for key in words(name) if key in names][:most]
    st.multiselect(
        "Settings",
        names,
        max_selections=most,
        placeholder=f"The {min(usual, len(names))} most important",
        **mirrored(name, chosen, []),
    )
    return chosen or names[:usual]


def show_trials(trials: pd.DataFrame, key: str, alt: str) -> None:
    """Draw a table of the first `MOST_ROWS` trials, each with a link to its page.

    Args:
        trials: the columns to show; the index names the trials.
        key: of the element.
        alt: what the table shows.
    """
    shown = trials.head(MOST_ROWS)
    st.dataframe(
        shown.reset_index(drop=True).assign(Trial=[f"./trial?trial={ref}" for ref in shown.index]),
        key=key,
        hide_index=True,
        column_order=["Trial", *trials.columns],
        height="content" if len(shown) < 10 else 330,
        placeholder="–",
        column_config={
            "Trial": st.column_config.LinkColumn(display_text=r"trial=(.*)", width=70, pinned=True),
            "val_mse": st.column_config.NumberColumn("val_mse ↓", format=ERROR_FORMAT),
            "val_mae": st.column_config.NumberColumn("val_mae ↓", format=ERROR_FORMAT),
            "parameters": st.column_config.NumberColumn(format="localized"),
            "seconds": st.column_config.NumberColumn(format="%.1f"),
            "memory_mb": st.column_config.NumberColumn("memory MB", format="%.0f"),
            "latency_ms": st.column_config.NumberColumn("latency ms", format="%.3g"),
            "flops": st.column_config.NumberColumn("FLOPs", format="compact"),
        },
        alt=alt,
    )
    if len(trials) > len(shown):
        st.caption(f"The first {len(shown)} of {len(trials):,} trials.")
