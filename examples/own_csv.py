"""A CSV or Parquet file of your own as a data set: `python -m examples.own_csv FILE NAME`.

Nothing is guessed: what is unclear is printed, and nothing is added until it is chosen.
"""

from pathlib import Path

import click

from data import own
from data.intake import read
from data.quality import choose, inspect
from nas_engine.api import get_best_run, run_nas_optimization


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--fill", type=click.Choice(["interpolate", "forward", "zero"]), help="For gaps.")
@click.option("--trials", default=8, show_default=True)
@click.option("--steps", default=100, show_default=True, help="Of an epoch; 0: all windows.")
def main(file: Path, name: str, fill: str | None, trials: int, steps: int) -> None:
    """Add FILE as the data set NAME, and search for a model that forecasts it."""
    choices = choose(fill=fill)
    table = read(file, choices)
    report = inspect(table, choices)
    for finding in report.findings:
        click.echo(f"{'Must be settled' if finding.blocks else 'To know'}: {finding.text}")
    if not report.usable:
        raise SystemExit(1)
    dataset = own.add(name, table, str(file), choices, replace=True)
    settings = {"data.dataset": name, "data.target": dataset.target, "training.epochs": 2}
    settings["training.steps_per_epoch"] = steps
    best = get_best_run(run_nas_optimization(trials, settings=settings))
    click.echo(f"Best: {best.val_mse:.4f}, trial {best.number}" if best else "None is accepted.")


if __name__ == "__main__":
    main()
