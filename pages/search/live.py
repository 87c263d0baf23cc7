"""Live: the state of one search, what trains now, what was found, and how to steer it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from nas_engine.curves import curves_of
from pages._parts.acts import show_acts, trial_key
from pages._parts.controls import ANSWER, show_state
from pages._parts.enqueue import show_enqueue
from pages._parts.figures import METRICS, curves, history, near
from pages._parts.head import show_head
from pages._parts.live_chart import chart
from pages._parts.opening import choose_search, settings, show_answer
from pages._parts.past import show_past
from pages._parts.selection import rows_to_numbers
from pages._parts.slots import show_now
from pages._parts.snapshot import Snapshot, read, read_mark
from pages._parts.tables import trial_columns, trial_frame
from pages._parts.text import error_text, plain

TICK_SECONDS = 1.0
MARKS = "Filled: accepted. Open: rejected. At the foot: trials without a result, yet or for good."


# -- charts, table, log -------------------------------------------------------------------------


def show_charts(snapshot: Snapshot) -> None:
    """Draw the history of the search and the curves of its newest trials."""
    search = snapshot.search
    left, right = st.columns(2)
    with left, st.container(border=True, height="stretch"):
        st.markdown("**Trials**", help=MARKS)
        best = "none yet" if search.best is None else error_text(search.best)
        chart(
            history(snapshot.trials, snapshot.baselines, search.incumbent),
            key="live-history",
            alt=f"val_mse of {len(snapshot.trials)} trials; the best so far is {best}",
        )
        show_far_baselines(snapshot)
    with right, st.container(border=True, height="stretch"):
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            st.markdown("**Epochs**", help="Trial 0, the incumbent and the newest trials.")
            metric = st.segmented_control(
                "Metric",
                list(METRICS),
                default="val_mse",
                required=True,
                format_func=METRICS.__getitem__,
                key="live-metric",
                label_visibility="collapsed",
            )
        drawn = {row.number for row in snapshot.epochs}
        chart(
            curves(
                snapshot.epochs,
                metric or "val_mse",
                snapshot.baselines,
                search.incumbent,
                emphasised=[trial.number for trial in snapshot.running],
            ),
            key="live-curves",
            alt=f"{METRICS[metric or 'val_mse']} by epoch of {len(drawn)} trials",
        )
        shapes = [f"{number} {curve.word}" for number, curve in curves_of(snapshot.epochs).items()]
        st.caption(f"By trial: {', '.join(shapes)}." if shapes else "No epoch has ended yet.")


def show_far_baselines(snapshot: Snapshot) -> None:
    """Name the baselines that the scale of the chart leaves out."""
    rows = [row for row in snapshot.baselines if row.split == "val"]
    values = [trial.val_mse for trial in snapshot.trials if trial.val_mse is not None]
    far = [row for row in rows if row not in near(rows, values, "val_mse")]
    if far:
        names = ", ".join(f"{plain(row.name)} {error_text(row.mse)}" for row in far)
        st.caption(f"Baselines beyond this scale: {names}.")


def show_trials(snapshot: Snapshot) -> None:
    """Draw the table of trials; a chosen row chooses the trial to act on."""
    search, numbers = snapshot.search, [trial.number for trial in snapshot.trials]
    if not snapshot.trials:
        st.info("No trial has begun yet.")
        return
    if all(trial.val_mse is None for trial in snapshot.trials) and search.finished:
        st.warning(
            "No trial has a result yet: those that ended failed, or were stopped, pruned or "
            "turned down."
        )
    st.dataframe(
        trial_frame(snapshot.trials, search.incumbent, search.id, search.spec.start()),
        key=f"live-trials-{search.id}",
        hide_index=True,
        on_select=partial(choose_row, search.id, numbers),
        selection_mode="single-row",
        column_config=trial_columns(),
        placeholder="–",
        height="content" if len(snapshot.trials) < 12 else 440,
        alt=f"Trials of search {search.id}",
    )


def choose_row(search_id: int, shown: list[int]) -> None:
    """Choose the trial of a selected row; positions mean the table that was `shown`."""
    rows = st.session_state[f"live-trials-{search_id}"].selection.rows
    if numbers := rows_to_numbers(rows, shown):
        st.session_state[trial_key(search_id)] = numbers[0]


# -- page ---------------------------------------------------------------------------------------


def draw(search_id: int, ticking: bool) -> None:
    """Draw the page; when the engine comes or goes, start or end the ticking with a full run."""
    snapshot = read(search_id)
    if snapshot.lives != ticking:
        st.rerun()
    show_state(snapshot)
    show_answer(ANSWER)
    show_head(snapshot)
    show_now(snapshot)
    show_charts(snapshot)
    show_acts(snapshot)
    show_trials(snapshot)


def look(search_id: int, seen: tuple[object, ...]) -> None:
    """Draw the page anew when a search at rest has gone on: from another page, a command line."""
    if read_mark(search_id) != seen:
        st.rerun()


chosen = choose_search("Live")
drawn = read(chosen.id)
tick = TICK_SECONDS if drawn.lives else None
st.fragment(draw, run_every=tick)(chosen.id, drawn.lives)
show_enqueue(chosen.id)
st.fragment(show_past, run_every=tick)(chosen.id, settings().workspace)
if not drawn.lives:
    st.fragment(look, run_every=TICK_SECONDS)(chosen.id, drawn.mark)
