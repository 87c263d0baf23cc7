"""What a planner sees and what it must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Protocol

from informer.config import Search, Value, fields, from_flat, short
from nas_engine.curves import Curve, curves_of
from nas_engine.evaluator import Noise, pooled_noise
from nas_engine.front import Box, Gap, box, figures, front, gaps, hypervolume, incumbent
from nas_engine.guidance import Constraint, SteeringRow, steered
from nas_engine.lessons import NOTHING, Lessons, kept
from nas_engine.objectives import MEASURES, Objective
from nas_engine.planners.aims import traded
from nas_engine.planners.inside import moved, shrunk
from nas_engine.planners.past import spec_at, steering_at, trials_before
from nas_engine.proposals import Proposal, Record, alike, check
from nas_engine.search import SearchSpec
from nas_engine.store import judging, wishes
from nas_engine.store.reader import Reader
from nas_engine.store.rows import BaselineRow, EpochRow, RevisionRow, Spend, TrialRow

OPEN = frozenset({"proposed", "queued", "running", "stalled", "paused"})
"""States of trials that have yet to show what their configuration is worth."""


@dataclass(frozen=True)
class View:
    """A search as its planner sees it, before trial `number`.

    `trials` are all others: with several slots, or where a person enqueued some, also later ones.
    `spec` has the constraints that are in force.
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
    steering: Sequence[SteeringRow] = ()  # what people told on the way and is in force
    noises: Mapping[Objective, Noise] = field(
        default_factory=dict
    )  # where more than the error counts
    withdrawn: Sequence[RevisionRow] = ()  # proposals for this trial that were turned back
    lessons: Lessons = NOTHING  # taken from earlier searches when this one began

    @classmethod
    def of(
        cls, reader: Reader, search_id: int, number: int, known: Sequence[TrialRow] | None = None
    ) -> View:
        """Read what is known of a search about all trials but `number`.

        Args:
            reader: reads it.
            search_id: the search.
            number: the trial.
            known: the trials of the search as they are now; None: they are read.
        """
        search = reader.search(search_id)
        assert search is not None, f"search {search_id} has just been read"
        rows = reader.trials(search_id) if known is None else known
        trials = [trial for trial in rows if trial.number != number]
        return cls(
            search_id=search_id,
            number=number,
            spec=wishes.steered_spec(reader, search_id),
            max_trials=search.max_trials,
            incumbent=search.incumbent,
            trials=trials,
            baselines=reader.baselines(search_id),
            epochs=partial(reader.epochs, search_id),
            noise=judging.noise(reader, search_id),
            noises=judging.noises(reader, search_id) if traded(search.spec) else {},
            spend=reader.spend(search_id, without=number),
            steering=wishes.steering(reader, search_id),
            withdrawn=[
                row
                for row in wishes.revisions(reader, search_id, number)
                if row.why == "asked again"
            ],
            lessons=kept(reader, search_id),
        )

    @classmethod
    def before(cls, reader: Reader, search_id: int, number: int) -> View:
        """Read a search as it was known when trial `number` was first proposed.

        Nothing that came later is in it. Where a language model was asked for a while, it holds
        what ended meanwhile too.

        Raises:
            SpaceError: what was in force then left nothing to choose from.
        """
        search, trial = reader.search(search_id), reader.trial(search_id, number)
        assert search is not None and trial is not None, "what is looked back at exists"
        moment, trials = trial.created_at, trials_before(reader, trial)
        ended = {row.number for row in trials if row.ended_at is not None}
        steering = steering_at(reader, search_id, moment)
        spec = spec_at(reader, search, moment)
        return cls(
            search_id=search_id,
            number=number,
            spec=steered(spec, [row.constraint for row in steering if row.constraint is not None]),
            max_trials=spec.max_trials,
            incumbent=incumbent(trials, spec.at_most),
            trials=trials,
            baselines=reader.baselines(search_id),
            epochs=lambda numbers: reader.epochs(search_id, [n for n in numbers if n in ended]),
            noise=pooled_noise(
                (row.seeds, row.val_mse, row.spread)
                for row in trials
                if row.val_mse is not None and row.spread is not None
            ),
            noises=judging.noises(reader, search_id, before=moment) if traded(spec) else {},
            spend=reader.spend(search_id, without=number, before=moment),
            steering=steering,
            lessons=kept(reader, search_id),
        )

    @cached_property
    def record(self) -> Record:
        """What proposals are checked against."""
        return Record(self.spec, self.trials, self.constraints)

    @property
    def constraints(self) -> list[Constraint]:
        """What code enforces of what people told, oldest first."""
        return [row.constraint for row in self.steering if row.constraint is not None]

    @property
    def enforced(self) -> bool:
        """Whether proposals must keep to more than the space and the limits of the start."""
        return bool(self.constraints) or any(MEASURES[name].exact for name in self.spec.at_most)

    @property
    def space(self) -> Mapping[str, Search]:
        """What planners may choose from."""
        return self.record.space

    @cached_property
    def base(self) -> Mapping[str, Value]:
        """The incumbent's configuration as it was trained; trial 0's where there is none."""
        for trial in self.trials:
            if trial.number == self.incumbent:
                return trial.config
        return self.spec.base().flat()

    @cached_property
    def moved(self) -> Mapping[str, Value]:
        """What is other than in `base` because of constraints in force, and of bounds."""
        return moved(self.record, self.base) if self.enforced else {}

    @cached_property
    def parent(self) -> Mapping[str, Value]:
        """The configuration that planners change: the base, moved to where it may start from."""
        return {**self.base, **self.moved}

    def shrunk(self, changes: Mapping[str, Value]) -> dict[str, Value]:
        """Return changes whose sizes keep the bounds, and limits that were lowered on the way."""
        values = shrunk(self.record, {**self.parent, **changes})
        changed = {key: value for key, value in values.items() if value != self.parent[key]}
        return {key: value for key, value in changed.items() if fields()[key].active(values)}

    def whole(self, proposal: Proposal) -> Proposal:
        """Return a planner's proposal as changes to the base: with what was moved beforehand."""
        values = {**self.parent, **proposal.changes}
        moved = {key: self.moved[key] for key in self.moved if fields()[key].active(values)}
        if not moved:
            return proposal
        changes = {**moved, **proposal.changes}
        kept = {key: value for key, value in changes.items() if value != self.base[key]}
        reasons = f"{proposal.reasons}\n{told_moves(self)}".strip()
        return proposal.model_copy(update={"changes": kept, "reasons": reasons[:20_000]})

    @cached_property
    def front(self) -> Sequence[TrialRow]:
        """The front by val_mse: with one objective the incumbent, where it keeps the bounds."""
        return front(self.trials, self.spec)

    @cached_property
    def box(self) -> Box | None:
        """In what the hypervolume is told; None while there are no results."""
        return box(self.trials, self.spec)

    @property
    def share(self) -> float:
        """The share of the box that the front dominates."""
        points = (figures(trial, self.spec.objectives) for trial in self.front)
        return hypervolume([p for p in points if p is not None], self.box) if self.box else 0.0

    @property
    def gaps(self) -> Sequence[Gap]:
        """Where the front has nothing, the widest first."""
        return gaps(self.front, self.box, self.spec) if self.box else []

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
        found = check(self.record, self.parent, changes, by="planner")
        return found or list(self._turned_back({**self.parent, **changes}))

    def _turned_back(self, values: Mapping[str, Value]) -> Iterator[str]:
        config = from_flat(values)
        for row in self.withdrawn:
            if alike(self.space, config, row.config):
                hint = f" with the hint {short(row.comment)}" if row.comment else ""
                yield (
                    f"This is as good as what {row.author or 'a person'} has turned back for trial "
                    f"{self.number}{hint}; propose something else."
                )


def told_moves(view: View) -> str:
    """Return what was moved in the parent, in a sentence; empty where nothing was."""
    if not view.moved:
        return ""
    moves = [f"{key} {view.base[key]!r} to {value!r}" for key, value in view.moved.items()]
    kept = "the constraints in force" if view.constraints else "the bounds"
    return f"Moved to keep {kept}: {', '.join(moves)}."


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
