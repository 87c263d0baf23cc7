"""Searches on a recorded table of `tests/recorded`, one trial after another, training nothing.

Every training of a search has the seed of that search, as in a real one: a seed that was not
recorded is drawn around the mean of those that were, with the spread measured on the table. Each
trial is trained once, and judged by the product's evaluator under that rule.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.trial import TrialState
from pydantic import TypeAdapter

from informer.config import Value, from_flat
from informer.records import Epoch, Success
from nas_engine.evaluator import Figures, Verdict, decide
from nas_engine.planners.base import Planner, SpaceExhausted, View, first_proposal
from nas_engine.planners.tpe import ordered
from nas_engine.proposals import Proposal
from nas_engine.pruning import Pruner, Reached
from nas_engine.search import Rules, SearchSpec
from nas_engine.store.rows import BaselineRow, EpochRow, Spend, TrialRow
from tests.engine.rows import trial_row
from tests.recorded.rows import Key
from tests.recorded.table import BASELINES, Table

ONE_SEED = Rules(seeds=1, extra_seeds=0)
"""What is trained once is accepted where it is better: as Optuna ranks the trials of a study."""


@dataclass(frozen=True)
class Tried:
    """A trial: where it lies in the table, and what its search saw of it."""

    key: Key
    source: str
    state: str  # completed, pruned, failed; refused: no valid configuration
    val_mse: float | None  # of one that was trained to its end
    seconds: float  # of training, as recorded
    asked_seconds: float = 0.0  # of a language model


# -- planners of the product ----------------------------------------------------------------------


@dataclass
class Search:
    """A search by a planner of the product, as far as it has come.

    Args:
        spec: what is searched; its space must lie in the table.
        table: what is replayed; one of those that `BASELINES` belongs to.
        planner: proposes, and is told.
        asked: returns the seconds that a language model took to plan a trial.
        search_id: of the search that a language model is asked for.
    """

    spec: SearchSpec
    table: Table
    planner: Planner
    asked: Callable[[int], float] = lambda number: 0.0
    search_id: int = 1
    trials: list[TrialRow] = field(default_factory=list)
    incumbent: TrialRow | None = None
    _epochs: dict[int, list[EpochRow]] = field(default_factory=dict)

    @cached_property
    def _pruner(self) -> Pruner:
        return Pruner(self.spec.pruning, self.table.first.training.epochs)

    @cached_property
    def _baselines(self) -> list[BaselineRow]:
        return TypeAdapter(list[BaselineRow]).validate_json(BASELINES.read_bytes())

    def run(self) -> list[Tried]:
        """Return the trials to the end of the budget; fewer where the planner knows no more."""
        with suppress(SpaceExhausted):
            while len(self.trials) < self.spec.max_trials:
                self._go_on()
        return [
            Tried(
                *(self.table.place(from_flat(row.config)), row.source, row.state, row.val_mse),
                *(row.seconds or 0.0, row.asked_seconds),
            )
            for row in self.trials
        ]

    def _go_on(self) -> None:
        """Plan, train and judge one more trial."""
        view = self._view()
        proposal = self.planner.propose(view) if view.number else first_proposal()
        row = self._judged(self._trained(view, view.whole(proposal)))
        self.trials.append(row)
        self.planner.observe(row)

    def _view(self) -> View:
        return View(
            search_id=self.search_id,
            number=len(self.trials),
            spec=self.spec,
            max_trials=self.spec.max_trials,
            incumbent=self.incumbent.number if self.incumbent else None,
            trials=tuple(self.trials),
            baselines=self._baselines,
            epochs=lambda numbers: [row for each in numbers for row in self._epochs[each]],
            noise=None,
            spend=Spend(0, 0, 0, 0.0, 0, 0.0),
        )

    def _trained(self, view: View, proposal: Proposal) -> TrialRow:
        """Return the trial that a proposal becomes, not yet judged."""
        number = view.number
        config = from_flat({**view.base, **proposal.changes})
        found = self.table.replay(config)
        trained = []
        for epoch in found.epochs:
            trained.append(epoch)
            reached = Reached(number, epoch.epoch, config.training.epochs, epoch.val_mse)
            if number and self._pruner.report(reached):
                break
        self._epochs[number] = [_epoch_row(number, epoch) for epoch in trained]
        facts: dict[str, Any] = {"state": "completed", "val_mse": None}
        if len(trained) < len(found.epochs):
            facts["state"] = "pruned"
        elif isinstance(found.outcome, Success):
            facts |= {name: getattr(found.outcome, name) for name in ("val_mse", "val_mae")}
        else:
            error = {"error_class": found.outcome.error_class, "error": found.outcome.message}
            facts |= {"state": "failed", **error}
        told = {name: getattr(proposal, name) for name in ("parent", "source", "hypothesis")}
        return dataclasses.replace(
            trial_row(number, {}, **facts, **told),
            config=config.flat(),
            changes=dict(proposal.changes),
            seeds=int(facts["val_mse"] is not None),
            seconds=sum(epoch.seconds for epoch in trained),
            asked_seconds=self.asked(number),
        )

    def _judged(self, row: TrialRow) -> TrialRow:
        best = self.incumbent
        verdict = decide(
            Figures(
                value=row.val_mse,
                seeds=row.seeds,
                tried=1,
                incumbent=best.number if best else None,
                incumbent_value=best.val_mse if best else None,
                incumbent_seeds=1 if best else 0,
                failure=row.error,
                pruned=row.state == "pruned",
            ),
            ONE_SEED,
        )
        assert isinstance(verdict, Verdict), "no rule asks for more than one seed"
        judged = dataclasses.replace(
            row,
            accepted=verdict.accepted,
            rule=verdict.rule,
            verdict=verdict.sentence,
            improvement=verdict.figures.improvement,
        )
        self.incumbent = judged if judged.accepted else best
        return judged


def _epoch_row(number: int, epoch: Epoch) -> EpochRow:
    figures = (epoch.train_loss, epoch.val_mse, epoch.val_mae, epoch.lr, epoch.seconds)
    return EpochRow(number, epoch.epoch, *figures)


# -- samplers of Optuna, in a study of its own ----------------------------------------------------


def searched_by_optuna(
    table: Table, sampler: BaseSampler, seed: int, trials: int, pruner: BasePruner | None = None
) -> list[Tried]:
    """Return the trials of a study over a grid that begins with trial 0, as Optuna asks for them.

    Numbers are searched by their position, in order, all else as categories. A repeat is trained
    again, with the same result; what is no valid configuration is told as failed and costs a trial,
    but no time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CMA-ES tells that categories are drawn at random
        study = optuna.create_study(sampler=sampler, pruner=pruner or NopPruner())
        first = table.first.flat()
        study.enqueue_trial(
            {key: _encoded(values, first[key]) for key, values in table.grid.items()}
        )
        return [_asked(study, table, seed) for _ in range(trials)]


def _asked(study: optuna.Study, table: Table, seed: int) -> Tried:
    """Ask for a trial, train it and tell what came of it."""
    trial = study.ask({key: _distribution(values) for key, values in table.grid.items()})
    found = tuple(_decoded(values, trial.params[key]) for key, values in table.grid.items())
    if found not in table.combinations:
        study.tell(trial, state=TrialState.FAIL)
        return Tried(found, "optuna", "refused", None, 0.0)
    row = table.replay(table.configuration(table.combinations[found], seed))
    seconds = 0.0
    for epoch in row.epochs:
        seconds += epoch.seconds
        if epoch.val_mse is not None:
            trial.report(epoch.val_mse, epoch.epoch)
        if epoch is not row.epochs[-1] and trial.number and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return Tried(found, "optuna", "pruned", None, seconds)
    if not isinstance(row.outcome, Success):
        study.tell(trial, state=TrialState.FAIL)
        return Tried(found, "optuna", "failed", None, seconds)
    study.tell(trial, row.outcome.val_mse)
    return Tried(found, "optuna", "completed", row.outcome.val_mse, seconds)


def _distribution(values: Sequence[Value]) -> BaseDistribution:
    if ordered(tuple(values)):
        return IntDistribution(0, len(values) - 1)
    return CategoricalDistribution(values)


def _encoded(values: Sequence[Value], value: Value) -> Value:
    return values.index(value) if ordered(tuple(values)) else value


def _decoded(values: Sequence[Value], param: Any) -> Value:
    value: Value = values[param] if ordered(tuple(values)) else param
    return value
