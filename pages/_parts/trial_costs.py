"""What a trial costs to run, and whether it keeps the bounds of its search."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from informer.config import ConfigError, from_flat
from informer.orders import Timing
from nas_engine.amounts import amount, broken_text
from nas_engine.front import keeps
from nas_engine.objectives import MEASURES, exact_figures, written
from nas_engine.store.rows import TrialRow
from pages._parts.text import plain
from pages._parts.trial_view import View


def with_costs(view: View) -> TrialRow:
    """Return the trial with all costs that are known of it, finished or not.

    Parameters and FLOPs are so by arithmetic, latency also where it was the end of a training.
    """
    trial = view.trial
    try:
        config = from_flat(trial.config)
        exact = exact_figures(config)
    except ConfigError:  # its data set has gone, or it is of a search from before a rule
        exact = {}
    measured = [run.latency_ms for run in view.runs if run.latency_ms is not None]
    latency = trial.latency_ms if trial.latency_ms is not None else next(iter(measured), None)
    return replace(
        trial,
        parameters=exact.get("parameters", trial.parameters),
        flops=exact.get("flops", trial.flops),
        latency_ms=latency,
    )


def timing_text(timing: Timing, device: str | None) -> str:
    """Return how a latency was measured: the batch, the device and its threads.

    Args:
        timing: of the search.
        device: that trained; None while that is not known.
    """
    where = timing.device if timing.device != "auto" else device or "the device that trains"
    threads = f", {timing.threads} thread{'s' * (timing.threads > 1)}" if where == "cpu" else ""
    return f"batch of {timing.batch} on {where}{threads}"


def bounds_line(known: TrialRow, view: View) -> str:
    """Return whether a trial keeps the bounds of its search; empty where there are none."""
    bounds = view.search.spec.at_most
    if not bounds:
        return ""
    if broken := broken_text(known, bounds):
        return f"✕ Breaks the bounds: {broken}; they are {written(bounds)}."
    if keeps(known, bounds):
        return f"✓ Keeps the bounds: {written(bounds)}."
    missing = [MEASURES[name].title for name in bounds if getattr(known, name) is None]
    return (
        f"Whether it keeps the bounds ({written(bounds)}) is not known yet; to be measured: "
        f"{', '.join(missing)}."
    )


def show_bounds(known: TrialRow, view: View) -> None:
    """Say whether it keeps the bounds, where the search has some."""
    line = bounds_line(known, view)
    colour = {"✕": "orange", "✓": "green"}.get(line[:1])
    if line:
        st.markdown(f":{colour}[{plain(line)}]" if colour else plain(line))


def latency_figures(known: TrialRow, view: View) -> tuple[str, str] | None:
    """Return the latency and how it was measured; None where it is not, and not asked for."""
    if known.latency_ms is None and not view.search.spec.timed:
        return None
    how = timing_text(view.search.spec.timing, known.device)
    return amount("latency_ms", known.latency_ms), plain(how, 60)
