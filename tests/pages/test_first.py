"""The first search: what Overview offers without one, the three steps, and where they lead."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from informer.estimate import training_seconds
from nas_engine.commands import Start
from nas_engine.machine import default_slots
from nas_engine.search import Limits, SearchSpec
from nas_engine.supervisor import Answer
from nas_engine.workspace import Workspace
from pages._parts import first_search
from pages._parts.beginning import address
from pages._parts.first_search import (
    BUDGETS,
    LEAST_STEPS,
    TRAININGS,
    available,
    estimate_text,
    sized,
    trials_expected,
    two_minutes,
)
from tests.pages.conftest import Engine, Open, words

BARE = {"NAS_DATA_DIRS": "/nowhere", "XDG_CACHE_HOME": "/nowhere", "XDG_DATA_HOME": "/nowhere"}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a machine without any data set, key or GPU."""
    for name, value in BARE.items():
        monkeypatch.setenv(name, value)


def given(engine: Engine) -> SearchSpec:
    [(command, search_id)] = engine.given
    assert isinstance(command, Start) and search_id is None
    return command.spec


def titled(app: AppTest) -> str:
    return str(app.title[0].value)


# -- overview without a search ------------------------------------------------------------------


def test_one_press_starts_two_minutes_on_built_in_data(
    open_page: Open, engine: Engine, workspace: Workspace, bare: None
) -> None:
    app = open_page("overview")
    assert not workspace.db.exists() and "There is no search yet." in words(app)
    assert "Nothing is downloaded, and no key is needed." in words(app)
    engine.answer = Answer(True, "Search 1 has started.", 1)
    app.button(key="overview-try").click().run()
    spec = given(engine)
    assert spec.settings["data.dataset"] == "synthetic" and spec.limits.hours == 2 / 60
    assert spec.slots == default_slots(spec.base())
    assert titled(app) == "Live"


def test_its_settings_can_be_looked_at_first(open_page: Open, engine: Engine, bare: None) -> None:
    overview = open_page("overview")
    overview.button(key="overview-try").click().run()
    shown = given(engine)
    engine.given.clear()
    app = open_page("start", **address(shown))
    assert not app.error
    app.button(key="start-go").click().run()
    assert given(engine) == shown


def test_an_engine_that_refuses_is_heard(open_page: Open, engine: Engine) -> None:
    engine.answer = Answer(False, "The disk is full.", None)
    app = open_page("overview")
    app.button(key="overview-try").click().run()
    assert "The disk is full" in app.error[0].value and titled(app) == "Overview"


def test_data_of_ones_own_lead_through_three_steps(
    open_page: Open, engine: Engine, bare: None
) -> None:
    overview = open_page("overview")
    assert titled(overview.button(key="overview-own").click().run()) == "A search in three steps"
    app = open_page("first")
    assert [step.value for step in app.subheader] == ["1 Data", "2 Task", "3 Budget"]
    assert app.selectbox(key="first-data-dataset").value == "synthetic"
    app.number_input(key="first-data-seq_len").set_value(24)
    app.number_input(key="first-data-pred_len").set_value(12)
    app.button_group(key="first-hours").set_value(1.0).run()
    app.button(key="first-go").click().run()
    spec = given(engine)
    assert (spec.limits.hours, spec.max_trials) == (1.0, BUDGETS[1.0][1])
    data = spec.base().data
    assert (data.seq_len, data.label_len, data.pred_len) == (24, 24, 12)
    assert spec.planner == "portfolio"


def test_more_settings_begin_with_what_was_chosen(
    open_page: Open, engine: Engine, bare: None
) -> None:
    app = open_page("first")
    app.button_group(key="first-features").set_value("S").run()
    app.selectbox(key="first-data-target").select("HULL").run()
    app.button(key="first-go").click().run()
    spec = given(engine)
    begun = open_page("start", **address(spec))
    (target,) = [box for box in begun.selectbox if str(box.key).endswith("-data-target")]
    assert target.value == "HULL"
    begun.button(key="start-go").click().run()
    assert engine.given[-1] == engine.given[0]


def test_a_task_that_cannot_be_is_a_sentence_and_starts_nothing(open_page: Open) -> None:
    app = open_page("first", dataset="ILI")
    app.number_input(key="first-ILI-data-pred_len").set_value(200).run()
    assert len(app.error) == 1 and app.button(key="first-go").disabled


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"data.pred_len": "-3"}, "data.pred_len"),
        ({"data.dataset": "![x](http://198.51.100.7/x)"}, "data.dataset"),
        ({"hours": "0"}, "hours"),
        ({"max_trials": "many"}, "max_trials"),
        ({"preset": "huge"}, "preset"),
    ],
)
def test_an_address_that_asks_for_what_cannot_be_is_a_sentence(
    open_page: Open, query: dict[str, str], told: str
) -> None:
    app = open_page("start", **query)
    (said,) = [error.value for error in app.error]
    assert "does not begin as this address asks" in said and "![" not in said
    assert told in said.replace("\\", "")


def test_a_file_added_for_a_first_search_leads_back_to_it(open_page: Open) -> None:
    app = open_page("data", **{"for": "first"})
    assert app.tabs[1].label == "Add your own"


# -- what fits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", BUDGETS)
@pytest.mark.parametrize("dataset", ["synthetic", "ETTm1", "ILI"])
def test_trainings_are_made_as_short_as_the_time_asks(hours: float, dataset: str) -> None:
    settings = {"data.dataset": dataset, "data.seq_len": 36, "data.label_len": 12}
    spec = sized(SearchSpec(settings=settings, limits=Limits(hours=hours)))
    training = spec.base().training
    whole = training.epochs == SearchSpec().base().training.epochs
    seconds = training_seconds(spec.base())
    if whole or training.steps_per_epoch > LEAST_STEPS:
        assert seconds <= available(spec) / TRAININGS
    assert whole == (
        training_seconds(SearchSpec(settings=settings).base()) <= available(spec) / TRAININGS
    )
    assert trials_expected(spec) >= 1


def test_two_minutes_are_enough_for_five_trials_on_two_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first_search, "default_slots", lambda config: 2)
    spec = two_minutes("portfolio")
    assert trials_expected(spec) >= 5
    assert f"About {trials_expected(spec)} trials" in estimate_text(spec)
