"""The rules of the evaluator, at and around their thresholds."""

from __future__ import annotations

import math

import pytest

from nas_engine.evaluator import Opinion, Verdict, decide, evaluate
from nas_engine.search import Rules


@pytest.mark.parametrize(
    ("value", "accepted", "rule"),
    [
        (0.97, True, "clear improvement"),
        (0.9801, True, "borderline"),
        (1.0, False, "borderline"),
        (1.0049, False, "borderline"),
        (1.0051, False, "clear regression"),
        (None, False, "no result"),
        (math.nan, False, "no result"),
        (math.inf, False, "no result"),
    ],
)
def test_the_thresholds_decide(value: float | None, accepted: bool, rule: str) -> None:
    verdict = decide(value, "", (3, 1.0), Rules())
    assert (verdict.accepted, verdict.rule) == (accepted, rule)
    assert verdict.sentence.startswith("Accepted" if accepted else "Rejected")


def test_the_first_result_is_accepted() -> None:
    assert decide(9.0, "", None, Rules()).rule == "first"


def test_only_a_borderline_trial_is_put_to_the_model() -> None:
    asked: list[Verdict] = []

    def consult(verdict: Verdict) -> Opinion:
        asked.append(verdict)
        return Opinion(False, "noise")

    evaluate(0.5, "", (0, 1.0), Rules(), consult)
    evaluate(1.5, "", (0, 1.0), Rules(), consult)
    assert asked == []
    verdict = evaluate(0.99, "", (0, 1.0), Rules(), consult)
    assert (verdict.accepted, verdict.opinion) == (False, "noise")
    assert len(asked) == 1


def test_without_an_opinion_the_sign_decides_and_the_verdict_says_so() -> None:
    verdict = evaluate(0.99, "", (0, 1.0), Rules(), lambda verdict: None)
    assert verdict.accepted and "the sign decides" in verdict.sentence
