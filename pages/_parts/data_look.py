"""A data set looked at before anything is trained: series, seasons, drift, baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from data.parts import Parts, spans
from data.profile import (
    MOST_ROWS,
    Drift,
    Peak,
    Rhythm,
    Strength,
    autocorrelation,
    detrended,
    drift,
    drift_stride,
    main_seasons,
    newest,
    on_steps,
    peaks,
    rhythms,
    strength,
    worst_drift,
)
from data.registry import DataError, Dataset
from data.series import prepared
from data.splits import Floats, Scaler
from informer.baselines import errors, thinning
from pages._parts.data_figures import (
    autocorrelation_lines,
    moment_text,
    parts_bar,
    rhythm_band,
    series_by_part,
)
from pages._parts.figures import MOST_DATES
from pages._parts.live_chart import chart
from pages._parts.text import count_text, error_text, plain, readable

SECTIONS = ("Series", "Seasons", "Drift", "Baselines")
MOST_COLUMNS = 8  # drawn at once
SIGNS = {"training": ":blue[■]", "validation": ":orange[■]", "test": ":green[■]"}  # as on the bar
FEW_SEASONS = 10  # of which the means fit the noise too
KEPT = 16  # baselines that a visitor's session remembers


@dataclass(frozen=True)
class Subject:
    """A table under the facts of its data set."""

    dataset: Dataset
    frame: pd.DataFrame  # (T, C) by date
    identity: str  # another one whenever data set or table are
    key: str  # prefix of the widgets' keys


def show_look(subject: Subject, lengths: tuple[int, int] | None) -> None:
    """Draw the section that is open; what the others hold is not computed.

    Args:
        subject: what is looked at.
        lengths: look-back and horizon of the baselines; None lets them be chosen there.
    """
    tabs = st.tabs(list(SECTIONS), key=f"{subject.key}-look", on_change="rerun")
    for tab, name in zip(tabs, SECTIONS, strict=True):
        if not tab.open:
            continue
        with tab:
            try:
                match name:
                    case "Series":
                        show_series(subject)
                    case "Seasons":
                        show_seasons(subject)
                    case "Drift":
                        show_drift(subject)
                    case _:
                        show_baselines(subject, *(lengths or choose_lengths(subject)))
            except DataError as error:
                st.info(plain(str(error)))


# -- parts and series ---------------------------------------------------------------------------


def show_parts(index: pd.DatetimeIndex, parts: Parts, key: str) -> None:
    """Draw how the rows are divided, with the dates of each part."""
    found = spans(index, parts)
    unused = len(index) - sum(parts)
    said = "; ".join(f"{part.name} {part.rows:,} rows" for part in found)
    chart(parts_bar(found, unused), f"{key}-parts", f"Parts: {said}", height=34)
    with st.grid(3, min_column_width=150):
        for part in found:
            st.caption(
                f"{SIGNS[part.name]} **{part.name.capitalize()}** {count_text(part.rows)} rows  \n"
                f"{plain(moment_text(part.first))} to {plain(moment_text(part.last))}"
            )
    if unused:
        st.caption(f"The last {count_text(unused)} rows are in no part: the split is a fixed one.")


def choose_columns(subject: Subject, key: str) -> list[str]:
    """Let the columns to draw be chosen; the target is drawn at first."""
    options = list(subject.frame.columns)
    chosen: list[str] = st.multiselect(
        "Columns to draw",
        options,
        default=[subject.dataset.target],
        max_selections=MOST_COLUMNS,
        key=key,
        format_func=readable,
    )
    if not chosen:
        st.info("Choose a column to draw.")
    return chosen


def show_series(subject: Subject) -> None:
    """Draw chosen columns over time, with the borders of the parts."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        drawn = choose_columns(subject, f"{subject.key}-drawn")
    scaled = right.toggle(
        "Scaled",
        key=f"{subject.key}-scaled",
        help="As models see the values: scaled by what the training part is like.",
    )
    if not drawn:
        return
    frame = subject.frame[drawn]
    if scaled:
        training = frame.to_numpy(np.float64)[: subject.dataset.split_rows[0]]
        scaler = Scaler.fit(training, subject.dataset.scaling)
        values = scaler.transform(frame.to_numpy(np.float64))
        frame = pd.DataFrame(values, frame.index, frame.columns)
    draw_series(frame, drawn, subject.dataset.split_rows, subject.dataset.frequency, subject.key)


def draw_series(
    frame: pd.DataFrame, drawn: Sequence[str], parts: Parts | None, frequency: str | None, key: str
) -> None:
    """Draw columns over time; a line does not bridge missing steps."""
    figure_frame = frame
    if frequency is not None and frame.index.is_unique:
        figure_frame = on_steps(frame, frequency)
    figure = series_by_part(frame, drawn, parts)
    if figure_frame is not frame:
        figure["data"] = series_by_part(figure_frame, drawn, None)["data"]
    listed = readable(", ".join(drawn))
    chart(figure, f"{key}-series", f"{listed} over time", height=290)
    if len(figure_frame) > MOST_DATES:
        every = -(-len(figure_frame) // MOST_DATES)
        st.caption(f"One of every {every} rows is drawn.")


# -- seasons ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What is known about the seasons of a column."""

    rows: int  # that were looked at
    seasons: tuple[int, ...]  # that the frequency suggests
    correlations: Floats  # (K + 1,) of the values
    without_trend: Floats  # (K + 1,)
    peaks: list[Peak]
    strengths: list[Strength]
    rhythms: list[Rhythm]


@st.cache_data(max_entries=64, show_spinner="Looking for seasons…")
def seasons_of(identity: str, column: str, _subject: Subject) -> Seen:
    """Return what the seasons of a column are; raises DataError."""
    dataset = _subject.dataset
    frame = on_steps(_subject.frame[[column]], dataset.frequency)
    values = newest(frame[column].to_numpy(np.float64))
    seasons = main_seasons(dataset.frequency, len(values))
    lags = min(2 * max(seasons, default=50), len(values) // 2)
    without_trend = autocorrelation(detrended(values, seasons), lags)
    return Seen(
        rows=len(values),
        seasons=seasons,
        correlations=autocorrelation(values, lags),
        without_trend=without_trend,
        peaks=peaks(without_trend, len(values), seasons),
        strengths=[strength(values, steps) for steps in seasons],
        rhythms=rhythms(values, pd.DatetimeIndex(frame.index[-len(values) :])),
    )


def show_seasons(subject: Subject) -> None:
    """Draw the autocorrelation of a column, how strong its seasons are, and its rhythms."""
    options = list(subject.frame.columns)
    column = st.selectbox(
        "Column",
        options,
        options.index(subject.dataset.target),
        key=f"{subject.key}-season-column",
        format_func=readable,
    )
    seen = seasons_of(subject.identity, column, subject)
    st.markdown(plain(peaks_text(seen.peaks)))
    with st.grid("auto", min_column_width=170):
        for found in seen.strengths:
            st.metric(
                f"Season of {found.steps:,} steps",
                f"{found.season:.2f}",
                border=True,
                help="Strength from 0 to 1 (Wang, Smith & Hyndman 2006) of a classical "
                "decomposition: moving average over the season, mean of each of its steps, rest.",
            )
        if seen.strengths:
            st.metric(
                "Trend",
                f"{seen.strengths[0].trend:.2f}",
                border=True,
                help=f"Strength from 0 to 1 of the moving average over "
                f"{seen.strengths[0].steps:,} steps.",
            )
    if few := [steps for steps in seen.seasons if seen.rows < FEW_SEASONS * steps]:
        st.caption(
            f"The rows hold few seasons of {' and '.join(f'{steps:,}' for steps in few)} steps, "
            "which makes them look stronger than they are."
        )
    chart(
        autocorrelation_lines(seen.correlations, seen.without_trend, seen.peaks[:3], seen.seasons),
        f"{subject.key}-autocorrelation",
        f"Autocorrelation of {readable(column)} up to lag {len(seen.correlations) - 1}",
        height=270,
    )
    if seen.rhythms:
        with st.grid(len(seen.rhythms), min_column_width=260):
            for at, rhythm in enumerate(seen.rhythms):
                with st.container():
                    chart(
                        rhythm_band(rhythm),
                        f"{subject.key}-rhythm-{at}",
                        f"{readable(column)} by {rhythm.cycle}: mean, median and quartiles",
                        height=230,
                    )
        st.caption("Line: mean. Dotted: median. Band: from the lower to the upper quartile.")
    if seen.rows == MOST_ROWS:
        st.caption(f"Of the newest {count_text(MOST_ROWS)} rows.")


def peaks_text(found: Sequence[Peak]) -> str:
    """Return a sentence about the strongest peaks of an autocorrelation."""
    if not found:
        return "No season stands out in the autocorrelation."
    lags = [f"{peak.lag:,}" for peak in found[:3]]
    listed = lags[0] if len(lags) == 1 else f"{', '.join(lags[:-1])} and {lags[-1]}"
    return f"Autocorrelation is strongest at {listed} steps."


# -- drift --------------------------------------------------------------------------------------


@st.cache_data(max_entries=16, show_spinner="Comparing the parts…")
def drift_of(identity: str, _subject: Subject) -> list[Drift]:
    """Return how validation and test differ from training, by column."""
    values = _subject.frame.to_numpy(np.float64)
    return drift(values, list(_subject.frame.columns), _subject.dataset.split_rows)


def show_drift(subject: Subject) -> None:
    """Tell which column's later parts differ most from training, and list all."""
    found = drift_of(subject.identity, subject)
    if not found:
        st.info("No column varies over training and has values in the other parts.")
        return
    st.markdown(plain(worst_drift(found)))
    by_column: dict[str, dict[str, object]] = {}
    for row in found:
        by_column.setdefault(row.column, {"Column": readable(row.column)}).update(
            {
                f"{row.part.capitalize()}: mean": row.shift,
                f"{row.part.capitalize()}: deviation": row.ratio,
                f"{row.part.capitalize()}: distance": row.distance,
            }
        )
    frame = pd.DataFrame(list(by_column.values()))
    number = st.column_config.NumberColumn
    st.dataframe(
        frame.sort_values(frame.columns[-1], ascending=False),
        hide_index=True,
        key=f"{subject.key}-drift",
        column_config={
            name: (
                st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.2f")
                if name.endswith("distance")
                else number(format="%+.2f" if name.endswith("mean") else "× %.2f")
            )
            for name in frame.columns[1:]
        },
        alt="Drift of each column from training to validation and test",
    )
    compared = [
        drift_stride(rows, len(subject.frame.columns)) for rows in subject.dataset.split_rows
    ]
    thinned = f" on one of every {max(compared)} rows at most" if max(compared) > 1 else ""
    st.caption(
        "Mean: shift in deviations of the training part. Deviation: times that of training. "
        f"Distance: Kolmogorov and Smirnov's{thinned}, 0 for the same distribution, 1 for no "
        "overlap. A part shorter than a year also differs by its time of the year."
    )


# -- baselines ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """Errors of the baselines on validation, best first."""

    rows: list[dict[str, object]]
    every: int  # windows were taken one in so many


def choose_lengths(subject: Subject) -> tuple[int, int]:
    """Let look-back and horizon be chosen; those recorded with the data set come first."""
    dataset, key = subject.dataset, f"{subject.key}-{subject.dataset.name}"
    left, right, _ = st.columns([1, 1, 2])
    seq_len = left.number_input("Look-back", 1, 4096, dataset.seq_len or 96, key=f"{key}-seq_len")
    pred_len = right.number_input("Horizon", 1, 2048, dataset.pred_len or 24, key=f"{key}-pred_len")
    return seq_len, pred_len


def show_baselines(subject: Subject, seq_len: int, pred_len: int) -> None:
    """Draw what forecasts without training come to on validation."""
    held: dict[tuple[str, int, int], Judged] = st.session_state.setdefault("data-baselines", {})
    wanted = (subject.identity, seq_len, pred_len)
    if wanted not in held:
        bar = st.progress(0.0, "Computing the baselines…")

        def told(share: float) -> None:
            bar.progress(min(share, 1.0), "Computing the baselines…")

        try:
            judged = judge(subject, seq_len, pred_len, told)
        finally:
            bar.empty()
        while len(held) >= KEPT:
            held.pop(next(iter(held)))
        held[wanted] = judged
    judged = held[wanted]
    figure = st.column_config.NumberColumn(format="%.4g")
    st.dataframe(
        pd.DataFrame(judged.rows),
        hide_index=True,
        key=f"{subject.key}-baselines",
        column_config={name: figure for name in list(judged.rows[0])[1:]},
        alt="Errors of the baselines on validation",
    )
    best = judged.rows[0]
    st.caption(
        plain(
            f"Validation, look-back {seq_len}, horizon {pred_len}, all targets (M). "
            f"To beat: {best['Baseline']} with MSE {error_text(float(str(best['MSE'])))}."
        )
    )
    if judged.every > 1:
        st.caption(f"Learned from and judged on one of every {judged.every} windows.")
    if subject.dataset.season == 1:
        st.caption("The data set has no season: seasonal-naive repeats the last value.")


def judge(subject: Subject, seq_len: int, pred_len: int, told: Callable[[float], None]) -> Judged:
    """Return what forecasts without training come to; raises DataError."""
    dataset = subject.dataset
    source = prepared(dataset, subject.frame, "M", dataset.target)
    if dataset.split_rows[0] < seq_len + pred_len or min(dataset.split_rows[1:]) < pred_len:
        raise DataError("A part holds no window of this look-back and horizon; take shorter ones.")
    every = thinning(source, seq_len, pred_len, ("val",))
    found = errors(source, seq_len, pred_len, judged=("val",), every=every, progress=told)["val"]
    at = source.roles.forecast.index(dataset.target)
    unit = float(source.scaler.scale[source.outputs][at])
    rows: list[dict[str, object]] = [
        {
            "Baseline": name,
            "MSE": sums.mse,
            "MAE": sums.mae,
            f"MAE of {readable(dataset.target)}, own units": float(sums.absolute[:, at].mean())
            * unit,
        }
        for name, sums in found.items()
    ]
    return Judged(sorted(rows, key=lambda row: float(str(row["MSE"]))), every)
