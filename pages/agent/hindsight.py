"""Hindsight: what other rules would decide, who was right, what others would have proposed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from nas_engine.calibration import opinions, predictions, worth
from nas_engine.proposals import LEVEL
from nas_engine.relabel import Relabelled, relabelled
from nas_engine.search import Rules
from nas_engine.store import judging, wishes
from nas_engine.store.hindsight import Judged, asked, efforts, judged, outcomes
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow
from nas_engine.store.table import Pulse, pulse
from nas_engine.store.wishes import ReplayRow
from pages._parts.address import number, word, write
from pages._parts.calibration import (
    beyond_text,
    calibration,
    costs_frame,
    evaluator_text,
    scores_frame,
    verdicts,
)
from pages._parts.live_chart import Figure, chart
from pages._parts.opening import (
    TRIAL,
    choose_search,
    nothing_yet,
    searched,
    settings,
)
from pages._parts.replays import show_replays
from pages._parts.text import plain
from pages._parts.what_if import (
    MOST_ROWS,
    changed_frame,
    drawn_text,
    told,
    uncertain,
    what_if,
)

TICK_SECONDS = 2.0
SLIDERS = ("accept", "reject", "noise")


# -- what is read -------------------------------------------------------------------------------


@st.cache_resource(max_entries=8, show_spinner=False)
def verdicts_of(db: str, of: Pulse, _reader: Reader) -> list[Judged]:
    """Return the verdicts of a search; not to be changed, since all sessions share them."""
    return judged(_reader, of.search_id)


@st.cache_resource(max_entries=64, show_spinner=False)
def anew(db: str, of: Pulse, rules: Rules, _history: Sequence[Judged]) -> list[Relabelled]:
    """Return what other rules make of the verdicts; kept, since sliders go to and fro."""
    return relabelled(_history, rules)


# -- what if ------------------------------------------------------------------------------------


def show_what_if(reader: Reader, search: SearchRow) -> None:
    """Draw the sliders, and the history under the rules that they make."""
    db, of = str(settings().workspace.db), pulse(reader, search.id)
    history = verdicts_of(db, of, reader)
    if not history:
        nothing_yet(
            "No trial has been judged yet; verdicts can be given anew as soon as there are some.",
            search.id,
        )
        return
    rules = chosen_rules(search.spec.rules)
    found = anew(db, of, rules, history)
    st.markdown(f"**{plain(told(found, search.incumbent))}**")
    with st.container(border=True):
        clicked = chart(
            what_if(found, search.incumbent, search.id),
            key="hindsight-history",
            alt=told(found, search.incumbent),
            height=380,
        )
    if clicked is not None:
        st.switch_page(TRIAL, query_params={"trial": clicked})
    notes = [drawn_text(found), *uncertain(found)]
    st.caption(
        " ".join(filter(None, notes)) or "Every verdict follows from what was measured.",
        help="Under other rules planners would have started from other incumbents, and proposed "
        "other trials: only the verdicts on those that were tried are given anew.",
    )
    if any(row.changed for row in found):
        show_changed(found, search.id)


def chosen_rules(own: Rules) -> Rules:
    """Draw the sliders and return the rules that they make."""
    percent = {"accept": 100 * own.accept_above, "reject": 100 * own.reject_below}
    shown = percent | {"noise": own.noise_multiple}
    low = {"accept": 0.0, "reject": float(min(-10, math.floor(percent["reject"]))), "noise": 0.0}
    high = {"accept": float(max(10, math.ceil(percent["accept"]))), "reject": 0.0, "noise": 4.0}
    set_to = {name: number(name, shown[name], low[name], high[name]) for name in SLIDERS}
    labels = {
        "accept": ("Accept when better by more than", "%.1f %%", "`accept_above`"),
        "reject": ("Reject when the improvement is below", "%.1f %%", "`reject_below`"),
        "noise": ("Deviations that may be noise", "%.1f", "`noise_multiple`"),
    }
    with st.container(border=True):
        columns = st.columns(len(SLIDERS), gap="medium")
        for column, name in zip(columns, SLIDERS, strict=True):
            label, form, rule = labels[name]
            key = f"hindsight-{name}"
            st.session_state[key] = set_to[name]
            column.slider(
                label,
                *(low[name], high[name]),
                step=0.1,
                key=key,
                format=form,
                help=f"{rule} of the search's rules; this search has {shown[name]:.4g}.",
                on_change=keep,
                args=(name, shown[name]),
            )
        st.button(
            "Back to the rules of the search",
            key="hindsight-reset",
            icon=":material/undo:",
            disabled=set_to == shown,
            on_click=reset,
        )
    changed = {name: set_to[name] for name in SLIDERS if set_to[name] != shown[name]}
    fields = {"accept": "accept_above", "reject": "reject_below", "noise": "noise_multiple"}
    scale = {"accept": 100, "reject": 100, "noise": 1}
    update = {fields[name]: value / scale[name] for name, value in changed.items()}
    return own.model_copy(update=update)


def keep(name: str, default: float) -> None:
    """Put a slider's value into the address."""
    write(name, st.session_state[f"hindsight-{name}"], default)


def reset() -> None:
    """Take the sliders' values out of the address."""
    for name in SLIDERS:
        st.query_params.pop(name, None)


def show_changed(found: Sequence[Relabelled], search_id: int) -> None:
    """Draw the table of verdicts that change."""
    changed = sum(row.changed for row in found)
    st.markdown("**Verdicts that change**")
    text, percent = st.column_config.TextColumn, st.column_config.NumberColumn
    st.dataframe(
        changed_frame(found, search_id),
        hide_index=True,
        key="hindsight-changed",
        column_config={
            "Trial": percent(width=60, format="%d", pinned=True),
            "val_mse": percent("val_mse ↓", format="%.4g", width=85),
            "Was": text(width=190),
            "Was against": text("Against", width=70),
            "Was %": percent("Better %", format="%+.2f", width=75),
            "Would be": text(width=190),
            "Against": text("Against", width=70),
            "%": percent("Better %", format="%+.2f", width=75),
            "But": text("Not known", width=190),
            "Page": st.column_config.LinkColumn(display_text="open", width=65),
        },
        height="content" if changed < 12 else 440,
        placeholder="–",
        alt=f"The {changed} trials whose verdict changes, with both rules",
    )
    if changed > MOST_ROWS:
        st.caption(f"The newest {MOST_ROWS} of {changed:,} are listed.")


# -- who was right ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accounts:
    """Who was right and at what cost, ready to be drawn."""

    count: int  # of predictions
    sentences: list[str]
    figure: Figure
    beyond: str
    scores: pd.DataFrame
    costs: pd.DataFrame
    evaluator: str


@st.cache_resource(max_entries=8, show_spinner=False)
def accounts(db: str, of: Pulse, rules: Rules, _reader: Reader) -> Accounts:
    """Return the accounts of a search; not to be changed, since all sessions share them."""
    search_id = of.search_id
    noise = judging.noise(_reader, search_id)
    found = predictions(outcomes(_reader, search_id), noise, rules.noise_multiple)
    given = opinions(verdicts_of(db, of, _reader), rules)
    return Accounts(
        count=len(found),
        sentences=verdicts(found),
        figure=calibration(found, search_id),
        beyond=beyond_text(found),
        scores=scores_frame(found),
        costs=costs_frame(worth(efforts(_reader, search_id))),
        evaluator=evaluator_text(asked(_reader, search_id, "evaluator"), given),
    )


def show_calibration(reader: Reader, search: SearchRow) -> None:
    """Draw predictions beside results, and what each source cost and gained."""
    db, of = str(settings().workspace.db), pulse(reader, search.id)
    shown = accounts(db, of, search.spec.rules, reader)
    if shown.count:
        show_predictions(shown)
    else:
        st.info(
            "Nothing that was predicted has come out yet. Language models name what they expect "
            "with each proposal, people may when they edit or enqueue one, and the surrogate does "
            "from 8 results on."
        )
    if not shown.costs.empty:
        show_costs(shown)


def show_costs(shown: Accounts) -> None:
    """Draw what each source of proposals gained and took."""
    st.markdown(
        "**What each source cost and gained**",
        help="A gain is the improvement of an accepted trial over the incumbent of its moment. An "
        "edited proposal counts as the person's, with what it cost to plan it.",
    )
    number_column = st.column_config.NumberColumn
    st.dataframe(
        shown.costs,
        hide_index=True,
        key="hindsight-costs",
        column_config={
            name: number_column(format=form)
            for name, form in (
                *(("Best gain %", "%.2f"), ("Gain %", "%.2f"), ("USD", "%.4f")),
                *(("Gain % per hour", "%.3g"), ("Gain % per USD", "%.3g")),
            )
        },
        placeholder="–",
        alt=f"Trials, gains and costs of {len(shown.costs)} sources of proposals",
    )
    if shown.evaluator:
        st.caption(shown.evaluator)


def show_predictions(shown: Accounts) -> None:
    """Draw the intervals over what came, and how good they were."""
    for sentence in shown.sentences:
        st.markdown(sentence)
    with st.container(border=True):
        clicked = chart(
            shown.figure,
            key="hindsight-calibration",
            alt=f"{shown.count} predicted intervals over the improvement that came",
            height=400,
        )
    if clicked is not None:
        st.switch_page(TRIAL, query_params={"trial": clicked})
    st.caption(
        "Bars that cross the dashed line held what came. All of it is the improvement over the "
        f"trial's own parent; the noise of both is in it. {shown.beyond}"
    )
    number_column = st.column_config.NumberColumn
    st.dataframe(
        shown.scores,
        hide_index=True,
        key="hindsight-scores",
        column_config={
            "On": st.column_config.TextColumn(width=270),
            "Held %": number_column(
                format="%.0f", help=f"Intervals that held what came; they should be {LEVEL:.0%}."
            ),
            "95 % interval": st.column_config.TextColumn(help="Of that share, after Wilson."),
            "Hoped too much by": number_column(
                format="%+.2f", help="Mean of the intervals' middles less what came, in points."
            ),
            "Interval score": number_column(
                "Interval score ↓",
                format="%.2f",
                help="Mean width plus ten times what lies outside, in points: the lower, the more "
                "an interval says that is true (Gneiting and Raftery 2007).",
            ),
        },
        alt="How good the predictions of each source were",
    )


def waiting(rows: Sequence[ReplayRow]) -> bool:
    """Tell whether any replay has not been answered yet."""
    return any(row.state == "asked" for row in rows)


def look(search_id: int) -> None:
    """Have the page drawn anew once no replay is open."""
    with searched() as reader:
        if not waiting(wishes.replays(reader, search_id)):
            st.rerun()


# -- page ---------------------------------------------------------------------------------------


TABS: dict[str, tuple[str, Callable[[Reader, SearchRow], None]]] = {
    "whatif": ("What if", show_what_if),
    "right": ("Who was right", show_calibration),
    "replay": ("Replay", show_replays),
}


def keep_tab() -> None:
    """Put the tab into the address."""
    label = st.session_state["hindsight-tab"]
    write("tab", next(name for name, (text, _) in TABS.items() if text == label), "whatif")


search = choose_search("Hindsight")
tab = word("tab", TABS, "whatif")
st.session_state["hindsight-tab"] = TABS[tab][0]
labels = [label for label, _ in TABS.values()]
tabs = st.tabs(labels, key="hindsight-tab", on_change=keep_tab)
for part, (_, show) in zip(tabs, TABS.values(), strict=True):
    if part.open:
        with part, searched() as reader:
            show(reader, search)
with searched() as reader:
    open_replays = tab == "replay" and waiting(wishes.replays(reader, search.id))
if open_replays:
    st.fragment(look, run_every=TICK_SECONDS)(search.id)
