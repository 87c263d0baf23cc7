"""How good the models are that a search finds: `python -m benchmarks.found`.

A search of the product, without any key, in a workspace of its own: its engine in a process of its
own, its trainings on as many CPU cores as `--cores` says. It chooses by validation alone. When its
minutes are used up and the trainings under way have ended, its incumbent and the next best trials
are trained with seeds that the search has not used. The one of them with the lowest mean error on
validation is judged on all windows of the test part, beside forecasts that need no training.
Trainings record test errors, too; nothing here reads those of what was not chosen.

With `--workspace` the search is kept, can be looked at in the dashboard, and goes on where it was
when the same command is given again; `--only-judge` makes its end alone. Trainings of the end that
are finished in it are not made again, and the report names the commits that they are of.

What this does not show: another data set, whether a second search finds the same (give `--seed`),
or how the published models would do with the same care: their figures are as published.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import click

from benchmarks.found_models import judged, lowest, untrained
from benchmarks.found_report import Found, marks_of, report, space_text
from benchmarks.found_search import known, searched
from benchmarks.marks import announce, conditions, judge
from data.registry import find
from informer.config import PRESETS, Choices, RunConfig, Value, from_flat
from nas_engine.api import AgentState, get_best_run
from nas_engine.cli.aims import Aims, aims_options
from nas_engine.cli.common import assignments, plainly
from nas_engine.front import keeps
from nas_engine.search import (
    ASKING,
    Limits,
    Narrowing,
    PlannerName,
    Pruning,
    Rules,
    SearchSpec,
    default_planner,
)
from nas_engine.space import dimensions, parse_all
from nas_engine.store import trainings
from nas_engine.store.reader import reading
from nas_engine.store.rows import TrialRow
from nas_engine.workspace import Workspace

TRAINING: Mapping[str, Value] = {
    "training.epochs": 10,
    "training.patience": 3,
    "training.scheduler_class": "CosineAnnealingLR",
    "training.optimizer_params.lr": 1e-3,
    "training.criterion_class": "L1Loss",
    "training.device": "cpu",
    "data.batch_size": 64,
    "model.distil": False,
    "model.dropout": 0.2,
}
"""In which trial 0 differs from the preset: a CPU trains it in a minute or two.

Absolute errors are a published choice (CARD and OLinear are trained so), and were lower in test
errors, too, when this list was made: it was not made blindly.
"""

LOOK_BACKS = (96, 168, 336, 720)
"""That planners may choose from where none is given; trial 0 has the first."""

SEEDS_APART = 1000
"""From the seeds of a search to those with which its result is judged."""

FINALISTS = 5
"""Trials that are trained with other seeds in the end, of which the best on validation is judged:
the lowest of many errors is low by luck, too, and there the luck is another."""

UNSET = (
    *("OPENROUTER_API_KEY", "PLANNER_API_KEY", "EVALUATOR_API_KEY"),
    *("NAS_RULES", "NAS_WEBHOOK"),
)
"""What a person may have set, and would have a part in the search; empty overrules `.env`."""

TRIAL_MINUTES = 5.0
"""Of one training, at most: a few of them must not take the whole search."""
SEEDS_OF_TRIAL_0 = 2
"""The product trains it three times to learn the noise; it is the slowest trial here."""
MOST_TRIALS = 10_000


# -- the search ---------------------------------------------------------------------------------


def spec_of(
    task: Mapping[str, Value],
    seq_len: int | None,
    narrowings: Mapping[str, Narrowing],
    **fields: object,
) -> SearchSpec:
    """Return the search of a task whose look-back is given, or free.

    Args:
        task: settings of trial 0 beside `TRAINING`, which they overrule.
        seq_len: look-back of all trials; None lets planners choose among `LOOK_BACKS`.
        narrowings: of the space, which overrule that.
        fields: other fields of the search.
    """
    look_backs = LOOK_BACKS if seq_len is None else (seq_len,)
    settings = {**TRAINING, "data.seq_len": look_backs[0], **task}
    space = {"data.seq_len": Narrowing(values=look_backs), **narrowings}
    return SearchSpec.model_validate({"settings": settings, "space": space, **fields})


@contextmanager
def workspace_in(folder: Path | None) -> Iterator[Workspace]:
    """Give the workspace of a folder that is kept, or one that is removed in the end."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield Workspace(folder.absolute() / "nas.db")
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        yield Workspace(Path(temporary) / "nas.db")


def leave_out_what_is_set() -> None:
    """Take keys and what else a person may have set out of this process and all that it starts."""
    os.environ.update(dict.fromkeys(UNSET, ""))


def hold_to(cores: int) -> int:
    """Let this process, and all that it starts, use so many CPU cores; return how many it has."""
    if not hasattr(os, "sched_setaffinity"):  # no Linux
        return os.cpu_count() or 1
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    return len(os.sched_getaffinity(0))


# -- what is judged -----------------------------------------------------------------------------


def finalists_of(state: AgentState, count: int, weights: int | None = None) -> list[TrialRow]:
    """Return the trials among which fresh seeds decide: the incumbent, then the lowest val_mse.

    Those that the evaluator could not tell from the incumbent are among them: it rejects them, and
    the better may be one of these. Trials that break a bound of the search are not.

    Args:
        state: of the search.
        count: of finalists, at most.
        weights: that they may have at most; None for any. The incumbent has no place then.
    """
    spec, best = state.search.spec, get_best_run(state)
    with_result = sorted(
        (trial.val_mse, trial.number, trial)
        for trial in state.trials
        if trial.state == "completed" and trial.val_mse is not None and keeps(trial, spec.at_most)
    )
    if weights is not None:
        fitting = [t for _, _, t in with_result if t.parameters and t.parameters <= weights]
        return fitting[:count]
    others = [trial for _, _, trial in with_result if best is None or trial.number != best.number]
    return [] if best is None else [best, *others[: count - 1]]


def contenders(state: AgentState, small: int | None, count: int) -> dict[str, list[TrialRow]]:
    """Return the finalists by the name of what is judged: what was found, and a small one."""
    found = {"found": finalists_of(state, count)}
    if not found["found"]:
        why = " ".join(f"Trial {t.number}: {t.error}" for t in state.trials if t.error)[:500]
        raise click.ClickException(
            "There is nothing to judge: no trial of the search came to its end and was accepted. "
            f"{state.search.reason} {why} Give it more --minutes, or shorter trainings by "
            "--set training.epochs=N."
        )
    if small is not None:
        found["small"] = finalists_of(state, count, small)
        if not found["small"]:
            raise click.ClickException(f"No model of the search has at most {small:,} parameters.")
    return found


def configurations(
    trials: Mapping[str, TrialRow], also: Sequence[int], final: Mapping[str, Value]
) -> dict[str, RunConfig]:
    """Return what is judged in the end, by name.

    Args:
        trials: those that were chosen; one that was chosen twice is told once.
        also: further horizons, for which all else is as found.
        final: settings in which the trainings differ from those of the search.
    """
    configs = {
        name: finished(trial, final)
        for name, trial in trials.items()
        if name == "found" or trial.number != trials["found"].number
    }
    found = configs["found"]
    further = {horizon for horizon in also if horizon != found.data.pred_len}
    return configs | {
        f"found-{horizon}": found.with_changes({"data.pred_len": horizon})
        for horizon in sorted(further)
    }


def finished(trial: TrialRow, final: Mapping[str, Value]) -> RunConfig:
    """Return the configuration of a trial as it is trained in the end."""
    return from_flat({**trial.config, **final})


def of_training(settings: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return settings in which the trainings of the end may differ from those of the search.

    Raises:
        click.BadParameter: one is not of the training: another model would be judged.
    """
    if other := [key for key in settings if not key.startswith("training.")]:
        raise click.BadParameter(
            f"{', '.join(other)} would make another model of what was found; only settings of "
            "training may differ in the end.",
            param_hint="--final",
        )
    return settings


@dataclass(frozen=True)
class End:
    """How what a search has found is judged."""

    finalists: int  # among which validation decides
    seeds: int  # of each training
    small: int | None  # weights of a small model that is judged, too
    also: Sequence[int]  # further horizons
    final: Mapping[str, Value]  # in which trainings differ from those of the search


def end_of(workspace: Workspace, state: AgentState, end: End) -> Found:
    """Train the finalists of a search and judge what validation chooses of them."""
    folder = workspace.db.with_suffix(".judged")
    first = state.search.spec.base().training.seed + SEEDS_APART
    seeds = range(first, first + end.seeds)
    finals: dict[str, dict[int, float]] = {}
    trials: dict[str, TrialRow] = {}
    for name, among in contenders(state, end.small, end.finalists).items():
        configs = {trial.number: finished(trial, end.final) for trial in among}
        best, finals[name] = lowest(configs, seeds, folder)
        trials[name] = next(trial for trial in among if trial.number == best)
    models = judged(configurations(trials, end.also, end.final), seeds, folder)
    offered = dimensions(state.search.spec)["data.seq_len"]
    assert isinstance(offered, Choices), "look-backs are listed"
    look_backs = tuple(int(value) for value in offered.values)
    by_horizon = {model.config.data.pred_len: model.config for model in models.values()}
    rivals = {horizon: untrained(by_horizon[horizon], look_backs) for horizon in sorted(by_horizon)}
    with reading(workspace) as reader:
        assert reader is not None, "the search was read from it"
        seconds = trainings.training_seconds(reader, state.search.id)
    return Found(state, seconds, trials, finals, models, rivals, look_backs)


def figures(found: Found) -> dict[str, object]:
    """Return all figures, for a file: of the trials all but test errors, which nobody looks at."""
    return {
        "conditions": conditions(),
        "spec": found.state.search.spec.model_dump(mode="json"),
        "active_seconds": found.state.search.active_seconds,
        "training_seconds": found.training_seconds,
        "trials": [
            {name: value for name, value in asdict(trial).items() if not name.startswith("test_")}
            for trial in found.state.trials
        ],
        "chosen": {name: trial.number for name, trial in found.trials.items()},
        "finalists": found.finals,
        "judged": {
            name: {
                "config": model.config.flat(),
                "seeds": model.seeds,
                "commits": model.commits,
                "results": [result.model_dump() for result in model.results],
                "by_window": model.by_window.tolist(),
            }
            for name, model in found.models.items()
        },
        "untrained": {
            horizon: [asdict(rival) | {"by_window": rival.by_window.tolist()} for rival in rivals]
            for horizon, rivals in found.rivals.items()
        },
    }


# -- the command --------------------------------------------------------------------------------


@click.command()
@click.option("--dataset", default="ETTh1", show_default=True)
@click.option("--horizon", type=click.IntRange(1), default=24, show_default=True)
@click.option("--seq-len", type=click.IntRange(8), help="Look-back of all trials; default: free.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True)
@click.option("--cores", type=click.IntRange(1), default=2, show_default=True)
@click.option("--slots", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--planner",
    type=click.Choice([name for name in get_args(PlannerName) if name not in ASKING]),
    default=default_planner(has_key=False),
    show_default=True,
)
@click.option("--preset", type=click.Choice(list(PRESETS)), default="small", show_default=True)
@click.option(
    "--pruning", type=click.Choice(["none", "successive_halving", "hyperband"]), default="none"
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of trial 0.")
@click.option("--space", "narrowings", multiple=True, metavar="KEY=...", help="As of the search.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="As of the search.")
@click.option("--rule", "rules", multiple=True, metavar="NAME=VALUE", help="As of the search.")
@aims_options
@click.option("--seed", default=2021, show_default=True, help="Of the search and its trainings.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="In the end.")
@click.option(
    "--finalists", type=click.IntRange(1), default=FINALISTS, show_default=True, help="In the end."
)
@click.option("--also", type=click.IntRange(1), multiple=True, help="Further horizons in the end.")
@click.option("--small", type=click.IntRange(1), help="Judge the best with so few weights, too.")
@click.option("--final", multiple=True, metavar="KEY=VALUE", help="Of the trainings in the end.")
@click.option("--workspace", type=click.Path(path_type=Path, file_okay=False), help="Is kept.")
@click.option("--only-judge", is_flag=True, help="Make the end of a kept search.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="File for all figures.")
@plainly
def main(
    dataset: str,
    horizon: int,
    seq_len: int | None,
    minutes: float,
    cores: int,
    slots: int,
    planner: PlannerName,
    preset: Literal["small", "paper"],
    pruning: Literal["none", "successive_halving", "hyperband"],
    settings: tuple[str, ...],
    narrowings: tuple[str, ...],
    limits: tuple[str, ...],
    rules: tuple[str, ...],
    aims: Aims,
    seed: int,
    seeds: int,
    finalists: int,
    also: tuple[int, ...],
    small: int | None,
    final: tuple[str, ...],
    workspace: Path | None,
    only_judge: bool,
    path: Path | None,
) -> None:
    """Search, judge what was found, and print it all as Markdown."""
    if only_judge and workspace is None:
        raise click.UsageError("--only-judge needs the --workspace of the search.")
    final_settings = of_training(assignments(final))
    announce()
    leave_out_what_is_set()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    click.echo(f"cores     {hold_to(cores)}\n")
    task = {
        "data.dataset": dataset,
        "data.target": find(dataset).target,
        "data.pred_len": horizon,
        "training.seed": seed,
        **assignments(settings),
    }
    spec = spec_of(
        task,
        seq_len,
        parse_all(narrowings),
        preset=preset,
        planner=planner,
        slots=slots,
        max_trials=MOST_TRIALS,
        pruning=Pruning(method=pruning),
        limits=Limits.model_validate(
            {"trial_minutes": TRIAL_MINUTES, **assignments(limits), "hours": minutes / 60}
        ),
        rules=Rules.model_validate({"seeds": SEEDS_OF_TRIAL_0, **assignments(rules)}),
        **aims,
    )
    click.echo(space_text(spec))
    with workspace_in(workspace) as kept:
        state = (
            known(kept, spec) if only_judge else searched(kept, spec, keeps=workspace is not None)
        )
        found = end_of(kept, state, End(finalists, seeds, small, also, final_settings))
    for part in report(found):
        click.echo(part)
    marks = judge(marks_of(found))
    if path is not None:
        facts = figures(found) | {"marks": [asdict(mark) for mark in marks]}
        path.write_text(json.dumps(facts, default=str), "utf-8")


if __name__ == "__main__":
    main()
