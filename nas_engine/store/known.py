"""The trials of a search for whoever reads them again and again: what has ended is read once."""

from __future__ import annotations

from nas_engine.store.reader import Reader
from nas_engine.store.rows import TrialRow

_End = tuple[float | None, int, int, int]


class KnownTrials:
    """The trials of a search. Those that have ended are read anew only where they have changed."""

    def __init__(self, search_id: int) -> None:
        """Know nothing yet."""
        self._search_id = search_id
        self._ended: dict[int, tuple[_End, TrialRow]] = {}

    def read(self, reader: Reader) -> list[TrialRow]:
        """Return what `Reader.trials` does, at this moment."""
        ends: dict[int, _End] = {
            number: tuple(end)
            for number, *end in reader.fetch(
                """SELECT t.number, t.ended_at, t.round, t.version, p.version
                FROM trials t JOIN proposals p ON p.id = t.proposal_id
                WHERE t.search_id = ? ORDER BY t.number""",
                (self._search_id,),
            )
        }
        kept = {
            number: row
            for number, (end, row) in self._ended.items()
            if ends.get(number) == end and end[0] is not None
        }
        new = reader.listed([(self._search_id, number) for number in ends if number not in kept])
        self._ended |= {
            row.number: (ends[row.number], row) for row in new if row.ended_at is not None
        }
        rows = kept | {row.number: row for row in new}
        return [rows[number] for number in ends if number in rows]
