"""Rules of the user: a function that the environment names, and what is said of a bad one."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas_engine.commands import Start
from nas_engine.evaluator import Figures
from nas_engine.own_rules import OwnRulesError, load
from nas_engine.search import SearchSpec
from nas_engine.workspace import PROJECT
from tests.engine.conftest import ONE_SEED, Bench
from tests.fakes import llm_server
from tests.fakes.llm_server import serving

HEAD = "from nas_engine.evaluator import Figures, Verdict\n\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which Python imports the user's rules, and forgets them afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("my_rules", None)


def example() -> str:
    """Return the example of the documentation."""
    page = (PROJECT / "docs" / "evaluator.md").read_text("utf-8")
    found = re.search(r"```python\n(# my_rules\.py.*?)```", page, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_example_of_the_documentation_judges_a_search(
    bench: Bench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "my_rules.py").write_text(example())
    monkeypatch.setenv("NAS_RULES", "my_rules:ambitious")
    state = bench.search(max_trials=12, rules=ONE_SEED)
    rules = {trial.rule for trial in state.trials}
    assert "at least 5 % better" in rules and "not ambitious enough" in rules
    for trial in state.trials[1:]:
        if trial.improvement is not None:
            assert trial.accepted == (trial.improvement >= 0.05)


def test_a_verdict_of_the_user_is_never_put_to_a_language_model(
    bench: Bench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = "def rule(figures: Figures):\n    return Verdict(False, 'no improvement', 'Never.')\n"
    (home / "my_rules.py").write_text(HEAD + rule)
    monkeypatch.setenv("NAS_RULES", "my_rules:rule")
    with serving(lambda request, index: llm_server.judgement(True)) as server:
        monkeypatch.setenv("OPENROUTER_API_KEY", "local")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        state = bench.search(planner="hybrid", max_trials=3, rules=ONE_SEED)
        assert server.requests == []
    assert state.search.state == "completed" and state.search.incumbent is None
    assert [trial.accepted for trial in state.trials] == [False] * 3


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("no_such_module:rule", "", "ModuleNotFoundError"),
        ("my_rules:absent", "", "AttributeError"),
        ("my_rules", "", "AttributeError"),
        ("my_rules:rule", "rule = 3", "is not a function"),
        ("my_rules:rule", "def rule(:", "SyntaxError"),
        ("my_rules:rule", "1 / 0", "ZeroDivisionError"),
    ],
)
def test_rules_that_cannot_be_loaded_refuse_the_start(
    bench: Bench,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    source: str,
    complaint: str,
) -> None:
    (home / "my_rules.py").write_text(HEAD + source)
    monkeypatch.setenv("NAS_RULES", name)
    row = bench.give(Start(spec=SearchSpec(max_trials=2)))
    assert row.state == "refused" and row.answer.startswith(f"NAS_RULES={name} ")
    assert complaint in row.answer and "\n" not in row.answer
    assert bench.trainer.trained == []


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("my_rules:rule", "def rule(figures): raise KeyError('x')", "KeyError"),
        ("my_rules:rule", "def rule(): return None", "TypeError"),
        ("my_rules:rule", "def rule(figures): return True", "returned bool, not a Verdict"),
    ],
)
def test_rules_that_fail_on_a_trial_pause_the_search_with_one_sentence(
    bench: Bench,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    source: str,
    complaint: str,
) -> None:
    (home / "my_rules.py").write_text(HEAD + source)
    monkeypatch.setenv("NAS_RULES", name)
    state = bench.search(max_trials=2)
    assert state.search.state == "paused"
    assert state.search.reason.startswith(f"NAS_RULES={name} ") and "\n" not in state.search.reason
    assert complaint in state.search.reason
    assert "Traceback" not in "".join(capfd.readouterr())


def test_after_the_rules_are_mended_the_search_goes_on_and_trains_nothing_twice(
    bench: Bench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "my_rules.py").write_text("def rule(figures): raise ValueError('oh')")
    monkeypatch.setenv("NAS_RULES", "my_rules:rule")
    assert bench.search(max_trials=2).search.state == "paused"
    assert len(bench.trainer.trained) == 3
    monkeypatch.setenv("NAS_RULES", "")
    state = bench.search(max_trials=2)
    assert state.search.state == "completed"
    names = [run.path.name for run in bench.trainer.trained]
    assert len(names) == len(set(names))


def test_a_trial_without_a_result_cannot_be_accepted(home: Path) -> None:
    (home / "my_rules.py").write_text(HEAD + "def rule(f): return Verdict(True, 'mine', 'Yes.')")
    rules = load("my_rules:rule")
    assert rules is not None
    with pytest.raises(OwnRulesError, match="no result"):
        rules(Figures(failure="Out of memory."))
    figures = Figures(value=0.4, seeds=1)
    verdict = rules(figures)
    assert verdict is not None and verdict.figures == figures


def test_the_rules_can_be_named_in_no_search() -> None:
    assert "nas_rules" not in str(SearchSpec.model_json_schema()).lower()
