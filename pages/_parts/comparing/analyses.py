"""The tabs of figures over all trials that the filter leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from nas_engine.store.reader import Reader
from nas_engine.store.table import Results
from pages._parts.all_trials import BY_MARK, all_results
from pages._parts.analysis.frames import results_frame, settings_frame
from pages._parts.choice import Scope, matching_trials
from pages._parts.opening import TRIAL
from pages._parts.selection import Key

Draw = Callable[[pd.DataFrame, pd.DataFrame, Sequence[Key]], str | None]


def show(draw: Draw, reader: Reader, scope: Scope, chosen: list[Key], _: Key | None) -> None:
    """Draw one of them; a click opens the trial."""
    if scope.query is None:
        st.info("Mend the filter above to see the figures of its trials.")
        return
    found = all_results(reader, scope.searches)
    results, settings = frames(found)
    if scope.query.terms:
        # Looked up from this side: a trial may have begun since the results were read.
        left = set(matching_trials(reader, scope))
        rows = [trial in left for trial in zip(found.search, found.number, strict=True)]
        results, settings = results.loc[rows], settings.loc[rows]
    if clicked := draw(results, settings, chosen):
        st.switch_page(TRIAL, query_params={"trial": clicked})


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=BY_MARK)
def frames(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return results and settings as frames, which all sessions share and none changes."""
    return results_frame(results), settings_frame(results)
