"""The Pareto front of a search on the Live page: its figure, its growth, its gaps, its members."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from data.registry import DataError
from informer.config import ConfigError, from_flat
from nas_engine.amounts import gap_text
from nas_engine.front import Gap, Growth, box, front, gaps, growth
from nas_engine.objectives import MEASURES, Objective, exact_figures
from nas_engine.search import SearchSpec
from nas_engine.store.outcomes import Outcome, outcomes
from nas_engine.store.rows import BaselineRow
from nas_engine.store.table import Results
from pages._parts.all_trials import BY_MARK
from pages._parts.download import csv_text, file_name
from pages._parts.effects import relative_change
from pages._parts.front_figures import (
    front_figure,
    front_text,
    growth_figure,
    growth_text,
)
from pages._parts.history import OPEN
from pages._parts.live_chart import Figure, chart
from pages._parts.snapshot import Snapshot
from pages._parts.states import SOURCES
from pages._parts.tables import ERROR_FORMAT
from pages._parts.text import changes_text, readable

MOST_COUNTED = 100
"""Trials without a result whose costs are counted by arithmetic, the newest."""
MOST_GAPS = 3
HEIGHT = 360  # of each chart, in pixels
MARKS = (
    "Filled on the line: the front, which no accepted trial beats in all objectives. Star: the "
    "lowest error. Grey: dominated, or not accepted (open). Cross: breaks the bounds. At the foot: "
    "what trains, at its cost. A click opens a trial."
)
SHARE = (
    "The share of the box of objectives that the front dominates: the error from 0 to trial 0's, "
    "each cost on a log scale from the least to twice the most of all results, or to its bound. It "
    "is that of now, so earlier shares may change when a trial is cheaper or dearer than all "
    "before it."
)
BY = ("trials", "hours")


# -- what is computed ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """A front as the page shows it."""

    members: list[Outcome]
    start: Outcome | None
    figure: Figure
    text: str
    growth: list[Growth]
    ended: list[float]  # when trials ended, by time
    gaps: list[Gap]


def placed(results: Results) -> list[Outcome]:
    """Return the trials of one search, those without a result with their costs by arithmetic."""
    found = outcomes(results)
    bare = [
        at for at, row in enumerate(found) if row.val_mse is None and row.state in (*OPEN, "pruned")
    ]
    for at in bare[-MOST_COUNTED:]:
        row = found[at]
        config = {**results.starts.get(row.search, {}), **json.loads(row.differences)}
        try:
            whole = from_flat(config)
            exact = exact_figures(whole)
            found[at] = row._replace(parameters=exact["parameters"], flops=exact["flops"])
        except (ConfigError, DataError):  # its data set is gone: it is drawn once it has a result
            continue
    return found


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=BY_MARK | {BaselineRow: hash})
def drawn_front(
    results: Results, baselines: tuple[BaselineRow, ...], cost: Objective, _spec: SearchSpec
) -> Drawn:
    """Return the front of a search, computed anew only when something has changed.

    What a search wants low never changes, so `_spec` is no part of the key.
    """
    trials = placed(results)
    members, within = front(trials, _spec), box(trials, _spec)
    return Drawn(
        members=members,
        start=next((row for row in trials if row.number == 0), None),
        figure=front_figure(trials, members, cost, _spec, baselines),
        text=front_text(trials, members, cost, _spec),
        growth=growth(trials, _spec),
        ended=sorted(row.ended_at for row in trials if row.ended_at is not None),
        gaps=gaps(members, within, _spec) if within else [],
    )


def members_frame(
    members: Sequence[Outcome], start: Outcome | None, spec: SearchSpec
) -> pd.DataFrame:
    """Return a row for each member of a front, by error, with its differences to trial 0.

    Columns are "Trial", "Source", and for each figure of the search its name and its name with
    " vs 0 %", then "Changes" to trial 0.
    """
    rows = []
    for row in members:
        line: dict[str, Any] = {"Trial": row.number, "Source": SOURCES.get(row.source, row.source)}
        for name in spec.counted:
            line[name] = value = getattr(row, name)
            change = relative_change(value, getattr(start, name, None))
            line[f"{name} vs 0 %"] = None if change is None else 100 * change
        rows.append(line | {"Changes": readable(changes_text(json.loads(row.differences)))})
    return pd.DataFrame(rows)


# -- what is drawn ------------------------------------------------------------------------------


def show_front(snapshot: Snapshot) -> str | None:
    """Draw the front of a search with several objectives; a clicked trial."""
    search = snapshot.search
    left, right = st.columns(2)
    with left, st.container(border=True, height="stretch"):
        cost = _choose_cost(search.spec.objectives[1:])
        drawn = drawn_front(snapshot.results, tuple(snapshot.baselines), cost, search.spec)
        clicked = chart(drawn.figure, key="live-front", alt=drawn.text, height=HEIGHT)
    with right, st.container(border=True, height="stretch"):
        _show_growth(drawn, search.created_at)
    _show_members(drawn, search.spec, search.id)
    return clicked


def _choose_cost(costs: Sequence[Objective]) -> Objective:
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.markdown("**Front**", help=MARKS)
        if len(costs) == 1:
            return costs[0]
        return (
            st.segmented_control(
                "Cost",
                costs,
                default=costs[0],
                required=True,
                format_func=lambda name: MEASURES[name].title,
                key="live-front-cost",
                label_visibility="collapsed",
            )
            or costs[0]
        )


def _show_growth(drawn: Drawn, began: float) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.markdown("**Hypervolume**", help=SHARE)
        by = st.segmented_control(
            "By",
            BY,
            default=BY[0],
            required=True,
            key="live-front-by",
            label_visibility="collapsed",
        )
    chart(
        growth_figure(drawn.growth, drawn.ended, began if by == "hours" else None),
        key="live-hypervolume",
        alt=growth_text(drawn.growth, drawn.ended),
        height=HEIGHT,
    )
    if drawn.gaps:
        told = "; ".join(gap_text(gap) for gap in drawn.gaps[:MOST_GAPS])
        st.caption(f"Widest gaps: nothing {told}.")
    elif not drawn.members:
        st.caption("No accepted trial keeps the bounds yet." if drawn.ended else "No trial yet.")


def _show_members(drawn: Drawn, spec: SearchSpec, search_id: int) -> None:
    if not drawn.members:
        return
    frame = members_frame(drawn.members, drawn.start, spec)
    many = len(frame)
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.markdown(f"**The front: {many:,} trial{'s' * (many != 1)}**")
        st.download_button(
            "CSV",
            lambda: csv_text(_records(frame)),
            file_name=file_name(["front", search_id], "csv"),
            mime="text/csv",
            key="live-front-csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
        )
    st.dataframe(
        frame.assign(Trial=[f"./trial?trial={row.name}" for row in drawn.members]),
        key="live-front-members",
        hide_index=True,
        height="content" if many < 10 else 330,
        placeholder="–",
        column_config=_columns(),
        alt=f"The {many} trials on the front, by error",
    )


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    return [dict(zip(frame.columns, row, strict=True)) for row in rows]


def _columns() -> dict[str, Any]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    formats: Mapping[str, str] = {
        "val_mse": ERROR_FORMAT,
        "parameters": "localized",
        "flops": "compact",
        "seconds": "%.1f",
        "memory_mb": "%.0f",
        "latency_ms": "%.3g",
    }
    shown: dict[str, Any] = {
        "Trial": st.column_config.LinkColumn(display_text=r"\.(\d+)$", width=60, pinned=True),
        "Source": text(width=110),
        "Changes": text("Differs from trial 0 in", width=400),
    }
    for name, measure in MEASURES.items():
        label = "val_mse" if name == "val_mse" else measure.title
        unit = f" {measure.unit}" if measure.unit else ""
        shown[name] = number(f"{label}{unit} ↓", format=formats[name], help=measure.help)
        shown[f"{name} vs 0 %"] = number(
            "vs trial 0 %", format="%+.1f", width=95, help=f"{label}; below 0 is better"
        )
    return shown
