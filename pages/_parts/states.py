"""The words, symbols and colours of states: one table each. A colour never stands alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nas_engine.liveness import LEASE_SECONDS, LIVING, EngineState, boot_id
from nas_engine.search import PlannerName
from nas_engine.store.rows import EngineRow, SearchRow, TrialRow
from pages._parts.text import seconds_text

Colour = Literal["green", "blue", "orange", "red", "gray", "violet"]


@dataclass(frozen=True)
class State:
    """How a state is shown and what it means."""

    symbol: str
    colour: Colour
    meaning: str


TRIAL_STATES = {
    "proposed": State("◇", "violet", "waits for a person"),
    "queued": State("○", "gray", "waits for a slot"),
    "running": State("▶", "blue", "trains"),
    "stalled": State("▷", "orange", "trains, but has shown no progress for a while"),
    "paused": State("‖", "gray", "will go on"),
    "completed": State("✓", "green", "trained to its end and was judged"),
    "pruned": State(
        "✂",
        "orange",
        "was ended early, or never begun: it fell behind the others, or breaks a bound",
    ),
    "stopped": State("■", "gray", "was ended by a person"),
    "failed": State("✕", "red", "raised an error"),
    "crashed": State("✕", "red", "its process was lost"),
    "rejected": State("⊘", "orange", "was turned down by a person"),
}

SEARCH_STATES = {
    "running": State("▶", "blue", "trials are planned and trained"),
    "paused": State("‖", "orange", "no new trials; Resume goes on"),
    "stopping": State("■", "orange", "ends as soon as the running trials have"),
    "stopped": State("■", "gray", "ended by a person; Resume goes on"),
    "completed": State("✓", "green", "a budget is spent; a larger one lets it go on"),
    "engine lost": State("✕", "red", "its process is gone; Resume continues it"),
}

ENGINE_STATES: dict[EngineState, State] = {
    "none": State("–", "gray", "no process works on this search"),
    "alive": State("●", "green", "its process works"),
    "stalled": State("◐", "orange", "its process lives but does not show it"),
    "lost": State("✕", "red", "its process has ended without a word"),
}

SOURCES = {
    "default": "preset",
    "portfolio": "portfolio",
    "forest": "forest",
    "tpe": "TPE",
    "llm": "LLM",
    "hybrid": "LLM, ranked",
    "rules": "rules",
    "random": "random",
    "human": "person",
    "fallback": "optimiser, for the LLM",
    "imported": "another program",
    "past": "an earlier search",
}

PLANNERS: dict[PlannerName, str] = {
    "portfolio": "Portfolio",
    "tpe": "TPE",
    "llm": "LLM",
    "hybrid": "Hybrid",
    "rules": "Rules",
    "random": "Random",
}

PLANNER_WORDS: dict[PlannerName, str] = {
    "portfolio": (
        "Normalised windows first, and published designs such as PatchTST. Then changes of the "
        "best trials of which a random forest expects most, and TPE for one trial in four."
    ),
    "tpe": "Bayesian optimisation by Optuna: a tree-structured Parzen estimator over all results.",
    "llm": "A language model reads the whole search and proposes each change.",
    "hybrid": (
        "As portfolio, but a language model proposes on a share of the trials, which follows what "
        "its proposals have earned."
    ),
    "rules": "One setting at a time, in the order in which published comparisons found gains.",
    "random": "Draws from the space: the reference that a planner must beat.",
}
"""What each does, for somebody who has not met it."""


def proposer(source: str, hypothesis: str) -> str:
    """Return who made a proposal; of a published design, its name and paper too."""
    named = SOURCES.get(source, source)
    return f"{named}, {hypothesis.partition(':')[0]}" if source == "portfolio" else named


def trial_state(state: str) -> str:
    """Return a trial's state with its symbol."""
    return f"{TRIAL_STATES[state].symbol} {state}" if state in TRIAL_STATES else state


def shown_state(search: SearchRow, engine: EngineState) -> str:
    """Return the state to show: a search that should have an engine and has none is lost."""
    if search.state in ("running", "stopping") and engine not in LIVING:
        return "engine lost"
    return search.state


def engine_text(engine: EngineRow | None, state: EngineState, now: float) -> str:
    """Return the state of an engine in a few words; `now` is of `liveness.boot_clock`."""
    if state == "none" or engine is None:
        return "no engine"
    if state == "stalled":
        return f"engine stalled for {seconds_text(now - engine.heartbeat)}"
    return f"engine {state}"


def engine_trouble(engine: EngineRow | None, state: EngineState, now: float) -> str:
    """Return what is wrong with an engine and what to do, empty where nothing is."""
    if engine is None:
        return ""
    if state == "lost":
        gone = (
            f"its process {engine.pid} has ended without a word"
            if engine.boot == boot_id()
            else "the machine was restarted while it ran"
        )
        return (
            f"The engine of this search is lost: {gone}. Nothing that was finished is lost; "
            "Resume goes on from the last epochs."
        )
    if state == "stalled":
        return (
            f"The engine's process {engine.pid} lives but has not shown it for "
            f"{seconds_text(now - engine.heartbeat)}: the machine is overloaded, or the process is "
            f"held. After {LEASE_SECONDS:.0f} s Resume lets another engine take its place."
        )
    return ""


def verdict_text(trial: TrialRow, incumbent: int | None) -> str:
    """Return what became of a trial, in a few words."""
    if trial.number == incumbent:
        return "★ incumbent"
    if trial.accepted is None:
        return ""
    return f"{'accepted' if trial.accepted else 'rejected'}: {trial.rule}"
