"""The proposals of a search that wait for a person, and all that is shown beside them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from informer.config import Value
from nas_engine.evaluator import Noise
from nas_engine.guidance import SteeringRow
from nas_engine.liveness import LIVING, EngineState, engine_state
from nas_engine.proposals import Record
from nas_engine.search import ASKING, SearchSpec
from nas_engine.standing import Budget, budgets, due_at
from nas_engine.store import trainings, wishes
from nas_engine.store.inbox import Planning, Waiting, planning, told_at, waiting
from nas_engine.store.reader import Reader
from nas_engine.store.rows import BaselineRow, RevisionRow, SearchRow, TrialRow
from nas_engine.store.table import Query, TriedRow, page, parse
from pages._parts.all_trials import all_tried, mean_seconds_and_noise
from pages._parts.opening import searched

AT_ONCE = 20
"""Cards that are drawn; more would take a browser seconds."""
WAITING = parse("state=proposed")
DECIDED = parse("decision=approved,edited,rejected")

Mark = tuple[str, EngineState, tuple[Waiting, ...]]
"""What changes when there is news for somebody who looks at the page."""


@dataclass(frozen=True)
class Inbox:
    """The search, what waits in it and what was decided, read in one go."""

    search: SearchRow
    spec: SearchSpec  # of the search, with the constraints in force
    engine: EngineState
    mark: Mark
    waiting: list[TrialRow]
    decided: list[TrialRow]  # by people and timers, the newest first
    told: dict[int, int]  # decided trial -> trial in whose planning it was told
    parents: dict[int, TrialRow]
    # What follows is read where something waits.
    earlier: Sequence[TriedRow]
    baselines: Sequence[BaselineRow]
    noise: Noise | None
    planning: Mapping[int, Planning]
    versions: Mapping[int, list[RevisionRow]]  # that were replaced, by trial
    warnings: Mapping[int, str]  # the newest of each trial
    constraints: Sequence[SteeringRow]  # in force
    budgets: Sequence[Budget]
    due: Mapping[int, float]  # when the timer decides, by trial; seconds since 1970

    @property
    def reads_words(self) -> bool:
        """Whether the planner of the search reads what people write."""
        return self.search.spec.planner in ASKING

    def record_before(self, trial: TrialRow) -> Record:
        """Return what the proposal of a trial is checked against."""
        earlier = [other for other in self.earlier if other.number < trial.number]
        return Record(self.spec, earlier)

    def parent_of(self, trial: TrialRow) -> Mapping[str, Value]:
        """Return the configuration that a proposal changes."""
        parent = None if trial.parent is None else self.parents.get(trial.parent)
        return self.search.spec.start() if parent is None else parent.config

    def parent_error(self, trial: TrialRow) -> float | None:
        """Return val_mse of what a proposal changes: without a parent, that of trial 0."""
        parent = self.parents.get(trial.parent or 0)
        return None if parent is None else parent.val_mse


def read(search_id: int) -> Inbox:
    """Read what the page shows."""
    with searched() as reader:
        search = reader.search(search_id)
        if search is None:
            st.error(f"Search {search_id} is no longer in this workspace.")
            st.stop()
        mark = mark_of(reader, search)
        waits = page(reader, Query((search_id,), WAITING, limit=AT_ONCE))
        decided = page(reader, Query((search_id,), DECIDED, descending=True))
        parents = {row.parent or 0 for row in (*waits, *decided)}
        numbers = [trial.number for trial in waits]
        told = wishes.steering(reader, search_id) if waits else []
        return Inbox(
            search=search,
            spec=wishes.steered_spec(reader, search_id) if told else search.spec,
            engine=mark[1],
            mark=mark,
            waiting=waits,
            decided=decided,
            told=told_at(reader, search_id, decided) if search.spec.planner in ASKING else {},
            parents={row.number: row for row in reader.listed([(search_id, n) for n in parents])},
            earlier=all_tried(reader, search_id) if waits else (),
            baselines=reader.baselines(search_id) if waits else (),
            noise=mean_seconds_and_noise(reader, search_id)[1] if waits else None,
            planning=planning(reader, search_id, numbers),
            versions={number: wishes.revisions(reader, search_id, number) for number in numbers},
            warnings=warnings(reader, search_id, numbers) if waits else {},
            constraints=[row for row in told if row.constraint is not None],
            budgets=budgets(
                search, reader.spend(search_id), trainings.training_seconds(reader, search_id)
            )
            if waits
            else (),
            due=due_times(reader, search, waits),
        )


def due_times(reader: Reader, search: SearchRow, waits: Sequence[TrialRow]) -> dict[int, float]:
    """Return when the timer decides on proposals, by trial; without an engine it rests."""
    engine = reader.engine(search.id)
    if engine is None or engine_state(engine) not in LIVING:
        return {}
    due = {trial.number: due_at(trial, search, engine.started_at) for trial in waits}
    return {number: moment for number, moment in due.items() if moment is not None}


def mark_of(reader: Reader, search: SearchRow) -> Mark:
    """Return the mark of a search as it stands."""
    engine = engine_state(reader.engine(search.id))
    return search.state, engine, tuple(waiting(reader, search.id))


def warnings(reader: Reader, search_id: int, numbers: Sequence[int]) -> dict[int, str]:
    """Return the newest warning about each of these trials, of the newest 200 events."""
    return {
        event.number: event.text
        for event in reader.events(search_id)
        if event.number is not None and event.number in numbers and event.level == "warning"
    }


def prefix_of(trial: TrialRow) -> str:
    """Return the prefix of the keys of a card's widgets.

    It stays the same in a new version of the same configuration: what was typed stays.
    """
    digest = zlib.crc32(json.dumps(trial.config, sort_keys=True).encode())
    return f"review-{trial.proposal_id}-{digest:08x}"
