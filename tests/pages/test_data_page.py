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
from data.parts import spans
from data.profile import Peak
from data.registry import DATASETS, DataError, find, names, own_folder
from nas_engine.workspace import Workspace
from pages._parts.data_figures import MOST_POINTS, autocorrelation_lines, parts_bar
from pages._parts.data_file import File, written
from pages._parts.data_known import searches_on
from pages._parts.data_offers import chosen_by
from pages._parts.figures import MOST_DATES, columns_over_time
from tests.dashboard import Dashboard, browsing, serving_dashboard
from tests.data.files import csv, mine, table
from tests.pages import seed
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


def test_buttons_below_the_findings_settle_them_one_after_another(
    open_page: Open, tmp_path: Path
) -> None:
    frame = table()
    frame.insert(0, "clock", frame.index.strftime("%H:%M"))
    frame = frame.set_axis(frame.index.strftime("%d.%m.%Y")).rename_axis("day")
    frame.iloc[40:60, 1] = -999.0
    path = tmp_path / "two.csv"
    path.write_bytes(csv(frame))
    app = checked(open_page, path)
    assert app.button(key="data-add").disabled
    for label in ("Times of day in clock", "-999 stands for missing", "Interpolate"):
        button = next(b for b in app.button if b.label.replace("\\", "") == label)
        button.click().run()
        assert not app.exception and not app.error
    assert app.text_input(key="data-choice-missing").value == "-999"
    said = words(app).replace("\\", "")
    assert "The file can be used." in said and "Filled 20 values of a" in said
    assert not app.button(key="data-add").disabled


def test_another_file_begins_without_the_choices_of_the_one_before(
    open_page: Open, file: Path, tmp_path: Path
) -> None:
    app = checked(open_page, file)
    app.selectbox(key="data-choice-fill").set_value("zero")
    app.multiselect(key="data-choice-drop").set_value(["site"]).run()
    other = tmp_path / "other.csv"
    other.write_bytes(csv(table()))
    app.text_input(key="data-path").set_value(str(other)).run()
    assert not app.exception and not app.error and "The file can be used." in words(app)
    # The widgets are others: a browser would show the old choices in those of the same key.
    assert app.selectbox(key="data-choice-fill-1").value is None
    assert app.multiselect(key="data-choice-drop-1").value == []
    assert not [w for w in app.multiselect if w.key == "data-choice-drop"]


def test_every_option_of_a_finding_is_understood() -> None:
    assert chosen_by("--skip-line 7") == [("skip_lines", "7")]
    assert chosen_by("--date t --date-format '%Y%m%d'") == [
        ("date", "t"),
        ("date_format", "%Y%m%d"),
    ]


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


def test_an_own_data_set_is_removed_after_a_second_press(open_page: Open) -> None:
    own.add("mine", read_bytes(csv(table())), "mine.csv", Choices())
    app = open_page("data", dataset="mine")
    assert app.query_params["dataset"] in ("mine", ["mine"])
    app.button(key="data-remove-mine-confirmed").click().run()
    assert "dataset" not in app.query_params and not app.error
    assert names() == tuple(DATASETS) and "mine" not in known(app).index
    app.button(key="data-bring-back").click().run()
    assert names() == (*DATASETS, "mine") and "mine" in known(app).index and not app.error
    assert "data-bring-back" not in {button.key for button in app.button}


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


# -- choices, split and what is recorded --------------------------------------------------------


def test_a_split_by_date_is_checked_shown_and_recorded(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "sound.csv"
    path.write_bytes(csv(table()))
    app = checked(open_page, path)
    app.button_group(key="data-choice-split").set_value("By date").run()
    assert app.text_input(key="data-choice-validate_from").value == "2024-01-12 16:00"
    app.text_input(key="data-choice-validate_from").set_value("2024-01-16").run()
    assert "which is not after the validation part" in words(app).replace("\\", "")
    app.text_input(key="data-choice-validate_from").set_value("2024-01-08")
    app.text_input(key="data-choice-test_from").set_value("2024-01-12")
    app.selectbox(key="data-choice-scaling").set_value("robust")
    app.number_input(key="data-choice-seq_len").set_value(48)
    app.number_input(key="data-choice-pred_len").set_value(12)
    app.text_input(key="data-choice-name").set_value("mine").run()
    assert "168 rows" in words(app) and "2024-01-08 to 2024-01-11 23" in words(app).replace(
        "\\", ""
    )
    app.button(key="data-add").click().run()
    dataset = find("mine")
    assert dataset.split_rows == (168, 96, 136) and dataset.scaling == "robust"
    assert (dataset.seq_len, dataset.pred_len) == (48, 12)


def test_start_begins_with_the_task_recorded_with_the_data_set(open_page: Open) -> None:
    own.add("mine", read_bytes(csv(table())), "mine.csv", Choices(), seq_len=40, pred_len=12)
    app = open_page("start", dataset="mine")
    assert app.number_input(key="start-small-mine-data-seq_len").value == 40
    assert app.number_input(key="start-small-mine-data-label_len").value <= 40
    assert app.number_input(key="start-small-mine-data-pred_len").value == 12
    assert not app.error
    app.selectbox(key="start-small-data-dataset").set_value("synthetic").run()
    assert app.number_input(key="start-small-data-seq_len").value == 96


def test_shares_that_leave_no_test_part_are_one_sentence(open_page: Open, file: Path) -> None:
    app = checked(open_page, file)
    app.number_input(key="data-choice-share-validation").set_value(40.0).run()
    assert "add up to 1" in app.error[0].value and not app.exception


# -- a look at a data set -----------------------------------------------------------------------


def test_a_known_data_set_shows_its_parts_record_and_sections(open_page: Open) -> None:
    own.add("mine", read_bytes(mine()), "mine.csv", CHOICES, seq_len=48, pred_len=12)
    app = open_page("data", dataset="mine")
    said = words(app).replace("\\", "")
    assert "Training** 420 rows" in said and "No search has used it yet" in said
    assert "Added 6 missing steps of h." in [text.value for text in app.text]
    assert "look-back 48, horizon 12" in [text.value for text in app.text]
    for section, expected in (
        ("Seasons", "No season stands out"),
        ("Drift", "deviations"),
        ("Baselines", "look-back 48, horizon 12"),
    ):
        app.session_state["data-set-look"] = section
        app.run()
        assert not app.exception and expected in words(app).replace("\\", ""), section
    table_ = app.dataframe[-1].value
    assert set(table_["Baseline"]) == {"repeat-last", "seasonal-naive", "closed-form linear"}
    assert list(table_["MSE"]) == sorted(table_["MSE"])


def test_a_file_that_lacks_values_has_no_baselines_but_a_sentence(
    open_page: Open, file: Path
) -> None:
    app = checked(open_page, file)
    app.session_state["data-file-look"] = "Baselines"
    app.run()
    assert "that are missing or not finite" in words(app).replace("\\", "")


def test_an_unknown_data_set_in_the_address_is_one_sentence(open_page: Open) -> None:
    app = open_page("data", dataset="![x](http://198.51.100.7/x.png)")
    assert "There is no data set" in app.error[0].value and "![x](" not in app.error[0].value


def test_a_published_data_set_that_is_not_here_is_downloaded_only_when_asked(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def locate(name: str, told: object) -> None:
        asked.append(name)
        raise DataError(f"{name} could not be downloaded.")

    monkeypatch.setattr("pages._parts.data_known.on_this_machine", lambda name: None)
    monkeypatch.setattr("pages._parts.data_known.locate", locate)
    app = open_page("data", dataset="ETTh1")
    assert "not on this machine yet" in words(app) and not asked
    app.button(key="data-fetch-ETTh1").click().run()
    assert asked == ["ETTh1"] and "could not be downloaded" in app.error[0].value


def test_searches_on_a_data_set_are_counted_and_said_before_it_is_removed(
    open_page: Open, workspace: Workspace
) -> None:
    seed.untouched(workspace)
    app = open_page("data", dataset="ETTh1")
    assert [link.label for link in app.page_link] == [
        "Start a search with ETTh1",
        "See the 1 search on it",
    ]
    assert searches_on("ETTh1") == [1] and searches_on("synthetic") == []


def test_the_preview_shows_both_ends_of_a_file_as_text(tmp_path: Path) -> None:
    def shown(content: bytes) -> list[str]:
        path = tmp_path / "file"
        path.write_bytes(content)
        return written(File(path, "file", len(content), 0), "utf-8-sig")

    assert shown(b"\xef\xbb\xbfa,b\n1,2\n") == ["a,b", "1,2"]
    lines = shown("\n".join(f"line {number}" for number in range(50_000)).encode())
    assert lines[0] == "line 0" and lines[-1] == "line 49999" and "…" in lines
    assert len(lines) == 12
    [long] = shown(b"x" * 300_000)[:1]
    assert len(long) < 300
    assert shown(b"PAR1" + bytes(500)) == ["A Parquet file, which has no lines."]
    assert "�" in shown(b"a\xff\n1\n")[0] and shown(b"") == []


def test_the_bar_of_parts_holds_all_rows() -> None:
    index = pd.date_range("2024-01-01", periods=110)
    figure = parts_bar(spans(index, (70, 10, 20)), 10)
    assert [trace["x"][0] for trace in figure["data"]] == [70, 10, 20, 10]
    assert figure["data"][-1]["name"] == "not used" and figure["layout"]["xaxis"]["range"][1] == 110


def test_a_long_autocorrelation_is_thinned_and_its_peaks_are_marked() -> None:
    values = np.cos(np.arange(9_001) / 100)
    lines = autocorrelation_lines(values, values, [Peak(628, 0.9)], (24,))["data"]
    assert len(lines[0]["x"]) <= MOST_POINTS and lines[2]["text"] == ["628"]


# -- in a browser -------------------------------------------------------------------------------


@pytest.fixture
def dashboard(workspace: Workspace, tmp_path: Path) -> Iterator[Dashboard]:
    with serving_dashboard(
        workspace, {"OPENROUTER_API_KEY": ""}, tmp_path / "server.log"
    ) as server:
        yield server


def rest(page: Page) -> None:
    app = page.locator("[data-testid='stApp'][data-test-script-state='notRunning']")
    expect(app).to_be_attached(timeout=30_000)


def pick(page: Page, key: str, option: str, several: bool = False) -> None:
    box = page.locator(f".st-key-{key} input")
    box.evaluate("node => node.scrollIntoView({block: 'center'})")  # a list closes when scrolled
    page.wait_for_timeout(300)
    box.click()
    page.get_by_role("option", name=option, exact=True).click()
    if several:
        page.keyboard.press("Escape")  # closes the list; a choice of one would be cleared


def energy() -> bytes:
    """Return local hours over a change of clocks, with a gap, a repeated row and missing values."""
    hours = pd.date_range("2024-08-01", periods=2400, freq="h", tz="Europe/Berlin")
    noise = np.random.default_rng(2).normal(size=(len(hours), 2))
    frame = pd.DataFrame(index=hours.tz_localize(None).strftime("%d/%m/%Y %H:%M").rename("time"))
    frame["load"] = (50 + 9 * np.sin(hours.hour * np.pi / 12) + noise[:, 0]).round(2)
    frame["temp"] = (12 + 4 * np.cos(hours.hour * np.pi / 12) + noise[:, 1]).round(2)
    frame["holiday"] = (hours.day_of_week == 6).astype(int)
    frame.iloc[700:703, 1] = np.nan
    kept = [row for row in range(len(hours)) if not 300 <= row < 306]
    return csv(frame.iloc[sorted([*kept, 1000])])


@pytest.mark.browser
def test_a_messy_energy_file_becomes_a_data_set_and_start_has_its_task(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    path = tmp_path / "energy.csv"
    path.write_bytes(energy())
    with browsing(tmp_path / "failed.png") as page:
        page.goto(f"{dashboard.url}/data")
        page.get_by_role("tab", name="Add your own").click()
        page.locator(".st-key-data-upload input[type=file]").set_input_files(path)
        expect(page.get_by_text("to mend or choose before")).to_be_visible(timeout=30_000)
        expect(page.locator(".st-key-data-add button")).to_be_disabled()
        page.locator(".st-key-data-fold-dates summary").click()
        pick(page, "data-choice-timezone", "Europe/Berlin")
        expect(page.get_by_text("Converted the dates from Europe/Berlin")).to_be_visible()
        pick(page, "data-choice-duplicates", "first")
        expect(page.get_by_text("Removed 1 repeated rows")).to_be_visible()
        pick(page, "data-choice-fill", "interpolate")
        expect(page.get_by_text("Added 6 missing steps of h.")).to_be_visible()
        pick(page, "data-choice-known_future", "holiday", several=True)
        expect(page.get_by_text("The file can be used.")).to_be_visible()
        horizon = page.locator(".st-key-data-choice-pred_len input")
        horizon.fill("48")
        horizon.press("Enter")
        rest(page)
        page.get_by_role("tab", name="Baselines").click()
        expect(page.get_by_text("Validation, look-back 96, horizon 48")).to_be_visible()
        name = page.locator(".st-key-data-choice-name input")
        name.fill("energy")
        name.press("Enter")
        rest(page)
        page.locator(".st-key-data-add button").click()
        link = page.get_by_role("link", name="Start a search with energy")
        expect(link).to_be_visible()
        link.click()
        expect(page.get_by_text("Your own, from energy.csv: 2,400 steps of h")).to_be_visible()
        field = page.locator(".st-key-start-small-energy-data-pred_len input")
        expect(field).to_have_value("48")
        assert page.get_by_test_id("stException").count() == 0
