"""The data set of an imported search: taken in where it comes along, and never mistaken."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from data.own import remove, take_over
from data.registry import DATASETS, NAME, DataError, Dataset, Record, find, own_names, record
from nas_engine.exchange.archive import DATA_RECORD, DATA_VALUES, DataSet, ExchangeError, Unpacker


@dataclass(frozen=True)
class Arrival:
    """By which name the data of an imported search is known here."""

    before: str
    name: str
    told: tuple[str, ...] = ()  # sentences for people


@contextmanager
def arriving(unpacker: Unpacker, name: str) -> Iterator[Arrival]:
    """Take in the data set that a file brings; what was added is gone if the import fails.

    Args:
        unpacker: the file.
        name: of the data set in the search's configurations.

    Raises:
        ExchangeError: the data set in the file cannot be used.
    """
    given = unpacker.manifest.data
    if given.name != name[:60]:
        raise ExchangeError(
            "The file cannot be taken: its manifest.json names another data set than the search."
        )
    members = unpacker.manifest.members
    if given.included != (DATA_RECORD in members) or given.included != (DATA_VALUES in members):
        raise ExchangeError("The file cannot be taken: its data set is not complete.")
    if not given.included:
        yield _not_included(given, name)
        return
    facts = _facts(unpacker)
    here, known = _place(name, facts)
    if not known:
        _add(unpacker, here, facts)
    told = (
        ()
        if here == name
        else (
            f"There is another data set {name} here already: the one of the search is called "
            f"{here}.",
        )
    )
    try:
        yield Arrival(name, here, told)
    except BaseException:
        if not known:
            with suppress(DataError):
                remove(here)
        raise


def _not_included(given: DataSet, name: str) -> Arrival:
    """Return by which name data that does not come along is known here, if it is."""
    try:
        dataset = find(name)
    except DataError:
        missing = (
            f"Its data set {name} is not on this machine: results can be looked at and compared, "
            "but to train or forecast, add the data under this name on the Data page."
        )
        return Arrival(name, name, (missing,))
    if not given.own and name in DATASETS:
        same = ("", dataset.sha256, *dataset.same)
        if dataset.sha256 and given.sha256 not in same:
            return Arrival(name, name, (f"It was trained on another edition of {name}.",))
        return Arrival(name, name)
    if given.sha256 and given.sha256 == dataset.sha256:
        return Arrival(name, name)
    other = next(candidate for candidate in _names(name) if not _is_known(candidate))
    return Arrival(
        name,
        other,
        (
            f"The data set {name} here is not the one that it was trained on, which is not in the "
            f"file: the search names it {other}, and results can only be looked at and compared.",
        ),
    )


def _facts(unpacker: Unpacker) -> Record:
    try:
        facts = Record.model_validate_json(unpacker.content(DATA_RECORD))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:60]
        raise ExchangeError(
            f"The data set in the file cannot be used ({where}: {first['msg']})."
        ) from None
    digest = hashlib.sha256()
    for chunk in unpacker.chunks(DATA_VALUES):
        digest.update(chunk)
    if digest.hexdigest() != facts.sha256 or facts.sha256 != unpacker.manifest.data.sha256:
        raise ExchangeError("The data set in the file is not the one that its record describes.")
    return facts


def _place(name: str, facts: Record) -> tuple[str, bool]:
    """Return under which name a data set goes, and whether it is there already."""
    for candidate in _names(name):
        if not _is_known(candidate):
            return candidate, False
        if candidate in own_names() and _same(candidate, facts):
            return candidate, True
    raise AssertionError("there is always another name")


def _names(name: str) -> Iterator[str]:
    """Return a name, then others like it; of one that cannot be used here, others only."""
    if NAME.fullmatch(name):
        yield name
    stem = name[:50] if NAME.fullmatch(name[:50]) else "data"
    yield from (f"{stem}-{number}" for number in itertools.count(2))


def _is_known(name: str) -> bool:
    return name in DATASETS or name in own_names()


def _same(name: str, facts: Record) -> bool:
    try:
        known = record(name)
    except DataError:  # damaged
        return False
    return _what_counts(known) == _what_counts(facts)


def _what_counts(facts: Record) -> Dataset:
    """Return a data set without the words that were said of it."""
    return dataclasses.replace(facts.dataset(Path("any")), description="")


def _add(unpacker: Unpacker, name: str, facts: Record) -> None:
    with tempfile.TemporaryDirectory() as folder:
        values = Path(folder) / "values"
        with values.open("wb") as file:
            file.writelines(unpacker.chunks(DATA_VALUES))
        try:
            take_over(name, facts, values)
        except DataError as error:
            raise ExchangeError(f"The data set in the file cannot be taken: {error}") from None
