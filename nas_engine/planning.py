"""The planner of a search, asked for one trial after another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from informer.config import from_flat
from informer.failpoint import failpoint
from nas_engine.foresight import Foresight
from nas_engine.planners.base import (
    AccessDenied,
    Planner,
    SpaceExhausted,
    View,
    first_proposal,
)
from nas_engine.planners.earlier import past_proposal
from nas_engine.proposals import Proposal, check
from nas_engine.search import SearchSpec
from nas_engine.store import proposing, wishes
from nas_engine.store.known import KnownTrials
from nas_engine.store.rows import TrialRow
from nas_engine.store.writer import Writer

if TYPE_CHECKING:
    from nas_engine.llm import LanguageModel


ATTEMPTS = 3
"""Times that a trial is planned anew because constraints were given while it was planned."""

MEANWHILE = "People gave constraints each time that it was planned."


class Held(RuntimeError):
    """A trial is not planned or trained for now: the search was paused, or its time is used up."""


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
        self._known = KnownTrials(search_id)

    def close(self) -> None:
        """Close the writer."""
        self._writer.close()

    def plan(self, number: int, held: Callable[[], bool] = lambda: False) -> None:
        """Plan trial `number` and store it; a trial that exists is left as it is.

        Args:
            number: the trial.
            held: whether nothing shall begin now: asked when its turn has come, for with many
                slots a search may have been paused since.

        Raises:
            SpaceExhausted, AccessDenied: as `Planner.propose` does.
            Held: nothing shall begin, or people gave constraints each time that it was planned.
        """
        with self._turn:
            if self._writer.read.trial(self._search_id, number) is not None:
                return
            if held():
                raise Held
            for _ in range(ATTEMPTS):
                view = self._view(number)
                proposal = first_proposal() if number == 0 else self._proposal(view)
                failpoint("plan.before_store")
                with self._writer.transaction():  # nobody gives a constraint in it
                    if kept := self._still_keeps(view, proposal):
                        waits = self._store(view, proposal)
                if kept:
                    break
            else:
                raise Held(MEANWHILE)
            failpoint("plan.after_store")
            self._log(
                number,
                f"Trial {number} proposed by {proposal.source}: {_told(proposal)}."
                + (" It waits for a decision." if waits else ""),
            )

    def foresee(self, writer: Writer, number: int) -> None:
        """Keep what the surrogate expects of a proposal; waits for no planner."""
        self._foresight.foresee(writer, number)

    def again(self, number: int) -> None:
        """Have something else proposed for a trial that waits, as a person wished.

        What stands is kept where nothing else is proposed, and where somebody decides on it
        meanwhile.
        """
        with self._turn:
            trial = self._writer.read.trial(self._search_id, number)
            if trial is None or not trial.asked_again:
                return
            done, problem = False, ""
            try:
                done = trial.state == "proposed" and self._propose_again(trial)
            except (SpaceExhausted, AccessDenied, Held) as error:
                problem = str(error)
            except Exception:
                problem = "The engine met an error; its log has it in full."
                raise
            finally:
                if not done:
                    proposing.keep_proposal(self._writer, trial.proposal_id)
                if problem:
                    text = f"Nothing else is proposed for trial {number}: {problem}"
                    self._log(number, text, "warning")
            self.foresee(self._writer, number)

    def _propose_again(self, trial: TrialRow) -> bool:
        """Put something else in the place of a proposal; False where it was decided meanwhile."""
        number = trial.number
        for _ in range(ATTEMPTS):
            view = self._view(number)
            proposal = self._proposal(view)
            config = from_flat({**view.base, **proposal.changes})
            failpoint("plan.before_again")
            with self._writer.transaction():
                if self._still_keeps(view, proposal):
                    version = (trial.proposal_id, trial.version)
                    if done := proposing.propose_again(self._writer, *version, proposal, config):
                        by = f"Trial {number} proposed again by {proposal.source}"
                        self._log(number, f"{by}: {_told(proposal)}. It waits for a decision.")
                    return done
        raise Held(MEANWHILE)

    def _view(self, number: int) -> View:
        read = self._writer.read
        return View.of(read, self._search_id, number, self._known.read(read))

    def _store(self, view: View, proposal: Proposal) -> bool:
        """Store a proposal and return whether it waits for a person."""
        # As it stands now: the mode may have been changed while a language model was asked.
        search = self._writer.read.search(self._search_id)
        waits = view.number > 0 and search is not None and search.spec.waits(proposal.step_type)
        config = from_flat({**view.base, **proposal.changes})
        proposing.propose(self._writer, self._search_id, view.number, proposal, config, waits)
        return waits

    def _still_keeps(self, view: View, proposal: Proposal) -> bool:
        """Tell whether a proposal keeps the constraints given while it was made."""
        told = wishes.steering(self._writer.read, self._search_id)
        newest = [row.constraint for row in told if row.constraint is not None]
        if newest == view.constraints or view.number == 0:
            return True
        now = self._view(view.number)
        return not check(now.record, view.base, proposal.changes, by="planner")

    def _log(self, number: int, text: str, level: Literal["info", "warning"] = "info") -> None:
        self._writer.log(self._search_id, text, number, level=level)

    def _proposal(self, view: View) -> Proposal:
        for trial in view.trials:
            if trial.ended_at is not None and self._told.get(trial.number) != _end(trial):
                self._planner.observe(trial)
                self._told[trial.number] = _end(trial)
        return view.whole(past_proposal(view) or self._planner.propose(view))


def _told(proposal: Proposal) -> str:
    changes = ", ".join(f"{key}={value}" for key, value in proposal.changes.items())
    if proposal.source == "portfolio":
        return f"{proposal.hypothesis.partition(':')[0]}, with {changes}"
    return changes or "the starting configuration"


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
        case "portfolio":
            from nas_engine.planners.portfolio import PortfolioPlanner

            return PortfolioPlanner()
        case "rules":
            from nas_engine.planners.rules import RulesPlanner

            return RulesPlanner()
        case "tpe" | "random":
            from nas_engine.planners.tpe import OptunaPlanner

            return OptunaPlanner(spec.planner)
