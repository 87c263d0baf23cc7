"""The words, symbols and colours of states: one table each. A colour never stands alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nas_engine.liveness import EngineState
from nas_engine.store.reader import SearchRow, TrialRow

Colour = Literal["green", "blue", "orange", "red", "gray", "violet"]


@dataclass(frozen=True)
class State:
    """How a state is shown and what it means."""

    symbol: str
    colour: Colour
    meaning: str


TRIAL_STATES = {
    "proposed": State("◇", "violet", "waits for a person"),
    "queued": State("○", "gray", "will be trained next"),
    "running": State("▶", "blue", "trains"),
    "stalled": State("▷", "orange", "trains, but has shown no progress for a while"),
    "paused": State("‖", "gray", "will go on"),
    "completed": State("✓", "green", "trained to its end and was judged"),
    "pruned": State("✂", "orange", "was ended early, since it was clearly worse"),
    "stopped": State("■", "gray", "was ended by a person"),
    "failed": State("✕", "red", "raised an error"),
    "crashed": State("✕", "red", "its process was lost"),
    "rejected": State("⊘", "orange", "was turned down by a person"),
}

SEARCH_STATES = {
    "running": State("▶", "blue", "trials are planned and trained"),
    "paused": State("‖", "orange", "no new trials; Resume goes on"),
    "stopping": State("■", "orange", "ends as soon as the running trial has"),
    "stopped": State("■", "gray", "ended by a person; Resume goes on"),
    "completed": State("✓", "green", "the trial budget is spent"),
    "engine lost": State("✕", "red", "its process is gone; Resume continues it"),
}

SOURCES = {
    "default": "preset",
    "tpe": "TPE",
    "llm": "LLM",
    "hybrid": "LLM, ranked",
    "rules": "rules",
    "random": "random",
    "human": "person",
    "fallback": "TPE, for the LLM",
}


def trial_state(state: str) -> str:
    """Return a trial's state with its symbol."""
    return f"{TRIAL_STATES[state].symbol} {state}" if state in TRIAL_STATES else state


def shown_state(search: SearchRow, engine: EngineState) -> str:
    """Return the state to show: a search that should have an engine and has none is lost."""
    if search.state in ("running", "stopping") and engine not in ("alive", "stalled"):
        return "engine lost"
    return search.state


def verdict_text(trial: TrialRow, incumbent: int | None) -> str:
    """Return what became of a trial, in a few words."""
    if trial.number == incumbent:
        return "★ incumbent"
    if trial.accepted is None:
        return ""
    return f"{'accepted' if trial.accepted else 'rejected'}: {trial.rule}"
