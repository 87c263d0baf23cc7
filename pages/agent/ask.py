"""Ask: questions about one search, answered by a language model from the rows of the store."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from nas_engine.commands import ANSWER_NEEDS_KEY, Ask, StopAnswer
from nas_engine.liveness import LIVING, engine_state
from nas_engine.store import wishes
from nas_engine.store.wishes import TurnRow
from nas_engine.supervisor import Answer
from pages._parts.all_trials import all_results, all_tried
from pages._parts.chat import (
    OPEN,
    Scene,
    show_answer_of,
    show_question,
    show_writing,
    suggestions,
    totals,
)
from pages._parts.opening import (
    SETTINGS,
    choose_search,
    give,
    leave,
    searched,
    settings,
    show_answer,
)
from pages._parts.people import acting
from pages._parts.text import plain

TICK_SECONDS = 0.5
LOOK_SECONDS = 2.0
"""Between two looks at what is new: while an answer is written, and else."""
SHOWN = 20
"""Newest turns that are drawn unasked."""
ANSWER = "ask-answer"
NEEDS_KEY = "Needs a key of a language model"


def put(question: str, search_id: int) -> None:
    """Put a question; where it is refused, it goes back into the field, and the reason is left."""
    try:
        answer = give(Ask(question=question), search_id)
    except ValidationError as error:
        answer = Answer(False, f"{error.errors()[0]['msg']}; write a question.", search_id)
    if not answer.ok:
        leave(ANSWER, answer)
        st.session_state[field(search_id)] = question


def field(search_id: int) -> str:
    """Return where the session keeps what is typed."""
    return f"ask-question-{search_id}"


def submit(search_id: int) -> None:
    """Put what was typed."""
    if question := st.session_state[field(search_id)]:
        put(question, search_id)


def stop(search_id: int, turn_id: int) -> None:
    """Stop an answer; where it is stopped, the answer itself says so."""
    told = give(StopAnswer(turn_id=turn_id), search_id)
    if not told.ok:
        leave(ANSWER, told)


def show_no_key() -> None:
    """Say what an answer needs."""
    st.info(f"{ANSWER_NEEDS_KEY} Then ask here; what was asked before stands below.")
    st.page_link(SETTINGS, label="Settings", icon=":material/settings:")


def show_suggestions(scene: Scene) -> None:
    """Offer questions where none was asked yet."""
    st.caption(
        "Ask about trials, curves, verdicts, budgets and baselines of this search, or for a "
        "proposal. Answers rest on rows of the store, which stand below them."
    )
    with st.container(key="ask-suggestions", gap="small"):
        for place, question in enumerate(suggestions(scene.search, scene.results)):
            st.button(
                question,
                key=f"ask-suggestion-{place}",
                icon=":material/chat:",
                on_click=put,
                args=(question, scene.search.id),
                **acting(),
            )


def show_open(search_id: int, drawn: dict[int, str]) -> None:
    """Draw the answers that are being written; what begins or ends leads to a full run.

    Questions may come from elsewhere, such as another tab.
    """
    with searched() as reader:
        states = wishes.turn_states(reader, search_id)
        found = [
            turn for key in states if states[key] in OPEN and (turn := wishes.turn(reader, key))
        ]
        lives = engine_state(reader.engine(search_id)) in LIVING
    if ended(states) != ended(drawn) or states.keys() != drawn.keys():
        st.rerun()
    for turn in found:
        show_question(turn)
        show_writing(turn, lives, lambda turn_id: stop(search_id, turn_id))


def ended(states: dict[int, str]) -> set[int]:
    """Return the turns that have ended."""
    return {key for key, state in states.items() if state not in OPEN}


def worth_showing(turns: list[TurnRow], search_id: int) -> list[TurnRow]:
    """Return the newest turns, or all where somebody wants them."""
    key = f"ask-all-{search_id}"
    if len(turns) <= SHOWN or st.session_state.get(key):
        return turns
    if st.button(f"Show {len(turns) - SHOWN} earlier questions", key=f"{key}-button"):
        st.session_state[key] = True
        st.rerun()
    return turns[-SHOWN:]


search = choose_search("Ask")
has_key = settings().has_key
with searched() as reader:
    turns, spend = wishes.turns(reader, search.id), reader.spend(search.id)
    scene = Scene(
        search,
        all_results(reader, [search.id]),
        all_tried(reader, search.id),
        reader.baselines(search.id),
    )
if not has_key:
    show_no_key()
elif not turns:
    show_suggestions(scene)
if told := totals(
    *(len(turns), sum(turn.tokens for turn in turns), sum(turn.cost_usd for turn in turns)),
    *(search, spend),
):
    st.caption(plain(told))
for turn in worth_showing([turn for turn in turns if turn.state not in OPEN], search.id):
    show_question(turn)
    show_answer_of(turn, scene)
drawn = {turn.id: turn.state for turn in turns}
waits = any(state in OPEN for state in drawn.values())
st.fragment(show_open, run_every=TICK_SECONDS if waits else LOOK_SECONDS)(search.id, drawn)
show_answer(ANSWER)
barred = acting(not has_key, "Ask about this search" if has_key else NEEDS_KEY)
st.chat_input(
    barred["help"] or "",
    key=field(search.id),
    max_chars=4000,
    disabled=barred["disabled"],
    submit_mode="disable",
    on_submit=submit,
    args=(search.id,),
)
