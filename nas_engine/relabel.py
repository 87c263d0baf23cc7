"""What if the rules had been others: the recorded verdicts given anew, without any training."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from nas_engine.evaluator import OPEN, AnotherSeed, Figures, Rival, Verdict, decide
from nas_engine.front import dominates, rank
from nas_engine.search import Rules
from nas_engine.store.hindsight import Judged

KNOWN = OPEN | {
    *("pruned", "no result", "first", "clear improvement", "clear regression"),
    *("not measured", "breaks the bounds", "nearer to the bounds", "first within the bounds"),
    *("dominated", "extends the front"),
}
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
    """The accepted trials by number, the best of them but one, and the front but one.

    A front is kept as trials come, and found anew only where one of it is judged anew.
    """

    trials: dict[int, _Accepted] = field(default_factory=dict)
    heap: list[tuple[tuple[float, float], int]] = field(default_factory=list)
    front: list[Rival] | None = field(default_factory=list)  # None: not known

    def put(self, number: int, trial: _Accepted) -> None:
        """Take in an accepted trial."""
        self.trials[number] = trial
        heapq.heappush(self.heap, (trial.rank, number))
        if self.front is not None and trial.rival is not None:
            self.front = _with(self.front, trial.rival)

    def take(self, number: int) -> None:
        """Take out a trial that is judged anew, if it is there."""
        trial = self.trials.pop(number, None)
        if trial is not None and trial.rival is not None:
            self.front = None

    def first(self, but: int | None = None) -> int | None:
        """Return the number of the best; the lower one of equals."""
        aside: list[tuple[tuple[float, float], int]] = []
        while self.heap:
            place, number = self.heap[0]
            known = self.trials.get(number)
            if number != but and known is not None and known.rank == place:
                break
            heapq.heappop(self.heap)
            if number == but:
                aside.append((place, number))
        found = self.heap[0][1] if self.heap else None
        for entry in aside:
            heapq.heappush(self.heap, entry)
        return found

    def rivals(self, but: int) -> tuple[Rival, ...]:
        """Return the front by val_mse, as it is without one trial."""
        if self.front is None or but in self.trials:
            members: list[Rival] = []
            for number, trial in self.trials.items():
                if number != but and trial.rival is not None:
                    members = _with(members, trial.rival)
            if but in self.trials:
                return tuple(members)
            self.front = members
        return tuple(self.front)


@dataclass(frozen=True)
class _Accepted:
    """What is kept of an accepted trial."""

    value: float
    seeds: int
    excess: float | None  # 0 where nothing is bounded
    rival: Rival | None  # None: it is on no front, as one objective has none

    @property
    def rank(self) -> tuple[float, float]:
        return rank(self.value, self.excess)


def _accepted(number: int, figures: Figures) -> _Accepted:
    assert figures.value is not None, "what is accepted has a result"
    compared, rival = figures.compared, None
    if compared is None:
        return _Accepted(figures.value, figures.seeds, 0.0, None)
    if compared.excess == 0 and (point := compared.point) and len(point) > 1:
        rival = Rival(number, point, figures.seeds)
    return _Accepted(figures.value, figures.seeds, compared.excess, rival)


def _with(front: list[Rival], new: Rival) -> list[Rival]:
    """Return a front with another trial, by val_mse; of equal ones the lower number stays."""
    if any(
        dominates(member.values, new.values)
        or (member.values == new.values and member.number < new.number)
        for member in front
    ):
        return front
    left = [
        member
        for member in front
        if member.values != new.values and not dominates(new.values, member.values)
    ]
    return sorted([*left, new], key=lambda member: (member.values, member.number))


def relabelled(history: Sequence[Judged], rules: Rules) -> list[Relabelled]:
    """Return what `rules` make of recorded figures, in the order of the verdicts.

    Each trial is compared with the incumbent, or the front, that would have been, with the means
    and the seeds that were recorded of it. As long as the same trials are accepted, that is what
    was recorded, so the rules of the search give the recorded verdicts. Where they ask for another
    seed, what is there decides. An opinion stands where the rules still leave the same comparison
    open. The noise is that of the moment, and what was not proposed cannot be judged.
    """
    last = {judged.number: at for at, judged in enumerate(history)}
    best, apart, found = _Best(), set[int](), list[Relabelled]()
    for at, judged in enumerate(history):
        figures = judged.figures
        for number, trial in _traces(figures):
            if last.get(number, -1) >= at and number not in best.trials:
                # It was judged anew later on: of its first verdict only this trace is left.
                best.put(number, trial)
        if apart and apart != {judged.number}:
            figures = _compared(judged, best)
        accepted, rule, lacks_seed, set_aside = _judge(judged, figures, rules)
        best.take(judged.number)
        if accepted and figures.value is not None:
            best.put(judged.number, _accepted(judged.number, figures))
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


def _traces(figures: Figures) -> Iterator[tuple[int, _Accepted]]:
    """Return what figures tell of the trials that were accepted before."""
    compared, incumbent = figures.compared, figures.incumbent
    rivals = compared.rivals if compared else ()
    for rival in rivals:
        yield rival.number, _Accepted(rival.values[0], rival.seeds, 0.0, rival)
    if incumbent is not None and incumbent not in {rival.number for rival in rivals}:
        excess = compared.incumbent_excess if compared else 0.0
        value = figures.incumbent_value or 0.0
        yield incumbent, _Accepted(value, figures.incumbent_seeds, excess, None)


def _compared(judged: Judged, best: _Best) -> Figures:
    """Return the figures of a trial beside the incumbent, and the front, that would have been."""
    figures, number = judged.figures, best.first(but=judged.number)
    if number != figures.incumbent:
        trial = None if number is None else best.trials[number]
        figures = replace(
            figures,
            incumbent=number,
            incumbent_value=trial.value if trial else None,
            incumbent_seeds=trial.seeds if trial else 0,
            compared=figures.compared
            and replace(figures.compared, incumbent_excess=trial.excess if trial else None),
        )
    if figures.compared is None or len(figures.compared.objectives) == 1:
        return figures
    rivals = best.rivals(but=judged.number)
    return replace(figures, compared=replace(figures.compared, rivals=rivals))


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
