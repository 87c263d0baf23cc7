"""The form in which a person edits a configuration, checked at every change."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import streamlit as st

from informer.config import ConfigError, Value, from_flat
from informer.cost import parameters
from nas_engine.machine import memory_needed
from nas_engine.proposals import Record, check, near_duplicates, outcome
from nas_engine.space import editable_keys
from pages._parts.forms import settings_by_section, settings_in_grid
from pages._parts.text import changes_text, count_text, plain, seconds_text


def weights(config: Mapping[str, Value]) -> int | None:
    """Return the number of parameters of a configuration, None where it is not valid."""
    try:
        built = from_flat(config)
    except ConfigError:
        return None
    return parameters(built)


def edited_changes(parent: Mapping[str, Value], held: Mapping[str, Value]) -> dict[str, Value]:
    """Return every setting of a form whose value differs from the parent's."""
    return {key: value for key, value in held.items() if parent.get(key) != value}


def show_estimate(record: Record, config: Mapping[str, Value]) -> None:
    """Say what the training will take, and which trials were as good as the same."""
    try:
        built = from_flat(config)
    except ConfigError:
        return
    seconds = record.seconds(built)
    time = f" · {seconds_text(seconds)} of training" if seconds is not None else ""
    st.caption(f"Estimated: {memory_needed(built) / 1e6:,.0f} MB of memory{time}")
    for near in near_duplicates(record, built)[:3]:
        st.caption(f"As good as the same: trial {near.number}, {plain(outcome(near))}")


def edit(
    record: Record,
    parent: Mapping[str, Value],
    start: Mapping[str, Value],
    first: Collection[str],
    prefix: str,
) -> tuple[dict[str, Value], list[str]]:
    """Draw the form and return the changes to the parent, and a sentence for each fault of them.

    Args:
        record: what the changes are checked against.
        parent: the configuration that is changed.
        start: what the form begins with.
        first: the settings that are seen at once; the others fold away.
        prefix: of the widgets' keys, unique to the page and the form.
    """
    held = settings_in_grid([key for key in editable_keys() if key in first], start, prefix)
    with st.expander("All other settings", key=f"{prefix}-others"):
        others = [key for key in editable_keys() if key not in first]
        held |= settings_by_section(others, start, prefix)
    changes = edited_changes(parent, held)
    if not changes:
        st.caption("Nothing is changed yet.")
        return {}, []
    st.caption(f"Would be tried: {plain(changes_text(changes, parent), 600)}")
    after = weights({**parent, **changes})
    st.caption(f"Parameters: {count_text(weights(parent))} → {count_text(after)}")
    show_estimate(record, {**parent, **changes})
    problems = check(record, parent, changes, by="person")
    for problem in problems:
        st.error(plain(problem))
    return changes, problems
