"""A note to an address of the user's own, when a proposal begins to wait for a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx2

from informer.config import short
from nas_engine.store.rows import SearchRow, TrialRow

SECONDS = 10.0
"""From the connection to the status of the answer, at most."""

MOST_CHANGES = 8
"""That are named in a note."""


def note(search: SearchRow, trial: TrialRow, dashboard: str | None) -> dict[str, Any]:
    """Return what is posted; Slack and Mattermost show its `text`, Discord its `content`.

    Nothing in it comes from a language model but settings, which are checked.
    """
    changes = [f"{key} = {short(value)}" for key, value in trial.changes.items()]
    more = len(changes) - MOST_CHANGES
    listed = ", ".join(changes[:MOST_CHANGES]) + (f" and {more} more" if more > 0 else "")
    text = (
        f"Trial {trial.number} of search {search.id} ({search.spec.title()}) waits for your "
        f"decision, a {trial.step_type} step by {trial.source}: {listed}."
    )
    if dashboard is not None:
        text += f" {dashboard.rstrip('/')}/review?search={search.id}"
    return {
        "text": text,
        "content": text,
        "search": search.id,
        "trial": trial.number,
        "proposal": trial.proposal_id,
        "version": trial.version,
        "source": trial.source,
        "step": trial.step_type,
    }


def post(address: str, said: Mapping[str, Any]) -> str:
    """Post a note and return in a few words why it did not arrive, empty where it did.

    The address, which is a secret, is not among the words. No redirect is followed.
    """
    try:
        status = asyncio.run(_post(address, said))
    except TimeoutError:
        return f"there was no answer within {SECONDS:g} s"
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, OverflowError, ExceptionGroup) as error:
        return f"the address cannot be reached ({type(error).__name__})"
    if 300 <= status < 400:
        return f"it answered with a redirect ({status}), which is not followed"
    return "" if status < 300 else f"it answered {status}"


async def _post(address: str, said: Mapping[str, Any]) -> int:
    async with (
        asyncio.timeout(SECONDS),
        httpx2.AsyncClient(timeout=None, follow_redirects=False) as client,
        client.stream("POST", address, json=dict(said)) as response,
    ):
        return int(response.status_code)
