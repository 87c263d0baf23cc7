"""Who was right: predictions beside results, and what each source cost and gained."""

from __future__ import annotations

import math
import random
from statistics import NormalDist, fmean
from typing import Any

import pytest

from informer.config import from_flat
from nas_engine.calibration import (
    Opinions,
    Prediction,
    of,
    opinions,
    predictions,
    score,
    shared,
    wilson,
    worth,
)
from nas_engine.evaluator import Noise
from nas_engine.search import Rules
from nas_engine.space import step_type
from nas_engine.store import proposing
from nas_engine.store.hindsight import Effort, Outcome, asked, efforts, judged, outcomes
from nas_engine.workspace import Workspace
from tests.engine.test_relabel import against, first
from tests.pages.seed import Seed


def outcome(number: int = 1, **facts: Any) -> Outcome:
    known: dict[str, Any] = dict.fromkeys(Outcome._fields)
    known |= {"number": number, "source": "llm", "edited": False, "original_source": ""}
    known |= {"value": 0.45, "seeds": 1, "parent_value": 0.5, "parent_seeds": 3}
    return Outcome(**(known | facts))


def effort(**facts: Any) -> Effort:
    known: dict[str, Any] = {"number": 1, "source": "tpe", "edited": False, "state": "completed"}
    known |= {"accepted": False, "improvement": None, "asked_seconds": 0.0, "usd": 0.0}
    return Effort(**(known | {"tokens": 0, "training_seconds": 0.0} | facts))


# -- predictions --------------------------------------------------------------------------------


def test_the_effect_is_over_the_trials_own_parent_with_the_noise_of_their_seeds() -> None:
    (found,) = predictions(
        [outcome(expected_low=0.0, expected_high=0.2)], Noise(0.01, 10_000), multiple=2.0
    )
    assert found.actual == pytest.approx(0.1)
    assert found.margin == pytest.approx(2 * 0.01 * math.sqrt(1 + 1 / 3), rel=1e-3)
    assert found.by == "model" and found.inside


@pytest.mark.parametrize(
    ("facts", "by"),
    [
        ({"source": "llm"}, {"model"}),
        ({"source": "hybrid"}, {"model"}),
        ({"source": "human"}, {"person"}),
        ({"source": "llm", "edited": True}, {"person"}),
        ({"source": "fallback"}, set()),
        ({"source": "llm", "surrogate_low": -0.1, "surrogate_high": 0.1}, {"model", "surrogate"}),
        ({"source": "tpe", "surrogate_low": -0.1, "surrogate_high": 0.1}, {"surrogate"}),
    ],
)
def test_each_interval_is_its_makers(facts: dict[str, Any], by: set[str]) -> None:
    found = predictions([outcome(expected_low=0.0, expected_high=0.2, **facts)], None, 2.0)
    assert {each.by for each in found} == by


def test_a_model_is_held_to_its_own_configuration_alone() -> None:
    edited = outcome(edited=True, expected_low=0.1, expected_high=0.2)
    assert {each.by for each in predictions([edited], None, 2.0)} == {"person"}
    same = edited._replace(original_source="llm", original_low=-0.1, original_high=0.0)
    found = predictions([same], None, 2.0)
    assert {each.by: (each.low, each.high) for each in found} == {
        "person": (0.1, 0.2),
        "model": (-0.1, 0.0),
    }


def test_the_interval_score_is_gneitings_at_the_level_of_four_in_five() -> None:
    inside = Prediction(1, "model", 0.0, 0.1, 0.05, None)
    assert inside.score == pytest.approx(0.1)
    assert Prediction(1, "model", 0.0, 0.1, 0.13, None).score == pytest.approx(0.1 + 10 * 0.03)
    assert Prediction(1, "model", 0.0, 0.1, -0.02, None).score == pytest.approx(0.1 + 10 * 0.02)


def test_of_all_intervals_the_true_one_scores_best() -> None:
    draw = random.Random(0)
    actual = [draw.gauss(0.0, 0.02) for _ in range(4000)]

    def mean(reach: float) -> float:
        return fmean(Prediction(1, "model", -reach, reach, x, None).score for x in actual)

    true = NormalDist(0, 0.02).inv_cdf(0.9)
    assert mean(true) < mean(0.7 * true) and mean(true) < mean(1.4 * true)


def test_a_score_tells_share_bias_and_number() -> None:
    found = [Prediction(n, "model", 0.0, 0.1, 0.15 if n == 0 else 0.02, None) for n in range(4)]
    told = score(found)
    assert told is not None and (told.count, told.inside, told.share) == (4, 3, 0.75)
    assert told.bias == pytest.approx(0.05 - (0.15 + 3 * 0.02) / 4)
    assert told.share_low < 0.75 < told.share_high
    assert score([]) is None


@pytest.mark.parametrize(
    ("hits", "count", "interval"),  # R: prop.test(hits, count, correct = FALSE)
    [(0, 10, (0.0, 0.2775)), (8, 10, (0.4902, 0.9433)), (10, 10, (0.7225, 1.0))],
)
def test_wilsons_interval_is_as_in_the_tables(
    hits: int, count: int, interval: tuple[float, float]
) -> None:
    assert wilson(hits, count) == pytest.approx(interval, abs=1e-4)


def test_sources_are_compared_on_the_trials_that_all_predict() -> None:
    found = [Prediction(n, "surrogate", 0, 1, 0.5, None) for n in range(5)]
    found += [Prediction(n, "model", 0, 1, 0.5, None) for n in (1, 3, 9)]
    assert shared(found, ("surrogate", "model")) == {1, 3}
    assert shared(found, ("surrogate", "model", "person")) == set()
    assert shared(found, ()) == set()
    assert [each.number for each in of(found, "model")] == [1, 3, 9]


# -- costs --------------------------------------------------------------------------------------


def test_what_a_source_gained_is_held_against_what_it_took() -> None:
    rows = [
        effort(source="llm", accepted=True, improvement=0.03, usd=0.5, tokens=900),
        effort(source="llm", accepted=True, improvement=0.01, training_seconds=1800.0),
        effort(source="llm", state="failed", usd=0.5, asked_seconds=7.0, training_seconds=1800.0),
        effort(source="llm", edited=True, accepted=True, improvement=0.2),
        effort(source="llm", state="rejected", accepted=None),
        effort(accepted=False, improvement=-0.3),
    ]
    found = {each.source: each for each in worth(rows)}
    assert list(found) == ["llm", "edited", "tpe"]
    llm = found["llm"]
    assert (llm.trials, llm.accepted, llm.failed, llm.turned_down) == (4, 2, 1, 1)
    assert (llm.best, llm.gained) == (0.03, pytest.approx(0.04))
    assert (llm.usd, llm.tokens, llm.planning_seconds) == (1.0, 900, 7.0)
    assert llm.per_hour == pytest.approx(0.04) and llm.per_usd == pytest.approx(0.04)
    assert found["edited"].per_hour is None and found["edited"].per_usd is None
    assert (found["tpe"].best, found["tpe"].gained) == (None, 0)


def test_an_opinion_that_says_what_the_rules_say_has_changed_nothing() -> None:
    start = first(0.5)
    agreed = against(start, 1, 0.4995, accepted=False, rule="opinion")
    changed = against(start, 2, 0.4995, accepted=True, rule="opinion")
    plain = against(start, 3, 0.47)
    assert opinions([start, agreed, changed, plain], Rules()) == Opinions(given=2, changed=1)


# -- from the database --------------------------------------------------------------------------


def test_predictions_and_costs_are_read_as_they_were_stored(workspace: Workspace) -> None:
    seed = Seed(workspace, planner="llm", mode="review")
    seed.propose(0, "default")
    seed.train(0, 0.50, 0.51, 0.52)
    first_id = seed.propose(1, "llm", 0, {"model.dropout": 0.2})
    proposing.foresee(seed.writer, first_id, 1, (-0.2, 0.3))
    seed.call(1, "used", "{}")
    seed.train(1, 0.45)
    edits = {"model.dropout": 0.3}
    waiting = seed.propose(2, "llm", 1, {"model.dropout": 0.4}, waiting=True)
    config = from_flat({**seed.config(1), **edits})
    proposing.decide(
        seed.writer, waiting, 1, "edited", "ada", "", (edits, config, step_type(edits)), (0.0, 0.02)
    )
    seed.train(2, 0.44)
    seed.propose(3, "tpe", None, {"model.dropout": 0.1})
    seed.fail(3)
    read = seed.writer.read
    one, two = outcomes(read, seed.id)
    assert (one.number, one.value, one.parent_value, one.parent_seeds) == (1, 0.45, 0.51, 3)
    assert (one.expected_low, one.surrogate_high, one.edited) == (-0.01, 0.3, False)
    assert (two.edited, two.expected_low, two.expected_high) == (True, 0.0, 0.02)
    assert two.original_source == "", "the model predicted another configuration"
    spent = {row.number: row for row in efforts(read, seed.id)}
    assert (spent[1].tokens, spent[1].usd, spent[1].asked_seconds) == (2052, 0.00871, 2.31)
    assert spent[1].accepted and spent[1].improvement == pytest.approx(0.06 / 0.51)
    assert spent[3].state == "failed" and not spent[3].accepted
    assert asked(read, seed.id, "planner").calls == 1
    assert asked(read, seed.id, "evaluator") == (0, 0.0, 0)
    assert [row.number for row in judged(read, seed.id)] == [0, 1, 2, 3]
    seed.close()


def test_an_edit_that_leaves_the_configuration_leaves_the_models_prediction(
    workspace: Workspace,
) -> None:
    seed = Seed(workspace, planner="llm", mode="review")
    seed.propose(0, "default")
    seed.train(0, 0.5)
    changes = {"model.dropout": 0.4}
    waiting = seed.propose(1, "llm", 0, changes, waiting=True)
    config = from_flat({**seed.config(0), **changes})
    proposing.decide(
        seed.writer, waiting, 1, "edited", "ada", "", (changes, config, "small"), (0.0, 0.1)
    )
    seed.train(1, 0.45)
    (row,) = outcomes(seed.writer.read, seed.id)
    assert (row.original_source, row.original_low, row.original_high) == ("llm", -0.01, 0.05)
    seed.close()
