"""Trials beside the parents that they changed, in arrays: what findings are looked for in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from informer.config import Value, fields
from nas_engine.evaluator import Noise, student_t
from nas_engine.search import TASK_KEYS, SearchSpec
from nas_engine.store.rows import TrialRow
from nas_engine.store.table import Results

Mask = NDArray[np.bool_]
Column = NDArray[Any]


class Outcome(NamedTuple):
    """What a trial with a result came to."""

    number: int
    parent: int | None  # None: it changed the start, which is trial 0
    val_mse: float
    seeds: int
    differences: Mapping[str, Value]  # from trial 0's configuration


def of_results(found: Results) -> list[Outcome]:
    """Return what came of the trials of the one search in `found`."""
    columns = (found.number, found.parent, found.val_mse, found.seeds, found.differences)
    return [
        Outcome(number, parent, value, seeds, orjson.loads(differences))
        for state, (number, parent, value, seeds, differences) in zip(
            found.state, zip(*columns, strict=True), strict=True
        )
        if state == "completed" and value is not None
    ]


def of_trials(trials: Iterable[TrialRow], start: Mapping[str, Value]) -> list[Outcome]:
    """Return what came of trials of one search; `start` is the configuration of its trial 0."""
    return [
        Outcome(
            trial.number,
            trial.parent,
            trial.val_mse,
            trial.seeds or 1,
            {key: value for key, value in trial.config.items() if start.get(key) != value},
        )
        for trial in trials
        if trial.state == "completed" and trial.val_mse is not None
    ]


@dataclass(frozen=True)
class Comparisons:
    """Trials beside their parents, in arrays of equal length."""

    numbers: NDArray[np.int64]
    parents: NDArray[np.int64]  # numbered from 0
    improvement: NDArray[np.float64]  # of the trial over its parent, relative
    tie: Mask
    after: Mapping[str, Column]  # values of each setting that varies
    before: Mapping[str, Column]  # the parents' values
    active: Mapping[str, Mask]  # where the setting has a part to play in both

    @property
    def varied(self) -> Sequence[str]:
        """The settings that are not the same in all of the trials and parents."""
        return list(self.after)

    @cached_property
    def changed(self) -> dict[str, Mask]:
        """Where a setting is another one than the parent's."""
        return {key: self.after[key] != self.before[key] for key in self.after}

    @cached_property
    def changes(self) -> NDArray[np.int64]:
        """How many settings each trial changed."""
        counts = np.zeros(len(self.numbers), int)
        for changed in self.changed.values():
            counts += changed
        return counts


def compared(trials: Sequence[Outcome], spec: SearchSpec, noise: Noise | None) -> Comparisons:
    """Return trials beside their parents; differences inside the noise of the search are ties."""
    good = [trial for trial in trials if trial.val_mse > 0]
    place = {trial.number: at for at, trial in enumerate(good)}
    pairs = [
        (at, place[trial.parent or 0])
        for at, trial in enumerate(good)
        if trial.number and (trial.parent or 0) in place
    ]
    child, parent = np.array(pairs, int).reshape(-1, 2).T
    values = np.array([trial.val_mse for trial in good], float)
    seeds = np.array([trial.seeds for trial in good], float)
    improvement = (values[parent] - values[child]) / values[parent]
    margin = np.zeros(len(child))
    if noise is not None:  # as Figures.margin
        deviation = student_t(spec.rules.noise_multiple, noise.degrees) * noise.relative
        margin = deviation * np.sqrt(1 / seeds[child] + 1 / seeds[parent])
    columns, active = _columns([trial.differences for trial in good], spec.start())
    return Comparisons(
        numbers=np.array([trial.number for trial in good], int)[child],
        parents=np.unique(parent, return_inverse=True)[1],
        improvement=improvement,
        tie=np.abs(improvement) <= margin,
        after={key: column[child] for key, column in columns.items()},
        before={key: column[parent] for key, column in columns.items()},
        active={key: active[key][child] & active[key][parent] for key in columns},
    )


def _columns(
    differences: Sequence[Mapping[str, Value]], start: Mapping[str, Value]
) -> tuple[dict[str, Column], dict[str, Mask]]:
    """Return the values of the settings that vary, and where they have a part to play."""
    varied = set[str]().union(*differences) - set(TASK_KEYS)
    columns = {
        key: np.full(len(differences), start.get(key), object if field.type is str else float)
        for key, field in fields().items()
        if key in varied
    }
    for at, change in enumerate(differences):
        for key in change.keys() & columns.keys():
            columns[key][at] = change[key]
    active = {}
    for key in columns:
        plays = np.ones(len(differences), bool)
        for either in fields()[key].only:
            holds = np.zeros(len(differences), bool)
            for only in either.of:
                if only.key in columns:
                    column = columns[only.key]
                    holds |= np.isin(column, np.array(only.values, column.dtype))
                else:
                    holds |= start.get(only.key) in only.values
            plays &= holds
        active[key] = plays
    return columns, active
