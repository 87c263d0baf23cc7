"""Whole searches to and from other machines: `export-search` and `import-search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from nas_engine.cli.common import (
    Refused,
    assignments,
    db_option,
    known_search,
    plainly,
    search_argument,
    workspace_of,
)
from nas_engine.exchange.archive import ExchangeError
from nas_engine.exchange.exporting import Weights, export_to
from nas_engine.settings import load_settings
from nas_engine.store.reader import reading

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


storage_option = click.option(
    "--storage",
    required=True,
    metavar="ADDRESS",
    help="Of Optuna: sqlite:///study.db, another SQLAlchemy URL, or the path of a journal file.",
)


@click.command("export-optuna")
@search_argument
@storage_option
@click.option("--study", help="Name of the new study; default: search-N.")
@db_option
@plainly
def export_optuna(search_id: int | None, storage: str, study: str | None, db: Path | None) -> None:
    """Write the trials of a search as an Optuna study, such as for optuna-dashboard."""
    from nas_engine.exchange.to_optuna import export_study

    workspace = workspace_of(db)
    chosen = known_search(workspace, search_id)
    name = study or f"search-{chosen}"
    with reading(workspace) as reader:
        search = reader.search(chosen) if reader else None
        assert reader is not None, "a search is known"
        assert search is not None, "a search is known"
        try:
            written = export_study(reader, search, storage, name)
        except ExchangeError as error:
            raise Refused(str(error)) from None
    left_out = f" {written.left_out} were never trained and are left out." * bool(written.left_out)
    click.echo(f"{written.trials} trials are written to the study {name}.{left_out}", err=True)


@click.command("import-optuna")
@storage_option
@click.option("--study", required=True, help="Name of the study.")
@click.option("--dataset", help="That the study was of; default: as it says itself, else ETTh1.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting that all its trials shared, such as data.pred_len=96; repeatable.",
)
@click.option(
    "--rename",
    "renames",
    multiple=True,
    metavar="THEIRS=KEY",
    help="Which setting a parameter of the study is; repeatable.",
)
@click.option(
    "--drop", "drops", multiple=True, metavar="THEIRS", help="Leave a parameter out; repeatable."
)
@click.option("--negate", is_flag=True, help="Take the negative of its values.")
@click.option("--as", "name", help="What the search is called; default: as the study is.")
@db_option
@plainly
def import_optuna(
    storage: str,
    study: str,
    dataset: str | None,
    settings: tuple[str, ...],
    renames: tuple[str, ...],
    drops: tuple[str, ...],
    negate: bool,
    name: str | None,
    db: Path | None,
) -> None:
    """Take in an Optuna study as a finished search, to compare with and to begin from.

    Its errors were computed elsewhere, and every page says so. The file of the study is not
    changed, and nothing in it is executed.
    """
    from nas_engine.exchange.from_optuna import Reading, import_study

    wanted = Reading(
        study=study,
        dataset=dataset,
        settings=assignments(settings),
        renamed={theirs: str(key) for theirs, key in assignments(renames).items()},
        dropped=frozenset(drops),
        negate=negate,
        name=name,
    )
    try:
        click.echo(import_study(workspace_of(db), storage, wanted).sentence, err=True)
    except ExchangeError as error:
        raise Refused(str(error)) from None


COMMANDS = (export_search, import_search, export_optuna, import_optuna)
