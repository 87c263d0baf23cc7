"""A planner without model or key: it walks the settings in the known order of their gain.

One setting at a time is changed on the incumbent, and two once each alone is answered. Instance
normalisation moves the error of Informer-like forecasters most, then the look-back, a linear head,
and what a token is; the usual sizes and rates come last (docs/planning.md says on what grounds).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from informer.config import Interval, Search, Value, fields
from nas_engine.planners.base import SpaceExhausted, View
from nas_engine.planners.tpe import ordered
from nas_engine.proposals import Proposal, active_changes
from nas_engine.store.rows import TrialRow

Step = tuple[str, Value]
"""A setting and its next value."""

KNOWN: dict[str, tuple[Value, ...]] = {
    "model.normalisation": ("revin", "standardise", "last"),
    "data.seq_len": (),
    "model.head": ("linear", "step_linear"),
    "model.tokens": ("patch", "inverted"),
    "model.channels": ("independent",),
    "model.skip": (True,),
    "model.cycle": ("day",),
    "model.decomposition": ("moving_average",),
    "model.patch_len": (),
    "model.patch_stride": (),
    "model.d_model": (),
    "model.e_layers": (),
    "model.d_ff": (),
    "model.n_heads": (),
    "model.dropout": (),
    "training.optimizer_params.lr": (),
    "training.scheduler_class": (),
}
"""The known order of settings, and of their values where one is known; others come after these."""

COMPANIONS: tuple[Mapping[str, Value], ...] = (
    {},
    {"model.distil": False},
    {"model.head": "linear"},
    {"model.head": "linear", "model.channels": "mixed"},
    {"model.skip": True, "model.head": "linear"},
    {"model.attention": "full"},
)
"""What may have to change along with a setting for the result to be valid, the least first."""


class RulesPlanner:
    """Proposes the first change on the walk that no trial has answered yet."""

    def observe(self, result: TrialRow) -> None:
        """Nothing is kept: the walk reads the trials of the view."""

    def propose(self, view: View) -> Proposal:
        """Return the next change; raises SpaceExhausted at the end of the walk."""
        steps = list(_walk(view))
        unanswered = [step for step in steps if not _answered(view, *step)]
        walks: tuple[tuple[str, Iterable[tuple[Step, ...]]], ...] = (
            ("one setting is changed at a time", ((step,) for step in unanswered)),
            ("one setting at a time, on the new incumbent", ((step,) for step in steps)),
            (
                "two settings at a time, for each alone is answered",
                itertools.combinations(steps, 2),
            ),
        )
        for how, walk in walks:
            for moves in walk:
                if (changes := _valid(view, moves)) is not None:
                    return Proposal(
                        source="rules",
                        parent=view.incumbent,
                        changes=changes,
                        hypothesis=f"{_place(moves[0][0])} in the known order of gain; {how}.",
                    )
        raise SpaceExhausted("Every change of one or two settings of the incumbent has been tried.")


def _valid(view: View, moves: tuple[Step, ...]) -> dict[str, Value] | None:
    """Return the changes that make the moves, with what they need; None where they cannot be."""
    wanted = dict(moves)
    for companions in COMPANIONS:
        changes = active_changes(view.parent, _changed(view, {**companions, **wanted}))
        if view.enforced:  # what makes a model too large may go with smaller sizes
            changes = view.shrunk(changes)
        if wanted.items() <= changes.items() and not view.check(changes):
            return changes
    return None


def _walk(view: View) -> Iterator[Step]:
    """Yield each setting of the space with its other values, in the order to try them."""
    for key in dict.fromkeys((*KNOWN, *view.space)):
        if key in view.space and fields()[key].active(view.parent):
            others = list(_others(view.space[key], view.parent[key]))
            known = [value for value in KNOWN.get(key, ()) if value in others]
            yield from ((key, value) for value in dict.fromkeys((*known, *others)))


def _others(search: Search, value: Value) -> Iterator[Value]:
    """Yield what else a setting may be: of numbers the next larger and smaller, then further."""
    if isinstance(search, Interval):
        yield from _steps(search, float(value))
    elif ordered(search.values) and value in search.values:
        at = search.values.index(value)
        above, below = search.values[at + 1 :], search.values[:at][::-1]
        for pair in itertools.zip_longest(above, below):
            yield from (other for other in pair if other is not None)
    else:
        yield from (other for other in search.values if other != value)


def _steps(search: Interval, value: float) -> Iterator[float]:
    """Yield values half a decade, or a fifth of the interval, away and further."""
    for size in (1, 2, 4):
        for sign in (1, -1):
            moved = (
                value * 10 ** (sign * size / 2)
                if search.log
                else value + sign * size * (search.high - search.low) / 5
            )
            if search.low <= (rounded := float(f"{moved:.3g}")) <= search.high:
                yield rounded


def _answered(view: View, key: str, value: Value) -> bool:
    """Tell whether a trial has shown, or will show, what this value does; one that failed too."""
    return any(
        trial.config.get(key) == value and fields()[key].active(trial.config)
        for trial in view.trials
    )


def _changed(view: View, values: Mapping[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in values.items() if view.parent[key] != value}


def _place(key: str) -> str:
    known = list(KNOWN)
    if key not in KNOWN:
        return f"{key} comes after the settings"
    return f"{key} is number {known.index(key) + 1} of {len(known)}"
