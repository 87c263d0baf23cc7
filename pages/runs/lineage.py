"""Lineage: the tree of accepted changes with the effect of each, and the way to the incumbent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import streamlit as st

from nas_engine.liveness import LIVING, engine_state
from nas_engine.store.lineage import Counts, family, offspring
from nas_engine.store.rows import SearchRow
from nas_engine.store.table import Pulse, pulse
from pages._parts.all_trials import mean_seconds_and_noise
from pages._parts.lineage import MOST, Tree, build, change, change_effect, since_start
from pages._parts.lineage_chart import (
    Edge,
    described,
    height,
    lineage,
    outline_frame,
    steps_frame,
)
from pages._parts.live_chart import chart
from pages._parts.opening import NO_TRIAL, TRIAL, choose_search, nothing_yet, searched
from pages._parts.text import percent_text, plain

TICK_SECONDS = 5.0
REJECTED = "lineage-rejected"
NONE = Counts(accepted=0, rejected=0, open=0)


@dataclass(frozen=True)
class View:
    """What the page draws."""

    search: SearchRow
    tree: Tree
    edges: dict[int, Edge]
    counts: Counts
    rejected: dict[int, int]  # children that are not drawn, by parent
    noise_known: bool


def read(search_id: int, with_rejected: bool) -> View:
    """Read a search's tree; where the search is gone, say so and stop the page."""
    with searched() as reader:
        search = reader.search(search_id)
        if search is None:
            st.error(f"Search {search_id} is no longer in this workspace.")
            st.stop()
        each = MOST // 2 if with_rejected else MOST  # room for both kinds
        steps = family(reader, search_id, each, with_rejected)
        born = offspring(reader, search_id)
        noise = mean_seconds_and_noise(reader, search_id)[1]
    tree = build(steps, search.incumbent)
    start, multiple = search.spec.start(), search.spec.rules.noise_multiple
    edges = {
        number: Edge(change(tree, number, start), change_effect(tree, number, noise, multiple))
        for number in tree.steps
        if tree.parents[number] is not None
    }
    drawn = Counter(tree.parents[n] for n, step in tree.steps.items() if not step.accepted)
    hidden = {
        number: count
        for number, found in born.items()
        if number is not None and (count := found.rejected - drawn[number]) > 0
    }
    return View(search, tree, edges, sum(born.values(), NONE), hidden, noise is not None)


def remember_rejected() -> None:
    """Put the choice into the address."""
    if st.session_state[REJECTED]:
        st.query_params["rejected"] = "1"
    else:
        st.query_params.pop("rejected", None)


def show_summary(view: View) -> None:
    """Say how many changes there were and what they came to."""
    found, tree = view.counts, view.tree
    words = [
        f"{found.accepted} accepted",
        f"{found.rejected} rejected, failed or ended early",
        *([f"{found.open} not judged yet"] if found.open else []),
    ]
    if len(tree.path) > 1:
        changes = len(tree.path) - 1
        gained = since_start(tree, tree.path[-1])
        worth = "" if gained is None else f", val_mse {percent_text(-gained)}"
        words.append(f"incumbent: {changes} change{'s' * (changes > 1)} from the start{worth}")
    st.caption(
        " · ".join(words) + ".",
        help="An effect is the change of val_mse against the parent. One inside the noise cannot "
        "be told from that of another seed.",
    )
    if not view.noise_known and view.edges:
        st.caption("The noise is not known yet, so no effect can be called inside it.")
    for fault in tree.faults:
        st.warning(plain(fault))
    left_out = found.accepted - sum(bool(step.accepted) for step in tree.steps.values())
    if left_out > 0:
        st.caption(
            f"The {len(tree.steps)} best are drawn, with what leads to them; {left_out} accepted "
            "trials are left out."
        )


def nothing_to_draw(view: View) -> str:
    """Return why there is no tree, empty where there is one."""
    found = view.counts
    if not found.accepted + found.rejected + found.open:
        return NO_TRIAL
    if not view.tree.steps:  # damaged data: not even trial 0
        return "No trial of this search leads to an accepted one."
    if not found.accepted and not found.rejected:
        return "No trial has been judged yet."
    return ""


def show_tree(view: View, search_id: int) -> None:
    """Draw the tree; a click on a trial opens it."""
    if view.counts.accepted == 0:
        st.info("No trial has been accepted yet: those that ended were rejected or failed.")
    elif len(view.tree.steps) == 1:
        st.info("Only the starting configuration has been accepted: no change has helped yet.")
    with st.container(border=True):
        clicked = chart(
            lineage(view.tree, view.edges, view.rejected, search_id),
            key="lineage-tree",
            alt=described(view.tree, view.counts.accepted),
            height=height(view.tree),
        )
    if clicked is not None:
        st.switch_page(TRIAL, query_params={"trial": clicked})


def show_tables(view: View, search_id: int) -> None:
    """Draw the way to the incumbent, and the tree as an outline."""
    columns = {
        "Step": st.column_config.NumberColumn(width=50),
        "Trial": st.column_config.TextColumn(width=125, pinned=True),
        "Parent": st.column_config.TextColumn(width=60),
        "Change": st.column_config.TextColumn(width=290),
        "Open": st.column_config.LinkColumn(display_text="open", width=60),
    }
    if len(view.tree.path) > 1:
        st.markdown("**The way to the incumbent**")
        st.dataframe(
            steps_frame(view.tree, view.edges, search_id),
            hide_index=True,
            key="lineage-steps",
            column_config=columns,
            height="content" if len(view.tree.path) < 12 else 440,
            alt=f"The {len(view.tree.path) - 1} changes that led to the incumbent",
        )
    st.markdown("**Outline**", help="The tree as a table: each trial below the one it changes.")
    st.dataframe(
        outline_frame(view.tree, view.edges, view.rejected, search_id),
        hide_index=True,
        key="lineage-outline",
        column_config=columns,
        height="content" if len(view.tree.steps) < 12 else 440,
        alt=f"Outline of the {len(view.tree.steps)} trials of the tree",
    )


# -- page ---------------------------------------------------------------------------------------


def draw(search_id: int) -> None:
    """Draw the page for one search."""
    view = read(search_id, st.session_state[REJECTED])
    if reason := nothing_to_draw(view):
        nothing_yet(reason, search_id)
        return
    show_summary(view)
    show_tree(view, search_id)
    show_tables(view, search_id)


def look(search_id: int, seen: Pulse) -> None:
    """Have the page drawn anew once a trial has begun, ended or been judged."""
    with searched() as reader:
        if pulse(reader, search_id) != seen:
            st.rerun()


chosen = choose_search("Lineage")
st.session_state[REJECTED] = st.query_params.get("rejected") == "1"
st.toggle(
    "Draw rejected trials too",
    key=REJECTED,
    on_change=remember_rejected,
    help="Those with the lowest val_mse; else they are counted at their parents.",
)
with searched() as reader:
    lives, seen = engine_state(reader.engine(chosen.id)), pulse(reader, chosen.id)
draw(chosen.id)
if lives in LIVING:
    st.fragment(look, run_every=TICK_SECONDS)(chosen.id, seen)
