"""The Data page: known data sets, and a CSV file that becomes one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from data import own
from data.choices import Choices
from data.intake import read_bytes
from data.registry import DATASETS, find, names, own_folder
from nas_engine.workspace import Workspace
from pages._parts.figures import MOST_DATES, columns_over_time
from tests.dashboard import Dashboard, browsing, serving_dashboard
from tests.data.files import csv, mine, table
from tests.pages.conftest import Open, figure, words

CHOICES = Choices(fill="interpolate", past_only=("site",), known_future=("holiday",), target="a")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_bytes(mine())
    return path


def checked(open_page: Open, path: Path) -> AppTest:
    app = open_page("data")
    app.text_input(key="data-path").set_value(str(path)).run()
    assert not app.exception
    return app


def known(app: AppTest) -> pd.DataFrame:
    frame: pd.DataFrame = app.dataframe[0].value
    return frame.set_index("Name")


def test_without_own_data_sets_the_built_in_ones_are_listed(open_page: Open) -> None:
    app = open_page("data")
    assert list(known(app).index) == list(DATASETS)
    assert "Choose a data set in the table" in words(app)
    assert not app.error and app.title[0].value == "Data"


def test_what_a_file_lacks_is_listed_and_it_cannot_be_added_yet(
    open_page: Open, file: Path
) -> None:
    app = checked(open_page, file)
    said = words(app).replace("\\", "")
    assert "3 things to mend or choose" in said
    assert "6 steps of h are missing in 1 gap" in said and "'site' is constant" in said
    assert app.button(key="data-add").disabled


def test_choices_make_a_file_usable_and_it_is_added(open_page: Open, file: Path) -> None:
    app = checked(open_page, file)
    app.selectbox(key="data-choice-fill").set_value("interpolate")
    app.multiselect(key="data-choice-past_only").set_value(["site"])
    app.multiselect(key="data-choice-known_future").set_value(["holiday"])
    app.text_input(key="data-choice-name").set_value("mine").run()
    assert "The file can be used." in words(app)
    assert "Added 6 missing steps of h" in words(app).replace("\\", "")
    app.button(key="data-add").click().run()
    assert not app.error and not app.exception
    dataset = find("mine")
    assert dataset.past_only == ("site",) and dataset.known_future == ("holiday",)
    assert known(app).loc["mine", "Whose"] == "own"
    assert known(app).loc["mine", "Rows"] == 600
    link = app.page_link[0]
    assert "Start a search with mine" in link.value or link.label
    assert file.read_bytes() == mine()


def test_a_refused_name_is_one_sentence(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "sound.csv"
    path.write_bytes(csv(table()))
    app = checked(open_page, path)
    for name, said in (("a/b", "cannot be the name"), ("ETTh1", "built-in"), ("", "cannot be")):
        app.text_input(key="data-choice-name").set_value(name).run()
        app.button(key="data-add").click().run()
        assert said in app.error[0].value.replace("\\", "")
    assert names() == tuple(DATASETS)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"", "The file is empty"), (b"a\xff,b\n1,2", "is not UTF-8")],
)
def test_a_file_that_cannot_be_looked_at_is_one_sentence(
    open_page: Open, tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "file.csv"
    if content is not None:
        path.write_bytes(content)
    app = checked(open_page, path)
    assert len(app.error) == 1 and said in app.error[0].value.replace("\\", "")


def test_choices_that_conflict_are_one_sentence(open_page: Open, file: Path) -> None:
    app = checked(open_page, file)
    app.multiselect(key="data-choice-drop").set_value(["a"])
    app.multiselect(key="data-choice-past_only").set_value(["a"]).run()
    assert "can play one part only" in app.error[0].value
    app.multiselect(key="data-choice-drop").set_value([])
    app.selectbox(key="data-choice-frequency").set_value("D").run()
    assert not app.exception


def test_another_file_begins_without_the_choices_of_the_last(
    open_page: Open, file: Path, tmp_path: Path
) -> None:
    app = checked(open_page, file)
    app.multiselect(key="data-choice-drop").set_value(["site"]).run()
    other = tmp_path / "other.csv"
    other.write_bytes(csv(table()))
    app.text_input(key="data-path").set_value(str(other)).run()
    assert not app.exception and not app.error
    assert app.multiselect(key="data-choice-drop").value == []
    assert "The file can be used." in words(app)


def test_an_own_data_set_is_removed_after_a_second_press(open_page: Open) -> None:
    own.add("mine", read_bytes(csv(table())), "mine.csv", Choices())
    app = open_page("data", dataset="mine")
    assert app.query_params["dataset"] in ("mine", ["mine"])
    app.button(key="data-remove-mine-confirmed").click().run()
    assert "dataset" not in app.query_params and not app.error
    assert names() == tuple(DATASETS) and "mine" not in known(app).index


def test_a_damaged_data_set_is_a_warning_and_can_be_removed(open_page: Open) -> None:
    own.add("mine", read_bytes(csv(table())), "mine.csv", Choices())
    (own_folder() / "mine" / "dataset.json").write_text("broken")
    app = open_page("data")
    assert "Data set 'mine' is damaged" in app.warning[0].value.replace("\\", "")
    assert "mine" not in known(app).index
    app.button(key="data-remove-mine-confirmed").click().run()
    assert not app.warning and own.damaged() == {}


def test_names_of_columns_stay_text(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "hostile.csv"
    hostile = "![x](http://198.51.100.7/x.png)"
    path.write_bytes(csv(table().rename(columns={"a": hostile, "b": "<b>b</b>"})))
    app = checked(open_page, path)
    interpreted = words(app).replace("\n".join(code.value for code in app.code), "")
    assert "![x](" not in interpreted and "![x](" in app.code[0].value
    app.multiselect(key="data-file-drawn").set_value([hostile, "<b>b</b>"]).run()
    lines = figure(app, 1)["data"]
    assert [line["name"] for line in lines] == [hostile, "&lt;b&gt;b&lt;/b&gt;"]  # type: ignore[attr-defined]


def test_start_offers_own_data_sets_and_the_columns_that_can_be_forecast(open_page: Open) -> None:
    own.add("mine", read_bytes(mine()), "mine.csv", CHOICES)
    app = open_page("start", dataset="mine")
    box = app.selectbox(key="start-small-data-dataset")
    assert box.options == [*DATASETS, "mine"] and box.value == "mine"
    app.button_group(key="start-small-features").set_value("MS").run()
    target = app.selectbox(key="start-small-data-target")
    assert target.options == ["a", "b"] and target.value == "a"


def test_a_removed_data_set_does_not_break_start(open_page: Open) -> None:
    app = open_page("start", dataset="gone")
    assert app.selectbox(key="start-small-data-dataset").value == "ETTh1" and not app.error


def test_a_long_series_is_thinned_and_gaps_stay_gaps() -> None:
    frame = table(MOST_DATES * 3 + 1)
    frame.iloc[3, 0] = np.nan
    [line] = columns_over_time(frame, ["a"])["data"]
    assert len(line["x"]) <= MOST_DATES and line["x"][0] == "2024-01-01 00:00:00"
    [short] = columns_over_time(frame[:10], ["a"])["data"]
    assert len(short["y"]) == 10 and short["y"][3] is None and not short["connectgaps"]


# -- in a browser -------------------------------------------------------------------------------


@pytest.fixture
def dashboard(workspace: Workspace, tmp_path: Path) -> Iterator[Dashboard]:
    with serving_dashboard(
        workspace, {"OPENROUTER_API_KEY": ""}, tmp_path / "server.log"
    ) as server:
        yield server


def pick(page: Page, key: str, option: str, several: bool = False) -> None:
    box = page.locator(f".st-key-{key} input")
    box.evaluate("node => node.scrollIntoView({block: 'center'})")  # a list closes when scrolled
    page.wait_for_timeout(300)
    box.click()
    page.get_by_role("option", name=option, exact=True).click()
    if several:
        page.keyboard.press("Escape")  # closes the list; a choice of one would be cleared


@pytest.mark.browser
def test_a_file_with_gaps_is_uploaded_filled_and_added(
    dashboard: Dashboard, file: Path, tmp_path: Path
) -> None:
    with browsing(tmp_path / "failed.png") as page:
        page.goto(f"{dashboard.url}/data")
        page.locator(".st-key-data-upload input[type=file]").set_input_files(file)
        expect(page.get_by_text("6 steps of h are missing")).to_be_visible(timeout=30_000)
        expect(page.locator(".st-key-data-add button")).to_be_disabled()
        pick(page, "data-choice-fill", "interpolate")
        expect(page.get_by_text("Added 6 missing steps")).to_be_visible(timeout=15_000)
        pick(page, "data-choice-past_only", "site", several=True)
        expect(page.get_by_text("it is held at 0")).to_be_visible(timeout=15_000)
        pick(page, "data-choice-known_future", "holiday", several=True)
        expect(page.get_by_text("The file can be used.")).to_be_visible(timeout=15_000)
        expect(page.locator(".st-key-data-series .scatterlayer")).to_be_visible(timeout=15_000)
        page.locator(".st-key-data-choice-name input").fill("mine")
        page.locator(".st-key-data-choice-name input").press("Enter")
        page.locator(".st-key-data-add button").click()
        link = page.get_by_role("link", name="Start a search with mine")
        expect(link).to_be_visible(timeout=15_000)
        assert (link.get_attribute("href") or "").endswith("?dataset=mine")
        assert page.get_by_test_id("stException").count() == 0


@pytest.mark.browser
def test_start_shows_an_own_data_set_that_the_address_names(
    dashboard: Dashboard, file: Path, tmp_path: Path
) -> None:
    own.add("mine", read_bytes(mine()), str(file), CHOICES)
    with browsing(tmp_path / "failed.png") as page:
        page.goto(f"{dashboard.url}/start?dataset=mine")
        expect(page.get_by_text("Your own, from mine.csv")).to_be_visible(timeout=30_000)
        expect(page.get_by_text("Trial 0 has")).to_be_visible(timeout=10_000)
        assert page.get_by_test_id("stException").count() == 0
