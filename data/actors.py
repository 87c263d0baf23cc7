"""Who acts, and whether they may: everything that writes on a person's word asks here.

A command line acts for the user of its process, who may do everything. The dashboard names whom
the session at hand belongs to (`pages/_parts/people.py`); a viewer among them may only look. It
lies this low so that no writer is too low to ask.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """Who acts, as it is kept with what they do."""

    name: str
    refusal: str = ""
    """Why they may not: one sentence. Empty: they may do everything."""


def of_process() -> Actor:
    """Return the user of this process, by number where that has no name."""
    try:
        return Actor(getpass.getuser())
    except (KeyError, OSError):
        return Actor(str(os.getuid()))


_named_by: Callable[[], Actor] = of_process


def name_by(source: Callable[[], Actor]) -> None:
    """Let `source` say from now on who acts in this process, at each moment that it is asked."""
    global _named_by
    _named_by = source


def current() -> Actor:
    """Return who acts at this moment."""
    return _named_by()


def require(error: type[Exception]) -> str:
    """Return the name of who acts; raises `error` with the reason where they may only look."""
    actor = current()
    if actor.refusal:
        raise error(actor.refusal)
    return actor.name
