"""Commands to a search that runs or rests: controls, changes, decisions, guidance, names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from nas_engine.api import load_agent_state
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
from nas_engine.cli.output import clock, table
from nas_engine.commands import (
    AskAgain,
    Change,
    Command,
    Control,
    Decide,
    Describe,
    Enqueue,
    Guide,
    Lift,
    OnTrial,
)
from nas_engine.labels import describe as say
from nas_engine.search import CHANGEABLE, Limits, Mode
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.rows import TrialRow
from nas_engine.supervisor import Answer, request

ACTS: dict[str, Literal["stop_trial", "skip", "retry", "another_seed", "to_front"]] = {
    "stop": "stop_trial",
    "skip": "skip",
    "retry": "retry",
    "another-seed": "another_seed",
    "to-front": "to_front",
}
DECISIONS: dict[str, Literal["approved", "edited", "rejected"]] = {
    "approve": "approved",
    "edit": "edited",
    "reject": "rejected",
}
CONTROLS: dict[Literal["pause", "stop", "cancel"], str] = {
    "pause": "Start no new trials; running ones finish.",
    "stop": "Start no new trials; running ones finish, and the search ends.",
    "cancel": "End a search now; running trials are killed.",
}


def _give(db: Path | None, search_id: int | None, command: Command) -> None:
    """Give a command and print the engine's answer."""
    workspace = workspace_of(db)
    _print(request(workspace, command, known_search(workspace, search_id)))


def _print(answer: Answer) -> None:
    if not answer.ok:
        raise Refused(answer.text)
    click.echo(answer.text)


def _control(kind: Literal["pause", "stop", "cancel"], description: str) -> click.Command:
    @search_argument
    @db_option
    @plainly
    def control(search_id: int | None, db: Path | None) -> None:
        _give(db, search_id, Control(kind=kind))

    return click.command(kind, help=description)(control)


search_of = click.argument("search_id", metavar="SEARCH", type=int)
reason_option = click.option("--reason", default="", help="Why; it is kept with the trial.")


@click.command()
@search_of
@click.option("--max-trials", type=int, help="Trials in all; more let a finished search go on.")
@click.option("--slots", type=int, help="Trials that are trained at once.")
@click.option("--auto", "mode", flag_value="auto", help="Train proposals without a review.")
@click.option("--review", "mode", flag_value="review", help="Let each proposal wait for a person.")
@click.option("--radical", "mode", flag_value="radical", help="Let radical proposals wait so.")
@timer_option
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help=f"A budget: {', '.join(CHANGEABLE)}; NAME=none takes it away; repeatable.",
)
@db_option
@plainly
def change(
    search_id: int,
    max_trials: int | None,
    slots: int | None,
    mode: Mode | None,
    timer: str | None,
    limits: tuple[str, ...],
    db: Path | None,
) -> None:
    """Change budgets, slots, mode or timer of a search, while it runs or after it has ended."""
    given = {
        name: None if value == "none" else value for name, value in assignments(limits).items()
    }
    if unknown := [name for name in given if name not in CHANGEABLE]:
        raise Refused(f"{unknown[0]} cannot be changed; --limit takes {', '.join(CHANGEABLE)}.")
    Limits.model_validate(given)
    facts = {"max_trials": max_trials, "slots": slots, "mode": mode, "timer": timer_of(timer)}
    if not given and all(value is None for value in facts.values()):
        raise Refused(
            "Say what to change: --max-trials, --slots, --auto, --radical, --review, --timer or "
            "--limit."
        )
    command = Change.model_validate({**facts, "limits": given})
    _give(db, search_id, command)


@click.command()
@search_of
@click.argument("number", metavar="TRIAL", type=int)
@click.argument("act", type=click.Choice(list(ACTS)))
@reason_option
@db_option
@plainly
def trial(search_id: int, number: int, act: str, reason: str, db: Path | None) -> None:
    """Stop, skip or retry a trial, train it with another seed, or let it be the next.

    stop ends its training at once; skip takes a queued one out of the queue; retry trains one
    again that failed, crashed, was stopped or pruned; another-seed trains a completed one once more
    and judges it anew; to-front lets a queued one be the next.
    """
    _give(db, search_id, OnTrial(kind=ACTS[act], number=number, comment=reason))


@click.command()
@search_of
@click.option(
    "--set",
    "settings",
    multiple=True,
    required=True,
    metavar="KEY=VALUE",
    help="A setting that differs from the parent's; repeatable.",
)
@click.option("--parent", type=int, help="Trial that is changed; default: the start.")
@reason_option
@db_option
@plainly
def enqueue(
    search_id: int, settings: tuple[str, ...], parent: int | None, reason: str, db: Path | None
) -> None:
    """Have a configuration of your own trained as a trial of the search."""
    _give(db, search_id, Enqueue(parent=parent, changes=assignments(settings), comment=reason))


@click.command()
@search_of
@click.argument("number", metavar="TRIAL", type=int)
@click.argument("decision", type=click.Choice(list(DECISIONS)))
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="With edit.")
@click.option("--reason", default="", help="Why; a rejection needs one.")
@db_option
@plainly
def decide(
    search_id: int,
    number: int,
    decision: str,
    settings: tuple[str, ...],
    reason: str,
    db: Path | None,
) -> None:
    """Approve, edit or reject the proposal of a trial that waits.

    An edit changes the given settings of the proposal and approves the result.
    """
    if decision == "reject" and not reason:
        raise Refused("A rejection needs a --reason: the planner reads it.")
    if (decision == "edit") != bool(settings):
        raise Refused("--set belongs to edit, and edit needs at least one --set.")
    row = _waiting(db, search_id, number)
    command = Decide(
        proposal_id=row.proposal_id,
        version=row.version,
        decision=DECISIONS[decision],
        changes={**row.changes, **assignments(settings)} if decision == "edit" else {},
        comment=reason,
    )
    _give(db, search_id, command)


def _waiting(db: Path | None, search_id: int, number: int) -> TrialRow:
    """Return a trial whose proposal waits for a person."""
    state = load_agent_state(workspace_of(db).db, search_id)
    row = next((row for row in state.trials if row.number == number), None)
    if row is None or row.state != "proposed":
        raise Refused(f"Trial {number} of search {search_id} does not wait for a decision.")
    return row


@click.command("ask-again")
@search_of
@click.argument("number", metavar="TRIAL", type=int)
@click.option("--hint", default="", help="What a language model is told of the first proposal.")
@db_option
@plainly
def ask_again(search_id: int, number: int, hint: str, db: Path | None) -> None:
    """Have something else proposed for a trial that waits for a decision."""
    row = _waiting(db, search_id, number)
    _give(db, search_id, AskAgain(proposal_id=row.proposal_id, version=row.version, hint=hint))


@click.command()
@search_of
@click.argument("words")
@db_option
@plainly
def guide(search_id: int, words: str, db: Path | None) -> None:
    """Tell a search something: "stay under 2 M parameters, leave the learning rate alone".

    What is plain becomes a constraint on all that planners propose from now on; the rest is told to
    the language model, where one plans.
    """
    _give(db, search_id, Guide.model_validate({"words": words}))


@click.command()
@search_of
@click.argument("steering_id", metavar="ID", type=int)
@db_option
@plainly
def lift(search_id: int, steering_id: int, db: Path | None) -> None:
    """Let a constraint or words hold no longer; `guidance` lists them with their IDs."""
    _give(db, search_id, Lift(steering_id=steering_id))


@click.command()
@search_argument
@click.option("--all", "everything", is_flag=True, help="What holds no longer, too.")
@db_option
@json_option
@plainly
def guidance(search_id: int | None, everything: bool, db: Path | None, as_json: bool) -> None:
    """List what people told a search that is in force (the newest search by default)."""
    workspace = workspace_of(db)
    chosen = known_search(workspace, search_id)
    with reading(workspace) as reader:
        assert reader is not None, "a search is known"
        told = wishes.steering(reader, chosen, in_force=not everything)
    rows = [
        {
            "id": row.id,
            "enforced": row.constraint.text if row.constraint else "",
            "words": row.words,
            "author": row.author,
            "time": row.created_at if as_json else clock(row.created_at),
            "ended by": row.ended_by,
        }
        for row in told
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        click.echo(table(rows))
    else:
        click.echo(f"Nothing was told to search {chosen} that is in force.")


@click.command()
@search_of
@click.option("--name", help="What the search is called; '' takes the name away.")
@click.option("--tag", "tags", multiple=True, help="A tag, in place of those before; repeatable.")
@click.option("--no-tags", is_flag=True, help="Take all tags away.")
@click.option("--notes", help="What there is to say of it; '' takes the notes away.")
@click.option("--archive/--restore", "archived", default=None, help="Hide it in lists, or not.")
@db_option
@plainly
def describe(
    search_id: int,
    name: str | None,
    tags: tuple[str, ...],
    no_tags: bool,
    notes: str | None,
    archived: bool | None,
    db: Path | None,
) -> None:
    """Give a search a name, tags and notes, or archive it; nothing is ever deleted."""
    if tags and no_tags:
        raise Refused("Give --tag or --no-tags, not both.")
    said = {"name": name, "tags": tags if tags or no_tags else None, "notes": notes}
    if archived is None and all(value is None for value in said.values()):
        raise Refused("Say what to keep: --name, --tag, --no-tags, --notes, --archive, --restore.")
    workspace = workspace_of(db)
    search = load_agent_state(workspace.db, search_id).search
    command = Describe.model_validate({**said, "archived": archived, "edition": search.edition})
    _print(say(workspace, search.id, command))


COMMANDS = (
    *(_control(kind, description) for kind, description in CONTROLS.items()),
    change,
    trial,
    enqueue,
    decide,
    ask_again,
    guide,
    lift,
    guidance,
    describe,
)
