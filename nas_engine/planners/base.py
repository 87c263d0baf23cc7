"""What a planner sees and what it must do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from informer.config import Value
from nas_engine.proposals import Proposal, check
from nas_engine.search import SearchSpec
from nas_engine.store.reader import BaselineRow, Reader, TrialRow


@dataclass(frozen=True)
class View:
    """A search as its planner sees it, before trial `number`."""

    search_id: int
    number: int
    spec: SearchSpec
    max_trials: int
    incumbent: int | None
    trials: list[TrialRow]
    baselines: list[BaselineRow]

    @classmethod
    def of(cls, reader: Reader, search_id: int, number: int) -> View:
        """Read what is known of a search about the trials before `number`."""
        search = reader.search(search_id)
        assert search is not None, f"search {search_id} has just been read"
        return cls(
            search_id=search_id,
            number=number,
            spec=search.spec,
            max_trials=search.max_trials,
            incumbent=search.incumbent,
            trials=[trial for trial in reader.trials(search_id) if trial.number < number],
            baselines=reader.baselines(search_id),
        )

    @property
    def parent(self) -> Mapping[str, Value]:
        """The configuration that is changed: the incumbent's, or trial 0's where there is none."""
        for trial in self.trials:
            if trial.number == self.incumbent:
                return trial.config
        return self.spec.base().flat()

    def check(self, changes: Mapping[str, Value]) -> list[str]:
        """Return a sentence for each reason why a planner may not propose `changes`."""
        earlier = {trial.number: trial.config for trial in self.trials}
        return check(self.spec, self.parent, changes, earlier, by="planner")


class Planner(Protocol):
    """Proposes changes. A planner holds no state: the same view gives it the same to go on."""

    def propose(self, view: View) -> Proposal:
        """Return a proposal that passes `view.check`."""
        ...


class SpaceExhausted(RuntimeError):
    """Nothing new was found to try."""


class AccessDenied(RuntimeError):
    """The language model service refuses the key, account or model: asking again is useless."""


def first_proposal() -> Proposal:
    """Return trial 0: the configuration that the search starts from, unchanged."""
    return Proposal(
        source="default",
        parent=None,
        changes={},
        hypothesis="The starting configuration is the reference for every change.",
    )
