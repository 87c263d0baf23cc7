"""Compare: curves, figures and configurations of the chosen trials, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from informer.config import fields
from nas_engine.curves import Curve, curves_of
from nas_engine.standing import trials_now
from nas_engine.store.reader import BaselineRow, EpochRow, SearchRow, TrialRow
from pages._parts.figures import METRICS, curves, near, trial_name
from pages._parts.live_chart import chart
from pages._parts.opening import LIVE, TRANSCRIPT, choose_search, searched
from pages._parts.selection import MOST, asked_numbers, default_numbers, rows_to_numbers
from pages._parts.states import trial_state
from pages._parts.tables import trial_columns, trial_frame
from pages._parts.text import (
    count_text,
    error_text,
    mean_text,
    percent_text,
    plain,
    seconds_text,
    value_text,
)

SHOWN = "compare-shown"  # numbers of the rows of the table as it was last drawn, in its order


# -- the selection ------------------------------------------------------------------------------


def remember_selection(key: str) -> None:
    """Put the selected trials into the address, which is what the page reads."""
    rows = st.session_state[key].selection.rows
    numbers = rows_to_numbers(rows, st.session_state.get(SHOWN, []))
    st.query_params["trials"] = ",".join(str(number) for number in sorted(numbers))


def choose_trials(search: SearchRow, trials: Sequence[TrialRow], frame: pd.DataFrame) -> list[int]:
    """Draw the table of trials and return the chosen numbers.

    The table reports positions; they are resolved against the rows that it showed, and the address
    holds numbers.
    """
    numbers = [trial.number for trial in trials]
    chosen, unknown = default_numbers(trials, search.incumbent), list[str]()
    if (asked := st.query_params.get("trials")) is not None:
        chosen, unknown = asked_numbers(asked, numbers)
    key = f"compare-table-{search.id}"
    st.session_state[SHOWN] = numbers
    st.dataframe(
        frame,
        key=key,
        hide_index=True,
        column_config=trial_columns(),
        placeholder="–",
        height="content" if len(trials) < 10 else 330,
        on_select=lambda: remember_selection(key),
        selection_mode="multi-row",
        selection_default={
            "selection": {"rows": [numbers.index(number) for number in chosen], "columns": []}
        },
        alt=f"Trials of search {search.id}; select rows to compare them",
    )
    if unknown:
        st.warning(f"Search {search.id} has no trial {plain(', '.join(unknown), 60)}.")
    return chosen


# -- sections -----------------------------------------------------------------------------------


def show_curves(
    search: SearchRow,
    chosen: Sequence[TrialRow],
    epochs: Sequence[EpochRow],
    baselines: Sequence[BaselineRow],
) -> None:
    """Draw the curves of the chosen trials over each other."""
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            metric = (
                st.segmented_control(
                    "Metric",
                    list(METRICS),
                    default="val_mse",
                    required=True,
                    format_func=METRICS.__getitem__,
                    key="compare-metric",
                    label_visibility="collapsed",
                )
                or "val_mse"
            )
            log = st.toggle("Log scale", key="compare-log")
        if not epochs:
            st.info("None of the chosen trials has finished an epoch.")
            return
        chart(
            curves(epochs, metric, baselines, search.incumbent, log=log),
            key="compare-curves",
            alt=f"{METRICS[metric]} by epoch of trials "
            + ", ".join(str(trial.number) for trial in chosen),
            height=400,
        )
        rivals = [row for row in baselines if row.split == "val"]
        values = [row.val_mse for row in epochs if row.val_mse is not None]
        far = [row for row in rivals if row not in near(rivals, values, "val_mse")]
        if metric != "train_loss" and far:
            names = ", ".join(f"{plain(row.name)} {error_text(row.mse)}" for row in far)
            st.caption(f"Baselines beyond this scale (val_mse): {names}.")


def side_by_side(
    chosen: Sequence[TrialRow],
    shapes: Mapping[int, Curve],
    incumbent: int | None,
    only_differences: bool,
) -> pd.DataFrame:
    """Return figures, then settings, as rows; trials as columns."""
    reference = next((trial.val_mse for trial in chosen if trial.number == incumbent), None)
    rows: dict[str, list[str]] = {
        "state": [trial_state(trial.state) for trial in chosen],
        "val_mse ↓": [mean_text(trial.val_mse, trial.spread, trial.seeds) for trial in chosen],
        "vs incumbent": [
            percent_text(
                None
                if trial.val_mse is None or not reference
                else (trial.val_mse - reference) / reference
            )
            for trial in chosen
        ],
        "val_mae ↓": [error_text(trial.val_mae) for trial in chosen],
        "parameters": [count_text(trial.parameters) for trial in chosen],
        "training time": [seconds_text(trial.seconds) for trial in chosen],
        "epochs (best)": [
            "–" if trial.epochs is None else f"{trial.epochs} ({trial.best_epoch})"
            for trial in chosen
        ],
        "curve": [shapes[trial.number].word if trial.number in shapes else "–" for trial in chosen],
        "device": [trial.device or "–" for trial in chosen],
    }
    for key in fields():
        values = [trial.config.get(key) for trial in chosen]
        if not only_differences or any(value != values[0] for value in values):
            rows[key] = [value_text(value) for value in values]
    names = [trial_name(trial.number, incumbent) for trial in chosen]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names).reset_index(names="Setting")


def show_side_by_side(
    chosen: Sequence[TrialRow], shapes: Mapping[int, Curve], incumbent: int | None
) -> None:
    """Draw figures and configurations of the chosen trials."""
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(
            "**Figures and settings**", help="★ marks the incumbent; lower errors are better."
        )
        everything = st.toggle("Show settings that are the same", key="compare-all")
    frame = side_by_side(chosen, shapes, incumbent, only_differences=not everything)
    st.dataframe(
        frame,
        hide_index=True,
        height="content",
        column_config={"Setting": st.column_config.TextColumn(pinned=True, width=215)},
        alt="Figures and settings of the chosen trials",
    )
    if len(chosen) > 1 and not everything and not frame["Setting"].isin(list(fields())).any():
        st.caption("The chosen trials have the same settings.")


def show_test_figures(
    chosen: Sequence[TrialRow], baselines: Sequence[BaselineRow], incumbent: int | None
) -> None:
    """Draw the errors on the test split, apart from all that a search goes by."""
    with st.expander("Test split", key="compare-test"):
        st.caption("Computed once per trial at its end; no part of a search reads them.")
        rows = [
            (trial_name(trial.number, incumbent), trial.test_mse, trial.test_mae)
            for trial in chosen
        ] + [
            (f"baseline: {row.name}", row.mse, row.mae) for row in baselines if row.split == "test"
        ]
        frame = pd.DataFrame(rows, columns=["", "test_mse ↓", "test_mae ↓"]).astype(
            {"test_mse ↓": "Float64", "test_mae ↓": "Float64"}
        )
        number = st.column_config.NumberColumn(format="%.4g")
        st.dataframe(
            frame,
            hide_index=True,
            width="content",
            placeholder="–",
            column_config={"test_mse ↓": number, "test_mae ↓": number},
            alt="Errors on the test split",
        )


def show_links(search_id: int, chosen: Sequence[TrialRow]) -> None:
    """Draw the ways on from here."""
    with st.container(horizontal=True):
        for trial in chosen:
            st.page_link(
                TRANSCRIPT,
                label=f"Transcript of trial {trial.number}",
                query_params={"search": str(search_id), "trial": str(trial.number)},
            )


# -- page ---------------------------------------------------------------------------------------

search = choose_search("Compare")
with searched() as reader:
    trials = trials_now(reader, search.id)
    baselines = reader.baselines(search.id)
if not trials:
    st.info("No trial of this search has begun yet.")
    st.page_link(
        LIVE,
        label="Watch the search",
        icon=":material/arrow_forward:",
        query_params={"search": str(search.id)},
    )
    st.stop()
table = trial_frame(trials, search.incumbent, search.id, search.spec.start())
numbers = choose_trials(search, trials, table)
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    st.caption(
        f"{len(numbers)} of {len(trials)} trials compared; at most {MOST}. Select rows above."
    )
    st.download_button(
        "CSV",
        table.drop(columns="Transcript").to_csv(index=False),
        file_name=f"search-{search.id}-trials.csv",
        mime="text/csv",
        key="compare-csv",
        icon=":material/download:",
        on_click="ignore",
    )
chosen = [trial for trial in trials if trial.number in numbers]
if not chosen:
    st.info("Select rows in the table to compare their trials.")
    st.stop()
with searched() as reader:
    epochs = reader.epochs(search.id, [trial.number for trial in chosen])
show_curves(search, chosen, epochs, baselines)
show_side_by_side(chosen, curves_of(epochs), search.incumbent)
show_test_figures(chosen, baselines, search.incumbent)
show_links(search.id, chosen)
