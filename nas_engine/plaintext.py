"""Text from outside made harmless: without signs that nobody sees, and as code for Markdown."""

from __future__ import annotations

import re

from data.spreadsheet import inert

_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)


def readable(text: str) -> str:
    """Return text without control characters and marks that reorder or hide what follows."""
    return _UNSEEN.sub("", text)


def safe_cell(value: object) -> object:
    """Return a cell of CSV; what a spreadsheet could run as a formula gets an apostrophe."""
    return inert(readable(value)) if isinstance(value, str) else value


def fenced(text: str) -> str:
    """Return text as a block of Markdown that shows it as it stands and that it cannot end."""
    shown = readable(text)
    fence = "`" * max(3, 1 + _longest_run(shown))  # CommonMark 4.5: only as long a one ends it
    return f"{fence}text\n{shown}\n{fence}"


def code_span(text: str) -> str:
    """Return text in one line that Markdown shows as it stands; empty where there is nothing."""
    shown = " ".join(readable(text).split())
    fence = "`" * (1 + _longest_run(shown))  # CommonMark 6.1: only as long a one ends it
    return f"{fence} {shown} {fence}" if shown else ""


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def in_line(text: str, limit: int = 300) -> str:
    """Return text in one line, cut."""
    shown = " ".join(readable(text).split())
    return shown if len(shown) <= limit else f"{shown[:limit]}…"
