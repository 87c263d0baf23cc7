"""What waits for the decision of a person, what planning it took, and who was told of decisions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from nas_engine.store.reader import Reader
from nas_engine.store.rows import TrialRow

TOLD = ("edited", "rejected")
"""Decisions of which planners are told."""

LOOKED_AT = 10
"""Exchanges after a decision among which the one that tells of it is looked for."""


@dataclass(frozen=True)
class Waiting:
    """A proposal that waits for a decision."""

    search_id: int
    number: int  # of its trial
    proposal_id: int
    version: int
    since: float
    announced: bool  # in this version, outside of the dashboard
    asked_again: bool


@dataclass(frozen=True)
class Planning:
    """What asking a language model for one trial came to; as booked."""

    calls: int
    tokens: int
    usd: float
    seconds: float
    model: str  # of the newest call


def quoted(comment: str) -> str:
    """Return what a person wrote of a decision as planners are told it."""
    return repr(comment[:300])


def waiting(reader: Reader, search_id: int | None = None) -> list[Waiting]:
    """Return what waits, the oldest first: in a search, or in all that are not archived."""
    rows = reader.fetch(
        """SELECT t.search_id, t.number, p.id, p.version,
        coalesce(p.waiting_since, p.created_at) AS since, p.announced >= p.version, p.asked_again
        FROM trials t JOIN proposals p ON p.id = t.proposal_id
        JOIN searches s ON s.id = t.search_id
        WHERE t.ended_at IS NULL AND t.state = 'proposed'
        AND (t.search_id = ?1 OR ?1 IS NULL AND NOT s.archived)
        ORDER BY since, t.search_id, t.number""",
        (search_id,),
    )
    return [
        Waiting(search, number, proposal, version, since, bool(announced), bool(again))
        for search, number, proposal, version, since, announced, again in rows
    ]


def planning(reader: Reader, search_id: int, numbers: Sequence[int]) -> dict[int, Planning]:
    """Return what planning these trials took; those for which nobody was asked are left out."""
    rows = reader.fetch(
        """SELECT number, count(*), sum(booked_tokens), sum(booked_usd), total(seconds), max(id)
        FROM llm_calls WHERE search_id = ? AND role = 'planner'
        AND number IN (SELECT value FROM json_each(?)) GROUP BY number""",
        (search_id, json.dumps(list(numbers))),
    )
    models = dict(
        reader.fetch(
            "SELECT id, model FROM llm_calls WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps([row[-1] for row in rows]),),
        )
    )
    return {
        number: Planning(calls, tokens, usd, seconds, models[newest])
        for number, calls, tokens, usd, seconds, newest in rows
    }


def told_at(reader: Reader, search_id: int, decided: Sequence[TrialRow]) -> dict[int, int]:
    """Return the trials in whose planning a language model was first told of decisions.

    By the trial that was decided on. One that is not among them has not been told yet, or not in
    the `LOOKED_AT` exchanges after it. Approvals are not told: the results are.
    """
    decided = [trial for trial in decided if trial.decision in TOLD]
    moments = dict(
        reader.fetch(
            """SELECT number, decided_at FROM proposals WHERE search_id = ?
            AND decided_at IS NOT NULL AND number IN (SELECT value FROM json_each(?))""",
            (search_id, json.dumps([trial.number for trial in decided])),
        )
    )
    found = {}
    for trial in decided:
        rows = reader.fetch(
            """SELECT number FROM (SELECT number, created_at, messages FROM llm_calls
                WHERE search_id = ? AND role = 'planner' AND created_at >= ?
                ORDER BY created_at LIMIT ?)
            WHERE number IS NOT ? AND instr(messages, ?) AND instr(messages, ?)
            ORDER BY created_at LIMIT 1""",
            (
                *(search_id, moments.get(trial.number), LOOKED_AT, trial.number),
                *(_in_messages(f"trial {trial.number} ("), _in_messages(quoted(trial.comment))),
            ),
        )
        if rows:
            found[trial.number] = rows[0][0]
    return found


def _in_messages(text: str) -> str:
    """Return text as it stands inside of messages, which are JSON."""
    return json.dumps(text)[1:-1]
