"""Data: which data sets are known and what they are like, and how a file becomes one of them."""

from __future__ import annotations

import streamlit as st

from data import actors, own
from data.quality import Report
from data.registry import DataError, names
from data.table import Table
from pages._parts.data_choices import Made, make_choices
from pages._parts.data_file import (
    File,
    choice_key,
    choose_file,
    choose_reading,
    forget_choices,
    reading_choices,
    report_on,
    show_preview,
    table_of,
)
from pages._parts.data_known import show_dataset, show_known
from pages._parts.data_look import Subject, draw_series, show_look
from pages._parts.data_report import show_report
from pages._parts.opening import FIRST, START
from pages._parts.text import plain, readable

ADDED = "data-added"
KNOWN, ADD = "Data sets", "Add your own"


def show_choices_and_report(file: File) -> tuple[Made, Table, Report] | None:
    """Let a file be described and draw what a check finds; None where it cannot be looked at."""
    reading = choose_reading()
    try:
        first = reading_choices(reading)
        table = table_of(file, first)
        unmended = report_on(table, first, 96, 24)
    except DataError as error:
        st.error(plain(str(error)))
        return None
    show_preview(file, unmended, first.encoding)
    left, right = st.columns([2, 3])
    with left:
        st.subheader("2 Choices", anchor=False)
        try:
            made = make_choices(list(table.columns), reading, unmended)
            report = report_on(table, made.choices, made.seq_len, made.pred_len)
        except DataError as error:
            st.error(plain(str(error)))
            return None
    with right:
        st.subheader("3 Report", anchor=False)
        show_report(report)
    return made, table, report


def show_file_look(file: File, made: Made, table: Table, report: Report) -> None:
    """Draw what the file's series are like, as far as they can be told yet."""
    frame = report.frame
    if frame is None or frame.empty or not len(frame.columns):
        st.info("There is something to look at once the dates can be read.")
        return
    parts = report.split_rows
    if report.frequency is None or report.target is None or parts is None or min(parts) < 1:
        drawn = list(frame.columns[:2])
        draw_series(frame, drawn, None, None, "data-file")
        st.caption(f"{plain(readable(', '.join(drawn)))}; more once what is listed is settled.")
        return
    dataset = own.draft(report, made.choices, file.name, season=made.season)
    identity = f"{table.sha256} {made.choices.model_dump_json()} {dataset.season}"
    show_look(Subject(dataset, frame, identity, "data-file"), (made.seq_len, made.pred_len))


def show_adding(file: File, made: Made, table: Table, report: Report) -> None:
    """Let the file be added under a name, and lead to Start when it was."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.text_input(
        "Name of the data set", key=choice_key("name"), placeholder="letters, digits, . _ -"
    )
    pressed = right.button(
        "Add data set", type="primary", key="data-add", disabled=not report.usable, width="stretch"
    )
    if not report.usable:
        st.caption("It can be added once nothing is left to mend or choose in the report.")
    if pressed:
        try:
            own.add(
                name,
                table,
                file.name,
                made.choices,
                seq_len=made.seq_len,
                pred_len=made.pred_len,
                season=made.season,
            )
        except DataError as error:
            st.error(plain(str(error)))
            return
        st.session_state[ADDED] = name
        st.rerun()  # the table of data sets lists it
    added = st.session_state.get(ADDED)
    if added in names():
        st.success(f"Data set {plain(added)} was added.", icon=":material/check:")
        st.page_link(
            FIRST if st.query_params.get("for") == "first" else START,
            label=f"Start a search with {plain(added)}",
            icon=":material/arrow_forward:",
            query_params={"dataset": added},
        )


def show_known_tab() -> None:
    """Draw the known data sets and the one that is chosen."""
    chosen = show_known()
    if chosen is None:
        st.info(
            "Choose a data set in the table to see its series, seasons, drift and baselines. "
            "A file of your own becomes one under “Add your own”."
        )
    else:
        show_dataset(chosen)


def show_add_tab() -> None:
    """Draw the way from a file to a data set, step by step."""
    if refusal := actors.current().refusal:
        st.info(plain(refusal))
        return
    st.subheader("1 File", anchor=False)
    file = choose_file()
    if file is None:
        st.info(
            "Choose a file to see how it is read. Nothing is changed or guessed: what is unclear "
            "in a file is asked for."
        )
        return
    forget_choices(file)
    checked = show_choices_and_report(file)
    if checked is None:
        return
    st.subheader("4 Look", anchor=False)
    show_file_look(file, *checked)
    st.subheader("5 Add", anchor=False)
    show_adding(file, *checked)


st.title("Data", anchor=False)
for_first = st.query_params.get("for") == "first"  # it was opened to add the data of a first search
known_tab, add_tab = st.tabs([KNOWN, ADD], default=ADD if for_first else KNOWN, key="data-tab")
with known_tab:
    show_known_tab()
with add_tab:
    show_add_tab()
