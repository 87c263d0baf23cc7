"""The state of a search and its engine, the buttons for all of it, and changes while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st

from nas_engine.commands import Change, Control
from nas_engine.liveness import boot_clock
from nas_engine.search import CHANGEABLE, MOST_SLOTS, Limits
from nas_engine.store.rows import SearchRow
from nas_engine.supervisor import Answer
from pages._parts.many_slots import CARDS
from pages._parts.opening import give_and_show, leave
from pages._parts.people import acting
from pages._parts.policy import NAMES as POLICY
from pages._parts.policy import choose_policy, policy_of, policy_text
from pages._parts.snapshot import Snapshot
from pages._parts.states import (
    ENGINE_STATES,
    SEARCH_STATES,
    engine_text,
    engine_trouble,
    shown_state,
)
from pages._parts.text import plain

ANSWER = "live-answer"
CHANGE = "live-change"  # whether the form of changes is open
HELP = """
- **Pause**: no new trials; running ones finish.
- **Resume**: goes on from what is recorded.
- **Stop**: no new trials; running ones finish, and the search ends.
- **Cancel**: running trials are killed, and the search ends.
- **Change**: budgets, slots and review, also of a search that has ended.
"""
Order = Literal["pause", "resume", "stop", "cancel"]


def show_state(snapshot: Snapshot) -> None:
    """Draw the state of search and engine, and the buttons that make sense in it."""
    search, now = snapshot.search, boot_clock()
    name = shown_state(search, snapshot.engine)
    state, engine = SEARCH_STATES[name], ENGINE_STATES[snapshot.engine]
    process = f" (process {snapshot.engine_row.pid})" if snapshot.engine_row else ""
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.badge(f"{state.symbol} {name}", color=state.colour, help=state.meaning)
            if name != "engine lost":  # which says it already
                st.badge(
                    f"{engine.symbol} {engine_text(snapshot.engine_row, snapshot.engine, now)}",
                    color=engine.colour,
                    help=f"{engine.meaning}{process}",
                )
            for fact in facts(search):
                st.badge(fact, color="gray")
        show_controls(snapshot)
    if search.reason:
        st.info(plain(search.reason))
    if trouble := engine_trouble(snapshot.engine_row, snapshot.engine, now):
        st.warning(plain(trouble))
    if search.state in ("paused", "stopping") and snapshot.running and snapshot.lives:
        left = f"trial {', '.join(str(trial.number) for trial in snapshot.running)}"
        if len(snapshot.trainings) > CARDS:
            left = f"{len(snapshot.trainings)} trainings"
        st.caption(f"No new trial begins; still to finish: {left}.")


def facts(search: SearchRow) -> list[str]:
    """Return what kind of search it is, in a few words each."""
    spec = search.spec
    slots = f"{spec.slots} slots" if spec.slots > 1 else "1 slot"
    found = [policy_text(spec.mode, spec.timer), f"preset {spec.preset}", slots]
    if spec.pruning.method != "none":
        found.append(spec.pruning.method.replace("_", " "))
    return found


def show_controls(snapshot: Snapshot) -> None:
    """Draw the buttons; those that would change nothing are disabled."""
    search, lives = snapshot.search, snapshot.lives
    works = lives and not snapshot.replaceable
    resumable = search.state in ("paused", "stopped") or (search.state != "completed" and not works)
    with st.container(horizontal=True, width="content", vertical_alignment="center"):
        st.caption("Controls", help=HELP)
        _button(search, "pause", "Pause", ":material/pause:", search.state == "running" and lives)
        _button(search, "resume", "Resume", ":material/play_arrow:", resumable, primary=resumable)
        _button(search, "stop", "Stop", ":material/stop:", search.state in ("running", "paused"))
        with st.popover("Cancel", key="live-cancel", icon=":material/cancel:", disabled=not lives):
            st.write(
                "The running trials are killed, and the search ends. Resume lets it go on; Retry "
                "trains a trial again that was killed."
            )
            _button(search, "cancel", "Cancel the search", None, lives, primary=True)
        change = st.popover("Change", key=CHANGE, icon=":material/tune:", on_change="rerun")
        if change.open:
            with change:
                show_change(search)


def _button(
    search: SearchRow,
    order: Order,
    label: str,
    icon: str | None,
    possible: bool,
    primary: bool = False,
) -> None:
    st.button(
        label,
        key=f"live-{order}-button",
        icon=icon,
        type="primary" if primary else "secondary",
        on_click=give_and_show,
        args=(Control(kind=order, version=search.version), search.id, ANSWER),
        **acting(not possible),
    )


# -- changes ------------------------------------------------------------------------------------


def show_change(search: SearchRow) -> None:
    """Draw the form of what may be changed; it begins anew when another change was applied."""
    prefix, spec = f"change-{search.id}-{search.version}", search.spec
    left, right = st.columns(2)
    left.number_input("Trials", 1, 100_000, search.max_trials, key=f"{prefix}-max_trials")
    right.number_input("Slots", 1, MOST_SLOTS, spec.slots, key=f"{prefix}-slots")
    choose_policy(spec.mode, spec.timer, prefix)
    for place, name in zip(st.columns(2) * 3, CHANGEABLE, strict=False):
        limit = getattr(spec.limits, name)
        place.text_input(  # a number with a default could not be emptied
            str(Limits.model_fields[name].description),
            "" if limit is None else str(limit),
            key=f"{prefix}-{name}",
            placeholder="no limit",
            max_chars=40,
        )
    st.button(
        "Apply",
        type="primary",
        key=f"{prefix}-apply",
        on_click=_apply,
        args=(search, prefix),
        **acting(),
    )


def _apply(search: SearchRow, prefix: str) -> None:
    """Send what the form holds now: a figure may have been typed in the same moment."""
    names = ("max_trials", "slots", *POLICY, *CHANGEABLE)
    held = {name: st.session_state.get(f"{prefix}-{name}") for name in names}
    try:
        held |= {name: limit_of(name, str(held[name])) for name in CHANGEABLE}
    except ValueError as error:
        leave(ANSWER, Answer(False, str(error), search.id))
        return
    if (command := changed(search, held)) is None:
        leave(ANSWER, Answer(False, "The search has these figures already.", search.id))
    else:
        give_and_show(command, search.id, ANSWER)


def limit_of(name: str, text: str) -> float | None:
    """Read a limit as it was typed: empty is none; raises ValueError with a sentence."""
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        label = Limits.model_fields[name].description
        raise ValueError(f"{label}: write a number, or nothing for no limit.") from None


def changed(search: SearchRow, held: Mapping[str, Any]) -> Change | None:
    """Return the command for what a form holds beside the search, None where nothing differs."""
    spec = search.spec
    mode, timer = policy_of(held, spec.timer)
    limits = {name: held[name] for name in CHANGEABLE if held[name] != getattr(spec.limits, name)}
    command = Change(
        version=search.version,
        max_trials=None if held["max_trials"] == search.max_trials else held["max_trials"],
        slots=None if held["slots"] == spec.slots else held["slots"],
        mode=None if mode == spec.mode else mode,
        timer=None if timer == spec.timer else timer or "none",
        limits=limits,
    )
    return None if command == Change(version=search.version) else command
