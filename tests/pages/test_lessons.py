"""Earlier searches on Start, to be learned from."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from streamlit.testing.v1 import AppTest

from nas_engine.commands import Start
from nas_engine.settings import Settings
from nas_engine.similarity import Task
from nas_engine.workspace import Workspace
from tests.pages.conftest import Engine, Open, words
from tests.pages.seed import Seed


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no data: it takes a process of its own."""

    def as_they_are(tasks: Sequence[Task], settings: Settings) -> list[Task]:
        return list(tasks)

    monkeypatch.setattr("pages._parts.lessons.with_traits", as_they_are)


def tried(workspace: Workspace, horizon: int, **spec: object) -> int:
    """Seed a search with a result, and return its id."""
    seed = Seed(workspace, planner="tpe", settings={"data.pred_len": horizon}, **spec)
    seed.propose(0, "default")
    seed.train(0, 0.5)
    seed.close()
    return seed.id


def label(app: AppTest) -> str:
    """Return the heading of what can be learned from, empty where nothing can."""
    found = [box.label for box in app.expander if box.label.startswith("Learn from")]
    return found[0] if found else ""


def test_without_an_earlier_result_nothing_is_offered(
    open_page: Open, workspace: Workspace
) -> None:
    Seed(workspace).close()
    assert label(open_page("start")) == ""


def test_earlier_searches_are_offered_by_similarity_and_chosen_ones_go_with_the_search(
    workspace: Workspace, open_page: Open, engine: Engine
) -> None:
    near, far = tried(workspace, 48), tried(workspace, 192)
    app = open_page("start")
    assert "Most alike" not in words(app), "nothing is read before it is opened"
    app.session_state["start-lessons"] = True
    app.run()
    offered = app.multiselect(key="start-small-lessons")
    assert [int(option.partition(":")[0]) for option in offered.options] == [near, far]
    assert offered.value == []
    assert f"Most alike: search {near}" in words(app)
    assert "None is chosen for you" in words(app)
    offered.set_value([far]).run()
    assert "horizon 192 there" in words(app)
    app.session_state["start-lessons"] = False
    app.run()  # closed, it keeps what was chosen
    app.button(key="start-go").click().run()
    command, _ = engine.given[-1]
    assert isinstance(command, Start) and command.spec.lessons == (far,)


def test_a_search_like_another_begins_with_its_lessons(
    workspace: Workspace, open_page: Open, engine: Engine
) -> None:
    first = tried(workspace, 48)
    learning = tried(workspace, 96, lessons=[first])
    app = open_page("start", like=str(learning))
    assert label(app) == f"Learn from earlier searches: {first}"
    app.button(key="start-go").click().run()
    command, _ = engine.given[-1]
    assert isinstance(command, Start) and command.spec.lessons == (first,)
