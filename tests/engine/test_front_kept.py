"""Fronts and bounds in the database: verdicts, incumbents, noise, races, what is kept."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import pytest

from informer.records import Success
from informer.rundir import RunDir
from nas_engine import front as fronts
from nas_engine.evaluator import AnotherSeed, Compared, Figures, Noise, Rival, Verdict, decide
from nas_engine.exchange.rows import RowError, checked_row
from nas_engine.front import Point, dominates
from nas_engine.relabel import KNOWN, relabelled
from nas_engine.search import Rules
from nas_engine.store import judging, trainings
from nas_engine.store.copying import row_of
from nas_engine.store.hindsight import Judged, efforts, judged
from nas_engine.store.listing import best_so_far
from nas_engine.store.reader import reading
from nas_engine.trainers.base import Ended, Watch
from nas_engine.workspace import Workspace
from tests.engine.conftest import Bench
from tests.fakes.trainer import FakeTrainer
from tests.pages.seed import Seed

TWO = ("val_mse", "parameters")
THREE = ("val_mse", "parameters", "latency_ms")


def trained(
    seed: Seed, number: int, *values: float, parameters: int = 1000, latency: tuple[float, ...] = ()
) -> None:
    """Train a trial without judging it."""
    seed.propose(number, "tpe" if number else "default", 0 if number else None)
    for repeat, value in enumerate(values):
        result = Success(
            val_mse=value,
            val_mae=value,
            test_mse=value,
            test_mae=value,
            best_epoch=1,
            epochs=1,
            parameters=parameters,
            seconds=10.0,
            device="cpu",
            latency_ms=latency[repeat] if latency else None,
        )
        run = trainings.begin_run(seed.writer, seed.id, number, 2021 + repeat)
        trainings.complete(seed.writer, seed.id, number, run, result)


def incumbent_of(seed: Seed) -> int | None:
    search = seed.writer.read.search(seed.id)
    assert search is not None
    return search.incumbent


# -- verdicts and incumbents ----------------------------------------------------------------------


def test_the_incumbent_of_a_bounded_search_keeps_the_bounds(workspace: Workspace) -> None:
    seed = Seed(workspace, at_most={"parameters": 1000})
    expected = [
        (0.5, 4000, "first", 0),
        (0.9, 2000, "nearer to the bounds", 1),
        (0.3, 3000, "breaks the bounds", 1),
        (0.8, 900, "first within the bounds", 3),
        (0.2, 1001, "breaks the bounds", 3),
        (0.6, 1000, "clear improvement", 5),
        (0.7, 500, "clear regression", 5),
    ]
    for number, (value, parameters, rule, best) in enumerate(expected):
        trained(seed, number, value, parameters=parameters)
        seed.judge(number)
        trial = seed.writer.read.trial(seed.id, number)
        assert trial is not None and trial.rule == rule
        assert incumbent_of(seed) == best
    trials = seed.writer.read.trials(seed.id)
    assert fronts.incumbent(trials, seed.spec.at_most) == 5
    assert [trial.number for trial in fronts.front(trials, seed.spec)] == [5]
    assert best_so_far(seed.writer.read, seed.id) == (0.8, 0.6, 0.6)
    gained = {row.number: row.improvement for row in efforts(seed.writer.read, seed.id)}
    assert (gained[1], gained[3], gained[5]) == (0, pytest.approx(1 / 9), pytest.approx(0.25))
    seed.close()


def test_a_verdict_keeps_what_it_was_compared_with(workspace: Workspace) -> None:
    seed = Seed(workspace, objectives=THREE, at_most={"parameters": 5000})
    trained(seed, 0, 0.5, 0.51, parameters=2000, latency=(4.0, 4.4))
    seed.judge(0)
    trained(seed, 1, 0.8, parameters=1000, latency=(3.0,))
    seed.judge(1)
    trained(seed, 2, 0.3, parameters=900, latency=(2.0,))
    used = judging.figures(seed.writer.read, seed.id, 2)
    seed.judge(2)
    spread = statistics.stdev((4.0, 4.4)) / 4.2
    latency = Noise(pytest.approx(spread), 1)  # type: ignore[arg-type]
    assert used.compared == Compared(
        THREE,  # type: ignore[arg-type]
        {"val_mse": 0.3, "parameters": 900, "latency_ms": 2.0},
        {"parameters": 5000},
        (Rival(0, (0.505, 2000, 4.2), 2), Rival(1, (0.8, 1000, 3.0), 1)),
        0.0,
        {"latency_ms": latency},
    )
    assert judging.judged_by(seed.writer.read, seed.id)[2] == used
    assert [row.figures for row in judged(seed.writer.read, seed.id)][2] == used
    trial = seed.writer.read.trial(seed.id, 2)
    assert trial is not None and "it replaces trials 0 and 1" in (trial.verdict or "")
    seed.close()


def test_a_search_for_the_error_alone_keeps_nothing_more(workspace: Workspace) -> None:
    seed = Seed(workspace)
    trained(seed, 0, 0.5)
    seed.judge(0)
    assert judging.figures(seed.writer.read, seed.id, 0).compared is None
    assert seed.writer.read.fetch("SELECT compared FROM verdicts") == [("",)]
    seed.close()


def test_each_figure_that_is_measured_has_its_own_noise(workspace: Workspace) -> None:
    seed = Seed(workspace, objectives=THREE)
    trained(seed, 0, 0.5, 0.51, 0.49, latency=(4.0, 4.2, 4.1))
    trained(seed, 1, 0.4, latency=(9.0,))  # one seed tells nothing of a spread
    found = judging.noises(seed.writer.read, seed.id)
    assert found.keys() == {"val_mse", "latency_ms", "seconds"}  # no memory was measured
    assert found["val_mse"] == judging.noise(seed.writer.read, seed.id)
    expected = statistics.stdev((4.0, 4.2, 4.1)) / 4.1
    assert found["latency_ms"] == Noise(pytest.approx(expected), 2)  # type: ignore[arg-type]
    assert found["seconds"] == Noise(0.0, 2)
    assert judging.noises(seed.writer.read, seed.id, before=1.0) == {}
    seed.close()


@pytest.mark.parametrize(
    ("spec", "second"),
    [
        ({"objectives": TWO}, (0.8, 500)),  # both come to the front, and only one replaces nothing
        ({"at_most": {"parameters": 1000}}, (0.8, 900)),
    ],
)
def test_of_two_trials_that_end_together_the_second_is_judged_beside_the_first(
    workspace: Workspace, spec: dict[str, Any], second: tuple[float, int]
) -> None:
    seed = Seed(workspace, **spec)
    trained(seed, 0, 0.5, parameters=2000)
    seed.judge(0)
    trained(seed, 1, 0.7, parameters=800)
    trained(seed, 2, second[0], parameters=second[1])
    first, late = (judging.figures(seed.writer.read, seed.id, number) for number in (1, 2))
    rules = Rules(extra_seeds=0)
    for number, figures, kept in ((1, first, True), (2, late, False)):
        verdict = decide(figures, rules)
        assert isinstance(verdict, Verdict) and verdict.accepted
        assert judging.save_verdict(seed.writer, seed.id, number, verdict) is kept
    assert judging.judged_by(seed.writer.read, seed.id).keys() == {0, 1}
    seed.judge(2)
    anew = judging.judged_by(seed.writer.read, seed.id)[2]
    assert anew != late and anew.rival != late.rival
    seed.close()


class Sized(FakeTrainer):
    """A model twice as wide has twice the parameters."""

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        result = super().train(run, watch)
        assert isinstance(result, Success)
        parameters = 1000 * run.read_config().model.d_model
        result = result.model_copy(update={"parameters": parameters})
        run.write_result(result)
        return result


def test_an_engine_with_two_slots_grows_a_front_that_can_be_judged_anew(bench: Bench) -> None:
    bench.trainer = Sized()
    state = bench.search(
        planner="random",
        max_trials=8,
        slots=2,
        objectives=TWO,
        at_most={"parameters": 100_000},
        rules={"seeds": 2, "extra_seeds": 1},
        settings={"training.epochs": 1},
    )
    spec, trials = state.search.spec, state.trials
    members = fronts.front(trials, spec)
    assert state.search.incumbent == fronts.incumbent(trials, spec.at_most) == members[0].number
    assert {trial.rule for trial in trials} <= KNOWN
    assert {trial.accepted for trial in trials} == {True, False}
    errors = [trial.val_mse for trial in members]
    sizes = [trial.parameters for trial in members]
    assert errors == sorted(errors) and sizes == sorted(sizes, reverse=True)  # type: ignore[type-var]
    shares = [each.share for each in fronts.growth(trials, spec)]
    assert shares == sorted(shares)
    with reading(bench.workspace) as reader:
        assert reader is not None
        history = judged(reader, state.search.id)
    again = relabelled(history, spec.rules)
    assert [(row.accepted, row.rule) for row in again] == [(r.accepted, r.rule) for r in history]
    assert again[-1].incumbent == state.search.incumbent


# -- what if --------------------------------------------------------------------------------------


def played(seed: int, rules: Rules, most: float | None, several: bool = True) -> list[Judged]:
    """Return the verdicts of a made-up search of error and parameters, one after another."""
    draw = random.Random(seed)
    names = TWO if several else TWO[:1]
    accepted: dict[int, tuple[Figures, float, Point]] = {}
    history = []
    for number in range(60):
        size = float(draw.randint(20, 60))
        values = [draw.lognormvariate(0, 0.2) + 10 / size for _ in range(3)]
        ranks = {n: (excess, of.value, n) for n, (of, excess, _) in accepted.items()}
        best = min(ranks, key=ranks.__getitem__, default=None)
        within = {n: point for n, (_, excess, point) in accepted.items() if excess == 0}
        rivals = sorted(
            (point, n)
            for n, point in within.items()
            if not any(dominates(other, point) for other in within.values())
            and not any(other == point and m < n for m, other in within.items())
        )
        at_most = {} if most is None else {"parameters": most}
        for tried in range(1, 4):
            value = statistics.fmean(values[:tried])
            compared = Compared(
                names,  # type: ignore[arg-type]
                {"val_mse": value, "parameters": size},
                at_most,  # type: ignore[arg-type]
                tuple(Rival(n, p, accepted[n][0].seeds) for p, n in rivals) if several else (),
                None if best is None else accepted[best][1],
                {},
            )
            figures = Figures(
                value=value,
                seeds=tried,
                tried=tried,
                incumbent=best,
                incumbent_value=None if best is None else accepted[best][0].value,
                incumbent_seeds=0 if best is None else accepted[best][0].seeds,
                noise=Noise(0.02, 6),
                compared=compared,
            )
            decision = decide(figures, rules)
            if not isinstance(decision, AnotherSeed):
                break
        assert isinstance(decision, Verdict)
        if decision.accepted:
            excess = 0.0 if most is None else max(0.0, size / most - 1)
            accepted[number] = figures, excess, (value, size)
        history.append(Judged(number, figures, decision.accepted, decision.rule))
    return history


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("most", [None, 30.0])
@pytest.mark.parametrize("seed", range(4))
def test_other_rules_give_the_front_that_would_have_been(
    seed: int, most: float | None, several: bool
) -> None:
    single = Rules(extra_seeds=0)
    history = played(seed, single, most, several)
    same = relabelled(history, single)
    assert [(row.accepted, row.rule, row.figures) for row in same] == [
        (row.accepted, row.rule, row.figures) for row in history
    ]
    for rules in (
        Rules(extra_seeds=0, accept_above=0.0, reject_below=0.0, noise_multiple=0.0),
        Rules(extra_seeds=0, accept_above=0.2, reject_below=-0.2, noise_multiple=4.0),
    ):
        found = relabelled(history, rules)
        expected = played(seed, rules, most, several)
        assert [(row.accepted, row.rule) for row in found] == [
            (row.accepted, row.rule) for row in expected
        ]
        assert [row.figures for row in found] == [row.figures for row in expected]


# -- from outside ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told | {"rivals": [{"number": 0, "values": [0.5], "seeds": 1}]},
        lambda told: told | {"objectives": ["val_mse", "beauty"]},
        lambda told: told | {"at_most": {"parameters": -1}},
        lambda told: told | {"values": {"val_mse": math.inf}},
        lambda told: [told],
    ],
)
def test_a_file_with_a_verdict_that_compares_with_nonsense_is_refused(
    change: Callable[[Any], object],
) -> None:
    told = {"objectives": ["val_mse", "parameters"], "values": {"val_mse": 0.5}, "at_most": {}}
    row = row_of("verdicts", id=1, search_id=1, number=0, accepted=1, rule="first", created_at=0.0)
    row["sentence"] = "Accepted."
    assert checked_row("verdicts", row | {"compared": json.dumps(told)})
    with pytest.raises(RowError, match="holds a compared that cannot be used"):
        checked_row("verdicts", row | {"compared": json.dumps(change(told))})
