"""`python -m data.check FILE`: what is wrong with a file, and adding it as a data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar, get_args

import click

from data import own
from data.choices import Decimal, Delimiter, Duplicates, Fill, Resample, Scaling
from data.finding import LEVELS, Finding, Level, option
from data.intake import read
from data.quality import Column, Report, choose, inspect
from data.registry import DataError

F = TypeVar("F", bound=Callable[..., Any])

_SIGNS: dict[Level, str] = {"error": "✕", "choose": "?", "warning": "!", "info": "·"}


class Refusal(click.ClickException):
    """Ends the command with one sentence and exit code 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence, without click's prefix."""
        click.echo(_printable(" ".join(self.message.split())), file=file, err=True)


def _many(name: str, meaning: str) -> Callable[[F], F]:
    return click.option(name, multiple=True, metavar="COLUMN", help=f"{meaning}; repeatable.")


def _shares(_: click.Context, __: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(share) for share in text.split(","))
    except ValueError:
        raise click.BadParameter("give three numbers that add up to 1, as 0.7,0.1,0.2") from None


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--encoding", help="Of the text, such as cp1252 or gbk; by default UTF-8.")
@click.option("--delimiter", type=click.Choice(get_args(Delimiter)), help="Between fields.")
@click.option("--decimal", type=click.Choice(get_args(Decimal)), help="Sign before decimals.")
@click.option(
    "--skip-line",
    "skip_lines",
    type=click.IntRange(1),
    multiple=True,
    metavar="NUMBER",
    help="Line passed over, such as one of units; repeatable.",
)
@click.option(
    "--missing",
    multiple=True,
    metavar="NUMBER|WORD",
    help="Stands for no value, such as -200; repeatable.",
)
@click.option("--date", metavar="COLUMN", help="Column that dates the rows.")
@click.option("--time", metavar="COLUMN", help="Column of times of day, where dates have none.")
@click.option("--date-format", help="As in '%d/%m/%Y'; ISO8601; s or ms since 1970.")
@click.option("--timezone", help="Zone of the written times; they are then kept in UTC.")
@click.option("--frequency", help="pandas alias of the step, such as h, 15min, D or MS.")
@click.option("--duplicates", type=click.Choice(get_args(Duplicates)), help="Row kept of a date.")
@click.option("--resample", type=click.Choice(get_args(Resample)), help="Rows of one step become.")
@click.option("--fill", type=click.Choice(get_args(Fill)), help="In place of missing values.")
@click.option("--limit", type=click.IntRange(1), help="Longest run of missing values to fill.")
@_many("--drop", "Column left out")
@click.option("--target", metavar="COLUMN", help="Column that MS and S forecast.")
@_many("--past-only", "Column that helps but is not forecast")
@_many("--known-future", "Column whose values are known in advance")
@click.option("--shares", callback=_shares, help="Of training, validation, test: 0.7,0.1,0.2.")
@click.option("--validate-from", metavar="DATE", help="First date of the validation part.")
@click.option("--test-from", metavar="DATE", help="First date of the test part.")
@click.option("--scaling", type=click.Choice(get_args(Scaling)), help="Standard if absent.")
@click.option("--seq-len", type=click.IntRange(1, 4096), default=96, show_default=True)
@click.option("--pred-len", type=click.IntRange(1, 2048), default=24, show_default=True)
@click.option("--add", "name", help="Add it as a data set of this name.")
@click.option("--season", type=click.IntRange(1), help="Steps of the main season, when added.")
@click.option("--replace", is_flag=True, help="Replace a data set of your own of this name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    file: Path,
    seq_len: int,
    pred_len: int,
    name: str | None,
    season: int | None,
    replace: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Check FILE, CSV or Parquet: column names, then a row for each time step.

    Nothing is changed or guessed: what is unclear is listed with the options that settle it. Ends
    with 0 when the file can be used, 1 when something is left to mend or choose, and 2 when it
    cannot be read.
    """
    try:
        choices = choose(**chosen)
        table = read(file, choices)
        report = inspect(table, choices, seq_len, pred_len)
        added = None
        if name is not None and report.usable:
            source = str(file.absolute())
            added = own.add(
                name,
                table,
                source,
                choices,
                seq_len=seq_len,
                pred_len=pred_len,
                season=season,
                replace=replace,
            )
    except DataError as error:
        raise Refusal(str(error)) from None
    if as_json:
        facts = {"file": str(file), **report.facts(), "added": added.name if added else None}
        click.echo(json.dumps(facts, indent=2))
    else:
        click.echo(_printable(_text(file, report)))
        if added is not None:
            command = option("python -m nas_engine search --dataset", added.name)
            click.echo(f"\nAdded as data set {added.name}. Search with:\n  {command}")
        elif name is not None:
            click.echo("\nIt was not added.")
    raise SystemExit(0 if report.usable else 1)


def _text(file: Path, report: Report) -> str:
    """Return the report as a person reads it."""
    span = f", {report.first} to {report.last}" if report.first else ""
    every = f", every {report.frequency}" if report.frequency else ""
    parts = [f"{file}: {report.rows:,} rows{span}{every}", _table(report.columns)]
    if report.done:
        parts.append("\n".join(["Done in the copy", *(f"  + {text}" for text in report.done)]))
    for level in LEVELS:
        found = [finding for finding in report.findings if finding.level == level]
        if found:
            parts.append("\n".join([LEVELS[level], *(_lines(finding) for finding in found)]))
    parts.append(
        "The file can be used."
        if report.usable
        else "The file cannot be used yet: mend or choose what is listed first."
    )
    return "\n\n".join(parts)


def _printable(text: str) -> str:
    """Return text of a file for a terminal, which control characters could command."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in text)


def _lines(finding: Finding) -> str:
    offers = "".join(f"\n      {offer}" for offer in finding.options)
    return f"  {_SIGNS[finding.level]} {finding.text}{offers}"


def _table(columns: Sequence[Column]) -> str:
    head = ("column", "role", "kind", "missing", "min", "mean", "max", "longest flat run")
    rows = [head, *(_cells(column) for column in columns)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < 3 or at == 7 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _cells(column: Column) -> tuple[str, ...]:
    name = _printable(column.name)[:40]
    if column.kind in ("", "date"):
        return (name, column.role, "", "", "", "", "", "")
    figures = (
        "" if value is None else f"{value:.4g}"
        for value in (column.minimum, column.mean, column.maximum)
    )
    since = (
        f"{column.longest_flat:,} from {column.flat_from}" if column.longest_flat > 1 else "none"
    )
    return (name, column.role, column.kind, f"{column.missing:,}", *figures, since)


if __name__ == "__main__":
    main()
