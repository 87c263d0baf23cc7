"""Errors of a training by horizon step and by column, and its forecasts beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from informer.records import ColumnForecast, Forecasts, PartErrors, WindowForecast
from pages._parts.breakdown import MEASURES, Broken, Measure, by_column, by_step
from pages._parts.figures import MUTED, colour, layout
from pages._parts.live_chart import Figure, chart
from pages._parts.text import error_text, plain, readable
from pages._parts.trial_view import View, choose_folder

# -- errors -------------------------------------------------------------------------------------


def show_errors(view: View) -> None:
    """Draw the errors by step and column: those on validation data; those on test data apart."""
    folder = choose_folder(view, "trial-errors-seed")
    if folder is None:
        return
    details = folder.read_details()
    if details is None:
        st.caption("The folder of this training has no errors by step and column.")
        return
    show_part(view, details.val, "val", "validation")
    with st.expander("Test split", key="trial-test"):
        trial = view.trial
        st.caption(
            "Computed once per training at its end; no part of a search reads it. "
            f"test_mse {error_text(trial.test_mse)}, test_mae {error_text(trial.test_mae)}."
        )
        show_part(view, details.test, "test", "test")


def show_part(view: View, errors: PartErrors, part: str, name: str) -> None:
    """Draw the errors on one part of the data."""
    key = view.search.id, view.trial.number
    trial = [Broken(key, f"trial {view.trial.number}", errors)]
    with st.container(horizontal=True, vertical_alignment="center"):
        measure: Measure = (
            st.segmented_control(
                "Error",
                list(MEASURES),
                default="mse",
                required=True,
                format_func=MEASURES.__getitem__,
                key=f"trial-{part}-measure",
                label_visibility="collapsed",
            )
            or "mse"
        )
        own = st.toggle(
            "Columns in their own units",
            key=f"trial-{part}-own",
            help="Squared units for MSE. Steps are always on scaled data, since they mix columns.",
        )
    left, right = st.columns(2)
    with left:
        st.markdown("**By step of the horizon**")
        chart(
            by_step(trial, measure),
            key=f"trial-{part}-steps-{view.reference}",
            alt=steps_alt(errors, measure, name),
        )
    with right:
        st.markdown(f"**By column{', in own units' if own else ''}**")
        chart(
            by_column(trial, measure, own),
            key=f"trial-{part}-columns-{view.reference}",
            alt=columns_alt(trial[0], measure, own, name),
        )


def steps_alt(errors: PartErrors, measure: Measure, name: str) -> str:
    """Return what the errors by step show, in words."""
    values = errors.mse_by_step if measure == "mse" else errors.mae_by_step
    return (
        f"{MEASURES[measure]} on the {name} part by step of the horizon: "
        f"{error_text(values[0])} at step 1, {error_text(values[-1])} at step {len(values)}"
    )


def columns_alt(trial: Broken, measure: Measure, own_units: bool, name: str) -> str:
    """Return what the errors by column show, in words."""
    values = trial.by_column(measure, own_units)
    worst = max(values, key=values.__getitem__)
    units = " in units of the data" if own_units else ""
    return (
        f"{MEASURES[measure]}{units} on the {name} part by column: the largest is "
        f"{error_text(values[worst])}, of {readable(worst)}"
    )


# -- forecasts ----------------------------------------------------------------------------------


def show_forecasts(view: View) -> None:
    """Draw the worst, the median and the best window of a column."""
    folder = choose_folder(view, "trial-forecasts-seed")
    if folder is None:
        return
    forecasts = folder.read_forecasts()
    if forecasts is None or not forecasts.windows:
        st.caption("This run has no forecasts: it was trained before they were kept.")
        return
    names = column_names(forecasts)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Column", names, key="trial-forecasts-column", format_func=readable, width=220
        )
        left_out = forecasts.forecast_columns - len(names)
        if left_out > 0:
            st.caption(
                f"The {len(names)} columns with the largest errors were kept, {left_out} were not."
            )
    for place, window in zip(st.columns(len(forecasts.windows)), forecasts.windows, strict=True):
        with place, st.container(border=True):
            st.markdown(f"**{window.which.capitalize()} window**")
            begins = window.begins.isoformat(sep=" ", timespec="minutes")
            st.caption(f"MSE {error_text(window.mse)} over all columns · from {begins}")
            column = next((c for c in window.columns if c.name == name), None)
            if column is None:
                st.caption(f"This window was kept without {plain(name)}.")
                continue
            chart(
                against_truth(window, column, view.trial.number, view.search.id),
                key=f"trial-forecast-{window.which}",
                alt=forecast_alt(window, column),
                height=280,
            )


def column_names(forecasts: Forecasts) -> list[str]:
    """Return the columns that were kept, the one with the largest error first."""
    return list(
        dict.fromkeys(column.name for window in forecasts.windows for column in window.columns)
    )


def against_truth(
    window: WindowForecast, column: ColumnForecast, number: int, search_id: int
) -> Figure:
    """Draw the end of the look-back, what came and what was forecast, in units of the data."""
    dates = [date.isoformat() for date in window.dates]
    seen = len(column.past)
    joined = column.past[-1:]  # so that the lines begin where the look-back ends
    ahead = dates[seen - len(joined) :]
    data = [
        _series("look-back", dates[:seen], column.past, MUTED, "solid", 1.4),
        _series("truth", ahead, (*joined, *column.truth), MUTED, "solid", 2.4),
        _series(
            "forecast", ahead, (*joined, *column.forecast), colour(number, search_id), "dash", 2.4
        ),
    ]
    layout_ = layout("", "", f"forecast-{search_id}.{number}-{window.which}-{column.name}")
    layout_["yaxis"]["title"]["text"] = ""
    layout_["showlegend"] = True
    return {"data": data, "layout": layout_}


def _series(
    name: str, x: Sequence[str], y: Sequence[float], ink: str, dash: str, width: float
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": ink, "dash": dash, "width": width},
        "hovertemplate": f"{name} %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def forecast_alt(window: WindowForecast, column: ColumnForecast) -> str:
    """Return what the chart of a window shows, in words."""
    apart = [abs(a - b) for a, b in zip(column.truth, column.forecast, strict=True)]
    return (
        f"Forecast of {readable(column.name)} beside the truth in the {window.which} window, "
        f"{len(apart)} steps from {window.begins.isoformat(sep=' ', timespec='minutes')}: "
        f"{error_text(sum(apart) / len(apart))} apart on average, {error_text(max(apart))} at most"
    )
