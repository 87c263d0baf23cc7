"""The form in which a person edits a configuration, checked at every change."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import streamlit as st

from informer.config import ConfigError, Value, from_flat
from nas_engine.proposals import LEVEL, Record, Tried, check, near_duplicates, outcome
from nas_engine.space import editable_keys
from pages._parts.forms import held_settings, settings_by_section, settings_in_grid
from pages._parts.inbox_figures import aims_line, estimate, estimate_text
from pages._parts.opening import TRIAL
from pages._parts.text import changes_text, plain

MOST_NEAR = 3
"""Trials as good as the same that are told."""


def edited_changes(parent: Mapping[str, Value], held: Mapping[str, Value]) -> dict[str, Value]:
    """Return every setting of a form whose value differs from the parent's."""
    return {key: value for key, value in held.items() if parent.get(key) != value}


def edit(
    record: Record,
    parent: Mapping[str, Value],
    start: Mapping[str, Value],
    first: Collection[str],
    prefix: str,
    search_id: int,
) -> tuple[dict[str, Value], list[str]]:
    """Draw the form and return the changes to the parent, and a sentence for each fault of them.

    Args:
        record: what the changes are checked against.
        parent: the configuration that is changed.
        start: what the form begins with: the parent, or a proposal to change it.
        first: the settings that are seen at once; the others fold away.
        prefix: of the widgets' keys, unique to the page and the form.
        search_id: for links to its trials.
    """
    shown = [key for key in editable_keys() if key in first]
    faulty = at_odds({**parent, **start, **held_settings(editable_keys(), prefix)})
    held = settings_in_grid(shown, start, prefix, faulty)
    with st.expander("All other settings", key=f"{prefix}-others"):
        others = [key for key in editable_keys() if key not in first]
        held |= settings_by_section(others, start, prefix, faulty)
    changes = edited_changes(parent, held)
    if not changes:
        st.caption("Nothing is changed yet.")
        return {}, []
    st.caption(f"Would be tried: {plain(changes_text(changes, parent), 600)}")
    config = {**parent, **changes}
    if (after := estimate(record, config)) is not None:
        st.caption(plain(estimate_text(after, estimate(record, parent))))
        proposed = None if dict(start) in (dict(parent), config) else estimate(record, start)
        if proposed is not None and proposed != after:
            st.caption(plain(estimate_text(after, proposed, than="what was proposed")))
        if told := aims_line(after, record.spec):
            st.caption(plain(told))
    show_near(record, config, search_id)
    problems = check(record, parent, changes, by="person")
    for problem in problems:
        st.error(plain(problem))
    return changes, problems


def at_odds(config: Mapping[str, Value]) -> list[str]:
    """Return the settings that a rule names which a configuration breaks."""
    try:
        from_flat(config)
    except ConfigError as error:
        told = str(error)
        return [key for key in editable_keys() if re.search(rf"(?<![\w.]){re.escape(key)}\b", told)]
    return []


def show_near(record: Record, config: Mapping[str, Value], search_id: int) -> None:
    """Draw the trials that are as good as the same, with what became of them."""
    try:
        near = near_duplicates(record, from_flat(config))[:MOST_NEAR]
    except ConfigError:
        return
    show_trials("As good as the same:", near, search_id)


def show_trials(what: str, trials: Sequence[Tried], search_id: int) -> None:
    """Draw links to trials with their results; nothing where there are none."""
    if not trials:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(what, width="content")
        for trial in trials:
            st.page_link(
                TRIAL,
                label=plain(f"trial {trial.number}: {outcome(trial)}"),
                query_params={"trial": f"{search_id}.{trial.number}"},
            )


def choose_expected(prefix: str) -> tuple[tuple[float, float] | None, list[str]]:
    """Let a person state the effect that they expect; return as `expected_now` does."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for label, end in (("You expect, % better, from", "low"), ("% better, to", "high")):
            st.number_input(
                label,
                -1000.0,
                100.0,
                None,
                step=0.5,
                format="%g",
                key=f"{prefix}-expected-{end}",
                placeholder="optional",
                width=210,
                help=f"Of val_mse, against the parent's: the range that holds the result with a "
                f"probability of {LEVEL:.0%}. Hindsight compares it with what came.",
            )
    return expected_now(prefix)


def expected_now(prefix: str) -> tuple[tuple[float, float] | None, list[str]]:
    """Return what a person expects, as the widgets hold it, and what is wrong with it.

    It is a relative improvement of val_mse over the parent's, from least to most.
    """
    low, high = (st.session_state.get(f"{prefix}-expected-{end}") for end in ("low", "high"))
    if low is None and high is None:
        return None, []
    if low is None or high is None:
        return None, ["Your expectation needs both ends, or neither."]
    if low > high:
        return None, ["Your expectation begins with the lower end."]
    return (low / 100, high / 100), []
