"""The training with inherited weights that comes before one from scratch: whose, and what of it.

How errors of both compare is in `inheritance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas_engine.inheritance import expected, given_up, hopeless
from nas_engine.search import SearchSpec
from nas_engine.store import inherited, judging
from nas_engine.store.reader import Reader
from nas_engine.store.rows import TrialRow
from nas_engine.workspace import Workspace


@dataclass(frozen=True)
class HeadStart:
    """The weights of another trial that a training begins with."""

    trial: int
    weights: Path


def wanted(reader: Reader, spec: SearchSpec, trial: TrialRow) -> bool:
    """Tell whether a trial is first trained with inherited weights.

    Trial 0 has no parent; what a person wants trained again is trained from scratch, and so is what
    has begun so.
    """
    again = trial.round > 0 or trial.wanted > 1
    if not spec.inherits or trial.number == 0 or again:
        return False
    return not reader.runs(trial.search_id, trial.number)


def of_parent(reader: Reader, workspace: Workspace, trial: TrialRow) -> HeadStart | None:
    """Return the weights of a trial's parent; None where it has none, or none any more."""
    parent = reader.trial(trial.search_id, trial.parent or 0)
    if parent is None:
        return None
    first = int(parent.config["training.seed"])
    for run in reader.runs(parent.search_id, parent.number):
        folder = workspace.seed_dir(parent.search_id, parent.number, first, run.seed)
        if run.state == "completed" and folder.weights.is_file():
            return HeadStart(parent.number, folder.weights.resolve())
    return None


def why_given_up(reader: Reader, spec: SearchSpec, trial: TrialRow) -> str | None:
    """Return why a trial is not trained from scratch after its training with inherited weights.

    None where it is.
    """
    run = inherited.run(reader, trial.search_id, trial.number)
    rival = judging.figures(reader, trial.search_id, trial.number)
    if run is None or not run.val_mse or rival.incumbent_value is None:
        return None
    outlook = expected(run.val_mse, inherited.pairs(reader, trial.search_id))
    if outlook is None or not hopeless(outlook, rival.incumbent_value, spec.rules):
        return None
    if not given_up(trial.number):
        return None
    return (
        f"Begun with {run.inherited_share or 0:.0%} of the weights of trial {run.inherited_from} "
        f"it came to {run.val_mse:.6g} in {run.epochs} epoch{'s' * (run.epochs != 1)}; from "
        f"scratch {outlook.low:.6g} to {outlook.high:.6g} are expected ({outlook.pairs} trials "
        f"were trained both ways), against {rival.incumbent_value:.6g} of trial {rival.incumbent}."
    )
