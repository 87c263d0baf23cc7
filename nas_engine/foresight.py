"""What the surrogate expects of a proposal, kept with it before it is trained."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from informer.config import Value
from nas_engine.space import space
from nas_engine.store import proposing
from nas_engine.store.hindsight import known
from nas_engine.store.reader import Reader
from nas_engine.store.writer import Writer

if TYPE_CHECKING:
    from nas_engine.planners.surrogate import Surrogate

LEAST = 8
"""Results from which on anything is expected: intervals of fewer are wider than what is found."""

MOST = 200
"""Results that are learned from, the best and the newest: of more, a forest takes seconds."""


SLOTS_A_RESULT = 8
"""Slots for each result that must be new before the surrogate is learned anew: with hundreds of
slots there is a result each second, and a forest takes half of that."""


class Foresight:
    """The surrogate of a search, learned anew when there are new results.

    Up to `SLOTS_A_RESULT` slots each result is learned from at once.
    """

    def __init__(self, search_id: int) -> None:
        """Prepare; nothing is read or learned before it is asked for."""
        self._search_id = search_id
        self._learning = threading.Lock()
        self._results: list[tuple[int, float]] = []  # that the surrogate has learned from
        self._surrogate: Surrogate | None = None
        self._failed = False

    def foresee(self, writer: Writer, number: int) -> None:
        """Keep what is expected of a trial that has not been trained, where that is missing."""
        trial = writer.read.trial(self._search_id, number)
        if trial is None or trial.number == 0 or trial.started_at or trial.ended_at:
            return
        if trial.surrogate_low is not None:
            return
        interval = self.expected(writer, trial.parent, trial.config)
        if interval is not None:
            proposing.foresee(writer, trial.proposal_id, trial.version, interval)

    def expected(
        self, writer: Writer, parent: int | None, config: Mapping[str, Value]
    ) -> tuple[float, float] | None:
        """Return what `interval` does; None where it fails, with a warning in the log, once."""
        try:
            return self.interval(writer.read, parent, config)
        except sqlite3.Error:
            raise
        except Exception as error:  # a model is fitted to whatever results there are
            if not self._failed:
                text = f"What the surrogate expects is not known ({type(error).__name__}: {error})."
                writer.log(self._search_id, text, level="warning")
            self._failed = True
            return None

    def interval(
        self, read: Reader, parent: int | None, config: Mapping[str, Value]
    ) -> tuple[float, float] | None:
        """Return the improvement over a parent that is expected of a configuration, at `LEVEL`.

        None while there are too few results, or none of the parent; None for a parent is trial 0.
        """
        before = read.trial(self._search_id, parent or 0)
        if before is None or before.val_mse is None:
            return None
        surrogate = self._learned(read)
        return None if surrogate is None else surrogate.interval(config, before.val_mse)

    def _learned(self, read: Reader) -> Surrogate | None:
        results = known(read, self._search_id, MOST)
        if len(results) < LEAST:
            return None
        with self._learning:
            search = read.search(self._search_id)
            assert search is not None, "a search with results exists"
            new = len(set(results) ^ set(self._results))
            if self._surrogate is None or new > (search.spec.slots - 1) // SLOTS_A_RESULT:
                # Imported here because scikit-learn takes a second, which a search of a few trials
                # can do without.
                from nas_engine.planners.surrogate import Surrogate

                rows = read.listed([(self._search_id, number) for number, _ in results])
                self._surrogate, self._results = Surrogate(space(search.spec), rows), results
            return self._surrogate
