"""What a check of a file has to say: one sentence each."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "choose", "warning", "info"]
LEVELS: dict[Level, str] = {
    "error": "To mend",
    "choose": "To choose",
    "warning": "Worth a look",
    "info": "How it is read",
}
"""The levels, gravest first, and the headings under which they are shown."""


@dataclass(frozen=True)
class Finding:
    """A sentence that says what was found, where, and what to do."""

    level: Level
    text: str
    options: tuple[str, ...] = ()  # of `python -m data.check`; any one of them settles it

    @property
    def blocks(self) -> bool:
        """Whether the file cannot be used before this is settled."""
        return self.level in ("error", "choose")


def option(name: str, *values: str) -> str:
    """Return an option of the command line as a shell reads it."""
    return " ".join((name, *(shlex.quote(value) for value in values)))


def shown(text: str, limit: int = 40) -> str:
    """Return text from a file for a sentence: quoted, on one line, cut."""
    quoted = repr(text)
    return quoted if len(quoted) <= limit else f"{quoted[:limit]}…"
