"""What the data of tasks are like, for whoever does not read data: `python -m informer.traits`.

Reads a list of `Wanted` from stdin, as JSON. The last line on stdout is the list of their `Traits`,
null where the data are not on this machine or are others. Nothing is downloaded.
"""

from __future__ import annotations

import os
import sys

from pydantic import TypeAdapter

from data.registry import DataError, Features, find
from data.traits import Traits, traits
from informer.conduct import die_with_parent, yield_to_others
from informer.records import Record


class Wanted(Record):
    """The data of a task, as they were; a checksum of None: a data set that is generated."""

    dataset: str
    features: Features
    target: str
    sha256: str | None


ORDER: TypeAdapter[list[Wanted]] = TypeAdapter(list[Wanted])
ANSWER: TypeAdapter[list[Traits | None]] = TypeAdapter(list[Traits | None])


def measured(wanted: Wanted) -> Traits | None:
    """Return what data are like; None where they are not here as they were."""
    from data.source import on_this_machine

    try:
        dataset = find(wanted.dataset)
        here = dataset.url is None or on_this_machine(dataset.name) is not None
        there = wanted.features == "M" or wanted.target in dataset.targets
        if not (here and there) or (dataset.sha256 or None) != wanted.sha256:
            return None
        return traits(dataset, wanted.features, wanted.target)
    except DataError:
        return None


def main() -> None:
    """Answer the order on stdin."""
    die_with_parent(os.getppid())
    yield_to_others()
    found = [measured(each) for each in ORDER.validate_json(sys.stdin.read())]
    sys.stdout.write(f"{ANSWER.dump_json(found).decode()}\n")


if __name__ == "__main__":
    main()
