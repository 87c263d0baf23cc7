"""Telling a search something: words that are read as they are typed, and constraints by choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from pydantic import ValidationError

from informer.config import Choices, Interval, Search, Value
from nas_engine.commands import Guide
from nas_engine.guidance import LIMITS, Constraint, in_force, steered, understood
from nas_engine.search import ASKING, SearchSpec
from nas_engine.space import SpaceError, describe, dimensions
from nas_engine.store import wishes
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow
from nas_engine.vocabulary import label
from pages._parts.opening import give, leave, searched, show_answer
from pages._parts.people import acting
from pages._parts.renewal import key_now, renew
from pages._parts.text import plain, readable, value_text

ANSWER = "steer-answer"
EXAMPLE = "stay under 2 M parameters, leave the learning rate alone, prefer few layers"
LIMIT_UNITS = {"parameters": "parameters", "memory_mb": "MB of memory", "trial_minutes": "minutes"}


@dataclass(frozen=True)
class Ground:
    """What new guidance is laid on: the search, what holds already, and the best trial."""

    search: SearchRow
    held: tuple[Constraint, ...]
    parent: Mapping[str, Value]
    parent_name: str

    def with_(self, constraints: Sequence[Constraint]) -> SearchSpec:
        """Return the search under what holds and these; raises SpaceError."""
        return steered(self.search.spec, in_force(self.held, constraints))


def ground(reader: Reader, search: SearchRow) -> Ground:
    """Read what new guidance of a search is laid on."""
    best = None if search.incumbent is None else reader.trial(search.id, search.incumbent)
    return Ground(
        search=search,
        held=tuple(row.constraint for row in wishes.steering(reader, search.id) if row.constraint),
        parent=search.spec.start() if best is None else best.config,
        parent_name="the start" if best is None else f"trial {best.number}",
    )


def box(search_id: int) -> str:
    """Return the name of the box, see `renewal`."""
    return f"steer-words-{search_id}"


def put_into_box(search_id: int, words: str) -> None:
    """Put words into the box, after what stands there."""
    before = st.session_state.get(key_now(box(search_id)), "")
    renew(box(search_id), f"{before.rstrip('; ')}; {words}" if before.strip() else words)


@st.fragment
def show_box(search_id: int) -> None:
    """Draw the box, and beneath it what its words mean, at each pause in typing."""
    with searched() as reader:
        search = reader.search(search_id)
        if search is None:  # the page above says so
            return
        on = ground(reader, search)
    with st.container(border=True, key="steer-box"):
        words = st.text_input(
            "Tell the search something",
            key=key_now(box(search_id)),
            live="300ms",
            placeholder=EXAMPLE,
            max_chars=4000,
            help="Plain bounds, pins and bans become constraints that code enforces on every "
            "proposal of a planner. All else goes to the planner in your words.",
        )
        sound = show_meaning(on, words or "")
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(
                "Send",
                key="steer-send",
                type="primary",
                icon=":material/send:",
                **acting(not sound),
            ):
                send(search_id, (words or "").strip())
            with st.popover("Constraint by choice", key="steer-form", icon=":material/tune:"):
                show_form(on)
        show_answer(ANSWER)


def send(search_id: int, words: str) -> None:
    """Tell the search words and draw the page anew; they stay in the box where it refuses them."""
    with st.spinner("Waiting for the engine…"):
        answer = give(Guide(words=words), search_id)
    leave(ANSWER, answer)
    if answer.ok:
        renew(box(search_id), "")
    st.rerun()


# -- what words mean ----------------------------------------------------------------------------


def show_meaning(on: Ground, words: str) -> bool:
    """Draw what words would do; return whether they can be sent."""
    if not words.strip():
        st.caption(
            "Works at any time, without a key too. A search that is paused or has no engine keeps "
            "to it from the next proposal on."
        )
        return False
    try:
        meant = understood(words, on.search.spec, on.parent)
        after = on.with_(meant.constraints)
    except SpaceError as error:
        st.error(plain(str(error)))
        return False
    if meant.constraints:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown("**Enforced by code**")
            for constraint in meant.constraints:
                show_chip(constraint)
        for constraint in meant.constraints:
            st.caption(plain(consequence(on, constraint, after)))
    if meant.rest:
        st.markdown("**To the planner, in words**")
        st.text(readable(meant.rest))
        if (problem := unread(on.search.spec)) is not None:
            st.warning(problem, icon=":material/hearing_disabled:")
    return True


def show_chip(constraint: Constraint) -> None:
    """Draw a constraint in few words, with its sentence as help."""
    sentence = plain(constraint.sentence)
    st.badge(plain(constraint.text), icon=":material/lock:", color="green", help=sentence)


def unread(spec: SearchSpec) -> str | None:
    """Return why words for the planner change nothing in this search; None where they may."""
    if spec.planner in ASKING:
        return None
    return (
        f"The planner {spec.planner} reads no words: they are kept, but change nothing. Say it as "
        "a bound, a value or a ban, which code enforces."
    )


def consequence(on: Ground, constraint: Constraint, after: SearchSpec) -> str:
    """Return what a constraint makes of the range that planners have, and what it replaces."""
    now = on.with_(())
    replaced = [other.text for other in on.held if constraint.replaces(other)]
    ends = f"; it replaces {' and '.join(replaced)}" if replaced else ""
    return (
        f"{constraint.key}: {allowed(now, constraint.key)} → {allowed(after, constraint.key)}{ends}"
    )


def allowed(spec: SearchSpec, key: str) -> str:
    """Return what planners may do with a setting, or how high a limit is."""
    if key in LIMITS:
        limit = getattr(spec.limits, key)
        return "what the machine has" if limit is None else f"at most {limit:,}"
    offered = dimensions(spec).get(key)
    return f"{value_text(spec.start()[key])} alone" if offered is None else describe(offered)


# -- constraints by choice ----------------------------------------------------------------------


def show_form(on: Ground) -> None:
    """Draw the form of one constraint, with the values that its setting may have."""
    offered = dimensions(on.with_(()))
    key = st.selectbox(
        "Setting",
        [*LIMITS, *offered],
        format_func=lambda key: LIMIT_UNITS.get(key) or f"{label(key)} · {key}",
        key="steer-form-setting",
    )
    constraint = chosen_constraint(on, key, offered.get(key))
    if constraint is None:
        return
    try:
        after = on.with_([constraint])
    except SpaceError as error:
        st.error(plain(str(error)))
        return
    show_chip(constraint)
    st.caption(plain(consequence(on, constraint, after)))
    if st.button("Add", key="steer-form-add", type="primary", icon=":material/add:", **acting()):
        send(on.search.id, constraint.text)


def chosen_constraint(on: Ground, key: str, offered: Search | None) -> Constraint | None:
    """Draw the widgets of a setting or a limit and return what they say; None: nothing yet."""
    prefix = f"steer-form-{key.replace('.', '-').lower()}"
    if key in LIMITS:
        now = getattr(on.with_(()).limits, key)
        high = st.number_input(
            "At most", min_value=1, value=None if now is None else int(now), key=f"{prefix}-limit"
        )
        return None if high is None else Constraint(key=key, high=float(high))
    assert offered is not None, "the form lists what the search varies"
    kept = f"stays as in {on.parent_name}"
    match offered:
        case Interval():
            forms = ["at most", "at least", "between", kept]
        case Choices(values=values) if all(type(value) in (int, float) for value in values):
            forms = ["one of", "not", "at most", "at least", kept]
        case _:
            forms = ["one of", "not", kept]
    form = st.segmented_control(
        "How", forms, default=forms[0], required=True, key=f"{prefix}-form-{on.parent_name}"
    )
    if form == kept:
        return Constraint(key=key, values=(on.parent[key],))
    if isinstance(offered, Interval):
        return _bounds(key, offered, str(form), prefix)
    if form in ("one of", "not"):
        listed = st.multiselect(
            "Values", offered.values, format_func=value_text, key=f"{prefix}-{form}-values"
        )
        if not listed:
            return None
        chosen = tuple(listed)
        return Constraint(key=key, **{"values" if form == "one of" else "without": chosen})
    bound = st.selectbox("Value", offered.values, format_func=value_text, key=f"{prefix}-bound")
    return Constraint(key=key, **{"high" if form == "at most" else "low": float(bound)})


def _bounds(key: str, offered: Interval, form: str, prefix: str) -> Constraint | None:
    held: dict[str, float] = {}
    for name, wanted in (("low", "at least"), ("high", "at most")):
        if form in (wanted, "between"):
            held[name] = st.number_input(
                wanted.capitalize(),
                offered.low,
                offered.high,
                getattr(offered, name),
                step=1e-5 if offered.log else 0.01,
                format="%g",
                key=f"{prefix}-{name}",
            )
    try:
        return Constraint(key=key, **held)
    except ValidationError:
        st.error("The lowest value comes first.")
        return None
