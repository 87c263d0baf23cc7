"""What a search has learned: planted effects are found, chance is not taken for one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import pytest

from informer.config import Choices, Value
from nas_engine.comparisons import Outcome
from nas_engine.evaluator import Noise
from nas_engine.findings import FALSE, Condition, Finding, Relation, constraint, learned
from nas_engine.guidance import understood
from nas_engine.planners.findings import borne_out
from nas_engine.search import SearchSpec
from nas_engine.significance import aligned_rank_test, false_discovery_rates, sign_test
from nas_engine.space import space
from tests.engine.rows import trial_row

SPEC = SearchSpec()
START = SPEC.start()
SPACE = space(SPEC)
LR, DROPOUT, REVIN = "training.optimizer_params.lr", "model.dropout", "model.normalisation"
Changes = dict[str, Value]
Trial = tuple[int | None, Changes, float]
"""Parent, how the configuration differs from the start, val_mse."""


def rows(*trials: Trial) -> list[Outcome]:
    """Return what came of trials, from trial 0 on."""
    return [
        Outcome(number, parent, value, 1, changes)
        for number, (parent, changes, value) in enumerate(trials)
    ]


def simulated(
    seed: int,
    trials: int = 80,
    settings: int = 3,
    effect: Callable[[Mapping[str, Value]], float] = lambda config: 1.0,
    noise: float = 0.02,
) -> list[Outcome]:
    """Return a search in which each trial changes some settings of the best so far.

    Half of them go back to a value of one of the best trials, as planners that learn do.
    """
    rng = random.Random(seed)
    made: list[Trial] = [(None, {}, 0.5 * effect(START) * rng.gauss(1, noise))]
    best = 0
    while len(made) < trials:
        changes = dict(made[best][1])
        for key in rng.sample(sorted(SPACE), rng.randint(1, settings)):
            dimension = SPACE[key]
            if rng.random() < 0.5:
                good = sorted(made, key=lambda trial: trial[2])[: max(1, len(made) // 5)]
                changes[key] = rng.choice(good)[1].get(key, START[key])
            elif isinstance(dimension, Choices):
                changes[key] = rng.choice(dimension.values)
            else:
                changes[key] = dimension.at(rng.random())
        config = {**START, **changes}
        made.append((best, changes, 0.5 * effect(config) * rng.gauss(1, noise)))
        best = min(range(len(made)), key=lambda at: made[at][2])
    return rows(*made)


def by_text(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.condition.text: finding for finding in findings}


def test_planted_effects_are_found_and_no_others() -> None:
    def effect(config: Mapping[str, Value]) -> float:
        better = 0.9 if config[REVIN] == "revin" else 1.0
        return better * (1.15 if float(config[DROPOUT]) > 0.333 else 1.0)

    found = learned(simulated(3, 250, 12, effect, noise=0.01), SPEC, Noise(0.01, 40))
    assert {finding.condition.key for finding in found.findings} == {REVIN, DROPOUT}
    told = by_text(found.findings)
    assert told["normalisation = revin"].helps and not told["dropout above 0.333"].helps
    assert all(finding.rate is not None and finding.rate <= FALSE for finding in found.findings)
    best = told["normalisation = revin"]
    assert 0.05 < best.effect < 0.15, "10 % were planted"


@pytest.mark.parametrize("settings", [2, 10])
def test_chance_is_seldom_taken_for_a_finding(settings: int) -> None:
    # The parents are the luckiest trials so far: beside them everything looks bad.
    found = [learned(simulated(seed, 40, settings), SPEC, None) for seed in range(100)]
    assert sum(one.tested for one in found) > 50, "there was something to be fooled by"
    assert sum(bool(one.findings) for one in found) <= 10  # 5 expected; 11 or more in 1.1 %


def test_trials_that_are_all_worse_than_a_lucky_parent_teach_nothing() -> None:
    keys = sorted(key for key in SPACE if isinstance(SPACE[key], Choices))[:8]
    values = [next(v for v in SPACE[key].values if v != START[key]) for key in keys]  # type: ignore[union-attr]
    changed = [dict([pair]) for pair in zip(keys, values, strict=True)] * 4
    rng = random.Random(1)
    trials = [(0, changes, rng.gauss(0.6, 0.01)) for changes in changed]
    found = learned(rows((None, {}, 0.4), *trials), SPEC, Noise(0.001, 40))
    assert found.compared == 32 and found.tested >= 4
    assert not found.findings


def test_a_finding_tells_its_support_its_ties_and_its_trials() -> None:
    hurt = [(0, {DROPOUT: 0.4 + 0.01 * at}, 0.55 + 0.001 * at) for at in range(7)]
    against = (0, {DROPOUT: 0.5}, 0.45)
    tied = (0, {DROPOUT: 0.49}, 0.5001)
    others: list[Trial] = [(0, {LR: 2e-4 + 1e-5 * at}, 0.47 + 0.002 * (at % 5)) for at in range(30)]
    found = learned(rows((None, {}, 0.5), *hurt, against, tied, *others), SPEC, Noise(0.002, 40))
    finding = by_text(found.findings)["dropout above 0.333"]
    assert finding.sentence == "dropout above 0.333 hurt in 7 of 8 trials (median 10 % worse)"
    assert finding.supporting == (1, 2, 3, 4, 5, 6, 7)
    assert finding.opposing == (8,) and finding.ties == (9,)
    assert finding.sign_p == pytest.approx(2 * 9 / 256)
    assert finding.others == (0, 30) and finding.alone == 9 and not finding.caution
    assert finding.p is not None and finding.p < 1e-3


def test_leaving_a_good_value_speaks_for_it() -> None:
    trials: list[Trial] = [(None, {}, 0.5), (0, {REVIN: "revin"}, 0.4)]
    trials += [(1, {REVIN: value}, 0.5) for value in ("none", "last", "standardise") * 3]
    trials += [(1, {REVIN: "revin", DROPOUT: 0.01 * at}, 0.401) for at in range(10)]
    finding = by_text(learned(rows(*trials), SPEC, None).findings)["normalisation = revin"]
    assert finding.helps and len(finding.supporting) == 10


def test_settings_that_were_changed_together_are_told() -> None:
    both = [(0, {DROPOUT: 0.4, "model.d_ff": 512}, 0.55) for _ in range(8)]
    others: list[Trial] = [(0, {LR: 2e-4 + 1e-5 * at}, 0.49 + 0.001 * at) for at in range(20)]
    found = learned(rows((None, {}, 0.5), *both, *others), SPEC, None)
    finding = by_text(found.findings)["dropout = 0.4"]
    assert finding.alone == 0 and finding.beside == ("model.d_ff", 8)
    assert finding.caution == "d_ff changed with it in 8 of 8 trials"


def test_fewer_than_three_trials_and_settings_without_a_part_say_nothing() -> None:
    trials: list[Trial] = [(0, {DROPOUT: 0.4}, 0.9), (0, {DROPOUT: 0.45}, 0.9)]
    trials += [(0, {"model.patch_len": 32}, 0.9)] * 9  # only with patches, which nobody tried
    trials += [(0, {LR: 2e-4}, 0.5)] * 9
    found = learned(rows((None, {}, 0.5), *trials), SPEC, None)
    keys = {finding.condition.key for finding in (*found.findings, *found.hints)}
    assert not keys & {DROPOUT, "model.patch_len"}


def test_a_search_without_results_has_learned_nothing() -> None:
    for made in ([], [(None, {}, 0.5)]):
        found = learned(rows(*made), SPEC, None)
        assert found.findings == found.hints == () and found.compared == 0


def test_the_planner_is_told_what_was_tested() -> None:
    trials = [trial_row(0, {}, val_mse=0.5)]
    trials += [trial_row(at, {DROPOUT: 0.4 + 0.01 * at}, val_mse=0.6) for at in range(1, 9)]
    trials += [trial_row(at, {LR: 1e-4 + 1e-5 * at}, val_mse=0.49) for at in range(9, 30)]
    line = next(line for line in borne_out(trials, SPEC, None) if "above" in line)
    told = "tested: dropout above 0.333 hurt in 8 of 8 trials (median 20 % worse); so did 0 of 21 "
    assert line == told + "other changes to the same parents"


def finding(relation: Relation, value: Value | None, helps: bool, key: str) -> Finding:
    condition = Condition(key, relation, value)
    return Finding(condition, helps, (), (), (), 0.0, (0, 0), 0, None, 1.0, None, True)


@pytest.mark.parametrize(
    ("key", "relation", "value", "helps", "text"),
    [
        (DROPOUT, "above", 0.333, False, "dropout ≤ 0.333"),
        (DROPOUT, "above", 0.333, True, "dropout ≥ 0.333"),
        (DROPOUT, "at most", 0.167, True, "dropout ≤ 0.167"),
        ("model.d_ff", "above", 128, True, "d_ff ≥ 256"),
        ("model.d_ff", "at most", 128, False, "d_ff ≥ 256"),
        ("model.d_ff", "above", 128, False, "d_ff ≤ 128"),
        (REVIN, "is", "revin", True, "normalisation stays revin"),
        (REVIN, "is", "none", False, "normalisation is not none"),
        (DROPOUT, "raised", None, False, None),
        (DROPOUT, "is", 0.4, False, None),
    ],
)
def test_a_finding_becomes_the_constraint_that_keeps_to_it(
    key: str, relation: Relation, value: Value | None, helps: bool, text: str | None
) -> None:
    found = constraint(finding(relation, value, helps, key), SPACE[key])
    assert (found and found.text) == text
    if found is not None:  # and a person may send it in words
        assert understood(found.text, SPEC, START).constraints == (found,)


# -- tests of counts ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 5, 8, 33])
def test_the_sign_test_counts_all_outcomes(n: int) -> None:
    for k in range(n + 1):
        extreme = max(k, n - k)
        tail = sum(math.comb(n, at) for at in range(extreme, n + 1)) / 2**n
        assert sign_test(k, n) == pytest.approx(min(1.0, 2 * tail))


def test_the_rank_test_agrees_with_all_ways_to_draw_the_kind() -> None:
    rng = np.random.default_rng(4)
    values, groups = rng.normal(size=14), np.repeat([0, 1], 7)
    values[groups == 1] += 5.0  # what groups differ in plays no part
    sums = [
        aligned_rank_test(values, kind, groups)
        for one in combinations(range(7), 3)
        for two in combinations(range(7, 14), 3)
        for kind in [np.isin(np.arange(14), (*one, *two))]
    ]
    beyond = np.array([found[0] for found in sums if found is not None])
    assert beyond.mean() == pytest.approx(0, abs=1e-9)
    assert beyond.std() == pytest.approx(1)  # mean and variance are those of all drawings
    strict = np.mean([found[1] <= 0.05 for found in sums if found is not None])
    assert 0.03 < strict < 0.06


def test_the_rank_test_needs_both_kinds_in_a_group() -> None:
    kind = np.array([True, True, False, False])
    assert aligned_rank_test(np.arange(4.0), kind, np.array([0, 0, 1, 1])) is None


def test_rates_are_never_below_their_p_and_keep_its_order() -> None:
    rng = random.Random(3)
    for many in range(1, 30):
        chances = [rng.choice([0.0, 1.0, rng.random() ** 3]) for _ in range(many)]
        rates = false_discovery_rates(chances)
        order = sorted(range(many), key=chances.__getitem__)
        assert all(rate >= chance for rate, chance in zip(rates, chances, strict=True))
        assert [rates[at] for at in order] == sorted(rates)
        assert max(rates) == pytest.approx(max(chances))


def test_a_finding_counts_every_trial_once() -> None:
    for seed in range(30):
        results = simulated(seed, 2 + 3 * (seed % 10), 1 + seed % 12)
        found = learned(results, SPEC, Noise(0.005, 4))
        for finding in (*found.findings, *found.hints):
            told = [*finding.supporting, *finding.opposing, *finding.ties]
            assert len(set(told)) == len(told) and set(told) <= {
                trial.number for trial in results[1:]
            }
            assert finding.alone <= len(told)
