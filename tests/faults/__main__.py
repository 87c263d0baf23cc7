"""`python -m tests.faults [ROW ...]`: what can go wrong, what was promised, and what happened.

Goes through the table of 73 faults, injects each for real, and prints how often, what happened
and whether the promise was kept. The faults are injected by tests of the suite; with --results the
table is made of a run of them that there was already, as `make test` does. The exit code is 1
where a promise broke or a fault was not injected. docs/faults.md says how to read it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import get_args

import click

from tests.faults import cases, inputs, processes, security, service, training
from tests.faults.row import Row
from tests.faults.table import Verdict, judge, lines, promises, total

ROWS: tuple[Row, ...] = (
    *processes.ROWS,
    *training.ROWS,
    *service.ROWS,
    *inputs.ROWS,
    *security.ROWS,
)


@click.command(help=__doc__)
@click.argument("names", nargs=-1, metavar="[ROW ...]")
@click.option("--long", is_flag=True, help="Also the tests that take a minute or more.")
@click.option(
    "--results",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Run nothing, but read what pytest wrote with --junitxml; may be given again.",
)
@click.option("--promises", "only_promises", is_flag=True, help="List the promises, with rows.")
def main(
    names: tuple[str, ...], long: bool, results: tuple[Path, ...], only_promises: bool
) -> None:
    """Print the table."""
    if only_promises:
        click.echo("\n".join(promises(ROWS)))
        return
    if unknown := set(names) - {row.name for row in ROWS}:
        raise click.UsageError(f"There is no row {', '.join(sorted(unknown))}; A1 to E15 are.")
    rows = [row for row in ROWS if not names or row.name in names]
    found = cases.read(results) if results else _run(rows, long)
    outcomes = [judge(row, found, long) for row in rows]
    click.echo("\n".join(lines(outcomes)))
    injected, survived = total(rows, found, long)
    counts = [
        f"{sum(one.verdict == verdict for one in outcomes)} {verdict}"
        for verdict in get_args(Verdict)
    ]
    click.echo(f"{len(rows)} rows: {', '.join(counts)}")
    click.echo(f"faults injected: {injected:,}, survived: {survived:,}")
    raise SystemExit(any(one.verdict in ("broken", "missing") for one in outcomes))


def _run(rows: list[Row], long: bool) -> list[cases.Case]:
    """Run the tests of the rows, each once."""
    tests = dict.fromkeys(test for row in rows for test in row.named(long))
    if not tests:
        return []
    with tempfile.TemporaryDirectory() as folder:
        return cases.run(list(tests), long, Path(folder) / "results.xml")


if __name__ == "__main__":
    main()
