"""Odd text of a model: stored, shown, exported as Markdown, JSON and CSV, and never live."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nas_engine.cli.main import main
from nas_engine.store.reader import reading
from nas_engine.workspace import Workspace
from tests.engine.conftest import ONE_SEED, Bench
from tests.fakes.llm_server import Reply, Request, proposal, serving, text
from tests.pages.conftest import Open

PIECES = (
    *("\ud800", "\udfff", "\u0000", "\u0007", "\u001b[31mred", "\u009b1m", "\u202e", "\u2066x"),
    *("\u200b", "\ufeff", "\ufffe", "z\u0351\u036b\u0489" * 40, "\u05e9\u05dc\u05d5\u05dd", "\r"),
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!--", "&lt;b&gt;", "</div>"),
    *("![x](http://198.51.100.7/a.png)", "[x](javascript:alert(1))", "http://198.51.100.7/b"),
    *("```\n# out\n```", "`` ` ``", "$\\frac{1}{0}$", ":material/home:", "| a | b |\n|---|---|"),
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=HYPERLINK('http://198.51.100.7')", '"", "'),
    *("%s%n%x", "{0.__class__}", "${HOME}", "'; DROP TABLE trials; --", "\\u0000", "\\ud800"),
    *("\n" * 100, "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "👩‍👩‍👧‍👦", "e\u0301", "\u2028\u2029", "\x85", "\x1a"),
)
LONG_LINE = "A" * 100_000
TRIALS = 6
"""Over which the pieces are spread; each has an hypothesis of its own."""


def told(number: int) -> list[str]:
    return [piece for at, piece in enumerate(PIECES) if at % (TRIALS - 1) == number % (TRIALS - 1)]


@pytest.fixture
def odd_search(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A search in which each hypothesis of the model is odd."""

    def script(request: Request, index: int) -> Reply:
        found = re.search(r"This is trial (\d+)", str(request["messages"][1]["content"]))
        assert found is not None
        number = int(found[1])
        if index == 0:
            return text(LONG_LINE)
        return proposal(
            {"model.dropout": 0.05 * (1 + number)}, " ".join(("begin", *told(number), "end"))
        )

    with serving(script) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENROUTER_API_KEY", "sk-odd")
        state = Bench(workspace).search(planner="llm", max_trials=TRIALS, rules=ONE_SEED)
    assert [trial.source for trial in state.trials] == ["default", *["llm"] * (TRIALS - 1)]
    return workspace


def printed(*arguments: str) -> str:
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_odd_text_is_stored_shown_and_exported(
    odd_search: Workspace,
    open_page: Open,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    db = ("--db", str(odd_search.db))
    with reading(odd_search) as reader:
        assert reader is not None
        stored = {trial.number: trial.hypothesis for trial in reader.trials(1)}
    for number in range(1, TRIALS):
        assert stored[number].startswith("begin") and len(stored[number]) <= 4000
        app = open_page("trial", search="1", trial=str(number))
        assert not app.exception
    lines = printed("transcript", "1", "--format", "jsonl", *db).splitlines()
    records = [json.loads(line) for line in lines]
    kept = {row["trial"]: row["hypothesis"] for row in records if row["kind"] == "proposal"}
    assert {number: stored[number] for number in range(1, TRIALS)} == {
        number: text for number, text in kept.items() if number
    }
    page = printed("transcript", "1", *db)
    assert LONG_LINE in page
    assert not set(page) & set("\x00\x07\x1b\x9b\u202e\u2066\u200b\ufeff")
    table = tmp_path / "trials.csv"
    printed("export", "1", "--output", str(table), *db)
    assert table.stat().st_size > 0
    record_property("faults", len(PIECES) + 1)
