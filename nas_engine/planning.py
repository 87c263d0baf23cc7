"""The planner of a search, asked for one trial after another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from informer.config import from_flat
from informer.failpoint import failpoint
from nas_engine.foresight import Foresight
from nas_engine.planners.base import Planner, View, first_proposal
from nas_engine.proposals import Proposal
from nas_engine.search import SearchSpec
from nas_engine.store.reader import TrialRow
from nas_engine.store.writer import Writer

if TYPE_CHECKING:
    from nas_engine.llm import LanguageModel


class Held(RuntimeError):
    """The search was paused, or its time used up, while a trial was planned: it stays queued."""


class Planning:
    """Keeps a planner through a search, and tells it what has ended since it was last asked.

    Only planning waits for planning: a proposal is stored before the next is asked for, so that
    trials which run at the same time differ.
    """

    def __init__(self, writer: Writer, search_id: int, planner: Planner) -> None:
        """Prepare to plan; `writer` is used by whoever plans, by one at a time."""
        self._writer = writer
        self._search_id = search_id
        self._planner = planner
        self._told: dict[int, tuple[int, float | None]] = {}  # by trial, which of its ends
        self._turn = threading.Lock()
        self._foresight = Foresight(search_id)

    def close(self) -> None:
        """Close the writer."""
        self._writer.close()

    def plan(self, number: int) -> None:
        """Plan trial `number` and store it; a trial that exists is left as it is.

        Raises:
            SpaceExhausted, AccessDenied: as `Planner.propose` does.
        """
        with self._turn:
            if self._writer.read.trial(self._search_id, number) is not None:
                return
            view = View.of(self._writer.read, self._search_id, number)
            proposal = first_proposal() if number == 0 else self._proposal(view)
            config = from_flat({**view.parent, **proposal.changes})
            # As it stands now: the mode may have been changed while a language model was asked.
            search = self._writer.read.search(self._search_id)
            waits = number > 0 and search is not None and search.spec.waits(proposal.step_type)
            failpoint("plan.before_store")
            self._writer.propose(self._search_id, number, proposal, config, waits)
            failpoint("plan.after_store")
            changes = ", ".join(f"{key}={value}" for key, value in proposal.changes.items())
            self._writer.log(
                self._search_id,
                f"Trial {number} proposed by {proposal.source}: "
                f"{changes or 'the starting configuration'}."
                + (" It waits for a decision." if waits else ""),
                number,
            )

    def foresee(self, writer: Writer, number: int) -> None:
        """Keep what the surrogate expects of a proposal; waits for no planner."""
        self._foresight.foresee(writer, number)

    def _proposal(self, view: View) -> Proposal:
        for trial in view.trials:
            if trial.ended_at is not None and self._told.get(trial.number) != _end(trial):
                self._planner.observe(trial)
                self._told[trial.number] = _end(trial)
        return self._planner.propose(view)


def _end(trial: TrialRow) -> tuple[int, float | None]:
    return trial.round, trial.ended_at


def planner_of(spec: SearchSpec, model: Callable[[int], LanguageModel]) -> Planner:
    """Return the planner of a search, which has observed nothing yet.

    Each is imported where it is needed: the forest of the hybrid alone takes a second.
    """
    match spec.planner:
        case "llm":
            from nas_engine.planners.llm import LLMPlanner

            return LLMPlanner(model)
        case "hybrid":
            from nas_engine.planners.hybrid import HybridPlanner

            return HybridPlanner(model)
        case "rules":
            from nas_engine.planners.rules import RulesPlanner

            return RulesPlanner()
        case "tpe" | "random":
            from nas_engine.planners.tpe import OptunaPlanner

            return OptunaPlanner(spec.planner)
