"""A language model's opinion: when it is asked, what it is told, what its answer decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from informer.config import RunConfig
from nas_engine.api import AgentState, load_agent_state
from nas_engine.commands import Start
from nas_engine.search import SearchSpec
from nas_engine.store.reader import reading
from nas_engine.store.rows import LLMCallRow
from tests.engine.conftest import Bench
from tests.fakes import llm_server
from tests.fakes.llm_server import Reply, Request, serving
from tests.fakes.trainer import FakeTrainer

BY_SEED = {2021: 0.500, 2022: 0.505, 2023: 0.495}  # of every configuration: equals


@pytest.fixture
def judged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AgentState]:
    """Run a search of two trials whose evaluator answers with `reply`."""

    def judged(reply: Reply, value: Callable[[RunConfig], float], **spec: object) -> AgentState:
        def script(request: Request, index: int) -> Reply:
            if request["model"] == "scripted-evaluator":
                return reply
            return llm_server.proposal({"model.dropout": 0.1})

        bench.trainer = FakeTrainer(value=value)
        with serving(script) as server:
            monkeypatch.setenv("OPENROUTER_API_KEY", "scripted")
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            monkeypatch.setenv("EVALUATOR_MODEL", "scripted-evaluator")
            started = SearchSpec.model_validate({"planner": "llm", "max_trials": 2, **spec})
            bench.give(Start(spec=started))
        return load_agent_state(bench.workspace.db)

    return judged


def equals(config: RunConfig) -> float:
    return BY_SEED[config.training.seed]


def far_apart(config: RunConfig) -> float:
    return BY_SEED[config.training.seed] * (1.0 if config.model.dropout == 0.05 else 0.5)


def evaluator_calls(bench: Bench) -> list[LLMCallRow]:
    with reading(bench.workspace) as reader:
        assert reader is not None
        return [call for call in reader.llm_calls(1) if call.role == "evaluator"]


def advice(accept: bool) -> Reply:
    return llm_server.tool_call("Judge", {"accept": accept, "reason": "More dropout is safer."})


@pytest.mark.parametrize("accept", [True, False])
def test_seeds_are_spent_before_the_model_is_asked_and_its_advice_decides(
    judged: Callable[..., AgentState], bench: Bench, accept: bool
) -> None:
    trial = judged(advice(accept), equals).trials[1]
    assert (trial.seeds, trial.accepted, trial.rule) == (3, accept, "opinion")
    assert trial.opinion == "More dropout is safer."
    assert "inside the spread" in str(trial.verdict)
    assert "“More dropout is safer.”" in str(trial.verdict)
    (call,) = evaluator_calls(bench)
    assert call.outcome == "used"


def test_the_question_holds_difference_noise_seeds_sizes_and_curves(
    judged: Callable[..., AgentState], bench: Bench
) -> None:
    judged(advice(False), equals)
    question = evaluator_calls(bench)[0].messages[1]["content"]
    for said in (
        "model.dropout 0.05->0.1",
        "val_mse 0.5 (3 seeds) is 0.00% better than trial 0 with 0.5 (3 seeds)",
        "differ by 1 % (standard deviation, 4 degrees of freedom)",
        "has 1000 parameters",
        "Learning curve of trial 1",
        "still falling: val_mse lowest at epoch 6 of 6 with 0.5",
        "- 1: 0.45, 0.916667",
    ):
        assert said in question, said


def test_of_a_front_the_question_is_about_the_trial_that_stands_against_it(
    judged: Callable[..., AgentState], bench: Bench
) -> None:
    trial = judged(advice(True), equals, objectives=("val_mse", "parameters")).trials[1]
    assert (trial.seeds, trial.accepted, trial.rule) == (3, True, "opinion")
    question = evaluator_calls(bench)[0].messages[1]["content"]
    assert "changed in trial 0, which is on the front: model.dropout 0.05->0.1" in question
    assert "trial 0 of the front cannot be told from it" in question


@pytest.mark.parametrize(
    "useless", [llm_server.text("It depends."), llm_server.failure(500, "overloaded")]
)
def test_without_a_usable_answer_a_difference_inside_the_spread_is_rejected(
    judged: Callable[..., AgentState], bench: Bench, useless: Reply
) -> None:
    trial = judged(useless, equals).trials[1]
    assert (trial.accepted, trial.rule) == (False, "not distinguishable")
    assert evaluator_calls(bench)


def test_a_clear_difference_is_never_put_to_the_model(
    judged: Callable[..., AgentState], bench: Bench
) -> None:
    trial = judged(advice(False), far_apart).trials[1]
    assert (trial.accepted, trial.rule, trial.seeds) == (True, "clear improvement", 1)
    assert evaluator_calls(bench) == []
