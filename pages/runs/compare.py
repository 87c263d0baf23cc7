"""Compare: any trials of any searches, their curves, settings and errors, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from nas_engine.store.reader import Reader
from pages._parts.address import word, write
from pages._parts.analysis import landscape, parameters, tradeoffs
from pages._parts.choice import (
    Scope,
    choose_scope,
    chosen_trials,
    reference_trial,
    show_chosen,
    task_differences,
)
from pages._parts.comparing import analyses, curves, differences, downloads, errors
from pages._parts.comparing.table import show_table
from pages._parts.opening import COMPARE, FORECAST, searched
from pages._parts.origin import show_origin
from pages._parts.selection import Key, reference_of
from pages._parts.text import plain, value_text
from pages._parts.views import show_views


def show_tradeoffs(reader: Reader, scope: Scope, chosen: list[Key], reference: Key | None) -> None:
    """Draw the tab of trade-offs, with the figures that a search in scope trades."""
    usual = tradeoffs.usual_pair(scope.known[key].spec for key in scope.searches)
    analyses.show(partial(tradeoffs.show, usual=usual), reader, scope, chosen, reference)


TABS: dict[str, Callable[[Reader, Scope, list[Key], Key | None], None]] = {
    "Curves": curves.show,
    "Differences": differences.show,
    "Errors": errors.show,
    "Parameters": partial(analyses.show, parameters.show),
    "Landscape": partial(analyses.show, landscape.show),
    "Trade-offs": show_tradeoffs,
    "Downloads": downloads.show,
}
OF_CHOSEN = (curves.show, differences.show, errors.show)


def warn_of_tasks(scope: Scope, chosen: Sequence[Key]) -> None:
    """Say where the trials in scope and those chosen are of different tasks."""
    shown = dict.fromkeys([*scope.searches, *(search for search, _ in chosen)])
    searches = [scope.known[key] for key in shown]
    if differing := task_differences(searches):
        facts = "; ".join(
            f"{key.rpartition('.')[2]} "
            + ", ".join(
                f"{value_text(value)} in search {search.id}"
                for search, value in zip(searches, values, strict=True)
            )
            for key, values in differing.items()
        )
        st.warning(
            f"The errors of these searches are not comparable: {plain(facts, 400)}. Figures are "
            "held against the reference only where the task is the same."
        )


def show_tabs(reader: Reader, scope: Scope, chosen: list[Key], reference: Key | None) -> None:
    """Draw the tab that the address names; what the others hold is not computed."""
    labels = {_word(label): label for label in TABS}
    st.session_state["compare-tab"] = labels[word("tab", labels, "curves")]
    tabs = st.tabs(list(TABS), key="compare-tab", on_change=_keep_tab)
    for tab, show in zip(tabs, TABS.values(), strict=True):
        if not tab.open:
            continue
        with tab:
            if chosen or show not in OF_CHOSEN:
                show(reader, scope, chosen, reference)
            else:
                st.info("Select rows in the table, once there are some, to compare their trials.")


def _keep_tab() -> None:
    write("tab", _word(st.session_state["compare-tab"]), "curves")


def _word(label: str) -> str:
    return label.lower().replace("-", "")


with searched("Compare") as reader:
    head = st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    )
    head.title("Compare", anchor=False)
    scope = choose_scope(reader)
    chosen = chosen_trials(reader, scope)
    reference = reference_trial(reader, scope, chosen)
    if scope.query is not None:
        show_table(reader, scope, chosen, reference)
    show_chosen(scope, chosen, reference)
    warn_of_tasks(scope, chosen)
    for search_id in dict.fromkeys([*scope.searches, *(search for search, _ in chosen)]):
        show_origin(scope.known[search_id], numbered=True)
    show_tabs(reader, scope, chosen, reference)
    address = st.query_params.to_dict() | {"trials": ",".join(map(reference_of, chosen)) or "none"}
    with head:
        show_views(reader, "compare", COMPARE, address)
        pair = [reference_of(key) for key in dict.fromkeys([reference, *chosen]) if key][:2]
        if pair:
            at = {"search": pair[0].partition(".")[0], **dict(zip("ab", pair, strict=False))}
            st.page_link(FORECAST, label="Forecasts", icon=":material/timeline:", query_params=at)
