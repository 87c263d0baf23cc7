"""What people have told a search: what is in force, what was lifted, what planners see of it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from nas_engine.commands import Lift
from nas_engine.guidance import Constraint, SteeringRow
from nas_engine.search import ASKING, SearchSpec
from nas_engine.space import SpaceError, written
from nas_engine.store import wishes
from nas_engine.store.inbox import told_at
from nas_engine.store.reader import Reader
from nas_engine.store.rows import RevisionRow, SearchRow, TrialRow
from nas_engine.store.steering import NEWEST, first_told, keeps, proposed_since
from nas_engine.store.table import Pulse, Query, page, parse, pulse
from pages._parts.opening import TRANSCRIPT, TRIAL, give_and_show, settings
from pages._parts.people import acting
from pages._parts.steering import ANSWER, allowed, put_into_box, show_chip, unread
from pages._parts.text import clock_text, plain, readable

OVERRULED = parse("decision=edited,rejected")
AGAIN = 5  # of what was lifted, the newest that can be said again
TOLD = 20  # decisions of people, the newest
SHOWN = 160  # letters of what they said, where all of it stands elsewhere


@dataclass(frozen=True)
class Told:
    """Something that a person said, and the trial whose planner was first told of it."""

    kind: str
    words: str
    author: str
    trial: int | None  # that it was said of
    at: int | None  # None: not yet


# -- in force -----------------------------------------------------------------------------------


def show_in_force(reader: Reader, search: SearchRow, spec: SearchSpec) -> None:
    """Draw what holds now: constraints with how far they were kept, words with who was told."""
    st.subheader("In force", anchor=False)
    rows = wishes.steering(reader, search.id)
    if not rows:
        st.caption("Nothing yet: constraints and words appear here and can be removed at any time.")
    for row in rows:
        with st.container(border=True, key=f"steer-held-{row.id}", gap="xsmall"):
            if row.constraint is None:
                show_words(reader, search, row)
            else:
                show_constraint(reader, search, row, row.constraint, spec)
    show_start(search.spec)
    show_lifted(reader, search.id)


def given_text(row: SteeringRow) -> str:
    """Return who gave guidance, and when."""
    return f"by {row.author or 'unknown'}, {clock_text(row.created_at)}"


def show_constraint(
    reader: Reader, search: SearchRow, row: SteeringRow, constraint: Constraint, spec: SearchSpec
) -> None:
    """Draw a constraint, how many proposals have kept it since, and what it leaves."""
    obeyed = obedience(reader, search.id, row)
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        show_chip(constraint)
        show_remove(search.id, row)
    now, offered = allowed(spec, constraint.key), allowed(search.spec, constraint.key)
    st.caption(
        f"{obeyed.text} · {plain(given_text(row))}",
        help=plain(f"{constraint.key}: {now}; the search offers {offered}."),
    )
    if obeyed.broken:
        numbers = ", ".join(str(number) for number in obeyed.broken[:10])
        st.warning(f"Not kept by trial {numbers}.")


def show_remove(search_id: int, row: SteeringRow) -> None:
    """Draw the button that ends a constraint or words."""
    st.button(
        "Remove",
        key=f"steer-lift-{row.id}",
        icon=":material/close:",
        type="tertiary",
        on_click=give_and_show,
        args=(Lift(steering_id=row.id), search_id, ANSWER),
        **acting(),
    )


@dataclass(frozen=True)
class Obedience:
    """How many proposals of planners there were since a constraint, and which broke it."""

    proposals: int
    broken: tuple[int, ...]

    @property
    def text(self) -> str:
        """The counts in words, with a symbol."""
        if not self.proposals:
            return "○ no proposal since"
        newest = "newest " if self.proposals == NEWEST else ""
        mark, kept = "⚠" if self.broken else "✓", self.proposals - len(self.broken)
        return f"{mark} {kept} of {self.proposals} {newest}proposals obey"


def obedience(reader: Reader, search_id: int, row: SteeringRow) -> Obedience:
    """Return how far a constraint was kept, counted anew when the search has something new."""
    assert row.constraint is not None, "words are for the planner to read"
    at = _moment(reader, search_id)
    return _obedience(at, row.constraint.model_dump_json(), row.created_at, reader)


def first(reader: Reader, search_id: int, words: str, since: float) -> int | None:
    """Return the trial whose planner was first told words, looked up when there is news."""
    return _first(_moment(reader, search_id), words, since, reader)


def _moment(reader: Reader, search_id: int) -> tuple[str, Pulse]:
    return str(settings().workspace.db), pulse(reader, search_id)


@st.cache_resource(max_entries=256, show_spinner=False)
def _obedience(at: tuple[str, Pulse], constraint: str, since: float, _reader: Reader) -> Obedience:
    held = Constraint.model_validate_json(constraint)
    proposed = proposed_since(_reader, at[1].search_id, since)
    return Obedience(len(proposed), tuple(p.number for p in proposed if not keeps(held, p)))


@st.cache_resource(max_entries=512, show_spinner=False)
def _first(at: tuple[str, Pulse], words: str, since: float, _reader: Reader) -> int | None:
    return first_told(_reader, at[1].search_id, words, since)


def show_words(reader: Reader, search: SearchRow, row: SteeringRow) -> None:
    """Draw words for the planner, and which question was the first to hold them."""
    st.text(readable(row.words))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(plain(given_text(row)), width="content")
        if unread(search.spec) is None:
            show_first(search.id, first(reader, search.id, row.words, row.created_at))
        else:
            st.caption(f"kept, but {search.spec.planner} reads no words", width="content")
        st.space("stretch")
        show_remove(search.id, row)


def show_first(search_id: int, at: int | None) -> None:
    """Link to the question in which the planner was first told, or say that it will be."""
    if at is None:
        st.caption("with the next proposal", width="content")
        return
    st.page_link(
        TRANSCRIPT,
        label=f"seen by the planner at trial {at}",
        icon=":material/visibility:",
        query_params={"search": str(search_id), "trial": str(at)},
    )


def show_start(spec: SearchSpec) -> None:
    """Draw what was given when the search was started, which stays as it is."""
    if not spec.guidance.strip() and not spec.space:
        return
    with st.container(border=True, key="steer-start", gap="xsmall"):
        st.markdown("**Since the start** (fixed)")
        if spec.guidance.strip():
            st.text(readable(spec.guidance))
            told = "In every question to the planner."
            st.caption(told if spec.planner in ASKING else f"{spec.planner} reads no words.")
        for line in written(spec.space):
            st.badge(plain(line), icon=":material/lock:", color="gray")


def show_lifted(reader: Reader, search_id: int) -> None:
    """Draw what holds no longer, where there is any."""
    ended = [
        row
        for row in wishes.steering(reader, search_id, in_force=False)
        if row.ended_at is not None
    ]
    if not ended:
        return
    with st.expander(f"No longer in force ({len(ended)})", key="steer-lifted"):
        frame = pd.DataFrame(
            [
                {
                    "Guidance": readable(row.constraint.text if row.constraint else row.words),
                    "Given": readable(given_text(row)),
                    "Ended": readable(f"by {row.ended_by}, {clock_text(row.ended_at or 0)}"),
                }
                for row in reversed(ended)
            ]
        )
        st.dataframe(frame, hide_index=True, alt="Guidance that was lifted or replaced")
        again = dict.fromkeys(row.words for row in reversed(ended))
        for words in list(again)[:AGAIN]:
            st.button(
                f"Say again: {plain(words, 60)}",
                key=f"steer-again-{zlib.crc32(words.encode()):08x}",
                icon=":material/undo:",
                type="tertiary",
                on_click=put_into_box,
                args=(search_id, words),
                help="Puts the words into the box above, to be read and sent.",
            )


# -- what planners are told of people -----------------------------------------------------------


def show_told(reader: Reader, search: SearchRow) -> None:
    """Draw what of people's words and decisions is in the planner's questions, and since when."""
    st.subheader("What the planner is told of you", anchor=False)
    if unread(search.spec) is not None:
        st.info(
            f"The planner {search.spec.planner} reads no words. It learns from the results of what "
            "you edit and enqueue, never proposes again what you rejected, and keeps to the "
            "constraints."
        )
        return
    told = _told(_moment(reader, search.id), reader)
    if not told:
        st.caption("Nothing yet: guidance, edits, rejections and hints appear here.")
    for row in told:
        with st.container(gap="xxsmall"):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(row.kind, color="blue" if row.trial is None else "violet")
                if row.trial is not None:
                    st.page_link(
                        TRIAL,
                        label=f"Trial {row.trial}",
                        query_params={"trial": f"{search.id}.{row.trial}"},
                    )
                st.caption(plain(f"by {row.author or 'unknown'}"), width="content")
                show_first(search.id, row.at)
            st.text(shortened(row.words))


def shortened(words: str) -> str:
    """Return the beginning of words, on one line."""
    line = " ".join(readable(words).split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


@st.cache_resource(max_entries=8, show_spinner=False)
def _told(at: tuple[str, Pulse], _reader: Reader) -> tuple[Told, ...]:
    search_id = at[1].search_id
    decided = page(_reader, Query((search_id,), OVERRULED, descending=True, limit=TOLD))
    told = told_at(_reader, search_id, decided)
    hints = [row for row in wishes.revisions(_reader, search_id) if row.why == "asked again"]
    return (
        *(_of_guidance(_reader, search_id, row) for row in wishes.steering(_reader, search_id)),
        *(_of_decision(trial, told.get(trial.number)) for trial in decided),
        *(_of_hint(_reader, search_id, row) for row in hints[-TOLD:][::-1]),
    )


def _of_guidance(reader: Reader, search_id: int, row: SteeringRow) -> Told:
    bound = row.constraint
    words = row.words if bound is None else bound.sentence
    return Told(
        kind="guidance" if bound is None else "enforced",
        words=words,
        author=row.author,
        trial=None,
        at=first_told(reader, search_id, words, row.created_at),
    )


def _of_decision(trial: TrialRow, at: int | None) -> Told:
    return Told(
        kind="edit" if trial.decision == "edited" else "rejection",
        words=trial.comment or "no reason was given",
        author=trial.author,
        trial=trial.number,
        at=at,
    )


def _of_hint(reader: Reader, search_id: int, row: RevisionRow) -> Told:
    return Told(
        kind="hint",
        words=row.comment or "asked again without a hint",
        author=row.author,
        trial=row.number,
        at=first_told(reader, search_id, row.comment, row.created_at) if row.comment else None,
    )


def steered_spec(reader: Reader, search: SearchRow) -> SearchSpec:
    """Return the search under what is in force; where that cannot be, say so and leave it as is."""
    try:
        return wishes.steered_spec(reader, search.id)
    except SpaceError as error:
        st.error(plain(f"What is in force cannot be kept: {error} Remove what is too narrow."))
        return search.spec
