"""Tables as files and as text: CSV, Markdown and LaTeX. Cells from outside stay text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from nas_engine.plaintext import readable, safe_cell
from pages._parts.text import unlinked

_LIVE = re.compile(r"([\\|<>*_`\[\]~&$!#])")
"""What GitHub's Markdown reads inside a cell; the rest stays easy to read in the source."""
_SIGNS = {
    "±": r"$\pm$", "−": r"$-$", "–": "--", "★": r"$\star$", "↓": r"$\downarrow$", "Δ": r"$\Delta$",
    "◆": r"$\diamond$", "→": r"$\rightarrow$", "✓": r"$\checkmark$", "✕": r"$\times$",
    "…": r"\dots{}",
}  # fmt: skip
"""What pages write and LaTeX has no letter for; \\checkmark is of amssymb."""


def csv_text(records: Iterable[Mapping[str, object]]) -> str:
    """Return records, which have the same names, as CSV with a head; empty without any."""
    file = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for record in records:
        if writer is None:
            writer = csv.DictWriter(file, list(record), lineterminator="\n")
            writer.writerow({name: safe_cell(name) for name in record})
        writer.writerow({name: safe_cell(value) for name, value in record.items()})
    return file.getvalue()


def markdown(frame: pd.DataFrame) -> str:
    """Return a table as GitHub's Markdown; what Markdown or HTML would read is escaped."""
    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.to_numpy().tolist()]
    escaped = [
        row if position == 1 else [_markdown_cell(cell) for cell in row]
        for position, row in enumerate(rows)
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def latex(frame: pd.DataFrame) -> str:
    """Return a table as LaTeX, for the package booktabs (and amssymb for a tick)."""
    text: str = frame.map(_latex_cell).rename(columns=_latex_cell).to_latex(index=False)
    return text


def _markdown_cell(cell: object) -> str:
    return unlinked(_LIVE.sub(r"\\\1", " ".join(readable(str(cell)).split())))


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def _latex_cell(cell: object) -> str:
    text = " ".join(readable(str(cell)).split())
    return "".join((_LATEX | _SIGNS).get(letter, letter) for letter in text)


def file_name(parts: Sequence[object], ending: str) -> str:
    """Return a name for a download."""
    return f"{'-'.join(str(part) for part in parts)}.{ending}"
