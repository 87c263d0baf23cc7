"""Trials of any searches as a table that the database filters, sorts and cuts into pages.

A filter is one line of text, as a person types it and as an address carries it:

    val_mse<0.4 d_model>=128 state=failed,crashed "instance norm"

Words are looked for in what was proposed and said of a trial; `name op value` compares a figure, a
fact or a setting, which may be named without its section, and = takes several values. All of them
must hold.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import uuid
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from informer.config import Value, fields
from nas_engine.store.reader import Reader
from nas_engine.store.rows import TrialRow

if TYPE_CHECKING:
    from data.columnar import Kind

_RUN = "FROM runs o WHERE o.search_id = t.search_id AND o.number = t.number AND o.kind = 'scratch'"

COLUMNS: Mapping[str, str] = {
    "number": "t.number",
    "search": "t.search_id",
    "state": "t.state",
    "source": "p.source",
    "step": "p.step_type",
    "author": "p.author",
    "decision": "p.decision",
    "parent": "p.parent",
    "verdict": "CASE v.accepted WHEN 1 THEN 'accepted' WHEN 0 THEN 'rejected' END",
    "rule": "v.rule",
    "improvement": "v.improvement",
    "val_mse": "t.val_mse",
    "val_mae": "t.val_mae",
    "spread": "t.spread",
    "seeds": "t.seeds",
    "error": "t.error_class",
    "parameters": f"(SELECT max(o.parameters) {_RUN})",
    "seconds": f"(SELECT avg(o.seconds) {_RUN})",
    "epochs": f"(SELECT max(o.epochs) {_RUN})",
    "memory_mb": f"(SELECT avg(o.peak_memory_mb) {_RUN})",
    "latency_ms": f"(SELECT avg(o.latency_ms) {_RUN})",
    "flops": f"(SELECT avg(o.flops) {_RUN})",
    "created": "t.created_at",
    "ended": "t.ended_at",
}
"""What can be compared and sorted by, besides the settings, and how it is read."""

TEXTS = frozenset({"state", "source", "step", "author", "decision", "verdict", "rule", "error"})
"""Those of them that are words."""

_SEARCHED = (
    *("p.hypothesis", "p.reasons", "p.comment", "p.hint", "p.changes", "t.error", "v.sentence"),
    "v.opinion",
)
_EXCHANGED = """EXISTS (SELECT 1 FROM llm_calls c WHERE c.search_id = t.search_id
    AND c.number = t.number AND c.role IN ('planner', 'evaluator')
    AND (instr(lower(c.reply), ?) OR instr(lower(c.problem), ?)))
    OR EXISTS (SELECT 1 FROM revisions r WHERE r.proposal_id = p.id AND (
        instr(lower(r.hypothesis), ?) OR instr(lower(r.reasons), ?) OR instr(lower(r.comment), ?)
        OR instr(lower(r.changes), ?)))"""
_TERM = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?P<op><=|>=|!=|=|<|>)(?P<value>.*)", re.DOTALL)
# Left joins: SQLite leaves out those of which nothing is asked.
_FROM = """
    FROM trials t LEFT JOIN proposals p ON p.id = t.proposal_id
    LEFT JOIN verdicts v ON v.search_id = t.search_id AND v.number = t.number
"""


ALL = -1
"""The limit of a query that has one page."""


class QueryError(ValueError):
    """A filter or an order that means nothing; the message is one sentence that says why."""


@dataclass(frozen=True)
class Term:
    """One condition: `name op value`, or a word to be found where there is no name."""

    name: str
    op: str
    value: str


@dataclass(frozen=True)
class Query:
    """Which trials, in which order, and which part of them."""

    searches: tuple[int, ...]
    terms: tuple[Term, ...] = ()
    sort: str = "number"
    descending: bool = False
    offset: int = 0
    limit: int = 100
    exchanges: bool = False  # words are looked for in replies and earlier versions, too


def parse(text: str) -> tuple[Term, ...]:
    """Return the conditions of a filter.

    Raises:
        QueryError: a quotation does not end, or a name is none of `COLUMNS` and no setting.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise QueryError(
            'A quotation mark is not closed; write "two words" or leave it out.'
        ) from (None)
    return tuple(_term(word) for word in words)


def column(name: str) -> str:
    """Return the full name of a column or a setting.

    Raises:
        QueryError: there is none with that name, or more than one setting ends with it.
    """
    if name in COLUMNS or name in fields():
        return name
    found = [key for key in fields() if key.endswith(f".{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise QueryError(f"{name} may be {' or '.join(found)}; write which.")
    raise QueryError(
        f"{name[:40]} is no figure and no setting of a trial; the figures are "
        f"{', '.join(COLUMNS)}, settings are such as d_model."
    )


def page(reader: Reader, query: Query) -> list[TrialRow]:
    """Return the trials of one page; those without a value to sort by come last.

    Raises:
        QueryError: there is nothing to sort by with that name.
    """
    return reader.listed(keys(reader, query))


def keys(reader: Reader, query: Query) -> list[tuple[int, int]]:
    """Return (search, number) of the trials of one page; of all where the limit is `ALL`.

    Raises:
        QueryError: there is nothing to sort by with that name.
    """
    return [(search_id, number) for search_id, number in cells(reader, query, ("search", "number"))]


def cells(reader: Reader, query: Query, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return some columns or settings of the trials of one page; of all where the limit is `ALL`.

    Raises:
        QueryError: there is no column or setting of a name, or none to sort by.
    """
    where, parameters = _where(reader, query)
    chosen = [_expression(reader, query.searches, column(name)) for name in names]
    order, more = _expression(reader, query.searches, column(query.sort))
    direction = "DESC" if query.descending else "ASC"
    # An order that the index has is read from it, without looking at all trials.
    empty_last = "" if query.sort == "number" else "sorted IS NULL, "
    rows = reader.fetch(
        f"""SELECT {", ".join(expression for expression, _ in chosen)}, {order} AS sorted {_FROM}
        WHERE {where} ORDER BY {empty_last}sorted {direction}, t.search_id, t.number
        LIMIT ? OFFSET ?""",
        (
            *(value for _, values in chosen for value in values),
            *(*more, *parameters, query.limit, query.offset),
        ),
    )
    return [row[:-1] for row in rows]


def known(reader: Reader, keys: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return those of these (search, number) that are trials."""
    rows = reader.fetch(
        """SELECT t.search_id, t.number FROM json_each(?) k CROSS JOIN trials t
        ON t.search_id = json_extract(k.value, '$[0]')
        AND t.number = json_extract(k.value, '$[1]')""",
        (json.dumps([list(key) for key in keys]),),
    )
    return set(rows)


def varying(reader: Reader, searches: Sequence[int]) -> list[str]:
    """Return the settings that are not the same in all trials, the most often changed first."""
    counts = dict(
        reader.fetch(
            """SELECT d.key, count(*) FROM proposals p, json_each(p.differences) d
            WHERE p.search_id IN (SELECT value FROM json_each(?)) GROUP BY 1""",
            (json.dumps(list(searches)),),
        )
    )
    starts = list(start_configs(reader, searches).values())
    for start in starts[1:]:
        for key in starts[0].keys() | start.keys():
            if start.get(key) != starts[0].get(key):
                counts.setdefault(key, 0)
    return sorted(counts, key=lambda key: (-counts[key], key))


def records(reader: Reader, query: Query) -> Iterator[dict[str, object]]:
    """Yield all trials of a query, on all its pages, with `COLUMNS` and the varying settings.

    Raises:
        QueryError: there is nothing to sort by with that name.
    """
    where, parameters = _where(reader, query)
    order, more = _expression(reader, query.searches, column(query.sort))
    direction = "DESC" if query.descending else "ASC"
    starts, settings = start_configs(reader, query.searches), varying(reader, query.searches)
    rows = reader.fetch(
        f"""SELECT {", ".join(COLUMNS.values())}, p.differences, {order} AS sorted {_FROM}
        WHERE {where} ORDER BY sorted IS NULL, sorted {direction}, t.search_id, t.number""",
        (*more, *parameters),
    )
    for *figures, differences, _ in rows:
        record = dict(zip(COLUMNS, figures, strict=True))
        config = {**starts.get(record["search"], {}), **json.loads(differences)}
        yield {**record, **{key: config.get(key) for key in settings}}


_WHOLE = frozenset({"number", "search", "parent", "seeds", "parameters", "epochs"})
_MOMENTS = frozenset({"created", "ended"})
_OF_TYPES: Mapping[type, Kind] = {int: "whole", float: "number", bool: "truth", str: "text"}


def kind(name: str) -> Kind:
    """Return what a column or a setting holds."""
    if name in fields():
        return _OF_TYPES[fields()[name].type]
    if name in _MOMENTS:
        return "moment"
    return "text" if name in TEXTS else "whole" if name in _WHOLE else "number"


def _term(word: str) -> Term:
    if (match := _TERM.fullmatch(word)) is None:
        return Term("", "", word)
    term = Term(column(match["name"]), match["op"], match["value"])
    _demand_sense(term)
    return term


def _demand_sense(term: Term) -> None:
    """Refuse what cannot be compared: to SQLite every text is more than every number."""
    ordered = term.op not in ("=", "!=")
    if term.name in TEXTS or (term.name in fields() and fields()[term.name].type is str):
        if ordered:
            raise QueryError(f"{term.name} is a word: compare it with = or !=.")
        return
    values = [term.value] if ordered else [part for part in term.value.split(",") if part]
    if faults := [value for value in values if isinstance(_value(value), str)]:
        raise QueryError(
            f"{term.name}{term.op}{faults[0][:20]}: {term.name} is a number, such as 0.4."
        )


def _where(reader: Reader, query: Query) -> tuple[str, list[object]]:
    among = ", ".join("?" * len(query.searches))
    clauses = [f"t.search_id IN ({among})"]
    parameters: list[object] = list(query.searches)
    for term in query.terms:
        if not term.name:
            places = [f"instr(lower({place}), ?)" for place in _SEARCHED]
            places += [_EXCHANGED] if query.exchanges else []
            clauses.append(found := f"({' OR '.join(places)})")
            parameters += [_lower(term.value)] * found.count("?")
            continue
        expression, more = _expression(reader, query.searches, term.name)
        parameters += more
        if term.value == "" and term.op in ("=", "!="):
            clauses.append(f"{expression} IS {'NOT ' if term.op == '!=' else ''}NULL")
            continue
        if term.op in ("=", "!="):
            values = [_value(part) for part in term.value.split(",")]
            parameters += values
            among = f"coalesce({expression} IN ({', '.join('?' * len(values))}), 0)"
            clauses.append(f"NOT {among}" if term.op == "!=" else among)
            continue
        clauses.append(f"{expression} {term.op} ?")
        parameters.append(_value(term.value))
    return " AND ".join(clauses), parameters


def _expression(reader: Reader, searches: Sequence[int], name: str) -> tuple[str, list[object]]:
    """Return what reads a column or a setting, and its parameters.

    A setting that is not among a trial's differences has the value of its search's trial 0.
    """
    if name in COLUMNS:
        return COLUMNS[name], []
    starts, path = start_configs(reader, searches), f'$."{name}"'
    parameters: list[object] = [path]
    for search_id, config in starts.items():
        parameters += [search_id, config.get(name)]
    whens = "WHEN ? THEN ? " * len(starts)
    start = f"CASE t.search_id {whens}END" if starts else "NULL"
    return f"coalesce(json_extract(p.differences, ?), {start})", parameters


def _lower(text: str) -> str:
    """Return text in lower case as SQLite's `lower` has it, which leaves all but ASCII alone."""
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)


def _value(text: str) -> object:
    if text.lower() in ("true", "yes", "false", "no"):
        return text.lower() in ("true", "yes")
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


class Pulse(NamedTuple):
    """What changes whenever the results of a search do: a key for what is computed from them."""

    search_id: int
    trials: int
    open: int
    running: int  # trainings
    command: int  # the newest that was answered
    run: int  # the newest of the whole workspace, as is the next
    verdict: int


def pulse(reader: Reader, search_id: int) -> Pulse:
    """Return the pulse of a search."""
    (row,) = reader.fetch(
        """SELECT ?1, (SELECT count(*) FROM trials WHERE search_id = ?1),
        (SELECT count(*) FROM trials WHERE search_id = ?1 AND ended_at IS NULL),
        (SELECT count(*) FROM runs WHERE search_id = ?1 AND state = 'running'),
        (SELECT coalesce(max(id), 0) FROM commands WHERE search_id = ?1 AND state != 'pending'),
        (SELECT coalesce(max(id), 0) FROM runs), (SELECT coalesce(max(id), 0) FROM verdicts)""",
        (search_id,),
    )
    return Pulse(*row)


# -- all trials, as columns ---------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """Figures of all trials of some searches, in columns of equal length.

    Ordered by search and number. A configuration is that of the search's trial 0 in `starts` with
    its `differences`, which are JSON.
    """

    mark: str  # another one for each reading: a key for what is computed from it
    starts: dict[int, dict[str, Value]]
    search: tuple[int, ...]
    number: tuple[int, ...]
    parent: tuple[int | None, ...]
    state: tuple[str, ...]
    source: tuple[str, ...]
    step: tuple[str, ...]
    accepted: tuple[int | None, ...]  # 1, 0, or not judged
    val_mse: tuple[float | None, ...]
    val_mae: tuple[float | None, ...]
    spread: tuple[float | None, ...]
    parameters: tuple[int | None, ...]
    seconds: tuple[float | None, ...]  # mean of the trial's trainings
    epochs: tuple[int | None, ...]
    error_class: tuple[str, ...]
    memory_mb: tuple[float | None, ...]  # peak, mean of the trainings, as are the last two
    ended_at: tuple[float | None, ...]
    differences: tuple[str, ...]
    seeds: tuple[int, ...]  # finished trainings
    latency_ms: tuple[float | None, ...]
    flops: tuple[float | None, ...]


def results(reader: Reader, searches: Sequence[int]) -> Results:
    """Return the figures of all trials of `searches`."""
    rows = reader.fetch(
        """WITH trained AS (
            SELECT search_id, number, max(parameters) AS parameters, avg(seconds) AS seconds,
                max(epochs) AS epochs, avg(peak_memory_mb) AS memory_mb,
                avg(latency_ms) AS latency_ms, avg(flops) AS flops
            FROM runs WHERE search_id IN (SELECT value FROM json_each(?1)) AND kind = 'scratch'
            GROUP BY 1, 2)
        SELECT t.search_id, t.number, p.parent, t.state, p.source, p.step_type, v.accepted,
            t.val_mse, t.val_mae, t.spread, r.parameters, r.seconds, r.epochs, t.error_class,
            r.memory_mb, t.ended_at, p.differences, t.seeds, r.latency_ms, r.flops
        FROM trials t JOIN proposals p ON p.id = t.proposal_id
        LEFT JOIN verdicts v ON v.search_id = t.search_id AND v.number = t.number
        LEFT JOIN trained r ON r.search_id = t.search_id AND r.number = t.number
        WHERE t.search_id IN (SELECT value FROM json_each(?1))
        ORDER BY t.search_id, t.number""",
        (json.dumps(list(searches)),),
    )
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) if rows else [()] * 20
    return Results(uuid.uuid4().hex, start_configs(reader, searches), *columns)


@dataclass(frozen=True)
class TriedRow:
    """What proposals are checked against, in little room: configurations share trial 0's."""

    number: int
    config: Mapping[str, Value]
    state: str
    val_mse: float | None
    accepted: bool | None
    error_class: str
    seconds: float | None
    epochs: int | None
    parent: int | None = None
    val_mae: float | None = None
    spread: float | None = None


def tried(found: Results) -> list[TriedRow]:
    """Return what a proposal of the one search in `found` is checked against, by number."""
    configs = (
        ChainMap(json.loads(differences), found.starts[search_id])
        for search_id, differences in zip(found.search, found.differences, strict=True)
    )
    accepted = (None if flag is None else bool(flag) for flag in found.accepted)
    return [
        TriedRow(*row)
        for row in zip(
            *(found.number, configs, found.state, found.val_mse, accepted),
            *(found.error_class, found.seconds, found.epochs),
            *(found.parent, found.val_mae, found.spread),
            strict=True,
        )
    ]


def start_configs(reader: Reader, searches: Sequence[int]) -> dict[int, dict[str, Value]]:
    """Return the configuration of trial 0 of each search that has one."""
    rows = reader.fetch(
        """SELECT search_id, config FROM proposals
        WHERE number = 0 AND search_id IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(searches)),),
    )
    return {search_id: json.loads(config) for search_id, config in rows}
