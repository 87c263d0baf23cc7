"""The language model planner over real HTTP, against a scripted OpenAI-compatible server."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

import pytest

from nas_engine.api import AgentState, load_agent_state
from nas_engine.commands import Control, Start
from nas_engine.search import SearchSpec
from nas_engine.store.reader import reading
from nas_engine.store.rows import LLMCallRow
from tests.engine.conftest import Bench
from tests.fakes import llm_server
from tests.fakes.llm_server import Reply, Request, serving

KEY = "sk-or-v1-canary-0123456789abcdef"


@pytest.fixture
def run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AgentState]:
    """Run a search whose language model answers from a script."""

    def run(script: Callable[[Request, int], Reply], **spec: Any) -> AgentState:
        with serving(script) as server:
            monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            monkeypatch.setenv("PLANNER_MODEL", "scripted-planner")
            monkeypatch.setenv("EVALUATOR_MODEL", "scripted-evaluator")
            monkeypatch.setenv("LLM_RETRY_SECONDS", "0")
            wanted = SearchSpec.model_validate({"planner": "llm", "max_trials": 2, **spec})
            bench.give(Start(spec=wanted))
            run.server = server  # type: ignore[attr-defined]
        return load_agent_state(bench.workspace.db)

    return run


def calls(bench: Bench) -> list[LLMCallRow]:
    with reading(bench.workspace) as reader:
        assert reader is not None
        return reader.llm_calls(1)


GOOD = llm_server.proposal({"model.normalisation": "standardise", "model.dropout": 0.1})


def test_a_proposal_of_the_model_is_trained_and_its_exchange_recorded(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    state = run(lambda request, index: GOOD)
    trial = state.trials[1]
    assert trial.source == "llm"
    assert trial.changes == {"model.normalisation": "standardise", "model.dropout": 0.1}
    assert trial.hypothesis == "It should help."
    (call,) = calls(bench)
    assert (call.number, call.role, call.outcome) == (1, "planner", "used")
    assert call.model == "scripted-planner"
    assert (call.prompt_tokens, call.completion_tokens, call.cost_usd) == (100, 20, 0.001)


def test_the_prompt_names_space_baselines_and_results(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    state = run(lambda request, index: GOOD)
    question = calls(bench)[0].messages[1]["content"]
    assert "model.normalisation = 'none'" in question
    assert "repeat-last: val_mse 1.3" in question
    assert f"val_mse {state.trials[0].val_mse:.6g}" in question


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (llm_server.text("I would widen the model."), "calling ProposeChange"),
        (llm_server.proposal({"model.d_model": 10**15}), "model.d_model must be one of"),
        (llm_server.proposal({"training.seed": 1}), "same for all trials"),
        (llm_server.proposal({"model.n_heads": "four"}), "model.n_heads must be one of"),
        (llm_server.proposal({"os.system": "rm -rf"}), "not a setting"),
        (llm_server.proposal({"model.dropout": 0.05}), "leave the parent as it is"),
        (llm_server.proposal({"model.dropout": 0.06}), "too near to trial 0"),
        (llm_server.proposal({}), "leave the parent as it is"),
        (llm_server.proposal({}, stop=True), "trials are tried before a stop"),
        (llm_server.proposal({"model.dropout": 0.2}, stop=True), "not both"),
        (llm_server.proposal({"model.kernel": 13}), "leave the parent as it is"),
        (llm_server.proposal({"model.dropout": 0.2}, expected={"low": 2, "high": 1}), "low must"),
        (llm_server.proposal({"model.dropout": "0.2"}), "model.dropout must be 0 to 0.5"),
        (llm_server.tool_call("ProposeChange", '{"hypothesis": "cut of'), "not valid JSON"),
        (llm_server.tool_call("ProposeChange", {"changes": []}), "hypothesis"),
        (llm_server.text('{"hypothesis": "h", "plan": "p"', "length"), "cut off"),
    ],
)
def test_a_bad_answer_is_sent_back_with_the_reason_and_mended(
    run: Callable[..., AgentState], bench: Bench, bad: Reply, reason: str
) -> None:
    state = run(lambda request, index: bad if index == 0 else GOOD)
    assert state.trials[1].source == "llm"
    first, second = calls(bench)
    assert (first.outcome, second.outcome) == ("refused", "used")
    assert reason in first.problem
    assert first.problem in second.messages[-1]["content"].replace("\n- ", " ")


def test_json_in_a_fence_is_read(run: Callable[..., AgentState]) -> None:
    plan = {
        "step_type": "small",
        "hypothesis": "h",
        "plan": "p",
        "changes": [{"path": "model.dropout", "value": 0.2}],
    }
    fenced = f"Here it is:\n```json\n{json.dumps(plan)}\n```"
    state = run(lambda request, index: llm_server.text(fenced))
    assert state.trials[1].changes == {"model.dropout": 0.2}


def test_after_three_refused_answers_the_optimiser_proposes_labelled_fallback(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    state = run(lambda request, index: llm_server.text("no"))
    assert state.trials[1].source == "fallback"
    assert "3 answers were refused" in state.trials[1].reasons
    assert len(calls(bench)) == 3
    assert state.trials[1].state == "completed"


@pytest.mark.parametrize(
    "broken",
    [
        (500, {"error": {"message": "overloaded"}}),
        (200, {"error": {"message": "provider failed", "code": 502}}),
        (200, {"id": "x", "object": "chat.completion", "choices": []}),
        (200, "<html>gateway</html>"),
        (200, ""),
    ],
)
def test_a_failing_service_does_not_stop_the_search(
    run: Callable[..., AgentState], bench: Bench, broken: Reply
) -> None:
    state = run(lambda request, index: broken)
    assert state.search.state == "completed"
    assert state.trials[1].source == "fallback"
    assert calls(bench)[0].outcome == "failed"
    assert calls(bench)[0].problem


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_refused_key_pauses_the_search_and_leaks_nowhere(
    run: Callable[..., AgentState], bench: Bench, capfd: pytest.CaptureFixture[str], status: int
) -> None:
    state = run(lambda request, index: llm_server.failure(status, f"bad key {KEY}"))
    assert state.search.state == "paused"
    assert f"HTTP {status}" in state.search.reason
    assert len(state.trials) == 1 and state.trials[0].state == "completed"
    assert len(run.server.requests) == 1  # type: ignore[attr-defined]
    with sqlite3.connect(bench.workspace.db) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    with sqlite3.connect(bench.workspace.checkpoints) as connection:
        dump += "\n".join(connection.iterdump())
    connection.close()
    printed = capfd.readouterr()
    assert KEY not in dump + printed.out + printed.err


def test_after_the_key_is_mended_the_search_goes_on(
    run: Callable[..., AgentState], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(lambda request, index: llm_server.failure(401, "no"))
    with serving(lambda request, index: GOOD) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        bench.give(Control(kind="resume"), 1)
    state = load_agent_state(bench.workspace.db)
    assert state.search.state == "completed"
    assert [trial.source for trial in state.trials] == ["default", "llm"]


def test_a_lone_surrogate_in_an_answer_is_stored(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    odd = llm_server.proposal({"model.dropout": 0.2}, hypothesis="odd \ud800 text \u0000 end")
    state = run(lambda request, index: odd)
    assert state.trials[1].source == "llm"
    assert state.trials[1].hypothesis == "odd \\ud800 text \x00 end"


def test_the_expected_improvement_is_kept(run: Callable[..., AgentState]) -> None:
    trial = run(lambda request, index: GOOD).trials[1]
    assert (trial.expected_low, trial.expected_high) == (-0.01, 0.05)
    assert trial.reasons == "The trials so far say so."
    assert trial.asked_seconds > 0


def test_a_setting_without_a_part_to_play_is_left_out_of_a_proposal(
    run: Callable[..., AgentState],
) -> None:
    answer = llm_server.proposal({"model.dropout": 0.2, "model.kernel": 13})
    assert run(lambda request, index: answer).trials[1].changes == {"model.dropout": 0.2}


def test_a_setting_that_is_changed_twice_is_sent_back(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    twice = json.loads(GOOD[1]["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
    twice["changes"] = [{"path": "model.dropout", "value": value} for value in (0.2, 0.3)]
    bad = llm_server.tool_call("ProposeChange", twice)
    assert run(lambda request, index: GOOD if index else bad).trials[1].source == "llm"
    assert "changed twice" in calls(bench)[0].problem


def test_a_model_that_sees_no_more_use_ends_the_search_with_its_reason(
    run: Callable[..., AgentState],
) -> None:
    def script(request: Request, index: int) -> Reply:
        if llm_server.asked_for(request) != "ProposeChange":
            return llm_server.judgement(False)
        number = int(re.findall(r"This is trial (\d+)", request["messages"][1]["content"])[0])
        if number < 5:
            return llm_server.proposal({"model.dropout": 0.1 * number})
        return llm_server.proposal({}, hypothesis="Nothing is left to gain.", stop=True)

    state = run(script, max_trials=12)
    assert len(state.trials) == 5
    assert state.search.state == "completed"
    assert "Nothing is left to gain." in state.search.reason


WARM_UP = 4


def hybrid(run: Callable[..., AgentState], *candidates: dict[str, Any]) -> AgentState:
    """Run a hybrid search in which the model answers with these candidates, up to its turn."""

    def script(request: Request, index: int) -> Reply:
        if llm_server.asked_for(request) == "ProposeCandidates":
            return llm_server.candidates(*candidates)
        return llm_server.judgement(False)

    return run(script, planner="hybrid", max_trials=WARM_UP + 1)


def test_the_hybrid_asks_the_model_after_the_warm_up(run: Callable[..., AgentState]) -> None:
    state = hybrid(run, {"model.normalisation": "revin", "training.optimizer_params.lr": 0.001})
    assert [trial.source for trial in state.trials] == ["default", *["portfolio"] * 3, "hybrid"]


def test_of_several_candidates_the_valid_and_new_ones_are_ranked(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    state = hybrid(
        run,
        {"model.d_model": 10**9},
        {"os.system": "id"},
        {"data.seq_len": 96, "training.clip_norm": 1.0},
        {"training.seed": 7},
    )
    trial = state.trials[WARM_UP]
    assert trial.source == "hybrid"
    assert trial.hypothesis == "Candidate 3."
    planned = [call for call in calls(bench) if call.role == "planner"]
    assert [call.outcome for call in planned] == ["used"]


def test_where_no_candidate_is_usable_each_is_answered_and_the_optimiser_proposes(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    state = hybrid(run, {"model.d_model": 10**9}, {"os.system": "id"})
    trial = state.trials[WARM_UP]
    assert trial.source == "fallback"
    assert "candidate 2: 'os.system' is not a setting that this search varies." in trial.reasons
    assert len([call for call in calls(bench) if call.role == "planner"]) == 3


def test_the_optimisers_state_is_told_to_the_model(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    hybrid(run, {"model.skip": True})
    question = next(call for call in calls(bench) if call.role == "planner").messages[1]["content"]
    assert "4 results; its model of good trials rests on the best 1" in question


def test_a_limit_that_is_reached_leaves_the_search_to_the_optimiser(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    state = run(lambda request, index: GOOD, max_trials=4, limits={"calls": 1})
    assert [trial.source for trial in state.trials[1:]] == ["llm", "fallback", "fallback"]
    assert "may call language models 1 times" in state.trials[2].reasons
    assert len(calls(bench)) == 1


def test_a_borderline_trial_is_put_to_the_evaluator(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    def script(request: Request, index: int) -> Reply:
        if request["model"] == "scripted-evaluator":
            return llm_server.tool_call("Judge", {"accept": False, "reason": "Within the noise."})
        return llm_server.proposal({"model.dropout": 0.01})

    state = run(script)
    trial = state.trials[1]
    assert (trial.accepted, trial.rule, trial.opinion) == (False, "opinion", "Within the noise.")
    assert [call.role for call in calls(bench)] == ["planner", "evaluator"]
    assert state.search.incumbent == 0


def test_a_key_that_was_taken_away_is_told_on_resume(
    run: Callable[..., AgentState], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(lambda request, index: llm_server.failure(401, "no"))
    monkeypatch.setenv("OPENROUTER_API_KEY", "")
    answer = bench.give(Control(kind="resume"), 1)
    assert answer.state == "refused" and "OPENROUTER_API_KEY" in answer.answer


def test_without_a_key_of_its_own_the_evaluator_is_not_asked(
    run: Callable[..., AgentState], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "KEY", "")
    monkeypatch.setenv("PLANNER_API_KEY", "sk-planner-only-0123456789")
    state = run(lambda request, index: llm_server.proposal({"model.dropout": 0.01}))
    assert state.search.state == "completed"
    assert {call.role for call in calls(bench)} == {"planner"}


def test_a_change_without_effect_is_told_what_it_needs(
    run: Callable[..., AgentState], bench: Bench
) -> None:
    idle = llm_server.proposal({"model.patch_len": 24})
    run(lambda request, index: GOOD if index else idle)
    assert "model.patch_len has an effect only with model.tokens patch" in calls(bench)[0].problem


def test_a_planner_that_needs_a_key_is_refused_without_one(bench: Bench) -> None:
    answer = bench.give(Start(spec=SearchSpec(planner="llm")))
    assert answer.state == "refused"
    assert "OPENROUTER_API_KEY" in answer.answer
