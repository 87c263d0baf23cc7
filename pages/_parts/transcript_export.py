"""The transcript as a file: of what a filter leaves, or of the whole search."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

import streamlit as st

from nas_engine.store.reader import reading
from nas_engine.store.rows import SearchRow
from nas_engine.store.table import ALL, Query, keys
from nas_engine.transcript import Format, exported
from pages._parts.download import file_name
from pages._parts.opening import settings
from pages._parts.selection import Key

MOST = 64 * 2**20
"""Characters of a download, which stays in the memory of the dashboard while it is fetched."""
FORMS: dict[Format, tuple[str, str]] = {
    "md": ("Markdown", "text/markdown"),
    "jsonl": ("JSON Lines", "application/x-ndjson"),
}


def show_export(search: SearchRow, shown: Sequence[Key]) -> None:
    """Draw the downloads; each file is made when it is asked for."""
    with st.popover("Download", icon=":material/download:", key="transcript-download"):
        st.caption(
            "Every step and exchange, as stored: Markdown to read, JSON Lines for programs. "
            f"From a terminal: `python -m nas_engine transcript {search.id}`"
        )
        for scope, chosen, label in (
            ("shown", shown, f"Trials that the filter leaves: {len(shown):,}"),
            ("all", None, "The whole search, chats and replays included"),
        ):
            st.markdown(f"**{label}**")
            with st.container(horizontal=True):
                for form, (name, mime) in FORMS.items():
                    st.download_button(
                        name,
                        _exporter(search, form, chosen),
                        file_name=file_name(["transcript", search.id, scope], form),
                        mime=mime,
                        key=f"transcript-{scope}-{form}",
                        icon=":material/download:",
                        on_click="ignore",
                    )


def _exporter(search: SearchRow, form: Format, chosen: Sequence[Key] | None) -> Callable[[], str]:
    workspace = settings().workspace

    def export() -> str:
        with reading(workspace) as reader:
            if reader is None:
                return ""
            everything = Query((search.id,), limit=ALL)
            wanted = keys(reader, everything) if chosen is None else sorted(chosen)
            pieces = exported(reader, search, form, wanted, beside=chosen is None)
            return bounded(pieces, search.id, form, MOST)

    return export


def bounded(pieces: Iterable[str], search_id: int, form: Format, most: int) -> str:
    """Return the pieces up to a size; where they are more, a last line says how to get the rest."""
    kept: list[str] = []
    for piece in pieces:
        most -= len(piece)
        if most < 0:
            rest = (
                "The file ends here, as it is large; all of it is written by "
                f"python -m nas_engine transcript {search_id} --format {form} --output FILE"
            )
            kept.append(json.dumps({"kind": "cut", "problem": rest}) if form == "jsonl" else rest)
            break
        kept.append(piece)
    return "".join(kept)
