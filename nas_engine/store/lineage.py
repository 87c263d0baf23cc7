"""Which trial was made from which: the accepted ones of a search, what leads to them, children.

A proposal that names no parent changes the starting configuration, which is that of trial 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from informer.config import Value
from nas_engine.store.reader import Reader

_PARENT = "CASE WHEN p.number = 0 THEN NULL ELSE coalesce(p.parent, 0) END"
_NOT_ACCEPTED = "t.ended_at IS NOT NULL AND coalesce(v.accepted, 0) = 0"
_JOINED = """
    proposals p JOIN trials t ON t.search_id = p.search_id AND t.number = p.number
    LEFT JOIN verdicts v ON v.search_id = p.search_id AND v.number = p.number
"""


@dataclass(frozen=True)
class Step:
    """A trial as a change of its parent."""

    number: int
    parent: int | None  # None: it is trial 0
    state: str
    accepted: bool | None  # None: not judged
    source: str
    val_mse: float | None
    seeds: int
    changes: dict[str, Value]
    differences: dict[str, Value]  # the configuration, where it is not that of trial 0


@dataclass(frozen=True)
class Counts:
    """How many trials there are of each kind."""

    accepted: int
    rejected: int  # have ended without being accepted, for whatever reason
    open: int  # have not ended

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both together."""
        return Counts(
            self.accepted + other.accepted, self.rejected + other.rejected, self.open + other.open
        )


def offspring(reader: Reader, search_id: int) -> dict[int | None, Counts]:
    """Return how many children each trial has of each kind; trial 0 is the child of None."""
    rows = reader.fetch(
        f"""SELECT {_PARENT} AS parent, coalesce(sum(v.accepted), 0), sum({_NOT_ACCEPTED}),
        sum(t.ended_at IS NULL AND coalesce(v.accepted, 0) = 0)
        FROM {_JOINED} WHERE p.search_id = ? GROUP BY parent""",  # noqa: S608
        (search_id,),
    )
    return {parent: Counts(*numbers) for parent, *numbers in rows}


def family(reader: Reader, search_id: int, most: int, rejected: bool) -> list[Step]:
    """Return the trials that a tree of changes is drawn from, by number.

    They are trial 0, the incumbent and the `most` accepted trials with the lowest val_mse, as many
    rejected ones where `rejected` asks for them, and every trial that leads to one of these.
    """
    return _steps(
        reader,
        f"""WITH RECURSIVE
        accepted AS (SELECT t.number FROM {_JOINED} WHERE p.search_id = ?1 AND v.accepted = 1
            ORDER BY t.val_mse IS NULL, t.val_mse, t.number LIMIT ?2),
        rejected AS (SELECT t.number FROM {_JOINED} WHERE p.search_id = ?1 AND {_NOT_ACCEPTED}
            ORDER BY t.val_mse IS NULL, t.val_mse, t.number LIMIT ?3),
        kept(number) AS (
            SELECT 0 UNION SELECT incumbent FROM searches WHERE id = ?1
            UNION SELECT number FROM accepted UNION SELECT number FROM rejected
            UNION SELECT p.parent FROM kept JOIN proposals p
                ON p.search_id = ?1 AND p.number = kept.number WHERE p.parent IS NOT NULL)
        """,  # noqa: S608
        "p.number IN (SELECT number FROM kept)",
        (search_id, most, most if rejected else 0),
    )


def children(reader: Reader, search_id: int, number: int) -> list[Step]:
    """Return the trials that were made from one, by number."""
    return _steps(reader, "", f"{_PARENT} = ?2", (search_id, number))


def neighbours(reader: Reader, search_id: int, number: int) -> tuple[int | None, int | None]:
    """Return the numbers of the trials before and after one."""
    ((before, after),) = reader.fetch(
        """SELECT (SELECT max(number) FROM trials WHERE search_id = ?1 AND number < ?2),
        (SELECT min(number) FROM trials WHERE search_id = ?1 AND number > ?2)""",
        (search_id, number),
    )
    return before, after


def _steps(reader: Reader, common: str, where: str, parameters: Sequence[object]) -> list[Step]:
    rows = reader.fetch(
        f"""{common} SELECT p.number, {_PARENT}, t.state, v.accepted, p.source, t.val_mse, t.seeds,
        p.changes, p.differences
        FROM {_JOINED} WHERE p.search_id = ?1 AND {where} ORDER BY p.number""",  # noqa: S608
        parameters,
    )
    return [
        Step(
            number=number,
            parent=parent,
            state=state,
            accepted=None if accepted is None else bool(accepted),
            source=source,
            val_mse=val_mse,
            seeds=seeds,
            changes=json.loads(changes),
            differences=json.loads(differences),
        )
        for number, parent, state, accepted, source, val_mse, seeds, changes, differences in rows
    ]
