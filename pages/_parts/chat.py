"""Questions about a search and their answers, as a conversation.

Answers come from a language model: they are drawn as plain text, never as Markdown, in which an
image would be fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from nas_engine.chat.looked_up import WITH_QUESTION, LookedUp, looked_up
from nas_engine.store.rows import BaselineRow, SearchRow, Spend
from nas_engine.store.table import Results, TriedRow
from nas_engine.store.wishes import TurnRow
from pages._parts.chat_figures import figure_of, rows_frame
from pages._parts.facts import show_facts
from pages._parts.live_chart import chart
from pages._parts.opening import REVIEW
from pages._parts.people import acting
from pages._parts.text import clock_text, plain, readable, seconds_text, value_text

OPEN = ("asked", "answering")


@dataclass(frozen=True)
class Scene:
    """The search that is asked about, and what answers are held against."""

    search: SearchRow
    results: Results
    tried: list[TriedRow]
    baselines: list[BaselineRow]

    def incumbent_at(self, turn: TurnRow) -> int | None:
        """Return the best trial when an answer was written; None where it may be another now."""
        written = turn.ended_at or turn.created_at
        later = (ended is not None and ended > written for ended in self.results.ended_at)
        return None if any(later) else self.search.incumbent


def totals(turns: int, tokens: int, usd: float, search: SearchRow, spend: Spend) -> str:
    """Return what the questions came to, and what the search may spend, in one line."""
    if not turns:
        return ""
    limits = search.spec.limits
    told = f"{turns:,} question{'s' * (turns != 1)} · {tokens:,} tokens and {usd:.4f} USD booked"
    allowed = [
        f"{spend.booked_usd:.4f} of {limits.usd:g} USD" if limits.usd is not None else "",
        f"{spend.booked_tokens:,} of {limits.tokens:,} tokens" if limits.tokens is not None else "",
        f"{spend.calls:,} of {limits.calls:,} calls" if limits.calls is not None else "",
    ]
    used = ", ".join(part for part in allowed if part)
    return f"{told} · the search has used {used}" if used else f"{told} · no limit is set"


def suggestions(search: SearchRow, results: Results) -> list[str]:
    """Return three questions that this search can answer."""
    failed = [
        number
        for number, state in zip(results.number, results.state, strict=True)
        if state in ("failed", "crashed")
    ]
    newest, best = max(results.number, default=0), search.incumbent
    return [
        "What is the best val_mse so far, and how does it compare with the baselines?"
        if best is None
        else f"How far is trial {best} from the baselines, and is that more than the noise?",
        f"Why did trial {failed[-1]} fail, and what did the failures have in common?"
        if failed
        else "Which trials were accepted, and by which rule?"
        if newest == 0
        else f"What did trial {newest} change, and what came of it?",
        f"Compare the learning curves of trials 0 and {best}."
        if best
        else "Which settings moved val_mse most?",
    ]


def show_question(turn: TurnRow) -> None:
    """Draw a question, with who asked it and when."""
    with st.chat_message("user"):
        st.caption(f"{plain(turn.author, 60)} · {clock_text(turn.created_at)}")
        st.text(readable(turn.question))


def show_answer_of(turn: TurnRow, scene: Scene) -> None:
    """Draw the answer of a turn that has ended, and what it rests on."""
    with st.chat_message("assistant"):
        if turn.answer:
            st.text(readable(turn.answer))
            show_facts(
                turn.answer,
                scene.tried,
                scene.baselines,
                scene.incumbent_at(turn),
                scene.search.id,
            )
        if turn.state == "stopped":
            st.caption("■ Stopped by a person.")
        if turn.problem:
            (st.error if turn.state == "failed" else st.warning)(plain(turn.problem))
        if turn.draft is not None:
            st.page_link(
                REVIEW,
                label=f"Draft: trial {turn.draft} → Review",
                icon=":material/edit_note:",
                query_params={"search": str(scene.search.id)},
            )
        show_rows(turn, scene)
        st.caption(cost_text(turn))


def show_writing(turn: TurnRow, lives: bool, stop: Callable[[int], None]) -> None:
    """Draw an answer as far as it has come, with a way to stop it."""
    with st.chat_message("assistant"):
        if turn.answer:
            st.text(readable(turn.answer))
        if turn.stopping:
            st.caption("Stopping…")
            return
        found = [looked_up(row).tool for row in turn.looked_up]
        tools = list(dict.fromkeys(tool for tool in found if tool != WITH_QUESTION))
        doing = "Writing…" if turn.answer else "Thinking…"
        if not lives:
            doing = "Its engine is gone; the next command to this search has it answered anew."
        with st.container(horizontal=True, vertical_alignment="center"):
            looked = f" Looked up: {plain(', '.join(tools))}." if tools else ""
            st.caption(f"{doing}{looked}", width="content")
            st.button(
                "Stop",
                key=f"ask-stop-{turn.id}",
                icon=":material/stop_circle:",
                type="tertiary",
                on_click=stop,
                args=(turn.id,),
                **acting(help="What there is of the answer stays."),
            )


def show_rows(turn: TurnRow, scene: Scene) -> None:
    """Draw the rows that an answer was given; they are sent when somebody opens them.

    First come those that the model looked up, then those that it was told unasked.
    """
    found = sorted(map(looked_up, turn.looked_up), key=lambda rows: rows.tool == WITH_QUESTION)
    if not found:
        return
    count = sum(len(rows.rows) for rows in found)
    details = st.expander(
        f"Rows used ({count})", key=f"ask-rows-{turn.id}", type="compact", on_change="rerun"
    )
    if not details.open:
        return
    with details:
        for place, rows in enumerate(found):
            again = rows.tool == WITH_QUESTION and any(row.chart for row in found[:place])
            show_look_up(rows, scene, f"ask-rows-{turn.id}-{place}", drawn=not again)


def show_look_up(found: LookedUp, scene: Scene, key: str, drawn: bool) -> None:
    """Draw one look into the store: what was asked, the rows, and a chart of those to be drawn."""
    st.markdown(f"**{plain(call_text(found), 300)}**")
    if found.note:
        st.caption(plain(found.note, 300))
    if found.rows:
        st.dataframe(
            rows_frame(found),
            hide_index=True,
            key=f"{key}-table",
            height="auto" if len(found.rows) <= 10 else 320,
            alt=f"{len(found.rows)} rows",
        )
    figure = figure_of(found, scene.results, scene.search.incumbent, scene.search.id)
    if drawn and figure is not None:
        words = "Learning curves" if found.chart == "curves" else "val_mse by trial"
        chart(figure, f"{key}-chart", f"{words} of the rows above", height=260)


def call_text(found: LookedUp) -> str:
    """Return a call of a tool in words; arguments that say nothing are left out."""
    given = (
        f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value_text(value)}"
        for name, value in found.arguments.items()
        if value not in ("", [], False, None) and not isinstance(value, dict)
    )
    return " · ".join([found.tool.replace("_", " ").capitalize(), *given])


def cost_text(turn: TurnRow) -> str:
    """Return what a turn took, in one line."""
    took = None if turn.ended_at is None else turn.ended_at - turn.created_at
    return f"{turn.tokens:,} tokens · {turn.cost_usd:.4f} USD · {seconds_text(took)}"
