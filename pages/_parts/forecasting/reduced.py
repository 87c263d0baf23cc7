"""Errors of forecasts, computed once for each content and kept while the dashboard runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from nas_engine.hindcasts import Hindcast, Numbers
from pages._parts.address import mirrored, word
from pages._parts.breakdown import MEASURES, Measure
from pages._parts.forecasting import errors
from pages._parts.forecasting.errors import Clock, Floats, Places
from pages._parts.forecasting.figures import Scale
from pages._parts.text import readable

OVER = {
    "all": "all columns",
    "column": "this column",
    "own": "this column, own units",
}


@dataclass(frozen=True)
class Look:
    """Which errors the page shows."""

    measure: Measure
    shown: int  # column that is drawn
    over: str  # of `OVER`
    columns: tuple[str, ...]

    @property
    def column(self) -> int | None:
        """The column whose errors count; None: the mean over all."""
        return None if self.over == "all" else self.shown

    def factor(self, made: Hindcast) -> float:
        """Return what errors on scaled data are multiplied by."""
        scale = Scale.of(made, self.column, self.over == "own")
        return scale.factor(self.measure == "mse")

    @property
    def name(self) -> str:
        """What is shown, such as `MSE, scaled`."""
        if self.over == "all":
            return MEASURES[self.measure]
        units = ", own units" if self.over == "own" else ""
        squared = " squared" if units and self.measure == "mse" else ""
        return f"{MEASURES[self.measure]} of {readable(self.columns[self.shown])}{units}{squared}"


def choose_look(made: Hindcast, target: str) -> Look:
    """Draw the choice of column and error."""
    columns = made.facts.columns
    default = target if target in columns else columns[0]
    name, measure = word("column", columns, default), word("error", MEASURES, "mse")
    over = word("over", OVER, "all") if len(columns) > 1 else word("over", OVER, "column")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Column",
            columns,
            format_func=readable,
            width=220,
            **mirrored("column", name, default),
        )
        st.segmented_control(
            "Error",
            list(MEASURES),
            required=True,
            format_func=MEASURES.__getitem__,
            **mirrored("error", measure, "mse"),
        )
        st.segmented_control(
            "Errors of",
            list(OVER) if len(columns) > 1 else ["column", "own"],
            required=True,
            format_func=OVER.__getitem__,
            help="All columns together are scaled, since they have no common unit.",
            **mirrored("over", over, "all"),
        )
    return Look(measure, columns.index(name), over, columns)


# -- kept ---------------------------------------------------------------------------------------


def of_windows_and_steps(made: Hindcast, look: Look) -> Numbers:
    """Return the errors by window and step, (N, H), in the units of the look."""
    return _by_window_and_step(made, made.key, look.measure, look.column, look.factor(made))


def of_windows(made: Hindcast, look: Look) -> Floats:
    """Return the error of each window, (N)."""
    return _by_window(made, made.key, look.measure, look.column, look.factor(made))


def of_steps(made: Hindcast, look: Look) -> Floats:
    """Return the mean error of each step, (H)."""
    return _by_step(made, made.key, look.measure, look.column, look.factor(made))


def of_stretches_and_steps(made: Hindcast, look: Look, most: int) -> tuple[Floats, Places]:
    """Return the mean error by stretch of windows and step, and the windows where they begin."""
    return _by_stretch(made, made.key, look.measure, look.column, look.factor(made), most)


def of_columns_and_steps(made: Hindcast, look: Look) -> Floats:
    """Return the errors by step and column, (H, C), scaled or each in its own units."""
    found = _by_step_and_column(made, made.key, look.measure)
    if look.over != "own":
        return found
    scales = np.array(made.facts.scale)
    scaled: Floats = found * (scales**2 if look.measure == "mse" else scales)
    return scaled


def of_clock(made: Hindcast, look: Look, clock: Clock) -> Floats:
    """Return the mean error at each hour, weekday or month."""
    return _by_clock(made, made.key, look.measure, look.column, look.factor(made), clock)


def of_clock_and_steps(made: Hindcast, look: Look, clock: Clock) -> Floats:
    """Return the mean error at each hour, weekday or month and step."""
    return _by_clock_and_step(made, made.key, look.measure, look.column, look.factor(made), clock)


@st.cache_resource(max_entries=24, show_spinner="Errors are taken apart…")
def _by_window_and_step(
    _made: Hindcast, key: str, measure: Measure, column: int | None, factor: float
) -> Numbers:
    found = errors.by_window_and_step(_made, measure, column) * np.float32(factor)
    found.setflags(write=False)
    return found


@st.cache_resource(max_entries=48, show_spinner=False)
def _by_window(
    _made: Hindcast, key: str, measure: Measure, column: int | None, factor: float
) -> Floats:
    error = _by_window_and_step(_made, key, measure, column, factor)
    found: Floats = error.mean(axis=1, dtype=np.float64)
    found.setflags(write=False)
    return found


@st.cache_resource(max_entries=48, show_spinner=False)
def _by_step(
    _made: Hindcast, key: str, measure: Measure, column: int | None, factor: float
) -> Floats:
    error = _by_window_and_step(_made, key, measure, column, factor)
    found: Floats = error.mean(axis=0, dtype=np.float64)
    return found


@st.cache_resource(max_entries=48, show_spinner=False)
def _by_stretch(
    _made: Hindcast, key: str, measure: Measure, column: int | None, factor: float, most: int
) -> tuple[Floats, Places]:
    error = _by_window_and_step(_made, key, measure, column, factor)
    return errors.by_stretch_and_step(error, most)


@st.cache_resource(max_entries=48, show_spinner=False)
def _by_step_and_column(_made: Hindcast, key: str, measure: Measure) -> Floats:
    return errors.by_step_and_column(_made, measure)


@st.cache_resource(max_entries=96, show_spinner=False)
def _by_clock(
    _made: Hindcast, key: str, measure: Measure, column: int | None, factor: float, clock: Clock
) -> Floats:
    error = _by_window_and_step(_made, key, measure, column, factor)
    return errors.by_group(error, errors.of_steps(_made, clock), len(errors.names_of(clock)))


@st.cache_resource(max_entries=96, show_spinner=False)
def _by_clock_and_step(
    _made: Hindcast, key: str, measure: Measure, column: int | None, factor: float, clock: Clock
) -> Floats:
    error = _by_window_and_step(_made, key, measure, column, factor)
    groups = errors.of_steps(_made, clock)
    return errors.by_group_and_step(error, groups, len(errors.names_of(clock)))
