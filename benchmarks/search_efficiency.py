"""How soon searches are good: `python -m benchmarks.search_efficiency`.

Planners of the product and samplers of Optuna search a recorded table (`tests/recorded/space.csv`),
which holds a real training of each of its configurations, so that a search takes seconds and all
see the same world. All begin with the same trial 0 and train each trial once. A search has reached
what is waited for with the first trial that is among the best 1 % of the table, by the mean over
the recorded seeds. Searches of the same seed draw the same noise, and are compared with those of
`tpe` in pairs, by Wilcoxon's signed-rank test, corrected for their number by Holm.

Optuna's samplers run in a study of its own over the same grid, numbers by their position; they may
repeat a configuration, and what is no valid one fails: both cost a trial. The language models of
`hybrid` are an oracle that knows the best tenth of the table but not its order, one that names
the worst configuration that is left, and SmolLM2-135M, which is small enough to run beside the
search and whose answers can hardly be used: it shows what asking in vain costs, no more.

What it does not show: trainings are short and the grid is coarse, so that what is best in it is
best for 400 steps of training. `tpe` never repeats a configuration, as no planner of the product
does. The seconds are those of the recorded trainings; planning is not part of them.
"""

from __future__ import annotations

import functools
import multiprocessing
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import click
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, NSGAIISampler, RandomSampler, TPESampler
from tqdm import tqdm

from benchmarks.comparing import (
    Need,
    What,
    best_so_far,
    handed_over,
    holm,
    mean_curve,
    needed,
    needs_p,
    trials_to_equal,
)
from benchmarks.marks import Mark, announce, judge
from benchmarks.models_asked import Kind, asking, served
from benchmarks.replaying import Search, Tried, searched_by_optuna
from nas_engine.llm import LanguageModel
from nas_engine.planning import planner_of
from nas_engine.search import ASKING, PlannerName, Pruning, SearchSpec, default_planner
from tests.engine.recorded_search import recorded_spec
from tests.recorded.rows import Key
from tests.recorded.table import COMPARED

TOP = 0.01
"""The share of the table that is waited for."""

APART = 1000
"""Between the seeds of two searches: a trial draws with the seed of its search plus its number."""

AT = (5, 10, 20, 25, 40, 50, 80)
"""Trials after which it is told how good the searches are."""

TPE: PlannerName = "tpe"
WHOLE = Pruning()
HALVING = Pruning(method="successive_halving")
HYBRIDS: Mapping[str, Kind] = {f"hybrid, {kind} model": kind for kind in get_args(Kind)}
SMALL, WORST = "hybrid, small model", "hybrid, worst model"

GENERATION = 20
"""Population of NSGA-II: with Optuna's 50, half of the budget would be drawn at random."""

SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "TPE": lambda seed: TPESampler(seed=seed),
    "CMA-ES": lambda seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "NSGA-II": lambda seed: NSGAIISampler(seed=seed, population_size=GENERATION),
}
"""Of Optuna, as they come; CMA-ES draws categories at random, for it knows numbers alone."""


# -- searches -------------------------------------------------------------------------------------


def methods() -> Mapping[str, Callable[[int, int], list[Tried]]]:
    """Return what is compared: by name, a search from a seed and a number of trials."""
    plain = [name for name in get_args(PlannerName) if name not in ASKING]
    return {
        **{name: functools.partial(_by_planner, name) for name in plain},
        "tpe, halving": functools.partial(_by_planner, TPE, pruning=HALVING),
        **{f"Optuna {name}": functools.partial(_by_sampler, name) for name in SAMPLERS},
        "Optuna halving": functools.partial(_by_sampler, "random", halving=True),
        **{name: functools.partial(_by_hybrid, kind) for name, kind in HYBRIDS.items()},
    }


def _spec(planner: PlannerName, seed: int, trials: int, pruning: Pruning) -> SearchSpec:
    return recorded_spec(seed, COMPARED, planner=planner, max_trials=trials, pruning=pruning)


def _by_planner(name: PlannerName, seed: int, trials: int, pruning: Pruning = WHOLE) -> list[Tried]:
    spec = _spec(name, seed, trials, pruning)
    return Search(spec, COMPARED, planner_of(spec, _no_model)).run()


def _no_model(number: int) -> LanguageModel:
    raise AssertionError("this planner asks no language model")


def _by_sampler(name: str, seed: int, trials: int, halving: bool = False) -> list[Tried]:
    pruner = SuccessiveHalvingPruner(HALVING.min_epochs, HALVING.reduction) if halving else None
    return searched_by_optuna(COMPARED, SAMPLERS[name](seed), seed, trials, pruner)


def _by_hybrid(kind: Kind, seed: int, trials: int) -> list[Tried]:
    spec = _spec("hybrid", seed, trials, WHOLE)
    ranked = [mean.settings for mean in COMPARED.means]
    with served(kind, ranked, seed) as url, asking(spec, url) as model:
        planner = planner_of(spec, model)
        return Search(spec, COMPARED, planner, model.seconds, model.search_id).run()


@dataclass(frozen=True)
class Job:
    """A search that is to be made."""

    method: str
    seed: int
    trials: int

    def run(self) -> tuple[Job, list[Tried]]:
        """Make it."""
        return self, methods()[self.method](self.seed, self.trials)


def searched(jobs: Sequence[Job], workers: int) -> Mapping[Job, list[Tried]]:
    """Make all searches, several at a time."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        done = pool.imap_unordered(Job.run, jobs)
        return dict(tqdm(done, total=len(jobs), unit="search", smoothing=0))


# -- what came of them ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """The searches of a method, by seed, and what they needed."""

    name: str
    budget: int
    searches: Sequence[Sequence[Tried]]

    def needs(self, budget: int | None = None) -> list[Need]:
        """Return what each needed, of its budget or of a smaller one."""
        wanted, budget = COMPARED.best(TOP), budget or self.budget
        return [needed(tried, wanted, budget) for tried in self.searches]

    def curve(self, budget: int) -> list[float]:
        """Return how good they were after each trial, the mean over seeds."""
        return mean_curve([best_so_far(tried, worth(), budget) for tried in self.searches])

    @property
    def in_the_end(self) -> float:
        """How good what they hand over is, the mean over seeds."""
        return statistics.fmean(handed_over(tried, worth()) for tried in self.searches)


def worth() -> Mapping[Key, float]:
    """Return the mean val_mse over the recorded seeds by configuration."""
    return {mean.key: mean.val_mse for mean in COMPARED.means}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown: words to the left, figures to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def reached_table(every: Sequence[Found], tpe: Found) -> str:
    """Return what each method needed, compared with `tpe` of the same budget in pairs."""
    compared = [found for found in every if found is not tpe]
    pairs = [(found.needs(), tpe.needs(found.budget)) for found in compared]
    ps = {}
    for what in get_args(What):
        corrected = holm([needs_p(ours, theirs, what) for ours, theirs in pairs])
        ps[what] = {found.name: p for found, p in zip(compared, corrected, strict=True)}
    head = ["search", "of trials", "reached", "trials", "quartiles", "fewer:more", "p"]
    head += ["seconds", "quartiles", "p"]
    return table(head, (_reached_row(found, tpe, ps) for found in every))


def _reached_row(found: Found, tpe: Found, ps: Mapping[str, Mapping[str, float]]) -> list[str]:
    needs, theirs = found.needs(), tpe.needs(found.budget)
    pairs = list(zip(needs, theirs, strict=True))
    fewer = sum(ours.trials < other.trials for ours, other in pairs)
    more = sum(ours.trials > other.trials for ours, other in pairs)
    return [
        *(found.name, str(found.budget)),
        f"{sum(need.reached for need in needs)} of {len(needs)}",
        *_quartiles(needs, "trials"),
        "" if found is tpe else f"{fewer}:{more}",
        *(_p(ps["trials"], found), *_quartiles(needs, "seconds"), _p(ps["seconds"], found)),
    ]


def _quartiles(needs: Sequence[Need], what: What) -> tuple[str, str]:
    """Return the median and the quartiles; with > where searches that never got there decide."""
    had = [need.trials - (not need.reached) if what == "trials" else need.seconds for need in needs]
    reached = sum(need.reached for need in needs)
    low, middle, high = (
        f"{'>' * (quarter * (len(needs) - 1) / 4 > reached - 1)}{value:.3g}"
        for quarter, value in enumerate(statistics.quantiles(had, n=4, method="inclusive"), 1)
    )
    return middle, f"{low} to {high}"


def _p(ps: Mapping[str, float], found: Found) -> str:
    return f"{ps[found.name]:.3f}" if found.name in ps else ""


def curve_table(every: Sequence[Found]) -> str:
    """Return how far above the best of the table the searches were after so many trials."""
    longest = max(found.budget for found in every)
    at = [number for number in AT if number <= longest]
    rows = []
    for found in every:
        curve = found.curve(found.budget)
        told = [f"{curve[n - 1]:.1%}" if n <= len(curve) else "" for n in at]
        rows.append([found.name, *told, f"{found.in_the_end:.1%}"])
    return table(["search", *map(str, at), "handed over"], rows)


def trials_table(every: Sequence[Found]) -> str:
    """Return what the trials of a search were, the mean over seeds."""
    states = ("completed", "pruned", "failed", "refused")
    rows = []
    for found in every:
        trials = [trial for tried in found.searches for trial in tried]
        states_of = Counter(trial.state for trial in trials)
        again = sum(len(tried) - len({trial.key for trial in tried}) for tried in found.searches)
        sources = Counter(trial.source for trial in trials)
        counts = [*(states_of[state] for state in states), again]
        counts += [sources["hybrid"], sources["fallback"]]
        seconds = [sum(t.seconds for t in trials), sum(t.asked_seconds for t in trials)]
        each = len(found.searches)
        rows.append([found.name, *(f"{value / each:.3g}" for value in [*counts, *seconds])])
    head = ["search", *states, "repeated", "by the model", "in its place"]
    return table([*head, "seconds trained", "asked"], rows)


# -- marks ----------------------------------------------------------------------------------------


def marks(every: Mapping[str, Found]) -> Iterator[Mark]:
    """Yield what should be: fewer trials without a key, and little lost by a bad model."""
    default, tpe, worst = every[default_planner(False)], every[TPE], every[WORST]
    ours, theirs = ([need.trials for need in found.needs()] for found in (default, tpe))
    for what, middle in (("median", statistics.median), ("mean", statistics.fmean)):
        name = f"`{default.name}` over `tpe`, trials to the best {TOP:.0%}, {what}"
        yield Mark(name, middle(ours) / middle(theirs), 0.5)
    equal = equal_share(tpe, worst)
    name = "trials after which `tpe` is as good as the hybrid with the worst model, of its budget"
    yield Mark(name, equal, 0.9, at_least=True)


def equal_share(found: Found, other: Found) -> float:
    """Return after which share of `other`'s budget `found` is as good as `other` at its end."""
    level = other.curve(other.budget)[-1]
    return trials_to_equal(found.curve(other.budget), level) / other.budget


@click.command()
@click.option("--seeds", default=16, show_default=True, type=click.IntRange(2))
@click.option(
    "--trials",
    default=100,
    show_default=True,
    type=click.IntRange(40),  # TPE begins to model alike from there on
    help="Of a search that asks no language model.",
)
@click.option(
    "--asked-trials",
    default=40,
    show_default=True,
    type=click.IntRange(40),
    help="Of a search that asks one.",
)
@click.option("--without-real-model", is_flag=True, help="Leave SmolLM2-135M out.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
def main(
    seeds: int, trials: int, asked_trials: int, without_real_model: bool, workers: int
) -> None:
    """Compare how soon searches are good."""
    announce()
    asked_trials = min(asked_trials, trials)
    budgets = {name: asked_trials if name in HYBRIDS else trials for name in methods()}
    if without_real_model:
        del budgets[SMALL]
    jobs = [
        Job(name, APART * (1 + at), budget)
        for name, budget in reversed(budgets.items())  # those that take longest first
        for at in range(seeds)
    ]
    done = searched(jobs, workers)
    every = {
        name: Found(name, budget, [done[job] for job in jobs if job.method == name])
        for name, budget in budgets.items()
    }
    tell(every, seeds)
    judge(marks(every))


def tell(every: Mapping[str, Found], seeds: int) -> None:
    """Print all tables."""
    rows, tpe, default = list(every.values()), every[TPE], every[default_planner(False)]
    click.echo(
        f"{len(COMPARED.means)} configurations, of which the best {len(COMPARED.best(TOP))} are "
        f"waited for; {seeds} seeds. Without a key the product\nsearches by `{default.name}`.\n\n"
        "Trials and seconds of training until one of the best was trained: median and quartiles; "
        "a search\nthat did not get there needed more (>) than all that it had, and more than any "
        "that did. Fewer:more:\nseeds that needed fewer and more trials than `tpe` of as many "
        "trials. p: Wilcoxon's, two-sided, by Holm.\n"
    )
    click.echo(reached_table(rows, tpe))
    click.echo(
        "\nHow far the best that was trained after so many trials lies above the best of the "
        "table, by\nval_mse over the recorded seeds, and what looks best to the search in the end, "
        "which may be luck\nof its seed: mean over seeds.\n"
    )
    click.echo(curve_table(rows))
    click.echo("\nTrials and seconds of a search, mean over seeds.\n")
    click.echo(trials_table(rows))
    share = equal_share(default, every[WORST])
    click.echo(
        f"\n`{default.name}` is as good as the hybrid with the worst model at its end after "
        f"{share:.0%} of its trials.\n"
    )


if __name__ == "__main__":
    main()
