"""Ask again, offline: what a planner would have proposed at a past moment. Nothing is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from informer.config import from_flat
from nas_engine.foresight import Foresight
from nas_engine.planners.base import AccessDenied, SpaceExhausted, View
from nas_engine.planning import planner_of
from nas_engine.space import SpaceError
from nas_engine.store import wishes
from nas_engine.store.wishes import ReplayRow
from nas_engine.store.writer import Writer

if TYPE_CHECKING:
    from nas_engine.llm import LanguageModel


def replay(
    writer: Writer, search_id: int, row: ReplayRow, model: Callable[[int], LanguageModel]
) -> None:
    """Have a planner propose on what was known before a trial, and keep what it said, or why not.

    A planner that asks a language model answers as it would in a search: where the model gives
    nothing usable, the source says that TPE has proposed in its place.

    Args:
        writer: of whoever replays.
        search_id: the search.
        row: what is wanted.
        model: returns the language model that a trial is planned with.
    """
    try:
        view = View.before(writer.read, search_id, row.number)
        spec = view.spec.model_copy(update={"planner": row.planner})
        view = dataclasses.replace(view, spec=spec)
        planner = planner_of(spec, model)
        for trial in view.trials:
            if trial.ended_at is not None:
                planner.observe(trial)
        proposal = view.whole(planner.propose(view))
    except (SpaceExhausted, AccessDenied, SpaceError) as error:
        wishes.fail_replay(writer, row.id, str(error))
        return
    config = from_flat({**view.base, **proposal.changes})
    foreseen = Foresight(search_id).expected(writer, proposal.parent, config.flat())
    wishes.end_replay(writer, row.id, proposal, config, foreseen)
