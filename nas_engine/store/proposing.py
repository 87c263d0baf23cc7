"""Proposals as the engine writes them: made, decided on, asked for anew, edited.

Every function is one transaction, of which a repetition changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Literal

from informer.config import RunConfig, Value
from nas_engine.proposals import Proposal
from nas_engine.store.derived import differing
from nas_engine.store.schema import storable
from nas_engine.store.writer import Writer


def propose(
    writer: Writer,
    search_id: int,
    number: int,
    proposal: Proposal,
    config: RunConfig,
    waiting: bool = False,
    author: str = "",
    drafted: bool = False,
) -> int:
    """Create a trial from its proposal and return the proposal's id.

    It waits for a decision, or is queued: approved by `author` where a person made it. What a
    chat has `drafted` waits and holds up no other trial. Where the trial exists, its proposal
    is returned as it stands: planning is not repeated.
    """
    with writer.transaction():
        if (existing := writer.read.trial(search_id, number)) is not None:
            return existing.proposal_id
        now = time.time()
        decision = None if waiting else "approved" if author else "auto"
        changes = json.dumps(proposal.changes)
        differences = _differences(writer, search_id, number, config)
        row = writer.execute(
            """INSERT INTO proposals (search_id, number, parent, source, step_type, hypothesis,
            reasons, changes, original, config, decision, author, created_at, decided_at,
            expected_low, expected_high, differences, waiting_since, drafted)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
            (
                search_id,
                number,
                proposal.parent,
                proposal.source,
                proposal.step_type,
                storable(proposal.hypothesis),
                storable(proposal.reasons),
                changes,
                changes,
                json.dumps(config.flat()),
                decision,
                author,
                now,
                None if waiting else now,
                *(proposal.expected or (None, None)),
                *(differences, now if waiting else None, drafted),
            ),
        )
        assert row is not None
        writer.execute(
            """INSERT INTO trials (search_id, number, proposal_id, state, created_at)
            VALUES (?, ?, ?, ?, ?)""",
            (search_id, number, row[0], "proposed" if waiting else "queued", now),
        )
        return int(row[0])


def decide(
    writer: Writer,
    proposal_id: int,
    version: int,
    decision: Literal["approved", "edited", "rejected"],
    author: str,
    comment: str,
    edited: tuple[Mapping[str, Value], RunConfig, str] | None = None,
    expected: tuple[float, float] | None = None,
) -> bool:
    """Record a decision on a version of a proposal; False if none is waited for.

    Args:
        writer: of the engine of the search.
        proposal_id: the proposal.
        version: the version that the person saw.
        decision: what was decided.
        author: who decided.
        comment: the reason given.
        edited: new changes, configuration and step type, where the person edited.
        expected: what the person who edited expects of it.
    """
    with writer.transaction():
        row = writer.execute(
            """UPDATE proposals SET decision = ?, author = ?, comment = ?, decided_at = ?,
            asked_again = 0
            WHERE id = ? AND version = ? AND decision IS NULL AND EXISTS (SELECT 1
                FROM trials t WHERE t.proposal_id = proposals.id AND t.state = 'proposed')
            RETURNING search_id, number""",
            (decision, author, storable(comment), time.time(), proposal_id, version),
        )
        if row is None:
            return False
        if edited is not None:
            changes, config, step = edited
            _keep_version(writer, proposal_id, "edited", author, comment)
            writer.execute(
                """UPDATE proposals SET version = version + 1, changes = ?, config = ?,
                step_type = ?, differences = ?, expected_low = ?, expected_high = ?,
                surrogate_low = NULL, surrogate_high = NULL WHERE id = ?""",
                (
                    *(json.dumps(dict(changes)), json.dumps(config.flat()), step),
                    _differences(writer, row[0], row[1], config),
                    *(expected or (None, None)),
                    proposal_id,
                ),
            )
        state = "rejected" if decision == "rejected" else "queued"
        writer.execute(
            "UPDATE trials SET state = ?, ended_at = ? WHERE search_id = ? AND number = ?",
            (state, time.time() if decision == "rejected" else None, *row),
        )
        return True


def ask_again(writer: Writer, proposal_id: int, version: int, author: str, hint: str) -> bool:
    """Wish for another proposal in the place of a version; False if that does not wait.

    What stands until then counts as the next version: who saw it without the wish is told.
    """
    with writer.transaction():
        waits = writer.execute(
            """SELECT 1 FROM proposals p JOIN trials t ON t.proposal_id = p.id WHERE p.id = ?
            AND p.version = ? AND p.decision IS NULL AND NOT p.asked_again
            AND t.state = 'proposed'""",
            (proposal_id, version),
        )
        if waits is None:
            return False
        _keep_version(writer, proposal_id, "asked again", author, hint)
        writer.execute(
            """UPDATE proposals SET version = version + 1, asked_again = 1, hint = ?
            WHERE id = ?""",
            (storable(hint), proposal_id),
        )
        return True


def propose_again(
    writer: Writer, proposal_id: int, version: int, proposal: Proposal, config: RunConfig
) -> bool:
    """Put what the planner proposed anew in the place of a version; False if it has gone."""
    with writer.transaction():
        row = writer.execute(
            """UPDATE proposals SET version = version + 1, asked_again = 0, parent = ?,
            source = ?, step_type = ?, hypothesis = ?, reasons = ?, changes = ?, original = ?,
            config = ?, expected_low = ?, expected_high = ?, surrogate_low = NULL,
            surrogate_high = NULL, waiting_since = ?
            WHERE id = ? AND version = ? AND decision IS NULL AND asked_again
            AND EXISTS (SELECT 1
                FROM trials t WHERE t.proposal_id = proposals.id AND t.state = 'proposed')
            RETURNING search_id, number""",
            (
                *(proposal.parent, proposal.source, proposal.step_type),
                *(storable(proposal.hypothesis), storable(proposal.reasons)),
                *(json.dumps(proposal.changes), json.dumps(proposal.changes)),
                json.dumps(config.flat()),
                *(proposal.expected or (None, None)),
                *(time.time(), proposal_id, version),
            ),
        )
        if row is None:
            return False
        writer.execute(
            "UPDATE proposals SET differences = ? WHERE id = ?",
            (_differences(writer, row[0], row[1], config), proposal_id),
        )
        return True


def keep_proposal(writer: Writer, proposal_id: int) -> None:
    """Ask the planner no longer: what it proposed before stands, and waits."""
    writer.execute("UPDATE proposals SET asked_again = 0 WHERE id = ?", (proposal_id,))


def _keep_version(
    writer: Writer,
    proposal_id: int,
    why: Literal["edited", "asked again"],
    author: str,
    comment: str,
) -> None:
    """Keep what a proposal says before it is replaced."""
    writer.execute(
        """INSERT INTO revisions (proposal_id, version, source, step_type, hypothesis, reasons,
        changes, config, expected_low, expected_high, surrogate_low, surrogate_high, why,
        author, comment, created_at)
        SELECT id, version, source, step_type, hypothesis, reasons, changes, config,
        expected_low, expected_high, surrogate_low, surrogate_high, ?, ?, ?, ?
        FROM proposals WHERE id = ?""",
        (why, author, storable(comment), time.time(), proposal_id),
    )


def foresee(writer: Writer, proposal_id: int, version: int, interval: tuple[float, float]) -> None:
    """Keep what the surrogate expects of a version of a proposal."""
    writer.execute(
        """UPDATE proposals SET surrogate_low = ?, surrogate_high = ?
        WHERE id = ? AND version = ?""",
        (*interval, proposal_id, version),
    )


def announced(writer: Writer, proposal_id: int, version: int) -> None:
    """Record that people are told, outside of the dashboard, that a version waits."""
    writer.execute(
        "UPDATE proposals SET announced = ? WHERE id = ? AND announced < ?",
        (version, proposal_id, version),
    )


def _differences(writer: Writer, search_id: int, number: int, config: RunConfig) -> str:
    """Return how a configuration differs from trial 0's, as JSON."""
    first = writer.read.trial(search_id, 0) if number else None
    return json.dumps(differing(first.config if first else {}, config.flat()))
