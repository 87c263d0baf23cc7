"""The default planner without a key: published designs, then what a forest or TPE expects most of.

Designs come first (`designs.py`). Then candidates are ranked by the improvement that a random
forest over the results expects of them, as in SMAC (Hutter, Hoos and Leyton-Brown 2011, section
4.3): the best trials with one setting changed, for local search is a strong method among
architectures (White et al. 2021), and random configurations. Each `EXPLORES`-th trial is TPE's as
it is, which does not trust the forest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import optuna

from informer.config import Interval, Search, Value, fields, problems
from nas_engine.front import figures
from nas_engine.planners.aims import names, standing, traded
from nas_engine.planners.base import Results, View
from nas_engine.planners.designs import next_design
from nas_engine.planners.prospects import Prospects
from nas_engine.planners.tpe import OptunaPlanner, startup_trials
from nas_engine.proposals import Proposal, active_changes
from nas_engine.store.reader import TrialRow

EXPLORES = 4
"""One in so many trials is TPE's own."""

BEST = 5
"""Trials whose neighbours are candidates."""

DRAWN = 200
"""Random candidates."""

TRADED = 64
"""Candidates where more than the error counts."""

CHECKED = 50
"""Candidates that are looked at, from the most promising on, until one may be tried."""


class PortfolioPlanner:
    """Proposes a published design, a candidate of the forest's, or a sample of TPE's."""

    def __init__(self) -> None:
        self._optimiser = OptunaPlanner("tpe")
        self._results = Results()

    def observe(self, result: TrialRow) -> None:
        """Take a result as evidence."""
        self._optimiser.observe(result)
        self._results.observe(result)

    def study(self, view: View) -> optuna.Study:
        """Return what is known as a study."""
        return self._optimiser.study(view)

    def propose(self, view: View) -> Proposal:
        """Return whatever comes first; raises SpaceExhausted."""
        return next_design(view) or self._promising(view) or self._optimiser.propose(view)

    def _promising(self, view: View) -> Proposal | None:
        """Return the candidate that the forest expects most of; None where it is not its turn."""
        results = self._results.of(view)
        known = [t for t in results if figures(t, names(view.spec)) is not None]
        if view.number % EXPLORES == 0 or len(known) < startup_trials(view):
            return None
        candidates = _candidates(known, view)
        hopes = Prospects(view, results).of(candidates)
        ranked = sorted(range(len(candidates)), key=lambda at: hopes[at].worth, reverse=True)
        for at in ranked[:CHECKED]:
            changes = _changes(view, candidates[at])
            if changes and not view.check(changes):
                return Proposal(
                    source="forest",
                    parent=view.incumbent,
                    changes=changes,
                    hypothesis=(
                        f"Of {len(candidates)} candidates, a random forest over {len(known)} "
                        "results expects the largest improvement of this one."
                    ),
                )
        return None


def _candidates(known: Sequence[TrialRow], view: View) -> list[dict[str, Value]]:
    """Return what the forest ranks; with several objectives, which take it longer, `TRADED`."""
    found = list(_around(known, view))
    if not traded(view.spec):
        return found
    chosen = _random(view).sample(found, min(2 * TRADED, len(found)))
    return [config for config in chosen if not problems(config)][:TRADED]


def _random(view: View) -> random.Random:
    return random.Random(int(view.spec.start()["training.seed"]) + view.number)  # noqa: S311


def _around(known: Sequence[TrialRow], view: View) -> Iterator[dict[str, Value]]:
    draw = _random(view)
    best = sorted(known, key=lambda trial: (standing(trial, view.spec), trial.number))[:BEST]
    for trial in best:
        yield from neighbours(
            {**view.parent, **{k: trial.config[k] for k in view.space}}, view.space, draw
        )
    for _ in range(DRAWN):
        yield {**view.parent, **{key: _drawn(search, draw) for key, search in view.space.items()}}


def neighbours(
    config: Mapping[str, Value], space: Mapping[str, Search], draw: random.Random
) -> Iterator[dict[str, Value]]:
    """Yield a configuration with one setting changed, once for each other value it may have."""
    for key, search in space.items():
        if fields()[key].active(config):
            for value in _others(search, config[key], draw):
                yield {**config, key: value}


def _others(search: Search, value: Value, draw: random.Random) -> list[Value]:
    if isinstance(search, Interval):
        shares = [draw.gauss(search.share(float(value)), 0.2) for _ in range(4)]
        return [float(f"{search.at(min(max(share, 0.0), 1.0)):.3g}") for share in shares]
    return [other for other in search.values if other != value]


def _drawn(search: Search, draw: random.Random) -> Value:
    if isinstance(search, Interval):
        return float(f"{search.at(draw.random()):.3g}")
    return draw.choice(search.values)


def _changes(view: View, config: Mapping[str, Value]) -> dict[str, Value]:
    changes = {key: config[key] for key in view.space if config[key] != view.parent[key]}
    changes = active_changes(view.parent, changes)
    return view.shrunk(changes) if view.enforced else changes
