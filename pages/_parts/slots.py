"""What happens at this moment: who waits, what trains in which slot, what comes next."""

from __future__ import annotations

import streamlit as st

from nas_engine.standing import run_seconds_left, run_share
from nas_engine.store.rows import TrainingRow
from pages._parts.many_slots import CARDS, show_table
from pages._parts.opening import REVIEW, TRIAL
from pages._parts.snapshot import Snapshot
from pages._parts.text import plain, seconds_text

TIMES = ("hours", "training_hours")
"""Budgets of time."""
QUEUE = 20
"""Queued trials that are named."""


def progress_text(run: TrainingRow) -> str:
    """Return how far a training is."""
    how = "" if run.kind == "scratch" else " with inherited weights"
    head = f"▶ Trial {run.number} trains{how} · seed {run.seed}"
    if run.step is None or not run.steps:
        return f"{head} · loading data"
    at = f"{head} · epoch {run.epoch} of {run.epochs}"
    if run.step < run.steps:
        return f"{at} · step {run.step} of {run.steps}"
    last = " or test" if run.epoch == run.epochs else ""
    return f"{at} · all {run.steps} steps are done, now the validation{last} windows are forecast"


def worker_text(run: TrainingRow) -> str:
    """Return where a training runs and how long it still takes."""
    left = run_seconds_left(run)
    parts = [
        "no slot" if run.slot is None else f"slot {run.slot}",
        "no process yet" if run.worker_pid is None else f"process {run.worker_pid}",
        "time left not known yet" if left is None else f"at most about {seconds_text(left)} left",
    ]
    if run.node:
        parts.insert(1, f"node {plain(run.node, 60)}")
    if run.attempt > 1:
        parts.append(f"attempt {run.attempt}")
    return " · ".join([*parts, *usage_text(run)])


def usage_text(run: TrainingRow) -> list[str]:
    """Return what the worker takes of its machine, as far as it has been measured."""
    parts = []
    if run.cpu_percent is not None:
        parts.append(f"CPU {run.cpu_percent:.0f} %")
    if run.memory_mb is not None:
        peak = "" if run.peak_memory_mb is None else f" (most {run.peak_memory_mb:,.0f})"
        parts.append(f"memory {run.memory_mb:,.0f} MB{peak}")
    if run.gpu_percent is not None:
        parts.append(f"GPU {run.gpu_percent:.0f} %")
    if run.gpu_memory_mb is not None:
        parts.append(f"GPU memory {run.gpu_memory_mb:,.0f} MB")
    return parts


def free_slots(slots: int, trainings: list[TrainingRow]) -> int:
    """Return how many slots train nothing."""
    return max(0, slots - len(trainings))


def show_now(snapshot: Snapshot) -> None:
    """Draw it."""
    for waiting in snapshot.waiting:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f":violet[**◇ Trial {waiting.number} waits for your decision.**]")
            st.page_link(
                REVIEW,
                label="Review it",
                icon=":material/arrow_forward:",
                query_params={"search": str(snapshot.search.id)},
            )
    if snapshot.engine == "lost" and snapshot.trainings:
        cut = ", ".join(f"trial {run.number} (seed {run.seed})" for run in snapshot.trainings)
        st.caption(f"In training when the engine was lost: {cut}.")
    if not snapshot.lives:
        return
    if len(snapshot.trainings) > CARDS:
        show_table(snapshot.search.id, snapshot.search.spec.slots, snapshot.trainings)
    else:
        show_cards(snapshot)
    if idle := idle_text(snapshot):
        st.caption(idle)
    if snapshot.queue:
        first, more = snapshot.queue[:QUEUE], len(snapshot.queue) - QUEUE
        numbers = ", ".join(str(trial.number) for trial in first)
        numbers += f" and {more} more" if more > 0 else ""
        st.caption(f"In the queue, the next one first: trial {numbers}.")


def show_cards(snapshot: Snapshot) -> None:
    """Draw a card for each training."""
    with st.grid("auto", min_column_width=380, key="live-slots"):
        for run in snapshot.trainings:
            with st.container(border=True, gap="xsmall"):
                st.progress(run_share(run), text=progress_text(run))
                with st.container(horizontal=True, horizontal_alignment="distribute"):
                    st.caption(worker_text(run), width="content")
                    st.page_link(
                        TRIAL,
                        label=f"Trial {run.number}",
                        icon=":material/arrow_forward:",
                        query_params={"trial": f"{snapshot.search.id}.{run.number}"},
                    )


def idle_text(snapshot: Snapshot) -> str:
    """Return what slots without a training wait for, empty where none is free."""
    free = free_slots(snapshot.search.spec.slots, snapshot.trainings)
    if not free:
        return ""
    if not snapshot.baselines:
        return "The engine is computing the baselines."
    if snapshot.search.state != "running" or (snapshot.waiting and not snapshot.queue):
        return ""
    if any(budget.name in TIMES and budget.share >= 1 for budget in snapshot.budgets):
        return "The time is used up: no trial begins any more, and what trains is finished."
    slots = "A slot is free" if free == 1 else f"{free} slots are free"
    return f"{slots}: the planner is choosing what comes next."
