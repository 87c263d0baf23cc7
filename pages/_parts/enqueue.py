"""A configuration of one's own, put into the queue of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from informer.config import Value
from nas_engine.commands import Enqueue
from nas_engine.proposals import Record
from nas_engine.store import wishes
from nas_engine.store.rows import SearchRow
from nas_engine.store.table import TriedRow
from pages._parts.all_trials import all_tried
from pages._parts.editor import choose_expected, edit
from pages._parts.figures import trial_name
from pages._parts.opening import give_and_show, searched, show_answer
from pages._parts.people import acting
from pages._parts.trying import UNTRIED, dry_run_button, show_dry_run, tried

ANSWER = "enqueue-answer"
NEWEST = 100  # trials that are offered
START = "The starting configuration"


def bases(search: SearchRow, trials: Sequence[TriedRow]) -> dict[int | None, Mapping[str, Value]]:
    """Return what can be changed, by trial: the incumbent first, the start (None) last."""
    best = [trial for trial in trials if trial.number == search.incumbent]
    others = [trial for trial in trials[-NEWEST:][::-1] if trial.number != search.incumbent]
    found: dict[int | None, Mapping[str, Value]] = {
        trial.number: trial.config for trial in (*best, *others)
    }
    return found | {None: search.spec.start()}


def choose_base(
    search: SearchRow, trials: Sequence[TriedRow], only: int | None
) -> tuple[Mapping[str, Value], int | None]:
    """Return what is changed, and the trial that it is of: the one given, or one to choose."""
    if only is not None:
        return next(trial.config for trial in trials if trial.number == only), only
    configs = bases(search, trials)
    names = {
        number: START if number is None else trial_name(number, search.incumbent)
        for number in configs
    }
    parent = st.selectbox(
        "Start from",
        list(configs),
        format_func=names.__getitem__,
        key=f"enqueue-{search.id}-parent",
        width=260,
    )
    return configs[parent], parent


@st.fragment
def show_enqueue(
    search_id: int, only: int | None = None, key: str = "live-enqueue", answer: str = ANSWER
) -> None:
    """Draw the form where it is asked for; it does not tick, so that nothing moves under a hand.

    Args:
        search_id: whose queue.
        only: the trial that is changed; None lets a person choose one.
        key: of the form, unique to the page.
        answer: where the answer is left.
    """
    place = st.expander(
        "Enqueue a configuration" if only is None else f"Enqueue a change of trial {only}",
        key=key,
        icon=":material/playlist_add:",
        on_change="rerun",
    )
    if not place.open:
        return
    with searched() as reader:
        search, trials = reader.search(search_id), all_tried(reader, search_id)
        if search is None:  # the page above says so
            return
        spec = wishes.steered_spec(reader, search_id)
    with place:
        config, parent = choose_base(search, trials, only)
        prefix = f"enqueue-{search_id}-{'start' if parent is None else parent}"
        record = Record(spec, trials)
        changes, problems = edit(record, config, config, record.space, prefix, search_id)
        expected, faults = choose_expected(prefix)
        for fault in faults:
            st.error(fault)
        comment = st.text_input(
            "Why", key=f"{prefix}-comment", max_chars=4000, placeholder="Optional"
        )
        tried_config = {**config, **changes}
        with st.container(horizontal=True):
            dry_run_button(tried_config, prefix, disabled=bool(problems) or not changes)
            if st.button(
                "Enqueue",
                type="primary",
                key=f"{prefix}-go",
                icon=":material/playlist_add:",
                **acting(
                    bool(problems or faults) or not changes,
                    None if tried(tried_config, prefix) else UNTRIED,
                ),
            ):
                command = Enqueue(
                    parent=parent, changes=changes, expected=expected, comment=comment
                )
                give_and_show(command, search_id, answer)
        show_dry_run(tried_config, prefix)
        show_answer(answer)
