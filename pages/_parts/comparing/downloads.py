"""The tab of what can be taken along."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from data.columnar import parquet
from nas_engine.store.reader import Reader, reading
from nas_engine.store.table import Query, kind, records
from pages._parts.choice import Scope
from pages._parts.comparing.differences import columns_shown, difference_table
from pages._parts.differences import ROW
from pages._parts.download import csv_text, file_name, latex, markdown
from pages._parts.opening import settings
from pages._parts.selection import Key


def show(reader: Reader, scope: Scope, chosen: list[Key], reference: Key | None) -> None:
    """Draw what can be taken along: the filtered table, and the table of differences."""
    st.caption("Charts are saved as PNG or SVG by the buttons at their upper right.")
    if scope.query is not None:
        with st.container(horizontal=True):
            st.download_button(
                "All trials that the filter leaves, as CSV",
                _exporter(scope.query),
                file_name=file_name(["trials", *scope.searches[:5]], "csv"),
                mime="text/csv",
                key="compare-csv",
                icon=":material/download:",
                on_click="ignore",
            )
            st.download_button(
                "The same as Parquet",
                parquet_exporter(scope.query),
                file_name=file_name(["trials", *scope.searches[:5]], "parquet"),
                mime="application/vnd.apache.parquet",
                key="compare-parquet",
                icon=":material/download:",
                on_click="ignore",
                help="With the types of all columns: numbers, words, moments.",
            )
    if not chosen:
        return
    trials, base = columns_shown(reader, chosen, reference)
    if (frame := difference_table(reader, scope, trials, base)) is None:
        return
    table = frame.rename(columns={ROW: ""})
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]
    st.markdown("**The table of differences**")
    for form, ending, text in (
        (
            "CSV",
            "csv",
            csv_text(rows),
        ),
        ("Markdown", "md", markdown(table)),
        ("LaTeX", "tex", latex(table)),
    ):
        with st.expander(f"{form}, to copy"):
            st.code(text, language=None, height=260)
            st.download_button(
                f"Download as {form}",
                text,
                file_name=file_name(["differences", *scope.searches[:5]], ending),
                mime="text/plain",
                key=f"compare-differences-{ending}",
                icon=":material/download:",
                on_click="ignore",
            )


def _exporter(query: Query) -> Callable[[], str]:
    workspace = settings().workspace

    def export() -> str:
        with reading(workspace) as reader:
            return csv_text(records(reader, query)) if reader else ""

    return export


def parquet_exporter(query: Query) -> Callable[[], bytes]:
    """Return what writes the trials of a query once they are asked for."""
    workspace = settings().workspace

    def export() -> bytes:
        with reading(workspace) as reader:
            found = list(records(reader, query)) if reader else []
        return parquet(found, {name: kind(name) for name in (found[0] if found else ())})

    return export
