"""The tab of parameters: parallel coordinates with the trials that are brushed, and importance."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages._parts.address import flag, mirrored
from pages._parts.analysis.frames import cut_text, finished, left_out
from pages._parts.analysis.importance import (
    ENOUGH,
    MOST_BARS,
    Importance,
    importance_figure,
    importance_text,
)
from pages._parts.analysis.parallel import (
    FEW_LINES,
    MOST_DIMENSIONS,
    MOST_LINES,
    USUAL_DIMENSIONS,
    brushed,
    dimensions,
    parallel_figure,
    passing,
)
from pages._parts.analysis.picking import pick_settings, ranked, show_trials
from pages._parts.live_chart import brush_of, brushed_chart, chart
from pages._parts.selection import Key

_PARALLEL = "analysis-parallel"


def show(results: pd.DataFrame, settings: pd.DataFrame, chosen: Sequence[Key]) -> str | None:
    """Draw the tab.

    Args:
        results: the trials in scope, as `frames.results_frame` returns them.
        settings: their settings, as `frames.settings_frame` returns them.
        chosen: the trials that are compared; lines of parallel coordinates cannot be marked.

    Returns:
        None: no trial can be clicked here.
    """
    if found := ranked(results, settings, intervals=True):
        _show_parallel(finished(results), settings, found)
        _show_importance(results, settings, found)
    return None


def _show_parallel(
    scored: pd.DataFrame, settings: pd.DataFrame, found: Sequence[Importance]
) -> None:
    st.markdown("**Parallel coordinates**")
    keys = pick_settings("axes", found, USUAL_DIMENSIONS, MOST_DIMENSIONS)
    most = FEW_LINES
    if len(scored) > FEW_LINES:
        wanted = f"Draw the best {min(MOST_LINES, len(scored)):,} instead of {FEW_LINES}"
        every = flag("every")
        st.toggle(wanted, **mirrored("every", every, False))
        most = MOST_LINES if every else FEW_LINES
    drawn = scored.head(most)[::-1]  # the best are drawn last, on top
    axes = dimensions(drawn, settings, keys)
    best = drawn.iloc[-1]
    brush = brushed_chart(
        parallel_figure(axes, brush_of(_PARALLEL)),
        key=_PARALLEL,
        alt=f"Parallel coordinates of {len(drawn)} trials over {', '.join(keys)} and val_mse, "
        f"which is lowest, {best['val_mse']:.4g}, in trial {best.name}",
        height=420,
    )
    st.caption(
        f"{cut_text(len(drawn), len(scored), 'the best')} Drag along an axis, over the values to "
        "keep; click beside what is kept to let all pass again. Lines of one value lie in order of "
        "val_mse. The worst twentieth have one colour."
    )
    if brushed(axes, brush):
        passed = drawn[passing(axes, brush)][::-1]
        st.markdown(f"**{len(passed):,} of {len(drawn):,} trials pass**")
        table = passed[["val_mse", "val_mae", "source"]].join(settings[list(keys)])
        show_trials(table, "analysis-brushed", "Trials that pass the brushed ranges, best first")


def _show_importance(
    results: pd.DataFrame, settings: pd.DataFrame, found: Sequence[Importance]
) -> None:
    trials = int(results["val_mse"].notna().sum())
    st.markdown(
        "**Importance of settings**",
        help="Share of the variance of the rank of val_mse that a setting explains on its own "
        "(epsilon squared). Bars of settings that were changed together share one effect; effects "
        "that two settings have only together are in neither. Lines: 10 % to 90 % over random "
        "halves of the trials.",
    )
    if trials < ENOUGH:
        st.warning(
            f"Only {trials} trials have a result; below {ENOUGH}, these shares are little more "
            "than chance."
        )
    shown = min(len(found), MOST_BARS)
    chart(
        importance_figure(found, trials),
        key="analysis-importance",
        alt=importance_text(found),
        height=70 + 24 * max(shown, 3),
    )
    same = len(settings.columns) - len(found)
    notes = [
        f"Of {trials:,} trials with a result.",
        left_out(results),
        f"{shown} of {len(found)} settings are drawn." if shown < len(found) else "",
        f"{same} settings have one value in all of them." if same > 1 else "",
        "One setting has the same value in all of them." if same == 1 else "",
    ]
    st.caption(" ".join(filter(None, notes)))
