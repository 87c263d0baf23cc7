"""Live: the state of one search, what trains now, what was found, and how to pause or end it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from nas_engine.commands import Control
from nas_engine.curves import curves_of
from nas_engine.evaluator import Noise
from nas_engine.liveness import EngineState, engine_state
from nas_engine.search import ASKING, SearchSpec
from nas_engine.store.reader import (
    BaselineRow,
    EngineRow,
    EpochRow,
    EventRow,
    SearchRow,
    Spend,
    TrialRow,
)
from nas_engine.store.schema import StoreError
from nas_engine.supervisor import Answer, resume_search
from nas_engine.workspace import Workspace
from pages._parts.figures import METRICS, curves, history, near
from pages._parts.live_chart import chart
from pages._parts.opening import REVIEW, choose_search, give, searched, settings, show_answer
from pages._parts.states import SEARCH_STATES, TRIAL_STATES, shown_state
from pages._parts.tables import trial_columns, trial_frame
from pages._parts.text import (
    clock_text,
    error_text,
    percent_text,
    plain,
    readable,
    seconds_text,
)

TICK_SECONDS = 1.0
CURVES = 8  # more cannot be told apart at a glance; Compare has them all
ANSWER = "live-answer"
CONTROLS = """
- **Pause**: no new trials; the running one finishes.
- **Resume**: goes on from what is recorded.
- **Stop**: no new trials; the running one finishes, and the search ends.
- **Cancel**: the running trial is killed, and the search ends.
"""
Order = Literal["pause", "stop", "cancel"]


@dataclass(frozen=True)
class Snapshot:
    """What one tick of the page shows, read in one go."""

    search: SearchRow
    engine_row: EngineRow | None
    engine: EngineState
    trials: list[TrialRow]
    epochs: list[EpochRow]
    noise: Noise | None
    spend: Spend
    baselines: list[BaselineRow]
    events: list[EventRow]

    @property
    def running(self) -> TrialRow | None:
        """The trial that trains."""
        return next((row for row in self.trials if row.state in ("running", "stalled")), None)

    @property
    def waiting(self) -> list[TrialRow]:
        """The trials that wait for a person."""
        return [row for row in self.trials if row.state == "proposed"]

    @property
    def lives(self) -> bool:
        """Whether an engine works on the search."""
        return self.engine in ("alive", "stalled")


def read(search_id: int) -> Snapshot:
    """Read what the page shows."""
    with searched() as reader:
        search = reader.search(search_id)
        if search is None:
            st.error(f"Search {search_id} is no longer in this workspace.")
            st.stop()
        trials = reader.trials(search_id)
        engine = reader.engine(search_id)
        return Snapshot(
            search=search,
            engine_row=engine,
            engine=engine_state(engine),
            trials=trials,
            epochs=reader.epochs(search_id, worth_watching(trials, search.incumbent)),
            noise=reader.noise(search_id),
            spend=reader.spend(search_id),
            baselines=reader.baselines(search_id),
            events=reader.events(search_id),
        )


def worth_watching(trials: Sequence[TrialRow], incumbent: int | None) -> list[int]:
    """Return the trials whose curves are drawn: the first, the incumbent and the newest."""
    begun = [trial.number for trial in trials if trial.run_id is not None]
    fixed = [number for number in begun if number in (0, incumbent)]
    newest = [number for number in begun if number not in fixed][-(CURVES - len(fixed)) :]
    return sorted({*fixed, *newest})


# -- figures of the head ------------------------------------------------------------------------


def seconds_left(snapshot: Snapshot) -> float | None:
    """Estimate the time to the end of the budget: mean time of a finished trial x trials left."""
    spent = [
        trial.ended_at - trial.started_at
        for trial in snapshot.trials
        if trial.ended_at is not None and trial.started_at is not None
    ]
    left = snapshot.search.max_trials - snapshot.search.finished
    if left <= 0 or not spent or snapshot.search.state in ("stopped", "completed"):
        return None
    return left * sum(spent) / len(spent)


def improvement(best: float | None, reference: float | None) -> float | None:
    """Return the relative change from a reference; negative is better."""
    return None if best is None or not reference else (best - reference) / reference


def judged(change: float | None) -> Literal["normal", "inverse", "off"]:
    """Return how a change of an error is coloured: green where it fell.

    The typographic minus of the text is no sign to Streamlit, which takes every text for a rise.
    """
    return "off" if not change else "normal" if change < 0 else "inverse"


def show_metrics(snapshot: Snapshot) -> None:
    """Draw the row of key figures."""
    search = snapshot.search
    first = next((trial.val_mse for trial in snapshot.trials if trial.number == 0), None)
    rivals = [row for row in snapshot.baselines if row.split == "val"]
    rival = rivals[0] if rivals else None
    from_start = None if search.incumbent == 0 else improvement(search.best, first)
    from_rival = improvement(search.best, rival.mse if rival else None)
    with st.grid(5, min_column_width=150, row_height=104):
        st.metric(
            "Trials done",
            f"{search.finished} / {search.max_trials}",
            border=True,
            height="stretch",
        )
        st.metric(
            "Best val_mse ↓",
            error_text(search.best),
            None if from_start is None else f"{percent_text(from_start)} vs trial 0",
            delta_color=judged(from_start),
            delta_arrow="off",
            border=True,
            height="stretch",
            help="The incumbent's error on scaled validation data; lower is better.",
        )
        st.metric(
            "Best baseline ↓",
            error_text(rival.mse if rival else None),
            None if from_rival is None else f"incumbent {percent_text(from_rival)}",
            delta_color=judged(from_rival),
            delta_arrow="off",
            border=True,
            height="stretch",
            help=f"{plain(rival.name)}, without any training." if rival else "Not computed yet.",
        )
        st.metric(
            "Active time",
            seconds_text(search.active_seconds),
            border=True,
            height="stretch",
            help="Time in which an engine worked on this search, over all its starts.",
        )
        st.metric(
            "Remaining, about",
            seconds_text(seconds_left(snapshot)),
            border=True,
            height="stretch",
            help="Mean time of a finished trial x trials left.",
        )
    show_noise(snapshot.noise)
    show_spend(search.spec, snapshot.spend)
    share = min(1.0, search.finished / search.max_trials)
    st.progress(share, text=f"{search.finished} of {search.max_trials} trials")


def show_spend(spec: SearchSpec, spend: Spend) -> None:
    """Tell what language models have taken, and what is left of the limits."""
    if spec.planner not in ASKING:
        return
    parts = [
        f"{used} {name}" + (f" of {limit:,}" if limit is not None else "")
        for name, used, limit in (
            ("calls", f"{spend.calls:,}", spec.limits.calls),
            ("tokens booked", f"{spend.booked_tokens:,}", spec.limits.tokens),
            ("USD booked", f"{spend.booked_usd:.4f}", spec.limits.usd),
        )
    ]
    st.caption(
        f"Language models: {' · '.join(parts)}.",
        help="A call without a report of the service is booked at its worst case.",
    )


def show_noise(noise: Noise | None) -> None:
    """Tell how far trainings of one configuration lie apart, which differences must exceed."""
    st.caption(
        "Noise: not measured, as no trial has two finished trainings yet."
        if noise is None
        else f"Noise: trainings of one configuration with other seeds differ by "
        f"{noise.relative:.2%} (standard deviation, {noise.degrees} degrees of freedom).",
        help="A difference of val_mse inside the spread that follows from it is no improvement.",
    )


# -- state and controls -------------------------------------------------------------------------


def order(kind: Order, search_id: int) -> None:
    """Give a command; its answer is shown with the next run."""
    st.session_state[ANSWER] = give(Control(kind=kind), search_id)


def resume(workspace: Workspace, search_id: int) -> None:
    """Let the search go on; the answer is shown with the next run."""
    try:
        st.session_state[ANSWER] = resume_search(workspace, search_id)
    except StoreError as error:
        st.session_state[ANSWER] = Answer(False, str(error), search_id)


def show_state(snapshot: Snapshot) -> None:
    """Draw the state of search and engine, and the buttons that make sense in it."""
    search = snapshot.search
    name = shown_state(search, snapshot.engine)
    state = SEARCH_STATES[name]
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.badge(f"{state.symbol} {name}", color=state.colour, help=state.meaning)
            engine = "no engine" if snapshot.engine == "none" else f"engine {snapshot.engine}"
            st.badge(engine, color="green" if snapshot.lives else "gray")
            st.badge(f"{search.spec.mode} mode", color="gray")
            st.badge(f"preset {search.spec.preset}", color="gray")
        show_controls(snapshot)
    if search.reason:
        st.caption(plain(search.reason))
    if name == "engine lost":
        st.warning(
            "The engine of this search is lost: its process has ended without a word. "
            "Resume continues the search from what is recorded.",
            title="Engine lost",
        )
    elif snapshot.engine == "stalled" and snapshot.engine_row is not None:
        silent = seconds_text(time.time() - snapshot.engine_row.heartbeat)
        st.warning(f"The engine's process lives but has not shown it for {silent}.")
    elif search.state == "paused" and snapshot.running is not None:
        st.info(f"Paused: trial {snapshot.running.number} still finishes; no new trial begins.")


def show_controls(snapshot: Snapshot) -> None:
    """Draw the buttons; those that would change nothing are disabled."""
    search, lives = snapshot.search, snapshot.lives
    going = search.state == "running" and lives
    resumable = search.state in ("paused", "stopped") or (search.state != "completed" and not lives)
    with st.container(horizontal=True, width="content", vertical_alignment="center"):
        st.caption("Controls", help=CONTROLS)
        st.button(
            "Pause",
            key="live-pause",
            icon=":material/pause:",
            disabled=not going,
            on_click=order,
            args=("pause", search.id),
        )
        st.button(
            "Resume",
            key="live-resume",
            icon=":material/play_arrow:",
            type="primary" if resumable else "secondary",
            disabled=not resumable,
            on_click=resume,
            args=(settings().workspace, search.id),
        )
        st.button(
            "Stop",
            key="live-stop",
            icon=":material/stop:",
            disabled=search.state not in ("running", "paused"),
            on_click=order,
            args=("stop", search.id),
        )
        with st.popover(
            "Cancel",
            key="live-cancel",
            icon=":material/cancel:",
            disabled=not lives,
        ):
            st.write("The running trial is killed and its training is lost.")
            st.button(
                "Cancel the search",
                key="live-cancel-confirmed",
                type="primary",
                on_click=order,
                args=("cancel", search.id),
            )


def show_now(snapshot: Snapshot) -> None:
    """Tell what happens at this moment."""
    for waiting in snapshot.waiting:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f":violet[**◇ Trial {waiting.number} waits for your decision.**]")
            st.page_link(
                REVIEW,
                label="Review it",
                icon=":material/arrow_forward:",
                query_params={"search": str(snapshot.search.id)},
            )
    trial = snapshot.running
    if trial is None:
        if snapshot.lives and not snapshot.waiting:
            st.caption(
                "Between trials: the planner is choosing what comes next."
                if snapshot.baselines
                else "The engine is computing the baselines."
            )
        return
    state = TRIAL_STATES[trial.state]
    head = f"{state.symbol} Trial {trial.number} {state.meaning}"
    if not snapshot.lives:
        st.caption(f"Trial {trial.number} was training when the engine was lost.")
    elif trial.step is None or not trial.steps:
        st.progress(0.0, text=f"{head} · loading data")
    else:
        planned = trial.config.get("training.epochs", "?")
        seeds = f" · seeds finished: {trial.seeds}" if trial.seeds else ""
        st.progress(
            min(1.0, trial.step / trial.steps),
            text=f"{head} · epoch {trial.epoch} of {planned} · step {trial.step} of {trial.steps}"
            + seeds,
        )


# -- charts, table, log -------------------------------------------------------------------------


def show_charts(snapshot: Snapshot) -> None:
    """Draw the history of the search and the curves of its newest trials."""
    search = snapshot.search
    left, right = st.columns(2)
    with left, st.container(border=True, height="stretch"):
        st.markdown("**Trials**", help="Filled: accepted. Open: rejected. Cross: no result.")
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
        running = snapshot.running
        drawn = {row.number for row in snapshot.epochs}
        chart(
            curves(
                snapshot.epochs,
                metric or "val_mse",
                snapshot.baselines,
                search.incumbent,
                emphasised=running.number if running else None,
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
    """Draw the table of trials."""
    search = snapshot.search
    if not snapshot.trials:
        st.info("No trial has begun yet.")
        return
    if all(trial.val_mse is None for trial in snapshot.trials) and search.finished:
        st.warning("No trial has a result yet: all that ended failed or were turned down.")
    st.dataframe(
        trial_frame(snapshot.trials, search.incumbent, search.id, search.spec.start()),
        key="live-trials",
        hide_index=True,
        column_config=trial_columns(),
        placeholder="–",
        height="content" if len(snapshot.trials) < 12 else 440,
        alt=f"Trials of search {search.id}",
    )


def show_log(snapshot: Snapshot, workspace: Workspace) -> None:
    """Draw the newest lines of the search's log, and what workers of failed trials said."""
    st.markdown("**Log**")
    lines = [
        f"{clock_text(event.created_at)}  {event.level:<7}  {readable(event.text)}"
        for event in snapshot.events
    ]
    with st.container(height=220, autoscroll=True, key="live-log"):
        st.code("\n".join(lines) or "No event yet.", language=None, wrap_lines=True)
    failed = [trial for trial in snapshot.trials if trial.state in ("failed", "crashed")]
    for trial in failed[-5:]:
        kind = f" ({trial.error_class})" if trial.error_class else ""
        label = f"Trial {trial.number} {trial.state}{kind}: {trial.error or 'no message'}"
        with st.expander(plain(label, 200)):
            tail = workspace.run_dir(snapshot.search.id, trial.number).log_tail(30)
            st.code(readable(tail) or "The worker left no log.", language=None, wrap_lines=True)


# -- page ---------------------------------------------------------------------------------------


def draw(search_id: int, ticking: bool) -> None:
    """Draw the page; when the engine comes or goes, start or end the ticking with a full run."""
    snapshot = read(search_id)
    if snapshot.lives != ticking:
        st.rerun()
    show_state(snapshot)
    show_answer(ANSWER)
    show_metrics(snapshot)
    show_now(snapshot)
    show_charts(snapshot)
    show_trials(snapshot)
    show_log(snapshot, settings().workspace)


chosen = choose_search("Live")
lives = read(chosen.id).lives
st.fragment(draw, run_every=TICK_SECONDS if lives else None)(chosen.id, lives)
