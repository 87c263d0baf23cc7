"""The head of the Live page: key figures, noise, money, and what is left of the budgets."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from nas_engine.amounts import aims_text, nearest_text
from nas_engine.evaluator import Noise
from nas_engine.front import keeps
from nas_engine.search import ASKING, SearchSpec
from nas_engine.standing import Budget, ends_first, search_seconds_left
from nas_engine.store.rows import Spend
from pages._parts.effects import relative_change
from pages._parts.snapshot import Snapshot
from pages._parts.text import count_text, error_text, percent_text, plain, seconds_text

BUDGETS = {
    "trials": "Trials",
    "hours": "Time",
    "training_hours": "Training over all slots",
    "usd": "US dollars",
    "tokens": "Tokens",
    "calls": "Calls",
}


def judged(change: float | None) -> Literal["normal", "inverse", "off"]:
    """Return how a change of an error is coloured: green where it fell.

    The typographic minus of the text is no sign to Streamlit, which takes every text for a rise.
    """
    return "off" if not change else "normal" if change < 0 else "inverse"


def budget_text(budget: Budget, first: bool) -> str:
    """Return what is used and left of a budget, and whether it is the one that ends first."""
    left = max(0.0, budget.limit - budget.used)
    used, whole, rest = (_amount(budget.name, value) for value in (budget.used, budget.limit, left))
    ends = " · ends the search first" if first else ""
    return f"{BUDGETS[budget.name]}: {used} of {whole}, {rest} left{ends}"


def _amount(name: str, value: float) -> str:
    if name in ("hours", "training_hours"):
        return seconds_text(3600 * value)
    return f"{value:.4g}" if name == "usd" else count_text(round(value))


def show_head(snapshot: Snapshot) -> None:
    """Draw all of it."""
    show_metrics(snapshot)
    show_aims(snapshot)
    show_noise(snapshot.noise)
    show_spend(snapshot.search.spec, snapshot.spend)
    show_budgets(snapshot.budgets)


def show_metrics(snapshot: Snapshot) -> None:
    """Draw the row of key figures."""
    search = snapshot.search
    first = next((trial.val_mse for trial in snapshot.trials if trial.number == 0), None)
    rivals = [row for row in snapshot.baselines if row.split == "val"]
    rival = rivals[0] if rivals else None
    from_start = None if search.incumbent == 0 else relative_change(search.best, first)
    from_rival = relative_change(search.best, rival.mse if rival else None)
    with st.grid(5, min_column_width=150, row_height=104):
        st.metric(
            "Trials done",
            f"{search.finished} / {search.max_trials}",
            border=True,
            height="stretch",
        )
        st.metric(
            best_label(snapshot),
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
            seconds_text(search_seconds_left(search, snapshot.mean_seconds)),
            border=True,
            height="stretch",
            help="Mean time of a finished trial x trials left, over the slots.",
        )


def best_label(snapshot: Snapshot) -> str:
    """Return what the incumbent's error is called: with bounds, whether it keeps them."""
    at_most, incumbent = snapshot.search.spec.at_most, snapshot.incumbent
    if not at_most or incumbent is None:
        return "Best val_mse ↓"
    return "Best in bounds ↓" if keeps(incumbent, at_most) else "Nearest to bounds ↓"


def show_aims(snapshot: Snapshot) -> None:
    """Tell what the search wants low beside the error, and how near it is while it breaks that."""
    spec, incumbent = snapshot.search.spec, snapshot.incumbent
    if told := aims_text(spec):
        st.caption(plain(told))
    if incumbent is not None and (far := nearest_text(incumbent, spec.at_most)):
        st.warning(plain(far))


def show_budgets(found: list[Budget]) -> None:
    """Draw a bar for each budget."""
    first = ends_first(found) if len(found) > 1 else None
    with st.grid("auto", min_column_width=300, key="live-budgets"):
        for budget in found:
            st.progress(budget.share, text=budget_text(budget, budget is first))


def show_spend(spec: SearchSpec, spend: Spend) -> None:
    """Tell what language models have taken."""
    if spec.planner not in ASKING:
        return
    st.caption(
        f"Language models: {spend.calls:,} calls · {spend.booked_tokens:,} tokens booked · "
        f"{spend.booked_usd:.4f} USD booked.",
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
