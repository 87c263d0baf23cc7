"""Start a search from a form, and show it."""

from __future__ import annotations

import streamlit as st

from nas_engine.search import SearchSpec
from nas_engine.store.schema import StoreError
from nas_engine.supervisor import Answer, start_search
from pages._parts.opening import LIVE, settings, stored
from pages._parts.text import plain


def show_same_search(spec: SearchSpec) -> None:
    """Tell what starting means where a search with these settings exists."""
    with stored() as reader:
        same = reader.search_like(spec) if reader else None
    if same is None:
        return
    budget = max(same.max_trials, spec.max_trials)
    done = f"Search {same.id} has these settings and {same.finished} of {same.max_trials} trials"
    if same.finished >= budget:
        st.info(f"{done}; it is complete. A larger trial budget continues it.")
    elif budget > same.max_trials:
        st.info(f"{done}; starting continues it to {budget} trials.")
    else:
        st.info(f"{done}; starting continues it.")


def start_and_watch(spec: SearchSpec) -> None:
    """Start the search and go to Live; where the engine refuses it, say why."""
    answer = _started(spec)
    if answer.ok and answer.search_id is not None:
        st.switch_page(LIVE, query_params={"search": str(answer.search_id)})
    st.error(plain(answer.text))


def _started(spec: SearchSpec) -> Answer:
    with st.spinner("Starting the engine…"):
        try:
            return start_search(settings().workspace, spec)
        except StoreError as error:
            return Answer(False, str(error), None)
