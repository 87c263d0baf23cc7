"""The tab of figures and settings side by side."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from informer.config import fields
from nas_engine.curves import analyse
from nas_engine.store.reader import Reader
from nas_engine.store.rows import TrialRow
from pages._parts.address import flag, mirrored, words
from pages._parts.choice import Scope, trial_label
from pages._parts.comparing.curves import baselines_of, lines_of
from pages._parts.comparing.table import seen
from pages._parts.differences import (
    MOST_TRIALS,
    ROW,
    PatternError,
    figures_of,
    key_of,
    matching,
    settings_of,
    side_by_side,
)
from pages._parts.opening import TRIAL
from pages._parts.selection import Key, reference_of
from pages._parts.text import plain


def show(reader: Reader, scope: Scope, chosen: list[Key], reference: Key | None) -> None:
    """Draw figures and settings of the chosen trials as columns, the reference first."""
    trials, base = columns_shown(reader, chosen, reference)
    everything, pattern = flag("all"), st.query_params.get("rows", "")
    varied = list(settings_of(trials, everything=False))
    without = [key for key in words("without") if key in fields()]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Rows",
            placeholder="mse|d_model",
            type="search",
            width=220,
            help="A word or a regular expression that the names of rows are to have.",
            **mirrored("rows", pattern),
        )
        st.multiselect(
            "Leave out",
            list(dict.fromkeys([*varied, *without])),
            placeholder="Settings that differ on purpose",
            width=330,
            **mirrored("without", without),
        )
        st.toggle("Settings that are the same", **mirrored("all", everything, default=False))
    if (frame := difference_table(reader, scope, trials, base)) is None:
        return
    st.dataframe(
        frame,
        hide_index=True,
        height="content",
        column_config={ROW: st.column_config.TextColumn("", pinned=True, width=215)},
        alt=f"Figures and settings of {len(trials)} trials; ◆ marks the reference",
    )
    st.caption(
        "◆ is the reference that Δ is measured from, ★ the incumbent of a search; lower errors "
        "are better."
    )
    if len(chosen) > MOST_TRIALS:
        st.caption(f"{MOST_TRIALS} of {len(chosen)} chosen trials shown.")
    if len(trials) > 1 and not varied:
        st.caption("The chosen trials have the same settings.")
    show_test_figures(reader, scope, trials)
    with st.container(horizontal=True):
        for trial in trials:
            name = reference_of(key_of(trial))
            st.page_link(TRIAL, label=f"Trial {name}", query_params={"trial": name})


def columns_shown(
    reader: Reader, chosen: Sequence[Key], reference: Key | None
) -> tuple[list[TrialRow], TrialRow | None]:
    """Return the trials of the table of differences, the reference first, and that itself."""
    keys = list(dict.fromkeys([*([reference] if reference else []), *chosen[:MOST_TRIALS]]))
    trials = seen(reader, reader.listed(keys))
    return trials, next((row for row in trials if key_of(row) == reference), None)


def difference_table(
    reader: Reader, scope: Scope, trials: Sequence[TrialRow], base: TrialRow | None
) -> pd.DataFrame | None:
    """Return the table of differences as the address asks for it; None where it cannot be."""
    shapes = {
        line.key: analyse(line.epochs).word
        for line in lines_of(reader, scope, [key_of(row) for row in trials])
    }
    rows = {
        **figures_of(trials, base, scope.comparable, shapes),
        **settings_of(trials, flag("all"), words("without")),
    }
    try:
        rows = matching(rows, st.query_params.get("rows", ""))
    except PatternError as error:
        st.error(plain(str(error)))
        return None
    names = [trial_label(scope, key_of(row)) + (" ◆" if row is base else "") for row in trials]
    return side_by_side(rows, names)


def show_test_figures(reader: Reader, scope: Scope, trials: Sequence[TrialRow]) -> None:
    """Draw the errors on the test split, apart from all that a search goes by."""
    with st.expander("Test split", key="compare-test"):
        st.caption("Computed once per trial at its end; no part of a search reads them.")
        rows = [
            (f"Trial {trial_label(scope, key_of(row))}", row.test_mse, row.test_mae)
            for row in trials
        ] + [
            (f"baseline: {row.name}", row.mse, row.mae)
            for row in baselines_of(reader, scope, [key_of(row) for row in trials])
            if row.split == "test"
        ]
        frame = pd.DataFrame(rows, columns=["", "test_mse ↓", "test_mae ↓"]).astype(
            {"test_mse ↓": "Float64", "test_mae ↓": "Float64"}
        )
        shown = st.column_config.NumberColumn(format="%.4g")
        st.dataframe(
            frame,
            hide_index=True,
            width="content",
            placeholder="–",
            column_config={"test_mse ↓": shown, "test_mae ↓": shown},
            alt="Errors on the test split",
        )
