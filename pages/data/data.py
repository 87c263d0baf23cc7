"""Data: which data sets are known, and how a CSV file becomes one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import streamlit as st

from data import own
from data.choices import Choices, Duplicates, Fill, Resample
from data.finding import LEVELS, Finding, Level
from data.intake import read_bytes
from data.limits import MOST_BYTES
from data.openfile import Unchanged
from data.quality import Report, choose, inspect
from data.registry import DataError, Dataset, find, names, own_names
from pages._parts.figures import MOST_DATES, columns_over_time
from pages._parts.live_chart import chart
from pages._parts.opening import START
from pages._parts.text import count_text, plain, readable

FORMATS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y %H:%M", "ISO8601", "%Y%m%d", "s", "ms")
FREQUENCIES = ("min", "15min", "30min", "h", "D", "B", "W", "MS")
ADDED, SEEN = "data-added", "data-seen"


@st.cache_data(max_entries=8, show_spinner="Reading the file…")
def checked(content: bytes, choices: str, seq_len: int, pred_len: int) -> Report:
    """Return the report on a file; `choices` are JSON, which can be compared cheaply."""
    made = Choices.model_validate_json(choices)
    return inspect(read_bytes(content, made), made, seq_len, pred_len)


# -- known data sets ----------------------------------------------------------------------------


def show_known() -> None:
    """Draw the table of data sets, what is wrong with damaged ones, and how to remove one."""
    for sentence in own.damaged().values():
        st.warning(plain(sentence))
    mine = own_names()
    rows = [_row(find(name), name in mine) for name in names()]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key="data-known",
        column_config={
            "Name": st.column_config.TextColumn(pinned=True, width=110),
            "Whose": st.column_config.TextColumn(width=75),
            "Rows": st.column_config.NumberColumn(format="localized", width=80),
            "Forecast": st.column_config.TextColumn(width=260),
            "Description": st.column_config.TextColumn(width=420),
        },
        alt="Known data sets",
    )
    if mine:
        show_removal(mine)
    else:
        st.caption("You have added no data set of your own yet.")


def _row(dataset: Dataset, mine: bool) -> dict[str, Any]:
    return {
        "Name": dataset.name,
        "Whose": "own" if mine else "built in",
        "Rows": sum(dataset.split_rows),
        "Step": dataset.frequency,
        "Season": dataset.season,
        "Forecast": readable(", ".join(dataset.targets)),
        "Past only": readable(", ".join(dataset.past_only)) or "–",
        "Known future": readable(", ".join(dataset.known_future)) or "–",
        "Description": readable(dataset.description),
    }


def show_removal(mine: Sequence[str]) -> None:
    """Let a data set be removed, after a second press."""
    with st.popover("Remove a data set", key="data-remove", icon=":material/delete:"):
        name = st.selectbox("Data set", mine, key="data-remove-name")
        st.caption(
            "Its copy is deleted; the file it came from stays. Searches that used it keep their "
            "results and cannot go on."
        )
        st.button("Remove it for good", key="data-remove-confirmed", on_click=remove, args=(name,))
    if refusal := st.session_state.pop("data-refusal", None):
        st.error(plain(refusal))


def remove(name: str) -> None:
    """Remove a data set of the user's own."""
    try:
        own.remove(name)
    except DataError as error:
        st.session_state["data-refusal"] = str(error)


# -- a file -------------------------------------------------------------------------------------


def choose_file() -> tuple[str, bytes] | None:
    """Return name and content of the file to check, None where there is none yet."""
    left, right = st.columns(2)
    upload = left.file_uploader("Upload a CSV file", "csv", key="data-upload")
    path = right.text_input(
        "Or name one on this machine",
        key="data-path",
        placeholder="/path/to/file.csv",
        disabled=upload is not None,
    )
    right.caption("A line of column names, then a row for each time step; UTF-8.")
    if upload is not None:
        return upload.name, upload.getvalue()
    if not path.strip():
        return None
    try:
        place = Path(path.strip()).expanduser().absolute()
        with Unchanged(place) as file:
            return str(place), file.read(MOST_BYTES)
    except DataError as error:
        st.error(plain(str(error)))
        st.stop()


def forget_choices(content: bytes) -> None:
    """Begin afresh where another file is looked at: its columns are others."""
    digest = hashlib.sha256(content).hexdigest()
    if st.session_state.get(SEEN) != digest:
        st.session_state[SEEN] = digest
        for key in [key for key in st.session_state if str(key).startswith("data-choice-")]:
            del st.session_state[key]
        st.session_state.pop(ADDED, None)


def make_choices(columns: Sequence[str]) -> tuple[Choices, int, int]:
    """Let everything be chosen that a check asks for; where choices conflict, say so and stop."""
    made: dict[str, Any] = {}
    st.markdown("**Dates**")
    with st.grid(2, min_column_width=120, vertical_alignment="bottom"):
        made["date"] = _one("date", "Column of dates", columns, "find it")
        made["date_format"] = _one("date_format", "Written as", FORMATS, "find it", new=True)
        made["frequency"] = _one("frequency", "Frequency", FREQUENCIES, "find it", new=True)
        made["timezone"] = _one("timezone", "Time zone", ("UTC",), "as written", new=True)
    st.markdown("**Mend**")
    with st.grid(2, min_column_width=120, vertical_alignment="bottom"):
        made["duplicates"] = _one("duplicates", "Repeated dates", get_args(Duplicates), "leave")
        made["resample"] = _one("resample", "Resample by", get_args(Resample), "leave")
        made["fill"] = _one("fill", "Fill missing", get_args(Fill), "leave")
        if made["fill"] is not None:
            made["limit"] = st.number_input(
                "Longest run to fill",
                min_value=1,
                value=None,
                key="data-choice-limit",
                placeholder="any",
            )
    st.markdown("**Columns**")
    made["drop"] = _several("drop", "Leave out", columns)
    made["past_only"] = _several("past_only", "Past only: help, but are not forecast", columns)
    made["known_future"] = _several("known_future", "Known in advance", columns)
    parts = {made["date"], *made["drop"], *made["past_only"], *made["known_future"]}
    rest = [name for name in columns if name not in parts]
    made["target"] = _one("target", "Target, where one alone is forecast", rest, "the last")
    left, right = st.columns(2)
    seq_len = left.number_input("Look-back", 1, 4096, 96, key="data-choice-seq_len")
    pred_len = right.number_input("Horizon", 1, 2048, 24, key="data-choice-pred_len")
    try:
        return choose(**made), seq_len, pred_len
    except DataError as error:
        st.error(plain(str(error)))
        st.stop()


def _one(name: str, label: str, options: Sequence[str], none: str, new: bool = False) -> str | None:
    return st.selectbox(
        label,
        options,
        index=None,
        key=f"data-choice-{name}",
        placeholder=none,
        format_func=readable,
        accept_new_options=new,
        help=_meaning(name),
    )


def _several(name: str, label: str, options: Sequence[str]) -> list[str]:
    return st.multiselect(
        label,
        options,
        key=f"data-choice-{name}",
        placeholder="none",
        format_func=readable,
        help=_meaning(name),
    )


def _meaning(name: str) -> str:
    text = Choices.model_fields[name].description or ""
    return plain(text[:1].upper() + text[1:])


# -- the report ---------------------------------------------------------------------------------


def show_report(report: Report) -> None:
    """Draw what was found: whether the file can be used, sentences by gravity, columns, values."""
    blocking = sum(finding.blocks for finding in report.findings)
    if report.usable:
        st.success("The file can be used.", icon=":material/check:")
    else:
        st.warning(
            f"{blocking} thing{'s' * (blocking > 1)} to mend or choose before the file can be used."
        )
    span = f" · {report.first} to {report.last}" if report.first else ""
    step = f" · every {report.frequency}" if report.frequency else ""
    st.caption(plain(f"{count_text(report.rows)} rows{span}{step}"))
    for level in LEVELS:
        show_findings(level, [found for found in report.findings if found.level == level])
    if report.done:
        st.markdown("**Done in the copy**")
        st.markdown("\n".join(f"- {plain(text)}" for text in report.done))
    show_columns(report)


def show_findings(level: Level, found: Sequence[Finding]) -> None:
    """Draw the sentences of one level."""
    if found:
        st.markdown(f"**{LEVELS[level]}**")
        st.markdown("\n".join(f"- {plain(finding.text)}" for finding in found))


def show_columns(report: Report) -> None:
    """Draw a row for each column of the file."""
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(
            {
                "Column": [readable(column.name) for column in report.columns],
                "Part": [column.role for column in report.columns],
                "Kind": [column.kind for column in report.columns],
                "Missing": [column.missing for column in report.columns],
                "Min": [column.minimum for column in report.columns],
                "Mean": [column.mean for column in report.columns],
                "Max": [column.maximum for column in report.columns],
                "Flat": [column.longest_flat for column in report.columns],
            }
        ),
        hide_index=True,
        key="data-columns",
        column_config={
            "Part": st.column_config.TextColumn(width=95),
            "Min": number(format="%.4g"),
            "Mean": number(format="%.4g"),
            "Max": number(format="%.4g"),
            "Flat": number(help="Longest run of equal values"),
        },
        alt="Columns of the file",
    )


def show_values(report: Report) -> None:
    """Draw chosen columns over time."""
    frame = report.frame
    if frame is None or frame.empty:
        return
    options = list(frame.columns)
    drawn = st.multiselect(
        "Columns to draw",
        options,
        default=options[:2],
        max_selections=8,
        key="data-choice-drawn",
        format_func=readable,
    )
    if not drawn:
        st.info("Choose a column to draw.")
        return
    listed = readable(", ".join(drawn))
    if report.frequency is not None and frame.index.is_unique:  # a line must not bridge a gap
        steps = pd.date_range(frame.index[0], frame.index[-1], freq=report.frequency)
        frame = frame.reindex(frame.index.union(steps))
    chart(columns_over_time(frame, drawn), "data-series", f"{listed} over time", height=280)
    if len(frame) > MOST_DATES:
        every = -(-len(frame) // MOST_DATES)
        st.caption(f"One of every {every} rows is drawn.")


def show_adding(
    report: Report, source: str, content: bytes, choices: Choices, lengths: tuple[int, int]
) -> None:
    """Let the file be added under a name, and lead to Start when it was."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.text_input(
        "Name of the data set", key="data-choice-name", placeholder="letters, digits, . _ -"
    )
    pressed = right.button(
        "Add data set", type="primary", key="data-add", disabled=not report.usable, width="stretch"
    )
    if pressed:
        try:
            seq_len, pred_len = lengths
            table = read_bytes(content, choices)
            own.add(name, table, source, choices, seq_len=seq_len, pred_len=pred_len)
        except DataError as error:
            st.error(plain(str(error)))
            return
        st.session_state[ADDED] = name
        st.rerun()  # the table above lists it
    added = st.session_state.get(ADDED)
    if added in names():
        st.success(f"Data set {plain(added)} was added.", icon=":material/check:")
        st.page_link(
            START,
            label=f"Start a search with {plain(added)}",
            icon=":material/arrow_forward:",
            query_params={"dataset": added},
        )


# -- page ---------------------------------------------------------------------------------------

st.title("Data", anchor=False)
show_known()
st.subheader("Add your own", anchor=False)
chosen_file = choose_file()
if chosen_file is None:
    st.info("Nothing is changed or guessed: what is unclear in a file is asked for.")
    st.stop()
file_name, file_content = chosen_file
forget_choices(file_content)
choice_column, report_column = st.columns([2, 3])
try:
    plainly = checked(file_content, Choices().model_dump_json(), 96, 24)
    with choice_column, st.container(border=True):
        choices_made, look_back, horizon = make_choices([c.name for c in plainly.columns])
    outcome = checked(file_content, choices_made.model_dump_json(), look_back, horizon)
except DataError as error:
    with report_column:
        st.error(plain(str(error)))
    st.stop()
with report_column:
    show_report(outcome)
    show_values(outcome)
    show_adding(outcome, file_name, file_content, choices_made, (look_back, horizon))
