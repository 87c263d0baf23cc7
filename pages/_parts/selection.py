"""Which trials are chosen: by name, however a table is sorted, cut into pages or grows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

Row = TypeVar("Row")
Key = tuple[int, int]
"""A trial: its search and its number."""
_REFERENCE = re.compile(r"((?P<search>[1-9][0-9]{0,8})\.)?(?P<number>[0-9]{1,9})")


def reference_of(key: Key) -> str:
    """Return how addresses and tables name a trial: 1.5 is trial 5 of search 1."""
    return f"{key[0]}.{key[1]}"


def trial_of(text: str, of: int | None = None) -> Key | None:
    """Return the trial that a text such as 1.5 names; None where it is none.

    Where only one search `of` can be meant, 5 is enough.
    """
    match = _REFERENCE.fullmatch(text.strip())
    if match is None or not (match["search"] or of is not None):
        return None
    return int(match["search"] or of or 0), int(match["number"])


def at_rows(rows: Iterable[int], shown: Sequence[Row]) -> list[Row]:
    """Return what stands at selected rows, by the table that the person saw."""
    return [shown[row] for row in rows if 0 <= row < len(shown)]


def with_rows(chosen: Sequence[Key], shown: Sequence[Key], rows: Iterable[int]) -> list[Key]:
    """Return what is chosen once `rows` of the page `shown` are: other pages' trials stay.

    Those that were chosen keep their order; new ones follow.
    """
    picked = at_rows(rows, shown)
    kept = [key for key in chosen if key not in set(shown) or key in picked]
    return kept + [key for key in picked if key not in set(kept)]
