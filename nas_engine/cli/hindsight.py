"""Looking back: `hindsight` has another planner propose at a past moment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import get_args

import click

from informer.config import short
from nas_engine.cli.common import (
    Refused,
    db_option,
    known_search,
    plainly,
    workspace_of,
)
from nas_engine.commands import Replay
from nas_engine.liveness import LIVING, engine_state
from nas_engine.search import PlannerName
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.wishes import ReplayRow
from nas_engine.supervisor import request
from nas_engine.workspace import Workspace

PLANNERS = get_args(PlannerName)
LOOK_SECONDS = 0.2


@click.command()
@click.argument("search_id", metavar="SEARCH", type=int)
@click.argument("number", metavar="TRIAL", type=int)
@click.option(
    "--planner", type=click.Choice(get_args(PlannerName)), required=True, help="Who is asked."
)
@click.option("--model", default="", help="Of a planner that asks a language model.")
@db_option
@plainly
def hindsight(search_id: int, number: int, planner: str, model: str, db: Path | None) -> None:
    """Show what another planner would have proposed as a trial; nothing is trained.

    It knows what was known when the trial was proposed, and nothing of what came after.
    """
    workspace = workspace_of(db)
    command = Replay.model_validate({"number": number, "planner": planner, "model": model})
    answer = request(workspace, command, known_search(workspace, search_id))
    if not answer.ok:
        raise Refused(answer.text)
    row = _ended(workspace, search_id, number)
    if row.state != "answered":
        raise Refused(row.problem or "The engine ended before the planner answered; ask again.")
    whose = f" ({row.source})" if row.source != row.planner else ""
    parent = "the start" if row.parent is None else f"trial {row.parent}"
    click.echo(f"{row.planner}{whose} would have changed {parent}:")
    for key, value in row.changes.items():
        click.echo(f"  {key} = {short(value)}")
    for text in filter(None, (row.hypothesis, row.reasons)):  # of a model: nothing may act on it
        click.echo("".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text))


def _ended(workspace: Workspace, search_id: int, number: int) -> ReplayRow:
    """Wait until the newest replay of a trial has ended, or its engine has, and return it."""
    while True:
        with reading(workspace) as reader:
            assert reader is not None, "a command was applied in it"
            lives = engine_state(reader.engine(search_id)) in LIVING
            row = wishes.replays(reader, search_id, number)[0]
        if row.state != "asked" or not lives:
            return row
        time.sleep(LOOK_SECONDS)


COMMANDS = (hindsight,)
