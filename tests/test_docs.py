"""The documents tell the truth about the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import PLAN
from nas_engine.cli.main import main
from nas_engine.cli.output import settings_table
from nas_engine.commands import COMMAND
from nas_engine.guidance import understood
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings
from nas_engine.store.schema import open_database
from nas_engine.workspace import Workspace

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text("utf-8")
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def test_the_table_of_settings_is_what_the_command_prints() -> None:
    page = (PROJECT / "docs" / "configuration.md").read_text("utf-8")
    assert settings_table() in page


def test_every_command_is_in_the_readme() -> None:
    for name in main.commands:
        assert f"nas_engine {name}" in README, name


def test_the_page_of_the_engine_names_every_table_state_and_command(workspace: Workspace) -> None:
    page = (PROJECT / "docs" / "engine.md").read_text("utf-8")
    workspace.create()
    db = open_database(workspace.db)
    tables = {name for name in db.table_names() if not name.startswith(("_", "sqlite_"))}
    (trials,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'trials'").fetchone()
    db.close()
    kinds = set(COMMAND.json_schema()["discriminator"]["mapping"])
    states = set(re.findall(r"'(\w+)'", trials.partition("state IN")[2].partition(")")[0]))
    assert len(tables) > 10 and len(kinds) > 10 and len(states) > 8
    for name in tables | kinds | (states - {"stalled", "paused"}):
        assert f"`{name}`" in page, name


def test_what_is_understood_of_words_is_what_the_table_says() -> None:
    page = (PROJECT / "docs" / "agent.md").read_text("utf-8")
    table = page.partition("| you say | what becomes of it |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert len(rows) > 10
    for words, becomes in rows:
        meant = understood(words, SearchSpec(), SearchSpec().start())
        assert (meant.rest and "in words") or [one.text for one in meant.constraints] == [becomes]
        assert (becomes == "in words") == bool(meant.rest), words


def test_the_results_tell_of_every_benchmark() -> None:
    page = (PROJECT / "docs" / "results.md").read_text("utf-8")
    for name in PLAN:
        assert f"benchmarks.{name}" in page or f"| `{name}`:" in page, name


def test_every_environment_setting_is_in_the_example() -> None:
    example = (PROJECT / ".env.example").read_text("utf-8")
    for name in Settings.model_fields:
        assert f"{name.upper()}=" in example, name


def test_the_tree_of_the_readme_is_the_tree_on_disk() -> None:
    named = set(re.findall(r"^ *([\w.-]+/|[\w.-]+\.py)(?: |$)", README, re.MULTILINE))
    for part in ("pages", "nas_engine", "informer", "data"):
        for path in (PROJECT / part).glob("*"):
            if path.name.startswith("_") or path.suffix not in ("", ".py"):
                continue
            name = f"{path.name}/" if path.is_dir() else path.name
            assert name in named, f"{path} is not in the README's tree"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_local_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target
