"""What a training left behind: its files, its log and what it ran on."""

from __future__ import annotations

import stat
from pathlib import Path

import pandas as pd
import streamlit as st

from informer.records import Environment
from pages._parts.text import readable
from pages._parts.trial_view import View, choose_folder

LOG_LINES = 60
MOST_FILES = 200  # that are listed


def show_files(view: View) -> None:
    """Draw the files of a run folder, and where it is; files are not served."""
    folder = choose_folder(view, "trial-files-seed")
    if folder is None:
        return
    st.code(readable(str(folder.path)), language=None, wrap_lines=True)
    frame = files_frame(folder.path)
    if frame.empty:
        st.caption("The folder is empty.")
        return
    st.dataframe(
        frame,
        hide_index=True,
        key="trial-files-table",
        height="content",
        width="content",
        column_config={"Size": st.column_config.NumberColumn("Size", format="bytes")},
        alt=f"{len(frame)} files of the run folder",
    )


def files_frame(folder: Path) -> pd.DataFrame:
    """Return name, kind and size of what lies in a folder, by name; links are not followed."""
    rows = []
    try:
        found = sorted(folder.iterdir())[:MOST_FILES]
    except OSError:
        found = []
    for path in found:
        try:
            status = path.lstat()
        except OSError:  # taken away meanwhile
            continue
        rows.append((readable(path.name), _kind(status.st_mode), status.st_size))
    return pd.DataFrame(rows, columns=["Name", "Kind", "Size"])


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "other"


def show_log(view: View) -> None:
    """Draw the end of a worker's log."""
    folder = choose_folder(view, "trial-log-seed")
    if folder is not None:
        tail = readable(folder.log_tail(LOG_LINES))
        st.code(tail or "The worker left no log.", language=None, wrap_lines=True)


def show_environment(view: View) -> None:
    """Draw what a training ran on."""
    folder = choose_folder(view, "trial-environment-seed")
    if folder is None:
        return
    found = folder.read_environment()
    if found is None:
        st.caption("This run has no record of what it ran on: it was trained before that was kept.")
        return
    st.dataframe(
        environment_frame(found),
        hide_index=True,
        key="trial-environment-table",
        height="content",
        column_config={
            "Fact": st.column_config.TextColumn(width=170),
            "Value": st.column_config.TextColumn(width=620),
        },
        alt="What the training ran on",
    )


def environment_frame(found: Environment) -> pd.DataFrame:
    """Return a row for each fact."""
    data = found.data
    code = found.commit or "not known"
    if found.changed is not None:
        code += ", with changes that were not committed" if found.changed else ", unchanged"
    made = data.generated
    checksum = data.sha256 or (
        f"none: generated, {made.rows:,} rows from {made.start} with seed {made.seed}"
        if made
        else "none"
    )
    rows = [
        *((name, version) for name, version in found.versions.items()),
        ("commit of the project", code),
        ("platform", found.platform),
        ("device", found.device),
        ("threads", str(found.threads)),
        ("seed", str(found.seed)),
        ("data set", data.name),
        ("SHA-256 of the data", checksum),
        *([("file of the data", data.source)] if data.source else []),
        ("rows", f"{data.rows:,}"),
        *((f"{part} rows", f"{a:,} to {b - 1:,}") for part, (a, b) in data.splits.items()),
    ]
    if data.scaling is not None:
        rows.append(("scaling", data.scaling))
    return pd.DataFrame(
        [(readable(fact), readable(value)) for fact, value in rows], columns=["Fact", "Value"]
    )
