"""All searches of a workspace with what a list of them shows, however many trials they have."""

from __future__ import annotations

from dataclasses import dataclass

from nas_engine.store.reader import Reader
from nas_engine.store.rows import EngineRow, SearchRow
from nas_engine.store.table import COLUMNS

SPARK_POINTS = 24


@dataclass(frozen=True)
class Listed:
    """A search with figures of its other tables."""

    search: SearchRow
    engine: EngineRow | None
    baseline: float | None  # least val_mse of a forecast without training
    booked_usd: float
    judged: int  # newest verdict: with another one the best so far may be another one
    active_at: float  # when something last happened: an event, a command


def listing(reader: Reader) -> list[Listed]:
    """Return all searches, newest first."""
    figures = {
        search_id: rest
        for search_id, *rest in reader.fetch(
            """SELECT s.id,
            (SELECT min(b.mse) FROM baselines b WHERE b.search_id = s.id AND b.split = 'val'),
            (SELECT total(c.booked_usd) FROM llm_calls c WHERE c.search_id = s.id),
            (SELECT coalesce(max(v.id), 0) FROM verdicts v WHERE v.search_id = s.id),
            max(s.created_at,
                coalesce((SELECT e.created_at FROM events e WHERE e.search_id = s.id
                    ORDER BY e.id DESC LIMIT 1), 0.0),
                coalesce((SELECT max(c.created_at) FROM commands c WHERE c.search_id = s.id), 0.0))
            FROM searches s"""
        )
    }
    engines = reader.engines()
    return [
        Listed(row, engines.get(row.id), *figures[row.id])
        for row in reader.searches()
        if row.id in figures  # one may begin between the two queries
    ]


def best_so_far(reader: Reader, search_id: int) -> tuple[float, ...]:
    """Return the least val_mse of a search after each trial that has one, at most `SPARK_POINTS`.

    The first and the last are among them. Trials that break the bounds of the search do not count.
    """
    search = reader.search(search_id)
    at_most = search.spec.at_most if search else {}
    kept = "".join(f" AND {COLUMNS[name]} <= ?{at}" for at, name in enumerate(at_most, 3))
    rows = reader.fetch(
        f"""WITH best AS (
            SELECT min(val_mse) OVER before AS value, row_number() OVER before - 1 AS at,
                count(*) OVER () - 1 AS last
            FROM trials t WHERE search_id = ?1 AND val_mse IS NOT NULL{kept}
            WINDOW before AS (ORDER BY number))
        SELECT value FROM best
        WHERE last < ?2 OR at = 0 OR at * (?2 - 1) / last > (at - 1) * (?2 - 1) / last
        ORDER BY at""",  # noqa: S608
        (search_id, SPARK_POINTS, *at_most.values()),
    )
    return tuple(value for (value,) in rows)
