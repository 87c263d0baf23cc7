"""How much alike the tasks of two searches are, and in what they differ.

The similarity is a product with a factor for each difference, and each factor halves for every
`halves` that the two are apart. It is 1 where nothing differs, symmetric, and falls with each
difference. What halves it is a choice of this project, not a result: docs/lessons.md shows how much
the lessons of like and unlike searches have helped.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from data import actors
from data.registry import DataError
from data.traits import Traits
from informer.records import UsedData
from informer.traits import ANSWER, ORDER, Wanted
from nas_engine.apart import ask
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow

SECONDS = 60.0
"""That measuring data may take."""

NAMED = 3
"""Differences that are told in words."""


@dataclass(frozen=True)
class Task:
    """What a search forecasts from what."""

    dataset: str
    sha256: str | None  # of its file; None where it has none, or that is not known
    features: str
    target: str
    horizon: int
    look_back: int  # of trial 0
    traits: Traits | None  # None: what the data are like is not known

    @classmethod
    def of(cls, spec: SearchSpec, data: UsedData | None, traits: Traits | None) -> Task:
        """Return the task of a search; `data` are those that it saw, where that is known."""
        start = spec.start()
        return cls(
            dataset=str(start["data.dataset"]),
            sha256=data.sha256 if data else None,
            features=str(start["data.features"]),
            target=str(start["data.target"]),
            horizon=int(start["data.pred_len"]),
            look_back=int(start["data.seq_len"]),
            traits=traits,
        )

    @property
    def wanted(self) -> Wanted | None:
        """What is to be measured; None where it names nothing that could be, as from a file."""
        facts = {"dataset": self.dataset, "features": self.features, "target": self.target}
        try:
            return Wanted.model_validate(facts | {"sha256": self.sha256})
        except ValidationError:
            return None

    def same_data(self, other: Task) -> bool:
        """Tell whether both forecast the same columns of the same file."""
        if None not in (self.sha256, other.sha256):
            same = self.sha256 == other.sha256
        else:
            same = self.dataset == other.dataset and self.sha256 == other.sha256
        return (
            same
            and self.features == other.features
            and (self.features == "M" or self.target == other.target)
        )


@dataclass(frozen=True)
class Part:
    """One difference between two tasks."""

    name: str
    distance: float  # 0: none
    halves: float  # distance at which the similarity is halved
    text: str = ""  # the two, the other one first; empty where the name says all

    @property
    def factor(self) -> float:
        """What the similarity is multiplied by."""
        return math.pow(2.0, -self.distance / self.halves)


@dataclass(frozen=True)
class Similarity:
    """How much a task is like another, from 0 to 1."""

    value: float
    parts: tuple[Part, ...]  # that differ, the most important first
    same_data: bool

    @property
    def text(self) -> str:
        """The similarity in words, for a page, a prompt or a log."""
        told = [f"{part.name} {part.text}".strip() for part in self.parts[:NAMED]]
        more = len(self.parts) - NAMED
        told += [f"{more} more differences"] if more > 0 else []
        return f"{self.value:.2f}: {'; '.join(['same data'] * self.same_data + told)}".strip(": ")


_HALVES: Mapping[str, float] = {
    "features": 2.0,  # M, S or MS: a distance of 1 where they differ
    "horizon": math.log(8),
    "look-back": math.log(32),  # searches vary it, so it says little
    "rows to train on": math.log(32),
    "columns": math.log(16),
    "seconds between rows": math.log(16),
    "steps of the season": math.log(8),
    "strength of the season": 0.5,
    "strength of the trend": 0.5,
    "drift": 0.5,
    "data unknown": 1.0,  # a distance of 1 where those of one cannot be looked at any more
}
"""By each difference, the distance at which it halves the similarity; of ratios, logarithms."""


def similarity(one: Task, other: Task) -> Similarity:
    """Return how much `other` is like `one`."""
    parts = [part for part in _parts(one, other) if part.distance > 0]
    ranked = sorted(parts, key=lambda part: part.factor)
    return Similarity(math.prod(part.factor for part in parts), tuple(ranked), one.same_data(other))


def _parts(one: Task, other: Task) -> Iterator[Part]:
    differ = float(one.features != other.features)
    yield _part("features", differ, f"{other.features} there, {one.features} here")
    yield _ratio("horizon", one.horizon, other.horizon)
    yield _ratio("look-back", one.look_back, other.look_back)
    if one.same_data(other):
        return
    mine, theirs = one.traits, other.traits
    if mine is None or theirs is None:
        yield _part("data unknown", 1.0, "")
        return
    yield _ratio("rows to train on", mine.rows, theirs.rows)
    yield _ratio("columns", mine.columns, theirs.columns)
    yield _ratio("seconds between rows", mine.step_seconds, theirs.step_seconds)
    if mine.period is not None and theirs.period is not None:  # else their strengths tell it
        yield _ratio("steps of the season", mine.period, theirs.period)
    yield _gap("strength of the season", mine.season, theirs.season)
    yield _gap("strength of the trend", mine.trend, theirs.trend)
    yield _gap("drift", mine.drift, theirs.drift)


def _part(name: str, distance: float, text: str) -> Part:
    return Part(name, distance, _HALVES[name], text)


def _ratio(name: str, mine: float, theirs: float) -> Part:
    apart = abs(math.log(max(theirs, 1e-9) / max(mine, 1e-9)))
    return _part(name, apart, f"{theirs:g} there, {mine:g} here")


def _gap(name: str, mine: float, theirs: float) -> Part:
    return _part(name, abs(theirs - mine), f"{theirs:.2f} there, {mine:.2f} here")


# -- tasks of searches --------------------------------------------------------------------------


def task_of(search: SearchRow, known: Mapping[int, str]) -> Task:
    """Return the task of a search; `known` are the traits that the searches keep."""
    return Task.of(search.spec, search.used, _read(known.get(search.id, "")))


def planned_task(spec: SearchSpec, reader: Reader | None) -> Task:
    """Return the task of a search that has not begun, with traits that another one keeps."""
    try:
        data = spec.data()
    except DataError:
        data = None
    task = Task.of(spec, data, None)
    if reader is None:
        return task
    known = reader.traits()
    for search in reader.searches():
        other = task_of(search, known)
        if other.traits is not None and task.same_data(other):
            return Task.of(spec, data, other.traits)
    return task


def with_traits(tasks: Sequence[Task], settings: Settings) -> list[Task]:
    """Return tasks with what their data are like, measured in a process of its own where missing.

    It stays unknown where the data are not on this machine, or are not what they were, and where
    who asks may not start a process.
    """
    asked = [task.wanted for task in tasks if task.traits is None]
    missing = list(dict.fromkeys(wanted for wanted in asked if wanted is not None))
    if not missing or actors.current().refusal:
        return list(tasks)
    try:
        order = ORDER.dump_json(missing).decode()
        answer, _ = ask("informer.traits", order, settings, SECONDS)
        found = dict(zip(missing, ANSWER.validate_json(answer), strict=True))
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return list(tasks)
    return [
        replace(task, traits=found.get(wanted))
        if task.traits is None and (wanted := task.wanted) is not None
        else task
        for task in tasks
    ]


def _read(text: str) -> Traits | None:
    """Return traits as a search keeps them; None where that is nothing that can be read."""
    try:
        return Traits.model_validate_json(text) if text else None
    except ValidationError:  # it came with a file
        return None
