"""How often the surrogate's intervals hold what came of a trial.

    python -m benchmarks.foresight

Searches run over the table of real trainings. Before each trial the surrogate, which knows the
results so far, says between which improvements over its parent it should lie.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence

import click

from benchmarks.marks import Mark, announce, judge
from informer.config import from_flat
from nas_engine.foresight import LEAST, MOST
from nas_engine.planners.base import View
from nas_engine.planners.surrogate import Surrogate
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.proposals import LEVEL
from nas_engine.store.rows import Spend, TrialRow
from tests.engine.recorded_search import recorded_spec
from tests.engine.rows import no_epochs, trial_row
from tests.recorded.table import TESTED

FREE = Spend(0, 0, 0, 0.0, 0, 0.0)
PARTS = (12, 20, 30, 60)
"""Numbers of results up to which trials are counted together."""


@click.command()
@click.option("--searches", default=6, show_default=True, help="By TPE; half as many at random.")
@click.option("--trials", default=40, show_default=True, help="Of each search.")
def main(searches: int, trials: int) -> None:
    """Print how many intervals held the improvement, beside what they should have."""
    announce()
    held: dict[int, list[bool]] = defaultdict(list)
    widths: dict[int, list[float]] = defaultdict(list)
    for seed in range(2021, 2021 + searches):
        kinds = ("tpe", "random") if seed % 2 else ("tpe",)
        for kind in kinds:
            planner = OptunaPlanner(kind)  # type: ignore[arg-type]
            for results, low, high, actual in foreseen(planner, seed, trials):
                part = next(part for part in PARTS if results < part)
                held[part].append(low <= actual <= high)
                widths[part].append(high - low)
    click.echo(f"{LEVEL:.0%} of the intervals should hold the improvement over the parent.\n")
    click.echo("| results known | held | of | width, median |\n|---|---|---|---|")
    for part in sorted(held):
        share, width = statistics.fmean(held[part]), statistics.median(widths[part])
        click.echo(f"| below {part} | {share:.0%} | {len(held[part])} | {width:.2f} |")
    every = [inside for part in held.values() for inside in part]
    judge([Mark(f"intervals that held, of {len(every)}", statistics.fmean(every), LEVEL, "", True)])


def foreseen(
    planner: OptunaPlanner, seed: int, count: int
) -> Iterator[tuple[int, float, float, float]]:
    """Run a search; yield the number of results, the interval and the improvement of each trial."""
    spec = recorded_spec(seed, max_trials=count)
    trials: list[TrialRow] = []
    best: int | None = None
    for number in range(count):
        view = View(1, number, spec, count, best, trials, [], no_epochs, None, FREE)
        changes = planner.propose(view).changes if number else {}
        config = {**view.parent, **changes}
        found = TESTED.value(from_flat(config))
        result = found if math.isfinite(found) else None
        state = "failed" if result is None else "completed"
        row = dataclasses.replace(
            trial_row(number, {}, state=state, val_mse=result, ended_at=1.0), config=config
        )
        if result is not None:
            yield from _interval(view, row, result)
            best = number if best is None or result < _value(trials, best) else best
        trials.append(row)
        planner.observe(row)


def _interval(
    view: View, row: TrialRow, result: float
) -> Iterator[tuple[int, float, float, float]]:
    known = [trial for trial in view.trials if trial.val_mse is not None]
    if view.incumbent is None or len(known) < LEAST:
        return
    parent = _value(view.trials, view.incumbent)
    low, high = Surrogate(view.space, known[-MOST:]).interval(row.config, parent)
    yield len(known), low, high, (parent - result) / parent


def _value(trials: Sequence[TrialRow], number: int) -> float:
    return trials[number].val_mse or math.nan


if __name__ == "__main__":
    main()
