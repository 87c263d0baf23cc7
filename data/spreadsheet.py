"""What a spreadsheet that opens a CSV file would run (OWASP, "CSV injection")."""

from __future__ import annotations

import re

_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.]*(e[+-]?[0-9]+)?( %)?", re.IGNORECASE)
_PARTS = re.compile(r"([;|\t\r\n]\s*)")


def inert(text: str) -> str:
    """Return a cell with an apostrophe before each formula that a spreadsheet could find in it.

    Where it takes a semicolon, a tab or a line break for the end of a cell, one begins inside.
    """
    first, *others = _PARTS.split(text)
    parts = [f"'{part}" if at % 2 and _is_formula(part) else part for at, part in enumerate(others)]
    cell = "".join([first, *parts])
    return f"'{cell}" if _is_formula(cell) else cell


def _is_formula(text: str) -> bool:
    """Tell whether a spreadsheet may take a cell for a formula; a signed number is none."""
    return text.startswith(_BEGINNINGS) and not _NUMBER.fullmatch(text)
