"""The timeline of one trial: planner, review, executor and evaluator, word for word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st
from streamlit.elements.lib.mutable_expander_container import ExpanderContainer

from informer.config import Value
from nas_engine.curves import Curve
from nas_engine.store.rows import BaselineRow, LLMCallRow, RevisionRow, SearchRow, TrialRow
from nas_engine.store.table import TriedRow
from nas_engine.transcript import Found, Life, waited_seconds
from pages._parts.facts import show_facts
from pages._parts.opening import COMPARE, LIVE, REVIEW, TRIAL
from pages._parts.states import SOURCES, TRIAL_STATES, proposer
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
from pages._parts.transcript_calls import calls_text, show_call
from pages._parts.trial_record import figures_frame

Outcome = Literal["complete", "error", "open"]
ICONS: dict[Outcome, str] = {
    "complete": ":material/check_circle:",
    "error": ":material/error:",
    "open": ":material/radio_button_unchecked:",
}
ROLES = ("planner", "review", "executor", "evaluator")


@dataclass(frozen=True)
class Shown:
    """A trial with what its timeline needs beside its own life."""

    search: SearchRow
    life: Life
    curve: Curve | None
    parent: Mapping[str, Value]  # the configuration that was changed
    tried: Sequence[TriedRow]  # all trials of the search by number, if a text claims anything
    baselines: Sequence[BaselineRow]
    found: Sequence[Found]  # words that a filter looked for
    opened: bool

    @property
    def trial(self) -> TrialRow:
        """The trial itself."""
        return self.life.trial


def checked_texts(life: Life) -> Iterator[str]:
    """Yield the texts of a trial that the fact check reads."""
    trial = life.trial
    yield from (trial.hypothesis, trial.reasons, trial.opinion or "")
    for revision, _ in life.replaced:
        yield from (revision.hypothesis, revision.reasons)


def show_trial(shown: Shown, roles: Sequence[str]) -> None:
    """Draw the timeline of one trial."""
    trial, search = shown.trial, shown.search
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
        for found in shown.found:
            st.caption(found_text(found))
        for role, show in (
            ("planner", show_planner),
            ("review", show_review),
            ("executor", show_executor),
            ("evaluator", show_evaluator),
        ):
            if role in roles:
                show(shown)


def found_text(found: Found) -> str:
    """Return where a word was found, with what stands around it, for Markdown."""
    around = f"…{plain(found.before)} **{plain(found.word)}** {plain(found.after)}…"
    return f"Found in {plain(found.place)}: {around}"


def step(
    label: str, outcome: Outcome, opened: bool, *when: str, key: str | None = None
) -> ExpanderContainer:
    """Draw a step of the timeline; `open` is one that has not happened.

    Not st.status: each sleeps for 50 ms.

    Args:
        label: who, and what came of it.
        outcome: how it ended.
        opened: whether all of it is shown.
        when: the moment and how long it took, where they are known.
        key: of a step of which a part is drawn only where it is open.
    """
    timed = " · ".join([label, *(part for part in when if part)])
    lazily: Literal["rerun", "ignore"] = "ignore" if key is None else "rerun"
    return st.expander(
        timed, expanded=opened, type="step", icon=ICONS[outcome], key=key, on_change=lazily
    )


# -- planner --------------------------------------------------------------------------------------


def show_planner(shown: Shown) -> None:
    """Draw the proposals, replaced ones among them, and the exchanges that led to each."""
    life, trial = shown.life, shown.trial
    proposed = life.moments.proposed
    for revision, calls in life.replaced:
        source = plain(proposer(revision.source, revision.hypothesis))
        changes = changes_text(revision.changes, shown.parent)
        label = f"**Planner** · version {revision.version}, {source}: {plain(changes, 100)}"
        with step(label, "complete", shown.opened, clock_text(proposed), asked_text(calls)):
            show_words(shown, revision, changes)
            if calls:
                st.caption(f"{calls_text(calls)}.")
            for call in calls:
                show_call(shown.search.id, call, shown.opened)
        hint = f": {plain(revision.comment, 120)}" if revision.comment else ""
        label = f"**Review** · asked again by {plain(revision.author, 60)}{hint}"
        with step(label, "complete", shown.opened, clock_text(revision.created_at)):
            st.text(readable(revision.comment) or "No hint was given.")
        proposed = life.moments.waited_from or proposed
    stands = life.before_edit or trial
    source = plain(proposer(trial.source, stands.hypothesis))
    name = "the preset" if trial.parent is None else f"trial {trial.parent}"
    changes = changes_text(trial.original, shown.parent)
    size = plain(stands.step_type)
    label = f"**Planner** · {source}, {size} step from {name}: {plain(changes, 120)}"
    with step(label, "complete", shown.opened, clock_text(proposed), asked_text(life.planned)):
        if trial.source == "fallback":
            st.warning(
                "The language model gave no usable answer: proposed by the optimiser instead."
            )
        show_words(shown, stands, changes)
        if life.planned:
            st.caption(f"{calls_text(life.planned)}.")
        else:
            st.caption(not_asked(trial))
        for call in life.planned:
            show_call(shown.search.id, call, shown.opened)


def asked_text(calls: Sequence[LLMCallRow]) -> str:
    """Return how long a language model was asked; empty where none was."""
    return f"asked for {seconds_text(sum(c.seconds or 0.0 for c in calls))}" if calls else ""


def not_asked(trial: TrialRow) -> str:
    """Return why no language model was asked for a proposal."""
    if trial.source == "default":
        return (
            "No language model was asked: trial 0 is the configuration that the search starts from."
        )
    source = plain(SOURCES.get(trial.source, trial.source))
    return f"No language model was asked for this proposal; it is from {source}."


def show_words(shown: Shown, proposal: TrialRow | RevisionRow, changes: str) -> None:
    """Draw what a version of a proposal says, and the marks of the fact check under it."""
    st.text(readable(f"Changes: {changes}"))
    st.text(readable(proposal.hypothesis) or "No hypothesis was given.")
    show_checked(shown, proposal.hypothesis, shown.trial.parent, shown.trial.number)
    if expected := expected_text(proposal.expected_low, proposal.expected_high):
        st.text(expected)
    if proposal.reasons:
        st.text(readable(proposal.reasons))
        show_checked(shown, proposal.reasons, shown.trial.parent, shown.trial.number)


def show_checked(shown: Shown, text: str, incumbent: int | None, before: int) -> None:
    """Draw the marks of the fact check on a text, which knew the trials before a number."""
    known = [row for row in shown.tried[: before + 1] if row.number < before]
    show_facts(text, known, shown.baselines, incumbent, shown.search.id)


# -- review ---------------------------------------------------------------------------------------


def show_review(shown: Shown) -> None:
    """Draw what a person, or the timer, decided."""
    trial, moments = shown.trial, shown.life.moments
    if trial.decision is None:
        waits = trial.state == "proposed"
        since = f"since {clock_text(moments.waited_from)}" if waits and moments.waited_from else ""
        label = f"**Review** · {'waits for a person' if waits else 'none'}"
        with step(label, "open", shown.opened, since):
            if waits:
                st.page_link(
                    REVIEW,
                    label="Decide on the page Review",
                    icon=":material/arrow_forward:",
                    query_params={"search": str(shown.search.id)},
                )
            else:
                st.caption("The search ended before a person decided.")
        return
    when = "" if moments.decided is None else clock_text(moments.decided)
    if trial.decision == "auto":
        with step("**Review** · not asked for", "complete", shown.opened, when):
            st.caption("No person is asked about such a step in this search.")
        return
    author = plain(trial.author, 60) or "unknown"
    comment = f": {plain(trial.comment, 120)}" if trial.comment else ""
    waited = waited_seconds(shown.life)
    after = "" if waited is None else f"after {seconds_text(waited)}"
    label = f"**Review** · {trial.decision} by {author}{comment}"
    with step(label, "complete", shown.opened, when, after):
        st.text(readable(trial.comment) or "No comment was given.")
        if trial.decision == "edited":
            st.text(f"Proposed: {changes_text(trial.original, shown.parent)}")
            st.text(f"Edited to: {changes_text(trial.changes, shown.parent)}")
            if expected := expected_text(trial.expected_low, trial.expected_high):
                st.text(f"Of what was edited: {expected}")


# -- executor -------------------------------------------------------------------------------------


def show_executor(shown: Shown) -> None:
    """Draw what the trainings came to."""
    trial, runs = shown.trial, shown.life.runs
    value = mean_text(trial.val_mse, trial.spread, trial.seeds)
    outcome: Outcome = "open"
    if trial.val_mse is not None:
        summary, outcome = f"val_mse {value} after {trial.epochs} epochs", "complete"
    elif trial.error:
        summary, outcome = f"{trial.state}: {plain(trial.error, 120)}", "error"
    elif not runs:
        summary = "not trained"
    else:
        summary = trial.state
    begun = [run.started_at for run in runs if run.started_at is not None]
    when = clock_text(min(begun)) if begun else ""
    with step(f"**Executor** · {summary}", outcome, shown.opened, when, trained_text(shown.life)):
        if not runs:
            st.caption("No training was begun for this trial.")
            return
        if trial.run_id is not None:
            st.text(
                f"val_mse {value} · val_mae {error_text(trial.val_mae)} · "
                f"best epoch {trial.best_epoch or '–'} of {trial.epochs or '–'} · "
                f"{count_text(trial.parameters)} parameters · {seconds_text(trial.seconds)} · "
                f"device {trial.device or '–'} · attempt {trial.attempt}"
            )
        if shown.curve is not None:
            st.text(f"Curve {shown.curve.text}")
        if len(runs) > 1 or trial.run_id is None:
            for run in runs:
                result = f"val_mse {error_text(run.val_mse)} · best epoch {run.best_epoch or '–'}"
                said = result if run.val_mse is not None else readable(run.error)
                since = "" if run.started_at is None else f" · {clock_text(run.started_at)}"
                took = "" if run.seconds is None else f", {seconds_text(run.seconds)}"
                how = "" if run.kind == "scratch" else f", begun {run.begun}"
                st.text(f"Seed {run.seed}{how}: {run.state} · {said}{since}{took}")
        if trial.error:
            st.text(readable(f"{trial.error_class or trial.state}: {trial.error}"))


def trained_text(life: Life) -> str:
    """Return how long it took from the begin of the first training to the end of the last."""
    begun = [run.started_at for run in life.runs if run.started_at is not None]
    ended = [run.ended_at for run in life.runs]
    if not begun or any(moment is None for moment in ended):
        return ""
    return f"took {seconds_text(max(moment or 0.0 for moment in ended) - min(begun))}"


# -- evaluator ------------------------------------------------------------------------------------


def show_evaluator(shown: Shown) -> None:
    """Draw the verdict, the rule that decided with its figures, and the opinion, if any."""
    trial, life = shown.trial, shown.life
    judged = trial.verdict is not None
    label = f"**Evaluator** · {plain(trial.verdict or 'not judged', 160)}"
    when = "" if life.moments.judged is None else clock_text(life.moments.judged)
    key = f"transcript-evaluator-{trial.number}-{shown.opened}"
    place = step(label, "complete" if judged else "open", shown.opened, when, key=key)
    with place:
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
        if life.figures is not None and (shown.opened or place.open):
            st.dataframe(
                figures_frame(life.figures, trial, shown.search.spec.rules),
                hide_index=True,
                height="content",
                width=560,
                key=f"transcript-figures-{trial.number}",
                column_config={"Value": st.column_config.TextColumn(width=215)},
                alt=f"The figures that the verdict on trial {trial.number} used",
            )
        if trial.opinion:
            st.markdown("**Opinion of the language model**")
            st.text(readable(trial.opinion))
            rival = life.figures.incumbent if life.figures else None
            show_checked(shown, trial.opinion, rival, trial.number + 1)
        if life.judging:
            st.caption(f"{calls_text(life.judging)}.")
        else:
            st.caption("No language model was asked: the rules decided.")
        for call in life.judging:
            show_call(shown.search.id, call, shown.opened)
