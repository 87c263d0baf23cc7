"""Each page on workspaces of every kind: text and widgets as AppTest sees them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from informer.config import Value
from nas_engine import machine
from nas_engine.commands import Decide, Start
from nas_engine.machine import GPU
from nas_engine.search import Narrowing, Pruning, SearchSpec, Timer
from nas_engine.supervisor import Answer
from nas_engine.workspace import PROJECT, Workspace
from pages._parts import beginning
from tests.pages import seed
from tests.pages.conftest import (
    OF_NO_SEARCH,
    PAGES,
    WITHOUT_A_WORKSPACE,
    Engine,
    Open,
    words,
)

OF_A_SEARCH = [name for name in PAGES if name not in OF_NO_SEARCH]
OF_ONE_SEARCH = [name for name in OF_A_SEARCH if name not in ("compare", "trial")]


def address(app: AppTest, key: str) -> str:
    """Return what the address names; AppTest gives one value or a list."""
    value = app.query_params[key]
    return value if isinstance(value, str) else value[0]


# -- every page ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_A_SEARCH)
def test_an_empty_workspace_points_to_start(open_page: Open, name: str) -> None:
    app = open_page(name)
    assert "There is no search yet." in words(app)
    assert app.title[0].value.lower() == name
    assert [link.value for link in app.page_link] == [
        "Try it: two minutes on built-in data",
        "A search in three steps",
        "Start with all settings",
    ]


@pytest.mark.parametrize("name", OF_A_SEARCH)
@pytest.mark.parametrize("kind", ["eventful", "busy", "small", "all_failed", "untouched"])
def test_every_page_shows_every_kind_of_search(
    open_page: Open, workspace: Workspace, name: str, kind: str
) -> None:
    search_id = getattr(seed, kind)(workspace)
    app = open_page(name, search=str(search_id))
    assert not app.error
    assert app.title[0].value.lower() == name


@pytest.mark.parametrize("name", PAGES)
def test_a_database_of_a_newer_version_is_one_sentence(
    open_page: Open, workspace: Workspace, name: str
) -> None:
    seed.small(workspace)
    with sqlite3.connect(workspace.db) as connection:
        connection.execute("UPDATE _sqlite_migrations SET name = name || '_later'")
    connection.close()
    app = open_page(name)
    assert len(app.error) == 1
    assert "newer version" in app.error[0].value


@pytest.mark.parametrize("name", PAGES)
def test_a_file_that_is_no_database_is_one_sentence(
    open_page: Open, workspace: Workspace, name: str
) -> None:
    workspace.create()
    workspace.db.write_text("no database, but long enough to be read as one " * 40)
    app = open_page(name)
    assert len(app.error) == 1
    assert "cannot be used as a database" in app.error[0].value.replace("\\", "")


@pytest.mark.parametrize("name", PAGES)
def test_a_setting_that_is_not_valid_is_one_sentence(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("VERBOSE", "perhaps")
    app = open_page(name)
    assert len(app.error) == 1
    assert "VERBOSE" in app.error[0].value


@pytest.mark.parametrize("name", OF_ONE_SEARCH)
@pytest.mark.parametrize("asked", ["99", "no-number", "![x](http://example.com/x.png)"])
def test_an_unknown_search_in_the_address_is_a_sentence(
    open_page: Open, workspace: Workspace, name: str, asked: str
) -> None:
    seed.small(workspace)
    app = open_page(name, search=asked)
    assert "There is no search" in app.error[0].value
    assert "![" not in app.error[0].value
    app.selectbox(key="picker-search").select(1).run()
    assert not app.error and address(app, "search") == "1"


def test_the_newest_search_is_shown_and_the_chosen_one_is_kept(
    open_page: Open, workspace: Workspace
) -> None:
    first, second = seed.small(workspace), seed.all_failed(workspace)
    app = open_page("live")
    assert address(app, "search") == str(second)
    app.selectbox(key="picker-search").select(first).run()
    del app.query_params["search"]
    app.switch_page(PAGES["compare"]).run()
    assert address(app, "searches") == str(first)


def test_no_page_loads_a_heavy_library(workspace: Workspace) -> None:
    search_id = seed.eventful(workspace)
    program = f"""
import sys
from pathlib import Path
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=60).run()
for page in {[*PAGES.values(), *WITHOUT_A_WORKSPACE.values()]!r}:
    app.query_params["search"] = "{search_id}"
    app.switch_page(page).run()
    assert not app.exception, app.exception
heavy = ("torch", "langchain", "langchain_core", "langgraph", "optuna", "plotly.express")
print([name for name in heavy if name in sys.modules])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert ended.stdout.strip() == "[]", ended.stderr


# -- start --------------------------------------------------------------------------------------


def test_one_click_starts_a_useful_search(open_page: Open, engine: Engine) -> None:
    app = open_page("start")
    assert not app.error
    app.button(key="start-go").click().run()
    [(command, search_id)] = engine.given
    assert isinstance(command, Start) and search_id is None
    base = SearchSpec().base()
    slots = machine.default_slots(base)
    assert command.spec == SearchSpec(planner="portfolio", slots=slots)
    assert command.spec.base().data.dataset == "ETTh1"


def test_only_what_differs_from_the_preset_is_a_setting(open_page: Open, engine: Engine) -> None:
    app = open_page("start")
    app.button_group(key="start-preset").set_value("paper").run()
    app.number_input(key="start-paper-data-pred_len").set_value(48)
    app.number_input(key="start-paper-training-steps_per_epoch").set_value(100)
    app.button_group(key="start-mode").set_value("radical").run()
    app.button_group(key="start-timer").set_value("reject").run()
    app.number_input(key="start-minutes").set_value(7.5)
    app.number_input(key="start-rule-reject_below").set_value(-0.01)
    app.button(key="start-go").click().run()
    [(command, _)] = engine.given
    assert isinstance(command, Start)
    assert command.spec.preset == "paper" and command.spec.mode == "radical"
    assert command.spec.timer == Timer(minutes=7.5, then="reject")
    assert command.spec.settings == {"data.pred_len": 48, "training.steps_per_epoch": 100}
    assert command.spec.rules.reject_below == -0.01


def test_the_target_is_asked_for_where_one_column_is_forecast(open_page: Open) -> None:
    app = open_page("start")
    assert "start-small-data-target" not in {box.key for box in app.selectbox}
    app.button_group(key="start-small-features").set_value("S").run()
    assert app.selectbox(key="start-small-data-target").options[-1] == "OT"


def test_a_data_set_that_must_be_downloaded_first_says_so(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_DATA_DIRS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    app = open_page("start", dataset="Weather")
    (said,) = [caption.value for caption in app.caption if "not on this machine" in caption.value]
    assert "downloading 7.2 MB" in said and "`python -m data.fetch Weather`" in said
    (tmp_path / "weather.csv").touch()
    assert not any("not on this machine" in caption.value for caption in app.run().caption)


def test_problems_are_shown_and_nothing_is_started(open_page: Open, engine: Engine) -> None:
    app = open_page("start")
    app.number_input(key="start-small-data-label_len").set_value(97).run()
    assert "must not exceed" in app.error[0].value
    app.button(key="start-go").click().run()
    assert "not started" in app.error[-1].value
    assert engine.given == []


def test_slots_pruning_and_budgets_are_chosen(open_page: Open, engine: Engine) -> None:
    app = open_page("start")
    assert app.number_input(key="start-pruning-reduction").disabled
    app.number_input(key="start-small-slots").set_value(3)
    app.button_group(key="start-pruning").set_value("hyperband").run()
    app.number_input(key="start-pruning-reduction").set_value(4)
    app.number_input(key="start-pruning-min_epochs").set_value(2)
    app.number_input(key="start-limit-hours").set_value(1.5)
    app.number_input(key="start-limit-training_hours").set_value(4.0).run()
    assert "3 at once" in words(app)
    app.button(key="start-go").click().run()
    [(command, _)] = engine.given
    assert isinstance(command, Start) and command.spec.slots == 3
    assert command.spec.pruning == Pruning(method="hyperband", reduction=4, min_epochs=2)
    assert (command.spec.limits.hours, command.spec.limits.training_hours) == (1.5, 4.0)


def test_a_model_beyond_the_limit_is_a_sentence(open_page: Open) -> None:
    app = open_page("start")
    app.number_input(key="start-limit-parameters").set_value(1000).run()
    assert "this search allows 1,000" in app.error[0].value


def test_a_limit_out_of_bounds_is_a_sentence(open_page: Open, engine: Engine) -> None:
    app = open_page("start")
    app.number_input(key="start-limit-prompt_tokens").set_value(1).run()
    assert "greater than or equal to 4000" in words(app)
    assert not app.exception and engine.given == []


def test_the_space_is_narrowed_a_line_a_setting(open_page: Open, engine: Engine) -> None:
    app = open_page("start")
    app.text_area(key="start-space").set_value("model.d_model=64\n\nmodel.attention!=none").run()
    shown = app.dataframe[0].value
    assert "model.d_model" not in set(shown["Setting"])
    app.button(key="start-go").click().run()
    [(command, _)] = engine.given
    assert isinstance(command, Start)
    assert command.spec.space == {
        "model.d_model": Narrowing(values=(64,)),
        "model.attention": Narrowing(without=("none",)),
    }


def test_a_narrowing_that_cannot_be_is_a_sentence(open_page: Open, engine: Engine) -> None:
    app = open_page("start")
    app.text_area(key="start-space").set_value("model.d_model\nmodel.d_model=32").run()
    assert "is no narrowing" in words(app)
    app.button(key="start-go").click().run()
    assert engine.given == []
    app.text_area(key="start-space").set_value("model.d_model=32").run()
    assert "lies outside the space" in words(app)


def test_guidance_is_asked_for_where_a_language_model_plans(
    open_page: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-test")
    app = open_page("start")
    assert app.button_group(key="start-planner").value == "hybrid"
    app.text_area(key="start-guidance").set_value("A strong daily season.").run()
    app.button(key="start-go").click().run()
    [(command, _)] = engine.given
    assert isinstance(command, Start)
    assert (command.spec.planner, command.spec.guidance) == ("hybrid", "A strong daily season.")


def test_without_a_key_no_language_model_can_be_chosen(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page("start")
    assert app.button_group(key="start-planner").options == [
        "Portfolio",
        "TPE",
        "Rules",
        "Random",
    ]
    assert app.button_group(key="start-planner").value == "portfolio"
    assert "Normalised windows first" in words(app) and "OPENROUTER_API_KEY" in words(app)
    app.button_group(key="start-planner").set_value("rules").run()
    assert "One setting at a time" in words(app)
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-test")
    app = open_page("start")
    assert app.button_group(key="start-planner").options == [
        "Portfolio",
        "TPE",
        "LLM",
        "Hybrid",
        "Rules",
        "Random",
    ]
    assert "sk-test" not in str(app.main)


def test_a_gpu_proposes_the_published_sizes(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = GPU("NVIDIA H100", 80 * 2**30, "0")
    for place in (machine, beginning):
        monkeypatch.setattr(place, "gpus", lambda device="auto": () if device == "cpu" else (gpu,))
    app = open_page("start")
    assert app.button_group(key="start-preset").value == "paper"
    assert "Found NVIDIA H100" in words(app)


def test_a_search_with_the_same_settings_is_named(open_page: Open, workspace: Workspace) -> None:
    seed.small(workspace, trials=2)
    app = open_page("start")
    app.button_group(key="start-planner").set_value("tpe")
    app.number_input(key="start-small-data-pred_len").set_value(48).run()
    assert (
        "Search 1 has these settings and 2 of 5 trials; starting continues it to 20 trials."
        in app.info[0].value
    )


def test_a_refusal_of_the_engine_is_shown(open_page: Open, engine: Engine) -> None:
    engine.answer = Answer(False, "Search 1 is already running.", None)
    app = open_page("start")
    app.button(key="start-go").click().run()
    assert "already running" in app.error[0].value


# -- review -------------------------------------------------------------------------------------


def test_a_proposal_is_shown_beside_its_parent(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace, alive=True)
    app = open_page("review")
    difference = app.dataframe[0].value
    assert list(difference["Setting"]) == [
        "model.d_model",
        "model.dropout",
        "training.criterion_class",
    ]
    assert list(difference["Parent"]) == ["64", "0.05", "MSELoss"]
    assert list(difference["Proposed"]) == ["128", "0.15", "HuberLoss"]
    assert "Parameters: 183,367 → 521,607" in words(app)
    assert "heavy tails" in words(app)
    assert "−1.00 % to +5.00 % better than the parent" in words(app).replace("\\", "")
    assert "MB of memory" in words(app) and "of training" in words(app)


def open_review(open_page: Open) -> AppTest:
    """Open the page with the form of the proposal that waits."""
    app = open_page("review")
    app.session_state[proposal_key(app, "-approve").removesuffix("-approve") + "-edited"] = True
    return app.run()


def proposal_key(app: AppTest, ending: str) -> str:
    elements = [*app.button, *app.number_input, *app.text_input, *app.text_area, *app.toggle]
    keys = [str(element.key) for element in elements]
    return next(key for key in keys if key.startswith("review-") and key.endswith(ending))


def test_approving_names_the_version_that_was_shown(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    seed.eventful(workspace, alive=True)
    app = open_page("review")
    app.text_input(key=proposal_key(app, "-comment")).set_value("go")
    app.button(key=proposal_key(app, "-approve")).click().run()
    [(command, search_id)] = engine.given
    assert command == Decide(proposal_id=9, version=1, decision="approved", comment="go")
    assert search_id == 1
    assert app.success


def test_an_edit_sends_all_that_differs_from_the_parent(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    seed.eventful(workspace, alive=True)
    app = open_review(open_page)
    app.number_input(key=proposal_key(app, "-model-d_model")).set_value(64)
    app.number_input(key=proposal_key(app, "-data-batch_size")).set_value(16).run()
    assert not app.error
    app.button(key=proposal_key(app, "-approve-edited")).click().run()
    [(command, _)] = engine.given
    assert isinstance(command, Decide) and command.decision == "edited"
    assert command.changes == {
        "model.dropout": 0.15,
        "training.criterion_class": "HuberLoss",
        "data.batch_size": 16,
    }


def test_an_edit_with_problems_cannot_be_approved(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace, alive=True)
    app = open_review(open_page)
    app.number_input(key=proposal_key(app, "-model-n_heads")).set_value(3).run()
    assert "must divide" in app.error[0].value
    assert app.button(key=proposal_key(app, "-approve-edited")).disabled
    marked = [field.label for field in app.number_input if "✕" in field.label]
    assert set(marked) == {":red[**✕** model.n_heads]", ":red[**✕** model.d_model]"}


def test_a_rejection_needs_a_reason(open_page: Open, workspace: Workspace, engine: Engine) -> None:
    seed.eventful(workspace, alive=True)
    app = open_page("review")
    app.button(key=proposal_key(app, "-reject-confirmed")).click().run()
    assert "Say why" in app.error[0].value and engine.given == []
    app.text_area(key=proposal_key(app, "-reason")).set_value("Too large.")
    app.button(key=proposal_key(app, "-reject-confirmed")).click().run()
    [(command, _)] = engine.given
    assert isinstance(command, Decide)
    assert (command.decision, command.comment) == ("rejected", "Too large.")


def test_a_refused_decision_is_shown(open_page: Open, workspace: Workspace, engine: Engine) -> None:
    seed.eventful(workspace, alive=True)
    engine.answer = Answer(False, "The proposal was changed meanwhile; look at it again.", 1)
    app = open_page("review")
    app.button(key=proposal_key(app, "-approve")).click().run()
    assert "changed meanwhile" in app.error[0].value


def test_past_decisions_keep_what_was_proposed(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    table = open_page("review").dataframe[-1].value.set_index("Trial")
    assert table.loc[4, "Proposed"] == "lr 0.0001 → 0.001"
    assert table.loc[4, "Tried"] == "lr 0.0001 → 0.0005, batch_size 32 → 64"
    assert table.loc[3, "Decision"] == "rejected"


# -- transcript ---------------------------------------------------------------------------------


def test_an_exchange_is_shown_word_for_word(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    text = words(open_page("transcript", trial="3"))
    assert "You plan the next trial" in text and "I would try dropout." in text
    assert "refused" in text and "The reply holds no JSON object" in text
    assert "1,840 + 212 tokens" in text and "0.00871 USD" in text
    assert "rejected by ada" in text


def test_built_in_planners_claim_no_language_model(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    text = words(open_page("transcript", trial="1"))
    assert "No language model was asked for this proposal; it is from TPE." in text
    assert "Accepted (clear improvement): val_mse 0.4481 (1 seed)" in text
    seed.small(workspace)
    assert "No language model was asked in this search." in words(open_page("transcript"))


def test_each_seed_the_spread_and_the_curve_are_shown(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    text = words(open_page("transcript", trial="0"))
    assert "val_mse 0.7012 ± 0.005 (3 seeds)" in text
    for line in ("Seed 2021: completed · val_mse 0.6962", "Seed 2023: completed · val_mse 0.7062"):
        assert line in text
    assert "Curve diverging: epoch 2 of 6 had no finite figures" in text
    text = words(open_page("transcript", trial="4"))
    assert "Rejected (not distinguishable)" in text and "Curve over-fitting: " in text
    assert "inside the spread: up to 4.56 %" in text and "Seed 2021" not in text


def test_an_edit_is_shown_beside_the_original(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    text = words(open_page("transcript", trial="4"))
    assert "Proposed: lr 0.0001 → 0.001" in text
    assert "Edited to: lr 0.0001 → 0.0005, batch_size 32 → 64" in text


def test_text_and_role_filters(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    app = open_page("transcript")
    assert len(app.subheader) == 9
    app.text_input(key="transcript-text").set_value("TOO MANY REQUESTS").run()
    assert [element.value for element in app.subheader] == ["Trial 5"]
    app.text_input(key="transcript-text").set_value("nobody wrote this").run()
    assert "No trial matches" in app.info[0].value
    app.text_input(key="transcript-text").set_value("source=llm val_mse<0.4").run()
    assert [element.value for element in app.subheader] == ["Trial 6"]
    app.text_input(key="transcript-text").set_value("loss<1").run()
    assert "is no figure" in app.error[0].value


def test_trials_stand_newest_first_ten_on_a_page(open_page: Open, workspace: Workspace) -> None:
    own = seed.Seed(workspace)
    for number in range(12):
        changes: dict[str, Value] = {"model.dropout": 0.01 * number} if number else {}
        own.propose(number, "random" if number else "default", 0 if number else None, changes)
    own.close()
    app = open_page("transcript")
    assert [e.value for e in app.subheader] == [f"Trial {n}" for n in range(11, 1, -1)]
    app.number_input(key="transcript-trial").set_value(1).run()
    assert [e.value for e in app.subheader] == ["Trial 1"] and address(app, "trial") == "1"
    assert "dropout 0.05 → 0.01" in words(app)


def test_a_prompt_is_sent_when_its_trial_is_opened(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    prompt = "You plan the next trial"
    assert prompt not in (everything := words(open_page("transcript")))
    assert "I would try dropout." in everything
    assert prompt in words(open_page("transcript", trial="3"))


def test_a_trial_whose_engine_is_lost_is_paused(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace, alive=False)
    assert "**Executor** · paused" in words(open_page("transcript", trial="7"))


def test_an_unknown_trial_is_a_sentence(open_page: Open, workspace: Workspace) -> None:
    seed.small(workspace)
    assert "has no trial 42" in open_page("transcript", trial="42").error[0].value


@pytest.mark.parametrize("name", ["live", "trial", "compare", "overview"])
def test_a_search_whose_engine_is_lost_is_lost_in_every_list(
    open_page: Open, workspace: Workspace, name: str
) -> None:
    seed.eventful(workspace, alive=False)
    app = open_page(name)
    lists = [*app.selectbox, *app.multiselect]
    shown = {option for part in lists for option in part.options if "Search 1 ·" in str(option)}
    assert [str(option)[0] for option in shown] == ["✕"]
