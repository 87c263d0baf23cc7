"""One exchange with a language model, word for word, and what all of a search came to."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from nas_engine.store.provenance import OF_TRIALS, RoleSpend
from nas_engine.store.rows import LLMCallRow
from pages._parts.opening import TRANSCRIPT
from pages._parts.text import clock_text, count_text, plain, readable, seconds_text

OUTCOMES = {
    "reserved": ("○", "gray", "no answer was recorded: the call was lost"),
    "used": ("✓", "green", "the answer was used"),
    "refused": ("⊘", "orange", "the answer could not be used"),
    "failed": ("✕", "red", "the call failed"),
}


def totals(spent: Sequence[RoleSpend]) -> str:
    """Return what the exchanges with language models came to; those beside trials stand apart."""
    if not spent:
        return "No language model was asked in this search."
    calls, used = sum(row.calls for row in spent), sum(row.used for row in spent)
    tokens, usd = sum(row.tokens for row in spent), sum(row.usd for row in spent)
    booked = sum(row.booked_usd for row in spent)
    beside = [
        f"{row.calls:,} of a {row.role} ({row.booked_usd:.4f} USD booked)"
        for row in spent
        if row.role not in OF_TRIALS
    ]
    apart = f" · among them {', '.join(beside)}, which are no steps of trials" if beside else ""
    return (
        f"{calls:,} exchanges with language models, {used:,} used · {tokens:,} tokens "
        f"and {usd:.4f} USD reported · {booked:.4f} USD booked, unreported calls "
        f"at their worst case{apart}"
    )


def calls_text(calls: Sequence[LLMCallRow]) -> str:
    """Return what some exchanges came to, in one line; empty for none."""
    if not calls:
        return ""
    tokens = sum((call.prompt_tokens or 0) + (call.completion_tokens or 0) for call in calls)
    usd = sum(call.booked_usd if call.cost_usd is None else call.cost_usd for call in calls)
    seconds = sum(call.seconds or 0.0 for call in calls)
    count = f"{len(calls)} exchange{'s' * (len(calls) != 1)}"
    return f"{count}, {tokens:,} tokens, {usd:.5f} USD, {seconds_text(seconds)}"


def repairs(call: LLMCallRow) -> bool:
    """Tell whether an exchange sent an answer back to be mended."""
    return any(message.get("role") == "assistant" for message in call.messages)


def show_call(search_id: int, call: LLMCallRow, opened: bool, place: str = "step") -> None:
    """Draw one exchange: what was asked, what came back, what became of it.

    Prompts are long: of many trials they are only sent to the browser when somebody opens them.
    """
    symbol, colour, meaning = OUTCOMES[call.outcome]
    facts = [
        f":{colour}[**{symbol} {call.outcome}**]",
        *([plain(call.error_class.replace("_", " "))] if call.error_class else []),
        f"attempt {call.attempt + 1}{', repair of an answer' if repairs(call) else ''}",
        plain(call.model, 80),
        *([f"temperature {call.temperature:g}"] if call.temperature is not None else []),
        f"{count_text(call.prompt_tokens)} + {count_text(call.completion_tokens)} tokens",
        f"booked at {call.booked_usd:.5f} USD"
        if call.cost_usd is None
        else f"{call.cost_usd:.5f} USD",
        seconds_text(call.seconds),
        clock_text(call.created_at),
    ]
    with st.container(border=True, key=f"transcript-{place}-{call.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link(
                TRANSCRIPT,
                label=f"Exchange {call.id}",
                icon=":material/link:",
                query_params={"search": str(search_id), "call": str(call.id)},
            )
            st.markdown(" · ".join(facts), help=meaning)
        if call.problem:
            st.warning(plain(call.problem))
        for at, message in enumerate(call.messages):
            role = message.get("role", "message")
            prompt = st.expander(
                f"{plain(role, 30)} prompt" if role != "assistant" else "earlier reply",
                expanded=opened and place == "exchange",
                key=f"transcript-prompt-{place}-{call.id}-{at}",
                on_change="rerun",
            )
            if opened or prompt.open:
                prompt.code(readable(message.get("content", "")), language=None, wrap_lines=True)
        st.code(readable(call.reply) or "No reply.", language=None, wrap_lines=True)
