"""What is kept of the calls of language models."""

from __future__ import annotations

from sqlite_utils import Database


def m003_calls(db: Database) -> None:
    """Book each call at its worst case before it is made, and say how and why it failed.

    `booked_*` is what counts against the limits; the reported figures stay NULL where the service
    named none that can be true.
    """
    for column in (
        "base_url TEXT NOT NULL DEFAULT ''",
        "temperature REAL",
        "max_tokens INTEGER",
        "error_class TEXT NOT NULL DEFAULT ''",
        "booked_tokens INTEGER NOT NULL DEFAULT 0",
        "booked_usd REAL NOT NULL DEFAULT 0",
    ):
        db.execute(f"ALTER TABLE llm_calls ADD COLUMN {column}")
    db.execute(
        """UPDATE llm_calls SET booked_usd = coalesce(cost_usd, 0),
        booked_tokens = coalesce(prompt_tokens, 0) + coalesce(completion_tokens, 0)"""
    )


def m007_answers(db: Database) -> None:
    """Keep each answer of a language model whole, so that a question is not put twice."""
    db.execute("ALTER TABLE llm_calls ADD COLUMN completion TEXT NOT NULL DEFAULT ''")


def m009_sums(db: Database) -> None:
    """Sum what calls came to from an index: their rows hold the prompts, which are long."""
    db.execute("DROP INDEX calls_by_trial")
    db.execute(
        """CREATE INDEX calls_by_trial ON llm_calls (search_id, number, outcome, prompt_tokens,
        completion_tokens, cost_usd, booked_tokens, booked_usd)"""
    )
