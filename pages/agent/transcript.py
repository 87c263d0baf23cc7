"""Transcript: who proposed, decided, trained and judged each trial, word for word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal

import streamlit as st

from informer.config import Value
from nas_engine.curves import Curve, curves_of
from nas_engine.store.reader import LLMCallRow, RunRow, SearchRow, TrialRow
from pages._parts.opening import COMPARE, LIVE, asked_trial, choose_search, searched
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


def searchable(trial: TrialRow, calls: Sequence[LLMCallRow]) -> str:
    """Return all words of a trial, for the text filter."""
    words = [
        f"trial {trial.number}",
        trial.state,
        trial.source,
        trial.hypothesis,
        trial.reasons,
        changes_text(trial.changes),
        trial.author,
        trial.comment,
        trial.verdict or "",
        trial.opinion or "",
        trial.error,
        *(call.reply for call in calls),
        *(call.problem for call in calls),
        *(message.get("content", "") for call in calls for message in call.messages),
    ]
    return "\n".join(words).casefold()


def totals(calls: Sequence[LLMCallRow]) -> str:
    """Return what the exchanges with language models came to, in one line."""
    if not calls:
        return "No language model was asked in this search."
    tokens = sum((call.prompt_tokens or 0) + (call.completion_tokens or 0) for call in calls)
    cost = sum(call.cost_usd or 0.0 for call in calls)
    booked = sum(call.booked_usd for call in calls)
    used = sum(call.outcome == "used" for call in calls)
    return (
        f"{len(calls)} exchanges with language models, {used} used · {tokens:,} tokens and "
        f"{cost:.4f} USD reported · {booked:.4f} USD booked, unreported calls at their worst case"
    )


# -- steps of one trial -------------------------------------------------------------------------


def show_call(call: LLMCallRow) -> None:
    """Draw one exchange: what was asked, what came back, what became of it."""
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
        for message in call.messages:
            role = message.get("role", "message")
            with st.expander(
                f"{plain(role, 30)} prompt" if role != "assistant" else "earlier reply"
            ):
                st.code(readable(message.get("content", "")), language=None, wrap_lines=True)
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
    source = SOURCES.get(trial.source, trial.source)
    name = "the preset" if trial.parent is None else f"trial {trial.parent}"
    changes = changes_text(trial.original, parent)
    label = f"**Planner** · {source}, {trial.step_type} step from {name}: {plain(changes, 120)}"
    with step(label, "complete", opened):
        st.text(f"Changes: {changes}")
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
            show_call(call)


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
            show_call(call)
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
            where = {"search": str(search.id)}
            st.page_link(
                COMPARE,
                label="Compare",
                query_params=where
                | {"trials": ",".join(sorted({"0", str(trial.number)}, key=int))},
            )
            st.page_link(LIVE, label="Live", query_params=where)
        if "planner" in roles:
            show_planner(trial, [call for call in calls if call.role == "planner"], parent, opened)
        if "review" in roles:
            show_review(trial, parent, opened)
        if "executor" in roles:
            show_executor(trial, runs, curve, opened)
        if "evaluator" in roles:
            show_evaluator(trial, [call for call in calls if call.role == "evaluator"], opened)


# -- page ---------------------------------------------------------------------------------------

search = choose_search("Transcript")
with searched() as reader:
    trials = reader.trials(search.id)
    calls = reader.llm_calls(search.id)
if not trials:
    st.info("No trial of this search has begun yet.")
    st.stop()
by_trial = {
    trial.number: [call for call in calls if call.number == trial.number] for trial in trials
}
st.caption(totals(calls))

asked = asked_trial()
if st.query_params.get("trial") is not None and asked not in by_trial:
    st.error(f"Search {search.id} has no trial {plain(st.query_params['trial'], 40)}.")
    asked = None


def remember_trial() -> None:
    """Put the chosen trial into the address."""
    number = st.session_state["transcript-trial"]
    if number is None:
        st.query_params.pop("trial", None)
    else:
        st.query_params["trial"] = str(number)


st.session_state["transcript-trial"] = asked
one, role_column, text_column = st.columns([2, 4, 4])
only = one.selectbox(
    "Trial", list(by_trial), key="transcript-trial", placeholder="All", on_change=remember_trial
)
chosen_roles = role_column.pills(
    "Steps", ROLES, selection_mode="multi", default=ROLES, key="transcript-roles"
)
words = text_column.text_input(
    "Text", key="transcript-text", placeholder="Words in prompts, replies, reasons, comments"
)
shown = [
    trial
    for trial in reversed(trials)
    if (only is None or trial.number == only)
    and words.casefold() in searchable(trial, by_trial[trial.number])
]
if not shown:
    st.info("No trial matches these filters.")
    st.stop()
pages = -(-len(shown) // PER_PAGE)
number = st.pagination(pages, key=f"transcript-page-{pages}") if pages > 1 else 1
configs = {trial.number: trial.config for trial in trials}
start = search.spec.start()
page = shown[(number - 1) * PER_PAGE : number * PER_PAGE]
with searched() as reader:
    runs = {trial.number: reader.runs(search.id, trial.number) for trial in page}
    curves = curves_of(reader.epochs(search.id, [trial.number for trial in page]))
for trial in page:
    show_trial(
        search,
        trial,
        by_trial[trial.number],
        runs[trial.number],
        curves.get(trial.number),
        start if trial.parent is None else configs.get(trial.parent, start),
        chosen_roles,
        opened=only is not None,
    )
