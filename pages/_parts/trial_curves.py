"""The curves of all trainings of a trial, and the trainings as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd
import streamlit as st

from nas_engine.amounts import amount
from nas_engine.curves import analyse
from nas_engine.store.rows import BaselineRow, EpochRow, RunRow
from pages._parts.figures import (
    DASHES,
    baseline_lines,
    colour,
    layout,
    near,
    not_finite_marks,
    of_split,
)
from pages._parts.live_chart import Figure, chart
from pages._parts.opening import searched
from pages._parts.states import trial_state
from pages._parts.text import error_text, plain, readable, seconds_text
from pages._parts.trial_view import View

Measure = Literal["val_mse", "val_mae", "train_loss", "lr"]
MEASURES: dict[Measure, str] = {
    "val_mse": "val_mse",
    "val_mae": "val_mae",
    "train_loss": "training loss",
    "lr": "learning rate",
}
_SYMBOLS = ("circle", "square", "diamond", "cross", "x")


def show_curves(view: View) -> None:
    """Draw the curves of all seeds, and count what was not finite."""
    with searched() as reader:
        epochs = {
            run.seed: reader.epochs(view.search.id, [view.trial.number], run.seed)
            for run in view.runs
        }
    with st.container(border=True, key="trial-curves-card"):
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            measure: Measure = (
                st.segmented_control(
                    "Metric",
                    list(MEASURES),
                    default="val_mse",
                    required=True,
                    format_func=MEASURES.__getitem__,
                    key="trial-measure",
                    label_visibility="collapsed",
                )
                or "val_mse"
            )
            log = st.toggle("Log scale", key="trial-log-scale")
        if not any(epochs.values()):
            st.info(
                "No epoch has ended yet."
                if view.trial.ended_at is None
                else "It was not trained from scratch."
                if view.inherited
                else "No epoch of this trial was recorded."
            )
            return
        chart(
            seed_curves(epochs, measure, view.baselines, view.trial.number, view.search.id, log),
            key="trial-curves",
            alt=curves_alt(epochs, measure, view.trial.number),
        )
        for seed, rows in epochs.items():
            if text := not_finite(rows, measure):
                st.caption(f"▽ Seed {seed}: {text}")
            if rows and measure == "val_mse":
                st.caption(f"Seed {seed}: {plain(analyse(rows).text)}.")


def value_of(row: EpochRow, measure: Measure) -> float | None:
    """Return a figure of an epoch, None where it was not finite."""
    return {
        "val_mse": row.val_mse,
        "val_mae": row.val_mae,
        "train_loss": row.train_loss,
        "lr": row.lr,
    }[measure]


def not_finite(rows: Sequence[EpochRow], measure: Measure) -> str:
    """Return how many epochs have no finite figure, empty where all have one."""
    lost = [row.epoch for row in rows if value_of(row, measure) is None]
    if not lost:
        return ""
    which = ", ".join(map(str, lost[:8])) + (", …" if len(lost) > 8 else "")
    were = "was" if len(lost) == 1 else "were"
    return (
        f"{MEASURES[measure]} of {len(lost)} of {len(rows)} epochs {were} not finite "
        f"(epoch {which})."
    )


def curves_alt(epochs: Mapping[int, Sequence[EpochRow]], measure: Measure, number: int) -> str:
    """Return what the curves show, in words."""
    parts = []
    for seed, rows in epochs.items():
        values = [value for row in rows if (value := value_of(row, measure)) is not None]
        if values:
            parts.append(
                f"seed {seed} from {error_text(values[0])} to {error_text(values[-1])}, "
                f"lowest {error_text(min(values))}"
            )
    said = "; ".join(parts) or "no finite figure"
    return f"{MEASURES[measure]} of trial {number} by epoch: {said}"


def seed_curves(
    epochs: Mapping[int, Sequence[EpochRow]],
    measure: Measure,
    baselines: Sequence[BaselineRow],
    number: int,
    search_id: int,
    log: bool = False,
) -> Figure:
    """Draw a figure by epoch, one line per seed, in the colour of the trial.

    Epochs without a finite figure leave a gap and are marked by a triangle.
    """
    values = [
        value
        for rows in epochs.values()
        for row in rows
        if (value := value_of(row, measure)) is not None
    ]
    ink = colour(number, search_id)
    begun = [(place, seed, rows) for place, (seed, rows) in enumerate(epochs.items()) if rows]
    data = [_line(place, seed, rows, measure, ink) for place, seed, rows in begun]
    data += [
        not_finite_marks(f"seed {seed}", rows, found, ink)
        for _, seed, rows in begun
        if None in (found := [value_of(row, measure) for row in rows])
    ]
    revision = f"trial-{search_id}-{number}-{measure}-{log}"
    layout_ = layout("Epoch", MEASURES[measure], revision)
    if measure == "lr":
        layout_["yaxis"]["title"]["text"] = MEASURES[measure]
    else:
        rivals = near(of_split(baselines, "val"), values, measure)
        layout_["shapes"] = baseline_lines(rivals, measure)
    layout_["xaxis"] |= {"tickformat": "d", "zeroline": False}
    if max((row.epoch for _, _, rows in begun for row in rows), default=1) < 12:
        layout_["xaxis"]["dtick"] = 1
    if log:
        layout_["yaxis"]["type"] = "log"
    layout_["showlegend"] = True
    return {"data": data, "layout": layout_}


def _line(
    place: int, seed: int, rows: Sequence[EpochRow], measure: Measure, ink: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"seed {seed}",
        "x": [row.epoch for row in rows],
        "y": [value_of(row, measure) for row in rows],
        "connectgaps": False,
        "line": {"color": ink, "dash": DASHES[place % len(DASHES)], "width": 2},
        "marker": {"size": 5, "symbol": _SYMBOLS[place % len(_SYMBOLS)]},
        "hovertemplate": f"seed {seed}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    }


# -- trainings ----------------------------------------------------------------------------------


def show_runs(view: View) -> None:
    """Draw the trainings of the trial."""
    st.markdown("**Trainings**", help="One with each seed; the errors of a trial are their means.")
    runs = [*view.inherited, *view.runs]
    if not runs:
        st.caption("No training was begun for this trial.")
        return
    st.dataframe(
        runs_frame(runs),
        hide_index=True,
        key="trial-runs",
        height="content",
        column_config={"Error": st.column_config.TextColumn(width=300)},
        alt=f"{len(runs)} trainings of trial {view.trial.number}",
    )
    if view.inherited:
        st.caption(
            "Begun with the weights of another trial: a shorter training whose error says only "
            "what one from scratch is expected to come to. It is in none of the other figures."
        )


def runs_frame(runs: Sequence[RunRow]) -> pd.DataFrame:
    """Return a row for each training."""

    def figure(value: float | None, unit: str) -> str:
        return "–" if value is None else f"{value:,.0f} {unit}"

    both_kinds = any(run.kind != "scratch" for run in runs)
    return pd.DataFrame(
        [
            {
                "Seed": str(run.seed),
                **({"Begun": run.begun} if both_kinds else {}),
                "State": trial_state(run.state),
                "val_mse ↓": error_text(run.val_mse),
                "Best epoch": "–"
                if run.best_epoch is None
                else f"{run.best_epoch} of {run.epochs}",
                "Time": seconds_text(run.seconds),
                "Latency": amount("latency_ms", run.latency_ms),
                "Peak memory": figure(run.peak_memory_mb, "MB"),
                "CPU": figure(run.cpu_percent, "%"),
                "GPU": figure(run.gpu_percent, "%"),
                "Slot": "–" if run.slot is None else str(run.slot),
                "Attempts": run.attempt,
                "Crashes": run.crashes,
                "Error": readable(f"{run.error_class}: {run.error}" if run.error else ""),
            }
            for run in runs
        ]
    )
