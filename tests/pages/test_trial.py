"""The page about one trial: what it shows of every kind of trial, and what it sends."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from playwright.sync_api import Request, expect

from informer.config import Value, fields
from informer.export import Order, Written
from nas_engine.bundling import BundlingError, zip_of
from nas_engine.cli.main import main
from nas_engine.cli.steering import ACTS as TYPED
from nas_engine.commands import Enqueue, OnTrial
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings
from nas_engine.store.rows import BaselineRow, EpochRow
from nas_engine.workspace import Workspace
from pages._parts.acts import ACTS, typed
from pages._parts.breakdown import Broken
from pages._parts.text import plain
from pages._parts.trial_curves import MEASURES, curves_alt, not_finite, seed_curves
from pages._parts.trial_files import environment_frame, files_frame
from pages._parts.trial_forecasts import against_truth, columns_alt, forecast_alt, steps_alt
from pages._parts.trial_head import command_lines
from pages._parts.trial_settings import nothing_shown, settings_frame
from pages._parts.trial_view import read
from tests.dashboard import browsing, serving_dashboard
from tests.pages import folders, seed
from tests.pages.conftest import Engine, Open, figure, words

SECTIONS = (
    *("forecasts", "errors", "exchange", "children", "log", "environment", "files"),
    "bundle",
)


def rows(*values: float | None) -> list[EpochRow]:
    return [EpochRow(0, at, value, value, value, 1e-4, 1.0) for at, value in enumerate(values, 1)]


def tables(app: Any) -> dict[str, Any]:
    """Return the tables of a page by their first column."""
    return {str(frame.value.columns[0]): frame.value for frame in app.dataframe}


# -- which trial --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("9.0", "There is no search 9 in this workspace."),
        ("1.77", "Search 1 has no trial 77."),
        ("<b>", "names no trial; a trial is named by its search and its number"),
    ],
)
def test_what_does_not_exist_is_one_sentence(
    open_page: Open, workspace: Workspace, asked: str, sentence: str
) -> None:
    seed.small(workspace)
    app = open_page("trial", trial=asked)
    assert len(app.error) == 1 and sentence in app.error[0].value
    assert not app.metric


@pytest.mark.parametrize("asked", ["99", "![x](http://example.com/x.png)"])
def test_an_unknown_search_is_a_sentence_and_another_can_be_chosen(
    open_page: Open, workspace: Workspace, asked: str
) -> None:
    seed.small(workspace)
    app = open_page("trial", search=asked)
    assert "There is no search" in app.error[0].value and "![" not in app.error[0].value
    app.selectbox(key="trial-search").select(1).run()
    assert not app.error and app.query_params["trial"] in ("1.0", ["1.0"])


def test_without_an_address_the_incumbent_is_shown_and_named(
    open_page: Open, workspace: Workspace
) -> None:
    seed.small(workspace, trials=3)
    app = open_page("trial")
    assert app.query_params["trial"] in ("1.2", ["1.2"])
    assert app.subheader[0].value == "Trial 2 of search 1"
    app.number_input(key="trial-number").set_value(1).run()
    assert app.subheader[0].value == "Trial 1 of search 1"


# -- every kind of trial ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, 3, 5, 7, 8])
def test_every_kind_of_trial_is_shown_with_all_sections_open(
    open_page: Open, workspace: Workspace, number: int
) -> None:
    search_id = seed.eventful(workspace, alive=True)
    app = open_page("trial", trial=f"{search_id}.{number}")
    for name in SECTIONS:
        app.session_state[f"trial-{name}"] = True
    app.run()
    assert not app.exception and not app.error
    assert f"Trial {number} of search {search_id}" in words(app)


def test_the_incumbent_is_shown_with_its_verdict_and_what_led_to_it(
    open_page: Open, workspace: Workspace
) -> None:
    search_id = seed.eventful(workspace)
    app = open_page("trial", trial=f"{search_id}.6")
    text = words(app)
    assert "val_mse ↓ 0.3876 1 seed" in text
    assert "vs parent −13.50 % better" in text and "vs incumbent ★ it is the incumbent" in text
    assert "vs best baseline −1.15 % better" in text
    assert "Accepted (clear improvement): val_mse 0.3876 (1 seed) is 13.50%" in text
    assert "LLM changed trial 1: seq_len 96 → 168, attention prob → full" in text
    assert "It came to +13.50 %, not as expected" in text.replace("\\", "")
    used = tables(app)["Figure"].set_index("Figure")["Value"]
    assert used["val_mse of the incumbent, trial 1"] == "0.4481 (1 seed)"
    assert used["noise (deviation over seeds)"] == "0.71 %, 2 degrees of freedom"
    assert list(tables(app)["Setting"]["Setting"]) == [
        "data.seq_len",
        "model.normalisation",
        "model.attention",
    ]


def test_an_edit_is_shown_beside_the_original_with_author_and_comment(
    open_page: Open, workspace: Workspace
) -> None:
    search_id = seed.eventful(workspace)
    text = words(open_page("trial", trial=f"{search_id}.4"))
    assert "TPE changed trial 1: lr 0.0001 → 0.001" in text
    assert "Edited to: lr 0.0001 → 0.0005, batch_size 32 → 64" in text
    assert "Edited by ada: Less" in text
    assert "vs parent +0.47 % worse, inside the noise" in text


def test_each_seed_has_a_row_and_a_curve_and_what_was_not_finite_is_counted(
    open_page: Open, workspace: Workspace
) -> None:
    search_id = seed.eventful(workspace)
    app = open_page("trial", trial=f"{search_id}.0")
    assert list(tables(app)["Seed"]["val_mse ↓"]) == ["0.6962", "0.7012", "0.7062"]
    assert "vs parent – no parent" in words(app)
    app.segmented_control(key="trial-measure").set_value("train_loss").run()
    assert "▽ Seed 2022: training loss of 1 of 6 epochs was not finite (epoch 2)." in words(app)
    names = [trace["name"] for trace in figure(app)["data"]]  # type: ignore[attr-defined]
    assert names[:3] == ["seed 2021", "seed 2022", "seed 2023"]


def test_a_trial_that_waits_leads_to_review(open_page: Open, workspace: Workspace) -> None:
    search_id = seed.eventful(workspace)
    app = open_page("trial", trial=f"{search_id}.8")
    assert "waits for your decision" in words(app)
    assert any(link.value == "Review it" for link in app.page_link)


def test_a_trial_that_trains_shows_how_far_it_is(open_page: Open, workspace: Workspace) -> None:
    search_id = seed.eventful(workspace, alive=True)
    app = open_page("trial", trial=f"{search_id}.7")
    assert "Trial 7 trains · seed 2021 · epoch 3 of 6" in str(app.get("progress")[0].proto)
    assert not app.button(key="trial-act-stop-trial").disabled
    assert app.button(key="trial-act-retry").disabled


def test_a_trial_that_was_turned_down_is_not_said_to_go_on(
    open_page: Open, workspace: Workspace
) -> None:
    search_id = seed.eventful(workspace)
    text = words(open_page("trial", trial=f"{search_id}.3"))
    assert "It was not trained: a person turned the proposal down." in text
    assert "No epoch of this trial was recorded." in text
    assert "No training was begun for this trial." in text


def test_a_search_without_trials_is_told(open_page: Open, workspace: Workspace) -> None:
    search_id = seed.untouched(workspace)
    assert "No trial of this search has begun yet." in words(
        open_page("trial", search=str(search_id))
    )


# -- acts ---------------------------------------------------------------------------------------


def test_an_act_sends_the_version_that_was_shown_and_why(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    search_id = seed.eventful(workspace, alive=True)
    app = open_page("trial", trial=f"{search_id}.6")
    app.text_input(key=f"trial-{search_id}.6-comment").set_value("once more")
    app.button(key="trial-act-another-seed").click().run()
    [(command, given)] = engine.given
    assert isinstance(command, OnTrial) and given == search_id
    assert (command.kind, command.number, command.comment) == ("another_seed", 6, "once more")
    assert command.version is not None and app.success
    assert app.text_input(key=f"trial-{search_id}.6-comment-1").value == ""


def test_what_is_typed_for_one_trial_is_not_sent_for_another(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    search_id = seed.eventful(workspace, alive=True)
    app = open_page("trial", trial=f"{search_id}.1")
    app.text_input(key=f"trial-{search_id}.1-comment").set_value("for trial 1 alone").run()
    app.query_params["trial"] = f"{search_id}.6"
    app.run()
    app.button(key="trial-act-another-seed").click().run()
    [(command, _)] = engine.given
    assert isinstance(command, OnTrial) and (command.number, command.comment) == (6, "")


def test_a_device_of_any_name_is_shown_as_text(open_page: Open, workspace: Workspace) -> None:
    search_id = seed.eventful(workspace)
    app = open_page("trial", trial=f"{search_id}.4")
    [device] = [metric.delta for metric in app.metric if metric.label == "Training time"]
    assert device == f"on {plain(seed.EVIL, 60)}" and "![" not in device


def test_a_change_of_it_can_be_enqueued(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    search_id = seed.eventful(workspace, alive=True)
    app = open_page("trial", trial=f"{search_id}.6")
    app.session_state["trial-enqueue"] = True
    app.run()
    app.number_input(key=f"enqueue-{search_id}-6-model-d_model").set_value(32).run()
    app.button(key=f"enqueue-{search_id}-6-go").click().run()
    [(command, _)] = engine.given
    assert isinstance(command, Enqueue)
    assert (command.parent, command.changes) == (6, {"model.d_model": 32})


def test_the_command_lines_are_those_of_the_command_line(
    open_page: Open, workspace: Workspace
) -> None:
    assert {typed(kind): kind for kind in ACTS} == TYPED
    search_id = seed.eventful(workspace)
    for number in (6, 8):
        lines = command_lines(read(search_id, number))
        for line in lines:
            _, _, _, command, *arguments = shlex.split(line)
            main.commands[command].make_context(command, arguments)
        assert len(lines) == 3


# -- settings -----------------------------------------------------------------------------------


def settings(words: str = "", everything: bool = False, **changed: Value) -> list[str]:
    start = SearchSpec().start()
    config = {**start, **{f"model.{key}": value for key, value in changed.items()}}
    return list(settings_frame(config, start, start, everything, words)["Setting"])


def test_only_settings_that_differ_are_shown_until_all_are_asked_for() -> None:
    assert settings(d_model=32) == ["model.d_model"]
    everything = settings(everything=True, d_model=32)
    assert everything[0] == "model.d_model" and len(everything) == len(fields())


def test_settings_are_found_by_name_and_meaning() -> None:
    assert settings("D_MODEL", d_model=32, d_ff=64) == ["model.d_model"]
    assert "data.seq_len" in settings("look-back", everything=True)
    assert settings("nothing has this", everything=True) == []
    assert nothing_shown("x", False).startswith("No setting that differs")
    assert nothing_shown("", False) == "It has the settings of its parent and of trial 0."


# -- figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("log", [False, True])
def test_plotly_accepts_the_curves_of_any_epochs(measure: Any, log: bool) -> None:
    baselines = [BaselineRow("linear", "val", 0.4, 0.4)]
    for epochs in ({1: rows(0.5, None, 0.4), 2: rows(None), 3: []}, {1: rows(*[0.3] * 50)}, {}):
        go.Figure(seed_curves(epochs, measure, baselines, 3, 1, log))
        assert MEASURES[measure] in curves_alt(epochs, measure, 3)


def test_epochs_that_are_not_finite_are_marked_where_they_were() -> None:
    data = seed_curves({1: rows(0.5, None, 0.4)}, "val_mse", [], 3, 1)["data"]
    assert data[0]["y"] == [0.5, None, 0.4]
    assert (data[1]["x"], data[1]["y"], data[1]["name"]) == (
        [2],
        [0.5],
        "seed 1: 1 of 3 epochs not finite",
    )
    assert not_finite(rows(None, 1.0, None), "val_mse") == (
        "val_mse of 2 of 3 epochs were not finite (epoch 1, 3)."
    )
    assert not_finite(rows(1.0), "val_mse") == ""


def test_the_alt_of_errors_names_the_ends_of_the_horizon_and_the_worst_column() -> None:
    errors = folders.errors(24, 0.4)
    trial = Broken((1, 1), "trial 1", errors)
    assert "MAE on the validation part" in steps_alt(errors, "mae", "validation")
    assert "at step 24" in steps_alt(errors, "mse", "validation")
    assert "of LULL" in columns_alt(trial, "mse", False, "validation")
    assert "MAE in units of the data" in columns_alt(trial, "mae", True, "validation")
    assert "of HUFL" in columns_alt(trial, "mae", True, "validation")


def test_a_forecast_begins_where_the_look_back_ends() -> None:
    window = folders.forecasts().windows[0]
    drawn = against_truth(window, window.columns[0], 1, 1)
    go.Figure(drawn)
    past, truth, forecast = drawn["data"]
    assert past["x"][-1] == truth["x"][0] == forecast["x"][0]
    assert len(truth["y"]) == 25
    assert "1.500 apart on average" in forecast_alt(window, window.columns[0])


# -- what a run left behind ---------------------------------------------------------------------


def test_forecasts_errors_files_log_and_environment_come_from_the_run_folder(
    open_page: Open, workspace: Workspace
) -> None:
    search_id = seed.eventful(workspace)
    run = folders.leave_folder(workspace, search_id, 6)
    app = open_page("trial", trial=f"{search_id}.6")
    for name in SECTIONS:
        app.session_state[f"trial-{name}"] = True
    app.run()
    text, found = words(app), tables(app)
    assert (
        "**Worst window**" in text and "MSE 1.500 over all columns · from 2017-10-03 00:00" in text
    )
    assert "The 3 columns with the largest errors were kept, 4 were not." in text
    assert str(run.path) in text and "epoch 1 of 6" in text
    assert list(found["Name"]["Name"]) == [
        "environment.json",
        "errors.json",
        "forecasts.json",
        "log.txt",
    ]
    facts = found["Fact"].set_index("Fact")["Value"]
    assert (
        facts["commit of the project"] == "0123456789abcdef, with changes that were not committed"
    )
    assert facts["val rows"] == "8,640 to 11,519"
    assert "Computed once per training at its end; no part of a search reads it." in text
    assert list(found["Time"]["Outcome"]) == ["used"]
    assert list(found["Trial"]["Trial"]) == [7, 8]
    charts = [part.key for part in app.get("bidi_component") if part.key != "waiting-notes"]
    assert len(charts) == 1 + 3 + 2 + 2


def test_the_folder_of_each_seed_is_its_own(open_page: Open, workspace: Workspace) -> None:
    search_id = seed.eventful(workspace)
    view = read(search_id, 0)
    assert [view.folder(run.seed).path.name for run in view.runs] == [
        "trial-0000",
        "trial-0000-repeat-1",
        "trial-0000-repeat-2",
    ]


def test_runs_without_a_folder_or_records_say_so(open_page: Open, workspace: Workspace) -> None:
    search_id = seed.eventful(workspace)
    app = open_page("trial", trial=f"{search_id}.1")
    for name in SECTIONS:
        app.session_state[f"trial-{name}"] = True
    app.run()
    text = words(app)
    assert text.count("This run has no folder on this machine:") == 5


def test_a_folder_without_records_says_so(open_page: Open, workspace: Workspace) -> None:
    search_id = seed.eventful(workspace)
    read(search_id, 1).folder(2021).path.mkdir(parents=True)
    app = open_page("trial", trial=f"{search_id}.1")
    for name in SECTIONS:
        app.session_state[f"trial-{name}"] = True
    app.run()
    text = words(app)
    assert "This run has no forecasts" in text
    assert "has no errors by step and column" in text
    assert "The folder is empty." in text


def test_the_errors_of_a_trial_are_drawn_in_the_measure_that_is_chosen(
    open_page: Open, workspace: Workspace
) -> None:
    search_id = seed.eventful(workspace)
    folders.leave_folder(workspace, search_id, 6)
    app = open_page("trial", trial=f"{search_id}.6")
    app.session_state["trial-errors"] = True
    app.run()
    app.segmented_control(key="trial-val-measure").set_value("mae")
    app.toggle(key="trial-val-own").set_value(True).run()
    drawn = [part.proto.json for part in app.get("bidi_component")]
    assert sum("MAE in units of the data on the validation part" in text for text in drawn) == 1
    assert sum("MSE on the test part" in text for text in drawn) == 2


def test_files_are_listed_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b").symlink_to("/etc/passwd")
    (tmp_path / "c").mkdir()
    frame = files_frame(tmp_path)
    assert list(frame["Kind"]) == ["file", "link", "folder"]
    assert frame.loc[0, "Size"] == 2
    assert files_frame(tmp_path / "none").empty


def test_generated_data_and_unknown_code_are_told() -> None:
    whole = folders.environment()
    data = whole.data.model_copy(update={"sha256": None})
    facts = environment_frame(
        whole.model_copy(update={"commit": None, "changed": None, "data": data})
    )
    found = facts.set_index("Fact")["Value"]
    assert found["commit of the project"] == "not known"
    assert found["SHA-256 of the data"] == "none"


# -- in a browser -------------------------------------------------------------------------------


@pytest.mark.browser
def test_a_click_in_the_tree_opens_the_trial_and_its_sections_ask_no_foreign_host(
    workspace: Workspace, tmp_path: Path
) -> None:
    search_id = seed.eventful(workspace)
    folders.leave_folder(workspace, search_id, 6)
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    with (
        serving_dashboard(workspace, {"OPENROUTER_API_KEY": ""}, tmp_path / "log") as dashboard,
        browsing(tmp_path / "failed.png") as page,
    ):
        page.on("request", note)
        page.goto(f"{dashboard.url}/lineage?search={search_id}")
        star = page.locator(".st-key-lineage-tree .points path.point").last
        expect(star).to_be_visible(timeout=30_000)
        star.click(force=True)
        expect(page.get_by_role("heading", name=f"Trial 6 of search {search_id}")).to_be_visible()
        page.locator(".st-key-trial-forecasts summary").click()
        expect(page.locator(".nas-chart[aria-label*='in the best window']")).to_be_visible()
        page.goto(f"{dashboard.url}/trial?trial={search_id}.3")  # its proposal holds hostile text
        expect(page.get_by_text("Half of the units is too many.")).to_be_visible()
        assert page.get_by_test_id("stException").count() == 0
    assert [url for url in asked if not url.startswith((dashboard.url, "data:", "blob:"))] == []


# -- take it home -------------------------------------------------------------------------------


def test_a_bundle_is_written_and_handed_out_with_its_two_commands(
    open_page: Open, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_id = seed.eventful(workspace)
    orders: list[Order] = []

    def write(order: Order, settings: Settings, on_step: Callable[[str], object]) -> Written:
        on_step("the weights are checked")
        orders.append(order)
        if len(orders) == 1:
            raise BundlingError("The data set <b> has changed.")
        Path(order.output).mkdir(parents=True)
        (Path(order.output) / "README.md").write_text("# A card")
        return Written(weights_seed=2021, program="There is none.", bytes=8)

    monkeypatch.setattr("pages._parts.trial_bundle.write", write)
    app = open_page("trial", trial=f"{search_id}.6")
    app.session_state["trial-bundle"] = True
    app.run()
    app.button("trial-bundle-write").click().run()
    assert "No bundle was written: The data set" in app.error[0].value
    app.button("trial-bundle-write").click().run()
    folder = workspace.bundles / f"search-{search_id}-trial-6"
    assert not app.error and zip_of(folder).is_file()
    assert [order.output for order in orders] == [str(folder)] * 2 and orders[1].replace
    text = words(app)
    assert str(folder) in text and f"nas_engine replay --bundle {folder}" in text
    assert f"informer.predict --bundle {folder}" in text
