"""Calls of language models as the engine writes them: booked at their worst, then as they were."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Literal

from nas_engine.service.cost import Booking, Usage, beyond
from nas_engine.service.fault import ErrorClass
from nas_engine.settings import RoleName
from nas_engine.store.schema import storable
from nas_engine.store.writer import Writer


class LimitReached(RuntimeError):
    """A limit of the search forbids another call of a language model; the text says which."""


def reserve_call(
    writer: Writer,
    search_id: int,
    number: int | None,
    role: RoleName,
    attempt: int,
    model: str,
    messages: list[dict[str, str]],
    worst: Booking,
    base_url: str,
    temperature: float | None,
    max_tokens: int,
    turn_id: int | None = None,
    replay_id: int | None = None,
) -> int:
    """Book a call at its worst case before it is made, and return its id.

    Raises:
        LimitReached: it could exceed what the search may spend.
    """
    with writer.transaction():
        search = writer.read.search(search_id)
        assert search is not None, f"search {search_id} asks a language model"
        problem = beyond(search.spec.limits, writer.read.spend(search_id), worst)
        if problem is not None:
            raise LimitReached(problem)
        row = writer.execute(
            """INSERT INTO llm_calls (search_id, number, role, attempt, model, messages,
            booked_tokens, booked_usd, base_url, temperature, max_tokens, created_at, turn_id,
            replay_id)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
            (
                *(search_id, number, role, attempt, model, json.dumps(messages)),
                *(worst.tokens, worst.usd, base_url, temperature, max_tokens, time.time()),
                *(turn_id, replay_id),
            ),
        )
        assert row is not None
        return int(row[0])


def finish_call(
    writer: Writer,
    call_id: int,
    outcome: Literal["used", "refused", "failed"],
    reply: str,
    problem: str,
    seconds: float,
    error_class: ErrorClass | Literal[""] = "",
    usage: Usage | None = None,
    booked: Booking | None = None,
    completion: str = "",
) -> None:
    """Record the answer to a call and what was made of it.

    Args:
        writer: of the engine of the search.
        call_id: the call.
        outcome: what became of it.
        reply: the words of the model.
        problem: why the answer was refused or the call failed.
        seconds: from the request to the response.
        error_class: the kind of the problem.
        usage: what the service reports.
        booked: what the call took; None: the worst case stands.
        completion: the whole answer as JSON, for when the same question comes up again.
    """
    writer.execute(
        """UPDATE llm_calls SET outcome = ?, reply = ?, problem = ?, seconds = ?,
        error_class = ?, prompt_tokens = ?, completion_tokens = ?, cost_usd = ?,
        booked_tokens = coalesce(?, booked_tokens), booked_usd = coalesce(?, booked_usd),
        completion = ? WHERE id = ?""",
        (
            *(outcome, storable(reply), storable(problem), seconds, error_class),
            *(dataclasses.astuple(usage) if usage else (None, None, None)),
            *(dataclasses.astuple(booked) if booked else (None, None)),
            *(storable(completion), call_id),
        ),
    )


def forget_answers(
    writer: Writer, search_id: int, number: int | None, role: str, replay_id: int | None = None
) -> None:
    """Keep the whole answers about a trial or a replay no longer; the transcript stays."""
    writer.execute(
        """UPDATE llm_calls SET completion = ''
        WHERE search_id = ? AND number IS ? AND role = ? AND replay_id IS ?""",
        (search_id, number, role, replay_id),
    )
