"""What inherited weights say of training from scratch: `python -m benchmarks.inheritance`.

On ETTh1, the preset `small`: each proposal changes one to three settings, drawn from the space of
the search, of the best configuration so far. Every one is trained both ways, whatever is expected
of it, so that each decision of `nas_engine.inheritance` can be held against what it would have
missed. The last line draws all settings anew, as a sampler does, and trains nothing.
"""

from __future__ import annotations

import math
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from scipy.stats import spearmanr

from benchmarks.marks import Mark, announce, judge
from informer.config import Choices, ConfigError, RunConfig, Value, from_flat
from informer.inherit import LEAST_SHARE, UnfitWeightsError, begin_with
from informer.model import Informer
from informer.orders import Orders
from informer.records import Epoch, Success
from informer.rundir import RunDir
from informer.training import train, use_threads
from nas_engine.cli.common import assignments, plainly
from nas_engine.inheritance import (
    DEVIATIONS,
    Expected,
    Pair,
    expected,
    given_up,
    hopeless,
    shortened,
)
from nas_engine.proposals import active_changes
from nas_engine.search import Rules, SearchSpec
from nas_engine.space import dimensions

DRAWS = 200
"""Proposals of which only the share that fits is looked at."""
LEVEL = 2 * statistics.NormalDist().cdf(DEVIATIONS) - 1
"""Of the intervals in which training from scratch is expected."""


@dataclass(frozen=True)
class Trained:
    """One proposal, trained both ways."""

    number: int
    share: float
    pair: Pair
    early: float  # val_mse from scratch after as many epochs as with inherited weights
    seconds: float  # with inherited weights
    from_scratch: float  # seconds
    incumbent: float  # its val_mse then
    outlook: Expected | None  # from the pairs before

    @property
    def improvement(self) -> float:
        """Of the incumbent's val_mse by training from scratch."""
        return (self.incumbent - self.pair.scratch) / self.incumbent

    def gone(self, rules: Rules) -> bool:
        """Whether a search would have given it up."""
        lost = self.outlook is not None and hopeless(self.outlook, self.incumbent, rules)
        return lost and given_up(self.number)


def drawn(
    spec: SearchSpec, parent: RunConfig, most: int | None, chance: random.Random
) -> RunConfig:
    """Return `parent` with up to `most` settings drawn anew; None: with all."""
    space, before = dimensions(spec), parent.flat()
    while True:
        keys = list(space) if most is None else chance.sample(list(space), chance.randint(1, most))
        changes: dict[str, Value] = {}
        for key in keys:
            search = space[key]
            if isinstance(search, Choices):
                changes[key] = chance.choice(search.values)
            else:
                changes[key] = search.at(chance.random())
        try:
            config = from_flat({**before, **changes})
        except ConfigError:
            continue
        if active_changes(before, changes):
            return config


def trained(config: RunConfig, folder: Path, weights: Path | None = None) -> tuple[Success, RunDir]:
    """Return the result of a training; raises UnfitWeightsError."""
    run = RunDir(folder)
    run.create(config, None if weights is None else Orders(weights=str(weights)))
    result = train(config, run)
    if isinstance(result, Success):
        return result, run
    raise UnfitWeightsError(result.message)


def fitting(spec: SearchSpec, most: int | None, weights: Path, chance: random.Random) -> float:
    """Return the part of drawn proposals that weights of trial 0 fit well enough."""
    fit = 0
    for _ in range(DRAWS):
        try:
            begin_with(Informer(drawn(spec, spec.base(), most, chance)), weights)
        except UnfitWeightsError:
            continue
        fit += 1
    return fit / DRAWS


def reported(done: Sequence[Trained], rules: Rules) -> None:
    """Print what the trials come to."""
    inherited = [trial.pair.inherited for trial in done]
    scratch = [trial.pair.scratch for trial in done]
    d = [math.log(trial.pair.scratch / trial.pair.inherited) for trial in done]
    told = [trial for trial in done if trial.outlook is not None]
    inside = sum(t.outlook.low <= t.pair.scratch <= t.outlook.high for t in told if t.outlook)
    gone = [trial for trial in done if trial.gone(rules)]
    wrong = [trial for trial in gone if trial.improvement >= rules.reject_below]
    worse = sum(trial.improvement < rules.reject_below for trial in done)
    spent = sum(trial.seconds for trial in done)
    saved = sum(trial.from_scratch for trial in gone)
    whole = sum(trial.from_scratch for trial in done)
    early = spearmanr([trial.early for trial in done], scratch).statistic
    for what, figure in (
        ("rank correlation, inherited with scratch", spearmanr(inherited, scratch).statistic),
        ("rank correlation, scratch after as many epochs with scratch", early),
        ("d: mean of log(scratch / inherited)", statistics.fmean(d)),
        ("d: deviation", statistics.stdev(d)),
    ):
        click.echo(f"{what:62}{figure:8.3f}")
    for what, text in (
        ("from scratch inside the interval", f"{inside} of {len(told)}"),
        ("clear regressions from the incumbent of the moment", f"{worse} of {len(done)}"),
        ("given up", str(len(gone))),
        ("given up, but no clear regression from scratch", str(len(wrong))),
        ("seconds: all from scratch", f"{whole:.0f}"),
        ("seconds: with inherited weights, spent", f"{spent:.0f}"),
        ("seconds: from scratch, saved", f"{saved:.0f}"),
        ("seconds: of all from scratch, saved in all", f"{(saved - spent) / whole:+.0%}"),
    ):
        click.echo(f"{what:62}{text:>8}")


def marks(done: Sequence[Trained], rules: Rules) -> Iterator[Mark]:
    """Yield what inheriting is meant for: intervals that hold, and seconds that are saved."""
    told = [(t.outlook, t.pair.scratch) for t in done if t.outlook is not None]
    if told:
        held = statistics.fmean(outlook.low <= value <= outlook.high for outlook, value in told)
        yield Mark(f"intervals that held, of {len(told)}", held, LEVEL, "", at_least=True)
    saved = sum(t.from_scratch * t.gone(rules) - t.seconds for t in done)
    share = saved / sum(t.from_scratch for t in done)
    yield Mark("training saved, of all from scratch", 100 * share, 0, "%", at_least=True)


@click.command()
@click.option("--trials", default=24, show_default=True, help="Proposals whose weights fit.")
@click.option("--epochs", default=6, show_default=True)
@click.option("--steps", default=60, show_default=True, help="Steps of an epoch.")
@click.option("--changed", default=3, show_default=True, help="Settings changed, at most.")
@click.option("--seed", default=1, show_default=True, help="Of what is proposed.")
@click.option("--set", "settings", multiple=True, help="KEY=VALUE of trial 0; repeatable.")
@click.option("--threads", default=1, show_default=True)
@plainly
def main(
    trials: int,
    epochs: int,
    steps: int,
    changed: int,
    seed: int,
    settings: tuple[str, ...],
    threads: int,
) -> None:
    """Print a line for each trial, then what they come to."""
    use_threads(threads)
    announce()
    chance, rules = random.Random(seed), Rules()
    spec = SearchSpec(
        preset="small",
        settings={
            "training.epochs": epochs,
            "training.steps_per_epoch": steps,
            "training.device": "cpu",
            **assignments(settings),
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        result, run = trained(spec.base(), root / "trial-0")
        first, best, incumbent, weights = run.weights, spec.base(), result.val_mse, run.weights
        click.echo(f"```\n{epochs} epochs of {steps} steps; trial 0: {incumbent:.4f}")
        click.echo(" trial  fits  inherited  scratch  expected          incumbent")
        done: list[Trained] = []
        unfit = 0
        while len(done) < trials:
            config, number = drawn(spec, best, changed, chance), len(done) + 1
            short = shortened(config)
            assert short is not None, "give more epochs"
            try:
                begun, _ = trained(short, root / f"trial-{number}-inherited-{unfit}", weights)
            except UnfitWeightsError:
                unfit += 1
                continue
            scratch, run = trained(config, root / f"trial-{number}")
            epochs_of = [row for row in run.read_metrics()[0] if isinstance(row, Epoch)]
            trial = Trained(
                number,
                begun.inherited_share or 0.0,
                Pair(begun.val_mse, scratch.val_mse),
                min(row.val_mse or math.inf for row in epochs_of[: short.training.epochs]),
                begun.seconds,
                scratch.seconds,
                incumbent,
                expected(begun.val_mse, [trial.pair for trial in done]),
            )
            done.append(trial)
            interval = (
                "-" if not trial.outlook else f"{trial.outlook.low:.3f} to {trial.outlook.high:.3f}"
            )
            fate = "  given up" * trial.gone(rules)
            click.echo(
                f"{number:6} {trial.share:5.0%} {begun.val_mse:10.4f} {scratch.val_mse:8.4f}  "
                f"{interval:16}  {incumbent:9.4f}{fate}"
            )
            if scratch.val_mse < incumbent:
                best, incumbent, weights = config, scratch.val_mse, run.weights
        reported(done, rules)
        click.echo(f"{'proposals with too few weights that fit':62}{unfit:4} of {unfit + trials}")
        for most in (1, changed, None):
            share = fitting(spec, most, first, chance)
            what = "all settings drawn" if most is None else f"up to {most} settings changed"
            click.echo(
                f"{what + f': at least {LEAST_SHARE:.0%} of the weights fit':62}{share:8.0%}"
            )
    click.echo("```")
    judge(marks(done, rules))


if __name__ == "__main__":
    main()
