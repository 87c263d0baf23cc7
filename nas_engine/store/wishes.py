"""What people want of a search beside its trials: commands, guidance, answers, replays."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from informer.config import RunConfig, Value
from nas_engine.guidance import SteeringRow, steered
from nas_engine.proposals import Proposal
from nas_engine.search import SearchSpec
from nas_engine.store.reader import Reader, one_or_all
from nas_engine.store.rows import CommandRow, RevisionRow
from nas_engine.store.schema import storable

if TYPE_CHECKING:
    from nas_engine.store.writer import Writer


@dataclass(frozen=True)
class TurnRow:
    """A question about a search, and as much of the answer as there is."""

    id: int
    author: str
    question: str
    state: str
    stopping: bool
    answer: str
    looked_up: list[dict[str, Any]]  # see chat.LookedUp
    draft: int | None  # the trial that the answer proposed
    problem: str
    created_at: float
    ended_at: float | None
    cost_usd: float  # booked
    tokens: int  # booked


@dataclass(frozen=True)
class ReplayRow:
    """What another planner or model would have proposed as trial `number`."""

    id: int
    number: int
    planner: str
    model: str
    state: str
    source: str
    parent: int | None
    changes: dict[str, Value]
    config: dict[str, Value]
    hypothesis: str
    reasons: str
    expected_low: float | None
    expected_high: float | None
    surrogate_low: float | None  # expected by the surrogate, from what was known when it ended
    surrogate_high: float | None
    problem: str
    author: str
    created_at: float
    ended_at: float | None


@dataclass(frozen=True)
class Errand:
    """Something that a person wants of a language model or a planner, beside the trials."""

    kind: Literal["plan again", "answer", "replay"]
    id: int  # of the trial, the turn or the replay


def errands(reader: Reader, search_id: int) -> list[Errand]:
    """Return what is wanted beside the trials, the oldest of a kind first."""
    return reader.rows(
        Errand,
        """SELECT 'plan again' AS kind, number AS id FROM proposals
            WHERE search_id = ?1 AND asked_again
        UNION ALL SELECT 'answer', id FROM turns
            WHERE search_id = ?1 AND state IN ('asked', 'answering')
        UNION ALL SELECT 'replay', id FROM replays WHERE search_id = ?1 AND state = 'asked'""",
        (search_id,),
    )


def turns(reader: Reader, search_id: int) -> list[TurnRow]:
    """Return the questions about a search with their answers, oldest first."""
    return reader.rows(TurnRow, f"{_TURN} WHERE t.search_id = ? ORDER BY t.id", (search_id,))


def turn(reader: Reader, turn_id: int) -> TurnRow | None:
    """Return one question with its answer."""
    return reader.first(TurnRow, f"{_TURN} WHERE t.id = ?", (turn_id,))


def turn_states(reader: Reader, search_id: int) -> dict[int, str]:
    """Return how each question about a search stands, by the id of its turn."""
    rows = reader.fetch("SELECT id, state FROM turns WHERE search_id = ?", (search_id,))
    return dict(rows)


def replays(reader: Reader, search_id: int, number: int | None = None) -> list[ReplayRow]:
    """Return what other planners would have proposed, newest first."""
    return reader.rows(
        ReplayRow,
        """SELECT id, number, planner, model, state, source, parent, changes, config,
        hypothesis, reasons, expected_low, expected_high, surrogate_low, surrogate_high,
        problem, author, created_at, ended_at FROM replays
        WHERE search_id = ?1 AND (?2 IS NULL OR number = ?2) ORDER BY id DESC""",
        (search_id, number),
    )


def steering(reader: Reader, search_id: int, in_force: bool = True) -> list[SteeringRow]:
    """Return what people told a search, oldest first: what holds, or all of it."""
    return reader.rows(
        SteeringRow,
        """SELECT id, words, nullif(constraint_, '') AS "constraint", author, created_at,
        ended_by, ended_at
        FROM steering WHERE search_id = ?1 AND (ended_at IS NULL OR NOT ?2) ORDER BY id""",
        (search_id, in_force),
    )


def steered_spec(reader: Reader, search_id: int) -> SearchSpec:
    """Return what defines a search, with the constraints that are in force."""
    search = reader.search(search_id)
    assert search is not None, f"search {search_id} has just been read"
    told = steering(reader, search_id)
    return steered(search.spec, [row.constraint for row in told if row.constraint is not None])


def revisions(reader: Reader, search_id: int, number: int | None = None) -> list[RevisionRow]:
    """Return the replaced versions of proposals, of one trial or of all."""
    return reader.rows(
        RevisionRow,
        f"""SELECT r.proposal_id, p.number, r.version, r.source, r.step_type, r.hypothesis,
        r.reasons, r.changes, r.config, r.expected_low, r.expected_high, r.surrogate_low,
        r.surrogate_high, r.why, r.author, r.comment, r.created_at
        FROM proposals p JOIN revisions r ON r.proposal_id = p.id
        WHERE p.search_id = ?1 AND {one_or_all(number)}
        ORDER BY p.number, r.version""",  # noqa: S608
        (search_id, number),
    )


_TURN = """
    SELECT t.id, t.author, t.question, t.state, t.stopping, t.answer, t.looked_up,
        t.drafted AS draft, t.problem, t.created_at, t.ended_at,
        (SELECT total(c.booked_usd) FROM llm_calls c
            WHERE c.search_id = t.search_id AND c.turn_id = t.id) AS cost_usd,
        (SELECT coalesce(sum(c.booked_tokens), 0) FROM llm_calls c
            WHERE c.search_id = t.search_id AND c.turn_id = t.id) AS tokens
    FROM turns t
"""


def add_turn(writer: Writer, search_id: int, question: str, author: str) -> int:
    """Keep a question and return the id of its turn."""
    row = writer.execute(
        """INSERT INTO turns (search_id, author, question, created_at) VALUES (?, ?, ?, ?)
        RETURNING id""",
        (search_id, author, storable(question), time.time()),
    )
    assert row is not None
    return int(row[0])


def stop_turn(writer: Writer, turn_id: int) -> bool:
    """Wish for the end of an answer; False if it has ended already."""
    row = writer.execute(
        """UPDATE turns SET stopping = 1 WHERE id = ? AND state IN ('asked', 'answering')
        RETURNING id""",
        (turn_id,),
    )
    return row is not None


def answer_so_far(
    writer: Writer, turn_id: int, text: str, looked_up: Sequence[Mapping[str, Any]]
) -> bool:
    """Keep as much of an answer as there is; return whether somebody wants it stopped."""
    row = writer.execute(
        """UPDATE turns SET state = 'answering', answer = ?, looked_up = ? WHERE id = ?
        RETURNING stopping""",
        (storable(text), storable(json.dumps(looked_up)), turn_id),
    )
    return row is not None and bool(row[0])


def end_turn(
    writer: Writer,
    turn_id: int,
    state: Literal["answered", "stopped", "failed"],
    problem: str = "",
) -> None:
    """Record how an answer ended; what there is of it stays."""
    writer.execute(
        "UPDATE turns SET state = ?, problem = ?, ended_at = ? WHERE id = ?",
        (state, storable(problem), time.time(), turn_id),
    )


def note_draft(writer: Writer, turn_id: int, number: int) -> None:
    """Record which trial an answer has proposed; it proposes one at most."""
    writer.execute(
        "UPDATE turns SET drafted = ? WHERE id = ? AND drafted IS NULL", (number, turn_id)
    )


def add_replay(
    writer: Writer, search_id: int, number: int, planner: str, model: str, author: str
) -> int:
    """Keep the wish to see what another planner would have proposed; return its id."""
    row = writer.execute(
        """INSERT INTO replays (search_id, number, planner, model, author, created_at)
        VALUES (?, ?, ?, ?, ?, ?) RETURNING id""",
        (search_id, number, planner, storable(model), author, time.time()),
    )
    assert row is not None
    return int(row[0])


def end_replay(
    writer: Writer,
    replay_id: int,
    proposal: Proposal,
    config: RunConfig,
    foreseen: tuple[float, float] | None = None,
) -> None:
    """Record what would have been proposed, and what the surrogate expects of it now."""
    writer.execute(
        """UPDATE replays SET state = 'answered', source = ?, parent = ?, changes = ?,
        config = ?, hypothesis = ?, reasons = ?, expected_low = ?, expected_high = ?,
        surrogate_low = ?, surrogate_high = ?, ended_at = ? WHERE id = ?""",
        (
            *(proposal.source, proposal.parent, json.dumps(proposal.changes)),
            *(json.dumps(config.flat()), storable(proposal.hypothesis)),
            *(storable(proposal.reasons), *(proposal.expected or (None, None))),
            *(foreseen or (None, None)),
            *(time.time(), replay_id),
        ),
    )


def fail_replay(writer: Writer, replay_id: int, problem: str) -> None:
    """Record why nothing would have been proposed."""
    writer.execute(
        "UPDATE replays SET state = 'failed', problem = ?, ended_at = ? WHERE id = ?",
        (storable(problem), time.time(), replay_id),
    )


def steer(writer: Writer, search_id: int, words: str, constraint: str, author: str) -> int:
    """Keep what a person told the search, a constraint's JSON or words, and return its id."""
    row = writer.execute(
        """INSERT INTO steering (search_id, words, constraint_, author, created_at)
        VALUES (?, ?, ?, ?, ?) RETURNING id""",
        (search_id, storable(words), constraint, author, time.time()),
    )
    assert row is not None
    return int(row[0])


def lift(writer: Writer, search_id: int, steering_id: int, author: str) -> bool:
    """End a constraint or a word of guidance; False if it holds no longer."""
    row = writer.execute(
        """UPDATE steering SET ended_by = ?, ended_at = ?
        WHERE id = ? AND search_id = ? AND ended_at IS NULL RETURNING id""",
        (author, time.time(), steering_id, search_id),
    )
    return row is not None


def command(reader: Reader, command_id: int) -> CommandRow | None:
    """Return one command."""
    return next(iter(_commands(reader, "id = ?", command_id)), None)


def commands(reader: Reader, search_id: int) -> list[CommandRow]:
    """Return the commands given to a search, in order."""
    return _commands(reader, "search_id = ? ORDER BY id", search_id)


def _commands(reader: Reader, condition: str, number: int) -> list[CommandRow]:
    """Return commands; bytes that are no text, as anybody may write them, are replaced."""
    rows = reader.fetch(f"{_COMMAND} WHERE {condition}", (number,))
    return [
        CommandRow(*row[:2], *(cell.decode("utf-8", "replace") for cell in row[2:7]), *row[7:])
        for row in rows
    ]


_COMMAND = """
    SELECT id, search_id, CAST(kind AS BLOB), CAST(payload AS BLOB), CAST(author AS BLOB),
        CAST(state AS BLOB), CAST(answer AS BLOB), created_at, answered_at
    FROM commands
"""
