"""What pruning saves and what it costs: `python -m benchmarks.pruning`.

Searches on the recorded trainings of `tests/recorded` (four epochs each), one trial after another,
with the planner, the pruner and the noise of a real search. For each method: epochs trained, and
the best val_mse of the trials trained to their end, against the same searches without pruning; with
as many trials, and with as many epochs. It takes some minutes, and trains nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import click

from benchmarks.marks import announce
from informer.config import from_flat
from informer.records import Success
from nas_engine.planners.base import View, first_proposal
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.pruning import Pruner, Reached
from nas_engine.search import Pruning, SearchSpec
from nas_engine.store.rows import EpochRow, Spend, TrialRow
from tests.engine.recorded_search import recorded_spec
from tests.engine.rows import trial_row
from tests.recorded.table import TESTED

METHODS = (
    Pruning(),
    *(
        Pruning(method="successive_halving", min_epochs=least, reduction=reduction)
        for least, reduction in ((1, 2), (1, 3), (1, 4), (2, 2), (2, 4))
    ),
    Pruning(method="hyperband", reduction=2),
    Pruning(method="hyperband", reduction=3),
)
NO_SPEND = Spend(0, 0, 0, 0.0, 0, 0.0)


@dataclass
class Search:
    """A search on the table, as far as it has come."""

    spec: SearchSpec
    pruner: Pruner
    planner: OptunaPlanner
    trials: list[TrialRow] = field(default_factory=list)
    epochs: dict[int, list[EpochRow]] = field(default_factory=dict)

    @property
    def spent(self) -> int:
        """Epochs trained."""
        return sum(map(len, self.epochs.values()))

    @property
    def best(self) -> float:
        """The least val_mse of a trial that was trained to its end."""
        return min(trial.val_mse for trial in self.trials if trial.val_mse is not None)

    @property
    def pruned(self) -> int:
        """Trials that ended early."""
        return sum(trial.state == "pruned" for trial in self.trials)

    def go_on(self) -> None:
        """Plan, train and tell one more trial."""
        number = len(self.trials)
        view = self._view(number)
        proposal = self.planner.propose(view) if number else first_proposal()
        config = from_flat({**view.parent, **proposal.changes})
        recorded = TESTED.replay(config)
        rows = self.epochs[number] = []
        state = "completed" if isinstance(recorded.outcome, Success) else "failed"
        for epoch in recorded.epochs:
            figures = (epoch.train_loss, epoch.val_mse, epoch.val_mae, epoch.lr, epoch.seconds)
            rows.append(EpochRow(number, epoch.epoch, *figures))
            reached = Reached(number, epoch.epoch, config.training.epochs, epoch.val_mse)
            if number and self.pruner.report(reached):
                state = "pruned"
                break
        value = recorded.outcome.val_mse if isinstance(recorded.outcome, Success) else None
        trial = trial_row(
            number,
            config.flat(),
            state=state,
            source=proposal.source,
            val_mse=value if state == "completed" else None,
        )
        self.trials.append(trial)
        self.planner.observe(trial)

    def _view(self, number: int) -> View:
        finished = [trial for trial in self.trials if trial.val_mse is not None]
        best = min(finished, key=lambda trial: trial.val_mse or 0.0, default=None)
        return View(
            search_id=1,
            number=number,
            spec=self.spec,
            max_trials=self.spec.max_trials,
            incumbent=best.number if best else None,
            trials=self.trials,
            baselines=[],
            epochs=lambda numbers: [row for each in numbers for row in self.epochs[each]],
            noise=None,
            spend=NO_SPEND,
        )


def searched(pruning: Pruning, planner: Literal["tpe", "random"], seed: int, epochs: int) -> Search:
    """Return a search of 1 trial; `go_on` continues it."""
    spec = recorded_spec(seed=seed, planner=planner, max_trials=60, pruning=pruning)
    search = Search(spec, Pruner(pruning, epochs), OptunaPlanner(planner))
    search.go_on()
    return search


def compared(values: Sequence[float], against: Sequence[float]) -> str:
    """Return cells: mean, difference to the others, on how many seeds it was lower and higher."""
    mean, other = statistics.fmean(values), statistics.fmean(against)
    lower = sum(value < reference for value, reference in zip(values, against, strict=True))
    higher = sum(value > reference for value, reference in zip(values, against, strict=True))
    return f"{mean:.4f} | {mean / other - 1:+.1%} | {lower}, {higher}"


@click.command()
@click.option("--seeds", default=16, show_default=True, help="Searches of each kind.")
@click.option("--trials", default=60, show_default=True, help="Trials of a search.")
@click.option("--planner", type=click.Choice(["tpe", "random"]), default="tpe", show_default=True)
def main(seeds: int, trials: int, planner: Literal["tpe", "random"]) -> None:
    """Print a row for each method as a Markdown table."""
    announce()
    epochs = recorded_spec().base().training.epochs
    click.echo(
        f"{planner}, {seeds} seeds, {trials} trials of {epochs} epochs at most; best val_mse"
    )
    click.echo(
        "\n| method:reduction:least epochs | pruned | epochs | same trials | against none "
        "| lower, higher | same epochs | against none | lower, higher |"
    )
    click.echo("|---" * 9 + "|")
    plain: list[float] = []
    for pruning in METHODS:
        same_trials, same_epochs, spent, pruned = [], [], [], []
        for seed in range(2021, 2021 + seeds):
            search = searched(pruning, planner, seed, epochs)
            while len(search.trials) < trials:
                search.go_on()
            same_trials.append(search.best)
            spent.append(search.spent)
            pruned.append(search.pruned)
            while search.spent < trials * epochs:
                search.go_on()
            same_epochs.append(search.best)
        plain = plain or same_trials
        name = f"{pruning.method}:{pruning.reduction}:{pruning.min_epochs}"
        click.echo(
            f"| {name} | {statistics.fmean(pruned) / trials:.0%} "
            f"| {statistics.fmean(spent) / trials / epochs:.0%} "
            f"| {compared(same_trials, plain)} | {compared(same_epochs, plain)} |"
        )


if __name__ == "__main__":
    main()
