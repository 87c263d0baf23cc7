"""What an earlier search has learned, added to the guidance or the space of a new one."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from nas_engine.findings import Finding, constraint
from nas_engine.guidance import Constraint, steered
from nas_engine.search import ASKING, PlannerName, SearchSpec
from nas_engine.space import SpaceError, dimensions, parse_all, written
from nas_engine.store.rows import SearchRow
from pages._parts.findings import found_in
from pages._parts.opening import is_number, stored
from pages._parts.text import plain, readable

MOST_WORDS = 4000  # letters of guidance
REFUSAL = "start-carried-refusal"


def show_carried(form: str, spec: SearchSpec, like: int | None, planner: PlannerName) -> None:
    """Offer the findings of the search that the address names, else of the one that is duplicated.

    Args:
        form: prefix of the keys of the form's widgets.
        spec: what the form begins with.
        like: the search that is duplicated.
        planner: of the new search.
    """
    asked = st.query_params.get("findings")
    if asked is None and like is None:
        return
    number = like if asked is None else int(asked) if is_number(asked) else None
    with stored() as reader:
        search = reader.search(number) if reader and number is not None else None
        try:
            found = found_in(reader, search) if reader and search else None
        except SpaceError as error:
            st.error(plain(str(error)))
            return
    if search is None or found is None:
        st.error(f"There is no search {plain(str(asked), 40)} to carry findings from.")
        return
    offered = {told(search, finding): finding for finding in (*found.findings, *found.hints)}
    if not offered:
        if asked is not None:
            st.info(f"Search {search.id} has no findings yet that could be carried.")
        return
    with st.expander(
        f"Carry findings of search {search.id}",
        expanded=asked is not None,
        key="start-carry",
        icon=":material/lightbulb:",
    ):
        st.caption(
            "They hold for what that search tried and for its data; here they are advice. What you "
            "add can be edited before the start."
        )
        lines = st.multiselect(
            "Findings",
            list(offered),
            default=[line for line, finding in offered.items() if finding.strong],
            format_func=readable,
            key=f"{form}-carried-{search.id}",
        )
        show_ways(form, spec, planner, lines, [offered[line] for line in lines])


def told(search: SearchRow, finding: Finding) -> str:
    """Return a finding as it is told to another search: with where it comes from."""
    start = search.spec.start()
    source = f"search {search.id} on {start['data.dataset']} (horizon {start['data.pred_len']})"
    caution = f"; {finding.caution}" if finding.caution else ""
    kind = "Found in" if finding.strong else "A hint, not borne out, of"
    return f"{kind} {source}: {finding.sentence}{caution}."


def show_ways(
    form: str,
    spec: SearchSpec,
    planner: PlannerName,
    lines: Sequence[str],
    findings: Sequence[Finding],
) -> None:
    """Draw the buttons that add findings to the guidance or to the space."""
    reads = planner in ASKING
    dims = dimensions(spec)
    bounds = [
        bound
        for finding in findings
        if (bound := constraint(finding, dims.get(finding.condition.key))) is not None
    ]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Add to the guidance",
            key="start-carry-words",
            icon=":material/chat:",
            disabled=not lines or not reads,
            on_click=add_words,
            args=(f"{form}-guidance", spec.guidance, lines),
        )
        st.button(
            "Narrow the space to them",
            key="start-carry-space",
            icon=":material/lock:",
            disabled=not bounds,
            help="; ".join(plain(bound.text) for bound in bounds) or None,
            on_click=add_bounds,
            args=(f"{form}-space", spec, bounds),
        )
        if not reads:
            st.caption(f"The planner {planner} reads no words; the space can be narrowed instead.")
    if refusal := st.session_state.pop(REFUSAL, ""):
        st.error(plain(refusal))


def add_words(key: str, first: str, lines: Sequence[str]) -> None:
    """Add lines to the guidance in the form, as far as there is room."""
    text = str(st.session_state.get(key, first)).strip()
    for line in lines:
        if line in text:
            continue
        longer = f"{text}\n{line}" if text else line
        if len(longer) > MOST_WORDS:
            st.session_state[REFUSAL] = "The guidance has no room for all of them; shorten it."
            break
        text = longer
    st.session_state[key] = text


def add_bounds(key: str, spec: SearchSpec, bounds: Sequence[Constraint]) -> None:
    """Narrow the space in the form by constraints; what it cannot take is said."""
    text = str(st.session_state.get(key, "\n".join(written(spec.space))))
    try:
        given = parse_all(filter(None, map(str.strip, text.splitlines())))
        narrowed = steered(spec.model_copy(update={"space": given}), bounds)
    except SpaceError as error:
        st.session_state[REFUSAL] = str(error)
        return
    st.session_state[key] = "\n".join(written(narrowed.space))
