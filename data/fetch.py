"""`python -m data.fetch NAME`: bring published data sets here, or say where they lie."""

from __future__ import annotations

from collections.abc import Sequence

import click

from data.check import Refusal
from data.registry import DATASETS, DataError, Dataset, find
from data.source import cache, locate, on_this_machine


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("names", nargs=-1, metavar="[NAME]...")
def main(names: Sequence[str]) -> None:
    """Download the published data sets NAME, unless they lie on this machine; list all without one.

    Each file is checked against its SHA-256. Ends with 2 when one cannot be had; the sentence says
    what to put where, for a machine without internet.
    """
    try:
        for name in names or DATASETS:
            dataset = find(name)
            click.echo(_brought(dataset) if names else _listed(dataset))
    except DataError as error:
        raise Refusal(str(error)) from None
    if not names:
        click.echo(f"Files are downloaded into {cache()}.")


def _brought(dataset: Dataset) -> str:
    if dataset.url is None and dataset.path is None:
        return f"{dataset.name} is generated and needs no file."
    return f"{dataset.name} lies in {locate(dataset.name)}."


def _listed(dataset: Dataset) -> str:
    if dataset.url is None:
        return f"{dataset.name:<10} generated  {dataset.description}"
    here = on_this_machine(dataset.name)
    where = f"in {here}" if here else f"not here, {dataset.size / 1e6:.1f} MB"
    return f"{dataset.name:<10} {where}  {dataset.description}"


if __name__ == "__main__":
    main()
