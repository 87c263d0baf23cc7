"""The tree of the changes of a search: built from rows that may be damaged, cut, and laid out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from informer.config import Value
from nas_engine.evaluator import Noise
from nas_engine.store.lineage import Step
from pages._parts.effects import Effect, effect
from pages._parts.text import changes_text, readable

MOST = 300  # trials that are drawn, about: the incumbent's path is always whole


@dataclass(frozen=True)
class Tree:
    """Trials by number, and which comes from which; children are in the order of drawing."""

    steps: dict[int, Step]
    parents: dict[int, int | None]
    children: dict[int, list[int]]
    roots: list[int]
    path: list[int]  # from where it began to the incumbent, which is the last
    faults: list[str]  # a sentence for each thing that cannot be as it was found

    def order(self) -> list[tuple[int, int]]:
        """Return (number, depth) of all trials: each before its children, branch by branch."""
        found: list[tuple[int, int]] = []
        waiting = [(root, 0) for root in reversed(self.roots)]
        while waiting:
            number, depth = waiting.pop()
            found.append((number, depth))
            waiting += [(child, depth + 1) for child in reversed(self.children[number])]
        return found


def build(steps: Iterable[Step], incumbent: int | None, most: int = MOST) -> Tree:
    """Return the tree of about the `most` best of `steps`, each with all that leads to it.

    A parent that is unknown, or that descends from its own child, is named among the faults and
    left out of account.
    """
    known = {step.number: step for step in sorted(steps, key=lambda step: step.number)}
    parents, faults = _sound_parents(known)
    path = _up(parents, incumbent)[::-1] if incumbent in known else []
    drawn = _best(known, parents, path, most)
    children: dict[int, list[int]] = defaultdict(list)
    for number in [*path, *sorted(drawn - set(path))]:  # the path first: it goes straight on
        if (parent := parents[number]) is not None:
            children[parent].append(number)
    roots = [number for number in [*path[:1], *sorted(drawn)] if parents[number] is None]
    return Tree(
        steps={number: known[number] for number in sorted(drawn)},
        parents={number: parents[number] for number in sorted(drawn)},
        children={number: children[number] for number in drawn},
        roots=list(dict.fromkeys(roots)),
        path=path,
        faults=faults,
    )


def _sound_parents(known: Mapping[int, Step]) -> tuple[dict[int, int | None], list[str]]:
    parents: dict[int, int | None] = {}
    faults = []
    for number, step in known.items():
        parents[number] = step.parent if step.parent in known else None
        if step.parent is not None and step.parent not in known:
            faults.append(
                f"Trial {number} names trial {step.parent} as its parent, which this search does "
                "not have; it is drawn on its own."
            )
    sound: set[int] = set()
    for number in known:
        walked: dict[int, None] = {}
        at: int | None = number
        while at is not None and at not in sound and at not in walked:
            walked[at] = None
            at = parents[at]
        if at is not None and at in walked:
            circle = list(walked)[list(walked).index(at) :]
            parents[min(circle)] = None
            names = ", ".join(map(str, sorted(circle)))
            faults.append(
                f"Trial {min(circle)} descends from itself (trials {names}); it is drawn on its "
                "own."
            )
        sound |= walked.keys()
    return parents, faults


def _up(parents: Mapping[int, int | None], number: int | None) -> list[int]:
    found = []
    while number is not None:
        found.append(number)
        number = parents[number]
    return found


def _best(
    known: Mapping[int, Step],
    parents: Mapping[int, int | None],
    path: Sequence[int],
    most: int,
) -> set[int]:
    """Return the path and the best others, each with its ancestors, as far as there is room."""

    def rank(number: int) -> tuple[bool, bool, float, int]:
        step = known[number]
        value = step.val_mse
        return number != 0 and not step.accepted, value is None, value or 0.0, number

    drawn = set(path)
    for number in sorted(known, key=rank):
        line = []
        at: int | None = number
        while at is not None and at not in drawn:
            line.append(at)
            at = parents[at]
        if len(drawn) + len(line) <= most:
            drawn |= set(line)
    return drawn


def layout(tree: Tree) -> dict[int, tuple[int, int]]:
    """Return (column, depth) of each trial.

    A trial stands below its parent, or as little to the right of it as the trials that stand there
    already allow. Those of one depth stand in the order of their parents, so no lines cross.
    """
    places: dict[int, tuple[int, int]] = {}
    free: dict[int, int] = defaultdict(int)
    for number, depth in tree.order():
        parent = tree.parents[number]
        column = max(free[depth], 0 if parent is None else places[parent][0])
        free[depth] = column + 1
        places[number] = column, depth
    return places


# -- what the changes did -----------------------------------------------------------------------


def change(tree: Tree, number: int, start: Mapping[str, Value]) -> str:
    """Return what was changed in the parent, with its values; `start` is the start's config."""
    step, parent = tree.steps[number], tree.parents[number]
    before = {**start, **(tree.steps[parent].differences if parent is not None else {})}
    return readable(changes_text(step.changes, before))


def change_effect(tree: Tree, number: int, noise: Noise | None, multiple: float) -> Effect:
    """Return what the change of a trial did, against its parent; see `effects.effect`."""
    step, above = tree.steps[number], tree.parents[number]
    if above is None:
        return Effect(None, None)
    parent = tree.steps[above]
    return effect(step.val_mse, step.seeds, parent.val_mse, parent.seeds, noise, multiple)


def since_start(tree: Tree, number: int) -> float | None:
    """Return how much lower the val_mse is than trial 0's, relative to that."""
    start = tree.steps[0].val_mse if 0 in tree.steps else None
    value = tree.steps[number].val_mse
    return None if value is None or not start else (start - value) / start
