"""`search` and `resume`: start a search or let it go on, and follow it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, get_args

import click

from data.registry import DataError, find
from informer.config import PRESETS, Value
from nas_engine.api import follow, load_agent_state
from nas_engine.backends import backend_problems
from nas_engine.cli.aims import Aims, aims_options
from nas_engine.cli.backend import Given, backend_of, backend_options
from nas_engine.cli.common import (
    Refused,
    assignments,
    db_option,
    json_option,
    known_search,
    plainly,
    search_argument,
    timer_of,
    timer_option,
    workspace_of,
)
from nas_engine.cli.learning import learn_option, with_lessons
from nas_engine.cli.output import print_search
from nas_engine.commands import Change
from nas_engine.machine import default_slots, gpus
from nas_engine.search import Limits, Mode, PlannerName, Pruning, Rules, SearchSpec, default_planner
from nas_engine.settings import load_settings
from nas_engine.space import parse_all, problems_of
from nas_engine.store.reader import reading
from nas_engine.store.rows import EventRow
from nas_engine.supervisor import Answer, request, resume_search, start_search
from nas_engine.workspace import Workspace


@click.command()
@click.option(
    "--dataset", default="ETTh1", show_default=True, help="Its name, built in or your own."
)
@click.option("--max-iterations", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--planner",
    type=click.Choice(get_args(PlannerName)),
    help="Default: hybrid with a key, else portfolio.",
)
@click.option(
    "--review", "mode", flag_value="review", help="Let each proposal wait for a person's decision."
)
@click.option("--radical", "mode", flag_value="radical", help="Let radical proposals wait so.")
@timer_option
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Default: paper on a GPU.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the starting configuration, such as training.epochs=1; repeatable.",
)
@click.option("--slots", type=int, help="Trials trained at once; default: GPUs, else cores.")
@click.option(
    "--pruning",
    default="none",
    show_default=True,
    metavar="METHOD[:REDUCTION[:MIN_EPOCHS]]",
    help="Whether trials that fall behind end early: none, successive_halving or hyperband.",
)
@click.option(
    "--inherit",
    is_flag=True,
    help="Train trials first with the weights of the one they change, and from scratch only those "
    "that may compare.",
)
@click.option(
    "--space",
    "narrowings",
    multiple=True,
    metavar="KEY=...",
    help="What planners may choose: KEY=64 pins, KEY=32,64 lists, KEY=1e-4..1e-3 bounds, "
    "KEY!=none bans; repeatable.",
)
@click.option("--guidance", default="", help="What the language model should know.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help=f"{', '.join(Limits.model_fields)}.",
)
@click.option(
    "--rule", "rules", multiple=True, metavar="NAME=VALUE", help=f"{', '.join(Rules.model_fields)}."
)
@backend_options
@aims_options
@learn_option
@db_option
@click.option("--verbose", is_flag=True, help="Print every epoch.")
@click.option("--debug", is_flag=True, help="Print the engine's log too.")
@json_option
@plainly
def search(
    dataset: str,
    max_iterations: int,
    planner: PlannerName | None,
    mode: Mode | None,
    timer: str | None,
    preset: Literal["small", "paper"] | None,
    settings: tuple[str, ...],
    slots: int | None,
    pruning: str,
    inherit: bool,
    narrowings: tuple[str, ...],
    guidance: str,
    limits: tuple[str, ...],
    rules: tuple[str, ...],
    backend: Given,
    aims: Aims,
    learned_from: str | None,
    db: Path | None,
    verbose: bool,
    debug: bool,
    as_json: bool,
) -> None:
    """Run a search and report its trials.

    With the settings of an earlier search, that one goes on: with a larger --max-iterations, from
    where it ended. Ctrl-C leaves the search running in the background.
    """
    environment, workspace = load_settings(), workspace_of(db)
    spec = SearchSpec(
        preset=preset or ("paper" if gpus() else "small"),
        settings={**_task(dataset), **assignments(settings)},
        planner=planner or default_planner(environment.has_key),
        mode=mode or "auto",
        timer=None if (given := timer_of(timer)) == "none" else given,
        space=parse_all(narrowings),
        guidance=guidance,
        max_trials=max_iterations,
        pruning=_pruning(pruning),
        inherits=inherit,
        backend=backend_of(backend),
        limits=Limits.model_validate(assignments(limits)),
        rules=Rules.model_validate(assignments(rules)),
        **aims,
    )
    if problems := problems_of(spec) or backend_problems(spec):
        raise Refused(" ".join(problems))
    if slots is None and spec.backend.name == "ray":
        raise Refused("Say with --slots how many trials the cluster trains at once.")
    chosen = default_slots(spec.base()) if slots is None else slots
    spec = SearchSpec.model_validate({**dict(spec), "slots": chosen})
    spec = with_lessons(spec, learned_from, environment, workspace)
    with reading(workspace) as reader:
        same = reader.search_like(spec) if reader else None
    if same is not None and same.finished >= max(same.max_trials, max_iterations):
        click.echo(
            f"Search {same.id} has already finished its {same.max_trials} trials; give a larger "
            "--max-iterations to continue it.",
            err=True,
        )
        print_search(load_agent_state(workspace.db, same.id), as_json)
        return
    _watch(
        workspace,
        start_search(workspace, spec),
        as_json,
        verbose or environment.verbose,
        debug or environment.debug,
    )


@click.command()
@search_argument
@backend_options
@db_option
@click.option("--verbose", is_flag=True, help="Print every epoch.")
@click.option("--debug", is_flag=True, help="Print the engine's log too.")
@json_option
@plainly
def resume(
    search_id: int | None,
    backend: Given,
    db: Path | None,
    verbose: bool,
    debug: bool,
    as_json: bool,
) -> None:
    """Let a search go on after a pause, a stop or a crash (the newest by default)."""
    environment, workspace = load_settings(), workspace_of(db)
    known = known_search(workspace, search_id)
    _train_elsewhere(workspace, known, backend)
    _watch(
        workspace,
        resume_search(workspace, known),
        as_json,
        verbose or environment.verbose,
        debug or environment.debug,
    )


def _train_elsewhere(workspace: Workspace, search_id: int, given: Given) -> None:
    """Change where a search trains, if options say so and it is not so already."""
    with reading(workspace) as reader:
        search = reader.search(search_id) if reader else None
    if search is None or not given:
        return
    backend = backend_of(given, search.spec.backend)
    if backend != search.spec.backend:
        answer = request(workspace, Change(backend=backend), search_id)
        if not answer.ok:
            raise Refused(answer.text)
        click.echo(answer.text, err=True)


def _pruning(text: str) -> Pruning:
    """Read METHOD[:REDUCTION[:MIN_EPOCHS]]."""
    given = dict(zip(("method", "reduction", "min_epochs"), text.split(":"), strict=False))
    if len(given) < text.count(":") + 1:
        raise Refused(f"{text[:80]!r} must have the form METHOD[:REDUCTION[:MIN_EPOCHS]].")
    return Pruning.model_validate(given)


def _task(dataset: str) -> dict[str, Value]:
    """Return the settings that choose a data set and the column that it names as its target."""
    try:
        return {"data.dataset": dataset, "data.target": find(dataset).target}
    except DataError:  # the configuration refuses the name, and says which there are
        return {"data.dataset": dataset}


def _watch(workspace: Workspace, answer: Answer, as_json: bool, verbose: bool, debug: bool) -> None:
    """Print what a search does until its engine ends, then its trials."""
    if not answer.ok or answer.search_id is None:
        raise Refused(answer.text)
    search_id = answer.search_id
    click.echo(answer.text, err=True)

    def print_event(event: EventRow) -> None:
        if event.level != "debug" or verbose:
            stamp = time.strftime("%H:%M:%S", time.localtime(event.created_at))
            click.echo(f"{stamp} {event.text}", err=True)

    try:
        state = follow(workspace, search_id, print_event)
    except KeyboardInterrupt:
        click.echo(
            f"\nSearch {search_id} goes on in the background. "
            f"`python -m nas_engine resume {search_id}` follows it, `stop {search_id}` ends it.",
            err=True,
        )
        raise SystemExit(130) from None
    finally:
        if debug and workspace.launch_log.exists():
            click.echo(workspace.launch_log.read_text("utf-8", "replace")[-4000:], err=True)
    print_search(state, as_json)


COMMANDS = (search, resume)
