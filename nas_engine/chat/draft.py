"""What a chat proposes: checked as a planner's proposal is, and kept for a person to decide."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from informer.config import from_flat
from nas_engine.chat.looked_up import LookedUp, cell
from nas_engine.chat.tools import NotFound, name_of
from nas_engine.planners.base import View
from nas_engine.planners.llm import Candidate, Change, Expected, faults, proposal_of
from nas_engine.proposals import Proposal
from nas_engine.store import proposing, wishes
from nas_engine.store.writer import Writer


class DraftProposal(BaseModel):
    """Propose a trial to the person: changes to a parent. It waits, and nothing is trained."""

    model_config = ConfigDict(title="draft_proposal", extra="forbid", strict=True)

    parent: int = Field(ge=0, description="Number of the trial whose configuration is changed")
    changes: list[Change] = Field(description="Settings to change", min_length=1, max_length=12)
    hypothesis: str = Field(
        max_length=1000, description="What should happen to val_mse and why, in one sentence"
    )
    expected_low: float = Field(
        ge=-1000, le=100, description="Least improvement of val_mse over the parent, in percent"
    )
    expected_high: float = Field(ge=-1000, le=100, description="Largest improvement, in percent")

    @property
    def candidate(self) -> Candidate:
        """The same in the form of a planner's answer."""
        step: Literal["small"] = "small"  # what it is follows from the changes
        expected = Expected(low=self.expected_low, high=self.expected_high)
        return Candidate(
            step_type=step,
            hypothesis=self.hypothesis,
            plan="",
            changes=self.changes,
            expected=expected,
        )


def draft(
    writer: Writer,
    search_id: int,
    turn_id: int,
    wish: DraftProposal,
    at_work: Callable[[], Set[int]],
) -> LookedUp:
    """Keep a proposal, and that the turn has made it, both or neither.

    Args:
        writer: of the engine.
        search_id: the search.
        turn_id: the turn of the chat; it makes one proposal, however often it is begun.
        wish: what the model wants.
        at_work: tells which trials are being planned, trained or judged.

    Raises:
        NotFound: it may not be tried; the sentence tells the model why.
    """
    proposal, view = _checked(writer, search_id, turn_id, wish)
    changes = proposal.changes
    config = from_flat({**view.base, **changes})
    with writer.transaction():
        search = writer.read.search(search_id)
        assert search is not None, "a search that is asked about exists"
        numbers = writer.read.numbers(search_id) | at_work()
        number = max(numbers, default=0) + 1
        proposing.propose(writer, search_id, number, proposal, config, waiting=True, drafted=True)
        wishes.note_draft(writer, turn_id, number)
        if len(numbers) >= search.max_trials:
            more = search.spec.model_copy(update={"max_trials": len(numbers) + 1})
            writer.change(search_id, more)
        writer.log(search_id, f"Trial {number} was drafted in a chat; it waits.", number)
    rows = [[key, cell(view.base[key]), cell(value)] for key, value in changes.items()]
    return LookedUp(
        tool=name_of(DraftProposal),
        arguments=wish.model_dump(),
        columns=["setting", f"trial {wish.parent}", f"trial {number}"],
        rows=rows,
        note=f"trial {number} waits for a decision in Review",
    )


def _checked(
    writer: Writer, search_id: int, turn_id: int, wish: DraftProposal
) -> tuple[Proposal, View]:
    """Return the proposal and the search as seen from its parent; raises NotFound."""
    search, turn = writer.read.search(search_id), wishes.turn(writer.read, turn_id)
    assert search is not None and turn is not None, "a turn that is answered exists"
    if turn.draft is not None:
        raise NotFound(f"This answer has drafted trial {turn.draft} already; one is the most.")
    if search.state == "stopping":
        raise NotFound("The search is stopping; a proposal can be drafted when it has ended.")
    numbers = writer.read.numbers(search_id)
    if wish.parent not in numbers:
        raise NotFound(f"The search has no trial {wish.parent} to change.")
    view = View.of(writer.read, search_id, max(numbers) + 1)
    view = replace(view, incumbent=wish.parent)  # whose configuration is changed
    if problems := faults(view, wish.candidate):
        raise NotFound(" ".join(problems))
    return view.whole(proposal_of(view, wish.candidate)), view
