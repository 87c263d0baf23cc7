"""What decides the figures of a comparison of searches."""

from __future__ import annotations

import pytest
from optuna.samplers import RandomSampler

from benchmarks.comparing import (
    Need,
    best_so_far,
    handed_over,
    holm,
    mean_curve,
    needed,
    needs_p,
    trials_to_equal,
    wilcoxon_p,
)
from benchmarks.models_asked import oracle
from benchmarks.replaying import Search, Tried, searched_by_optuna
from benchmarks.search_efficiency import _quartiles
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.search import Pruning
from tests.engine.recorded_search import recorded_spec
from tests.recorded.rows import Key, Settings
from tests.recorded.table import TESTED

A: Key = ("a",)
B: Key = ("b",)
C: Key = ("c",)


def tried(key: Key, val_mse: float | None, state: str = "completed") -> Tried:
    return Tried(key, "tpe", state, val_mse, 2.0)


def test_what_was_trained_to_its_end_is_reached_and_all_before_it_is_paid() -> None:
    trials = [tried(A, 0.5), tried(B, None, "pruned"), tried(C, None, "failed"), tried(B, 0.4)]
    assert needed(trials, {B}, 10) == Need(4, 8.0, reached=True)
    assert needed(trials, {B}, 3) == Need(4, 6.0, reached=False)
    assert needed(trials, {C}, 10) == Need(11, 8.0, reached=False)


def test_what_is_best_is_judged_by_its_mean_and_what_is_handed_over_by_what_was_seen() -> None:
    means: dict[Key, float] = {A: 0.48, B: 0.44, C: 0.4}
    trials = [tried(A, 0.5), tried(C, None, "failed"), tried(B, 0.3), tried(C, 0.35)]
    assert best_so_far(trials, means, 6) == pytest.approx([0.2, 0.2, 0.1, 0.0, 0.0, 0.0])
    assert best_so_far(trials, means, 1) == pytest.approx([0.2])
    assert handed_over(trials, means) == pytest.approx(0.1)


def test_trials_to_equal_are_counted_from_one_and_never_more_than_there_were() -> None:
    curve = mean_curve([[3.0, 2.0, 1.0], [5.0, 2.0, 1.0]])
    assert curve == [4.0, 2.0, 1.0]
    assert [trials_to_equal(curve, level) for level in (4.0, 2.0, 1.5, 0.5)] == [1, 2, 3, 3]


def test_p_values_are_corrected_as_by_holm() -> None:
    # 0.01 x 4, 0.02 x 3, then 0.03 x 2, and 0.04 x 1 which may not lie below it.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairs_that_are_all_equal_differ_in_nothing() -> None:
    assert wilcoxon_p([3, 4, 5], [3, 4, 5]) == 1.0
    # Of 2^8 ways to give signs to eight differences two are as one-sided as this.
    assert wilcoxon_p(range(8), [10 + 2 * n for n in range(8)]) == pytest.approx(2 / 2**8)


def test_a_cheap_search_that_never_got_there_needed_more_than_one_that_did() -> None:
    reached = [Need(20 + seed, 200.0 + seed, reached=True) for seed in range(8)]
    never = [Need(41, 50.0 + seed, reached=False) for seed in range(8)]
    assert needs_p(never, reached, "seconds") == pytest.approx(2 / 2**8)
    assert needs_p(never, reached, "seconds") == needs_p(never, reached, "trials")
    assert needs_p(never, never, "seconds") == 1.0


def test_quartiles_that_hang_on_searches_that_never_got_there_are_told_as_more() -> None:
    needs = [Need(10, 90.0, True), Need(20, 80.0, True), Need(30, 70.0, True), Need(41, 9.0, False)]
    assert _quartiles(needs, "trials") == ("25", "17.5 to >32.5")
    assert _quartiles(needs[2:], "trials") == (">35", ">32.5 to >37.5")
    assert _quartiles(needs[3:] * 3, "seconds") == (">9", ">9 to >9")
    assert _quartiles(needs[:3], "seconds") == ("80", "75 to 85")


def test_the_oracle_knows_the_best_tenth_but_not_its_order() -> None:
    ranked: list[Settings] = [{"model.d_model": n} for n in range(40)]
    order = [settings["model.d_model"] for settings in oracle(ranked, seed=1)]
    assert set(order[:4]) == {0, 1, 2, 3}
    assert order[:4] != [0, 1, 2, 3]
    assert order[4:] == list(range(4, 40))
    assert oracle(ranked, seed=1) == oracle(ranked, seed=1) != oracle(ranked, seed=2)


def test_all_searches_begin_with_the_same_trial_and_the_same_noise() -> None:
    planned = Search(recorded_spec(5000, max_trials=6), TESTED, OptunaPlanner("random")).run()
    sampled = searched_by_optuna(TESTED, RandomSampler(seed=5000), 5000, 6)
    (other,) = Search(recorded_spec(6000, max_trials=1), TESTED, OptunaPlanner("random")).run()
    assert (planned[0].key, planned[0].val_mse) == (sampled[0].key, sampled[0].val_mse)
    assert planned[0].seconds == sampled[0].seconds > 0
    assert other.key == planned[0].key and other.val_mse != planned[0].val_mse
    assert len({trial.key for trial in planned}) == 6
    assert {t.key for t in [*planned, *sampled] if t.state != "refused"} <= TESTED.recorded.keys()


def test_pruned_trials_cost_the_epochs_that_were_trained() -> None:
    spec = recorded_spec(5000, max_trials=12, pruning=Pruning(method="successive_halving"))
    trials = Search(spec, TESTED, OptunaPlanner("random")).run()
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned and trials[0].state == "completed"
    for trial in pruned:
        whole = [epoch.seconds for epoch in TESTED.recorded[trial.key][0].epochs]
        assert trial.val_mse is None
        assert 0 < trial.seconds < 0.9 * sum(whole)
