"""An Optuna study as a search: to compare with, and to begin another search from.

Its figures were computed elsewhere, and the search says so. What comes from the study is checked as
the rows of a file are.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from pydantic import ValidationError

from data.registry import DataError, find
from informer.config import ConfigError, Interval, Value, fields, from_flat, short
from nas_engine.exchange.archive import ExchangeError
from nas_engine.exchange.importing import stage, take_in
from nas_engine.exchange.studies import opened_for_reading
from nas_engine.exchange.study_rows import ENDED, StudyTrial, rows
from nas_engine.exchange.to_optuna import PRESET, SETTINGS
from nas_engine.plaintext import readable
from nas_engine.search import TASK_KEYS, Narrowing, Rules, SearchSpec
from nas_engine.space import SpaceError, contains, dimensions, problems_of, typed
from nas_engine.store import copying
from nas_engine.workspace import Workspace

TRIALS = 20_000
RULES = Rules(accept_above=0, reject_below=0, seeds=1, extra_seeds=0)
"""Each trial that is better than all before it is accepted: the incumbent is the study's best."""


@dataclass(frozen=True)
class Reading:
    """How a study is to be read."""

    study: str
    dataset: str | None = None  # None: as the study says, else ETTh1
    settings: Mapping[str, Value] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)  # their name -> our key
    dropped: frozenset[str] = frozenset()  # of theirs
    negate: bool = False
    name: str | None = None  # what the search is called


@dataclass(frozen=True)
class Taken:
    """What was taken in."""

    search_id: int
    trials: int
    left_out: tuple[str, ...]  # a sentence each

    @property
    def sentence(self) -> str:
        """What was taken in, for people."""
        shown = " ".join(self.left_out[:3])
        more = f" {len(self.left_out)} trials are left out. {shown}" if self.left_out else ""
        return f"Search {self.search_id} has {self.trials:,} trials of the study.{more}"


def import_study(workspace: Workspace, address: str, wanted: Reading) -> Taken:
    """Take a study in as a finished search whose trials have the source `imported`.

    Args:
        workspace: where it goes.
        address: of the storage: a SQLAlchemy URL, or the path of a journal file.
        wanted: which study, and how it is to be read.

    Raises:
        ExchangeError: the study cannot be taken; nothing was changed.
        StoreError: the database cannot be used; nothing was changed.
    """
    with opened_for_reading(address) as storage:
        trials, attributes = _read(storage, address, wanted)
    keys = _keys(trials, wanted)
    base = _base(attributes, wanted)
    found, left_out = _in_our_terms(trials, keys, base)
    if not any(trial.value is not None for trial in found):
        raise ExchangeError(
            f"No trial of the study {wanted.study} can be taken. {' '.join(left_out[:1])}".strip()
        )
    spec = _spec(base, found)
    with closing(copying.staging()) as staged:
        stage(staged, rows(spec, RULES, found, wanted.study))
        copying.fill_in(staged)
        day = time.strftime("%Y-%m-%d", time.gmtime())
        origin = (
            f"Imported on {day} from the Optuna study {wanted.study[:100]}: its errors were "
            "computed elsewhere, and can be compared only if that was on the same data and parts."
        )
        search_id = take_in(workspace, staged, origin, wanted.name or wanted.study[:200])
    return Taken(search_id, len(found), tuple(left_out))


# -- what the study holds -----------------------------------------------------------------------


def _read(
    storage: BaseStorage, address: str, wanted: Reading
) -> tuple[list[FrozenTrial], dict[str, Any]]:
    """Return the trials that have ended, with errors as values, and the study's attributes."""
    studies = {study.study_name: study for study in storage.get_all_studies()}
    if (study := studies.get(wanted.study)) is None:
        named = ", ".join(short(name) for name in list(studies)[:10]) or "none"
        raise ExchangeError(
            f"{address} has no study {short(wanted.study)}; the studies in it: {named}."
        )
    if len(study.directions) != 1:
        raise ExchangeError(
            f"The study {wanted.study} has {len(study.directions)} objectives, and what is taken "
            "in is a study of a single error; a search of this project keeps all its objectives "
            "in a file of export-search."
        )
    maximised = study.direction is StudyDirection.MAXIMIZE
    if maximised and not wanted.negate:
        raise ExchangeError(
            f"The study {wanted.study} is maximised, and a search here is of an error that is "
            "minimised: with --negate the negative of its values is taken."
        )
    found = storage.get_all_trials(study._study_id, deepcopy=False)
    if len(found) > TRIALS:
        raise ExchangeError(
            f"The study has {len(found):,} trials; no more than {TRIALS:,} are taken."
        )
    ended = [trial for trial in found if trial.state in ENDED]
    for trial in ended:
        values = (*(trial.values or ()), *trial.intermediate_values.values())
        if not all(isinstance(value, int | float) for value in values):  # SQLite keeps any
            raise ExchangeError(f"Trial {trial.number} of the study has a value that is no number.")
    return [_negated(trial) if wanted.negate else trial for trial in ended], dict(study.user_attrs)


def _negated(trial: FrozenTrial) -> FrozenTrial:
    other = FrozenTrial(
        trial.number,
        trial.state,
        -trial.values[0] if trial.values else None,
        trial.datetime_start,
        trial.datetime_complete,
        trial.params,
        trial.distributions,
        trial.user_attrs,
        trial.system_attrs,
        {step: -value for step, value in trial.intermediate_values.items()},
        trial._trial_id,
    )
    return other


def _keys(trials: Sequence[FrozenTrial], wanted: Reading) -> dict[str, str]:
    """Return our key for each of their parameters; raises ExchangeError for those without one."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    unused = [name for name in (*wanted.renamed, *wanted.dropped) if name not in names]
    if unused:
        raise ExchangeError(f"The study has no parameter {short(unused[0])}.")
    keys = {name: wanted.renamed.get(name, name) for name in names if name not in wanted.dropped}
    if unknown := [name for name, key in keys.items() if key not in fields()]:
        asked = " ".join(_suggested(name) for name in unknown[:20])
        raise ExchangeError(
            f"{', '.join(short(name) for name in unknown[:20])}: no setting here has this name. "
            f"Give each its setting, or leave it out: {asked}"
        )
    for name, key in keys.items():
        if key in TASK_KEYS:
            raise ExchangeError(
                f"{key} is the same for all trials of a search here: leave it out with "
                f"--drop {shlex.quote(readable(name[:60]))}."
            )
        if twins := [other for other, same in keys.items() if same == key and other != name]:
            raise ExchangeError(
                f"{short(name)} and {short(twins[0])} are both {key}: leave one out with --drop."
            )
    return keys


def _suggested(name: str) -> str:
    """Return the option that says what a parameter is, as far as it can be guessed."""
    last = name.rpartition(".")[2]
    found = [key for key in fields() if key.rpartition(".")[2] == last]
    given = shlex.quote(readable(name[:60]))
    return f"--rename {given}={found[0]}" if len(found) == 1 else f"--drop {given}"


@dataclass(frozen=True)
class _Base:
    """What all trials of the study share."""

    preset: str
    settings: dict[str, Value]


def _base(attributes: Mapping[str, Any], wanted: Reading) -> _Base:
    """Return what the trials share: what the study says of it itself, and what was given."""
    settings: dict[str, Value] = {}
    preset = str(attributes.get(PRESET, "small"))
    if wanted.dataset is None and isinstance(text := attributes.get(SETTINGS), str):
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise ExchangeError(f"The attribute {SETTINGS} of the study is no JSON object.")
        settings = {key: value for key, value in said.items() if key in fields()}
    elif wanted.dataset is not None:
        settings = {"data.dataset": wanted.dataset}
        try:
            settings["data.target"] = find(wanted.dataset).target
        except DataError as error:
            raise ExchangeError(str(error)) from None
    return _Base(preset, settings | dict(wanted.settings))


# -- in our terms -------------------------------------------------------------------------------


def _in_our_terms(
    trials: Sequence[FrozenTrial], keys: Mapping[str, str], base: _Base
) -> tuple[list[StudyTrial], list[str]]:
    """Return the trials that are valid here, and a sentence for each other one."""
    start = _checked_spec(base.preset, base.settings).start()
    found, left_out = [], []
    for trial in trials:
        try:
            values = {
                keys[name]: _typed(keys[name], value)
                for name, value in trial.params.items()
                if name in keys
            }
            config = from_flat({**start, **values}).flat()
        except SpaceError as error:
            left_out.append(f"Trial {trial.number}: {error}")
        except ConfigError as error:
            left_out.append(f"Trial {trial.number}: {error.problems[0]}")
        else:
            found.append(StudyTrial(trial, values, config))
    # The start is a trial with a result: it is what the others are told as changes of.
    first = next((at for at, trial in enumerate(found) if trial.value is not None), 0)
    left_out += [
        f"Trial {trial.theirs.number} came before the first result." for trial in found[:first]
    ]
    return found[first:], left_out


def _typed(key: str, value: object) -> Value:
    if not isinstance(value, int | float | str | bool):
        raise SpaceError(f"{key} cannot be {short(str(value))}.")
    return typed(fields()[key], value)


def _spec(base: _Base, found: Sequence[StudyTrial]) -> SearchSpec:
    """Return the search of which these are the trials; its space holds all that they tried."""
    spec = _checked_spec(base.preset, {**base.settings, **found[0].values}, len(found))
    offered, wider = dimensions(spec), {}
    tried: dict[str, set[Value]] = {}
    for trial in found:
        for key, value in trial.values.items():
            tried.setdefault(key, set()).add(value)
    for key, values in tried.items():
        search = offered.get(key)
        if search is not None and all(contains(search, value) for value in values):
            continue
        if fields()[key].type is float:
            ends = (search.low, search.high) if isinstance(search, Interval) else ()
            numbers = [float(value) for value in (*values, *ends)]
            if min(numbers) < max(numbers):
                wider[key] = Narrowing(low=min(numbers), high=max(numbers))
            continue
        known = () if search is None or isinstance(search, Interval) else search.values
        wider[key] = Narrowing(values=tuple({*known, *values}))
    return spec.model_copy(update={"space": wider})


def _checked_spec(preset: str, settings: Mapping[str, Value], trials: int = 1) -> SearchSpec:
    try:
        spec = SearchSpec.model_validate(
            {
                "preset": preset,
                "settings": dict(settings),
                "max_trials": trials,
                "rules": RULES,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ExchangeError(f"The study cannot be taken ({where}: {first['msg']}).") from None
    if problems := problems_of(spec):
        raise ExchangeError(f"The study cannot be taken. {problems[0]}")
    return spec
