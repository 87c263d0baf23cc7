"""A search as an Optuna study, for optuna-dashboard and for samplers of one's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from informer.config import Interval, Search
from nas_engine.exchange.archive import ExchangeError
from nas_engine.exchange.studies import opened_for_writing
from nas_engine.planners.tpe import asked
from nas_engine.space import space
from nas_engine.store.reader import EpochRow, Reader, SearchRow, TrialRow

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
    are val_mse, intermediate values those of the epochs.

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
            storage=storage, study_name=name, direction=StudyDirection.MINIMIZE
        )
    except DuplicatedStudyError:
        raise ExchangeError(
            f"{address} has a study {name} already; choose another name with --study."
        ) from None
    study.set_user_attr("title", search.title)
    study.set_user_attr(PRESET, search.spec.preset)
    study.set_user_attr(SETTINGS, json.dumps(search.spec.settings))
    study.add_trials([_frozen(trial, dimensions, curves.get(trial.number, [])) for trial in told])
    return Written(len(told), len(trials) - len(told))


def distribution(search: Search) -> BaseDistribution:
    """Return a dimension with its values as they are, unlike TPE's, which are positions."""
    if isinstance(search, Interval):
        return FloatDistribution(search.low, search.high, log=search.log)
    return CategoricalDistribution(search.values)


def _frozen(trial: TrialRow, dimensions: dict[str, Search], curve: list[EpochRow]) -> FrozenTrial:
    inside = dict(asked(trial, dimensions))
    state = _STATES[trial.state]
    if state is TrialState.COMPLETE and trial.val_mse is None:
        state = TrialState.FAIL
    values = {row.epoch: row.val_mse for row in curve if row.val_mse is not None}
    outside = {
        key: value
        for key, value in trial.changes.items()
        if key in dimensions and key not in inside
    }
    return FrozenTrial(
        number=-1,  # Optuna numbers what it is given
        trial_id=-1,
        state=state,
        value=trial.val_mse if state is TrialState.COMPLETE else None,
        datetime_start=datetime.fromtimestamp(trial.started_at or trial.created_at),
        datetime_complete=datetime.fromtimestamp(trial.ended_at or trial.created_at),
        params={key: trial.config[key] for key in inside},
        distributions={key: distribution(search) for key, search in inside.items()},
        user_attrs=_attributes(trial) | ({"outside": json.dumps(outside)} if outside else {}),
        system_attrs={},
        intermediate_values=values,
    )


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
        "seconds": trial.seconds,
        "error": trial.error_class or None,
    }
    return {name: value for name, value in facts.items() if value is not None}
