"""Trials needed with and without lessons of an earlier search: `python -m benchmarks.transfer`.

Searches by TPE on tables of real trainings (`tests/recorded`, and `benchmarks/transfer_tables.py`
for those that are learned from): the same seeds with and without lessons, compared in pairs by
Wilcoxon's signed-rank test. A search that learns from one whose order is turned around, and which
is claimed to be the same task, shows what a lesson costs that is as wrong as can be.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import os
import statistics
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.transfer_tables import FAR, NEAR, RECORDED, WALKS, Recorded, add_walks
from data.registry import find
from data.traits import traits
from informer.config import Value, from_flat
from informer.rundir import Success
from nas_engine.lessons import Lessons, Source, lessons_of
from nas_engine.planners.base import View, first_proposal
from nas_engine.planners.earlier import past_proposal
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.proposals import Proposal
from nas_engine.search import Narrowing, SearchSpec
from nas_engine.similarity import Similarity, Task, similarity
from nas_engine.store.reader import Spend, TrialRow
from tests.engine.recorded_search import recorded_spec
from tests.engine.rows import no_epochs, trial_row
from tests.recorded.table import GRID, TABLE, read_rows, start

WITHIN = 0.01
"""Of the best val_mse of the table: the quality that is waited for."""

Errors = Mapping[tuple[Value, ...], float]


@dataclass(frozen=True)
class Landscape:
    """A task whose every configuration has been trained."""

    name: str
    path: Path
    upside_down: bool = False  # the best configuration has the error of the worst, and so on

    @functools.cached_property
    def errors(self) -> Errors:
        """val_mse by the values of the settings, at the seed of the defaults."""
        seed = start().training.seed
        found = {
            tuple(row.settings.values()): row.outcome.val_mse
            for row in read_rows(self.path)
            if row.seed == seed and isinstance(row.outcome, Success)
        }
        if not self.upside_down:
            return found
        ordered = sorted(found, key=lambda settings: found[settings])
        errors = sorted(found.values(), reverse=True)
        return dict(zip(ordered, errors, strict=True))

    def spec(self, seed: int, trials: int, lessons: tuple[int, ...] = ()) -> SearchSpec:
        """Return a search of which every trial is in the table."""
        spec = recorded_spec(seed, max_trials=trials)
        what = RECORDED.get(self.path, Recorded({}, {}))
        narrowed = {key: Narrowing(values=values) for key, values in what.narrowed.items()}
        return spec.model_copy(
            update={
                "settings": {**spec.settings, **what.task},
                "space": {**spec.space, **narrowed},
                "lessons": lessons,
            }
        )

    @functools.cached_property
    def task(self) -> Task:
        """What it is about, with what its data are like."""
        spec = self.spec(0, 1)
        values = spec.base().data
        dataset = find(values.dataset)
        found = traits(dataset, values.features, values.target)
        return Task.of(spec, spec.data(), found)


def searched(
    table: Landscape,
    spec: SearchSpec,
    lessons: Lessons = Lessons(),  # noqa: B008
) -> list[TrialRow]:
    """Return the trials of a search by TPE; one that failed in the table fails."""
    planner, trials = OptunaPlanner("tpe"), list[TrialRow]()
    best: TrialRow | None = None
    while len(trials) < spec.max_trials:
        view = View(
            search_id=1,
            number=len(trials),
            spec=spec,
            max_trials=spec.max_trials,
            incumbent=best.number if best else None,
            trials=trials,
            baselines=(),
            epochs=no_epochs,
            noise=None,
            spend=Spend(0, 0, 0, 0.0, 0, 0.0),
            lessons=lessons,
        )
        proposal = _proposal(view, planner)
        config = from_flat({**view.base, **proposal.changes}).flat()
        error = table.errors.get(tuple(config[key] for key in GRID))
        better = error is not None and (best is None or error < (best.val_mse or math.inf))
        row = dataclasses.replace(
            trial_row(len(trials), {}),
            config=config,
            parent=proposal.parent,
            source=proposal.source,
            state="failed" if error is None else "completed",
            val_mse=error,
            accepted=better,
            seeds=1,
        )
        planner.observe(row)
        trials.append(row)
        best = row if better else best
    return trials


def _proposal(view: View, planner: OptunaPlanner) -> Proposal:
    if view.number == 0:
        return first_proposal()
    return past_proposal(view) or planner.propose(view)


@dataclass(frozen=True)
class Outcome:
    """How soon a search was good."""

    needed: int  # trials to within `WITHIN` of the best; one more than there were: never
    area: float  # mean excess over the best, relative, of the best so far after each trial


def outcome(table: Landscape, trials: Sequence[TrialRow]) -> Outcome:
    """Judge a search by the best error that its space has in the table."""
    best = min(table.errors.values())
    errors = [math.inf if trial.val_mse is None else trial.val_mse for trial in trials]
    curve = [so_far / best - 1 for so_far in itertools.accumulate(errors, min)]
    needed = next((n for n, excess in enumerate(curve) if excess <= WITHIN), len(curve))
    return Outcome(needed + 1, statistics.fmean(curve))


PARTS = ("both", "first", "prior")
"""What is taken: the best configurations first, the trials as a prior, or both."""


def taken(lessons: Lessons, part: str) -> Lessons:
    """Return a part of the lessons."""
    if part == "first":
        return lessons.model_copy(
            update={"of": tuple(each.model_copy(update={"trials": ()}) for each in lessons.of)}
        )
    return lessons.model_copy(update={"first": ()}) if part == "prior" else lessons


def compare(
    target: Landscape,
    source: Landscape,
    likeness: Similarity,
    seeds: int,
    trials: int,
    parts: Sequence[str],
) -> None:
    """Print what the lessons of searches on `source` are worth on `target`."""
    without, learned = [], {part: [] for part in parts}
    for seed in range(seeds):
        plain = target.spec(seed, trials)
        without.append(outcome(target, searched(target, plain)))
        spec = source.spec(1000 + seed, trials)
        earlier = searched(source, spec)
        best = min((t for t in earlier if t.val_mse is not None), key=lambda t: t.val_mse or 0.0)
        known = Source(1, source.name, spec, likeness, earlier, best.number, None)
        lessons = lessons_of([known], target.spec(seed, trials, (1,)))
        for part in parts:
            found = searched(target, target.spec(seed, trials, (1,)), taken(lessons, part))
            learned[part].append(outcome(target, found))
    click.echo(f"\n{target.name}, learning from {source.name} (similarity {likeness.text})")
    click.echo(
        f"{'lessons':<10} {'trials':>7} {'':>9} {'wins':>7} {'p':>6}   "
        f"{'excess':>7} {'wins':>7} {'p':>6}"
    )
    _print("none", without, without)
    for part in parts:
        _print(part, learned[part], without)


def _print(name: str, found: Sequence[Outcome], without: Sequence[Outcome]) -> None:
    needed, area = [o.needed for o in found], [o.area for o in found]
    line = f"{name:<10} {statistics.median(needed):>7g} {_spread(needed):>9}"
    line += f" {_paired(needed, [o.needed for o in without])}" if found is not without else " " * 15
    line += f"   {statistics.median(area):>7.1%}"
    line += f" {_paired(area, [o.area for o in without])}" if found is not without else ""
    click.echo(line)


def _spread(values: Sequence[float]) -> str:
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low:g}-{high:g}"


def _paired(found: Sequence[float], without: Sequence[float]) -> str:
    """Return how often it was better, worse, and Wilcoxon's p, two-sided."""
    from scipy.stats import wilcoxon

    wins = sum(a < b for a, b in zip(found, without, strict=True))
    losses = sum(a > b for a, b in zip(found, without, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ties: the normal approximation is taken
        p = wilcoxon(found, without).pvalue if wins + losses else 1.0
    return f"{f'{wins}:{losses}':>7} {p:>6.3f}"


@click.command()
@click.option("--seeds", default=16, show_default=True, type=click.IntRange(2))
@click.option("--trials", default=40, show_default=True, type=click.IntRange(5))
def main(seeds: int, trials: int) -> None:
    """Compare searches with and without lessons."""
    day, longer, walks = (
        Landscape("ETTh1 at horizon 24", TABLE),
        Landscape("ETTh1 at horizon 96", NEAR),
        Landscape("random walks", FAR),
    )
    wrong = Landscape("ETTh1 at horizon 24 upside down", TABLE, upside_down=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        add_walks()
        assert find(WALKS)
        click.echo(
            f"{seeds} seeds, {trials} trials each; trials to within {WITHIN:.0%} of the best "
            "(median and quartiles),\nand the mean excess of the best so far over the best of all. "
            "Wins and losses against none; Wilcoxon's p."
        )
        for target, source in ((day, longer), (longer, day), (day, walks), (longer, walks)):
            compare(target, source, similarity(target.task, source.task), seeds, trials, PARTS)
        compare(day, wrong, similarity(day.task, day.task), seeds, trials, PARTS)


if __name__ == "__main__":
    main()
