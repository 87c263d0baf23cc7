"""The file that becomes a data set: chosen, spooled, read once, and shown as it stands."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from data import intake
from data.choices import Choices
from data.quality import Report, choose, inspect
from data.table import Table
from pages._parts.people import login_needed
from pages._parts.text import plain, readable

KINDS = ["csv", "tsv", "txt", "dat", "parquet", "pq"]
ENCODINGS = ("cp1252", "latin-1", "utf-16", "gbk", "shift_jis")
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SPOOLED = "data-spooled"
SEEN = "data-seen"
TURN = "data-turn"

_SHOWN_ROWS, _SHOWN_BYTES, _SHOWN_CELLS = 5, 65_536, 240


@dataclass(frozen=True)
class File:
    """A file on this machine, as it was when it was looked at."""

    path: Path
    name: str  # for the record: as it was uploaded, or the path
    size: int
    changed_ns: int


# -- choosing and reading -----------------------------------------------------------------------


def choose_file() -> File | None:
    """Return the file to check, None where there is none yet; what cannot be opened is said."""
    shared = login_needed()  # a path would lead to whatever this machine's user can read
    left, right = st.columns(2)
    upload = left.file_uploader("Upload a CSV or Parquet file", KINDS, key="data-upload")
    path = right.text_input(
        "Or name one on this machine",
        key="data-path",
        placeholder="/path/to/file.csv",
        disabled=upload is not None or shared,
        help="Where people log in, they upload files." if shared else None,
    )
    right.caption(
        "CSV: a line of column names, then a row for each time step. Parquet: columns of numbers "
        "and one of dates. The file is never changed."
    )
    if upload is not None:
        return _known(spooled(upload), upload.name)
    st.session_state.pop(SPOOLED, None)
    if shared or not path.strip():
        return None
    place = Path(path.strip()).expanduser().absolute()
    return _known(place, str(place))


def spooled(upload: UploadedFile) -> Path:
    """Return a private copy of an upload, which is deleted with the session or the next upload."""
    held = st.session_state.get(SPOOLED)
    if held is None or held[0] != upload.file_id:
        copy = tempfile.NamedTemporaryFile(prefix="upload-")  # noqa: SIM115, lives with the session
        copy.write(upload.getbuffer())
        copy.flush()
        st.session_state[SPOOLED] = held = upload.file_id, copy
    return Path(held[1].name)


def _known(path: Path, name: str) -> File:
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        st.error(plain(f"{name[:200]!r} cannot be read ({cause}); name a CSV or Parquet file."))
        st.stop()
    return File(path, name, found.st_size, found.st_mtime_ns)


def choice_key(name: str) -> str:
    """Return the key of the widget of a choice, which another file has a new one of.

    A browser holds on to the value of a widget whose key stays, whatever the session forgets.
    """
    turn = st.session_state.get(TURN, 0)
    return f"data-choice-{name}-{turn}" if turn else f"data-choice-{name}"


def forget_choices(file: File) -> None:
    """Begin afresh where another file is looked at: its columns are others."""
    if (seen := st.session_state.get(SEEN)) != file:
        st.session_state[SEEN] = file
        if seen is not None:
            st.session_state[TURN] = st.session_state.get(TURN, 0) + 1
        for key in [key for key in st.session_state if str(key).startswith("data-choice-")]:
            del st.session_state[key]
        st.session_state.pop("data-added", None)


def choose_reading() -> dict[str, Any]:
    """Let a person say how the text of a file is to be read, where that is not found by itself."""
    with (
        st.expander("How the file is written", key="data-reading", icon=":material/translate:"),
        st.grid(4, min_column_width=150, vertical_alignment="bottom"),
    ):
        made: dict[str, Any] = {
            "encoding": st.selectbox(
                "Encoding",
                ENCODINGS,
                index=None,
                key=choice_key("encoding"),
                placeholder="UTF-8",
                accept_new_options=True,
                help=meaning("encoding"),
            ),
            "delimiter": st.selectbox(
                "Fields are separated by",
                list(DELIMITERS),
                index=None,
                key=choice_key("delimiter"),
                placeholder="find it",
                format_func=DELIMITERS.__getitem__,
                help=meaning("delimiter"),
            ),
            "decimal": st.selectbox(
                "Decimals follow",
                (".", ","),
                key=choice_key("decimal"),
                format_func={".": "a point: 1.5", ",": "a comma: 1,5"}.__getitem__,
                help=meaning("decimal"),
            ),
        }
        lines = st.text_input(
            "Lines to pass over",
            key=choice_key("skip_lines"),
            placeholder="none, or as 2, 5",
            help=meaning("skip_lines"),
        )
        missing = st.text_input(
            "Stands for missing",
            key=choice_key("missing"),
            placeholder="blank, NA; or as -200, n.d.",
            help=meaning("missing"),
        )
    found = [part.strip() for part in lines.split(",") if part.strip()]
    if not all(part.isdecimal() and len(part) < 10 for part in found):
        st.error("Lines to pass over are numbers of lines with commas between them, as 2, 5.")
        st.stop()
    made["skip_lines"] = tuple(int(part) for part in found)
    made["missing"] = tuple(part.strip() for part in missing.split(",") if part.strip())
    return made


def meaning(name: str) -> str:
    """Return what a choice is about, for the help of its widget."""
    text = Choices.model_fields[name].description or ""
    return plain(text[:1].upper() + text[1:])


@st.cache_resource(max_entries=2, show_spinner="Reading the file…")
def _read(path: str, size: int, changed_ns: int, reading: str) -> Table:
    return intake.read(Path(path), Choices.model_validate_json(reading))


@st.cache_resource(max_entries=3, show_spinner="Checking…")
def _checked(
    sha256: str, reading: str, choices: str, lengths: tuple[int, int], _table: Table
) -> Report:
    return inspect(_table, Choices.model_validate_json(choices), *lengths)


def table_of(file: File, choices: Choices) -> Table:
    """Return what is read of a file, kept for the next run of the page; raises DataError."""
    reading = intake.reading(choices).model_dump_json()
    return _read(str(file.path), file.size, file.changed_ns, reading)


def report_on(table: Table, choices: Choices, seq_len: int, pred_len: int) -> Report:
    """Return the report on a table, kept for the next run of the page; raises DataError."""
    reading = intake.reading(choices).model_dump_json()
    lengths = (seq_len, pred_len)
    return _checked(table.sha256, reading, choices.model_dump_json(), lengths, table)


def reading_choices(made: dict[str, Any]) -> Choices:
    """Return the choices with which a file is first read: what dates its rows may be chosen."""
    dated = {name: st.session_state.get(choice_key(name)) for name in ("date", "time")}
    return choose(**made, **dated)


# -- preview ------------------------------------------------------------------------------------


def show_preview(file: File, report: Report, encoding: str | None) -> None:
    """Draw the first and last rows as the file has them, beside how they are read."""
    with st.expander("First and last rows, as written and as read", key="data-preview"):
        left, right = st.columns(2)
        left.caption("As the file has them")
        try:
            left.code("\n".join(written(file, encoding or "utf-8-sig")), language=None)
        except (OSError, LookupError) as error:
            left.info(plain(f"The file cannot be shown: {error}."))
        right.caption("As they are read")
        right.dataframe(
            as_read(report.frame) if report.frame is not None else pd.DataFrame(),
            key="data-preview-read",
            alt="First and last rows as they are read",
        )


def as_read(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the first and last rows of (T, C) with dates as text."""
    some = frame
    if len(frame) > 2 * _SHOWN_ROWS:
        some = pd.concat((frame.iloc[:_SHOWN_ROWS], frame.iloc[-_SHOWN_ROWS:]))
    shown = some.iloc[:, :30].rename(columns=readable)
    return shown.set_axis(pd.Index(some.index.astype(str), name="date"))


def written(file: File, encoding: str) -> list[str]:
    """Return the first and last lines of a text file, cut; a Parquet file has none.

    Raises:
        OSError: it cannot be read.
        LookupError: the encoding is not known.
    """
    with file.path.open("rb") as opened:
        head = opened.read(_SHOWN_BYTES)
        if head.startswith(b"PAR1"):
            return ["A Parquet file, which has no lines."]
        opened.seek(max(len(head), file.size - _SHOWN_BYTES))
        tail = opened.read(_SHOWN_BYTES)
    first = head.decode(encoding, "replace").splitlines()
    if not tail:  # all of the file has been read
        most = 2 * _SHOWN_ROWS + 1
        lines = (
            first if len(first) <= most else [*first[: _SHOWN_ROWS + 1], "…", *first[-_SHOWN_ROWS:]]
        )
    else:
        last = tail.decode(encoding.removesuffix("-sig"), "replace").splitlines()
        lines = [*first[: _SHOWN_ROWS + 1], "…", *last[-_SHOWN_ROWS:]]
    return list(_cut(lines))


def _cut(lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield readable(line if len(line) <= _SHOWN_CELLS else f"{line[:_SHOWN_CELLS]}…")
