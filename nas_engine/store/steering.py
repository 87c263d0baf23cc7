"""What became of what people told a search: proposals that keep it, questions that repeat it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import orjson

from informer.config import ConfigError, Value, fields, from_flat
from informer.cost import parameters
from nas_engine.guidance import LIMITS, Constraint
from nas_engine.machine import memory_needed
from nas_engine.store.reader import Reader

NEWEST = 200
"""Proposals that are looked at, the newest: of each the whole configuration is read."""
QUESTIONS = 50
"""Questions to the planner in which words are looked for, after they were given."""


@dataclass(frozen=True)
class Proposed:
    """A proposal of a planner, as the planner made it."""

    number: int
    config: dict[str, Value]
    parameters: int | None  # of its trainings, as is the next; None: there is none yet
    seconds: float | None


def proposed_since(reader: Reader, search_id: int, moment: float) -> list[Proposed]:
    """Return the newest proposals of planners after a moment, the newest first.

    What people enqueued, edited or had drafted is their own affair.
    """
    rows = reader.fetch(
        """SELECT p.number, p.config,
        (SELECT max(r.parameters) FROM runs r
            WHERE r.search_id = p.search_id AND r.number = p.number AND r.kind = 'scratch'),
        (SELECT max(r.seconds) FROM runs r
            WHERE r.search_id = p.search_id AND r.number = p.number AND r.kind = 'scratch')
        FROM proposals p WHERE p.search_id = ? AND p.created_at > ?
        AND p.source NOT IN ('default', 'human') AND NOT p.drafted
        AND coalesce(p.decision, '') <> 'edited'
        ORDER BY p.number DESC LIMIT ?""",
        (search_id, moment, NEWEST),
    )
    return [Proposed(number, orjson.loads(config), *run) for number, config, *run in rows]


def keeps(constraint: Constraint, proposed: Proposed) -> bool:
    """Tell whether a proposal keeps a constraint; a setting without a part to play keeps all."""
    if constraint.key not in LIMITS:
        active = fields()[constraint.key].active(proposed.config)
        return not active or constraint.allows(proposed.config[constraint.key])
    assert constraint.high is not None, "a limit has an upper bound"
    if constraint.key == "trial_minutes":  # of which a planner sees an estimate alone
        return proposed.seconds is None or proposed.seconds <= 60 * constraint.high
    if constraint.key == "parameters" and proposed.parameters is not None:
        return proposed.parameters <= constraint.high
    try:
        config = from_flat(proposed.config)
    except ConfigError:  # of a search from before a rule
        return False
    if constraint.key == "parameters":
        return parameters(config) <= constraint.high
    return memory_needed(config) <= constraint.high * 1e6


def first_told(reader: Reader, search_id: int, words: str, since: float) -> int | None:
    """Return the trial in the question for which a planner was first told these words.

    Only the first questions after the moment `since` are read; None: it is in none of them.
    """
    # What people wrote is told in quotation marks, sentences of constraints are not.
    forms = [json.dumps(text)[1:-1] for text in (words, repr(words))]
    rows = reader.fetch(
        """SELECT number FROM (
            SELECT id, number, messages FROM llm_calls
            WHERE search_id = ?1 AND role = 'planner' AND number IS NOT NULL AND created_at >= ?2
            ORDER BY id LIMIT ?3)
        WHERE instr(messages, ?4) OR instr(messages, ?5) ORDER BY id LIMIT 1""",
        (search_id, since, QUESTIONS, *forms),
    )
    return rows[0][0] if rows else None
