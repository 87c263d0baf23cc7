"""The tab of the landscape: errors over one setting, over two, and how they are distributed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages._parts.address import mirrored, word
from pages._parts.analysis.axes import Axis, axis, short_names
from pages._parts.analysis.distribution import (
    By,
    distribution_figure,
    distribution_text,
    lines_cut,
)
from pages._parts.analysis.frames import cut_text, finished, left_out
from pages._parts.analysis.importance import Importance
from pages._parts.analysis.picking import pick_settings, ranked
from pages._parts.analysis.points import MOST_DRAWN
from pages._parts.analysis.slices import (
    FEW,
    contour_figure,
    rank_figure,
    slice_figure,
)
from pages._parts.live_chart import chart
from pages._parts.selection import Key
from pages._parts.text import value_text

_SLICES = 6
_COLOURS = {  # what they mean, by the trace that has them
    "contour": "Colours are means over cells, interpolated where no trial is: trust them only near "
    "the dots.",
    "heatmap": "Colours are means over cells; where no trial is, there is none.",
    "scatter": f"Fewer than {FEW} trials: they are coloured by their own val_mse.",
}
_LINES: tuple[By, ...] = ("search", "source")
_VIEWS = ("slices", "contour", "ranks", "distribution")


def show(results: pd.DataFrame, settings: pd.DataFrame, chosen: Sequence[Key]) -> str | None:
    """Draw the tab.

    Args:
        results: the trials in scope, as `frames.results_frame` returns them.
        settings: their settings, as `frames.settings_frame` returns them.
        chosen: the trials that are compared, which stand out.

    Returns:
        The trial, "SEARCH.NUMBER", that has been clicked since the last run.
    """
    view = word("landscape", _VIEWS, _VIEWS[0])
    st.segmented_control(
        "Figure",
        _VIEWS,
        required=True,
        format_func=str.capitalize,
        label_visibility="collapsed",
        **mirrored("landscape", view, _VIEWS[0]),
    )
    if view == "distribution":
        return _show_distribution(results)
    if not (found := ranked(results, settings, intervals=False)):
        return None
    scored = finished(results)
    if view == "slices":
        clicked = _show_slices(scored, settings, found, chosen)
    else:
        clicked = _show_plane(view, scored, settings, found, chosen)
    which = "at even distances from the best to the worst"
    notes = (
        "Click a trial to open it. Diamonds: compared.",
        cut_text(min(len(scored), MOST_DRAWN), len(scored), which),
        left_out(results),
    )
    st.caption(" ".join(filter(None, notes)))
    return clicked


def _show_slices(
    scored: pd.DataFrame,
    settings: pd.DataFrame,
    found: Sequence[Importance],
    chosen: Sequence[Key],
) -> str | None:
    keys = pick_settings("slices", found, _SLICES, _SLICES)
    clicked = None
    names = short_names(list(settings.columns))
    for first in range(0, len(keys), 3):
        for place, key in zip(st.columns(3), keys[first : first + 3], strict=False):
            along = axis(key, settings.loc[scored.index, key], names[key])
            with place:
                ref = chart(
                    slice_figure(scored, along, chosen),
                    key=f"analysis-slice-{keys.index(key)}",
                    alt=f"val_mse of {len(scored)} trials over {key}; "
                    f"{_best(scored, settings, key)}",
                    height=260,
                )
            clicked = clicked or ref
    st.caption(
        "Orange: the median of all trials with a value, or around a number. Dots: accepted; short "
        "lines and open circles: not."
    )
    return clicked


def _show_plane(
    view: str,
    scored: pd.DataFrame,
    settings: pd.DataFrame,
    found: Sequence[Importance],
    chosen: Sequence[Key],
) -> str | None:
    keys = [item.key for item in found]
    if len(keys) < 2:
        st.info(f"Only {keys[0]} varies; two settings are needed.")
        return None
    left, right = st.columns(2)
    x, y = word("plane-x", keys, keys[0]), word("plane-y", keys, keys[1])
    left.selectbox("Across", keys, **mirrored("plane-x", x, keys[0]))
    right.selectbox("Up", keys, **mirrored("plane-y", y, keys[1]))
    if x == y:
        st.info("Choose two different settings.")
        return None
    across, up = _axis(scored, settings, x), _axis(scored, settings, y)
    draw, what = {
        "contour": (contour_figure, "Mean val_mse"),
        "ranks": (rank_figure, "Rank of val_mse"),
    }[view]
    figure = draw(scored, across, up, chosen)
    clicked = chart(
        figure,
        key=f"analysis-{view}",
        alt=f"{what} of {len(scored)} trials over {x} and {y}; {_best(scored, settings, x, y)}",
        height=440,
    )
    if view == "contour":
        st.caption(_COLOURS[figure["data"][0]["type"]])
    return clicked


def _show_distribution(results: pd.DataFrame) -> str | None:
    if results["val_mse"].notna().sum() == 0:
        st.info(f"None of the {len(results):,} trials in scope has a val_mse yet.")
        return None
    by = word("lines", _LINES, _LINES[0])
    st.segmented_control(
        "One line for each", _LINES, required=True, **mirrored("lines", by, _LINES[0])
    )
    chart(
        distribution_figure(results, by),
        key="analysis-distribution",
        alt=distribution_text(results, by),
        height=400,
    )
    notes = (
        "Share of the trials with a result whose val_mse is at most the value below: the line that "
        "rises first is best.",
        lines_cut(results, by),
        left_out(results),
    )
    st.caption(" ".join(filter(None, notes)))
    return None


def _axis(scored: pd.DataFrame, settings: pd.DataFrame, key: str) -> Axis:
    return axis(key, settings.loc[scored.index, key], short_names(list(settings.columns))[key])


def _best(scored: pd.DataFrame, settings: pd.DataFrame, *keys: str) -> str:
    """Say in words where the best trial lies."""
    ref = scored.index[0]
    at = " and ".join(f"{key} {value_text(settings.loc[ref].to_dict()[key])}" for key in keys)
    return f"the lowest, {scored['val_mse'].iloc[0]:.4g}, is that of trial {ref} at {at}"
