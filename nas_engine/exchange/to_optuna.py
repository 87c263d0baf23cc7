"""A search as an Optuna study, for optuna-dashboard and for samplers of one's own."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from datetime import datetime

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from informer.config import Interval, Search
from nas_engine.exchange.archive import ExchangeError
from nas_engine.exchange.studies import opened_for_writing
from nas_engine.front import figures
from nas_engine.objectives import written
from nas_engine.planners.tpe import asked
from nas_engine.search import SearchSpec
from nas_engine.space import space
from nas_engine.store.reader import Reader
from nas_engine.store.rows import EpochRow, SearchRow, TrialRow

SETTINGS, PRESET = "informer_nas_settings", "informer_nas_preset"
"""User attributes of a study with what its trials share; see `from_optuna`."""
HYPOTHESIS_LENGTH = 500

_STATES = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "crashed": TrialState.FAIL,
    "stopped": TrialState.FAIL,
}
"""Of trials that were trained; others are no trials to Optuna."""


@dataclass(frozen=True)
class Written:
    """How many trials a study got, and how many were left out as they were never trained."""

    trials: int
    left_out: int


def export_study(reader: Reader, search: SearchRow, address: str, name: str) -> Written:
    """Add a study with the trials of a search to a storage of Optuna.

    Parameters are the settings that planners may choose from, where they have a part to play and
    lie inside the space; what a person set outside of it is the user attribute `outside`. Values
    are the objectives of the search, by name, intermediate values the val_mse of the epochs.

    Args:
        reader: of the workspace.
        search: the search.
        address: of the storage: a SQLAlchemy URL, or the path of a journal file.
        name: of the study, which must be new.

    Raises:
        ExchangeError: the storage cannot be written, or has a study of that name.
    """
    dimensions = space(search.spec)
    trials = reader.trials(search.id)
    told = [trial for trial in trials if trial.state in _STATES]
    curves: dict[int, list[EpochRow]] = {}
    for epoch in reader.epochs(search.id):
        curves.setdefault(epoch.number, []).append(epoch)
    storage = opened_for_writing(address)
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[StudyDirection.MINIMIZE] * len(search.spec.objectives),
        )
    except DuplicatedStudyError:
        raise ExchangeError(
            f"{address} has a study {name} already; choose another name with --study."
        ) from None
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        study.set_metric_names(list(search.spec.objectives))
    study.set_user_attr("title", search.title)
    study.set_user_attr(PRESET, search.spec.preset)
    study.set_user_attr(SETTINGS, json.dumps(search.spec.settings))
    if search.spec.at_most:
        study.set_user_attr("bounds", written(search.spec.at_most))
    for trial in told:
        curve = curves.get(trial.number, [])
        study.add_trial(_frozen(trial, dimensions, curve, search.spec))
    return Written(len(told), len(trials) - len(told))


def distribution(search: Search) -> BaseDistribution:
    """Return a dimension with its values as they are, unlike TPE's, which are positions."""
    if isinstance(search, Interval):
        return FloatDistribution(search.low, search.high, log=search.log)
    return CategoricalDistribution(search.values)


def _frozen(
    trial: TrialRow, dimensions: dict[str, Search], curve: list[EpochRow], spec: SearchSpec
) -> FrozenTrial:
    inside = dict(asked(trial, dimensions))
    state = _STATES[trial.state]
    point = figures(trial, spec.objectives)
    if state is TrialState.COMPLETE and point is None:
        state = TrialState.FAIL
    errors = {row.epoch: row.val_mse for row in curve if row.val_mse is not None}
    outside = {
        key: value
        for key, value in trial.changes.items()
        if key in dimensions and key not in inside
    }
    return FrozenTrial(
        number=-1,  # Optuna numbers what it is given
        trial_id=-1,
        state=state,
        value=None,
        values=point if state is TrialState.COMPLETE else None,
        datetime_start=datetime.fromtimestamp(trial.started_at or trial.created_at),
        datetime_complete=datetime.fromtimestamp(trial.ended_at or trial.created_at),
        params={key: trial.config[key] for key in inside},
        distributions={key: distribution(search) for key, search in inside.items()},
        user_attrs=_attributes(trial) | ({"outside": json.dumps(outside)} if outside else {}),
        # where Optuna keeps constraints is its own matter
        system_attrs=create_trial(
            state=TrialState.FAIL, constraints=_above_bounds(trial, spec)
        ).system_attrs,
        intermediate_values=errors,
    )


def _above_bounds(trial: TrialRow, spec: SearchSpec) -> dict[str, float]:
    """Return by how much a trial is above each bound, in so far as its figures are known."""
    known = {name: figures(trial, (name,)) for name in spec.at_most}
    return {
        name: point[0] - spec.at_most[name] for name, point in known.items() if point is not None
    }


def _attributes(trial: TrialRow) -> dict[str, object]:
    """Return what else is known of a trial, but what is not known of it."""
    facts = {
        "trial": trial.number,
        "parent": trial.parent,
        "source": trial.source,
        "step": trial.step_type,
        "hypothesis": trial.hypothesis[:HYPOTHESIS_LENGTH],
        "verdict": {None: None, True: "accepted", False: "rejected"}[trial.accepted],
        "rule": trial.rule,
        "val_mae": trial.val_mae,
        "test_mse": trial.test_mse,
        "test_mae": trial.test_mae,
        "seeds": trial.seeds,
        "spread": trial.spread,
        "parameters": trial.parameters,
        "flops": trial.flops,
        "latency_ms": trial.latency_ms,
        "memory_mb": trial.memory_mb,
        "seconds": trial.seconds,
        "error": trial.error_class or None,
    }
    return {name: value for name, value in facts.items() if value is not None}
