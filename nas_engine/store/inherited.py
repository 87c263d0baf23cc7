"""Trainings that began with the weights of another trial, beside those from scratch."""

from __future__ import annotations

from nas_engine.inheritance import Pair
from nas_engine.store.reader import Reader
from nas_engine.store.rows import RunRow


def run(reader: Reader, search_id: int, number: int) -> RunRow | None:
    """Return the training of a trial that began with the weights of another; None for none."""
    runs = reader.runs(search_id, number, every=True)
    return next((run for run in runs if run.kind == "inherited"), None)


def pairs(reader: Reader, search_id: int) -> list[Pair]:
    """Return what trials of a search came to with inherited weights and, alike seeded, without."""
    rows = reader.fetch(
        """SELECT i.val_mse, s.val_mse FROM runs i
        JOIN runs s USING (search_id, number, seed)
        WHERE search_id = ? AND i.kind = 'inherited' AND s.kind = 'scratch'
        AND i.val_mse > 0 AND s.val_mse > 0 ORDER BY number""",
        (search_id,),
    )
    return [Pair(inherited, scratch) for inherited, scratch in rows]
