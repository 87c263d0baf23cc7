"""Where errors come from: by step of the horizon, by clock, by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from pages._parts.address import mirrored, word
from pages._parts.forecasting.errors import CLOCKS, clocks, names_of
from pages._parts.forecasting.figures import (
    Forecaster,
    bars_alt,
    bars_figure,
    lines_alt,
    lines_figure,
)
from pages._parts.forecasting.reduced import (
    Look,
    of_clock,
    of_columns_and_steps,
    of_steps,
)
from pages._parts.live_chart import chart

MOST_COLUMNS = 25
"""Whose bars can still be told apart; of more, those with the largest errors of A are drawn."""


def show(forecasters: Sequence[Forecaster], look: Look) -> None:
    """Draw the errors of everybody, taken apart in three ways."""
    left, right = st.columns(2)
    with left:
        st.markdown("**By step of the horizon**")
        steps = [of_steps(one.made, look) for one in forecasters]
        chart(
            lines_figure(forecasters, steps, "Step ahead", look.name),
            key="forecast-steps",
            alt=lines_alt(forecasters, steps, look.name),
        )
    with right:
        _show_clock(forecasters, look)
    if len(look.columns) > 1:
        _show_columns(forecasters, look)


def _show_clock(forecasters: Sequence[Forecaster], look: Look) -> None:
    options = clocks(forecasters[0].made)
    clock = word("clock", options, options[0])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**By {CLOCKS[clock].lower()}** of the step that is forecast", width="content")
        if len(options) > 1:
            st.segmented_control(
                "Clock",
                options,
                required=True,
                format_func=CLOCKS.__getitem__,
                label_visibility="collapsed",
                **mirrored("clock", clock, options[0]),
            )
    values = [of_clock(one.made, look, clock) for one in forecasters]
    names = names_of(clock)
    chart(
        bars_figure(forecasters, values, names, CLOCKS[clock], look.name),
        key=f"forecast-clock-{clock}",
        alt=bars_alt(forecasters, values, names, f"{look.name} by {CLOCKS[clock].lower()}"),
    )


def _show_columns(forecasters: Sequence[Forecaster], look: Look) -> None:
    values = [of_columns_and_steps(one.made, look).mean(axis=0) for one in forecasters]
    shown = np.argsort(-values[0], kind="stable")[:MOST_COLUMNS]
    if len(look.columns) <= MOST_COLUMNS:
        shown = np.arange(len(look.columns))
    names = [look.columns[at] for at in shown]
    units = "each in its own units" if look.over == "own" else "scaled"
    st.markdown(f"**By column**, {units}")
    if len(names) < len(look.columns):
        st.caption(f"The {len(names)} of {len(look.columns)} columns with the largest error of A.")
    drawn = [found[shown] for found in values]
    chart(
        bars_figure(forecasters, drawn, names, "", look.measure.upper()),
        key="forecast-columns",
        alt=bars_alt(forecasters, drawn, names, f"{look.measure.upper()} by column, {units}"),
    )
