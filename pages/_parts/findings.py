"""What a search has learned: a table of findings, and what can be done with one."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from nas_engine.comparisons import of_results
from nas_engine.evaluator import Noise
from nas_engine.findings import FALSE, Finding, Found, constraint, learned
from nas_engine.search import SearchSpec
from nas_engine.space import SpaceError, space
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow
from nas_engine.store.table import Results
from pages._parts.all_trials import BY_MARK, all_results, mean_seconds_and_noise
from pages._parts.opening import COMPARE, START
from pages._parts.selection import at_rows
from pages._parts.steering import put_into_box
from pages._parts.text import percent_text, plain

MOST_COMPARED = 20  # trials that a link puts side by side
HELP = (
    "Each trial is compared with its parent; differences inside the noise are ties. p: how easily "
    "the trials that moved into a condition, or out of it, would differ so much by chance from the "
    "other trials of the same parents (aligned rank test). False rate: the share of false ones to "
    "be expected among all that are as strong, over all conditions that were tried "
    f"(Benjamini-Hochberg); a finding has at most {FALSE:.0%}, the rest are hints. Sign test: how "
    "easily so many would agree by chance. Beside a lucky parent it finds too much, so it makes a "
    "hint only where no trial of the same parents was left to compare with."
)


def found_in(reader: Reader, search: SearchRow) -> Found:
    """Return what a search has learned, computed anew when its results have changed."""
    _, noise = mean_seconds_and_noise(reader, search.id)
    return _learned(all_results(reader, [search.id]), search.spec, noise)


@st.cache_resource(
    max_entries=8,
    show_spinner=False,
    hash_funcs=BY_MARK | {SearchSpec: lambda spec: spec.model_dump_json(), Noise: hash},
)
def _learned(results: Results, spec: SearchSpec, noise: Noise | None) -> Found:
    return learned(of_results(results), spec, noise)


def show_findings(reader: Reader, search: SearchRow) -> None:
    """Draw the findings, on request with the hints, and what can be done with a chosen one."""
    try:
        found = found_in(reader, search)
    except SpaceError as error:
        st.error(plain(str(error)))
        return
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.subheader("Findings", anchor=False, help=HELP, width="content")
        hinted = st.toggle(
            f"Hints ({len(found.hints)})",
            value=not found.findings,
            key=f"steer-hints-{search.id}-{bool(found.findings)}",
            disabled=not found.hints,
            help="What the trials point to but do not bear out yet.",
        )
        st.page_link(
            START,
            label="Carry to a new search",
            icon=":material/arrow_forward:",
            query_params={"findings": str(search.id)},
            disabled=not found.findings and not found.hints,
        )
    st.caption(basis_text(found))
    shown = [*found.findings, *(found.hints if hinted else ())]
    if not shown:
        return
    key = f"steer-findings-{search.id}-{zlib.crc32(repr(shown).encode())}"
    texts = [finding.condition.text for finding in shown]
    st.dataframe(
        findings_frame(shown),
        key=key,
        hide_index=True,
        on_select=partial(_choose, key, search.id, texts),
        selection_mode="single-row",
        column_config=_COLUMNS,
        placeholder="–",
        height="content" if len(shown) < 12 else 440,
        alt=f"Findings and hints of search {search.id}, the most certain first; select one to see "
        "its trials",
    )
    chosen = st.session_state.get(f"steer-finding-{search.id}")
    finding = next((one for one in shown if one.condition.text == chosen), None)
    if finding is None:
        st.caption("Select a finding to compare its trials or to make it a constraint.")
    else:
        show_finding(search, finding)


def basis_text(found: Found) -> str:
    """Return what the findings rest on, in one line."""
    if not found.compared:
        return "No trial has a result beside its parent's yet: there is nothing to learn from."
    noise = "" if found.noise_known else " The noise is not known yet: every difference counts."
    sure = (
        f"at most {FALSE:.0%} of the findings should be false"
        if found.findings
        else "none is certain enough to be called a finding yet"
    )
    return (
        f"Tested {found.tested} condition{'s' * (found.tested != 1)} on {found.compared:,} "
        f"trial{'s' * (found.compared != 1)} beside their parents; "
        f"{sure}.{noise}"
    )


def findings_frame(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return one row for each finding."""
    return pd.DataFrame(
        [
            {
                "Strength": "● finding" if finding.strong else "○ hint",
                "Condition": finding.condition.text,
                "Effect": "▼ helped" if finding.helps else "▲ hurt",
                "Share": 100 * len(finding.supporting) / finding.decided,
                "Trials": f"{len(finding.supporting)} of {finding.decided}",
                "Ties": len(finding.ties),
                "Median": percent_text(finding.effect),
                "Other changes": f"{finding.others[0]} of {finding.others[1]}",
                "p": finding.p,
                "False rate": finding.rate,
                "Sign test": finding.sign_p,
                "Alone": finding.alone,
                "Caution": finding.caution,
            }
            for finding in findings
        ]
    )


_COLUMNS = {
    "Strength": st.column_config.TextColumn(width=90),
    "Condition": st.column_config.TextColumn(width=190),
    "Share": st.column_config.ProgressColumn(
        "Support", min_value=0, max_value=100, format="%.0f %%", width=110
    ),
    "Median": st.column_config.TextColumn(
        help="Improvement of val_mse by the condition over its absence, the median of its trials"
    ),
    "Other changes": st.column_config.TextColumn(
        help="Trials of the same parents with other changes, and how many of them went the same way"
    ),
    "p": st.column_config.NumberColumn(format="%.2g"),
    "False rate": st.column_config.NumberColumn(format="%.2g"),
    "Sign test": st.column_config.NumberColumn(format="%.2g"),
    "Alone": st.column_config.NumberColumn(help="Trials that changed this setting alone"),
}


def _choose(key: str, search_id: int, texts: Sequence[str]) -> None:
    """Choose the finding of a selected row; positions mean the table that was shown."""
    chosen = at_rows(st.session_state[key].selection.rows, texts)
    st.session_state[f"steer-finding-{search_id}"] = chosen[0] if chosen else None


def show_finding(search: SearchRow, finding: Finding) -> None:
    """Draw a finding in words, the way to its trials, and the constraint that keeps to it."""
    with st.container(border=True, key="steer-finding"):
        st.markdown(f"**{plain(finding.sentence)}**")
        st.caption(plain(beside_text(finding)))
        with st.container(horizontal=True, vertical_alignment="center"):
            for name, numbers in (("for it", finding.supporting), ("against it", finding.opposing)):
                if numbers:
                    show_comparison(search.id, name, numbers)
            bound = constraint(finding, space(search.spec).get(finding.condition.key))
            if st.button(
                "Make it a constraint",
                key="steer-make-constraint",
                icon=":material/lock:",
                disabled=bound is None,
                help="Puts it into the box above." if bound else "No bound or value says this.",
                on_click=put_into_box,
                args=(search.id, bound.text if bound else ""),
            ):
                st.rerun()


def beside_text(finding: Finding) -> str:
    """Return how other changes did, and what else may be the cause."""
    again, others = finding.others
    if finding.alone:
        beside = f"{finding.alone} of its trials changed this setting alone"
        beside += f"; {finding.caution}" if finding.caution else ""
    else:
        beside = f"It was never changed alone: {finding.caution}"
    return f"Of {others} other changes to the same parents {again} went the same way. {beside}."


def show_comparison(search_id: int, name: str, numbers: Sequence[int]) -> None:
    """Link to Compare with trial 0 and the newest of these trials."""
    newest = sorted({0, *numbers[-MOST_COMPARED + 1 :]})
    st.page_link(
        COMPARE,
        label=f"Compare the {len(numbers)} trials {name}",
        icon=":material/compare_arrows:",
        query_params={"trials": ",".join(f"{search_id}.{number}" for number in newest)},
    )
