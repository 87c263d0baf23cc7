"""Forecast: two trials and a baseline on every window, and where their errors come from."""

from __future__ import annotations

import streamlit as st

from pages._parts.forecasting import beyond, delta, origins, window, worst
from pages._parts.forecasting.choosing import asked_of, choose
from pages._parts.forecasting.computing import forecasters
from pages._parts.forecasting.reduced import choose_look
from pages._parts.opening import choose_search, searched
from pages._parts.selection import trial_of
from pages._parts.text import plain


def name_search() -> None:
    """Let the address name trial A alone: its search is then the page's."""
    asked = trial_of(st.query_params.get("a", ""))
    if "search" not in st.query_params and asked is not None:
        st.query_params["search"] = str(asked[0])


name_search()
search = choose_search("Forecast")
with searched() as reader:
    choice = choose(reader, search)
    asked = asked_of(reader, choice, choice.part)
found = forecasters(asked, "forecast")
if not found or found[0].role != "A":  # the others are held against A
    st.stop()
made = found[0].made
look = choose_look(made, choice.target)
facts = made.facts
devices = ", ".join(sorted({one.made.facts.device for one in found}))
thinned = (
    f" One window in {facts.every} is kept, so that the forecasts stay small."
    if facts.every > 1
    else ""
)
st.caption(
    f"{facts.windows:,} windows of {plain(facts.dataset)}, {facts.horizon} steps ahead, a step "
    f"each {plain(facts.frequency)}, computed on {devices}.{thinned}"
)
left, right = st.columns([2, 1])
with left:
    st.subheader("A window", anchor=False)
    window.show(found, look)
with right:
    st.subheader("Worst windows", anchor=False)
    worst.show(found, look)
st.subheader("Where errors come from", anchor=False)
origins.show(found, look)
st.subheader("Where A is better", anchor=False)
delta.show(found, look)
place = st.expander(
    "Beyond the end of the data",
    key="forecast-future",
    icon=":material/fast_forward:",
    on_change="rerun",
)
if place.open:
    with place, searched() as reader:
        beyond.show(reader, choice, found, look.shown)
