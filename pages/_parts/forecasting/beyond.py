"""The steps after the end of the data, as A, B and the baseline forecast them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from informer.intervals import Intervals, calibrated, spread
from nas_engine.hindcasts import Hindcast, Numbers
from nas_engine.store.reader import Reader
from pages._parts.address import mirrored, word
from pages._parts.download import csv_text, file_name
from pages._parts.forecasting.choosing import Choice, asked_of
from pages._parts.forecasting.computing import forecasters
from pages._parts.forecasting.errors import Floats
from pages._parts.forecasting.figures import Forecaster, Scale, band, window_figure
from pages._parts.forecasting.window import LONGEST_PAST, SHORTEST_PAST, moment
from pages._parts.live_chart import chart
from pages._parts.text import error_text, plain, readable

LEVELS = {"80": 0.8, "90": 0.9}
MOST_NUMBERS = 20_000_000  # of all look-backs of a column, beyond which some windows are left out


def show(reader: Reader, choice: Choice, judged: Sequence[Forecaster], column: int) -> None:
    """Draw what comes after the last row, with an interval around the forecast of A.

    Args:
        reader: of the workspace.
        choice: who forecasts.
        judged: the forecasts of the part that the page shows, A's first.
        column: its number.
    """
    found = forecasters(asked_of(reader, choice, "future"), "forecast-beyond")
    if not found or found[0].role != "A":
        return
    first, facts = found[0], found[0].made.facts
    past = min(facts.seq_len, max(SHORTEST_PAST, min(2 * facts.horizon, LONGEST_PAST)))
    scale = Scale.of(first.made, column, own=True)
    figure = window_figure(found, 0, column, past, scale)
    last = moment(first.made.dates[facts.past - 1])
    st.caption(
        f"From the last {facts.seq_len} steps of A's look-back, which end at {last}. No figure on "
        "this page tells how good these are: their truth is not known yet."
    )
    if judged[0].made.facts.part == "val":
        _show_interval(first, judged[0].made, column, scale, figure)
    else:
        st.caption("Intervals are calibrated on validation: choose its windows to see one.")
    chart(
        figure,
        key="forecast-beyond",
        alt=beyond_alt(found, column, scale),
        height=360,
    )
    st.download_button(
        "These forecasts of all columns, as CSV",
        lambda: csv_text(rows(found)),
        file_name=file_name(["forecast", *(one.role for one in found)], "csv"),
        mime="text/csv",
        key="forecast-beyond-csv",
        icon=":material/download:",
        on_click="ignore",
    )
    st.caption(
        "For other data than those of the search: bundle the trial, and python -m informer.predict."
    )


def _show_interval(
    first: Forecaster, made: Hindcast, column: int, scale: Scale, figure: dict[str, object]
) -> None:
    chosen = word("level", LEVELS, "80")
    name = f"{chosen} %"
    st.segmented_control(
        "Interval around A",
        list(LEVELS),
        required=True,
        format_func="{} %".format,
        **mirrored("level", chosen, "80"),
    )
    intervals = intervals_of(made, made.key, column)
    level = intervals.find(LEVELS[chosen])
    if level is None:
        st.caption(f"{intervals.windows:,} windows of validation are too few for {name}.")
        return
    low, high = bounds(intervals, LEVELS[chosen], first.made, column)
    dates = np.datetime_as_string(first.made.dates[first.made.rows(0)], unit="s").tolist()
    band(figure, dates, scale.values(low), scale.values(high), f"{name} interval of A")
    held = (
        ""
        if level.validation is None
        else f" Calibrated on the earlier half of validation alone, they held "
        f"{100 * level.validation.fixed:.0f} % of the values of the later half."
    )
    st.caption(
        f"Split conformal, from the errors of A in {intervals.windows:,} windows of validation, "
        f"for each step, in deviations of the look-back (Lei et al. 2018).{held}"
    )


@st.cache_data(max_entries=16, show_spinner=False)
def intervals_of(_made: Hindcast, key: str, column: int) -> Intervals:
    """Return the intervals of one column, from the errors of all windows of a part."""
    facts = _made.facts
    every = max(1, -(-facts.windows * facts.seq_len // MOST_NUMBERS))
    truth = _made.truth[::every, :, column : column + 1]
    errors = truth.astype(np.float64) - _made.forecast[::every, :, column : column + 1]
    spreads = spread(look_backs(_made, column)[::every, :, None].astype(np.float64))
    return calibrated(errors, spreads, apart=every * facts.every, levels=tuple(LEVELS.values()))


def look_backs(made: Hindcast, column: int) -> Numbers:
    """Return the look-back of each window, (N, L): a view, nothing is copied."""
    facts = made.facts
    begin = facts.past - facts.seq_len
    seen = np.lib.stride_tricks.sliding_window_view(made.values[begin:, column], facts.seq_len)
    return seen[:: facts.every][: facts.windows]


def bounds(
    intervals: Intervals, level: float, future: Hindcast, column: int
) -> tuple[Floats, Floats]:
    """Return the lower and the upper bound of the steps after the end, (H), on scaled data."""
    chosen = intervals.find(level)
    assert chosen is not None, "the level was found"
    facts = future.facts
    past = future.values[facts.past - facts.seq_len : facts.past, column].astype(np.float64)
    width = intervals.half_widths(spread(past[None, :, None]), chosen)[0, :, 0]
    made = future.forecast[0, :, column].astype(np.float64)
    return made - width, made + width


def rows(found: Sequence[Forecaster]) -> list[dict[str, object]]:
    """Return a row for each step to come: its date, and the forecasts in own units."""
    made = found[0].made
    columns: dict[str, Sequence[object]] = {"date": [moment(at) for at in made.dates[made.rows(0)]]}
    for one in found:
        for number, name in enumerate(one.made.facts.columns):
            values = Scale.of(one.made, number, own=True).values(one.made.forecast[0, :, number])
            columns[f"{name} by {one.name}"] = [float(f"{value:.7g}") for value in values]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def beyond_alt(found: Sequence[Forecaster], column: int, scale: Scale) -> str:
    """Return what the chart shows, in words."""
    facts, dates = found[0].made.facts, found[0].made.dates
    parts = []
    for one in found:
        values = scale.values(one.made.forecast[0, :, column])
        parts.append(
            f"{one.name} from {error_text(float(values[0]))} to {error_text(float(values[-1]))}"
        )
    name = readable(facts.columns[column])
    return f"{plain(name)} in the {facts.horizon} steps after {moment(dates[facts.past - 1])}: " + (
        "; ".join(parts)
    )
