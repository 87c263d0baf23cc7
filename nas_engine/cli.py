"""The command line: start, watch, steer and export searches.

It reads what the pages read and sends the commands that the pages send.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, get_args

import click
from pydantic import ValidationError

from data.registry import DataError, find
from informer.config import PRESETS, Value, fields
from nas_engine.api import (
    AgentState,
    SearchError,
    follow,
    get_best_run,
    load_agent_state,
)
from nas_engine.commands import Control, Decide
from nas_engine.liveness import engine_state
from nas_engine.machine import gpus
from nas_engine.search import Limits, PlannerName, Rules, SearchSpec, default_planner
from nas_engine.settings import Settings, SettingsError, load_settings
from nas_engine.space import SpaceError, describe, parse_all, problems_of, value_of
from nas_engine.store.reader import EventRow, TrialRow, reading
from nas_engine.store.schema import StoreError
from nas_engine.supervisor import Answer, request, resume_search, start_search
from nas_engine.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")

TABLE_COLUMNS = ("trial", "state", "verdict", "val_mse", "source", "epochs", "seconds", "changes")


class Refused(click.ClickException):
    """Something that cannot be done as asked: one sentence, exit code 2."""

    exit_code = 2


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors that a person can mend into one sentence and exit code 2."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (SearchError, StoreError, SettingsError) as error:
            raise Refused(str(error)) from None

    return wrapped


db_option = click.option(
    "--db",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Database of the workspace; NAS_DB, else workspace/nas.db.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
search_argument = click.argument("search_id", metavar="[SEARCH]", type=int, required=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Search for a better Informer. Each search runs in a background process of its own."""


@main.command()
@click.option(
    "--dataset", default="ETTh1", show_default=True, help="Its name, built in or your own."
)
@click.option("--max-iterations", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--planner",
    type=click.Choice(get_args(PlannerName)),
    help="Default: hybrid with a key, else tpe.",
)
@click.option("--review", is_flag=True, help="Let each proposal wait for a person's decision.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Default: paper on a GPU.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the starting configuration, such as training.epochs=1; repeatable.",
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
@db_option
@click.option("--verbose", is_flag=True, help="Print every epoch.")
@click.option("--debug", is_flag=True, help="Print the engine's log too.")
@json_option
@plainly
def search(
    dataset: str,
    max_iterations: int,
    planner: PlannerName | None,
    review: bool,
    preset: Literal["small", "paper"] | None,
    assignments: tuple[str, ...],
    narrowings: tuple[str, ...],
    guidance: str,
    limits: tuple[str, ...],
    rules: tuple[str, ...],
    db: Path | None,
    verbose: bool,
    debug: bool,
    as_json: bool,
) -> None:
    """Run a search and report its trials.

    With the settings of an earlier search, that one goes on: with a larger --max-iterations, from
    where it ended. Ctrl-C leaves the search running in the background.
    """
    settings = load_settings()
    workspace = _workspace(settings, db)
    try:
        spec = SearchSpec(
            preset=preset or ("paper" if gpus() else "small"),
            settings={**_task(dataset), **dict(_assignment(text) for text in assignments)},
            planner=planner or default_planner(settings.has_key),
            mode="review" if review else "auto",
            space=parse_all(narrowings),
            guidance=guidance,
            max_trials=max_iterations,
            limits=Limits.model_validate(dict(_assignment(text) for text in limits)),
            rules=Rules.model_validate(dict(_assignment(text) for text in rules)),
        )
    except SpaceError as error:
        raise Refused(str(error)) from None
    except ValidationError as error:
        fault = error.errors()[0]
        raise Refused(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}.") from None
    if problems := problems_of(spec):
        raise Refused(" ".join(problems))
    with reading(workspace) as reader:
        same = reader.search_like(spec) if reader else None
    if same is not None and same.finished >= max(same.max_trials, max_iterations):
        click.echo(
            f"Search {same.id} has already finished its {same.max_trials} trials; give a larger "
            "--max-iterations to continue it.",
            err=True,
        )
        _print_state(load_agent_state(workspace.db, same.id), as_json)
        return
    _watch(
        workspace,
        start_search(workspace, spec),
        as_json,
        verbose or settings.verbose,
        debug or settings.debug,
    )


@main.command()
@search_argument
@db_option
@click.option("--verbose", is_flag=True, help="Print every epoch.")
@click.option("--debug", is_flag=True, help="Print the engine's log too.")
@json_option
@plainly
def resume(
    search_id: int | None, db: Path | None, verbose: bool, debug: bool, as_json: bool
) -> None:
    """Let a search go on after a pause, a stop or a crash (the newest by default)."""
    settings = load_settings()
    workspace = _workspace(settings, db)
    chosen = load_agent_state(workspace.db, search_id).search.id
    _watch(
        workspace,
        resume_search(workspace, chosen),
        as_json,
        verbose or settings.verbose,
        debug or settings.debug,
    )


@main.command("list")
@db_option
@json_option
@plainly
def list_searches(db: Path | None, as_json: bool) -> None:
    """List all searches, newest first."""
    workspace = _workspace(load_settings(), db)
    with reading(workspace) as reader:
        rows = (
            [
                {
                    "search": row.id,
                    "title": row.spec.title(),
                    "state": _state(row.state, engine_state(reader.engine(row.id))),
                    "trials": f"{row.finished}/{row.max_trials}",
                    "best": row.best,
                }
                for row in reader.searches()
            ]
            if reader
            else []
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        click.echo(_table([{key: _text(value) for key, value in row.items()} for row in rows]))
    else:
        click.echo(f"There is no search in {workspace.db} yet.")


@main.command()
@search_argument
@click.option("--trial", type=int, help="Show everything about one trial.")
@db_option
@json_option
@plainly
def show(search_id: int | None, trial: int | None, db: Path | None, as_json: bool) -> None:
    """Show a search and its trials, or one trial (the newest search by default)."""
    state = load_agent_state(_workspace(load_settings(), db).db, search_id)
    if trial is None:
        _print_state(state, as_json)
        return
    found = next((row for row in state.trials if row.number == trial), None)
    if found is None:
        raise Refused(f"Search {state.search.id} has no trial {trial}.")
    facts = dataclasses.asdict(found)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        click.echo(f"{name:<12} {json.dumps(value, ensure_ascii=False)}")


@main.command()
@search_argument
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), default="csv")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: stdout.")
@db_option
@plainly
def export(
    search_id: int | None, kind: Literal["csv", "json"], output: Path | None, db: Path | None
) -> None:
    """Write all trials of a search as CSV or JSON, one column per setting."""
    state = load_agent_state(_workspace(load_settings(), db).db, search_id)
    text = _csv(state) if kind == "csv" else json.dumps(_as_json(state), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise Refused(f"{output} cannot be written ({error.strerror}).") from None
    click.echo(f"{len(state.trials)} trials written to {output}.", err=True)


def _control(kind: Literal["pause", "stop", "cancel"], description: str) -> None:
    @search_argument
    @db_option
    @plainly
    def control(search_id: int | None, db: Path | None) -> None:
        workspace = _workspace(load_settings(), db)
        chosen = load_agent_state(workspace.db, search_id).search.id
        _report(request(workspace, Control(kind=kind), chosen))

    main.command(kind, help=description)(control)


_control("pause", "Start no new trials; running ones finish.")
_control("stop", "Start no new trials; running ones finish, and the search ends.")
_control("cancel", "End a search now; running trials are killed.")


@main.command()
@click.argument("search_id", metavar="SEARCH", type=int)
@click.argument("trial", type=int)
@click.argument("decision", type=click.Choice(["approve", "edit", "reject"]))
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="With edit.")
@click.option("--reason", default="", help="Why; a rejection needs one.")
@db_option
@plainly
def decide(
    search_id: int,
    trial: int,
    decision: Literal["approve", "edit", "reject"],
    assignments: tuple[str, ...],
    reason: str,
    db: Path | None,
) -> None:
    """Approve, edit or reject the proposal of a trial that waits.

    An edit changes the given settings of the proposal and approves the result.
    """
    if decision == "reject" and not reason:
        raise Refused("A rejection needs a --reason: the planner reads it.")
    if (decision == "edit") != bool(assignments):
        raise Refused("--set belongs to edit, and edit needs at least one --set.")
    workspace = _workspace(load_settings(), db)
    state = load_agent_state(workspace.db, search_id)
    row = next((row for row in state.trials if row.number == trial), None)
    if row is None or row.state != "proposed":
        raise Refused(f"Trial {trial} of search {search_id} does not wait for a decision.")
    changes = {**row.changes, **dict(_assignment(text) for text in assignments)}
    command = Decide(
        proposal_id=row.proposal_id,
        version=row.version,
        decision=_DECISIONS[decision],
        changes=changes if decision == "edit" else {},
        comment=reason,
    )
    _report(request(workspace, command, search_id))


_DECISIONS: dict[str, Literal["approved", "edited", "rejected"]] = {
    "approve": "approved",
    "edit": "edited",
    "reject": "rejected",
}


@main.command("settings")
def list_settings() -> None:
    """Print every setting of a run as a Markdown table: what --set takes."""
    click.echo(settings_table(), nl=False)


# -- what the commands share --------------------------------------------------------------------


def _workspace(settings: Settings, db: Path | None) -> Workspace:
    return settings.workspace if db is None else Workspace(db.expanduser().absolute())


def _assignment(text: str) -> tuple[str, Value]:
    """Read KEY=VALUE; the value is JSON where it can be, else text."""
    key, equals, raw = text.partition("=")
    if not equals or not key:
        raise Refused(f"{text[:80]!r} must have the form KEY=VALUE.")
    return key, value_of(raw)


def _report(answer: Answer) -> None:
    if not answer.ok:
        raise Refused(answer.text)
    click.echo(answer.text)


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
    _print_state(state, as_json)


def _print_state(state: AgentState, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_as_json(state), indent=2))
        return
    search, best = state.search, get_best_run(state)
    click.echo(
        f"Search {search.id}: {search.spec.title()}, {search.state}, "
        f"{search.finished} of {search.max_trials} trials, {search.active_seconds:.0f} s"
        + (f". {search.reason}" if search.reason else "")
    )
    if state.trials:
        click.echo(_table([_trial_line(trial) for trial in state.trials]))
    for row in state.baselines:
        if row.split == "val":
            click.echo(f"{row.name}: val_mse {row.mse:.4g}, without training")
    if best is not None:
        click.echo(f"Best: trial {best.number}, val_mse {best.val_mse:.4g} (lower is better).")


def settings_table() -> str:
    """Return the table of `docs/configuration.md`."""
    lines = [
        "| setting | default | small | valid | planners vary | meaning |",
        "|---|---|---|---|---|---|",
    ]
    small = PRESETS["small"].config().flat()
    for key, field in fields().items():
        if field.options is not None:
            valid = ", ".join(str(option) for option in field.options)
        elif field.low is not None and field.high is not None:
            valid = f"{field.low:g} to {field.high:g}"
        else:
            valid = "a known name" if key == "data.dataset" else "a column of the data set"
        own = "" if small[key] == field.default else str(small[key])
        varied = describe(field.search) if field.search else "no"
        lines.append(f"| `{key}` | {field.default} | {own} | {valid} | {varied} | {field.help} |")
    return "\n".join(lines) + "\n"


def _task(dataset: str) -> dict[str, Value]:
    """Return the settings that choose a data set and the column that it names as its target."""
    try:
        return {"data.dataset": dataset, "data.target": find(dataset).target}
    except DataError:  # the configuration refuses the name, and says which there are
        return {"data.dataset": dataset}


def _trial_line(trial: TrialRow) -> dict[str, str]:
    verdict = {None: "", True: "accepted", False: "rejected"}[trial.accepted]
    values = (
        trial.number,
        trial.state,
        verdict,
        trial.val_mse,
        trial.source,
        trial.epochs,
        trial.seconds,
        ", ".join(f"{key}={_text(value)}" for key, value in trial.changes.items()),
    )
    return {name: _text(value) for name, value in zip(TABLE_COLUMNS, values, strict=True)}


def _text(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(rows: list[dict[str, str]]) -> str:
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    lines = [{name: name for name in widths}, *rows]
    return "\n".join(
        "  ".join(line[name].ljust(width) for name, width in widths.items()).rstrip()
        for line in lines
    )


def _state(state: str, engine: str) -> str:
    if state in ("running", "stopping") and engine in ("none", "lost"):
        return f"{state}, engine lost"
    return state


def _as_json(state: AgentState) -> dict[str, Any]:
    search = dataclasses.asdict(state.search)
    search["spec"] = state.search.spec.model_dump()
    return {
        "search": search,
        "trials": [dataclasses.asdict(trial) for trial in state.trials],
        "baselines": [dataclasses.asdict(row) for row in state.baselines],
    }


def _csv(state: AgentState) -> str:
    """Return one line per trial; text that a spreadsheet would run as a formula is quoted."""
    lines = []
    for trial in state.trials:
        facts = dataclasses.asdict(trial)
        config = facts.pop("config")
        facts["changes"], facts["original"] = json.dumps(trial.changes), json.dumps(trial.original)
        lines.append(facts | config)
    out = io.StringIO()
    if lines:
        writer = csv.DictWriter(out, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(
            [{key: _safe_cell(value) for key, value in line.items()} for line in lines]
        )
    return out.getvalue()


def _safe_cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
