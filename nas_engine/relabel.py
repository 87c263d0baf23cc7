"""What if the rules had been others: the recorded verdicts given anew, without any training."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nas_engine.evaluator import OPEN, AnotherSeed, Figures, Verdict, decide
from nas_engine.search import Rules
from nas_engine.store.hindsight import Judged

KNOWN = frozenset({"pruned", "no result", "first", "clear improvement", "clear regression"}) | OPEN
"""Rules of the evaluator; a verdict by another one, a person's own, can only be kept."""


@dataclass(frozen=True)
class Relabelled:
    """A trial as other rules would have judged it."""

    number: int
    was: Judged
    accepted: bool
    rule: str
    figures: Figures  # that decided: the incumbent is the one that would have been
    lacks_seed: bool  # the rules ask for another seed that was never trained
    set_aside: bool  # an opinion was given, but on another question
    incumbent: int | None  # after this verdict

    @property
    def changed(self) -> bool:
        """Whether the verdict is another one."""
        return self.accepted != self.was.accepted


@dataclass
class _Best:
    """The accepted trials with their means and seeds, and the best of them but one."""

    values: dict[int, tuple[float, int]]
    heap: list[tuple[float, int]]

    def put(self, number: int, value: float, seeds: int) -> None:
        self.values[number] = value, seeds
        heapq.heappush(self.heap, (value, number))

    def first(self, but: int | None = None) -> int | None:
        """Return the number of the best; the lower one of equals."""
        aside: list[tuple[float, int]] = []
        while self.heap:
            value, number = self.heap[0]
            if number != but and self.values.get(number, (None, 0))[0] == value:
                break
            heapq.heappop(self.heap)
            if number == but:
                aside.append((value, number))
        found = self.heap[0][1] if self.heap else None
        for entry in aside:
            heapq.heappush(self.heap, entry)
        return found


def relabelled(history: Sequence[Judged], rules: Rules) -> list[Relabelled]:
    """Return what `rules` make of recorded figures, in the order of the verdicts.

    Each trial is compared with the incumbent that would have been, with the mean and the seeds that
    were recorded of it. As long as the same trials are accepted, that is the recorded incumbent, so
    the rules of the search give the recorded verdicts. Where they ask for another seed, what is
    there decides. An opinion stands where the rules still leave the same comparison open. The noise
    is that of the moment, and what was not proposed cannot be judged.
    """
    last = {judged.number: at for at, judged in enumerate(history)}
    best, apart, found = _Best({}, []), set[int](), list[Relabelled]()
    for at, judged in enumerate(history):
        rival, figures = judged.figures.incumbent, judged.figures
        if rival is not None and last.get(rival, -1) >= at and rival not in best.values:
            # It was judged anew later on: of its first verdict only this trace is left.
            best.put(rival, figures.incumbent_value or 0.0, figures.incumbent_seeds)
        if apart and apart != {judged.number}:
            figures = _compared(judged, best)
        accepted, rule, lacks_seed, set_aside = _judge(judged, figures, rules)
        best.values.pop(judged.number, None)
        if accepted and figures.value is not None:
            best.put(judged.number, figures.value, figures.seeds)
        apart.discard(judged.number)
        if accepted != judged.accepted:
            apart.add(judged.number)
        found.append(
            Relabelled(
                *(judged.number, judged, accepted, rule, figures, lacks_seed, set_aside),
                incumbent=best.first(),
            )
        )
    return found


def _compared(judged: Judged, best: _Best) -> Figures:
    """Return the figures of a trial beside the incumbent that would have been."""
    rival = best.first(but=judged.number)
    if rival == judged.figures.incumbent:
        return judged.figures
    value, seeds = (None, 0) if rival is None else best.values[rival]
    return replace(judged.figures, incumbent=rival, incumbent_value=value, incumbent_seeds=seeds)


def _judge(judged: Judged, figures: Figures, rules: Rules) -> tuple[bool, str, bool, bool]:
    """Return verdict and rule, whether a seed is lacking, and whether an opinion is set aside."""
    opinion = judged.rule == "opinion"
    if judged.rule not in KNOWN and not opinion:
        return judged.accepted, judged.rule, False, False
    decision = decide(figures, rules)
    lacks_seed = isinstance(decision, AnotherSeed)
    if isinstance(decision, AnotherSeed):
        decision = decide(figures, rules.model_copy(update={"extra_seeds": 0}))
    assert isinstance(decision, Verdict), "no more seeds are asked for"
    if opinion and decision.rule in OPEN and figures.rival == judged.figures.rival:
        return judged.accepted, judged.rule, lacks_seed, False
    return decision.accepted, decision.rule, lacks_seed, opinion
