"""The tab of learning curves."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from nas_engine.store import trainings
from nas_engine.store.reader import Reader
from nas_engine.store.rows import BaselineRow, CurvePoint, EpochRow
from nas_engine.store.table import ALL, Pulse, Query, Term, keys
from pages._parts.address import flag, mirrored, number, word
from pages._parts.choice import Scope, trial_label
from pages._parts.figures import METRICS, near
from pages._parts.live_chart import chart
from pages._parts.opening import TRIAL, settings
from pages._parts.overlay import (
    AXES,
    MOST_LINES,
    RELATIVE,
    SAMPLE,
    Band,
    Line,
    Look,
    band_of,
    not_finite,
    overlay,
)
from pages._parts.selection import Key, reference_of
from pages._parts.text import error_text, plain

_FINISHED = (Term("ended", "!=", ""), Term("verdict", "!=", ""), Term("val_mse", "!=", ""))
"""Ended, judged, and with a figure: one that waits for more seeds is none of the finished."""


def choose_look() -> tuple[Look, bool]:
    """Draw how curves are drawn; return that, and whether with a band of all trials."""
    look = Look(
        metric=word("metric", METRICS, "val_mse"),
        relative=word("as", RELATIVE, "raw"),
        smoothing=number("smooth", 0.0, 0.0, 0.99),
        log=flag("log"),
        axis=word("x", AXES, "epoch"),
    )
    band = flag("band")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Metric",
            list(METRICS),
            required=True,
            format_func=METRICS.__getitem__,
            **mirrored("metric", look.metric, "val_mse"),
        )
        st.selectbox(
            "Shown",
            list(RELATIVE),
            format_func=RELATIVE.__getitem__,
            width=210,
            **mirrored("as", look.relative, "raw"),
        )
        st.segmented_control(
            "Along",
            list(AXES),
            required=True,
            format_func=AXES.__getitem__,
            **mirrored("x", look.axis, "epoch"),
        )
        st.slider(
            "Smoothing",
            0.0,
            0.99,
            step=0.01,
            width=170,
            help="Weight of an exponential moving average whose start is corrected for its bias "
            "(Kingma and Ba 2015); 0 draws what was measured.",
            **mirrored("smooth", look.smoothing, 0.0),
        )
        st.toggle(
            "Log scale", disabled=look.relative != "raw", **mirrored("log", look.log, default=False)
        )
        st.toggle(
            "All trials",
            disabled=look.axis != "epoch",
            help=f"A band from 10 to 90 % of the finished trials that the filter leaves, by epoch: "
            f"of {SAMPLE} evenly chosen ones where there are more. It is not smoothed.",
            **mirrored("band", band, default=False),
        )
    return look, band


def show(reader: Reader, scope: Scope, chosen: list[Key], reference: Key | None) -> None:
    """Draw the curves of the chosen trials over each other."""
    look, wants_band = choose_look()
    lines = lines_of(reader, scope, chosen[:MOST_LINES])
    held = next(iter(lines_of(reader, scope, [reference] if reference else [])), None)
    if not lines:
        st.info("None of the chosen trials has finished an epoch.")
        return
    if look.relative == "reference" and held is None:
        st.info("The reference has finished no epoch: there is nothing to hold the curves against.")
        return
    band, of = sampled_band(reader, scope, look, held) if wants_band else (None, 0)
    baselines = baselines_of(reader, scope, [line.key for line in lines])
    clicked = chart(
        overlay(lines, look, held, band, baselines),
        key="compare-curves",
        alt=f"{look.title} by {AXES[look.axis].lower()} of trials "
        + ", ".join(f"{line.name} ({len(line.epochs)} epochs)" for line in lines),
        height=430,
    )
    if clicked:
        st.switch_page(TRIAL, query_params={"trial": clicked})
    if wants_band:
        drawn = f"{band.trials} trials, evenly chosen of {of:,}" if band else "no trial"
        st.caption(f"The band is of {drawn} that have finished.")
    for sentence in remarks(chosen, lines, look, held, baselines):
        st.caption(sentence)


def lines_of(reader: Reader, scope: Scope, keys: Sequence[Key]) -> list[Line]:
    """Return the curves of trials, in this order, but of those that have finished no epoch."""
    epochs: dict[Key, list[EpochRow]] = {}
    for search in dict.fromkeys(search for search, _ in keys):
        numbers = [key[1] for key in keys if key[0] == search]
        for row in reader.epochs(search, numbers):
            epochs.setdefault((search, row.number), []).append(row)
    return [Line(key, trial_label(scope, key), epochs[key]) for key in keys if key in epochs]


def sampled_band(
    reader: Reader, scope: Scope, look: Look, held: Line | None
) -> tuple[Band | None, int]:
    """Return where most of the finished trials lie that the filter leaves, and their number."""
    if scope.query is None:
        return None, 0
    query = Query(scope.query.searches, (*scope.query.terms, *_FINISHED), limit=ALL)
    points, of = sampled_points(reader, str(settings().workspace.db), scope.pulses, query)
    return band_of(points, look, held), of


@st.cache_data(max_entries=4, show_spinner=False)
def sampled_points(
    _reader: Reader, db: str, pulses: tuple[Pulse, ...], query: Query
) -> tuple[list[CurvePoint], int]:
    """Return the epochs of evenly chosen trials of a query, at most `SAMPLE`, and their number."""
    found = keys(_reader, query)
    last = min(len(found), SAMPLE) - 1
    evenly = [found[k * (len(found) - 1) // max(last, 1)] for k in range(last + 1)]
    return trainings.curves(_reader, evenly), len(found)


def baselines_of(reader: Reader, scope: Scope, keys: Sequence[Key]) -> list[BaselineRow]:
    """Return the baselines of trials of one task; of several tasks, none."""
    searches = list(dict.fromkeys(search for search, _ in keys))
    same = all(scope.comparable(searches[0], search) for search in searches)
    return reader.baselines(searches[0]) if same else []


def remarks(
    chosen: Sequence[Key],
    lines: Sequence[Line],
    look: Look,
    held: Line | None,
    baselines: Sequence[BaselineRow],
) -> list[str]:
    """Return in sentences what the chart does not show."""
    found = []
    if len(chosen) > MOST_LINES:
        found.append(f"{MOST_LINES} of {len(chosen)} drawn: the first that were chosen.")
    without = [key for key in chosen[:MOST_LINES] if key not in {line.key for line in lines}]
    if without:
        found.append(f"No epoch yet: {', '.join(map(reference_of, without))}.")
    broken = [
        f"trial {reference_of(line.key)}: {len(epochs)} of {len(line.epochs)} epochs"
        for line in lines
        if (epochs := not_finite(line, look.metric))
    ]
    if broken:
        found.append(f"▽ {METRICS[look.metric]} was not finite: {'; '.join(broken)}.")
    longest = max((len(line.epochs) for line in lines), default=0)
    if look.relative == "reference" and held and len(held.epochs) < longest:
        found.append(f"The reference has had {len(held.epochs)} epochs; no later ones are drawn.")
    rivals = [row for row in baselines if row.split == "val"]
    values = [value for line in lines for value in line.values("val_mse") if value is not None]
    far = [row for row in rivals if row not in near(rivals, values, "val_mse")]
    if look.relative == "raw" and look.metric != "train_loss" and far:
        names = ", ".join(f"{plain(row.name)} {error_text(row.mse)}" for row in far)
        found.append(f"Baselines beyond this scale (val_mse): {names}.")
    return found
