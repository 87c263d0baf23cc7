"""The table of the trials that can be compared: one page of them, whose rows can be selected."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from nas_engine.liveness import engine_state
from nas_engine.standing import as_seen
from nas_engine.store.reader import Reader
from nas_engine.store.rows import TrialRow
from nas_engine.store.table import start_configs
from pages._parts import tables
from pages._parts.address import mirrored, number, words
from pages._parts.choice import CHOSEN, Scope, best, choose, matching_trials
from pages._parts.opening import NO_TRIAL, nothing_yet
from pages._parts.selection import Key, with_rows

PAGE_ROWS = 50
SETTING_COLUMNS = 3  # of those that vary most, unasked
DRAWN = "compare-drawn"  # what the table showed, and how often it was replaced


def show_table(reader: Reader, scope: Scope, chosen: Sequence[Key], reference: Key | None) -> None:
    """Draw one page of the trials in scope, whose rows can be selected."""
    assert scope.query is not None, "the caller has asked"
    found = matching_trials(reader, scope)
    if not (total := len(found)):
        if scope.query.terms:
            st.info("No trial matches this filter.")
        else:
            nothing_yet(NO_TRIAL, scope.searches[0])
        return
    pages = -(-total // PAGE_ROWS)
    at = int(number("page", 1, 1, pages))
    first = (at - 1) * PAGE_ROWS
    rows = seen(reader, reader.listed(found[first : first + PAGE_ROWS]))
    names, _ = columns_shown(scope)
    frame = tables.frame_of(rows, names, facts_of(reader, scope, rows, reference))
    shown = [(row.search_id, row.number) for row in rows]
    key, selected = _table_key(shown, chosen)
    st.dataframe(
        frame,
        key=key,
        hide_index=True,
        column_config={
            name: (tables.COLUMNS.get(name) or tables.setting_column(name)).shown for name in names
        },
        placeholder="–",
        height="content" if len(rows) < 10 else 330,
        on_select=lambda: choose(
            with_rows(st.session_state[CHOSEN], shown, st.session_state[key].selection.rows)
        ),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": selected, "columns": []}},
        alt=f"Trials {first + 1} to {first + len(rows)} of {total}, sorted by "
        f"{scope.query.sort}; select rows to compare them",
    )
    top = best(reader, scope, scope.query, 5)
    _show_paging(scope, first, total, pages, at, shown, chosen, top)


def columns_shown(scope: Scope) -> tuple[list[str], list[str]]:
    """Return the names of the columns that the address asks for, and those that are default."""
    figures = figures_shown(scope)
    default = [*figures, *scope.settings[:SETTING_COLUMNS]]
    known = {*figures, *scope.settings}
    return [name for name in words("columns") if name in known] or default, default


def figures_shown(scope: Scope) -> list[str]:
    """Return the names of the columns that are no settings."""
    at = tables.OF_ANY_SEARCH.index("val_mae")
    costs = tables.costs_shown(scope.known[key].spec for key in scope.searches)
    return [*tables.OF_ANY_SEARCH[:at], *costs, *tables.OF_ANY_SEARCH[at:]]


def facts_of(
    reader: Reader, scope: Scope, rows: Sequence[TrialRow], reference: Key | None
) -> tables.Facts:
    """Return what a table says of trials besides their rows."""
    parents = {(row.search_id, row.parent) for row in rows if row.parent is not None}
    found = reader.listed([*sorted(parents), *([reference] if reference else [])])
    configs = {(row.search_id, row.number): row for row in found}
    held = configs[reference].val_mse if reference in configs else None
    searches = {row.search_id for row in rows}
    return tables.Facts(
        incumbents={key: scope.known[key].incumbent for key in searches},
        references={
            key: held if reference and scope.comparable(key, reference[0]) else None
            for key in searches
        },
        starts=start_configs(reader, sorted(searches)),
        configs={key: row.config for key, row in configs.items()},
        bounds={key: scope.known[key].spec.at_most for key in searches},
    )


def seen(reader: Reader, rows: Sequence[TrialRow]) -> list[TrialRow]:
    """Return trials as they are to be seen at this moment: none runs without an engine."""
    engines = {key: engine_state(reader.engine(key)) for key in {row.search_id for row in rows}}
    return [as_seen([row], engines[row.search_id])[0] for row in rows]


def _table_key(shown: list[Key], chosen: Sequence[Key]) -> tuple[str, list[int]]:
    """Return the key of the table and the positions that are selected in it.

    A table keeps positions, whatever it shows: with other rows, or another selection than by its
    own rows, it must be another table.
    """
    selected = [position for position, key in enumerate(shown) if key in set(chosen)]
    before, version = st.session_state.get(DRAWN, (None, 0))
    key = f"compare-table-{version}"
    state = st.session_state.get(key)
    held = sorted(state.selection.rows) if state else None
    if before != shown or held != selected:
        version += 1
    st.session_state[DRAWN] = shown, version
    return f"compare-table-{version}", selected


def _show_paging(
    scope: Scope,
    first: int,
    total: int,
    pages: int,
    at: int,
    shown: list[Key],
    chosen: Sequence[Key],
    top: list[Key],
) -> None:
    names, default = columns_shown(scope)
    with st.container(horizontal=True, vertical_alignment="center"):
        if pages > 1:
            st.pagination(pages, **mirrored("page", at, 1))
        st.caption(
            f"{first + 1:,}–{first + len(shown):,} of {total:,} trials",
            width="content",
        )
        st.space("stretch")
        with st.popover("Columns", icon=":material/view_column:"):
            st.multiselect(
                "Columns",
                [*figures_shown(scope), *scope.settings],
                help="Figures, and the settings that are not the same in all trials.",
                **mirrored("columns", names, default),
            )
        st.button(
            f"Best {len(top)}", key="compare-best", disabled=not top, on_click=choose, args=(top,)
        )
        st.button(
            "These rows",
            key="compare-these",
            on_click=choose,
            args=([*chosen, *(key for key in shown if key not in set(chosen))],),
        )
        st.button("None", key="compare-none", disabled=not chosen, on_click=choose, args=([],))
