"""A real language model, SmolLM2-135M, plans a search: whatever it says, only valid trials run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from informer.config import problems
from nas_engine.api import AgentState, get_best_run
from nas_engine.chat.answering import answer
from nas_engine.facts import checked
from nas_engine.llm import LanguageModel
from nas_engine.service.patience import Patience
from nas_engine.settings import load_settings
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.rows import LLMCallRow
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.engine.conftest import Bench
from tests.engine.recorded_search import recorded_spec
from tests.fakes.recorded import RecordedTrainer
from tests.fakes.small_model import serving_model
from tests.pages import seed
from tests.recorded.table import TESTED


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


@pytest.mark.long
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
def test_a_small_real_model_answers_and_its_figures_are_held_against_the_store(
    workspace: Workspace,
) -> None:
    search_id = seed.small(workspace, 2)
    writer = Writer(workspace)
    turn_id = wishes.add_turn(writer, search_id, "what is the best val_mse?", "ada")
    model = LanguageModel(
        *(load_settings(), writer, Patience(), search_id, None, "chat"), turn_id=turn_id
    )
    answer(writer, model, search_id, turn_id, set, lambda: None)
    read = writer.read
    turn, trials, baselines = (
        wishes.turn(read, turn_id),
        read.trials(search_id),
        read.baselines(search_id),
    )
    writer.close()
    assert turn is not None and turn.state == "answered", turn
    assert turn.answer and turn.looked_up and turn.tokens > 100
    stored = {trial.number: trial.val_mse for trial in trials}
    facts = checked(turn.answer, trials, baselines, incumbent=1)
    for fact in facts:  # whatever it says, what is not as stored is not called right
        if fact.subject.endswith("val_mse") and fact.trial in stored and fact.verdict == "right":
            assert float(fact.said) == pytest.approx(stored[fact.trial], rel=0.02)
    (wrong,) = checked(f"{turn.answer}\n\nTrial 1 has val_mse 0.1234.", trials, baselines)[-1:]
    assert (wrong.said, wrong.verdict) == ("0.1234", "wrong")


@pytest.mark.long
@pytest.mark.usefixtures("asked")
def test_a_hybrid_with_a_small_real_model_does_no_worse_than_the_optimiser(tmp_path: Path) -> None:
    """No worse: its best is within the measured noise of the optimiser's, or better."""
    alone, none = recorded_search(tmp_path / "tpe", planner="tpe", max_trials=16)
    together, calls = recorded_search(tmp_path / "hybrid", planner="hybrid", max_trials=16)
    assert none == [] and {call.role for call in calls} >= {"planner"}
    best, reference = get_best_run(together), get_best_run(alone)
    assert best is not None and best.val_mse is not None
    assert reference is not None and reference.val_mse is not None
    assert best.val_mse <= reference.val_mse * (1 + TESTED.noise)
