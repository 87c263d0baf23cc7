"""The tab of errors by horizon step and by column."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from nas_engine.store.reader import Reader
from pages._parts.address import flag, mirrored, word
from pages._parts.breakdown import MEASURES, Broken, by_column, by_step, columns_of
from pages._parts.choice import Scope, trial_label
from pages._parts.differences import key_of
from pages._parts.live_chart import chart
from pages._parts.opening import TRIAL, settings
from pages._parts.overlay import MOST_LINES
from pages._parts.selection import Key, reference_of


def show(reader: Reader, scope: Scope, chosen: list[Key], _: Key | None) -> None:
    """Draw the validation errors of the chosen trials by horizon step and by column."""
    measure, own_units = word("error", MEASURES, "mse"), flag("own")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Error",
            list(MEASURES),
            required=True,
            format_func=MEASURES.__getitem__,
            **mirrored("error", measure, "mse"),
        )
        st.toggle(
            "Columns in their own units",
            help="Squared units for MSE. Steps are always on scaled data, since they mix columns.",
            **mirrored("own", own_units, default=False),
        )
    trials, missing = broken_down(reader, scope, chosen[:MOST_LINES])
    if missing:
        st.caption(f"No such errors are kept of: {', '.join(map(reference_of, missing))}.")
    if len(chosen) > MOST_LINES:
        st.caption(f"{MOST_LINES} of {len(chosen)} drawn: the first that were chosen.")
    if not trials:
        st.info("None of the chosen trials has errors by step and by column yet.")
        return
    names = ", ".join(trial.name for trial in trials)
    st.markdown("**By step of the horizon**")
    steps = chart(
        by_step(trials, measure),
        key="compare-steps",
        alt=f"{MEASURES[measure]} on the validation split by step of the horizon of {names}",
    )
    st.markdown(f"**By column{', in own units' if own_units else ''}**")
    columns = chart(
        by_column(trials, measure, own_units),
        key="compare-columns-chart",
        alt=f"{MEASURES[measure]} on the validation split by {len(columns_of(trials))} columns of "
        + names,
    )
    if clicked := steps or columns:
        st.switch_page(TRIAL, query_params={"trial": clicked})


def broken_down(
    reader: Reader, scope: Scope, keys: Sequence[Key]
) -> tuple[list[Broken], list[Key]]:
    """Return the errors of trials in detail, and the trials of which none are kept.

    They are of the run that stands for a trial.
    """
    found, missing = [], list[Key]()
    for trial in reader.listed(keys):
        key, first = key_of(trial), int(trial.config["training.seed"])
        seeds = [run.seed for run in reader.runs(*key) if run.id == trial.run_id]
        folders = [settings().workspace.seed_dir(*key, first, seed) for seed in seeds]
        details = folders[0].read_details() if folders else None
        if details is None:
            missing.append(key)
        else:
            found.append(Broken(key, trial_label(scope, key), details.val))
    return found, missing
