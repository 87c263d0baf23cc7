"""What if the rules had been others: the history given anew, by the evaluator's own rules."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from nas_engine.commands import OnTrial
from nas_engine.evaluator import (
    OPEN,
    AnotherSeed,
    Figures,
    Noise,
    Opinion,
    Verdict,
    advised,
    decide,
    student_t,
)
from nas_engine.noise import _student_coverage
from nas_engine.relabel import relabelled
from nas_engine.search import Rules
from nas_engine.store.hindsight import Judged, judged
from nas_engine.store.reader import reading
from nas_engine.workspace import Workspace
from tests.engine.conftest import Bench
from tests.engine.recorded_search import recorded_spec
from tests.fakes.recorded import RecordedTrainer
from tests.fakes.trainer import FakeTrainer

RULES = Rules()
NOISE = Noise(0.004, 6)
SINGLE = Rules(extra_seeds=0)


def played(seed: int, rules: Rules, trials: int = 60, opinions: bool = False) -> list[Judged]:
    """Return the verdicts of a made-up search, given one after another by the evaluator."""
    draw, asked = random.Random(seed), random.Random(seed + 1)
    accepted: dict[int, Figures] = {}
    history = []
    for number in range(trials):
        level = 0.5 * math.exp(-0.01 * number) * draw.lognormvariate(0, 0.03)
        values = [level * draw.lognormvariate(0, 0.004) for _ in range(3)]
        lost, noise = draw.random() < 0.1, Noise(0.003 + 0.002 * draw.random(), 2 + number)
        rival = min(accepted, key=lambda n: (accepted[n].value, n), default=None)
        best = accepted.get(rival) if rival is not None else None
        for tried in range(1, 4):
            figures = Figures(
                value=None if lost else sum(values[:tried]) / tried,
                seeds=0 if lost else tried,
                tried=tried,
                failure="It failed." if lost else "",
                incumbent=rival,
                incumbent_value=best.value if best else None,
                incumbent_seeds=best.seeds if best else 0,
                noise=noise,
            )
            decision = decide(figures, rules)
            if not isinstance(decision, AnotherSeed):
                break
        assert isinstance(decision, Verdict)
        if opinions and decision.rule in OPEN and asked.random() < 0.7:
            decision = advised(decision, Opinion(asked.random() < 0.5, "As it seems."))
        if decision.accepted:
            accepted[number] = figures
        history.append(Judged(number, figures, decision.accepted, decision.rule))
    return history


def first(value: float, number: int = 0, seeds: int = 3) -> Judged:
    return Judged(number, Figures(value, seeds, seeds, noise=NOISE), True, "first")


def against(rival: Judged, number: int, value: float, **facts: object) -> Judged:
    """Return a trial of one seed as the default rules judge it."""
    figures = Figures(
        value=value,
        seeds=1,
        tried=3,
        incumbent=rival.number,
        incumbent_value=rival.figures.value,
        incumbent_seeds=rival.figures.seeds,
        noise=NOISE,
    )
    verdict = decide(figures, RULES)
    assert isinstance(verdict, Verdict)
    row = Judged(number, figures, verdict.accepted, verdict.rule)
    return replace(row, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("opinions", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_the_rules_of_the_search_give_the_recorded_verdicts(seed: int, opinions: bool) -> None:
    history = played(seed, RULES, opinions=opinions)
    found = relabelled(history, RULES)
    assert [(row.number, row.accepted, row.rule) for row in found] == [
        (row.number, row.accepted, row.rule) for row in history
    ]
    assert [row.figures for row in found] == [row.figures for row in history]
    assert not any(row.changed or row.set_aside or row.lacks_seed for row in found)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "rules",
    [
        Rules(extra_seeds=0, accept_above=0.0, reject_below=0.0, noise_multiple=0.0),
        Rules(extra_seeds=0, accept_above=0.1, reject_below=-0.1),
        Rules(extra_seeds=0, noise_multiple=4.0),
    ],
)
def test_other_rules_give_what_a_search_under_them_would_have_given(
    seed: int, rules: Rules
) -> None:
    found = relabelled(played(seed, SINGLE), rules)
    assert [(row.accepted, row.rule, row.figures) for row in found] == [
        (row.accepted, row.rule, row.figures) for row in played(seed, rules)
    ]


def test_each_trial_meets_the_incumbent_that_would_have_been() -> None:
    start = first(0.5)
    near = against(start, 1, 0.492)  # 1.6 % better: a small improvement, outside the noise
    assert near.accepted
    worse = against(near, 2, 0.485)
    strict = Rules(reject_below=0.0, accept_above=0.02, noise_multiple=4.0)
    found = relabelled([start, near, worse], strict)
    assert [row.accepted for row in found] == [True, False, found[2].accepted]
    assert found[2].figures.incumbent == 0 and found[2].figures.incumbent_value == 0.5
    assert found[2].figures.incumbent_seeds == 3
    assert [row.incumbent for row in found[:2]] == [0, 0]
    assert found[1].changed and not found[0].changed


def test_a_seed_that_was_never_trained_is_flagged_and_what_is_there_decides() -> None:
    start = first(0.5)
    judged_by = against(start, 1, 0.485).figures
    clear = against(start, 1, 0.485, figures=replace(judged_by, tried=1))
    assert not relabelled([start, clear], RULES)[1].lacks_seed
    wide = relabelled([start, clear], Rules(noise_multiple=4.0))[1]
    assert wide.lacks_seed and not wide.accepted and wide.rule == "not distinguishable"


def test_an_opinion_stands_on_the_same_question_and_is_set_aside_on_another() -> None:
    start = first(0.5)
    open_ = against(start, 1, 0.4995, accepted=True, rule="opinion")
    same = relabelled([start, open_], Rules(accept_above=0.03))[1]
    assert same.accepted and same.rule == "opinion" and not same.set_aside
    clear = relabelled([start, open_], Rules(accept_above=0.0, noise_multiple=0.0))[1]
    assert clear.accepted and clear.rule == "clear improvement" and clear.set_aside
    middle = against(start, 1, 0.492)
    late = against(middle, 2, 0.4915, accepted=True, rule="opinion")
    found = relabelled([start, middle, late], Rules(noise_multiple=3.5))
    assert [row.accepted for row in found[:2]] == [True, False]
    assert found[2].set_aside and found[2].figures.incumbent == 0


def test_a_verdict_by_rules_of_ones_own_stays() -> None:
    start = first(0.5)
    own = against(start, 1, 0.6, accepted=True, rule="my own rule")
    found = relabelled([start, own], Rules(reject_below=0.0))[1]
    assert (found.accepted, found.rule, found.changed) == (True, "my own rule", False)


def test_a_trial_that_was_judged_anew_was_the_incumbent_before() -> None:
    # Trial 1 was accepted, was the incumbent for trial 2, and lost that with another seed.
    start = first(0.5)
    one = against(start, 1, 0.45)
    two = against(one, 2, 0.46)
    anew = against(start, 1, 0.51)
    history = [start, two, anew]
    assert not two.accepted and not anew.accepted
    assert not any(row.changed for row in relabelled(history, RULES))
    found = relabelled(history, Rules(reject_below=-0.04, noise_multiple=0.0))
    assert [row.figures.incumbent for row in found] == [None, 1, 0]
    assert [row.incumbent for row in found] == [0, 1, 0]


def test_trials_without_a_result_stay_rejected_under_any_rules() -> None:
    lost = Judged(1, Figures(failure="Fell behind.", pruned=True), False, "pruned")
    found = relabelled([first(0.5), lost], Rules(accept_above=0, noise_multiple=0))
    assert [(row.accepted, row.rule) for row in found] == [(True, "first"), (False, "pruned")]


def test_without_trials_there_is_nothing_to_give_anew() -> None:
    assert relabelled([], RULES) == []


def history_of(workspace: Workspace) -> list[Judged]:
    with reading(workspace) as reader:
        assert reader is not None
        return judged(reader, 1)


def test_a_recorded_search_is_given_back_as_it_was(workspace: Workspace) -> None:
    bench = Bench(workspace, RecordedTrainer())
    state = bench.search(**recorded_spec(planner="random", max_trials=8).model_dump())
    history = history_of(workspace)
    assert {row.accepted for row in history[1:]} == {True, False}
    found = relabelled(history, state.search.spec.rules)
    assert [(row.number, row.accepted, row.rule) for row in found] == [
        (trial.number, trial.accepted, trial.rule) for trial in state.trials
    ]
    assert found[-1].incumbent == state.search.incumbent
    assert not any(row.changed for row in found)
    assert any(row.changed for row in relabelled(history, Rules(accept_above=1, noise_multiple=4)))


def test_a_search_with_a_trial_that_was_judged_anew_is_given_back_as_it_was(
    bench: Bench, workspace: Workspace
) -> None:
    bench.search(planner="random", max_trials=6)
    assert isinstance(bench.trainer, FakeTrainer)
    answer = bench.give(OnTrial(kind="another_seed", number=2), 1)
    assert answer.state == "applied", answer.answer
    history = history_of(workspace)
    assert [row.number for row in history][-1] == 2
    found = relabelled(history, RULES)
    assert [(row.accepted, row.rule) for row in found] == [
        (row.accepted, row.rule) for row in history
    ]


def test_students_t_of_many_degrees_covers_what_it_should() -> None:
    for degrees in (200, 201, 1000):
        for multiple in (0.5, 1.0, 2.0, 4.0):
            covered = _student_coverage(student_t(multiple, degrees), degrees)
            assert covered == pytest.approx(math.erf(multiple / math.sqrt(2)), abs=1e-9)
    assert student_t(0.0, 500) == 0.0
    assert student_t(2.0, 199) > student_t(2.0, 200) > student_t(2.0, 201)
