"""What a person can do with one trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from nas_engine.commands import OnTrial
from nas_engine.store.rows import TrialRow
from pages._parts.controls import ANSWER
from pages._parts.opening import give_and_show
from pages._parts.people import acting
from pages._parts.renewal import key_now, renew
from pages._parts.snapshot import Snapshot
from pages._parts.states import TRIAL_STATES

Kind = Literal["stop_trial", "skip", "retry", "another_seed", "to_front"]


@dataclass(frozen=True)
class Act:
    """How an act on a trial is offered, and in which of its states it is possible."""

    label: str
    icon: str
    states: tuple[str, ...]
    help: str
    loses: str = ""  # what is asked about first


ACTS: dict[Kind, Act] = {
    "stop_trial": Act(
        "Stop it",
        ":material/stop:",
        ("running", "stalled", "paused"),
        "Ends its training at once.",
        "Its training ends at once and has no result. Retry trains it again.",
    ),
    "skip": Act("Skip", ":material/skip_next:", ("queued",), "Takes it out of the queue."),
    "to_front": Act(
        "To the front", ":material/vertical_align_top:", ("queued",), "Lets it be the next."
    ),
    "retry": Act(
        "Retry",
        ":material/replay:",
        ("failed", "crashed", "stopped", "pruned"),
        "Trains it again.",
    ),
    "another_seed": Act(
        "Another seed",
        ":material/casino:",
        ("completed",),
        "Trains it once more with another seed and judges it anew.",
    ),
}


def possible(kind: Kind, trial: TrialRow) -> bool:
    """Tell whether an act makes sense on a trial as it stands; the engine decides."""
    ending = kind == "stop_trial" and trial.stopping
    return trial.state in ACTS[kind].states and not ending


def trial_key(search_id: int) -> str:
    """Return the name of the choice of a trial, for `renewal.key_now`."""
    return f"live-trial-{search_id}"


def first_choice(snapshot: Snapshot) -> int:
    """Return the trial that is offered first: one that trains, else the newest."""
    found = snapshot.running or snapshot.trials
    return found[-1].number


def show_acts(snapshot: Snapshot) -> None:
    """Draw the choice of a trial and a button for each act; each sends the version drawn here."""
    if not snapshot.trials:
        return
    trials = {trial.number: trial for trial in reversed(snapshot.trials)}
    key = trial_key(snapshot.search.id)
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Act on**", width="content")
            number = st.selectbox(
                "Trial",
                list(trials),
                list(trials).index(first_choice(snapshot)),
                key=key_now(key),
                format_func="Trial {}".format,
                label_visibility="collapsed",
                width=130,
            )
            trial = trials[int(number)]
            state = TRIAL_STATES[trial.state]
            # Drawn together with the buttons, it says which trial they act on.
            st.badge(
                f"{state.symbol} trial {number} is {trial.state}",
                color=state.colour,
                help=state.meaning,
            )
            comment = f"{key}-{number}-comment"  # what is typed for one trial is not another's
            st.text_input(
                "Why",
                key=key_now(comment),
                placeholder="Why (optional, kept in the record)",
                label_visibility="collapsed",
                max_chars=4000,
            )
        act_buttons(trial, snapshot.search.id, "live-act", comment, ANSWER)


def act_buttons(trial: TrialRow, search_id: int, prefix: str, comment: str, answer: str) -> None:
    """Draw a button for each act; it sends the version of the trial that is drawn here.

    Args:
        trial: to act on.
        search_id: of the trial.
        prefix: of the buttons' keys, unique to the page.
        comment: the name of the field for why, see `renewal`.
        answer: where the answer is left, see `opening.show_answer`.
    """
    with st.container(horizontal=True):
        for kind, act in ACTS.items():
            key, label, icon = f"{prefix}-{kind.replace('_', '-')}", act.label, act.icon
            told = f"{act.help} Possible for a trial that is {' or '.join(act.states)}."
            shown, place = acting(not possible(kind, trial), told), st.container(width="content")
            if act.loses:  # so it takes a second press
                place = st.popover(label, key=f"{key}-ask", icon=icon, **shown)
                place.write(act.loses)
                label, icon = f"Stop trial {trial.number}", ""
            place.button(
                label,
                key=key,
                icon=icon or None,
                on_click=_act,
                args=(kind, trial, search_id, comment, answer),
                **shown,
            )


def typed(kind: Kind) -> str:
    """Return what the command line calls an act."""
    return kind.removesuffix("_trial").replace("_", "-")


def _act(kind: Kind, trial: TrialRow, search_id: int, comment: str, answer: str) -> None:
    command = OnTrial(
        kind=kind,
        number=trial.number,
        version=trial.trial_version,
        comment=st.session_state.get(key_now(comment), ""),
    )
    give_and_show(command, search_id, answer)
    renew(comment, "")
