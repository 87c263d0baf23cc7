"""The documents tell the truth about the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nas_engine.cli.main import main
from nas_engine.cli.output import settings_table
from nas_engine.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text("utf-8")
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def test_the_table_of_settings_is_what_the_command_prints() -> None:
    page = (PROJECT / "docs" / "configuration.md").read_text("utf-8")
    assert settings_table() in page


def test_every_command_is_in_the_readme() -> None:
    for name in main.commands:
        assert f"nas_engine {name}" in README, name


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
