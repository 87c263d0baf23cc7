"""What searches hold: `list`, `show`, `export`, `transcript`, `backup`, `log`, and `settings`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import click

from nas_engine.api import AgentState, load_agent_state
from nas_engine.audit import asked
from nas_engine.cli.common import (
    Refused,
    db_option,
    json_option,
    known_search,
    plainly,
    search_argument,
    workspace_of,
)
from nas_engine.cli.output import (
    as_csv,
    as_json_value,
    as_parquet,
    clock,
    engine_words,
    print_search,
    print_standing,
    settings_table,
    standing,
    table,
)
from nas_engine.labels import hidden
from nas_engine.liveness import engine_state
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.rows import CommandRow, EventRow
from nas_engine.transcript import Format, exported


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are archived, too.")
@db_option
@json_option
@plainly
def list_searches(everything: bool, db: Path | None, as_json: bool) -> None:
    """List the searches that are not archived, newest first."""
    workspace = workspace_of(db)
    with reading(workspace) as reader:
        searches = (
            [
                (row, engine_state(reader.engine(row.id)), standing(reader, row))
                for row in reader.searches()
            ]
            if reader
            else []
        )
    rows = [
        {
            "search": row.id,
            "name": row.name,
            "title": row.spec.title(),
            "tags": ", ".join(row.tags),
            "state": engine_words(row.state, engine),
            "trials": f"{row.finished}/{row.max_trials}",
            "best": row.best,
            "front": told,
        }
        for row, engine, told in searches
        if everything or not hidden(row, engine)
    ]
    left_out = len(searches) - len(rows)
    if not any(row["front"] for row in rows):
        rows = [{name: row[name] for name in row if name != "front"} for row in rows]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        click.echo(table(rows))
    elif not left_out:
        click.echo(f"There is no search in {workspace.db} yet.")
    if left_out and not as_json:
        click.echo(f"{left_out} archived; --all lists them too.", err=True)


@click.command()
@search_argument
@click.option("--trial", type=int, help="Show everything about one trial.")
@db_option
@json_option
@plainly
def show(search_id: int | None, trial: int | None, db: Path | None, as_json: bool) -> None:
    """Show a search and its trials, or one trial (the newest search by default)."""
    workspace = workspace_of(db)
    state = load_agent_state(workspace.db, search_id)
    if trial is None:
        print_search(state, as_json)
        if not as_json:
            print_standing(workspace, state.search)
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


@click.command()
@search_argument
@click.option("--format", "kind", type=click.Choice(["csv", "json", "parquet"]), default="csv")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: stdout.")
@db_option
@plainly
def export(
    search_id: int | None,
    kind: Literal["csv", "json", "parquet"],
    output: Path | None,
    db: Path | None,
) -> None:
    """Write all trials of a search as CSV, JSON or Parquet, one column per setting."""
    if kind == "parquet" and output is None:
        raise Refused("A Parquet file is no text: name it with --output.")
    state = load_agent_state(workspace_of(db).db, search_id)
    if output is None:
        click.echo(_exported(state, kind), nl=False)
        return
    try:
        output.write_bytes(_exported(state, kind))
    except OSError as error:
        raise Refused(f"{output} cannot be written ({error.strerror}).") from None
    click.echo(f"{len(state.trials)} trials written to {output}.", err=True)


def _exported(state: AgentState, kind: Literal["csv", "json", "parquet"]) -> bytes:
    if kind == "parquet":
        return as_parquet(state)
    text = as_csv(state) if kind == "csv" else json.dumps(as_json_value(state), indent=2) + "\n"
    return text.encode()


@click.command()
@search_argument
@click.option("--trial", type=int, help="Of one trial alone.")
@click.option(
    "--format", "kind", type=click.Choice(["md", "jsonl"]), default="md", help="Default: md."
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: stdout.")
@db_option
@plainly
def transcript(
    search_id: int | None, trial: int | None, kind: Format, output: Path | None, db: Path | None
) -> None:
    """Write who proposed, decided, trained and judged, word for word: Markdown or JSON Lines."""
    workspace = workspace_of(db)
    chosen = known_search(workspace, search_id)
    with reading(workspace) as reader:
        search = reader.search(chosen) if reader else None
        assert reader is not None, "a search is known"
        assert search is not None, "a search is known"
        numbers = sorted(reader.numbers(chosen))
        if trial is not None and trial not in numbers:
            raise Refused(f"Search {chosen} has no trial {trial}.")
        keys = [(chosen, number) for number in numbers if trial in (None, number)]
        pieces = exported(reader, search, kind, keys, beside=trial is None)
        if output is None:
            for piece in pieces:
                click.echo(piece, nl=False)
            return
        try:
            with output.open("w", encoding="utf-8") as file:
                file.writelines(pieces)
        except OSError as error:
            raise Refused(f"{output} cannot be written ({error.strerror}).") from None
    click.echo(f"The transcript of {len(keys)} trials is written to {output}.", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@db_option
@plainly
def backup(file: Path, db: Path | None) -> None:
    """Copy the database to a new file, whole and consistent, also while searches run."""
    workspace = workspace_of(db)
    if file.exists():
        raise Refused(f"{file} is there already; name a new file.")
    with reading(workspace) as reader:
        if reader is None:
            raise Refused(f"There is no database {workspace.db}.")
        reader.copy(file)
    click.echo(f"{workspace.db} is copied to {file}; the run folders are not part of it.", err=True)


@click.command()
@search_argument
@click.option("--events", is_flag=True, help="What happened, in place of what people asked for.")
@db_option
@json_option
@plainly
def log(search_id: int | None, events: bool, db: Path | None, as_json: bool) -> None:
    """List who asked what of a search and when, with the answers (the newest by default)."""
    workspace = workspace_of(db)
    chosen = known_search(workspace, search_id)
    with reading(workspace) as reader:
        assert reader is not None, "a search is known"
        lines: list[dict[str, Any]] = (
            [_event_line(event) for event in reader.events(chosen, limit=10_000)]
            if events
            else [_command_line(row) for row in wishes.commands(reader, chosen)]
        )
    if as_json:
        click.echo(json.dumps(lines, indent=2))
    elif lines:
        click.echo(table([{**line, "time": clock(line["time"])} for line in lines]))
    else:
        click.echo(f"Search {chosen} has no such line yet.")


def _command_line(row: CommandRow) -> dict[str, Any]:
    return {
        "time": row.created_at,
        "author": row.author,
        "asked": asked(row),
        "state": row.state,
        "answer": row.answer,
    }


def _event_line(event: EventRow) -> dict[str, Any]:
    return {"time": event.created_at, "level": event.level, "text": event.text}


@click.command()
def settings() -> None:
    """Print every setting of a run as a Markdown table: what --set takes."""
    click.echo(settings_table(), nl=False)


COMMANDS = (list_searches, show, export, transcript, backup, log, settings)
