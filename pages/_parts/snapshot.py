"""One search as the Live page shows it, read in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from nas_engine.evaluator import Noise
from nas_engine.liveness import LEASE_SECONDS, LIVING, EngineState, engine_state
from nas_engine.standing import Budget, as_seen, budgets
from nas_engine.store import trainings
from nas_engine.store.reader import Reader
from nas_engine.store.rows import (
    BaselineRow,
    EngineRow,
    EpochRow,
    SearchRow,
    Spend,
    TrainingRow,
    TrialRow,
)
from nas_engine.store.table import Query, Results, page
from pages._parts.all_trials import all_results, mean_seconds_and_noise
from pages._parts.opening import searched

CURVES = 8  # more cannot be told apart at a glance; Compare has them all
NEWEST = 25  # trials in the table; Compare has them all

Mark = tuple[str, int, int, EngineState]


@dataclass(frozen=True)
class Snapshot:
    """A search, its engine, and what it has come to."""

    search: SearchRow
    engine_row: EngineRow | None
    engine: EngineState
    results: Results  # of all trials
    trials: list[TrialRow]  # the first, the incumbent, the newest and those that have not ended
    mean_seconds: float | None  # that a trial takes
    trainings: list[TrainingRow]
    epochs: list[EpochRow]
    noise: Noise | None
    spend: Spend
    budgets: list[Budget]
    baselines: list[BaselineRow]

    @property
    def incumbent(self) -> TrialRow | None:
        """The best accepted trial."""
        return next((row for row in self.trials if row.number == self.search.incumbent), None)

    @property
    def running(self) -> list[TrialRow]:
        """The trials that train."""
        return [row for row in self.trials if row.state in ("running", "stalled")]

    @property
    def waiting(self) -> list[TrialRow]:
        """The trials that wait for a person."""
        return [row for row in self.trials if row.state == "proposed"]

    @property
    def queue(self) -> list[TrialRow]:
        """The trials that wait for a slot, the next one first."""
        queued = [row for row in self.trials if row.state == "queued"]
        return sorted(queued, key=lambda row: (-row.priority, row.number))

    @property
    def lives(self) -> bool:
        """Whether an engine works on the search."""
        return self.engine in LIVING

    @property
    def replaceable(self) -> bool:
        """Whether the engine has been silent for so long that another may take its place."""
        return engine_state(self.engine_row, stale=LEASE_SECONDS) == "stalled"


def read(search_id: int, chosen: int | None = None) -> Snapshot:
    """Read a search; where there is none any more, say so and stop the page.

    The trial `chosen` by a person is among those listed, whatever comes after it.
    """
    with searched() as reader:
        search = reader.search(search_id)
        if search is None:
            st.error(f"Search {search_id} is no longer in this workspace.")
            st.stop()
        engine = reader.engine(search_id)
        trials = as_seen(worth_listing(reader, search, chosen), engine_state(engine))
        spend = reader.spend(search_id)
        mean_seconds, noise = mean_seconds_and_noise(reader, search_id)
        return Snapshot(
            search=search,
            engine_row=engine,
            engine=engine_state(engine),
            results=all_results(reader, [search_id]),
            trials=trials,
            mean_seconds=mean_seconds,
            trainings=trainings.training(reader, search_id),
            epochs=reader.epochs(search_id, worth_watching(trials, search.incumbent)),
            noise=noise,
            spend=spend,
            budgets=budgets(search, spend, trainings.training_seconds(reader, search_id)),
            baselines=reader.baselines(search_id),
        )


def read_mark(search_id: int) -> Mark | None:
    """Read the mark of a search alone; None where there is none any more."""
    with searched() as reader:
        search = reader.search(search_id)
        return None if search is None else _mark(search, reader.engine(search_id))


def lives(mark: Mark | None) -> bool:
    """Tell whether an engine works on the search that has this mark."""
    return mark is not None and mark[-1] in LIVING


def _mark(search: SearchRow, engine: EngineRow | None) -> Mark:
    token = 0 if engine is None else engine.token
    return search.state, search.version, token, engine_state(engine)


def worth_listing(reader: Reader, search: SearchRow, chosen: int | None) -> list[TrialRow]:
    """Return trial 0, the incumbent, the chosen, the newest and the unended trials, by number.

    Of those that train the newest alone: hundreds of slots have a table of their own.
    """
    newest = page(reader, Query((search.id,), descending=True, limit=NEWEST))
    seen = {trial.number for trial in newest}
    opened = trainings.open_trials(reader, search.id)
    train = [trial.number for trial in opened if trial.state == "running"]
    others = {trial.number for trial in opened if trial.state != "running"} | {
        *sorted(train)[-NEWEST:],
        0,
        search.incumbent,
        chosen,
    }
    more = [(search.id, number) for number in others - seen if number is not None]
    return sorted([*newest, *reader.listed(more)], key=lambda row: row.number)


def worth_watching(trials: Sequence[TrialRow], incumbent: int | None) -> list[int]:
    """Return the trials whose curves are drawn: the first, the incumbent and the newest."""
    begun = [trial.number for trial in trials if trial.run_id is not None]
    fixed = [number for number in begun if number in (0, incumbent)]
    newest = [number for number in begun if number not in fixed][-(CURVES - len(fixed)) :]
    return sorted({*fixed, *newest})
