"""What a language model is told before it answers: enough for most questions without a tool."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from informer.config import Value
from nas_engine.amounts import aims_text
from nas_engine.chat.looked_up import WITH_QUESTION, Cell, Chart, LookedUp, cell
from nas_engine.evaluator import Noise
from nas_engine.llm import prompt
from nas_engine.planners.base import View
from nas_engine.planners.question import estimated_tokens, listed, task_text, trial_text
from nas_engine.proposals import differences
from nas_engine.search import TASK_KEYS
from nas_engine.store.reader import Reader
from nas_engine.store.rows import BaselineRow, SearchRow, TrialRow
from nas_engine.store.wishes import TurnRow

BEST = NEWEST = 5
MOST_NAMED = 8
"""Trials that are told: those of the lowest val_mse, the newest, and those that are asked about."""

ECHOED_CHARACTERS = 4000
"""Of an earlier answer."""

_NAMED = re.compile(r"\btrials?\s+((?:#?\d+(?:\s*(?:,|and|or|vs\.?|to|with)\s*)?)+)|#(\d+)", re.I)


@dataclass(frozen=True)
class Told:
    """The question with what is known, and the same rows as a person can check them."""

    text: str
    rows: list[LookedUp]


def told(reader: Reader, search: SearchRow, question: str) -> Told:
    """Return a question with the facts of its search, within half of the token budget."""
    view = View.of(reader, search.id, max(reader.numbers(search.id), default=0) + 1)
    trials = _worth_telling(view.trials, named(question))
    while True:
        text = _text(replace(view, trials=trials), search, len(view.trials), question)
        if len(trials) <= 1 or 2 * estimated_tokens(text) <= search.spec.limits.prompt_tokens:
            break
        trials = trials[:-1]
    ordered = sorted(trials, key=lambda trial: trial.number)
    return Told(text, [_trials(search, ordered), _baselines(view.baselines)])


def earlier(turns: Sequence[TurnRow], most_tokens: int) -> list[tuple[str, str]]:
    """Return the newest questions with their answers, oldest first, as far as there is room."""
    found: list[tuple[str, str]] = []
    for turn in reversed(turns):
        if turn.state not in ("answered", "stopped") or not turn.answer:
            continue
        pair = (turn.question, turn.answer[:ECHOED_CHARACTERS])
        most_tokens -= estimated_tokens("".join(pair))
        if most_tokens < 0:
            break
        found.append(pair)
    return found[::-1]


def named(question: str) -> list[int]:
    """Return the numbers of the trials that a question names."""
    texts = (first or second for first, second in _NAMED.findall(question))
    numbers = (int(digits) for text in texts for digits in re.findall(r"\d{1,9}", text))
    return list(dict.fromkeys(numbers))[:MOST_NAMED]


def _worth_telling(trials: Sequence[TrialRow], numbers: Sequence[int]) -> list[TrialRow]:
    """Return the trials that are told, the most important first."""
    scored = [trial for trial in trials if trial.val_mse is not None]
    best = sorted(scored, key=lambda trial: trial.val_mse or 0.0)[:BEST]
    asked = [trial for trial in trials if trial.number in numbers]
    chosen = [*best[:1], *asked, *best[1:], *trials[: -NEWEST - 1 : -1]]
    return list({trial.number: trial for trial in chosen}.values())


def _text(view: View, search: SearchRow, everything: int, question: str) -> str:
    lines = [
        trial_text(view, trial) for trial in sorted(view.trials, key=lambda trial: trial.number)
    ]
    return prompt(
        "chat",
        number=str(search.id),
        task=task_text(view),
        standing=_standing(search, everything),
        noise=_noise(view.noise),
        baselines=listed(
            f"{row.name}: {row.split}_mse {row.mse:.6g}, {row.split}_mae {row.mae:.6g}"
            for row in view.baselines
        ),
        told=str(len(lines)),
        all=str(everything),
        trials=listed(lines),
        question=question,
    )


def _standing(search: SearchRow, everything: int) -> str:
    best = (
        "No trial is accepted yet."
        if search.incumbent is None or search.best is None
        else f"The best so far is trial {search.incumbent} with val_mse {search.best:.6g}."
    )
    return (
        f"The search is {search.state}: {everything} trials of {search.max_trials}, "
        f"{search.finished} ended. {best} {aims_text(search.spec)}"
    ).rstrip()


def _noise(noise: Noise | None) -> str:
    if noise is None:
        return "How far trainings with other seeds lie apart is not measured yet."
    return f"Trainings of one configuration with other seeds differ by {noise.relative:.3%}."


def _trials(search: SearchRow, trials: Sequence[TrialRow]) -> LookedUp:
    start = search.spec.start()
    rows: list[list[Cell]] = [
        [
            *(trial.number, trial.state, trial.source, _verdict(trial), cell(trial.val_mse)),
            *(cell(trial.spread), trial.seeds, _changed(start, trial.config)),
        ]
        for trial in trials
    ]
    names = ["number", "state", "source", "verdict", "val_mse", "spread", "seeds", "settings"]
    chart: Chart = "history" if len(rows) > 1 else ""
    note = "the best, the newest and those that the question names"
    return LookedUp(WITH_QUESTION, {}, names, rows, chart, note)


def _verdict(trial: TrialRow) -> str | None:
    return None if trial.accepted is None else "accepted" if trial.accepted else "rejected"


def _changed(start: Mapping[str, Value], config: Mapping[str, Value]) -> str:
    changed = differences(start, config)
    known = (f"{key}={cell(new)}" for key, (_, new) in changed.items() if key not in TASK_KEYS)
    return ", ".join(known) or "the start"


def _baselines(rows: Sequence[BaselineRow]) -> LookedUp:
    columns = ["name", "split", "mse", "mae"]
    told: list[list[Cell]] = [[row.name, row.split, cell(row.mse), cell(row.mae)] for row in rows]
    return LookedUp(WITH_QUESTION, {}, columns, told, note="forecasts without training")
