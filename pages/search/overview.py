"""Overview: all searches with what they have come to, and what can be done with them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from data.registry import find
from nas_engine.amounts import standing_text
from nas_engine.commands import Control, Describe
from nas_engine.liveness import LIVING, engine_state
from nas_engine.search import ASKING, SearchSpec, default_planner
from nas_engine.store.listing import best_so_far, listing
from nas_engine.store.outcomes import outcomes
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow
from nas_engine.store.table import results
from nas_engine.supervisor import Answer
from pages._parts.beginning import address
from pages._parts.describing import say, show_description
from pages._parts.effects import relative_change
from pages._parts.exchange import show_export, show_import, show_imported
from pages._parts.first_search import estimate_text, two_minutes
from pages._parts.head import judged
from pages._parts.opening import (
    COMPARE,
    FIRST,
    LIVE,
    START,
    TRY_IT,
    give,
    leave,
    search_label,
    settings,
    show_answer,
    stored,
)
from pages._parts.origin import show_origin
from pages._parts.people import acting
from pages._parts.renewal import key_now, renew
from pages._parts.searches import (
    OPENED,
    Shown,
    best_by_task,
    found,
    search_columns,
    search_frame,
    seen,
)
from pages._parts.selection import at_rows
from pages._parts.starting import start_and_watch
from pages._parts.text import count_text, error_text, percent_text, plain

TICK_SECONDS = 2.0
ANSWER = "overview-answer"
CHOSEN = "overview-chosen"
DRAWN = "overview-drawn"  # how often the choice was made outside of the table
BOOKED = "For language models; a call without a report is booked at its worst case."
TASKS = 4  # whose best has a place of its own at the top


# -- what is read -------------------------------------------------------------------------------


@st.cache_resource(max_entries=2000, show_spinner=False)
def sparkline(db: str, search_id: int, judged: int, _reader: Reader) -> tuple[float, ...]:
    """Return the best so far of a search; it is another one when a trial has been judged."""
    return best_so_far(_reader, search_id)


@st.cache_resource(max_entries=2000, show_spinner=False)
def standing(db: str, search_id: int, judged: int, _spec: SearchSpec, _reader: Reader) -> str:
    """Return how far a search with costs or bounds is; another text when a trial was judged."""
    if not _spec.objectives[1:] and not _spec.at_most:
        return ""
    return standing_text(outcomes(results(_reader, [search_id])), _spec)


# -- key figures --------------------------------------------------------------------------------


def show_figures(rows: Sequence[Shown]) -> None:
    """Draw what all searches together have come to."""
    archived = sum(row.search.archived for row in rows)
    with st.grid("auto", min_column_width=150, key="overview-figures"):
        for label, value, help_ in (
            ("Searches", count_text(len(rows)), f"{archived} of them archived."),
            ("Running now", count_text(sum(row.works for row in rows)), "An engine works on them."),
            ("Trials done", count_text(sum(row.search.finished for row in rows)), None),
            ("US dollars booked", f"{sum(row.booked_usd for row in rows):.2f}", BOOKED),
        ):
            st.metric(label, value, border=True, help=help_)
    tasks = best_by_task(rows)
    with st.grid("auto", min_column_width=225, key="overview-best"):
        for best in tasks[:TASKS]:
            change = relative_change(best.value, best.baseline)
            st.metric(
                f"Best on {plain(best.task)} ↓",
                error_text(best.value),
                None if change is None else f"{percent_text(change)} vs the best baseline",
                delta_color=judged(change),
                delta_arrow="off",
                border=True,
                height="stretch",
                help=f"val_mse of search {best.search.id}, trial {best.search.incumbent}. Errors "
                "of other data sets, columns or horizons cannot be compared with it.",
            )
    if more := tasks[TASKS:]:
        listed = ", ".join(f"{plain(best.task)} {error_text(best.value)}" for best in more)
        st.caption(f"Best on older tasks: {listed}.")


# -- table --------------------------------------------------------------------------------------


def show_table(rows: Sequence[Shown], reader: Reader) -> None:
    """Draw the searches; chosen rows are kept by the numbers of their searches."""
    numbers = [row.search.id for row in rows]
    db = str(settings().workspace.db)
    # Selected rows are positions: with other rows, or a choice made elsewhere, it is another table.
    shown = f"{numbers}-{st.session_state.get(DRAWN, 0)}"
    key = f"overview-table-{zlib.crc32(shown.encode()):08x}"
    marked = set(st.session_state.get(key_now(CHOSEN), ()))
    chosen = [at for at, number in enumerate(numbers) if number in marked]
    working = sum(row.works for row in rows)
    st.dataframe(
        search_frame(
            rows,
            lambda row: sparkline(db, row.search.id, row.judged, reader),
            lambda row: standing(db, row.search.id, row.judged, row.search.spec, reader),
        ),
        key=key,
        hide_index=True,
        on_select=partial(choose_rows, key, numbers),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": chosen}},
        column_config=search_columns(partial(open_row, numbers)),
        placeholder="–",
        height="content" if len(rows) < 12 else 440,
        alt=f"{len(rows)} searches, newest first; an engine works on {working} of them",
    )


def choose_rows(key: str, numbers: list[int]) -> None:
    """Keep which searches the selected rows are; positions mean the table that was drawn."""
    renew(CHOSEN, at_rows(st.session_state[key].selection.rows, numbers))


def choose_names() -> None:
    """Let the table select the rows of a choice that was made beside it."""
    st.session_state[DRAWN] = st.session_state.get(DRAWN, 0) + 1


def open_row(numbers: list[int]) -> None:
    """Show the search of the row whose button was pressed."""
    for number in at_rows([st.session_state[OPENED].row], numbers):
        st.switch_page(LIVE, query_params={"search": str(number)})


# -- what can be done ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Act:
    """What a button does to each chosen search for which it is possible."""

    label: str
    icon: str
    possible: Callable[[Shown], bool]
    command: Callable[[SearchRow], Control | Describe]
    help: str


ACTS = {
    "resume": Act(
        "Resume",
        ":material/play_arrow:",
        lambda row: (
            row.search.state in ("paused", "stopped")
            or (row.search.state != "completed" and not row.works)
        ),
        lambda search: Control(kind="resume", version=search.version),
        "Goes on from what is recorded.",
    ),
    "pause": Act(
        "Pause",
        ":material/pause:",
        lambda row: row.search.state == "running" and row.works,
        lambda search: Control(kind="pause", version=search.version),
        "No new trials; running ones finish.",
    ),
    "archive": Act(
        "Archive",
        ":material/archive:",
        lambda row: not row.search.archived and not row.works,
        lambda search: Describe(edition=search.edition, archived=True),
        "Hides searches at rest in this list; Restore brings them back. Nothing is deleted.",
    ),
    "restore": Act(
        "Restore",
        ":material/unarchive:",
        lambda row: row.search.archived,
        lambda search: Describe(edition=search.edition, archived=False),
        "Takes searches out of the archive.",
    ),
}


def show_acts(rows: Sequence[Shown]) -> None:
    """Draw the choice of searches and what can be done with those chosen."""
    known = {row.search.id: row for row in rows}
    key = key_now(CHOSEN)
    st.session_state[key] = [n for n in st.session_state.get(key, []) if n in known]
    with st.container(border=True, gap="small"):
        numbers = st.multiselect(
            "Chosen searches",
            list(known),
            format_func=lambda number: search_label(known[number].search, known[number].state),
            key=key,
            placeholder="Choose rows of the table, or searches here",
            on_change=choose_names,
        )
        chosen = [known[number] for number in numbers]
        with st.container(horizontal=True, vertical_alignment="center"):
            show_links(chosen)
            for name, act in ACTS.items():
                possible = [row.search for row in chosen if act.possible(row)]
                st.button(
                    act.label,
                    key=f"overview-{name}",
                    icon=act.icon,
                    on_click=do,
                    args=(act, possible),
                    **acting(not possible, act.help),
                )
            if len(chosen) == 1:
                show_export(chosen[0].search)
    if len(chosen) == 1:
        tags = {tag for row in rows for tag in row.search.tags}
        with st.container(border=True, key="overview-description"):
            show_origin(chosen[0].search)
            show_description(chosen[0].search, sorted(tags), ANSWER)


def do(act: Act, searches: Sequence[SearchRow]) -> None:
    """Do something to searches, one after another, and leave what was answered."""
    answers = []
    for search in searches:
        command = act.command(search)
        if isinstance(command, Describe):
            answers.append(say(command, search.id))
        else:
            answers.append(give(command, search.id))
    ok = all(answer.ok for answer in answers)
    leave(ANSWER, Answer(ok, " ".join(answer.text for answer in answers), None))


def show_links(chosen: Sequence[Shown]) -> None:
    """Draw where one search, or the best trials of several, can be looked at."""
    one = str(chosen[0].search.id) if len(chosen) == 1 else ""
    best = [f"{r.search.id}.{r.search.incumbent}" for r in chosen if r.search.incumbent is not None]
    st.page_link(
        LIVE,
        label="Open",
        icon=":material/monitoring:",
        query_params={"search": one},
        disabled=not one,
    )
    st.page_link(
        START,
        label="Duplicate",
        icon=":material/content_copy:",
        query_params={"like": one},
        disabled=not one,
        help="Opens Start with the settings of this search.",
    )
    st.page_link(
        COMPARE,
        label="Compare the best",
        icon=":material/stacked_line_chart:",
        query_params={"trials": ",".join(best)},
        disabled=not best,
        help="The incumbents of the chosen searches side by side.",
    )


# -- page ---------------------------------------------------------------------------------------


def show_welcome() -> None:
    """Say what this is where there is no search yet, and offer the first one."""
    spec = two_minutes(default_planner(settings().has_key))
    st.markdown(
        "There is no search yet. A search trains one configuration of a forecaster after another: "
        "a planner proposes each, an evaluator accepts or rejects it, and you watch, compare and "
        "overrule."
    )
    with st.grid(3, min_column_width=240, key="overview-first"):
        for heading, told in first_steps(spec):
            with st.container(border=True, height="stretch", gap="xsmall"):
                st.markdown(f"**{heading}**")
                st.caption(told)
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            TRY_IT,
            type="primary",
            icon=":material/rocket_launch:",
            key="overview-try",
            **acting(),
        )
        if st.button(
            "Bring your own data",
            icon=":material/upload_file:",
            key="overview-own",
            help="Data, task and budget in three steps.",
        ):
            st.switch_page(FIRST)
        st.page_link(
            START,
            label="All settings",
            icon=":material/tune:",
            query_params=address(spec),
            help="Opens Start with the settings of the search of two minutes.",
        )
    if pressed:
        start_and_watch(spec)


def first_steps(spec: SearchSpec) -> list[tuple[str, str]]:
    """Return the data, the task and the budget of a search, a heading and a sentence each."""
    config = spec.base()
    facts = find(config.data.dataset)
    needs = "" if spec.planner in ASKING else ", and no key is needed"
    return [
        ("1 Data", f"{plain(facts.description)}. Nothing is downloaded{needs}."),
        (
            "2 Task",
            f"All {len(facts.columns)} columns, {config.data.pred_len} steps ahead from the last "
            f"{config.data.seq_len}. Beside it stand baselines that need no training.",
        ),
        ("3 Budget", f"Two minutes. {estimate_text(spec)}"),
    ]


def draw(ticking: bool) -> None:
    """Draw the page; when the last engine goes, end the ticking with a full run."""
    with stored() as reader:
        rows = seen(listing(reader)) if reader else []
        if reader is None or not rows:
            show_welcome()
            return
        if any(row.works for row in rows) != ticking:
            st.rerun()
        show_figures(rows)
        show_answer(ANSWER)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            words = st.text_input(
                "Filter",
                key="overview-words",
                bind="query-params",
                placeholder="Words in name, tags, notes, data, planner, state",
                label_visibility="collapsed",
                icon=":material/search:",
                max_chars=200,
            )
            archived = st.toggle("Archived too", key="overview-archived", bind="query-params")
        shown = found(rows, words, archived)
        if shown:
            show_table(shown, reader)
            show_acts(shown)
        elif words:
            st.info("No search has all of these words.")
        else:
            st.info("All searches are archived: switch on “Archived too” to see them.")


def working() -> bool:
    """Tell whether an engine works on any search."""
    with stored() as reader:
        engines = reader.engines().values() if reader else ()
        return any(engine_state(engine) in LIVING for engine in engines)


with st.container(horizontal=True, vertical_alignment="center"):
    st.title("Overview", anchor=False)
    show_import()
show_imported()
lives = working()
st.fragment(draw, run_every=TICK_SECONDS if lives else None)(lives)
