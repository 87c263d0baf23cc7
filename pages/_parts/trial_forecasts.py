"""Errors of a training by horizon step and by column, and its forecasts beside the truth."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st

from informer.rundir import ColumnForecast, Forecasts, PartErrors, RunDir, WindowForecast
from pages._parts.figures import MUTED, colour, layout
from pages._parts.live_chart import Figure, chart
from pages._parts.text import error_text, plain, readable
from pages._parts.trial_view import View

Units = Literal["scaled", "own"]
MOST_COLUMNS = 60  # that a chart of columns shows: the worst


def choose_run(view: View, key: str) -> RunDir | None:
    """Let a person choose one of the trainings that have a result, and return its folder."""
    seeds = [run.seed for run in view.runs if run.val_mse is not None]
    if not seeds:
        st.caption("No training of this trial has a result.")
        return None
    seed = seeds[0]
    if len(seeds) > 1:
        chosen = st.segmented_control(
            "Seed", seeds, default=seed, required=True, format_func="seed {}".format, key=key
        )
        seed = seed if chosen is None else chosen
    return view.folder(seed)


# -- errors -------------------------------------------------------------------------------------


def show_errors(view: View) -> None:
    """Draw the errors by step and column: those on validation data; those on test data apart."""
    folder = choose_run(view, "trial-errors-seed")
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
    number, search_id = view.trial.number, view.search.id
    left, right = st.columns(2)
    with left:
        st.markdown("**By step of the horizon**")
        chart(
            by_step(errors, number, search_id),
            key=f"trial-{part}-steps",
            alt=steps_alt(errors, name),
        )
    with right:
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            st.markdown("**By column**", width="content")
            own = st.toggle("In units of the data", key=f"trial-{part}-own")
        units: Units = "own" if own else "scaled"
        chart(
            by_column(errors, units, number, search_id),
            key=f"trial-{part}-columns",
            alt=columns_alt(errors, units, name),
        )
        if len(errors.columns) > MOST_COLUMNS:
            st.caption(f"The worst {MOST_COLUMNS} of {len(errors.columns)} columns.")


def by_step(errors: PartErrors, number: int, search_id: int) -> Figure:
    """Draw MSE and MAE by step of the horizon, on scaled data."""
    steps = list(range(1, len(errors.mse_by_step) + 1))
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(steps) <= 48 else "lines",
            "name": name,
            "x": steps,
            "y": list(values),
            "line": {"color": colour(number, search_id), "dash": dash, "width": 2},
            "marker": {"size": 4},
            "hovertemplate": f"step %{{x}}: {name} %{{y:.4g}}<extra></extra>",
        }
        for name, values, dash in (
            ("MSE", errors.mse_by_step, "solid"),
            ("MAE", errors.mae_by_step, "dot"),
        )
    ]
    layout_ = layout("Step", "Error", f"steps-{search_id}.{number}")
    layout_["xaxis"] |= {"tickformat": "d", "zeroline": False}
    layout_["yaxis"]["rangemode"] = "tozero"
    return {"data": data, "layout": layout_}


def by_column(errors: PartErrors, units: Units, number: int, search_id: int) -> Figure:
    """Draw bars of MSE by column, or of MAE in the units of the data; the worst come first."""
    values = errors.mse_by_column if units == "scaled" else errors.own_mae_by_column
    order = sorted(range(len(values)), key=lambda at: -values[at])[:MOST_COLUMNS]
    measure = "MSE" if units == "scaled" else "MAE in units of the data"
    layout_ = layout("", measure, f"columns-{search_id}.{number}-{units}")
    layout_["xaxis"]["type"] = "category"
    return {
        "data": [
            {
                "type": "bar",
                "x": [_name(errors.columns[at]) for at in order],
                "y": [values[at] for at in order],
                "marker": {"color": colour(number, search_id)},
                "hovertemplate": f"%{{x}}: {measure} %{{y:.4g}}<extra></extra>",
            }
        ],
        "layout": layout_,
    }


def steps_alt(errors: PartErrors, name: str) -> str:
    """Return what the errors by step show, in words."""
    first, last = errors.mse_by_step[0], errors.mse_by_step[-1]
    return (
        f"Errors on the {name} part by step of the horizon: MSE {error_text(first)} at step 1, "
        f"{error_text(last)} at step {len(errors.mse_by_step)}"
    )


def columns_alt(errors: PartErrors, units: Units, name: str) -> str:
    """Return what the errors by column show, in words."""
    values = errors.mse_by_column if units == "scaled" else errors.own_mae_by_column
    at = max(range(len(values)), key=values.__getitem__)
    measure = "MSE" if units == "scaled" else "MAE in units of the data"
    return (
        f"Errors on the {name} part by column: the largest {measure} is {error_text(values[at])}, "
        f"of {readable(errors.columns[at])}"
    )


# -- forecasts ----------------------------------------------------------------------------------


def show_forecasts(view: View) -> None:
    """Draw the worst, the median and the best window of a column."""
    folder = choose_run(view, "trial-forecasts-seed")
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


def _name(name: str) -> str:
    return html.escape(readable(name))
