"""When each step of a trial was taken, and which exchanges with language models were about what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from nas_engine.store.reader import Reader

OF_TRIALS = ("planner", "evaluator")
"""Roles of a language model in the life of a trial; the others answer what people ask beside it."""


class Moments(NamedTuple):
    """When a trial was proposed, decided on and judged, in seconds since 1970."""

    proposed: float
    waited_from: float | None  # of the version that stands; None: it never waited
    decided: float | None
    judged: float | None


class RoleSpend(NamedTuple):
    """What the exchanges of one role came to."""

    role: str
    calls: int
    used: int  # answers
    tokens: int  # reported
    usd: float  # reported
    booked_usd: float  # what counts against the limits


def moments(reader: Reader, search_id: int, numbers: Sequence[int]) -> dict[int, Moments]:
    """Return the moments of some trials of a search, by number."""
    rows = reader.fetch(
        """SELECT p.number, p.created_at, p.waiting_since, p.decided_at, v.created_at
        FROM proposals p LEFT JOIN verdicts v USING (search_id, number)
        WHERE p.search_id = ? AND p.number IN (SELECT value FROM json_each(?))""",
        (search_id, json.dumps(list(numbers))),
    )
    return {number: Moments(*found) for number, *found in rows}


def spend_by_role(reader: Reader, search_id: int) -> list[RoleSpend]:
    """Return what each role of a language model came to in a search, those of trials first."""
    rows = reader.fetch(
        """SELECT role, count(*), sum(outcome = 'used'),
        coalesce(sum(prompt_tokens), 0) + coalesce(sum(completion_tokens), 0),
        total(cost_usd), total(booked_usd)
        FROM llm_calls WHERE search_id = ? GROUP BY role""",
        (search_id,),
    )
    found = [RoleSpend(*row) for row in rows]
    return sorted(found, key=lambda row: (row.role not in OF_TRIALS, row.role))


def beside_trials(reader: Reader, search_id: int) -> list[int]:
    """Return the ids of the exchanges of chats and replays, in order."""
    rows = reader.fetch(
        f"""SELECT id FROM llm_calls WHERE search_id = ?
        AND role NOT IN ({", ".join("?" * len(OF_TRIALS))}) ORDER BY id""",  # noqa: S608
        (search_id, *OF_TRIALS),
    )
    return [call_id for (call_id,) in rows]
