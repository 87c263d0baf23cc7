"""What a check of a file found, on the page."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from data.finding import LEVELS, Finding, Level
from data.quality import Report
from pages._parts.data_look import show_parts
from pages._parts.data_offers import show_offers
from pages._parts.text import count_text, plain, readable

ICONS: dict[Level, str] = {
    "error": ":material/build:",
    "choose": ":material/help:",
    "warning": ":material/warning:",
    "info": ":material/info:",
}


def show_report(report: Report) -> None:
    """Draw what was found: whether the file can be used, sentences by gravity, parts, columns."""
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
        st.markdown("**:material/edit: Done in the copy**")
        st.markdown("\n".join(f"- {plain(text)}" for text in report.done))
    if report.frame is not None and report.split_rows is not None and min(report.split_rows) > 0:
        show_parts(pd.DatetimeIndex(report.frame.index), report.split_rows, "data-file")
    show_columns(report)


def show_findings(level: Level, found: Sequence[Finding]) -> None:
    """Draw the sentences of one level, each above the choices that settle it."""
    if found:
        st.markdown(f"**{ICONS[level]} {LEVELS[level]}**")
        if level == "info":
            st.markdown("\n".join(f"- {plain(finding.text)}" for finding in found))
            return
        for number, finding in enumerate(found):
            st.markdown(f"- {plain(finding.text)}")
            show_offers(finding, f"data-offer-{level}-{number}")


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
        placeholder="–",
        alt="Columns of the file",
    )
