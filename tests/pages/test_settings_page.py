"""The Settings page: what is set and from where, and nothing of any key."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.testing.v1 import local_script_runner
from streamlit.testing.v1.element_tree import ElementTree, parse_tree_from_messages

from nas_engine.settings import Settings, origins, public_address
from nas_engine.workspace import Workspace
from tests.pages import seed
from tests.pages.conftest import PAGES, Open, words

SECRETS = ("sk-common-1", "sk-planner-2", "sk-evaluator-3", "pass-4", "query-5", "fragment-6")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All messages that the browser would have received."""
    messages: list[bytes] = []

    def parse(found: list[ForwardMsg]) -> ElementTree:
        messages.extend(message.SerializeToString() for message in found)
        return parse_tree_from_messages(found)

    monkeypatch.setattr(local_script_runner, "parse_tree_from_messages", parse)
    return messages


def test_nothing_of_a_key_is_sent_to_the_browser(
    open_page: Open, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, sent: list[bytes]
) -> None:
    seed.small(workspace)
    common, planner, evaluator, password, query, fragment = SECRETS
    monkeypatch.setenv("OPENROUTER_API_KEY", common)
    monkeypatch.setenv("PLANNER_API_KEY", planner)
    monkeypatch.setenv("EVALUATOR_API_KEY", evaluator)
    address = f"https://me:{password}@models.example:8443/v1?key={query}#{fragment}"
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    text = words(app := open_page("settings"))
    shown = "\n".join(table.value.to_string() for table in [*app.table, *app.dataframe])
    assert "present, as PLANNER" in shown.replace("\\", "") and not app.error, text
    assert "models\\.example:\u20608443" in shown and "https://models.example:8443/v1" in shown
    everything = b"".join(sent)
    assert len(everything) > 5000
    for secret in SECRETS:
        assert secret.encode() not in everything, secret


def test_what_is_absent_is_said_to_be(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DATA_DIRS", "")
    app = open_page("settings")
    planner, evaluator = app.table[0].value, app.table[1].value
    assert planner["Value"]["Key"] == evaluator["Value"]["Key"] == "absent"
    assert planner["Value"]["Temperature"] == "the model's own"
    assert "`NAS_DATA_DIRS` names none" in words(app)


def test_each_value_says_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open
) -> None:
    (tmp_path / ".env").write_text("LLM_RETRIES=5\nPLANNER_MODEL=file\nUNKNOWN=1\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("PLANNER_MODEL", "environment")
    found = origins()
    assert set(found) == set(Settings.model_fields)
    assert (found["planner_model"], found["llm_retries"]) == ("environment", ".env")
    assert found["evaluator_model"] == "default"
    app = open_page("settings")
    planner = app.table[0].value
    assert list(planner.loc["Model"]) == ["environment", "environment"]
    variables = app.dataframe[0].value.set_index("Variable")
    assert list(variables.loc["LLM_RETRIES"]) == ["5", ".env"]


def test_workspace_machine_and_directories_are_shown(
    open_page: Open, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ETTh1.csv").write_text("date\n")
    monkeypatch.setenv("NAS_DATA_DIRS", f"{tmp_path / 'data'}:{tmp_path / 'nowhere'}")
    facts = "\n".join(table.value.to_string() for table in open_page("settings").table)
    assert "not made yet" in facts and "CPU cores" in facts
    assert "✓ found, 1 CSV file" in facts and "✕ not found" in facts
    seed.small(workspace), seed.all_failed(workspace)
    app = open_page("settings")
    workspace_facts = next(t.value for t in app.table if "Searches" in t.value.index)
    assert workspace_facts.loc["Searches"].iloc[0] == "2"
    assert "m0" in workspace_facts.loc["Version of its tables"].iloc[0]


def test_how_often_live_reads_is_kept_over_pages(open_page: Open, workspace: Workspace) -> None:
    seed.small(workspace)
    app = open_page("settings")
    assert app.session_state["refresh-seconds"] == 1
    app.segmented_control(key="refresh-seconds").set_value(5).run()
    app.switch_page(PAGES["live"]).run()
    assert app.session_state["refresh-seconds"] == 5
    app.switch_page(PAGES["settings"]).run()
    assert app.segmented_control(key="refresh-seconds").value == 5


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("http://u:p@h:1/v1?key=k#f", "http://h:1/v1"),
        ("http://u:p@q@h/v1", "http://h/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(address: str, shown: str) -> None:
    assert public_address(address) == shown
