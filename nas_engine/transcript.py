"""The life of a trial, step by step and word for word, and its export.

A step is a record with names and plain values, of one of the kinds in `KEYS`. JSON Lines has a
record a line; Markdown has the same for people, where all that a model, a person or a service wrote
stands in fences and code spans that it cannot leave, so that a viewer shows no image and no link.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nas_engine.amounts import aims_text
from nas_engine.evaluator import Figures
from nas_engine.plaintext import code_span, fenced
from nas_engine.search import Rules
from nas_engine.store import judging, wishes
from nas_engine.store.provenance import OF_TRIALS, Moments, beside_trials, moments
from nas_engine.store.reader import Reader
from nas_engine.store.rows import LLMCallRow, RevisionRow, RunRow, SearchRow, TrialRow
from nas_engine.store.table import Term

Format = Literal["md", "jsonl"]
Record = dict[str, object]

_PROPOSAL = (
    *("version", "source", "step_type", "parent", "changes", "hypothesis", "reasons"),
    *("expected_low", "expected_high", "surrogate_low", "surrogate_high"),
)
KEYS: Mapping[str, tuple[str, ...]] = {
    "search": ("title", "state", "max_trials", "aims", "learns_from", "spec"),
    "proposal": _PROPOSAL,
    "exchange": (
        *("call", "role", "attempt", "model", "base_url", "temperature", "max_tokens", "outcome"),
        *("error_class", "problem", "messages", "reply", "prompt_tokens", "completion_tokens"),
        *("cost_usd", "booked_tokens", "booked_usd", "seconds"),
    ),
    "asked again": ("version", "author", "hint"),
    "decision": ("decision", "author", "comment", "changes", "waited_seconds"),
    "run": (
        *("seed", "state", "val_mse", "val_mae", "best_epoch", "epochs", "seconds", "attempt"),
        *("crashes", "error_class", "error", "ended", "inherited_from", "inherited_share"),
    ),
    "verdict": (
        *("accepted", "rule", "sentence", "opinion", "value", "seeds", "tried", "incumbent"),
        *("incumbent_value", "incumbent_seeds", "improvement", "margin", "noise", "noise_degrees"),
        "compared",
        *("accept_above", "reject_below", "noise_multiple", "extra_seeds"),
    ),
}
"""What the records of each kind hold, besides `kind`, `search`, `trial` and `at`."""


@dataclass(frozen=True)
class Life:
    """A trial with all that led to it and came of it."""

    trial: TrialRow
    calls: list[LLMCallRow]  # of planner and evaluator, in order
    revisions: list[RevisionRow]
    runs: list[RunRow]
    figures: Figures | None  # that its verdict used
    moments: Moments

    @property
    def replaced(self) -> list[tuple[RevisionRow, list[LLMCallRow]]]:
        """The versions in whose place the planner was asked again, with what led to each."""
        found, begin = [], 0.0
        for row in self.revisions:
            if row.why == "asked again":
                found.append((row, self._planned(begin, row.created_at)))
                begin = row.created_at
        return found

    @property
    def planned(self) -> list[LLMCallRow]:
        """The exchanges that led to the proposal that stands."""
        replaced = self.replaced
        return self._planned(replaced[-1][0].created_at if replaced else 0.0, float("inf"))

    @property
    def judging(self) -> list[LLMCallRow]:
        """The exchanges of the evaluator."""
        return [call for call in self.calls if call.role == "evaluator"]

    @property
    def before_edit(self) -> RevisionRow | None:
        """What the planner proposed, where a person edited it."""
        return next((row for row in reversed(self.revisions) if row.why == "edited"), None)

    def _planned(self, begin: float, end: float) -> list[LLMCallRow]:
        return [
            call for call in self.calls if call.role == "planner" and begin <= call.created_at < end
        ]


def lives(reader: Reader, search_id: int, trials: Sequence[TrialRow]) -> list[Life]:
    """Return some trials of a search with all that belongs to them, in their order."""
    numbers = [trial.number for trial in trials]
    when = moments(reader, search_id, numbers)
    return [
        Life(
            trial,
            [call for call in reader.llm_calls(search_id, trial.number) if call.role in OF_TRIALS],
            wishes.revisions(reader, search_id, trial.number),
            reader.runs(search_id, trial.number, every=True),
            judging.judged_by(reader, search_id, trial.number).get(trial.number),
            when[trial.number],
        )
        for trial in trials
    ]


# -- records ------------------------------------------------------------------------------------


def records(life: Life, rules: Rules) -> Iterator[Record]:
    """Yield the steps of a trial in the order in which they were taken."""
    trial = life.trial
    proposed = life.moments.proposed
    for revision, calls in life.replaced:
        yield from (_exchange(trial.search_id, call) for call in calls)
        yield _step("proposal", trial, proposed, dataclasses.asdict(revision))
        hint = {"version": revision.version, "author": revision.author, "hint": revision.comment}
        yield _step("asked again", trial, revision.created_at, hint)
        proposed = life.moments.waited_from or proposed
    yield from (_exchange(trial.search_id, call) for call in life.planned)
    stands = life.before_edit or trial
    told = {**dataclasses.asdict(stands), "changes": trial.original, "parent": trial.parent}
    yield _step("proposal", trial, proposed, told)
    if trial.decision is not None:
        told = dataclasses.asdict(trial) | {"waited_seconds": waited_seconds(life)}
        yield _step("decision", trial, life.moments.decided, told)
    for run in life.runs:
        yield _step("run", trial, run.started_at, _run(run))
    yield from (_exchange(trial.search_id, call) for call in life.judging)
    if trial.verdict is not None:
        yield _step("verdict", trial, life.moments.judged, _verdict(life, rules))


def waited_seconds(life: Life) -> float | None:
    """Return how long the proposal waited for its decision; None where it did not."""
    since, until = life.moments.waited_from, life.moments.decided
    return None if since is None or until is None else max(0.0, until - since)


def _step(kind: str, trial: TrialRow, at: float | None, facts: Mapping[str, object]) -> Record:
    head: Record = {"kind": kind, "search": trial.search_id, "trial": trial.number, "at": at}
    return head | {key: facts.get(key) for key in KEYS[kind]}


def _exchange(search_id: int, call: LLMCallRow) -> Record:
    facts = dataclasses.asdict(call) | {"call": call.id}
    head: Record = {
        "kind": "exchange",
        "search": search_id,
        "trial": call.number,
        "at": call.created_at,
    }
    return head | {key: facts[key] for key in KEYS["exchange"]}


def _run(run: RunRow) -> Record:
    return dataclasses.asdict(run) | {"ended": run.ended_at}


def _verdict(life: Life, rules: Rules) -> Record:
    trial, used = life.trial, life.figures or Figures()
    noise = used.noise
    return {
        **rules.model_dump(),
        **dataclasses.asdict(used),
        "accepted": trial.accepted,
        "rule": trial.rule,
        "sentence": trial.verdict,
        "opinion": trial.opinion,
        "improvement": trial.improvement,
        "margin": trial.margin,
        "noise": noise.relative if noise else None,
        "noise_degrees": noise.degrees if noise else None,
    }


# -- export -------------------------------------------------------------------------------------


def exported(
    reader: Reader,
    search: SearchRow,
    form: Format,
    keys: Iterable[tuple[int, int]],
    beside: bool = False,
) -> Iterator[str]:
    """Yield the transcript of some trials of a search piece by piece, a trial at a time in memory.

    Args:
        reader: of the workspace.
        search: the search.
        form: Markdown, or JSON Lines.
        keys: (search, number) of the trials, in the order to write.
        beside: whether the exchanges of chats and replays follow.
    """
    write = _json_line if form == "jsonl" else _markdown
    yield write(_about(search))
    for key in keys:
        for life in lives(reader, search.id, reader.listed([key])):
            yield "" if form == "jsonl" else f"\n## Trial {life.trial.number}\n"
            for record in records(life, search.spec.rules):
                yield write(record)
    if beside and (calls := beside_trials(reader, search.id)):
        yield "" if form == "jsonl" else "\n## Chats and replays\n"
        for call_id in calls:
            if (call := reader.llm_call(search.id, call_id)) is not None:
                yield write(_exchange(search.id, call))


def _about(search: SearchRow) -> Record:
    return {
        "kind": "search",
        "search": search.id,
        "trial": None,
        "at": search.created_at,
        "title": search.title,
        "state": search.state,
        "max_trials": search.max_trials,
        "aims": aims_text(search.spec),
        "learns_from": ", ".join(f"search {number}" for number in search.spec.lessons),
        "spec": search.spec.model_dump(mode="json"),
    }


def _json_line(record: Record) -> str:
    return json.dumps(record) + "\n"


def _markdown(record: Record) -> str:
    """Return a record for people: a heading, facts in a line each, long texts in blocks."""
    kind, at = str(record["kind"]), record["at"]
    moment = f" · {_clock(at)}" if isinstance(at, float) else ""
    lines = [f"\n{'#' if kind == 'search' else '###'} {_heading(record)}{moment}\n"]
    texts: list[tuple[str, str]] = []
    for key in KEYS[kind]:
        name, value = key.replace("_", " "), record[key]
        if key == "messages":
            assert isinstance(value, list), "an exchange has messages"
            texts += [
                (f"message of {code_span(part.get('role', ''))}", part.get("content", ""))
                for part in value
            ]
        elif key in _LONG:
            texts += [(name, str(value))] if value else []
        elif value not in (None, "") and key != "spec":
            lines.append(f"- {name}: {_clock(value) if key == 'ended' else _text(value)}")
    lines += [f"\n**{name}**\n\n{fenced(text)}" for name, text in texts]
    return "\n".join(lines) + "\n"


_LONG = (
    *("hypothesis", "reasons", "reply", "problem", "hint", "comment", "sentence", "opinion"),
    "error",
)


def _heading(record: Record) -> str:
    match record["kind"]:
        case "search":
            return f"Transcript of search {record['search']}"
        case "exchange":
            return f"Exchange {record['call']} with a language model"
        case "proposal":
            return f"Proposal, version {record['version']}"
    return str(record["kind"]).capitalize()


def _text(value: object) -> str:
    """Return a value in a line; all but numbers as code, as they may hold anything."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:.6g}" if isinstance(value, float) else str(value)
        case str():
            return code_span(value)
    return code_span(json.dumps(value, ensure_ascii=False))


def _clock(moment: object) -> str:
    assert isinstance(moment, int | float), "moments are seconds"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


# -- words that were looked for -------------------------------------------------------------------

AROUND = 60
"""Characters on each side of a word that was found."""


@dataclass(frozen=True)
class Found:
    """Where a word of a filter stands in a trial's record, with what stands around it."""

    place: str
    before: str
    word: str
    after: str


def found_words(life: Life, terms: Sequence[Term]) -> list[Found]:
    """Return the first place where each word of a filter stands; conditions have none."""
    texts = list(_texts(life))
    found = []
    for term in terms:
        if term.name or not term.value:
            continue
        pattern = re.compile(re.escape(term.value), re.IGNORECASE | re.ASCII)
        for place, text in texts:
            if match := pattern.search(text):
                start, end = match.span()
                before, after = text[max(0, start - AROUND) : start], text[end : end + AROUND]
                found.append(Found(place, before, match.group(), after))
                break
    return found


def _texts(life: Life) -> Iterator[tuple[str, str]]:
    """Yield the texts in which `table` looks for words, by the names of their places."""
    trial = life.trial
    yield "hypothesis", trial.hypothesis
    yield "reasons", trial.reasons
    yield "comment", trial.comment
    yield "hint", trial.hint
    yield "changes", json.dumps(trial.changes)
    yield "error", trial.error
    yield "verdict", trial.verdict or ""
    yield "opinion", trial.opinion or ""
    for call in life.calls:
        yield f"answer of exchange {call.id}", call.reply
        yield f"problem of exchange {call.id}", call.problem
    for row in life.revisions:
        yield f"hypothesis of version {row.version}", row.hypothesis
        yield f"reasons of version {row.version}", row.reasons
        yield f"words to version {row.version}", row.comment
        yield f"changes of version {row.version}", json.dumps(row.changes)
