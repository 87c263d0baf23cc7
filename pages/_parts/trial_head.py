"""The head of the Trial page: what it is and came to, and what can be done with it."""

from __future__ import annotations

import shlex

import streamlit as st

from nas_engine.amounts import amount
from nas_engine.standing import run_share
from nas_engine.store.rows import TrialRow
from pages._parts.acts import ACTS, act_buttons, possible, typed
from pages._parts.effects import Effect
from pages._parts.head import judged
from pages._parts.opening import (
    COMPARE,
    FORECAST,
    LINEAGE,
    LIVE,
    REVIEW,
    TRANSCRIPT,
    TRIAL,
    settings,
    show_answer,
)
from pages._parts.origin import badge
from pages._parts.renewal import key_now
from pages._parts.slots import progress_text, worker_text
from pages._parts.states import TRIAL_STATES, proposer, verdict_text
from pages._parts.text import (
    count_text,
    error_text,
    mean_text,
    percent_text,
    plain,
    seconds_text,
)
from pages._parts.trial_costs import latency_figures, show_bounds, with_costs
from pages._parts.trial_view import View

ANSWER = "trial-answer"


def show_head(view: View) -> None:
    """Draw all of it."""
    show_name(view)
    show_answer(ANSWER)
    show_state(view)
    show_figures(view)
    show_acts(view)


def show_name(view: View) -> None:
    """Draw which trial it is, its state and verdict, and the ways to those around it."""
    trial, search = view.trial, view.search
    state = TRIAL_STATES[trial.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        _link("Previous", "chevron_left", view, view.before)
        _link("Next", "chevron_right", view, view.after)
        if view.parent is not None:
            _link("Parent", "north_west", view, view.parent.number)
        st.subheader(f"Trial {trial.number} of search {search.id}", anchor=False, width="content")
        st.badge(f"{state.symbol} {trial.state}", color=state.colour, help=state.meaning)
        if trial.number == search.incumbent:
            st.badge("★ incumbent", color="green", help="The best accepted trial so far.")
        elif verdict := verdict_text(trial, search.incumbent):
            word = plain(verdict, 60)
            if trial.accepted:
                st.badge(f"✓ {word}", color="green")
            else:
                st.badge(f"✕ {word}", color="orange")
        by = proposer(trial.source, trial.hypothesis)
        st.badge(f"proposed by {plain(by)}", color="gray")
        st.badge(f"{trial.step_type} step", color="gray")
        badge(search)


def _link(label: str, icon: str, view: View, number: int | None) -> None:
    st.page_link(
        TRIAL,
        label=label if number is None else f"{label}: {number}",
        icon=f":material/{icon}:",
        disabled=number is None,
        query_params={"trial": f"{view.search.id}.{number if number is not None else 0}"},
    )


def show_state(view: View) -> None:
    """Say what happens with the trial at this moment, and what went wrong."""
    trial = view.trial
    for run in view.training if view.lives else []:
        with st.container(border=True, gap="xsmall"):
            st.progress(run_share(run), text=progress_text(run))
            st.caption(worker_text(run))
    if trial.state == "proposed":
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(":violet[**◇ It waits for your decision.**]")
            st.page_link(
                REVIEW,
                label="Review it",
                icon=":material/arrow_forward:",
                query_params={"search": str(view.search.id)},
            )
    if trial.stopping and trial.state in ("running", "stalled"):
        st.info("Its training is being ended.")
    if trial.error:
        kind = f"{plain(trial.error_class.replace('_', ' '))}: " if trial.error_class else ""
        verb = "was" if trial.state in ("pruned", "stopped", "rejected") else "has"
        st.warning(f"It {verb} {plain(trial.state)}: {kind}{plain(trial.error)}")


# -- key figures --------------------------------------------------------------------------------


def show_figures(view: View) -> None:
    """Draw the row of key figures."""
    trial, baseline, known = view.trial, view.baseline, with_costs(view)
    peaks = [run.peak_memory_mb for run in view.runs if run.peak_memory_mb is not None]
    spread = "" if trial.spread is None else f" ± {trial.spread:.2g}"
    with st.grid(4, min_column_width=150, row_height=104, key="trial-figures"):
        _metric(
            "val_mse ↓",
            f"{error_text(trial.val_mse)}{spread}",
            _seeds(trial),
            "Mean over its finished trainings, with their standard deviation; lower is better.",
        )
        _against("vs incumbent", view, view.incumbent)
        _against("vs parent", view, view.parent)
        change = (
            None
            if baseline is None or trial.val_mse is None
            else Effect((baseline.mse - trial.val_mse) / baseline.mse, None)
        )
        _difference(
            "vs best baseline",
            change,
            f"{plain(baseline.name)} with {error_text(baseline.mse)}, without any training."
            if baseline
            else "The baselines are not computed yet.",
        )
        _metric("val_mae ↓", error_text(trial.val_mae), None, "Mean over its finished trainings.")
        flops = None if known.flops is None else f"{amount('flops', known.flops)} a forecast"
        _metric(
            "Parameters",
            count_text(known.parameters),
            flops,
            "Weights of the model, and the operations for the forecast of one window: two for a "
            "multiply and add. Both by arithmetic.",
        )
        device = plain(trial.device or "", 60)
        _metric(
            "Training time",
            seconds_text(trial.seconds),
            f"on {device}" if device else None,
            "Mean over its trainings.",
        )
        _metric(
            "Peak memory",
            f"{max(peaks):,.0f} MB" if peaks else "–",
            None if peaks else "not measured",
            "The most that one of its trainings took, with all its processes; 1 MB = 10⁶ bytes.",
        )
        if (latency := latency_figures(known, view)) is not None:
            _metric(
                "Latency ↓",
                *latency,
                "Of a batch of forecasts, the median of many; mean over its trainings. "
                "docs/objectives.md says what is part of it.",
            )
    show_bounds(known, view)


def _seeds(trial: TrialRow) -> str:
    if not trial.seeds:
        return "no result yet" if trial.ended_at is None else "no result"
    return f"{trial.seeds} seed{'s' * (trial.seeds > 1)}"


def _against(label: str, view: View, other: TrialRow | None) -> None:
    if other is None:
        _metric(label, "–", f"no {label.removeprefix('vs ')}", "There is none.")
    elif other.number == view.trial.number:
        _metric(label, "★", "it is the incumbent", "Nothing to compare with.")
    else:
        value = mean_text(other.val_mse, other.spread, other.seeds)
        _difference(label, view.against(other), f"Trial {other.number}: val_mse {value}.")


def _difference(label: str, found: Effect | None, explained: str) -> None:
    if found is None or found.improvement is None:
        _metric(label, "–", "no result to compare", explained)
        return
    st.metric(
        label,
        percent_text(-found.improvement),
        found.word,
        delta_color="off" if found.inside else judged(-found.improvement),
        delta_arrow="off",
        border=True,
        height="stretch",
        help=f"{explained} A minus is better.",
    )


def _metric(label: str, value: str, more: str | None, explained: str) -> None:
    st.metric(
        label,
        value,
        more,
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=explained,
    )


# -- what can be done ---------------------------------------------------------------------------


def show_acts(view: View) -> None:
    """Draw what can be done with the trial, and where else it can be seen."""
    trial, search = view.trial, view.search
    comment = f"trial-{view.reference}-comment"  # what is typed for one trial is not another's
    with st.container(border=True, gap="small", key="trial-acts"):
        st.text_input(
            "Why",
            key=key_now(comment),
            placeholder="Why (optional, kept in the record)",
            label_visibility="collapsed",
            max_chars=4000,
        )
        act_buttons(trial, search.id, "trial-act", comment, ANSWER)
        with st.container(horizontal=True, vertical_alignment="center"):
            for name, other in (("its parent", view.parent), ("the incumbent", view.incumbent)):
                if other is not None and other.number != trial.number:
                    st.page_link(
                        COMPARE,
                        label=f"Compare with {name}",
                        icon=":material/compare_arrows:",
                        query_params={
                            "trials": f"{search.id}.{other.number},{view.reference}",
                            "ref": f"{search.id}.{other.number}",
                        },
                    )
            where = {"search": str(search.id)}
            for label, page, icon, more in (
                ("Live", LIVE, "monitoring", {}),
                ("Lineage", LINEAGE, "account_tree", {}),
                ("Forecast", FORECAST, "timeline", {"a": view.reference}),
                ("Transcript", TRANSCRIPT, "forum", {"trial": str(trial.number)}),
            ):
                st.page_link(
                    page, label=label, icon=f":material/{icon}:", query_params=where | more
                )
            with st.popover("Command line", icon=":material/terminal:", key="trial-commands"):
                st.caption("The same from a terminal, in the folder of the project:")
                st.code("\n".join(command_lines(view)), language="bash", wrap_lines=True)


def command_lines(view: View) -> list[str]:
    """Return the commands that show the trial and do what can be done with it."""
    trial, search = view.trial, view.search
    end = f"--db {shlex.quote(str(settings().workspace.db))}"
    begin = "python -m nas_engine"
    lines = [f"{begin} show {search.id} --trial {trial.number} {end}"]
    lines += [
        f"{begin} trial {search.id} {trial.number} {typed(kind)} {end}"
        for kind in ACTS
        if possible(kind, trial)
    ]
    if trial.state == "proposed":
        lines.append(f"{begin} decide {search.id} {trial.number} approve {end}")
    lines.append(f"{begin} enqueue {search.id} --parent {trial.number} --set KEY=VALUE {end}")
    return lines
