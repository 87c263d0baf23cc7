"""Search, and take the best model home: `python -m examples.search`.

Run it again with more trials, and the same search goes on where it ended.
"""

from __future__ import annotations

import click

from nas_engine.api import get_best_run, run_nas_optimization


@click.command()
@click.option("--dataset", default="synthetic", show_default=True)
@click.option("--trials", default=8, show_default=True)
@click.option("--epochs", default=3, show_default=True)
@click.option("--steps", default=100, show_default=True, help="Of an epoch; 0: all windows.")
@click.option("--seeds", default=2, show_default=True, help="Trainings of trial 0.")
def main(dataset: str, trials: int, epochs: int, steps: int, seeds: int) -> None:
    """Search on DATASET and print the trials, the best one, and what it has to beat."""
    settings = {"data.dataset": dataset, "training.epochs": epochs}
    settings |= {"training.steps_per_epoch": steps}
    state = run_nas_optimization(trials, settings=settings, rules={"seeds": seeds})
    for trial in state.trials:
        error = "no result" if trial.val_mse is None else f"{trial.val_mse:.4f}"
        click.echo(f"trial {trial.number}: {error}; {trial.verdict or trial.error}")
    for row in state.baselines:
        if row.split == "val":
            click.echo(f"{row.name}, without training: {row.mse:.4f}")
    if (best := get_best_run(state)) is not None:
        click.echo(f"Best: trial {best.number}, {best.changes or 'the starting configuration'}")
        click.echo(f"Take it home: python -m nas_engine bundle {state.search.id} --output model")


if __name__ == "__main__":
    main()
