"""Whole searches to and from other machines: `export-search` and `import-search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from nas_engine.cli.common import (
    Refused,
    db_option,
    known_search,
    plainly,
    search_argument,
    workspace_of,
)
from nas_engine.exchange.archive import ExchangeError
from nas_engine.exchange.exporting import Weights, export_to
from nas_engine.settings import load_settings

if TYPE_CHECKING:
    from nas_engine.exchange.importing import Imported


@click.command("export-search")
@search_argument
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file; default: search-N.nas.zip.",
)
@click.option(
    "--weights",
    type=click.Choice(get_args(Weights)),
    default="none",
    show_default=True,
    help="Of which trials the trained weights are taken along.",
)
@click.option("--without-data", is_flag=True, help="Leave a data set of your own out.")
@db_option
@plainly
def export_search(
    search_id: int | None,
    output: Path | None,
    weights: Weights,
    without_data: bool,
    db: Path | None,
) -> None:
    """Write a search with all that belongs to it to one file, also while it runs."""
    workspace = workspace_of(db)
    chosen = known_search(workspace, search_id)
    target = output or Path(f"search-{chosen}.nas.zip")
    secrets = load_settings().secrets()
    try:
        exported = export_to(workspace, chosen, target, secrets, weights, not without_data)
    except ExchangeError as error:
        raise Refused(str(error)) from None
    click.echo(f"{exported.sentence} Written to {target}.", err=True)


@click.command("import-search")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--as", "name", help="What the search is called here; default: as it was.")
@db_option
@plainly
def import_search(file: Path, name: str | None, db: Path | None) -> None:
    """Take in a search that was exported elsewhere, as a new search.

    A file that is imported twice makes two searches. Nothing in it is executed.
    """
    click.echo(_imported(file, name, db).sentence, err=True)


def _imported(file: Path, name: str | None, db: Path | None) -> Imported:
    from nas_engine.exchange import importing  # with pandas, which takes a while

    try:
        with file.open("rb") as opened:
            return importing.import_search(workspace_of(db), opened, file.name, name)
    except ExchangeError as error:
        raise Refused(str(error)) from None
    except OSError as error:
        raise Refused(f"{file} cannot be read ({error.strerror}).") from None


COMMANDS = (export_search, import_search)
