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
import multiprocessing
import os
import statistics
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import click
from tqdm import tqdm

from benchmarks.marks import Mark, announce, judge
from benchmarks.transfer_tables import FAR, NEAR, add_walks
from data.registry import find
from data.traits import traits
from informer.config import from_flat
from informer.records import Success
from nas_engine.cli.common import plainly
from nas_engine.lessons import Lessons, Source, lessons_of
from nas_engine.planners.base import View, first_proposal
from nas_engine.planners.earlier import past_proposal
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.proposals import Proposal
from nas_engine.search import SearchSpec
from nas_engine.similarity import Similarity, Task, similarity
from nas_engine.store.rows import Spend, TrialRow
from tests.engine.recorded_search import recorded_spec
from tests.engine.rows import no_epochs, trial_row
from tests.recorded.rows import Key
from tests.recorded.table import TESTED, Table

WITHIN = 0.01
"""Of the best val_mse of the table: the quality that is waited for."""

Errors = Mapping[Key, float]


@dataclass(frozen=True)
class Landscape:
    """A task whose every configuration has been trained."""

    name: str
    table: Table
    upside_down: bool = False  # the best configuration has the error of the worst, and so on

    @functools.cached_property
    def errors(self) -> Errors:
        """val_mse by the values of the settings, at the seed of the defaults."""
        seed = self.table.first.training.seed
        found = {
            row.key: row.outcome.val_mse
            for row in self.table.read()
            if row.seed == seed and isinstance(row.outcome, Success)
        }
        if not self.upside_down:
            return found
        ordered = sorted(found, key=lambda settings: found[settings])
        errors = sorted(found.values(), reverse=True)
        return dict(zip(ordered, errors, strict=True))

    def spec(self, seed: int, trials: int, lessons: tuple[int, ...] = ()) -> SearchSpec:
        """Return a search of which every trial is in the table."""
        return recorded_spec(seed, self.table, max_trials=trials, lessons=lessons)

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
        error = table.errors.get(tuple(config[key] for key in table.table.grid))
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
    """Judge a search by the best error of its table."""
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
        told = tuple(lesson.model_copy(update={"trials": ()}) for lesson in lessons.of)
        return lessons.model_copy(update={"of": told})
    return lessons.model_copy(update={"first": ()}) if part == "prior" else lessons


@dataclass(frozen=True)
class Transfer:
    """A search that learns from an earlier one on another task."""

    target: Landscape
    source: Landscape
    likeness: Similarity
    parts: Sequence[str]

    def outcomes(self, seed: int, trials: int) -> dict[str, Outcome]:
        """Return how soon a search was good with each part of the lessons."""
        spec = self.source.spec(EARLIER + seed, trials)
        earlier = searched(self.source, spec)
        best = min((t for t in earlier if t.val_mse is not None), key=lambda t: t.val_mse or 0.0)
        known = Source(1, self.source.name, spec, self.likeness, earlier, best.number, None)
        wanted = self.target.spec(seed, trials, (1,))
        lessons = lessons_of([known], wanted)
        return {
            part: outcome(self.target, searched(self.target, wanted, taken(lessons, part)))
            for part in self.parts
        }


EARLIER = 1000
"""Added to the seed of a search gives that of the one that it learns from."""


def of_seed(transfers: Sequence[Transfer], trials: int, seed: int) -> list[dict[str, Outcome]]:
    """Return for each transfer the outcomes of one seed, by what was taken; "none" among them."""
    plain: dict[str, Outcome] = {}
    found = []
    for transfer in transfers:
        target = transfer.target
        if target.name not in plain:
            plain[target.name] = outcome(target, searched(target, target.spec(seed, trials)))
        found.append({"none": plain[target.name], **transfer.outcomes(seed, trials)})
    return found


def show(transfer: Transfer, by_seed: Sequence[Mapping[str, Outcome]]) -> None:
    """Print what the lessons were worth."""
    target, source = transfer.target.name, transfer.source.name
    click.echo(f"\n{target}, learning from {source} (similarity {transfer.likeness.text})")
    click.echo(
        f"{'lessons':<8}{'trials':>7} {'quartiles':>16}{'wins':>7}{'p':>7}"
        f"{'excess':>9}{'wins':>7}{'p':>7}"
    )
    for part in ("none", *transfer.parts):
        needed, area = (
            [[getattr(o[p], name) for o in by_seed] for p in (part, "none")]
            for name in ("needed", "area")
        )
        low, middle, high = statistics.quantiles(needed[0], n=4, method="inclusive")
        line = f"{part:<8}{middle:>7g} {f'{low:g} to {high:g}':>15}{_paired(*needed)}"
        click.echo(f"{line}{statistics.median(area[0]):>9.1%}{_paired(*area)}".rstrip())


def _paired(found: Sequence[float], without: Sequence[float]) -> str:
    """Return how often it was better and worse, and Wilcoxon's p, two-sided."""
    from scipy.stats import wilcoxon

    if found == without:
        return " " * 14
    wins = sum(a < b for a, b in zip(found, without, strict=True))
    losses = sum(a > b for a, b in zip(found, without, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ties: the normal approximation is taken
        p = float(wilcoxon(found, without).pvalue)
    return f"{f'{wins}:{losses}':>7}{p:>7.3f}"


def transfers() -> list[Transfer]:
    """Return what is compared; the data of all tasks must be there."""
    day, longer, walks = (
        Landscape("ETTh1 at horizon 24", TESTED),
        Landscape("ETTh1 at horizon 96", NEAR),
        Landscape("random walks", FAR),
    )
    wrong = Landscape("the same upside down", TESTED, upside_down=True)
    return [
        Transfer(day, longer, similarity(day.task, longer.task), PARTS),
        Transfer(longer, day, similarity(longer.task, day.task), PARTS[:1]),
        Transfer(day, walks, similarity(day.task, walks.task), PARTS[:1]),
        Transfer(day, wrong, similarity(day.task, day.task), PARTS),
    ]


@click.command()
@click.option("--seeds", default=8, show_default=True, type=click.IntRange(2))
@click.option("--trials", default=30, show_default=True, type=click.IntRange(5))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
@plainly
def main(seeds: int, trials: int, workers: int) -> None:
    """Compare searches with and without lessons."""
    announce()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        add_walks()
        compared = transfers()
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            job = functools.partial(of_seed, compared, trials)
            found = list(tqdm(pool.imap(job, range(seeds)), total=seeds, unit="seed"))
    click.echo(
        f"```\n{seeds} seeds, {trials} trials each. Trials: to within {WITHIN:.0%} of the best of "
        f"the table, {trials + 1} where\nnever (median). Excess: of the best so far over that "
        "best, mean over the trials (median).\nWins: seeds better and worse than without lessons; "
        "p: Wilcoxon's, two-sided."
    )
    for at, transfer in enumerate(compared):
        show(transfer, [by_transfer[at] for by_transfer in found])
    click.echo("```")
    judge(marks(compared, found, trials))


def marks(
    compared: Sequence[Transfer], found: Sequence[Sequence[Mapping[str, Outcome]]], trials: int
) -> Iterator[Mark]:
    """Yield a mark for lessons of each other task: they cost no trials in the median.

    There is none where neither median came near the best within so many trials.
    """
    for at, transfer in enumerate(compared):
        if transfer.source.upside_down:
            continue
        with_them, without = (
            statistics.median(by_transfer[at][part].needed for by_transfer in found)
            for part in (PARTS[0], "none")
        )
        if min(with_them, without) > trials:
            continue
        told = f"{transfer.target.name}, trials with lessons of {transfer.source.name}; without"
        yield Mark(told, with_them, without)


if __name__ == "__main__":
    main()
