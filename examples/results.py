"""Read what searches have found into pandas: `python -m examples.results`.

A row for each trial, with its figures and the settings that differ between trials. Reading never
disturbs a search that runs.
"""

from __future__ import annotations

import click
import pandas as pd

from nas_engine.settings import load_settings
from nas_engine.store.reader import reading
from nas_engine.store.table import Query, parse, records


@click.command()
@click.option("--search", "searches", type=int, multiple=True, help="All of them by default.")
@click.option("--where", default="", help='A filter as on the pages, such as "val_mse<0.5".')
def main(searches: tuple[int, ...], where: str) -> None:
    """Print the best trials, and the mean error by source and by value of a setting."""
    with reading(load_settings().workspace) as reader:
        if reader is None:
            raise click.ClickException("There is no search yet: python -m examples.search")
        numbers = searches or tuple(row.id for row in reader.searches())
        trials = pd.DataFrame(records(reader, Query(numbers, parse(where))))
    done = trials.dropna(subset="val_mse").sort_values("val_mse")
    click.echo(done[["search", "number", "source", "verdict", "val_mse", "seconds"]].head(10))
    click.echo(done.groupby("source")["val_mse"].agg(["count", "min", "mean"]))
    for key in done.columns[done.columns.str.startswith("model.")][:3]:
        click.echo(done.groupby(key)["val_mse"].agg(["count", "min"]))


if __name__ == "__main__":
    main()
