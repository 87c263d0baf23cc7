"""What a call may take, and what it took: in tokens and in US dollars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas_engine.search import Limits
from nas_engine.settings import Role
from nas_engine.store.rows import Spend

OVERHEAD_TOKENS = 1000
"""What services add to a request: roles, the instructions for tools."""

PLAUSIBLE_TOKENS = 10_000_000
PLAUSIBLE_USD = 10_000.0
"""A report of more tokens than any context window holds, or of such a price, is not believed."""


@dataclass(frozen=True)
class Usage:
    """What a service reports that a call took; None for what it does not say or cannot be true."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usd: float | None = None


@dataclass(frozen=True)
class Booking:
    """What a call counts against the limits of its search."""

    tokens: int
    usd: float


def worst_case(request: str, max_tokens: int, role: Role) -> Booking:
    """Return what a call can take at most.

    Args:
        request: all text of the request. A tokenizer on bytes makes no more tokens than bytes.
        max_tokens: tokens of the answer, at most.
        role: has the prices.
    """
    prompt_tokens = OVERHEAD_TOKENS + len(request.encode("utf-8", "backslashreplace"))
    return Booking(prompt_tokens + max_tokens, role.price(prompt_tokens, max_tokens))


def reported(usage: Mapping[str, Any]) -> Usage:
    """Return what can be believed of the `usage` of a completion."""
    prompt = _whole(usage.get("prompt_tokens"), 1)
    completion = _whole(usage.get("completion_tokens"), 0)
    counted = prompt is not None and completion is not None
    return Usage(
        prompt_tokens=prompt if counted else None,
        completion_tokens=completion if counted else None,
        usd=_amount(usage.get("cost")),
    )


def believed(usage: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a completion's `usage` that `reported` reads: nothing else is kept."""
    found = reported(usage)
    figures = {
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.completion_tokens,
        "cost": found.usd,
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def settle(usage: Usage, worst: Booking, role: Role) -> Booking:
    """Return what a call is booked at: the service's figures, else the worst case."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return Booking(worst.tokens, worst.usd if usage.usd is None else usage.usd)
    counted = role.price(usage.prompt_tokens, usage.completion_tokens)
    tokens = usage.prompt_tokens + usage.completion_tokens
    return Booking(tokens, counted if usage.usd is None else usage.usd)


def beyond(limits: Limits, spend: Spend, worst: Booking) -> str | None:
    """Return a sentence where one more call, at its worst case, could exceed a limit."""
    if limits.calls is not None and spend.calls >= limits.calls:
        return f"This search may call language models {limits.calls} times, and has done so."
    if limits.tokens is not None and spend.booked_tokens + worst.tokens > limits.tokens:
        return (
            f"This search may use {limits.tokens:,} tokens of language models: "
            f"{spend.booked_tokens:,} are booked, and one more call can take {worst.tokens:,}."
        )
    if limits.usd is not None and spend.booked_usd + worst.usd > limits.usd:
        return (
            f"This search may spend {limits.usd:.4g} US dollars on language models: "
            f"{spend.booked_usd:.4g} are booked, and one more call can cost {worst.usd:.4g}."
        )
    return None


def _whole(tokens: object, least: int) -> int | None:
    if not isinstance(tokens, int) or isinstance(tokens, bool):
        return None
    return tokens if least <= tokens <= PLAUSIBLE_TOKENS else None


def _amount(usd: object) -> float | None:
    if not isinstance(usd, int | float) or isinstance(usd, bool):
        return None
    return float(usd) if 0 <= usd <= PLAUSIBLE_USD else None
