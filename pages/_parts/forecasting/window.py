"""One window: the forecasts beside the truth, and the ways to another window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from pages._parts.address import mirrored, number, write
from pages._parts.forecasting.figures import Forecaster, Scale, window_figure
from pages._parts.forecasting.reduced import Look, of_windows
from pages._parts.live_chart import chart
from pages._parts.text import error_text, plain, readable

SHORTEST_PAST, LONGEST_PAST = 24, 192


def chosen_window(forecasters: Sequence[Forecaster], look: Look) -> int:
    """Return the window of the address, from 0; else the one at the median error of A."""
    errors = of_windows(forecasters[0].made, look)
    median = int(np.argsort(errors, kind="stable")[(len(errors) - 1) // 2])
    return int(number("window", median + 1, 1, len(errors))) - 1


def show(forecasters: Sequence[Forecaster], look: Look) -> int:
    """Draw the choice of a window and what was forecast there; return its number."""
    window = chosen_window(forecasters, look)
    _show_ways(forecasters, look, window)
    made, facts = forecasters[0].made, forecasters[0].made.facts
    scale = Scale.of(made, look.shown, own=True)
    past = min(facts.seq_len, max(SHORTEST_PAST, min(2 * facts.horizon, LONGEST_PAST)))
    with st.grid(3, min_column_width=150, key="forecast-errors"):
        for line in window_errors(forecasters, look, window):
            st.metric(**line)
    chart(
        window_figure(forecasters, window, look.shown, past, scale),
        key="forecast-window",
        alt=window_alt(forecasters, window, look.shown),
        height=360,
    )
    return window


def window_errors(
    forecasters: Sequence[Forecaster], look: Look, window: int
) -> list[dict[str, Any]]:
    """Return the error of everybody in a window, held against that of A, as metrics."""
    found: list[dict[str, Any]] = []
    first: float | None = None
    for one in forecasters:
        errors = of_windows(one.made, look)
        value = float(errors[window])
        if first is None:
            first = value
            share = float((errors < value).mean())
            beside = f"above {100 * share:.0f} % of its windows"
        else:
            beside = above_text(value, first)
        found.append(
            {
                "label": f"{look.name} · {plain(one.name)}",
                "value": error_text(value),
                "delta": beside,
                "delta_color": "off",
                "delta_arrow": "off",
                "border": True,
            }
        )
    return found


def above_text(value: float, of_a: float) -> str:
    """Return how an error lies beside that of A."""
    if of_a == 0:
        return "A has no error"
    share = value / of_a - 1
    return f"{100 * abs(share):.0f} % {'above' if share > 0 else 'below'} that of A"


def window_alt(forecasters: Sequence[Forecaster], window: int, column: int) -> str:
    """Return what the chart of a window shows, in words."""
    made = forecasters[0].made
    scale = Scale.of(made, column, own=True)
    truth = scale.values(made.truth[window, :, column])
    apart = [
        f"{one.name} is {error_text(float(np.abs(truth - forecast).mean()))} off on average"
        for one in forecasters
        for forecast in [scale.values(one.made.forecast[window, :, column])]
    ]
    return (
        f"{readable(made.facts.columns[column])} in the {made.facts.horizon} steps from "
        f"{moment(made.begins()[window])}: " + "; ".join(apart)
    )


# -- ways to a window ---------------------------------------------------------------------------


def _show_ways(forecasters: Sequence[Forecaster], look: Look, window: int) -> None:
    made = forecasters[0].made
    begins, last = made.begins(), made.facts.windows - 1
    errors = of_windows(made, look)
    slider, day = st.columns([4, 1], vertical_alignment="bottom")
    if last > 0:
        slider.slider(
            f"Window, from {moment(begins[window])}",
            1,
            last + 1,
            **mirrored("window", window + 1),
        )
    st.session_state["forecast-day"] = _day(begins[window])
    day.date_input(
        "First day",
        min_value=_day(begins[0]),
        max_value=_day(begins[-1]),
        key="forecast-day",
        on_change=_go_to_day,
        args=(begins,),
    )
    with st.container(horizontal=True):
        ways = {
            "Previous": (max(0, window - 1), "chevron_left", window == 0),
            "Next": (min(last, window + 1), "chevron_right", window == last),
            "Worst of A": (int(errors.argmax()), "trending_up", False),
        }
        if len(forecasters) > 1:
            other = forecasters[1]
            apart = errors - of_windows(other.made, look)
            name = other.role if other.role == "B" else "the baseline"
            ways[f"A beats {name} by most"] = (int(apart.argmin()), "thumb_up", False)
            ways[f"{name[0].upper()}{name[1:]} beats A by most"] = (
                int(apart.argmax()),
                "thumb_down",
                False,
            )
        for at, (label, (to, icon, disabled)) in enumerate(ways.items()):
            st.button(
                label,
                key=f"forecast-way-{at}",
                icon=f":material/{icon}:",
                disabled=disabled,
                on_click=go_to,
                args=(to,),
            )


def go_to(window: int) -> None:
    """Show a window, from 0."""
    write("window", window + 1)


def _go_to_day(begins: NDArray[np.datetime64]) -> None:
    day = st.session_state["forecast-day"]
    if isinstance(day, date):
        go_to(first_from(begins, np.datetime64(day)))


def first_from(begins: NDArray[np.datetime64], day: np.datetime64) -> int:
    """Return the first window that begins on a day or later, else the last."""
    return min(int(np.searchsorted(begins, day)), len(begins) - 1)


def _day(moment: np.datetime64) -> date:
    day = moment.astype("datetime64[D]").item()
    assert isinstance(day, date), "a day is a date"
    return day


def moment(at: np.datetime64) -> str:
    """Return a date and time as pages show them."""
    return str(np.datetime_as_string(at, unit="m")).replace("T", " ")
