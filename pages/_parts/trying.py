"""The dry run of a configuration, on a page."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from informer.config import ConfigError, Value, from_flat
from nas_engine.dry_run import dry_run, facts
from pages._parts.opening import settings
from pages._parts.people import acting
from pages._parts.text import plain

UNTRIED = "No dry run was made of this configuration."


def dry_run_button(config: Mapping[str, Value], key: str, disabled: bool = False) -> None:
    """Draw the button; what it came to is kept for `show_dry_run`."""
    if st.button(
        "Dry run",
        key=f"{key}-dry-run",
        icon=":material/science:",
        **acting(
            disabled,
            "Builds the model and goes one step forward and backward, without training it.",
        ),
    ):
        with st.spinner("Building the model…", show_time=True):
            try:
                outcome = dry_run(from_flat(config), settings())
            except ConfigError as error:
                outcome = str(error)
        st.session_state[f"{key}-tried"] = dict(config), outcome


def tried(config: Mapping[str, Value], key: str) -> bool:
    """Tell whether the last dry run was of this configuration."""
    held = st.session_state.get(f"{key}-tried")
    return held is not None and held[0] == dict(config)


def show_dry_run(config: Mapping[str, Value], key: str) -> None:
    """Draw what the last dry run came to; nothing where it was of another configuration."""
    if not tried(config, key):
        return
    _, outcome = st.session_state[f"{key}-tried"]
    if isinstance(outcome, str):
        st.error(plain(f"The dry run failed: {outcome}"))
        return
    found = " · ".join(f"{name.lower()} {value}" for name, value in facts(outcome).items())
    if outcome.loss is None:
        st.warning(plain(f"The dry run gave no finite loss: {found}."))
    else:
        st.success(plain(f"The dry run went well: {found}."))
