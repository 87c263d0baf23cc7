"""Which earlier searches a new one learns from, chosen on Start."""

from __future__ import annotations

import streamlit as st

from nas_engine.lessons import ALIKE, FIRST, MOST, PRIOR
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings
from nas_engine.similarity import Task, planned_task, similarity, task_of, with_traits
from nas_engine.store.rows import SearchRow
from pages._parts.opening import settings, stored
from pages._parts.text import plain, readable

NAMED = 3
"""Searches that are named as the most similar."""


def choose_lessons(form: str, begins: SearchSpec, spec: SearchSpec) -> tuple[int, ...]:
    """Let earlier searches be chosen to learn from, the most similar first.

    Args:
        form: prefix of the keys of the form's widgets.
        begins: what the form begins with.
        spec: what the form comes to otherwise.
    """
    with stored() as reader:
        known = [row for row in reader.searches() if row.best is not None] if reader else []
        traits = reader.traits() if reader else {}
        tasks = (planned_task(spec, reader), *(task_of(row, traits) for row in known))
    if not known:
        return ()
    ids = {row.id for row in known}
    held = f"{form}-lessons-held"  # while the expander is closed, its widgets are not drawn
    chosen = [n for n in st.session_state.get(held, begins.lessons) if n in ids]
    named = f": {', '.join(map(str, chosen))}" if chosen else ""
    with st.expander(
        f"Learn from earlier searches{named}",
        key="start-lessons",
        icon=":material/school:",
        on_change="rerun",
    ) as box:
        if box.open:
            chosen = _chosen(form, chosen, known, tasks)
            st.session_state[held] = chosen
    return tuple(chosen)


def _chosen(
    form: str, before: list[int], known: list[SearchRow], tasks: tuple[Task, ...]
) -> list[int]:
    """Draw what can be learned from, and return what is chosen."""
    st.caption(
        f"Their best configurations are tried first ({FIRST} at most), the optimiser is told their "
        f"trials as a prior ({PRIOR} at most, fewer with each result), and a language model reads "
        "their findings. What is taken is fixed when the search begins. To take over single "
        "findings as words or bounds that you can edit, carry them from that search's Steer "
        "page instead."
    )
    mine, *others = _measured(tasks, settings())
    likenesses = {row.id: similarity(mine, o) for row, o in zip(known, others, strict=True)}
    titles = {row.id: row.title for row in known}
    offered = sorted(likenesses, key=lambda number: (-likenesses[number].value, -number))
    chosen: list[int] = st.multiselect(
        "Searches",
        offered,
        default=before,
        max_selections=MOST,
        format_func=lambda number: readable(
            f"{number}: {titles[number]} · similarity {likenesses[number].value:.2f}"
        ),
        key=f"{form}-lessons",
        placeholder="None",
    )
    for number in chosen:
        st.caption(f"Search {number}: similarity {plain(likenesses[number].text, 300)}.")
    alike = [n for n in offered if likenesses[n].value >= ALIKE and n not in chosen][:NAMED]
    if alike:
        named = "; ".join(f"search {n} ({plain(likenesses[n].text, 200)})" for n in alike)
        st.caption(
            f"Most alike: {named}. None is chosen for you: a lesson makes a search depend on "
            "another one, and planners compare only where they start from the same."
        )
    return chosen


@st.cache_data(max_entries=64, show_spinner="Looking at the data…", hash_funcs={Task: repr})
def _measured(tasks: tuple[Task, ...], _environment: Settings) -> list[Task]:
    """Return tasks with what their data are like, measured once."""
    return with_traits(tasks, _environment)
