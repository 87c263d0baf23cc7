"""Transcript: who proposed, decided, trained and judged each trial, word for word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

from informer.config import Value
from nas_engine.curves import curves_of
from nas_engine.facts import claims
from nas_engine.liveness import engine_state
from nas_engine.standing import as_seen
from nas_engine.store.provenance import OF_TRIALS, spend_by_role
from nas_engine.store.reader import Reader
from nas_engine.store.rows import LLMCallRow, SearchRow, TrialRow
from nas_engine.store.table import ALL, Query, QueryError, Term, keys, parse
from nas_engine.transcript import found_words, lives
from pages._parts.all_trials import all_tried
from pages._parts.opening import (
    NO_TRIAL,
    TRANSCRIPT,
    TRIAL,
    asked_trial,
    choose_search,
    is_number,
    nothing_yet,
    searched,
)
from pages._parts.text import plain
from pages._parts.transcript_calls import show_call, totals
from pages._parts.transcript_export import show_export
from pages._parts.transcript_steps import ROLES, Shown, checked_texts, show_trial

PER_PAGE = 10
Configs = dict[int, Mapping[str, Value]]


def remember_trial() -> None:
    """Put the chosen trial into the address."""
    number = st.session_state["transcript-trial"]
    st.query_params.pop("call", None)
    if number is None:
        st.query_params.pop("trial", None)
    else:
        st.query_params["trial"] = str(number)


def choose_trial(search_id: int, last: int, of_call: int | None) -> int | None:
    """Let one trial be chosen; one that the search does not have is said to be unknown."""
    asked, named = asked_trial(), st.query_params.get("trial")
    if named is not None and (asked is None or asked > last):
        st.error(f"Search {search_id} has no trial {plain(named, 40)}.")
        asked = None
    st.session_state["transcript-trial"] = asked if of_call is None else of_call
    number: int | None = st.number_input(
        "Trial",
        0,
        last,
        None,
        key="transcript-trial",
        placeholder="All",
        on_change=remember_trial,
    )
    return number


def asked_call(reader: Reader, search_id: int) -> LLMCallRow | None:
    """Return the exchange that the address names; one that there is not is said to be unknown."""
    named = st.query_params.get("call")
    if named is None:
        return None
    call = reader.llm_call(search_id, int(named)) if is_number(named) else None
    if call is None:
        st.error(f"Search {search_id} has no exchange {plain(named, 40)}.")
    return call


def show_asked_call(search: SearchRow, call: LLMCallRow) -> None:
    """Draw the exchange that the address names, with all its words and the ways back."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"Exchange {call.id}", anchor=False, width="content")
        st.badge(call.role, color="blue")
        if call.number is not None:
            st.page_link(
                TRIAL,
                label=f"Trial {call.number}",
                icon=":material/arrow_back:",
                query_params={"trial": f"{search.id}.{call.number}"},
            )
        st.page_link(TRANSCRIPT, label="All exchanges", query_params={"search": str(search.id)})
    show_call(search.id, call, opened=True, place="exchange")
    if call.role not in OF_TRIALS:
        st.caption(f"It belongs to a {plain(call.role)}, and is no step of a trial.")
        st.stop()


def conditions(text: str) -> tuple[Term, ...]:
    """Return what a filter asks for; where it means nothing, say so and stop the page."""
    try:
        return parse(text)
    except QueryError as error:
        st.error(plain(str(error)))
        st.stop()


def parents(reader: Reader, trials: Sequence[TrialRow], start: Mapping[str, Value]) -> Configs:
    """Return the configuration that each of the trials has changed, by their numbers."""
    keys = {(t.search_id, t.parent) for t in trials if t.parent is not None}
    configs = {row.number: row.config for row in reader.listed(sorted(keys))}
    return {
        trial.number: start if trial.parent is None else configs.get(trial.parent, start)
        for trial in trials
    }


search = choose_search("Transcript")
with searched() as reader:
    everything = Query((search.id,), descending=True, exchanges=True)
    newest = keys(reader, replace(everything, limit=1))
    spent = spend_by_role(reader, search.id)
    engine = engine_state(reader.engine(search.id))
    asked = asked_call(reader, search.id)
if asked is not None:
    show_asked_call(search, asked)
if not newest:
    nothing_yet(NO_TRIAL, search.id)
    st.stop()
st.caption(totals(spent))

one, role_column, text_column, file_column = st.columns([2, 4, 4, 2], vertical_alignment="bottom")
with one:
    only = choose_trial(search.id, newest[0][1], None if asked is None else asked.number)
chosen_roles = role_column.pills(
    "Steps", ROLES, selection_mode="multi", default=ROLES, key="transcript-roles"
)
words = text_column.text_input(
    "Filter",
    key="transcript-text",
    placeholder='too many requests, "heavy tails", val_mse<0.4',
    help="Words in reasons, replies, hints, comments, opinions, verdicts and errors, of earlier "
    "versions too; conditions such as `state=failed`, `source=llm`, `val_mse<0.4` or "
    "`d_model>=128`. All must hold.",
    max_chars=400,
)
terms = conditions(words) + (() if only is None else (Term("number", "=", str(only)),))
with searched() as reader:
    matching = keys(reader, replace(everything, terms=terms, limit=ALL))
if not matching:
    st.info("No trial matches these filters.")
    st.stop()
with file_column:
    show_export(search, matching)
pages = -(-len(matching) // PER_PAGE)
number = st.pagination(pages, key=f"transcript-page-{pages}") if pages > 1 else 1
with searched() as reader:
    found = reader.listed(matching[(number - 1) * PER_PAGE : number * PER_PAGE])
    shown = as_seen(found, engine)
    bases = parents(reader, shown, search.spec.start())
    curves = curves_of(reader.epochs(search.id, [trial.number for trial in shown]))
    told = lives(reader, search.id, shown)
    claiming = any(claims(text) for life in told for text in checked_texts(life))
    tried = all_tried(reader, search.id) if claiming else []
    baselines = reader.baselines(search.id)
for life in told:
    show_trial(
        Shown(
            search,
            life,
            curves.get(life.trial.number),
            bases[life.trial.number],
            tried,
            baselines,
            found_words(life, terms),
            opened=only is not None and asked is None,
        ),
        chosen_roles,
    )
