"""Where A is better than another, and whether chance alone could have done it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import streamlit as st

from nas_engine.significance import MeanInterval, mean_over_blocks
from pages._parts.address import mirrored, word
from pages._parts.forecasting.errors import CLOCKS, Floats, clocks, names_of
from pages._parts.forecasting.figures import Forecaster, delta_alt, delta_figure
from pages._parts.forecasting.reduced import (
    Look,
    of_clock_and_steps,
    of_columns_and_steps,
    of_stretches_and_steps,
    of_windows,
)
from pages._parts.forecasting.window import moment
from pages._parts.live_chart import chart
from pages._parts.text import error_text, plain

MAP_CELLS, MOST_STRETCHES, MOST_COLUMNS = 20_000, 100, 40
BLOCK_HORIZONS = 2
"""Horizons in a block of windows: between the means of two, little depends on what they share."""

By = Literal["hour", "weekday", "month", "date", "column"]


def show(forecasters: Sequence[Forecaster], look: Look) -> None:
    """Draw the map of differences between A and another, and say what they come to."""
    a, others = forecasters[0], {one.role: one for one in forecasters[1:]}
    if not others:
        st.info("Choose a second trial or a baseline to hold trial A against.")
        return
    names = {role: plain(one.name) for role, one in others.items()}
    against = word("against", list(others), next(iter(others)))
    options: dict[By, str] = {**_clock_names(a), "date": "Date"}
    if len(look.columns) > 1:
        options["column"] = "Column"
    by = word("map", options, next(iter(options)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(others) > 1:
            st.segmented_control(
                "A is held against",
                list(others),
                required=True,
                format_func=names.__getitem__,
                **mirrored("against", against, next(iter(others))),
            )
        st.segmented_control(
            "Rows",
            list(options),
            required=True,
            format_func=options.__getitem__,
            **mirrored("map", by, next(iter(options))),
        )
    other = others[against]
    st.markdown(verdict(a, other, look))
    difference, rows = differences(a, other, look, by)
    if by == "column" and len(rows) < len(look.columns):
        st.caption(f"The {len(rows)} of {len(look.columns)} columns with the largest differences.")
    chart(
        delta_figure(difference, rows, options[by], (a.name, other.name), look.measure.upper()),
        key="forecast-delta",
        alt=delta_alt(difference, rows, (a.name, other.name)),
        height=440,
    )


def _clock_names(a: Forecaster) -> dict[By, str]:
    return {clock: CLOCKS[clock] for clock in clocks(a.made)}


def differences(
    a: Forecaster, other: Forecaster, look: Look, by: By
) -> tuple[Floats, Sequence[str]]:
    """Return the error of A less that of the other by row and step, and the names of the rows."""
    if by == "column":
        found = (of_columns_and_steps(a.made, look) - of_columns_and_steps(other.made, look)).T
        order = np.argsort(-np.abs(found.mean(axis=1)), kind="stable")[:MOST_COLUMNS]
        taken = np.sort(order)
        return found[taken], [look.columns[at] for at in taken]
    if by == "date":
        most = max(10, min(MOST_STRETCHES, MAP_CELLS // a.made.facts.horizon))
        mine, begins = of_stretches_and_steps(a.made, look, most)
        found = mine - of_stretches_and_steps(other.made, look, most)[0]
        return found, [moment(at) for at in a.made.begins()[begins]]
    found = of_clock_and_steps(a.made, look, by) - of_clock_and_steps(other.made, look, by)
    return found, names_of(by)


# -- in one sentence ----------------------------------------------------------------------------


def verdict(a: Forecaster, other: Forecaster, look: Look) -> str:
    """Return in how many windows A is better, and by how much on average, as Markdown."""
    apart = of_windows(a.made, look) - of_windows(other.made, look)
    facts = a.made.facts
    length = -(-BLOCK_HORIZONS * facts.horizon // facts.every)
    return verdict_text(
        apart, mean_over_blocks(apart, length), plain(a.name), plain(other.name), plain(look.name)
    )


def verdict_text(
    apart: Floats, interval: MeanInterval | None, name: str, other: str, error: str
) -> str:
    """Return the verdict on differences of errors by window, (N); names are safe in Markdown."""
    share, mean = float((apart < 0).mean()), float(apart.mean())
    begin = (
        f"**{name[0].upper()}{name[1:]} has the smaller error in {100 * share:.0f} % of "
        f"{len(apart):,} windows.** Its {error} is {error_text(abs(mean))} "
        f"{'lower' if mean < 0 else 'higher'} than that of {other} on average"
    )
    if interval is None:
        return (
            f"{begin}. The windows overlap so much that there are not two stretches to compare: "
            "chance may have done it."
        )
    low, high = sorted((-interval.low, -interval.high))
    bounds = f"{_signed(low)} to {_signed(high)}"
    settled = interval.low > 0 or interval.high < 0
    word = "more than chance would do" if settled else "which chance may have done"
    return (
        f"{begin}, {word} (95 % interval of the gain: {bounds}; Student's over the means of "
        f"{interval.blocks} blocks of about {interval.length} successive windows, since windows "
        "overlap; [Ibragimov and Müller 2010](https://doi.org/10.1198/jbes.2009.08046))."
    )


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")
