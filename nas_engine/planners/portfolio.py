"""The default planner without a key: what others found out, then what a forest or TPE expects.

First windows are normalised in each way, which moves the error most, then come published designs
(`designs.py`), then the best of them with its windows normalised in each way. Then each of the best
trials with one setting changed is a candidate, and a random forest over the results ranks them by
the improvement that it expects: SMAC searches so around its best configurations (Hutter, Hoos and
Leyton-Brown 2011, section 4.3), and among architectures local search alone is a strong method
(White, Nolen and Savani 2021). Each `EXPLORES`-th trial is TPE's as it is, which looks elsewhere
and does not trust the forest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import optuna

from informer.config import Interval, Search, Value, fields, problems, short
from nas_engine.front import figures
from nas_engine.planners.aims import beaten_by, names, standing, traded
from nas_engine.planners.base import Results, View
from nas_engine.planners.designs import is_design, next_design
from nas_engine.planners.prospects import Prospects
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.proposals import Proposal, active_changes
from nas_engine.store.rows import TrialRow

EXPLORES = 4
"""One in so many trials is TPE's own."""

LEAST = 4
"""Results from which the forest learns."""

BEST = 5
"""Trials whose neighbours are candidates."""

TRADED = 64
"""Candidates where more than the error counts, which takes the forest longer."""

NORMALISATION = "model.normalisation"
"""The setting that moves the error most (docs/planning.md)."""

NORMALISES = "Another normalisation (Liu et al. 2022)"
"""How the hypothesis of a trial begins that tries one."""

LOOKED_AT = 50
"""Candidates that are checked, from the most promising on, until one may be tried."""

REACH = 0.2
"""Deviation of a neighbour in a setting that is a number, as a share of its interval: SMAC's."""


@dataclass(frozen=True)
class Neighbour:
    """A trial with one setting changed; it need not be valid."""

    of: int
    key: str
    config: Mapping[str, Value]


class PortfolioPlanner:
    """Proposes what is known to be good, a neighbour of a good trial, or a sample of TPE's."""

    def __init__(self) -> None:
        self._optimiser = OptunaPlanner("tpe")
        self._results = Results()

    def observe(self, result: TrialRow) -> None:
        """Take a result as evidence."""
        self._optimiser.observe(result)
        self._results.observe(result)

    def study(self, view: View) -> optuna.Study:
        """Return what is known as TPE is told it."""
        return self._optimiser.study(view)

    def propose(self, view: View) -> Proposal:
        """Return a proposal of whoever's turn it is; raises SpaceExhausted."""
        results = self._results.of(view)
        known = [t for t in results if figures(t, names(view.spec)) is not None]
        return (
            _normalised([trial for trial in known if trial.number == 0], view)
            or next_design(view)
            or _normalised([trial for trial in known if is_design(trial)], view)
            or _promising(known, results, view)
            or self._optimiser.propose(view)
        )


def _normalised(trials: Sequence[TrialRow], view: View) -> Proposal | None:
    """Return the best of the trials with its windows normalised in a way that was not tried yet."""
    draw = _draw(view)
    for trial in _best_first(trials, view, draw)[:1]:
        for each in neighbours(trial, view, draw):
            if each.key != NORMALISATION:
                continue
            changes = _changes(view, each.config)
            if changes and not view.check(changes):
                way = short(each.config[NORMALISATION])
                return Proposal(
                    source="portfolio",
                    parent=view.incumbent,
                    changes=changes,
                    hypothesis=f"{NORMALISES}: trial {trial.number} with {NORMALISATION} {way}.",
                )
    return None


def _promising(
    known: Sequence[TrialRow], results: Sequence[TrialRow], view: View
) -> Proposal | None:
    """Return the neighbour that the forest expects most of; None where it is TPE's turn."""
    if view.number % EXPLORES == 0 or len(known) < LEAST:
        return None
    candidates = _candidates(known, view)
    hopes = Prospects(view, results).of([each.config for each in candidates])
    ranked = sorted(zip(candidates, hopes, strict=True), key=lambda each: each[1].worth)
    for candidate, _ in reversed(ranked[-LOOKED_AT:]):
        changes = _changes(view, candidate.config)
        if changes and not view.check(changes):
            return Proposal(
                source="forest",
                parent=view.incumbent,
                changes=changes,
                hypothesis=(
                    f"Trial {candidate.of} with {candidate.key} "
                    f"{short(candidate.config[candidate.key])}: of {len(candidates)} such "
                    "neighbours of the best trials, the one of which a random forest over "
                    f"{len(known)} results expects most."
                ),
            )
    return None


def _candidates(known: Sequence[TrialRow], view: View) -> list[Neighbour]:
    """Return neighbours of the best trials: those that the fewest others beat."""
    draw = _draw(view)
    best = _best_first(known, view, draw)[:BEST]
    found = [each for trial in best for each in neighbours(trial, view, draw)]
    draw.shuffle(found)  # the forest expects the same of many
    if not traded(view.spec):
        return found
    return [each for each in found[: 2 * TRADED] if not problems(each.config)][:TRADED]


def _draw(view: View) -> random.Random:
    return random.Random(int(view.spec.start()["training.seed"]) + view.number)  # noqa: S311


def _best_first(trials: Sequence[TrialRow], view: View, draw: random.Random) -> list[TrialRow]:
    """Return trials by how many others beat them, by lot where those are as many."""
    standings = [standing(trial, view.spec) for trial in trials]
    beaten = beaten_by(standings, standings)
    order = sorted(range(len(trials)), key=lambda at: (beaten[at], draw.random()))
    return [trials[at] for at in order]


def neighbours(trial: TrialRow, view: View, draw: random.Random) -> Iterator[Neighbour]:
    """Yield a trial with one setting changed, once for each other value that it may have.

    Of an interval a few values are drawn. What may not vary is as in the parent.
    """
    values = {**view.parent, **{key: trial.config[key] for key in view.space}}
    for key, search in view.space.items():
        if fields()[key].active(values):
            for value in _others(search, values[key], draw):
                yield Neighbour(trial.number, key, {**values, key: value})


def _others(search: Search, value: Value, draw: random.Random) -> list[Value]:
    if isinstance(search, Interval):
        shares = [draw.gauss(search.share(float(value)), REACH) for _ in range(4)]
        return [_at(search, share) for share in shares]
    return [other for other in search.values if other != value]


def _at(interval: Interval, share: float) -> float:
    written = float(f"{interval.at(min(max(share, 0.0), 1.0)):.3g}")  # as people write
    return min(max(written, interval.low), interval.high)


def _changes(view: View, config: Mapping[str, Value]) -> dict[str, Value]:
    changes = {key: config[key] for key in view.space if config[key] != view.parent[key]}
    changes = active_changes(view.parent, changes)
    return view.shrunk(changes) if view.enforced else changes
