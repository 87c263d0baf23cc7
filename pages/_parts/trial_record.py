"""What was proposed, why, and how it was judged: cards and tables of the Trial page."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from nas_engine.amounts import amount, in_a_sentence
from nas_engine.evaluator import OPEN, Compared, Figures
from nas_engine.search import Rules
from nas_engine.store.lineage import Step, children
from nas_engine.store.rows import LLMCallRow, TrialRow
from pages._parts.effects import effect
from pages._parts.lineage_chart import address, verdict_word
from pages._parts.opening import TRANSCRIPT, searched
from pages._parts.states import SOURCES
from pages._parts.text import (
    changes_text,
    clock_text,
    count_text,
    error_text,
    expected_text,
    percent_text,
    plain,
    readable,
    seconds_text,
)
from pages._parts.trial_view import View

MOST_CHILDREN = 500  # that a table shows
MOST_RIVALS = 12  # of a front, that a verdict lists


# -- verdict ------------------------------------------------------------------------------------


def show_verdict(view: View) -> None:
    """Draw the verdict with its rule, its sentence and the figures it used."""
    trial = view.trial
    with st.container(border=True, height="stretch", key="trial-verdict"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Verdict**")
            if trial.accepted is not None:
                if trial.accepted:
                    st.badge("✓ accepted", color="green")
                else:
                    st.badge("✕ rejected", color="orange")
                st.badge(f"rule: {plain(trial.rule or '')}", color="gray")
        if trial.verdict is None:
            st.caption(not_judged(trial))
            return
        st.text(readable(trial.verdict))
        if view.used is not None:
            st.dataframe(
                figures_frame(view.used, trial, view.search.spec.rules),
                hide_index=True,
                height="content",
                key="trial-verdict-figures",
                column_config={
                    "Value": st.column_config.TextColumn(
                        width=215 if view.used.compared is None else 330
                    )
                },
                alt="The figures that the verdict used",
            )
        if trial.opinion:
            st.markdown("**Opinion of the language model**")
            st.text(readable(trial.opinion))
        elif trial.rule in OPEN:
            st.caption("No opinion of a language model was used: the rules decided.")


def not_judged(trial: TrialRow) -> str:
    """Return why there is no verdict."""
    if trial.ended_at is None:
        return "Not judged yet."
    if trial.state == "rejected":
        return "It was not trained: a person turned the proposal down."
    return "It ended without being judged."


def figures_frame(used: Figures, trial: TrialRow, rules: Rules) -> pd.DataFrame:
    """Return what a verdict used, as it was then, and the thresholds of the search."""
    lost = used.tried - used.seeds
    rows = [
        ("val_mse of the trial", error_text(used.value)),
        ("trainings", f"{used.seeds} finished" + (f", {lost} without a result" if lost else "")),
    ]
    if used.incumbent is not None:
        seeds = f"{used.incumbent_seeds} seed{'s' * (used.incumbent_seeds != 1)}"
        rows += [
            (
                f"val_mse of the incumbent, trial {used.incumbent}",
                f"{error_text(used.incumbent_value)} ({seeds})",
            ),
            ("improvement over it", percent_text(trial.improvement)),
        ]
    rows += front_rows(used.compared) if used.compared else []
    noise = used.noise
    rows += [
        (
            "noise (deviation over seeds)",
            "not known then"
            if noise is None
            else f"{100 * noise.relative:.2f} %, {noise.degrees} degrees of freedom",
        ),
        (
            "margin: differences that may be noise",
            "not known"
            if trial.margin is None
            else f"up to ±{100 * trial.margin:.2f} % ({rules.noise_multiple:g} deviations)",
        ),
        ("accepted above", percent_text(rules.accept_above)),
        ("rejected below", percent_text(rules.reject_below)),
    ]
    return pd.DataFrame(rows, columns=["Figure", "Value"])


def front_rows(compared: Compared) -> list[tuple[str, str]]:
    """Return what a verdict used beside the error: costs, bounds, and the front as it was."""
    costs = [name for name in compared.values if name != "val_mse"]
    rows = [
        (
            f"{in_a_sentence(name)} of the trial",
            (amount(name, value) if (value := compared.values[name]) else "not known then")
            + (f", at most {amount(name, bound)}" if (bound := compared.at_most.get(name)) else ""),
        )
        for name in costs
    ]
    rows += [
        (
            f"on the front: trial {rival.number}",
            ", ".join(map(amount, compared.objectives, rival.values)),
        )
        for rival in compared.rivals[:MOST_RIVALS]
    ]
    if more := len(compared.rivals) - MOST_RIVALS:
        rows += [("on the front", f"{more} more trials")] if more > 0 else []
    rows += [
        (f"noise of {in_a_sentence(name)}", f"{100 * noise.relative:.2f} %")
        for name, noise in (compared.noise or {}).items()
    ]
    return rows


# -- proposal -----------------------------------------------------------------------------------


def show_proposal(view: View) -> None:
    """Draw who proposed what and why, what a person made of it, and what was expected."""
    trial, before = view.trial, view.before_change
    with st.container(border=True, height="stretch", key="trial-proposal"):
        st.markdown("**Proposal**")
        source = SOURCES.get(trial.source, trial.source)
        base = "the starting configuration" if trial.parent is None else f"trial {trial.parent}"
        changed = trial.decision == "edited"
        proposed = changes_text(trial.original if changed else trial.changes, before)
        st.text(
            readable(f"{source} changed {base}: {proposed}")
            if trial.original or trial.changes
            else "It is the configuration that the search starts from."
        )
        if changed:
            st.text(readable(f"Edited to: {changes_text(trial.changes, before)}"))
        if decision := decision_text(trial):
            st.caption(plain(decision))
        st.text(readable(trial.hypothesis) or "No hypothesis was given.")
        if trial.reasons:
            with st.expander("Reasons"):
                st.text(readable(trial.reasons))
        if expected := expected_text(trial.expected_low, trial.expected_high):
            st.caption(plain(f"{expected} {came_text(view)}"))


def decision_text(trial: TrialRow) -> str:
    """Return what a person decided and said, empty where none did."""
    if trial.decision in (None, "auto"):
        return ""
    said = f": {trial.comment}" if trial.comment else ", without a comment"
    return f"{str(trial.decision).capitalize()} by {trial.author or 'somebody'}{said}"


def came_text(view: View) -> str:
    """Return what came of the improvement that was expected over the parent."""
    trial = view.trial
    came = view.against(view.parent).improvement
    if came is None or trial.expected_low is None or trial.expected_high is None:
        return "What came cannot be said: one of the two has no result."
    inside = trial.expected_low <= came <= trial.expected_high
    return f"It came to {percent_text(came)}, {'as' if inside else 'not as'} expected."


# -- children, exchange -------------------------------------------------------------------------


def show_children(view: View) -> None:
    """Draw the trials that were made from this one."""
    with searched() as reader:
        found = children(reader, view.search.id, view.trial.number)
    if not found:
        st.caption("No trial was made from this one.")
        return
    accepted = sum(bool(step.accepted) for step in found)
    left = f"; the first {MOST_CHILDREN} are shown" if len(found) > MOST_CHILDREN else ""
    st.caption(f"{len(found)} trials were made from this one, {accepted} accepted{left}.")
    st.dataframe(
        children_frame(view, found[:MOST_CHILDREN]),
        hide_index=True,
        key="trial-children-table",
        height="content" if len(found) < 10 else 360,
        column_config={
            "Change": st.column_config.TextColumn(width=330),
            "Open": st.column_config.LinkColumn(display_text="open", width=60),
        },
        alt=f"The trials that change trial {view.trial.number}",
    )


def children_frame(view: View, steps: Sequence[Step]) -> pd.DataFrame:
    """Return a row for each child: what it changed and what that did."""
    trial, multiple = view.trial, view.search.spec.rules.noise_multiple
    return pd.DataFrame(
        [
            {
                "Trial": step.number,
                "Open": address(view.search.id, step.number),
                "Change": readable(changes_text(step.changes, trial.config)),
                "By": SOURCES.get(step.source, step.source),
                "Verdict": verdict_word(step),
                "val_mse ↓": error_text(step.val_mse),
                "Effect": effect(
                    step.val_mse, step.seeds, trial.val_mse, trial.seeds, view.noise, multiple
                ).text,
            }
            for step in steps
        ]
    )


def show_exchange(view: View) -> None:
    """Draw the exchanges with language models about this trial, in short."""
    trial = view.trial
    with searched() as reader:
        calls = reader.llm_calls(view.search.id, trial.number)
    if not calls:
        source = SOURCES.get(trial.source, trial.source)
        st.caption(f"No language model was asked about this trial; it is from {plain(source)}.")
        return
    st.dataframe(
        exchange_frame(view.search.id, calls),
        hide_index=True,
        key="trial-exchange-table",
        column_config={
            "Problem": st.column_config.TextColumn(width=260),
            "Open": st.column_config.LinkColumn(display_text="open", width=60),
        },
        alt=f"{len(calls)} exchanges with language models about trial {trial.number}",
    )
    st.page_link(
        TRANSCRIPT,
        label="Read them word for word",
        icon=":material/forum:",
        query_params={"search": str(view.search.id), "trial": str(trial.number)},
    )


def exchange_frame(search_id: int, calls: Sequence[LLMCallRow]) -> pd.DataFrame:
    """Return a row for each exchange, without its words."""
    return pd.DataFrame(
        [
            {
                "Time": clock_text(call.created_at),
                "Open": f"./transcript?search={search_id}&call={call.id}",
                "Role": readable(call.role),
                "Attempt": call.attempt + 1,
                "Model": readable(call.model),
                "Outcome": "no answer" if call.outcome == "reserved" else call.outcome,
                "Tokens in": count_text(call.prompt_tokens),
                "Tokens out": count_text(call.completion_tokens),
                "USD": "–" if call.cost_usd is None else f"{call.cost_usd:.5f}",
                "Took": seconds_text(call.seconds),
                "Problem": readable(call.problem),
            }
            for call in calls
        ]
    )
