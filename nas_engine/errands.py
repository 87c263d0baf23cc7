"""What people want of a language model or a planner beside the trials.

Each errand stands in a row of its own until that says how it ended: one whose engine was lost is
begun anew by the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass

from nas_engine.commands import ANSWER_NEEDS_KEY
from nas_engine.interruptions import EngineClosed, cannot_be_written
from nas_engine.planning import Planning
from nas_engine.service.patience import Patience
from nas_engine.settings import Settings
from nas_engine.store import proposing, wishes
from nas_engine.store.wishes import Errand, ReplayRow
from nas_engine.store.writer import LeaseLost, Writer
from nas_engine.workspace import Workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Means:
    """What an errand is run with."""

    workspace: Workspace
    settings: Settings
    patience: Patience
    writer: Writer  # of the errand's thread
    search_id: int
    planning: Callable[[], Planning]  # of the search, made when it is first needed
    at_work: Callable[[], Set[int]]  # trials that are being planned, trained or judged
    go_on: Callable[[], None]  # raises EngineClosed when the engine ends


def run(means: Means, errand: Errand) -> None:
    """Do what a person wants; whatever goes wrong stands in the row of the errand.

    Raises:
        EngineClosed, LeaseLost: the engine ends; the next one begins the errand anew.
        OSError, sqlite3.OperationalError, StoreError: nothing can be written now.
    """
    match errand.kind:
        case "plan again":
            with _failing(means, lambda problem: _keep(means, errand.id, problem)):
                means.planning().again(errand.id)
        case "answer":
            _answer(means, errand.id)
        case "replay":
            rows = wishes.replays(means.writer.read, means.search_id)
            for row in rows:
                if row.id == errand.id and row.state == "asked":
                    _replay(means, row)


def _keep(means: Means, number: int, problem: str) -> None:
    """Let what was proposed before stand, where that is still to be said."""
    trial = means.writer.read.trial(means.search_id, number)
    if trial is not None and trial.asked_again:
        proposing.keep_proposal(means.writer, trial.proposal_id)
        text = f"Nothing else is proposed for trial {number}: {problem}"
        means.writer.log(means.search_id, text, number, "warning")


def _answer(means: Means, turn_id: int) -> None:
    """Answer a question about the search."""
    if not means.settings.has_key:
        wishes.end_turn(means.writer, turn_id, "failed", f"{ANSWER_NEEDS_KEY} Then ask again.")
        return
    # Imported here, as are the others: LangChain takes seconds, which no other command should.
    from nas_engine.chat.answering import answer
    from nas_engine.llm import LanguageModel

    model = LanguageModel(
        *(means.settings, means.writer, means.patience, means.search_id, None, "chat"),
        turn_id=turn_id,
    )
    with _failing(means, lambda problem: wishes.end_turn(means.writer, turn_id, "failed", problem)):
        answer(means.writer, model, means.search_id, turn_id, means.at_work, means.go_on)


def _replay(means: Means, row: ReplayRow) -> None:
    """Have a planner propose at a past moment."""

    def model(number: int) -> LanguageModel:
        means.go_on()
        return LanguageModel(
            *(means.settings, means.writer, means.patience, means.search_id, None, "replay"),
            replay=row,
        )

    with _failing(means, lambda problem: wishes.fail_replay(means.writer, row.id, problem)):
        from nas_engine.llm import LanguageModel
        from nas_engine.replay import replay

        replay(means.writer, means.search_id, row, model)


@contextmanager
def _failing(means: Means, fail: Callable[[str], None]) -> Iterator[None]:
    """Have an error written by `fail`, in a sentence; the end of the engine is none."""
    try:
        yield
    except (EngineClosed, LeaseLost):
        raise
    except Exception as error:
        if cannot_be_written(error):
            raise
        _log.error("An errand failed", exc_info=error)
        name, log = type(error).__name__, means.workspace.launch_log
        fail(f"The engine met an error ({name}); {log} has it in full.")
