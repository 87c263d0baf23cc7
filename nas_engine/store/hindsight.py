"""What is looked at afterwards: verdicts in their order, predictions beside results, costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from nas_engine.evaluator import Figures, Noise, compared_of
from nas_engine.store.reader import Reader

# -- results that a surrogate learns from -------------------------------------------------------


def known(reader: Reader, search_id: int, most: int) -> list[tuple[int, float]]:
    """Return number and val_mse of the best and the newest results, by number, `most` at most."""
    rows = reader.fetch(
        """WITH known AS (SELECT number, val_mse FROM trials
            WHERE search_id = ?1 AND val_mse IS NOT NULL)
        SELECT * FROM (SELECT * FROM known ORDER BY val_mse, number LIMIT ?2)
        UNION SELECT * FROM (SELECT * FROM known ORDER BY number DESC LIMIT ?2)
        ORDER BY number""",
        (search_id, most // 2),
    )
    return [(number, value) for number, value in rows]


# -- verdicts -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """A verdict as it was given, with the figures that it used."""

    number: int
    figures: Figures
    accepted: bool
    rule: str


def judged(reader: Reader, search_id: int) -> list[Judged]:
    """Return the verdicts of a search in the order in which they were given.

    Of a trial that was judged more than once, the last.
    """
    rows = reader.fetch(
        """SELECT v.number, v.accepted, v.rule, v.noise, v.noise_degrees, v.compared, v.value,
        v.seeds, v.tried, t.error, v.incumbent, v.incumbent_value, v.incumbent_seeds
        FROM verdicts v JOIN trials t USING (search_id, number)
        WHERE v.search_id = ? ORDER BY v.id""",
        (search_id,),
    )
    return [
        Judged(
            number,
            replace(
                Figures(*used),
                noise=None if relative is None else Noise(relative, degrees),
                pruned=rule == "pruned",
                compared=compared_of(compared),
            ),
            bool(accepted),
            rule,
        )
        for number, accepted, rule, relative, degrees, compared, *used in rows
    ]


# -- predictions --------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """A trial beside its parent: what was predicted, by whom, and what came of it."""

    number: int
    source: str
    edited: bool  # by a person before it was trained
    expected_low: float | None  # of whoever made the configuration
    expected_high: float | None
    surrogate_low: float | None
    surrogate_high: float | None
    original_source: str  # of the version that the person edited, empty where it was another one
    original_low: float | None
    original_high: float | None
    value: float  # val_mse
    seeds: int
    parent_value: float
    parent_seeds: int


def outcomes(reader: Reader, search_id: int) -> list[Outcome]:
    """Return the trials that have a result, as has their parent, by number.

    A proposal that names no parent changed the starting configuration, which is that of trial 0.
    What was predicted of a version that was edited afterwards is returned only where the edit left
    its configuration as it was.
    """
    rows = reader.fetch(
        """SELECT t.number, p.source, coalesce(p.decision = 'edited', 0), p.expected_low,
        p.expected_high, p.surrogate_low, p.surrogate_high, coalesce(o.source, ''), o.expected_low,
        o.expected_high, t.val_mse, t.seeds, f.val_mse, f.seeds
        FROM trials t JOIN proposals p ON p.id = t.proposal_id
        JOIN trials f ON f.search_id = t.search_id AND f.number = coalesce(p.parent, 0)
        LEFT JOIN revisions o ON o.proposal_id = p.id AND o.why = 'edited'
            AND o.config = p.config
        WHERE t.search_id = ? AND t.number > 0 AND t.val_mse IS NOT NULL AND f.val_mse > 0
        ORDER BY t.number""",
        (search_id,),
    )
    return [Outcome(number, source, bool(edited), *rest) for number, source, edited, *rest in rows]


# -- costs --------------------------------------------------------------------------------------


class Effort(NamedTuple):
    """What a trial was proposed by, what came of it and what it took."""

    number: int
    source: str
    edited: bool
    state: str
    accepted: bool | None
    improvement: float | None  # over the incumbent of its moment
    asked_seconds: float  # in which a language model planned it, as are usd and tokens
    usd: float  # booked, as are the tokens
    tokens: int
    training_seconds: float  # over all its trainings, whatever came of them


def efforts(reader: Reader, search_id: int) -> list[Effort]:
    """Return the trials of a search but the first, by number."""
    rows = reader.fetch(
        """WITH asked AS (
            SELECT number, total(seconds) AS seconds, total(booked_usd) AS usd,
                sum(booked_tokens) AS tokens
            FROM llm_calls WHERE search_id = ?1 AND role = 'planner' AND number IS NOT NULL
            GROUP BY number),
        trained AS (
            SELECT number, total(spent) AS seconds FROM runs WHERE search_id = ?1 GROUP BY number)
        SELECT t.number, p.source, coalesce(p.decision = 'edited', 0), t.state, v.accepted,
            v.improvement, coalesce(a.seconds, 0.0), coalesce(a.usd, 0.0), coalesce(a.tokens, 0),
            coalesce(r.seconds, 0.0)
        FROM trials t JOIN proposals p ON p.id = t.proposal_id
        LEFT JOIN verdicts v ON v.search_id = t.search_id AND v.number = t.number
        LEFT JOIN asked a ON a.number = t.number LEFT JOIN trained r ON r.number = t.number
        WHERE t.search_id = ?1 AND t.number > 0 ORDER BY t.number""",
        (search_id,),
    )
    return [
        Effort(number, source, bool(edited), state, None if done is None else bool(done), *rest)
        for number, source, edited, state, done, *rest in rows
    ]


class Asked(NamedTuple):
    """What the calls of one role came to."""

    calls: int
    usd: float  # booked, as are the tokens
    tokens: int


def asked(reader: Reader, search_id: int, role: str) -> Asked:
    """Return what the calls of a role came to."""
    (row,) = reader.fetch(
        """SELECT count(*), total(booked_usd), coalesce(sum(booked_tokens), 0) FROM llm_calls
        WHERE search_id = ? AND role = ?""",
        (search_id, role),
    )
    return Asked(*row)
