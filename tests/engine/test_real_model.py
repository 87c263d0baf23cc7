"""A real language model, SmolLM2-135M, plans a search: whatever it says, only valid trials run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from informer.config import problems
from nas_engine.api import AgentState, get_best_run
from nas_engine.store.reader import LLMCallRow, reading
from nas_engine.workspace import Workspace
from tests.engine.conftest import Bench
from tests.engine.recorded_search import recorded_spec
from tests.fakes.recorded import RecordedTrainer, noise
from tests.fakes.small_model import serving_model


@pytest.fixture
def model_url() -> Iterator[str]:
    with serving_model() as url:
        yield url


@pytest.fixture
def asked(model_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let planner and evaluator be the small model."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "local")
    monkeypatch.setenv("OPENAI_BASE_URL", model_url)
    monkeypatch.setenv("PLANNER_MODEL", "smollm2")
    monkeypatch.setenv("EVALUATOR_MODEL", "smollm2")
    monkeypatch.setenv("LLM_MAX_TOKENS", "160")
    monkeypatch.setenv("LLM_DEADLINE_SECONDS", "300")  # however busy the machine is


def recorded_search(folder: Path, **facts: Any) -> tuple[AgentState, list[LLMCallRow]]:
    """Run a search on the recorded table and return it with its exchanges."""
    bench = Bench(Workspace(folder / "nas.db"), RecordedTrainer())
    state = bench.search(**recorded_spec(**facts).model_dump())
    with reading(bench.workspace) as reader:
        assert reader is not None
        return state, reader.llm_calls(1)


@pytest.mark.usefixtures("asked")
def test_a_small_real_model_plans_and_every_bad_value_is_caught(tmp_path: Path) -> None:
    state, calls = recorded_search(tmp_path, planner="llm", max_trials=4)
    assert state.search.state == "completed"
    assert [trial.state for trial in state.trials] == ["completed"] * 4
    assert all(problems(trial.config) == [] for trial in state.trials)
    assert {trial.source for trial in state.trials[1:]} <= {"llm", "fallback"}
    planned = [call for call in calls if call.role == "planner"]
    assert {call.number for call in planned} == {1, 2, 3}
    assert all(call.reply and call.completion_tokens for call in planned)
    assert {call.outcome for call in planned} <= {"used", "refused"}
    assert all(call.problem for call in planned if call.outcome == "refused")


@pytest.mark.usefixtures("asked")
def test_a_hybrid_with_a_small_real_model_does_no_worse_than_the_optimiser(tmp_path: Path) -> None:
    """No worse: its best is within the measured noise of the optimiser's, or better."""
    alone, none = recorded_search(tmp_path / "tpe", planner="tpe", max_trials=16)
    together, calls = recorded_search(tmp_path / "hybrid", planner="hybrid", max_trials=16)
    assert none == [] and {call.role for call in calls} >= {"planner"}
    best, reference = get_best_run(together), get_best_run(alone)
    assert best is not None and best.val_mse is not None
    assert reference is not None and reference.val_mse is not None
    assert best.val_mse <= reference.val_mse * (1 + noise())
