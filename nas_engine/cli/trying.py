"""A configuration tried for one step, before it is proposed, approved or queued."""

from __future__ import annotations

from pathlib import Path

import click

from informer.config import ConfigError, RunConfig, Value, from_flat
from nas_engine import dry_run as trying
from nas_engine.api import load_agent_state
from nas_engine.cli.common import (
    Refused,
    assignments,
    db_option,
    json_option,
    plainly,
    workspace_of,
)
from nas_engine.settings import load_settings


@click.command("dry-run")
@click.argument("search_id", metavar="SEARCH", type=int)
@click.option(
    "--trial", "number", type=int, help="A trial as it was proposed, or is to be changed."
)
@click.option("--parent", type=int, help="Trial that --set changes; default: the start.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Repeatable.")
@json_option
@db_option
@plainly
def dry_run(
    search_id: int,
    number: int | None,
    parent: int | None,
    settings: tuple[str, ...],
    as_json: bool,
    db: Path | None,
) -> None:
    """Build a model, go one step forward and backward, and say what that took.

    Nothing is trained or stored. Exit code 1 means that the configuration cannot be trained here.
    """
    if number is not None and parent is not None:
        raise Refused("Give --trial or --parent, not both: each names what --set changes.")
    config = _config(db, search_id, parent if number is None else number, assignments(settings))
    outcome = trying.dry_run(config, load_settings())
    if isinstance(outcome, str):
        click.echo(outcome, err=True)
        raise SystemExit(1)
    if as_json:
        click.echo(outcome.model_dump_json())
        return
    for name, value in trying.facts(outcome).items():
        click.echo(f"{name}: {value}")


def _config(
    db: Path | None, search_id: int, base: int | None, changes: dict[str, Value]
) -> RunConfig:
    state = load_agent_state(workspace_of(db).db, search_id)
    start = next((trial.config for trial in state.trials if trial.number == base), None)
    if base is not None and start is None:
        raise Refused(f"Search {search_id} has no trial {base}.")
    try:
        return from_flat({**(start or state.search.spec.start()), **changes})
    except ConfigError as error:
        raise Refused(str(error)) from None


COMMANDS = (dry_run,)
