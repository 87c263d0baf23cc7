"""What a search takes from earlier ones: their best configurations, findings and trials.

It is taken once, when the search begins, and kept with it: the earlier searches may go on, and a
search that is resumed or looked back at still has the same lessons.

Of a search as many trials are taken as its similarity allows, evenly over their ranks, and each
result of this search takes the place of one: what was learned elsewhere fades.
`planners/earlier.py` makes them comparable with the results here.
docs/lessons.md says whom this follows, and what it has been measured to be worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from data.traits import Traits
from informer.config import ConfigError, Search, Value, fields, from_flat
from nas_engine.comparisons import of_trials
from nas_engine.evaluator import Noise
from nas_engine.findings import learned
from nas_engine.objectives import Objective
from nas_engine.plaintext import in_line
from nas_engine.proposals import active_changes, alike, too_large
from nas_engine.search import LATER_SETTINGS, TASK_KEYS, SearchSpec
from nas_engine.settings import Settings
from nas_engine.similarity import Similarity, Task, planned_task, similarity, task_of, with_traits
from nas_engine.space import SpaceError, contains, space, typed
from nas_engine.store import judging
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow, TrialRow

if TYPE_CHECKING:
    from nas_engine.store.writer import Writer

MOST = 20
"""Earlier searches that one may learn from."""

PRIOR = 30
"""Trials of earlier searches that the optimiser is told at first, at most."""

FIRST = 4
"""Configurations of earlier searches that are tried before anything else, at most."""

CONSIDERED = 20
"""Trials of a search that are considered for these: some of them repeat others here."""

TOLD = 6
"""Findings, and configurations, of each search that a language model is told."""

ALIKE = 0.5
"""Similarity from which on a search is proposed to be learned from."""

LEAST = 1e-12
"""Errors are compared by their logarithm: below this they are all the same."""


Item = TypeVar("Item")


def _whole(config: dict[str, Value]) -> dict[str, Value]:
    """Return a configuration that has all settings, each in its type; raises ValueError."""
    config = {**LATER_SETTINGS, **config}
    if config.keys() != fields().keys():
        raise ValueError("settings are missing, or are none")
    return {key: typed(fields()[key], value) for key, value in config.items()}


# What is kept may come with a file: texts stay in their line, and figures can be computed with.
Line = Annotated[str, AfterValidator(partial(in_line, limit=2000))]
Config = Annotated[dict[str, Value], AfterValidator(_whole)]
Log = Annotated[float, Field(ge=-1000, le=1000)]


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PastTrial(_Kept):
    """A trial of an earlier search, as an optimiser can use it."""

    number: int
    config: Config  # with the task of the search that learns
    logs: dict[Objective, Log]  # of its figures there


class Lesson(_Kept):
    """What is taken from one search."""

    search: int
    title: Line
    similarity: float = Field(ge=0, le=1)
    text: Line  # the similarity in words
    findings: tuple[Line, ...] = Field(max_length=TOLD)
    best: tuple[Line, ...] = Field(max_length=TOLD)  # its best trials, a line each
    trials: tuple[PastTrial, ...] = Field(max_length=PRIOR)  # the best first

    @model_validator(mode="after")
    def _of_the_same_figures(self) -> Self:
        if any(trial.logs.keys() != self.trials[0].logs.keys() for trial in self.trials):
            raise ValueError("its trials have different figures")
        return self


class First(_Kept):
    """A configuration that is tried before a planner is asked."""

    search: int
    number: int
    config: Config
    hypothesis: Line


class Lessons(_Kept):
    """What a search takes from earlier ones."""

    of: tuple[Lesson, ...] = Field((), max_length=MOST)  # the most similar first
    first: tuple[First, ...] = Field((), max_length=FIRST)

    def prior(self, results: int) -> list[tuple[Lesson, tuple[PastTrial, ...]]]:
        """Return which trials an optimiser is told beside `results` of the search itself."""
        most = sum(len(lesson.trials) for lesson in self.of)
        share = max(0, most - results) / most if most else 0.0
        taken = [(lesson, round(share * len(lesson.trials))) for lesson in self.of]
        return [(lesson, tuple(evenly(lesson.trials, count))) for lesson, count in taken if count]


NOTHING = Lessons()


def kept(reader: Reader, search_id: int) -> Lessons:
    """Return what a search took from earlier ones; nothing where that cannot be read."""
    text = reader.lessons(search_id)
    try:
        return Lessons.model_validate_json(text) if text else NOTHING
    except ValidationError:  # it came with a file
        return NOTHING


def problems(reader: Reader, spec: SearchSpec) -> list[str]:
    """Return a sentence for each reason why a new search cannot learn from those it names."""
    if not spec.lessons:
        return []
    if len(spec.lessons) > MOST:
        return [f"A search learns from {MOST} others at most; leave some out."]
    known = {search.id: search for search in reader.searches()}
    if missing := [number for number in spec.lessons if number not in known]:
        named = ", ".join(map(str, missing))
        return [f"There is no earlier search {named} in this workspace to learn from."]
    return [
        f"Search {number} has no result yet to learn from; leave it out, or start later."
        for number in spec.lessons
        if known[number].best is None
    ]


# -- what is taken ------------------------------------------------------------------------------


def take(writer: Writer, search: SearchRow, likeness: Path, settings: Settings) -> None:
    """Keep with a search that begins what its data are like, and what it takes from earlier ones.

    Args:
        writer: of whoever begins the search.
        search: which has planned nothing yet.
        likeness: where its trainer may have put what the data are like.
        settings: give the environment of what measures data.

    Raises:
        SpaceError: the search narrows a setting to something that cannot be.
    """
    measured = _measured(likeness)
    if measured is not None:
        writer.note_traits(search.id, measured.model_dump_json())
    if not search.spec.lessons or writer.read.lessons(search.id):
        return
    task = Task.of(search.spec, search.used, measured)
    lessons = gathered(writer.read, search.spec, task, settings)
    with writer.transaction():
        writer.keep_lessons(search.id, lessons.model_dump_json())
        for lesson in lessons.of:
            writer.log(search.id, f"Learns from search {lesson.search}: {told(lesson, lessons)}.")
        if gone := set(search.spec.lessons) - {lesson.search for lesson in lessons.of}:
            named = ", ".join(map(str, sorted(gone)))
            writer.log(search.id, f"Nothing can be learned from search {named}.", level="warning")


def told(lesson: Lesson, lessons: Lessons) -> str:
    """Return what is taken from a search, in words."""
    first = sum(past.search == lesson.search for past in lessons.first)
    return (
        f"similarity {lesson.text}; {len(lesson.trials)} trials as a prior, {first} "
        f"configuration{'s' * (first != 1)} to try first, {len(lesson.findings)} "
        f"finding{'s' * (len(lesson.findings) != 1)}"
    )


def _measured(path: Path) -> Traits | None:
    """Return what a trainer has found the data to be like; None where it has not."""
    try:
        return Traits.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def gathered(reader: Reader, spec: SearchSpec, task: Task, settings: Settings) -> Lessons:
    """Return what a search takes from those that `spec.lessons` names, as they stand now.

    Those that are not there any more, or have no result, are passed over.

    Raises:
        SpaceError: the search narrows a setting to something that cannot be.
    """
    rows = {search.id: search for search in reader.searches() if search.id in spec.lessons}
    sources = [
        Source(
            search=number,
            title=rows[number].title,
            spec=rows[number].spec,
            likeness=likeness,
            trials=reader.trials(number),
            incumbent=rows[number].incumbent,
            noise=judging.noise(reader, number),
        )
        for number, likeness in alikeness(reader, task, list(rows.values()), settings).items()
    ]
    return lessons_of(sources, spec)


@dataclass(frozen=True)
class Source:
    """An earlier search as it stands."""

    search: int
    title: str
    spec: SearchSpec
    likeness: Similarity
    trials: Sequence[TrialRow]
    incumbent: int | None
    noise: Noise | None

    @cached_property
    def ranked(self) -> list[TrialRow]:
        """Its trials with a result, the best first."""
        known = [trial for trial in self.trials if trial.val_mse is not None]
        return sorted(known, key=lambda trial: (trial.val_mse or 0.0, trial.number))

    @cached_property
    def best(self) -> list[TrialRow]:
        """Its incumbent, then the others by their results: inside the noise, many are as good."""
        first = [trial for trial in self.ranked if trial.number == self.incumbent]
        return first + [trial for trial in self.ranked if trial.number != self.incumbent]

    def gain(self, trial: TrialRow) -> str:
        """Return how much better a trial was than the search's own start, in words."""
        start = next((other.val_mse for other in self.trials if other.number == 0), None)
        if not start or trial.val_mse is None:
            return ""
        share = 1 - trial.val_mse / start
        return f", {100 * abs(share):.2g} % {'below' if share >= 0 else 'above'} its start"


def lessons_of(sources: Sequence[Source], spec: SearchSpec) -> Lessons:
    """Return what a search takes from others; raises SpaceError as `space` does."""
    useful = sorted(
        (source for source in sources if source.ranked),
        key=lambda source: (-source.likeness.value, source.search),
    )
    return Lessons(
        of=tuple(
            Lesson(
                search=source.search,
                title=in_line(source.title),
                similarity=source.likeness.value,
                text=source.likeness.text,
                findings=_findings(source),
                best=tuple(_line(source, trial, spec.start()) for trial in source.best[:TOLD]),
                trials=tuple(evenly(_past(source, spec), count)),
            )
            for source, count in zip(useful, _counts(useful), strict=True)
        ),
        first=tuple(_first(useful, spec, space(spec))),
    )


def alikeness(
    reader: Reader, task: Task, searches: Sequence[SearchRow], settings: Settings
) -> dict[int, Similarity]:
    """Return how much the task of each search is like `task`, by the search's id."""
    known = reader.traits()
    tasks = [task_of(search, known) for search in searches]
    mine, *others = with_traits([task, *tasks], settings)
    return {
        search.id: similarity(mine, other) for search, other in zip(searches, others, strict=True)
    }


def proposed(reader: Reader, spec: SearchSpec, settings: Settings) -> tuple[int, ...]:
    """Return the searches that one had best learn from, the most similar first.

    Where a search that differs in nothing else has begun already, they are those of that one.
    """
    begun = {search.spec.lessons for search in reader.searches()} - {()}
    for numbers in sorted(begun):
        if reader.search_like(spec.model_copy(update={"lessons": numbers})) is not None:
            return numbers
    searches = [search for search in reader.searches() if search.best is not None]
    found = alikeness(reader, planned_task(spec, reader), searches, settings)
    like = [number for number, likeness in found.items() if likeness.value >= ALIKE]
    return tuple(sorted(like, key=lambda number: (-found[number].value, -number))[:3])


def _counts(sources: Sequence[Source]) -> list[int]:
    """Return how many trials are taken of each search: its similarity in those that it has."""
    wanted = [source.likeness.value * min(PRIOR, len(source.ranked)) for source in sources]
    scale = min(1.0, PRIOR / sum(wanted)) if sum(wanted) else 0.0
    return [round(scale * count) for count in wanted]


def _past(source: Source, spec: SearchSpec) -> list[PastTrial]:
    """Return the trials of a search, the best first, in the terms of the search that learns.

    Those that lack a figure of which this search has an objective or a bound are left out.
    """
    found = []
    for trial in source.ranked:
        figures = {name: getattr(trial, name) for name in (*spec.objectives, *spec.at_most)}
        logs = {n: math.log(max(v, LEAST)) for n, v in figures.items() if v is not None}
        if len(logs) == len(figures):
            found.append(
                PastTrial(number=trial.number, config=_here(trial.config, spec), logs=logs)
            )
    return found


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` of the items in their order, the first among them, spread evenly."""
    count = min(count, len(items))
    return [items[at * (len(items) - 1) // max(1, count - 1)] for at in range(count)]


def _here(config: Mapping[str, Value], spec: SearchSpec) -> dict[str, Value]:
    """Return a configuration of another search with the task of this one."""
    start = spec.start()
    known = {key: value for key, value in config.items() if key in start}
    return {**start, **known, **{key: start[key] for key in TASK_KEYS}}


# -- the best configurations --------------------------------------------------------------------


def _first(
    sources: Sequence[Source], spec: SearchSpec, dimensions: Mapping[str, Search]
) -> Iterator[First]:
    """Yield the configurations to try first, by rank within their search, then by similarity."""
    ranked = sorted(
        (
            ((rank + 1) / source.likeness.value, place, trial)
            for place, source in enumerate(sources)
            if source.likeness.value > 0
            for rank, trial in enumerate(source.best[:CONSIDERED])
        ),
        key=lambda each: each[:2],
    )
    taken = [spec.start()]
    for _, place, trial in ranked:
        config = _inside(trial.config, spec, dimensions)
        if config is None:
            continue
        wanted = from_flat(config)
        if too_large(spec, wanted) or any(alike(dimensions, wanted, other) for other in taken):
            continue
        taken.append(config)
        source = sources[place]
        yield First(
            search=source.search,
            number=trial.number,
            config=config,
            hypothesis=_hypothesis(source, trial),
        )
        if len(taken) > FIRST:
            return


def _inside(
    config: Mapping[str, Value], spec: SearchSpec, dimensions: Mapping[str, Search]
) -> dict[str, Value] | None:
    """Return this search's start with what of a configuration lies in its space; None: not valid.

    Settings without a part to play stay as they are.
    """
    start = spec.start()
    varied = {
        key: config[key]
        for key, search in dimensions.items()
        if key in config and contains(search, config[key]) and fields()[key].active(config)
    }
    changes = active_changes(start, {k: v for k, v in varied.items() if v != start[k]})
    try:
        return from_flat({**start, **changes}).flat()
    except ConfigError:
        return None


def _hypothesis(source: Source, trial: TrialRow) -> str:
    better = sum((other.val_mse or 0.0) < (trial.val_mse or 0.0) for other in source.ranked)
    place = "Best" if not better else f"Number {better + 1}"
    return (
        f"{place} of search {source.search} (similarity {source.likeness.value:.2f}): trial "
        f"{trial.number} came to val_mse {trial.val_mse:.6g} there{source.gain(trial)}."
    )


# -- words --------------------------------------------------------------------------------------


def _line(source: Source, trial: TrialRow, start: Mapping[str, Value]) -> str:
    changed = [
        f"{key}={in_line(str(value))}"
        for key, value in trial.config.items()
        if key in start and key not in TASK_KEYS and start[key] != value
        if fields()[key].active(trial.config)
    ]
    return (
        f"trial {trial.number}: {', '.join(changed) or 'as the start here'} -> val_mse "
        f"{trial.val_mse:.6g} there{source.gain(trial)}"
    )


def _findings(source: Source) -> tuple[str, ...]:
    """Return what the search has learned, tested findings alone, the surest first."""
    spec = source.spec
    try:
        found = learned(of_trials(source.trials, spec.start()), spec, source.noise)
    except SpaceError:  # of a space that is not one any more
        return ()
    return tuple(in_line(finding.sentence) for finding in found.findings[:TOLD])
