"""The documents tell the truth about the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.__main__ import PLAN
from informer.rundir import Failure
from nas_engine.cli.main import main
from nas_engine.cli.output import settings_table
from nas_engine.commands import COMMAND
from nas_engine.guidance import understood
from nas_engine.search import SearchSpec
from nas_engine.service.fault import ErrorClass
from nas_engine.settings import Settings
from nas_engine.store.schema import open_database
from nas_engine.workspace import Workspace
from tests.sentences import quoted, said

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text("utf-8")
PAGES = sorted((PROJECT / "docs").glob("*.md"))
DOCUMENTS = [*sorted(PROJECT.glob("*.md")), *PAGES]


def page(name: str) -> str:
    """Return a page of `docs`."""
    return (PROJECT / "docs" / f"{name}.md").read_text("utf-8")


def test_the_table_of_settings_is_what_the_command_prints() -> None:
    told = page("configuration")
    assert settings_table() in told


def test_every_command_has_a_row() -> None:
    told = page("cli")
    for name in main.commands:
        assert f"| `python -m nas_engine {name}` |" in told, name


def test_the_readme_is_short_and_has_every_promise() -> None:
    assert re.findall(r"^\| (P\d+) \|", README, re.MULTILINE) == [f"P{n}" for n in range(1, 11)]
    assert len(README.splitlines()) < 120


def test_the_index_has_every_page() -> None:
    index = page("README")
    for path in PAGES:
        assert path.name == "README.md" or f"]({path.name})" in index, path.name


def test_the_tour_has_every_page_of_the_dashboard() -> None:
    titles = re.findall(r'title="([A-Z]\w+)"', (PROJECT / "app.py").read_text("utf-8"))
    rows = page("tour").partition("## Every page")[2]
    assert len(titles) > 10
    for title in titles:
        assert re.search(rf"^\| (?:\w+, )?{title}\b", rows, re.MULTILINE), title


def test_the_newest_release_is_the_version() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    told = (PROJECT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## \[(.+?)\]", told, re.MULTILINE)[:2] == ["Unreleased", version]


# -- troubleshooting ------------------------------------------------------------------------------


def test_each_sentence_that_is_explained_is_one_that_the_code_says() -> None:
    may_be_said, quotations = said(), quoted(page("troubleshooting"))
    assert len(quotations) > 100 and len(set(quotations)) == len(quotations)
    assert [sentence for sentence in quotations if sentence not in may_be_said] == []


def test_a_sentence_that_nobody_says_is_found() -> None:
    (sentence,) = quoted("| you read | what to do |\n|---|---|\n| There is no … of that. | |\n")
    assert sentence == "There is no … of that." and sentence not in said()


def test_every_class_of_failures_is_explained() -> None:
    told = page("troubleshooting")
    of_trainings = get_args(Failure.model_fields["error_class"].annotation)
    by_the_engine = set(re.findall(r'Ended\("(?:failed|stopped)", "(\w+)"', code_of("nas_engine")))
    assert len(of_trainings) > 8 and {"time", "stopped"} <= by_the_engine
    for name in {*of_trainings, *by_the_engine, *get_args(ErrorClass)}:
        assert f"| `{name}` |" in told, name


def code_of(part: str) -> str:
    return "\n".join(path.read_text("utf-8") for path in (PROJECT / part).rglob("*.py"))


# -- containers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_an_image_has_what_runs_and_no_more(name: str) -> None:
    lines = (PROJECT / name).read_text("utf-8").splitlines()
    taken = (PROJECT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in taken and not {"!.env", "!tests", "!.git", "!workspace"} & set(taken)
    for path in [line.removeprefix("!") for line in taken if line.startswith("!")]:
        assert (PROJECT / path).exists(), path
    for part in ("app.py", "pages", "nas_engine", "informer", "data", "requirements.txt"):
        assert f"!{part}" in taken, part
    assert "USER 1000" in lines and "VOLUME /workspace" in lines
    assert lines.index("USER 1000") > max(
        at for at, line in enumerate(lines) if line.startswith("RUN")
    )


def test_the_containers_are_published_on_this_computer_or_with_a_login() -> None:
    for command in re.findall(r"docker run(?:.*\\\n)*.*", page("containers")):
        assert "-p 8501:8501" not in command, "others come through a proxy that encrypts"
        served = "-p 127.0.0.1:8501:8501" in command
        login = "secrets.toml" in command and "--server.allowedHosts" in command
        assert served == ("NAS_WITHOUT_LOGIN=true" in command or login), command


def test_the_page_of_the_engine_names_every_table_state_and_command(workspace: Workspace) -> None:
    told = page("engine")
    workspace.create()
    db = open_database(workspace.db)
    tables = {name for name in db.table_names() if not name.startswith(("_", "sqlite_"))}
    (trials,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'trials'").fetchone()
    db.close()
    kinds = set(COMMAND.json_schema()["discriminator"]["mapping"])
    states = set(re.findall(r"'(\w+)'", trials.partition("state IN")[2].partition(")")[0]))
    assert len(tables) > 10 and len(kinds) > 10 and len(states) > 8
    for name in tables | kinds | (states - {"stalled", "paused"}):
        assert f"`{name}`" in told, name


def test_what_is_understood_of_words_is_what_the_table_says() -> None:
    told = page("agent")
    table = told.partition("| you say | what becomes of it |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert len(rows) > 10
    for words, becomes in rows:
        meant = understood(words, SearchSpec(), SearchSpec().start())
        assert (meant.rest and "in words") or [one.text for one in meant.constraints] == [becomes]
        assert (becomes == "in words") == bool(meant.rest), words


def test_the_results_tell_of_every_benchmark() -> None:
    told = page("results")
    for name in PLAN:
        assert f"benchmarks.{name}" in told or f"| `{name}`:" in told, name


def test_every_environment_setting_is_in_the_example() -> None:
    example = (PROJECT / ".env.example").read_text("utf-8")
    for name in Settings.model_fields:
        assert f"{name.upper()}=" in example, name


def test_the_tree_of_the_code_is_the_tree_on_disk() -> None:
    named = set(re.findall(r"^ *([\w.-]+/|[\w.-]+\.py)(?: |$)", page("code"), re.MULTILINE))
    for part in ("pages", "nas_engine", "informer", "data"):
        for path in (PROJECT / part).glob("*"):
            if path.name.startswith("_") or path.suffix not in ("", ".py"):
                continue
            name = f"{path.name}/" if path.is_dir() else path.name
            assert name in named, f"{path} is not in the tree of docs/code.md"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_local_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target
