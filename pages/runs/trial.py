"""Trial: everything about one trial, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages._parts.enqueue import show_enqueue
from pages._parts.trial_bundle import show_bundle
from pages._parts.trial_curves import show_curves, show_runs
from pages._parts.trial_files import show_environment, show_files, show_log
from pages._parts.trial_forecasts import show_errors, show_forecasts
from pages._parts.trial_head import ANSWER, show_head
from pages._parts.trial_record import (
    show_children,
    show_exchange,
    show_proposal,
    show_verdict,
)
from pages._parts.trial_settings import show_settings
from pages._parts.trial_view import View, choose_trial, read

TICK_SECONDS = 2.0
SECTIONS: dict[str, tuple[str, str, Callable[[View], None]]] = {
    "trial-forecasts": ("Forecasts beside the truth", "show_chart", show_forecasts),
    "trial-errors": ("Errors by step and column", "bar_chart", show_errors),
    "trial-exchange": ("What language models were asked", "forum", show_exchange),
    "trial-children": ("What was made from it", "account_tree", show_children),
    "trial-log": ("Log of the worker", "article", show_log),
    "trial-environment": ("What it ran on", "computer", show_environment),
    "trial-files": ("Files of the run", "folder", show_files),
    "trial-bundle": ("Take it home", "inventory_2", show_bundle),
}
"""What is drawn, and read, only where it is opened."""


def draw_head(search_id: int, number: int, ticking: bool) -> None:
    """Draw the head; where the trial begins or ends, start or end the ticking with a full run."""
    view = read(search_id, number)
    if view.ticking != ticking:
        st.rerun()
    show_head(view)


def draw_rest(search_id: int, number: int) -> None:
    """Draw what was proposed, how it was judged, the settings, the curves and the rest."""
    view = read(search_id, number)
    left, right = st.columns(2)
    with left:
        show_verdict(view)
    with right:
        show_proposal(view)
    show_settings(view)
    show_curves(view)
    show_runs(view)
    for key, (title, icon, show) in SECTIONS.items():
        place = st.expander(title, key=key, icon=f":material/{icon}:", on_change="rerun")
        if place.open:
            with place:
                show(view)


def look(search_id: int, number: int, seen: tuple[object, ...]) -> None:
    """Draw the page anew when a trial at rest has changed: by a person, or a new incumbent."""
    if read(search_id, number).mark != seen:
        st.rerun()


of_search, numbered = choose_trial("Trial")
drawn = read(of_search, numbered)
tick = TICK_SECONDS if drawn.ticking else None
st.fragment(draw_head, run_every=tick)(of_search, numbered, drawn.ticking)
show_enqueue(of_search, numbered, "trial-enqueue", ANSWER)
st.fragment(draw_rest, run_every=tick)(of_search, numbered)
if not drawn.ticking:
    st.fragment(look, run_every=TICK_SECONDS)(of_search, numbered, drawn.mark)
