"""Searches are taken along and taken in on Overview, and imported ones say so on every page."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from nas_engine.exchange.importing import import_search
from nas_engine.store.reader import reading
from nas_engine.workspace import Workspace
from pages._parts import exchange
from tests.engine.exchanged import altered, exported, members, packed
from tests.pages import seed
from tests.pages.conftest import Open, words
from tests.pages.folders import leave_folder
from tests.pages.seed import EVIL


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """The file of a search in which everything has happened."""
    there = Workspace(tmp_path / "there" / "nas.db")
    seed.eventful(there)
    leave_folder(there, 1, 1)
    return exported(there)


def trained_on(content: bytes, name: str) -> bytes:
    """Return the file of a search that was trained on another data set, which is not in it."""

    def rename(lines: list[dict[str, object]]) -> None:
        for line in lines:
            config = json.loads(str(line["config"]))
            line["config"] = json.dumps(config | {"data.dataset": name})

    def respell(lines: list[dict[str, object]]) -> None:
        spec = json.loads(str(lines[0]["spec"]))
        spec["settings"]["data.dataset"] = name
        lines[0].update(spec=json.dumps(spec), name=EVIL[:200])

    content = altered(altered(content, "proposals", rename), "searches", respell)
    content = altered(content, "revisions", rename)
    return packed(members(content), data={"name": name, "own": True, "sha256": "0" * 64})


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("live", {"search": "1"}),
        ("trial", {"trial": "1.1"}),
        ("compare", {"trials": "1.0,1.1"}),
        ("lineage", {"search": "1"}),
        ("transcript", {"search": "1"}),
        ("hindsight", {"search": "1"}),
        ("review", {"search": "1"}),
        ("steer", {"search": "1"}),
        ("ask", {"search": "1"}),
        ("start", {"like": "1"}),
    ],
)
def test_pages_show_an_imported_search_whose_data_is_not_here(
    open_page: Open, workspace: Workspace, content: bytes, page: str, query: dict[str, str]
) -> None:
    import_search(workspace, io.BytesIO(trained_on(content, "far-away")), f"{EVIL}.zip")
    app = open_page(page, **query)
    said = words(app)
    assert not any("](http" in caption.value for caption in app.caption)
    if page in ("live", "compare", "lineage", "transcript", "hindsight", "review", "steer", "ask"):
        assert "Imported on" in said.replace("\\", "")
        assert "is not on this machine" in said
    if page == "start":
        assert "far-away" in said.replace("\\", "")


def test_a_file_is_taken_in_by_its_upload_and_leads_to_its_search(
    open_page: Open, workspace: Workspace, content: bytes
) -> None:
    app = open_page("overview")
    assert app.button(key="exchange-take").disabled
    app.file_uploader(key="exchange-file-0").set_value(("s.zip", content, "application/zip"))
    app.run()
    app.text_input(key="exchange-name-0").set_value("From Ada").run()
    app.button(key="exchange-take").click().run()
    assert "Search 1 is imported, with 9 trials." in app.success[0].value.replace("\\", "")
    frame = app.dataframe[0].value.set_index("Search")
    assert frame["Name"][1] == "From Ada" and frame["State"][1].endswith("· imported")
    app.multiselect(key="overview-chosen").set_value([1]).run()
    assert "Imported on" in words(app) and app.get("download_button")
    with reading(workspace) as reader:
        assert reader is not None and len(reader.trials(1)) == 9


def test_a_file_that_cannot_be_taken_is_a_sentence(
    open_page: Open, workspace: Workspace, content: bytes
) -> None:
    seed.small(workspace)
    app = open_page("overview")
    cut = ("s.zip", content[:900], "application/zip")
    app.file_uploader(key="exchange-file-0").set_value(cut).run()
    app.button(key="exchange-take").click().run()
    assert "its end is missing" in app.error[0].value
    assert list(app.dataframe[0].value["Search"]) == [1]


def test_the_file_that_overview_offers_is_the_whole_search(workspace: Workspace) -> None:
    seed.small(workspace, 2)
    found = members(exchange.exporter(1, "incumbent", True)())
    assert json.loads(found["manifest.json"])["weights"] == "incumbent"
    assert len(found["trials.jsonl"].splitlines()) == 2
