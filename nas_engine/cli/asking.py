"""`ask`: put a question about a search, and print the answer as it comes."""

from __future__ import annotations

import time
from pathlib import Path

import click

from nas_engine.chat.looked_up import WITH_QUESTION, looked_up
from nas_engine.cli.common import Refused, db_option, known_search, plainly, workspace_of
from nas_engine.cli.output import table
from nas_engine.commands import Ask, StopAnswer
from nas_engine.liveness import LIVING, engine_state
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.wishes import TurnRow
from nas_engine.supervisor import request
from nas_engine.workspace import Workspace

LOOK_SECONDS = 0.2
LOST_SECONDS = 10.0
"""For which an answer may have no engine before it is given up."""

STOPPED = 130
"""Exit code after Ctrl-C."""


@click.command()
@click.argument("search_id", metavar="SEARCH", type=int)
@click.argument("question")
@db_option
@plainly
def ask(search_id: int, question: str, db: Path | None) -> None:
    """Ask about a search; the answer and the rows that it rests on are printed.

    It is kept, and stands on the page Ask too. Ctrl-C stops it.
    """
    workspace = workspace_of(db)
    known_search(workspace, search_id)
    before = _turns(workspace, search_id)
    answer = request(workspace, Ask(question=question), search_id)
    if not answer.ok:
        raise Refused(answer.text)
    after = _turns(workspace, search_id)
    turn_id = max(after - before)
    try:
        turn = _follow(workspace, search_id, turn_id)
    except KeyboardInterrupt:
        stopped = request(workspace, StopAnswer(turn_id=turn_id), search_id)
        click.echo(f"\n{stopped.text}", err=True)
        raise SystemExit(STOPPED) from None
    _print_rows(turn)
    if turn.draft is not None:
        click.echo(f"Trial {turn.draft} is drafted; `decide {search_id} {turn.draft}` decides.")
    click.echo(f"{turn.tokens:,} tokens, {turn.cost_usd:.4f} USD booked.", err=True)
    if turn.state == "failed":
        raise Refused(turn.problem)
    if turn.problem:
        click.echo(turn.problem, err=True)


def _turns(workspace: Workspace, search_id: int) -> set[int]:
    """Return the turns that a search has had."""
    with reading(workspace) as reader:
        return set(wishes.turn_states(reader, search_id)) if reader else set()


def _follow(workspace: Workspace, search_id: int, turn_id: int) -> TurnRow:
    """Print an answer as it comes, and return its turn when it has ended."""
    shown, seen = "", time.monotonic()
    while True:
        with reading(workspace) as reader:
            assert reader is not None, "a question was put"
            turn = wishes.turn(reader, turn_id)
            lives = engine_state(reader.engine(search_id)) in LIVING
        assert turn is not None, "turns are never deleted"
        if not turn.answer.startswith(shown):  # it began anew, in another engine
            click.echo()
            shown = ""
        click.echo(_safe(turn.answer[len(shown) :]), nl=False)
        shown = turn.answer
        if turn.state not in ("asked", "answering"):
            click.echo()
            return turn
        seen = time.monotonic() if lives else seen
        if time.monotonic() - seen > LOST_SECONDS:
            raise Refused(
                f"The engine of search {search_id} was lost; ask again, and both are answered."
            )
        time.sleep(LOOK_SECONDS)


def _print_rows(turn: TurnRow) -> None:
    """Print the rows that an answer was given: looked up by the model, then told unasked."""
    for found in sorted(
        map(looked_up, turn.looked_up), key=lambda rows: rows.tool == WITH_QUESTION
    ):
        given = ", ".join(f"{name}={value!r}" for name, value in found.arguments.items() if value)
        call = f"{found.tool} ({_safe(given)})" if given else found.tool
        click.echo(f"\n{call}: {found.note}" if found.note else f"\n{call}")
        if found.rows:
            rows = (dict(zip(found.columns, row, strict=True)) for row in found.rows)
            click.echo(_safe(table(list(rows))))


def _safe(text: str) -> str:
    """Return text without what a terminal would take for a command."""
    return "".join(sign for sign in text if sign.isprintable() or sign in "\n\t")


COMMANDS = (ask,)
