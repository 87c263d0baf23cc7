"""What a spreadsheet that opens a CSV file would run (OWASP, "CSV injection")."""

from __future__ import annotations

import re

_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.]*(e[+-]?[0-9]+)?( %)?", re.IGNORECASE)


def is_formula(text: str) -> bool:
    """Tell whether a spreadsheet may take a cell for a formula; a signed number is none."""
    return text.startswith(_BEGINNINGS) and not _NUMBER.fullmatch(text)
