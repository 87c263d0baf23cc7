"""A planner of your own, outside of the engine: `python -m examples.own_planner`.

A hill climber in four lines; a study of Optuna fits in its place. Its trials are judged as all are.
"""

import random

import click

from informer.config import Choices
from nas_engine.api import AgentState, follow, run_nas_optimization
from nas_engine.commands import Enqueue
from nas_engine.settings import load_settings
from nas_engine.space import space
from nas_engine.supervisor import request


def next_trial(state: AgentState) -> Enqueue:
    """Change one setting of the best trial at random."""
    lists = {k: s.values for k, s in space(state.search.spec).items() if isinstance(s, Choices)}
    key, values = random.choice(sorted(lists.items()))
    return Enqueue(parent=state.search.incumbent, changes={key: random.choice(values)})


@click.command()
@click.option("--trials", default=6, show_default=True)
@click.option("--steps", default=100, show_default=True, help="Of an epoch; 0: all windows.")
def main(trials: int, steps: int) -> None:
    """Climb from the starting configuration on the generated data."""
    start = {"data.dataset": "synthetic", "training.epochs": 2, "training.steps_per_epoch": steps}
    state = run_nas_optimization(1, settings=start, rules={"seeds": 1, "extra_seeds": 0})
    workspace = load_settings().workspace
    while len(state.trials) < trials:
        click.echo(request(workspace, next_trial(state), state.search.id).text)
        state = follow(workspace, state.search.id, lambda event: click.echo(event.text))


if __name__ == "__main__":
    main()
