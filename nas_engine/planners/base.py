"""What a planner sees and what it must do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

from informer.config import Search, Value
from nas_engine.curves import Curve, curves_of
from nas_engine.evaluator import Noise
from nas_engine.proposals import Proposal, Record, check
from nas_engine.search import SearchSpec
from nas_engine.store.reader import BaselineRow, EpochRow, Reader, Spend, TrialRow

OPEN = frozenset({"proposed", "queued", "running", "stalled", "paused"})
"""States of trials that have yet to show what their configuration is worth."""


@dataclass(frozen=True)
class View:
    """A search as its planner sees it, before trial `number`.

    `trials` are all others: with several slots, or where a person enqueued some, also later ones.
    """

    search_id: int
    number: int
    spec: SearchSpec
    max_trials: int
    incumbent: int | None
    trials: Sequence[TrialRow]
    baselines: Sequence[BaselineRow]
    epochs: Callable[[list[int]], Sequence[EpochRow]]  # of trials by number, read when asked for
    noise: Noise | None
    spend: Spend  # without what planning this trial has taken

    @classmethod
    def of(cls, reader: Reader, search_id: int, number: int) -> View:
        """Read what is known of a search about all trials but `number`."""
        search = reader.search(search_id)
        assert search is not None, f"search {search_id} has just been read"
        trials = [trial for trial in reader.trials(search_id) if trial.number != number]
        return cls(
            search_id=search_id,
            number=number,
            spec=search.spec,
            max_trials=search.max_trials,
            incumbent=search.incumbent,
            trials=trials,
            baselines=reader.baselines(search_id),
            epochs=partial(reader.epochs, search_id),
            noise=reader.noise(search_id),
            spend=reader.spend(search_id, without=number),
        )

    @cached_property
    def record(self) -> Record:
        """What proposals are checked against."""
        return Record(self.spec, self.trials)

    @property
    def space(self) -> Mapping[str, Search]:
        """What planners may choose from."""
        return self.record.space

    @cached_property
    def parent(self) -> Mapping[str, Value]:
        """The configuration that is changed: the incumbent's, or trial 0's where there is none."""
        for trial in self.trials:
            if trial.number == self.incumbent:
                return trial.config
        return self.spec.base().flat()

    @cached_property
    def curves(self) -> Mapping[int, Curve]:
        """The learning curves by trial."""
        return curves_of(self.epochs([trial.number for trial in self.trials]))

    @cached_property
    def pruned_at(self) -> Mapping[int, EpochRow]:
        """The last epochs of the pruned trials."""
        return self.last_epochs([trial.number for trial in self.trials if trial.state == "pruned"])

    def last_epochs(self, numbers: list[int]) -> Mapping[int, EpochRow]:
        """Return the last epoch of each of the trials that has one."""
        return {row.number: row for row in self.epochs(numbers)} if numbers else {}

    def check(self, changes: Mapping[str, Value]) -> list[str]:
        """Return a sentence for each reason why a planner may not propose `changes`."""
        return check(self.record, self.parent, changes, by="planner")


class Planner(Protocol):
    """Proposes changes, and learns from what became of them.

    A planner that has observed the same results and is given the same view proposes the same, but
    for what a language model answers, in whatever order it observed them: an engine that starts
    again tells it all results again.
    """

    def propose(self, view: View) -> Proposal:
        """Return a proposal that passes `view.check`.

        Raises:
            SpaceExhausted: nothing is left to try.
            AccessDenied: the language model service refuses the key.
        """
        ...

    def observe(self, result: TrialRow) -> None:
        """Take note of a trial that has ended, whoever proposed it.

        Called again for a trial that was trained again: the newest row is what holds.
        """
        ...


class Results:
    """The newest row of each trial that a planner has observed."""

    def __init__(self) -> None:
        self._rows: dict[int, TrialRow] = {}

    def observe(self, result: TrialRow) -> None:
        """Put a row in the place of what was known of its trial."""
        self._rows[result.number] = result

    def of(self, view: View) -> list[TrialRow]:
        """Return the rows by number, without those of trials that are being trained again."""
        again = {trial.number for trial in view.trials if trial.state in OPEN}
        return [self._rows[number] for number in sorted(self._rows.keys() - again)]


class SpaceExhausted(RuntimeError):
    """Nothing new was found to try, or the planner sees no more use in trying."""


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
