"""What trials are judged by: measured noise, accepted trials, the incumbent, their figures."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import TYPE_CHECKING, get_args

from nas_engine import front
from nas_engine.evaluator import Compared, Figures, Rival, Verdict, compared_of, compared_text
from nas_engine.noise import Noise, pooled_noise
from nas_engine.objectives import MEASURES, Objective
from nas_engine.search import SearchSpec
from nas_engine.store.reader import MEANS, STANDS, Reader, one_or_all
from nas_engine.store.rows import AcceptedRow, TrialRow
from nas_engine.store.schema import storable

if TYPE_CHECKING:
    from nas_engine.store.writer import Writer


def noise(reader: Reader, search_id: int) -> Noise | None:
    """Return how far trainings with other seeds lie apart; None while it is not known."""
    rows = reader.stream(
        "SELECT seeds, val_mse, spread FROM trials WHERE search_id = ? AND spread IS NOT NULL",
        (search_id,),
    )
    return pooled_noise(rows)


def noises(reader: Reader, search_id: int, before: float | None = None) -> dict[Objective, Noise]:
    """Return how far trainings with other seeds lie apart in each figure that is measured.

    What is not known is missing. Of a past moment, `before`, only trainings count that had
    ended.
    """
    names = [name for name in get_args(Objective) if not MEASURES[name].exact]
    columns = ", ".join("peak_memory_mb" if name == "memory_mb" else name for name in names)
    rows = reader.fetch(
        f"""SELECT number, {columns} FROM runs
        WHERE search_id = ?1 AND state = 'completed' AND kind = 'scratch'
        AND (?2 IS NULL OR ended_at <= ?2)
        AND number IN (SELECT number FROM trials WHERE search_id = ?1 AND seeds > 1)""",  # noqa: S608
        (search_id, before),
    )
    by_trial: dict[int, list[tuple[float | None, ...]]] = defaultdict(list)
    for number, *values in rows:
        by_trial[number].append(tuple(values))
    found = {name: pooled_noise(_spreads(by_trial.values(), at)) for at, name in enumerate(names)}
    return {name: noise for name, noise in found.items() if noise is not None}


def accepted(reader: Reader, search_id: int) -> list[AcceptedRow]:
    """Return the accepted trials of a search that have a result, by number."""
    return reader.rows(
        AcceptedRow,
        f"""SELECT t.number, v.accepted, t.ended_at, t.val_mse, t.seeds, r.parameters,
        {MEANS} FROM verdicts v JOIN trials t USING (search_id, number)
        LEFT JOIN runs r ON r.id = {STANDS}
        WHERE v.search_id = ? AND v.accepted AND t.val_mse IS NOT NULL ORDER BY t.number""",  # noqa: S608
        (search_id,),
    )


def best(reader: Reader, search_id: int, without: int | None = None) -> int | None:
    """Return the best accepted trial, as `front.incumbent` has it, but the trial `without`."""
    if not (bounds := _spec(reader, search_id).at_most):
        row = reader.stream(
            """SELECT t.number FROM trials t JOIN verdicts v USING (search_id, number)
            WHERE search_id = ? AND number IS NOT ? AND v.accepted AND t.val_mse IS NOT NULL
            ORDER BY t.val_mse, t.number LIMIT 1""",
            (search_id, without),
        ).fetchone()
        return None if row is None else int(row[0])
    return front.incumbent((t for t in accepted(reader, search_id) if t.number != without), bounds)


def figures(reader: Reader, search_id: int, number: int) -> Figures:
    """Return what a trial is judged by, as things stand."""
    trial, rival = reader.trial(search_id, number), best(reader, search_id, without=number)
    assert trial is not None, "only trials that exist are judged"
    other = None if rival is None else reader.trial(search_id, rival)
    return Figures(
        value=trial.val_mse,
        seeds=trial.seeds,
        tried=sum(run.state != "running" for run in reader.runs(search_id, number)),
        failure=trial.error,
        pruned=trial.state == "pruned",
        incumbent=other.number if other else None,
        incumbent_value=other.val_mse if other else None,
        incumbent_seeds=other.seeds if other else 0,
        noise=noise(reader, search_id),
        compared=_compared(reader, trial, other),
    )


def _compared(reader: Reader, trial: TrialRow, best: TrialRow | None) -> Compared | None:
    """Return what a trial is judged by beside its error; None where that alone counts."""
    spec = _spec(reader, trial.search_id)
    if spec.objectives == ("val_mse",) and not spec.at_most:
        return None
    others = [t for t in accepted(reader, trial.search_id) if t.number != trial.number]
    several = len(spec.objectives) > 1
    measured = noises(reader, trial.search_id) if several else {}
    return Compared(
        spec.objectives,
        values={name: getattr(trial, name) for name in (*spec.objectives, *spec.at_most)},
        at_most=dict(spec.at_most),
        rivals=tuple(
            Rival(member.number, point, member.seeds)
            for member in (front.front(others, spec) if several else ())
            if (point := front.figures(member, spec.objectives)) is not None
        ),
        incumbent_excess=None if best is None else front.excess(best, spec.at_most),
        noise={name: measured[name] for name in spec.objectives[1:] if name in measured},
    )


def judged_by(reader: Reader, search_id: int, number: int | None = None) -> dict[int, Figures]:
    """Return the figures that the verdicts of a search, or of one trial, used, by trial."""
    rows = reader.stream(
        f"""SELECT number, noise, noise_degrees, compared, value, v.seeds, tried, error,
        incumbent, incumbent_value, incumbent_seeds
        FROM verdicts v JOIN trials t USING (search_id, number)
        WHERE search_id = ?1 AND {one_or_all(number)}""",  # noqa: S608
        (search_id, number),
    )
    return {
        number: replace(
            Figures(*used),
            noise=None if relative is None else Noise(relative, degrees),
            compared=compared_of(compared),
        )
        for number, relative, degrees, compared, *used in rows
    }


def _spec(reader: Reader, search_id: int) -> SearchSpec:
    search = reader.search(search_id)
    assert search is not None, f"search {search_id} has just been read"
    return search.spec


def _spreads(
    trials: Iterable[Sequence[tuple[float | None, ...]]], at: int
) -> Iterator[tuple[int, float, float]]:
    """Return number, mean and deviation of one figure of each trial's runs."""
    for runs in trials:
        values = [value for run in runs if (value := run[at]) is not None]
        if len(values) > 1:
            yield len(values), mean(values), stdev(values)


def save_verdict(writer: Writer, search_id: int, number: int, verdict: Verdict) -> bool:
    """Record verdict and incumbent together; the verdict of this round stands if there is one.

    Returns:
        False, and nothing is recorded, where the trial was compared with an incumbent that is
        none any more, or with another front: it must be judged anew.
    """
    used, spread = verdict.figures, verdict.figures.noise
    with writer.transaction():
        now = figures(writer.read, search_id, number)
        if used.value is not None and used.rival != now.rival:
            return False
        writer.execute(
            """DELETE FROM verdicts WHERE search_id = ?1 AND number = ?2 AND round <
            (SELECT round FROM trials WHERE search_id = ?1 AND number = ?2)""",
            (search_id, number),
        )
        new = writer.execute(
            """INSERT INTO verdicts (search_id, number, round, accepted, rule, value, seeds,
            tried, incumbent, incumbent_value, incumbent_seeds, noise, noise_degrees,
            improvement, margin, sentence, opinion, compared, created_at)
            VALUES (?1, ?2, (SELECT round FROM trials WHERE search_id = ?1 AND number = ?2),
            ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING RETURNING number""",
            (
                search_id,
                number,
                int(verdict.accepted),
                storable(verdict.rule),
                used.value,
                used.seeds,
                used.tried,
                used.incumbent,
                used.incumbent_value,
                used.incumbent_seeds,
                spread.relative if spread else None,
                spread.degrees if spread else None,
                used.improvement,
                verdict.margin,
                storable(verdict.sentence),
                storable(verdict.opinion),
                compared_text(used.compared),
                time.time(),
            ),
        )
        if new is None:
            return True
        ended = (time.time(), search_id, number)
        writer.execute(
            """UPDATE runs SET state = 'stopped', error_class = 'stopped', ended_at = ?,
            error = 'It was not needed any more.'
            WHERE search_id = ? AND number = ? AND state = 'running'""",
            ended,
        )
        writer.execute(
            """UPDATE trials SET ended_at = ?,
            state = CASE WHEN state != 'running' THEN state WHEN seeds > 0 THEN 'completed'
                WHEN error_class = 'stopped' THEN 'stopped' ELSE 'failed' END
            WHERE search_id = ? AND number = ?""",
            ended,
        )
        writer.execute(
            "UPDATE searches SET incumbent = ? WHERE id = ?",
            (best(writer.read, search_id), search_id),
        )
        return True
