"""Live: the state of one search, what trains now, what was found, and how to steer it."""

from __future__ import annotations

import time
import zlib
from functools import partial

import streamlit as st

from nas_engine.curves import curves_of
from nas_engine.liveness import LIVING, engine_state
from nas_engine.store import trainings
from nas_engine.store.rows import BaselineRow
from nas_engine.store.table import Results
from pages._parts.acts import show_acts, trial_key
from pages._parts.all_trials import BY_MARK
from pages._parts.cluster import show_nodes
from pages._parts.controls import ANSWER, show_state
from pages._parts.enqueue import show_enqueue
from pages._parts.figures import METRICS, curves, near
from pages._parts.front import show_front
from pages._parts.head import show_head
from pages._parts.history import AtMost, history, history_notes, history_text
from pages._parts.live_chart import Figure, chart
from pages._parts.opening import COMPARE, TRIAL, choose_search, searched, settings, show_answer
from pages._parts.past import show_past
from pages._parts.renewal import key_now, renew
from pages._parts.selection import at_rows
from pages._parts.slots import show_now
from pages._parts.snapshot import Snapshot, lives, read, read_mark
from pages._parts.tables import trial_columns, trial_frame
from pages._parts.text import error_text, plain
from pages._parts.timeline import timeline, timeline_text

REFRESH = "refresh-seconds"  # how often, as chosen on Settings; 0: not by itself
TICK_SECONDS = 1.0
MARKS = (
    "Filled: accepted. Open: rejected. Dotted: not judged yet. At the foot: trials without a "
    "result, yet or for good. A click opens a trial."
)
SPANS = {"all of it": None, "last day": 86_400.0, "last hour": 3600.0, "last 10 min": 600.0}


# -- charts, table, log -------------------------------------------------------------------------


def show_charts(snapshot: Snapshot) -> str | None:
    """Draw the history of the search and the curves of its newest trials; a clicked trial."""
    search = snapshot.search
    left, right = st.columns(2)
    with left, st.container(border=True, height="stretch"):
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            st.markdown("**Trials**", help=MARKS)
            log = st.toggle("Log scale", key="live-log-scale")
        figure, alt, notes = drawn_history(
            snapshot.results,
            tuple(snapshot.baselines),
            search.incumbent,
            log,
            tuple(search.spec.at_most.items()),
        )
        clicked = chart(figure, key="live-history", alt=alt)
        for note in notes:
            st.caption(note)
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
                search_id=search.id,
            ),
            key="live-curves",
            alt=f"{METRICS[metric or 'val_mse']} by epoch of {len(drawn)} trials",
        )
        shapes = [f"{number} {curve.word}" for number, curve in curves_of(snapshot.epochs).items()]
        st.caption(f"By trial: {', '.join(shapes)}." if shapes else "No epoch has ended yet.")
    return clicked


@st.cache_resource(
    max_entries=8,
    show_spinner=False,
    hash_funcs=BY_MARK | {BaselineRow: hash},
)
def drawn_history(
    results: Results,
    baselines: tuple[BaselineRow, ...],
    incumbent: int | None,
    log: bool,
    at_most: AtMost,
) -> tuple[Figure, str, list[str]]:
    """Return the history, its text and its notes, computed anew only when something has changed."""
    notes = [*history_notes(results), *far_baselines(results, baselines)]
    figure = history(results, baselines, incumbent, log, at_most)
    return figure, history_text(results, incumbent), notes


def far_baselines(results: Results, baselines: tuple[BaselineRow, ...]) -> list[str]:
    """Return a sentence that names the baselines that the scale of the chart leaves out."""
    rows = [row for row in baselines if row.split == "val"]
    values = [value for value in results.val_mse if value is not None]
    far = [row for row in rows if row not in near(rows, values, "val_mse")]
    if not far:
        return []
    names = ", ".join(f"{plain(row.name)} {error_text(row.mse)}" for row in far)
    return [f"Baselines beyond this scale: {names}."]


@st.fragment
def show_timeline(search_id: int) -> None:
    """Draw when each slot trained what, where it is asked for."""
    place = st.expander(
        "Timeline of the slots",
        key="live-timeline",
        icon=":material/view_timeline:",
        on_change="rerun",
    )
    if not place.open:
        return
    with place, searched() as reader:
        since = st.segmented_control(
            "Span",
            list(SPANS),
            default="all of it",
            required=True,
            key="live-timeline-span",
            label_visibility="collapsed",
        )
        now = time.time()
        back = SPANS[since or "all of it"]
        bars = trainings.bars(reader, search_id, 0.0 if back is None else now - back)
        works = engine_state(reader.engine(search_id)) in LIVING
        ended = max((bar.ended_at or bar.started_at for bar in bars), default=now)
        until = now if works else ended
        slots = len({bar.slot for bar in bars})
        clicked = chart(
            timeline(bars, until, search_id),
            key="live-timeline-chart",
            alt=timeline_text(bars, until),
            height=110 + 38 * max(1, slots),
        )
        st.caption(f"{timeline_text(bars, until)}.")
        st.button("Draw it anew", key="live-timeline-anew", icon=":material/refresh:")
    open_trial(clicked)


def open_trial(ref: str | None) -> None:
    """Go to the page of a trial that was clicked."""
    if ref is not None:
        st.switch_page(TRIAL, query_params={"trial": ref})


def show_trials(snapshot: Snapshot) -> None:
    """Draw the table of trials; a chosen row chooses the trial to act on."""
    search, numbers = snapshot.search, [trial.number for trial in snapshot.trials]
    if not snapshot.trials:
        st.info(before_the_first(snapshot))
        return
    if all(value is None for value in snapshot.results.val_mse) and search.finished:
        st.warning(
            "No trial has a result yet: those that ended failed, or were stopped, pruned or "
            "turned down."
        )
    # A selection is of positions: with other rows it is another table, without one.
    key = f"live-trials-{search.id}-{zlib.crc32(repr(numbers).encode())}"
    st.dataframe(
        trial_frame(snapshot.trials, search),
        key=key,
        hide_index=True,
        on_select=partial(choose_row, key, search.id, numbers),
        selection_mode="single-row",
        column_config=trial_columns(search),
        placeholder="–",
        height="content" if len(snapshot.trials) < 12 else 440,
        alt=f"Trials of search {search.id}",
    )
    if len(numbers) < (whole := len(snapshot.results.number)):
        st.page_link(
            COMPARE,
            label=f"{len(numbers)} of {whole:,} trials are listed; Compare has them all",
            icon=":material/arrow_forward:",
            query_params={"searches": str(search.id)},
        )


def before_the_first(snapshot: Snapshot) -> str:
    """Return what a search waits for that has no trial yet."""
    if not snapshot.lives:
        return "No trial has begun yet, and no engine works on this search: Resume lets it begin."
    if not snapshot.baselines:
        return "No trial has begun yet: it comes once the baselines are computed."
    return "No trial has begun yet: the first is being prepared."


def choose_row(key: str, search_id: int, shown: list[int]) -> None:
    """Choose the trial of a selected row; positions mean the table that was `shown`."""
    rows = st.session_state[key].selection.rows
    if numbers := at_rows(rows, shown):
        renew(trial_key(search_id), numbers[0])


# -- page ---------------------------------------------------------------------------------------


def draw(search_id: int, ticking: bool) -> None:
    """Draw the page; when the engine comes or goes, start or end the ticking with a full run."""
    snapshot = read(search_id, st.session_state.get(key_now(trial_key(search_id))))
    if snapshot.lives != ticking:
        st.rerun()
    show_state(snapshot)
    show_answer(ANSWER)
    show_head(snapshot)
    show_now(snapshot)
    show_nodes(snapshot)
    traded = show_front(snapshot) if snapshot.search.spec.objectives[1:] else None
    clicked = show_charts(snapshot) or traded
    show_acts(snapshot)
    show_trials(snapshot)
    open_trial(clicked)


def look(search_id: int, seen: tuple[object, ...]) -> None:
    """Draw the page anew when a search at rest has gone on: from another page, a command line."""
    if read_mark(search_id) != seen:
        st.rerun()


chosen = choose_search("Live")
mark = read_mark(chosen.id)
tick = (st.session_state.get(REFRESH, TICK_SECONDS) or None) if lives(mark) else None
st.fragment(draw, run_every=tick)(chosen.id, lives(mark))
show_timeline(chosen.id)
show_enqueue(chosen.id)
st.fragment(show_past, run_every=tick)(chosen.id, settings().workspace)
if mark is not None and not lives(mark):
    st.fragment(look, run_every=TICK_SECONDS)(chosen.id, mark)
