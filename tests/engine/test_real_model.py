"""A real language model, SmolLM2-135M, plans a search: whatever it says, only valid trials run."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from informer.config import problems
from nas_engine.store.reader import reading
from nas_engine.workspace import PROJECT
from tests.engine.conftest import Bench


@pytest.fixture
def model_url() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.small_model", str(port)],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        assert server.poll() is None and time.monotonic() < deadline
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield f"{url}/v1"
    server.kill()
    server.wait()


def test_a_small_real_model_plans_and_every_bad_value_is_caught(
    bench: Bench, model_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "local")
    monkeypatch.setenv("OPENAI_BASE_URL", model_url)
    monkeypatch.setenv("PLANNER_MODEL", "smollm2")
    monkeypatch.setenv("EVALUATOR_MODEL", "smollm2")
    monkeypatch.setenv("LLM_MAX_TOKENS", "250")
    monkeypatch.setenv("LLM_DEADLINE_SECONDS", "300")  # however busy the machine is
    state = bench.search(planner="llm", max_trials=3)
    assert state.search.state == "completed"
    assert [trial.state for trial in state.trials] == ["completed"] * 3
    assert all(problems(trial.config) == [] for trial in state.trials)
    assert {trial.source for trial in state.trials[1:]} <= {"llm", "fallback"}
    with reading(bench.workspace) as reader:
        assert reader is not None
        calls = reader.llm_calls(1)
    assert {call.number for call in calls} >= {1, 2}
    assert all(call.reply and call.completion_tokens for call in calls if call.outcome != "failed")
    assert any(call.outcome in ("used", "refused") for call in calls)
    refused = [call for call in calls if call.outcome == "refused"]
    assert all(call.problem for call in refused)
