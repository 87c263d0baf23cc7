"""Transcript: who proposed, decided, trained and judged each trial, word for word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Literal

import streamlit as st

from informer.config import Value
from nas_engine.curves import Curve, curves_of
from nas_engine.liveness import engine_state
from nas_engine.standing import as_seen
from nas_engine.store.reader import LLMCallRow, Reader, RunRow, SearchRow, Spend, TrialRow
from nas_engine.store.table import ALL, Query, QueryError, Term, keys, parse, used_answers
from pages._parts.opening import COMPARE, LIVE, TRIAL, asked_trial, choose_search, searched
from pages._parts.states import SOURCES, TRIAL_STATES
from pages._parts.text import (
    changes_text,
    clock_text,
    count_text,
    error_text,
    expected_text,
    mean_text,
    percent_text,
    plain,
    readable,
    seconds_text,
)

PER_PAGE = 10
Configs = dict[int, Mapping[str, Value]]
Outcome = Literal["complete", "error", "open"]
ICONS: dict[Outcome, str] = {
    "complete": ":material/check_circle:",
    "error": ":material/error:",
    "open": ":material/radio_button_unchecked:",
}
ROLES = ("planner", "review", "executor", "evaluator")
OUTCOMES = {
    "reserved": ("○", "gray", "no answer was recorded: the call was lost"),
    "used": ("✓", "green", "the answer was used"),
    "refused": ("⊘", "orange", "the answer could not be used"),
    "failed": ("✕", "red", "the call failed"),
}


# -- what is shown ------------------------------------------------------------------------------


def totals(spend: Spend, used: int) -> str:
    """Return what the exchanges with language models came to, in one line."""
    if not spend.calls:
        return "No language model was asked in this search."
    tokens = spend.prompt_tokens + spend.completion_tokens
    return (
        f"{spend.calls:,} exchanges with language models, {used:,} used · {tokens:,} tokens "
        f"and {spend.usd:.4f} USD reported · {spend.booked_usd:.4f} USD booked, unreported calls "
        "at their worst case"
    )


# -- steps of one trial -------------------------------------------------------------------------


def show_call(call: LLMCallRow, opened: bool) -> None:
    """Draw one exchange: what was asked, what came back, what became of it.

    Prompts are long: of many trials they are only sent to the browser when somebody opens them.
    """
    symbol, colour, meaning = OUTCOMES[call.outcome]
    facts = [
        f":{colour}[**{symbol} {call.outcome}**]",
        *([plain(call.error_class.replace("_", " "))] if call.error_class else []),
        f"attempt {call.attempt + 1}",
        plain(call.model, 80),
        *([f"temperature {call.temperature:g}"] if call.temperature is not None else []),
        f"{count_text(call.prompt_tokens)} + {count_text(call.completion_tokens)} tokens",
        f"booked at {call.booked_usd:.5f} USD"
        if call.cost_usd is None
        else f"{call.cost_usd:.5f} USD",
        seconds_text(call.seconds),
        clock_text(call.created_at),
    ]
    with st.container(border=True):
        st.markdown(" · ".join(facts), help=meaning)
        if call.problem:
            st.warning(plain(call.problem))
        for at, message in enumerate(call.messages):
            role = message.get("role", "message")
            prompt = st.expander(
                f"{plain(role, 30)} prompt" if role != "assistant" else "earlier reply",
                key=f"transcript-prompt-{call.id}-{at}",
                on_change="rerun",
            )
            if opened or prompt.open:
                prompt.code(readable(message.get("content", "")), language=None, wrap_lines=True)
        st.code(readable(call.reply) or "No reply.", language=None, wrap_lines=True)


def step(label: str, outcome: Outcome, opened: bool) -> AbstractContextManager[object]:
    """Draw a step of the timeline; `open` is one that has not happened.

    Not st.status: each sleeps for 50 ms.
    """
    return st.expander(label, expanded=opened, type="step", icon=ICONS[outcome])


def show_planner(
    trial: TrialRow, calls: Sequence[LLMCallRow], parent: Mapping[str, Value], opened: bool
) -> None:
    """Draw the proposal and the exchanges that led to it."""
    source = plain(SOURCES.get(trial.source, trial.source))
    name = "the preset" if trial.parent is None else f"trial {trial.parent}"
    changes = changes_text(trial.original, parent)
    label = f"**Planner** · {source}, {trial.step_type} step from {name}: {plain(changes, 120)}"
    with step(label, "complete", opened):
        st.text(readable(f"Changes: {changes}"))
        st.text(readable(trial.hypothesis) or "No hypothesis was given.")
        if expected := expected_text(trial.expected_low, trial.expected_high):
            st.text(expected)
        if trial.reasons:
            st.text(readable(trial.reasons))
        if not calls:
            st.caption(
                "No language model was asked: trial 0 is the configuration that the search starts "
                "from."
                if trial.source == "default"
                else f"No language model was asked for this proposal; it is from {source}."
            )
        for call in calls:
            show_call(call, opened)


def show_review(trial: TrialRow, parent: Mapping[str, Value], opened: bool) -> None:
    """Draw what a person decided."""
    if trial.decision is None:
        waits = trial.state == "proposed"
        with step(f"**Review** · {'waits for a person' if waits else 'none'}", "open", opened):
            st.caption(
                "The decision is taken on the page Review."
                if waits
                else "The search ended before a person decided."
            )
        return
    if trial.decision == "auto":
        with step("**Review** · passed without one", "complete", opened):
            st.caption("The search runs in auto mode, or this is its starting point.")
        return
    author = plain(trial.author, 60) or "unknown"
    comment = f": {plain(trial.comment, 120)}" if trial.comment else ""
    with step(f"**Review** · {trial.decision} by {author}{comment}", "complete", opened):
        st.text(readable(trial.comment) or "No comment was given.")
        if trial.decision == "edited":
            st.text(f"Proposed: {changes_text(trial.original, parent)}")
            st.text(f"Edited to: {changes_text(trial.changes, parent)}")


def show_executor(
    trial: TrialRow, runs: Sequence[RunRow], curve: Curve | None, opened: bool
) -> None:
    """Draw what the trainings came to."""
    value = mean_text(trial.val_mse, trial.spread, trial.seeds)
    outcome: Outcome = "open"
    if trial.val_mse is not None:
        summary, outcome = (
            f"val_mse {value} after {trial.epochs} epochs",
            "complete",
        )
    elif trial.error:
        summary, outcome = f"{trial.state}: {plain(trial.error, 120)}", "error"
    elif trial.run_id is None:
        summary = "not trained"
    else:
        summary = trial.state
    with step(f"**Executor** · {summary}", outcome, opened):
        if trial.run_id is None:
            st.caption("No training was begun for this trial.")
            return
        st.text(
            f"val_mse {value} · val_mae {error_text(trial.val_mae)} · "
            f"best epoch {trial.best_epoch or '–'} of {trial.epochs or '–'} · "
            f"{count_text(trial.parameters)} parameters · {seconds_text(trial.seconds)} · "
            f"device {trial.device or '–'} · attempt {trial.attempt}"
        )
        if curve is not None:
            st.text(f"Curve {curve.text}")
        if len(runs) > 1:
            for run in runs:
                result = f"val_mse {error_text(run.val_mse)} · best epoch {run.best_epoch or '–'}"
                said = result if run.val_mse is not None else readable(run.error)
                st.text(f"Seed {run.seed}: {run.state} · {said}")
        if trial.error:
            st.text(readable(f"{trial.error_class}: {trial.error}"))


def show_evaluator(trial: TrialRow, calls: Sequence[LLMCallRow], opened: bool) -> None:
    """Draw the verdict, the rule that decided and the opinion where one was asked."""
    judged = trial.verdict is not None
    label = f"**Evaluator** · {plain(trial.verdict or 'not judged', 160)}"
    with step(label, "complete" if judged else "open", opened):
        if not judged:
            st.caption("There is no verdict on this trial.")
            return
        st.text(readable(trial.verdict or ""))
        change = percent_text(trial.improvement)
        spread = "not known" if trial.margin is None else f"up to {100 * trial.margin:.2f} %"
        st.text(
            f"Rule: {readable(trial.rule or '')} · improvement over the incumbent of that moment: "
            f"{change} · inside the spread: {spread}"
        )
        if trial.opinion:
            st.markdown("**Opinion of the language model**")
            st.text(readable(trial.opinion))
        for call in calls:
            show_call(call, opened)
        if not calls:
            st.caption("No language model was asked: the rules decided.")


def show_trial(
    search: SearchRow,
    trial: TrialRow,
    calls: Sequence[LLMCallRow],
    runs: Sequence[RunRow],
    curve: Curve | None,
    parent: Mapping[str, Value],
    roles: Sequence[str],
    opened: bool,
) -> None:
    """Draw the timeline of one trial."""
    state = TRIAL_STATES[trial.state]
    with st.container(border=True, key=f"transcript-trial-{trial.number}", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(f"Trial {trial.number}", anchor=False, width="content")
            st.badge(f"{state.symbol} {trial.state}", color=state.colour, help=state.meaning)
            if trial.number == search.incumbent:
                st.badge("★ incumbent", color="green")
            value = mean_text(trial.val_mse, trial.spread, trial.seeds)
            result = "" if trial.val_mse is None else f"val_mse {value} · "
            st.caption(f"{result}{clock_text(trial.created_at)}")
            own = f"{search.id}.{trial.number}"
            both = f"{search.id}.0,{own}" if trial.number else own
            st.page_link(TRIAL, label="Trial", query_params={"trial": own})
            st.page_link(COMPARE, label="Compare", query_params={"trials": both})
            st.page_link(LIVE, label="Live", query_params={"search": str(search.id)})
        if "planner" in roles:
            show_planner(trial, [call for call in calls if call.role == "planner"], parent, opened)
        if "review" in roles:
            show_review(trial, parent, opened)
        if "executor" in roles:
            show_executor(trial, runs, curve, opened)
        if "evaluator" in roles:
            show_evaluator(trial, [call for call in calls if call.role == "evaluator"], opened)


# -- page ---------------------------------------------------------------------------------------


def remember_trial() -> None:
    """Put the chosen trial into the address."""
    number = st.session_state["transcript-trial"]
    if number is None:
        st.query_params.pop("trial", None)
    else:
        st.query_params["trial"] = str(number)


def choose_trial(search_id: int, last: int) -> int | None:
    """Let one trial be chosen; one that the search does not have is said to be unknown."""
    asked, named = asked_trial(), st.query_params.get("trial")
    if named is not None and (asked is None or asked > last):
        st.error(f"Search {search_id} has no trial {plain(named, 40)}.")
        asked = None
    st.session_state["transcript-trial"] = asked
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
    spend, used = reader.spend(search.id), used_answers(reader, search.id)
    engine = engine_state(reader.engine(search.id))
if not newest:
    st.info("No trial of this search has begun yet.")
    st.stop()
st.caption(totals(spend, used))

one, role_column, text_column = st.columns([2, 4, 4])
with one:
    only = choose_trial(search.id, newest[0][1])
chosen_roles = role_column.pills(
    "Steps", ROLES, selection_mode="multi", default=ROLES, key="transcript-roles"
)
words = text_column.text_input(
    "Filter",
    key="transcript-text",
    placeholder='too many requests, "heavy tails", val_mse<0.4',
    help="Words in reasons, replies, comments, verdicts and errors; conditions such as "
    "`state=failed`, `source=llm`, `val_mse<0.4` or `d_model>=128`. All must hold.",
    max_chars=400,
)
terms = conditions(words) + (() if only is None else (Term("number", "=", str(only)),))
with searched() as reader:
    matching = keys(reader, replace(everything, terms=terms, limit=ALL))
if not matching:
    st.info("No trial matches these filters.")
    st.stop()
pages = -(-len(matching) // PER_PAGE)
number = st.pagination(pages, key=f"transcript-page-{pages}") if pages > 1 else 1
with searched() as reader:
    found = reader.listed(matching[(number - 1) * PER_PAGE : number * PER_PAGE])
    shown = as_seen(found, engine)
    bases = parents(reader, shown, search.spec.start())
    calls = {trial.number: reader.llm_calls(search.id, trial.number) for trial in shown}
    runs = {trial.number: reader.runs(search.id, trial.number) for trial in shown}
    curves = curves_of(reader.epochs(search.id, [trial.number for trial in shown]))
for trial in shown:
    show_trial(
        search,
        trial,
        calls[trial.number],
        runs[trial.number],
        curves.get(trial.number),
        bases[trial.number],
        chosen_roles,
        opened=only is not None,
    )
