"""The Overview, what can be done with searches there, and Start with the settings of another."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from informer.orders import Timing
from nas_engine.commands import Control, Describe, Start
from nas_engine.labels import describe
from nas_engine.search import Limits, Narrowing, Pruning, Rules, SearchSpec
from nas_engine.store import trainings
from nas_engine.store.listing import SPARK_POINTS, best_so_far, listing
from nas_engine.store.reader import reading
from nas_engine.store.rows import SearchRow
from nas_engine.supervisor import Answer
from nas_engine.workspace import Workspace
from pages._parts.choice import task_differences
from pages._parts.searches import Shown, best_by_task, found, search_frame, seen
from tests.pages import seed
from tests.pages.conftest import Engine, Open, browser_states, words

ODD = "\u202e<b>*name*</b> ![x](http://198.51.100.7/x) ☃"


def listed(app: AppTest) -> pd.DataFrame:
    """Return the table of searches by their numbers."""
    frame: pd.DataFrame = app.dataframe[0].value
    return frame.set_index("Search")


def stored(workspace: Workspace, search_id: int = 1) -> SearchRow:
    with reading(workspace) as reader:
        search = reader.search(search_id) if reader else None
    assert search is not None
    return search


def choose(app: AppTest, *numbers: int) -> AppTest:
    return app.multiselect(key="overview-chosen").set_value(list(numbers)).run()


def possible(app: AppTest) -> set[str]:
    names = ("resume", "pause", "archive", "restore")
    return {name for name in names if not app.button(key=f"overview-{name}").disabled}


def say(workspace: Workspace, search_id: int = 1, **said: Any) -> None:
    command = Describe.model_validate({"edition": stored(workspace, search_id).edition, **said})
    assert describe(workspace, search_id, command).ok


# -- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["eventful", "busy", "small", "all_failed", "untouched"])
def test_every_kind_of_search_is_listed(open_page: Open, workspace: Workspace, kind: str) -> None:
    getattr(seed, kind)(workspace)
    app = open_page("overview")
    assert not app.error and app.title[0].value == "Overview"
    assert list(listed(app).index) == [1]


def test_searches_are_listed_newest_first_with_what_they_have_come_to(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace, alive=True), seed.small(workspace, 3), seed.all_failed(workspace)
    app = open_page("overview")
    frame = listed(app)
    assert list(frame.index) == [3, 2, 1]
    assert list(frame["State"]) == ["✕ engine lost", "✕ engine lost", "▶ running"]
    assert list(frame["Trials"]) == ["2 of 3", "3 of 5", "7 of 20"]
    assert list(frame["Best"].fillna(-1)) == pytest.approx([-1, 0.46, 0.3876])
    assert frame["vs baseline %"][1] == pytest.approx(100 * (0.3876 - 0.3921) / 0.3921)
    assert list(frame["Best so far"][2]) == pytest.approx([0.5, 0.48, 0.46])
    assert list(frame["Best so far"][3]) == [] and pd.isna(frame["USD"][2])
    assert frame["USD"][1] > 0 and list(frame["Horizon"]) == [96, 48, 24]
    figures = {metric.label: metric.value for metric in app.metric}
    assert (figures["Searches"], figures["Running now"]) == ("3", "1")
    assert figures["Trials done"] == "12"
    assert figures["Best on ETTh1 M, horizon 24 ↓"] == "0.3876"
    assert figures["Best on ETTh1 M, horizon 48 ↓"] == "0.4600"
    assert "3 searches, newest first; an engine works on 1" in app.dataframe[0].proto.alt


def test_names_of_any_text_are_shown_as_text(open_page: Open, workspace: Workspace) -> None:
    seed.small(workspace)
    say(workspace, name=ODD, tags=[ODD[:40]], notes=ODD)
    app = choose(open_page("overview"), 1)
    assert listed(app)["Name"][1] == ODD[1:]
    assert app.text_input(key="describe-1-name").value == ODD
    assert app.multiselect(key="overview-chosen").options[0].endswith(ODD[1:])
    assert "198.51.100.7" not in words(app)


def test_a_filter_and_the_archive_say_which_searches_are_shown(
    open_page: Open, workspace: Workspace
) -> None:
    seed.small(workspace), seed.all_failed(workspace)
    say(workspace, 1, name="First", tags=["night"], archived=True)
    app = open_page("overview")
    assert list(listed(app).index) == [2]
    app.toggle(key="overview-archived").set_value(True).run()
    assert list(listed(app).index) == [2, 1]
    assert listed(app)["State"][1] == "✕ engine lost · archived"
    app.text_input(key="overview-words").set_value("NIGHT etth1").run()
    assert list(listed(app).index) == [1]
    app.text_input(key="overview-words").set_value("nowhere").run()
    assert "No search has all of these words." in app.info[0].value
    app.toggle(key="overview-archived").set_value(False).run()
    app.text_input(key="overview-words").set_value("").run()
    say(workspace, 2, archived=True)
    app.run()
    assert "All searches are archived" in app.info[0].value


def rows_of(workspace: Workspace) -> list[Shown]:
    with reading(workspace) as reader:
        return seen(listing(reader)) if reader else []


def test_errors_are_compared_within_a_task_alone(workspace: Workspace) -> None:
    seed.small(workspace, 2), seed.eventful(workspace), seed.all_failed(workspace)
    best = best_by_task(rows_of(workspace))
    assert {row.task: (row.search.id, row.value) for row in best} == {
        "ETTh1 M, horizon 24": (2, 0.3876),
        "ETTh1 M, horizon 48": (1, 0.48),
    }
    assert best_by_task([]) == []


def test_searches_that_saw_other_data_of_one_name_are_told_apart(workspace: Workspace) -> None:
    for trials, changed in ((1, {}), (2, {"sha256": "ab" * 32}), (3, {"scaling": "robust"})):
        spec = {"max_trials": 5, "settings": {"data.seq_len": 96 + trials}}
        own = seed.Seed(workspace, **spec)
        own.propose(0, "default")
        own.train(0, 0.5 - 0.1 * trials)
        data = own.spec.data().model_copy(update=changed)
        own.sql("UPDATE searches SET data = ? WHERE id = ?", (data.model_dump_json(), own.id))
        own.close()
        if trials == 2:
            told = {row.task: row.search.id for row in best_by_task(rows_of(workspace))}
            assert told == {
                "ETTh1 M, horizon 24, SHA-256 abababab…": 2,
                "ETTh1 M, horizon 24, SHA-256 f18de3ad…": 1,
            }
    last = {row.search.id: row.task for row in best_by_task(rows_of(workspace))}
    assert "8,640 + 2,880 + 2,880 rows, robust scaling" in last[3]
    with reading(workspace) as reader:
        assert reader is not None
        one, two, three = (reader.search(number) for number in (1, 2, 3))
    assert one is not None and two is not None and three is not None
    assert task_differences([one, two]) == {"data": ["SHA-256 f18de3ad…", "SHA-256 abababab…"]}
    assert "robust scaling" in str(task_differences([one, two, three])["data"][2])
    assert task_differences([one, one]) == {}


def test_the_best_so_far_keeps_its_ends_and_never_rises(workspace: Workspace) -> None:
    own = seed.Seed(workspace, max_trials=60)
    for number in range(60):
        own.propose(number, "random" if number else "default")
        trainings.begin_run(own.writer, own.id, number, 2021)
    own.sql("UPDATE trials SET val_mse = 1.0 / (1 + number) + 0.3 * (number % 2)")
    own.sql("UPDATE trials SET val_mse = NULL WHERE number % 7 = 6")
    own.close()
    with reading(workspace) as reader:
        assert reader is not None
        line = best_so_far(reader, own.id)
        assert best_so_far(reader, 99) == ()
    assert len(line) == SPARK_POINTS and list(line) == sorted(line, reverse=True)
    assert line[0] == 1.0 and line[-1] == pytest.approx(1 / 59)


def test_a_list_without_names_and_tags_has_no_columns_for_them(workspace: Workspace) -> None:
    seed.small(workspace)
    frame = search_frame(rows_of(workspace), lambda row: (), lambda row: "")
    assert "Name" not in frame and "Tags" not in frame
    say(workspace, tags=["a"])
    assert "Tags" in search_frame(
        found(rows_of(workspace), "a", False), lambda row: (), lambda row: ""
    )


# -- what can be done ---------------------------------------------------------------------------


def test_only_what_is_possible_for_a_chosen_search_can_be_pressed(
    open_page: Open, workspace: Workspace
) -> None:
    seed.busy(workspace, alive=True), seed.small(workspace)
    say(workspace, 2, archived=True)
    app = open_page("overview")
    assert possible(app) == set()
    app.toggle(key="overview-archived").set_value(True).run()
    assert possible(choose(app, 1)) == {"pause"}
    assert possible(choose(app, 2)) == {"resume", "restore"}
    assert possible(choose(app, 1, 2)) == {"pause", "resume", "restore"}


def test_an_act_reaches_each_chosen_search_that_it_suits_and_is_answered(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    seed.busy(workspace, alive=True), seed.small(workspace), seed.all_failed(workspace)
    app = choose(open_page("overview"), 1, 2, 3)
    engine.answer = Answer(True, "It goes on.", 1)
    app.button(key="overview-resume").click().run()
    assert engine.given == [(Control(kind="resume", version=1), n) for n in (2, 3)]
    assert app.success[0].value.count("It goes on") == 2
    engine.answer = Answer(False, "It has changed meanwhile.", 1)
    app.button(key="overview-pause").click().run()
    assert "It has changed meanwhile" in app.error[0].value


def test_archiving_is_undone_with_one_press(open_page: Open, workspace: Workspace) -> None:
    seed.small(workspace), seed.all_failed(workspace)
    app = choose(open_page("overview"), 1, 2)
    app.button(key="overview-archive").click().run()
    assert stored(workspace, 1).archived and stored(workspace, 2).archived
    app.toggle(key="overview-archived").set_value(True).run()
    choose(app, 1, 2).button(key="overview-restore").click().run()
    assert not stored(workspace, 1).archived and not stored(workspace, 2).archived
    assert app.success[0].value == "Search 1: restored\\. Search 2: restored\\."


def test_links_lead_to_the_search_its_duplicate_and_the_best_trials(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace), seed.small(workspace, 3), seed.all_failed(workspace)
    links = {link.value: link.proto for link in choose(open_page("overview"), 1).page_link}
    assert links["Open"].query_string == "search=1"
    assert links["Duplicate"].query_string == "like=1"
    app = choose(open_page("overview"), 1, 2, 3)
    links = {link.value: link.proto for link in app.page_link}
    assert links["Open"].disabled and links["Duplicate"].disabled
    assert links["Compare the best"].query_string == "trials=1.6%2C2.2"


def test_a_search_is_described(open_page: Open, workspace: Workspace) -> None:
    seed.small(workspace)
    app = choose(open_page("overview"), 1)
    app.text_input(key="describe-1-name").set_value("First")
    app.multiselect(key="describe-1-tags").set_value(["night"])
    app.text_area(key="describe-1-notes").set_value("Looks good.\nOr not.")
    app.button(key="describe-1-save").click().run()
    assert app.success[0].value == "Search 1: saved name, tags, notes\\."
    search = stored(workspace)
    assert (search.name, search.tags, search.notes) == ("First", ["night"], "Looks good.\nOr not.")
    app.text_area(key="describe-1-notes").set_value("")
    app.button(key="describe-1-save").click().run()
    assert stored(workspace).notes == "" and stored(workspace).name == "First"


def test_what_two_people_write_at_once_is_lost_for_neither(
    open_page: Open, workspace: Workspace
) -> None:
    seed.small(workspace)
    app = choose(open_page("overview"), 1)
    app.text_area(key="describe-1-notes").set_value("mine").run()
    say(workspace, notes="theirs")
    app.button(key="describe-1-save").click().run()
    assert "described by somebody else meanwhile" in app.error[0].value
    assert stored(workspace).notes == "theirs" and "Notes: theirs" in words(app)
    assert app.text_area(key="describe-1-notes").value == "mine"
    app.button(key="describe-1-save").click().run()
    assert stored(workspace).notes == "mine" and not app.warning
    say(workspace, notes="theirs again")
    app.run()
    app.button(key="describe-1-take").click().run()
    assert app.text_area(key="describe-1-notes-1").value == "theirs again" and not app.warning


def test_a_tick_on_its_way_takes_back_nothing_that_the_page_has_set(
    open_page: Open, workspace: Workspace
) -> None:
    seed.small(workspace), seed.all_failed(workspace)
    app = open_page("overview")
    with_the_row = browser_states(app, row=1)
    for _ in ("the click", "a tick that left before the browser knew what came of it"):
        app._run(with_the_row)
        assert app.multiselect[0].value == [1] and app.text_area[0].label == "Notes"
    app.text_area[0].set_value("mine").run()
    say(workspace, notes="theirs")
    app.run()
    before = browser_states(app)
    app.button(key="describe-1-take").click().run()
    app._run(before)
    assert app.text_area[0].value == "theirs" and not app.warning


def test_ones_own_archiving_is_not_taken_for_what_somebody_else_did(
    open_page: Open, workspace: Workspace
) -> None:
    seed.small(workspace)
    app = choose(open_page("overview"), 1)
    app.toggle(key="overview-archived").set_value(True).run()
    app.button(key="overview-archive").click().run()
    assert stored(workspace).archived and not app.warning


def test_a_form_that_is_opened_anew_begins_from_what_is_stored(
    open_page: Open, workspace: Workspace
) -> None:
    seed.small(workspace)
    app = choose(choose(open_page("overview"), 1))
    say(workspace, name="theirs")
    choose(app, 1)
    assert app.text_input(key="describe-1-name").value == "theirs" and not app.warning


# -- start like another search ------------------------------------------------------------------

LIKE = SearchSpec(
    preset="small",
    settings={"data.pred_len": 48, "data.features": "MS", "model.dropout": 0.2},
    planner="random",
    mode="review",
    space={"model.d_model": Narrowing(values=(32, 64)), "model.norm": Narrowing(without=("pre",))},
    max_trials=7,
    slots=3,
    pruning=Pruning(method="hyperband", reduction=3),
    rules=Rules(seeds=2),
    limits=Limits(hours=2.5, memory_mb=4000),
    at_most={"latency_ms": 5.125, "flops": 30_000_000},
    timing=Timing(batch=4, device="cpu", threads=2),
)


def test_a_duplicate_begins_with_all_that_the_other_search_has(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    seed.Seed(workspace, **LIKE.model_dump()).close()
    original = stored(workspace).spec
    app = open_page("start", like="1")
    assert app.title[0].value == "Start a search like search 1" and not app.error
    assert "Search 1 has these settings" in app.info[0].value
    app.number_input(key="start-like-1-trials").set_value(9)
    app.button(key="start-go").click().run()
    (command, search_id) = engine.given[0]
    assert isinstance(command, Start) and search_id == 1
    assert command.spec == original.model_copy(update={"max_trials": 9})


def test_a_duplicate_can_be_left_for_a_preset(open_page: Open, workspace: Workspace) -> None:
    seed.Seed(workspace, **LIKE.model_dump()).close()
    app = open_page("start", like="1")
    app.button(key="start-afresh").click().run()
    assert app.title[0].value == "Start a search" and "like" not in app.query_params
    assert app.number_input(key="start-trials").value == SearchSpec().max_trials


@pytest.mark.parametrize("asked", ["9", "x", "![x](http://198.51.100.7/x)"])
def test_an_unknown_search_to_start_from_is_a_sentence(
    open_page: Open, workspace: Workspace, asked: str
) -> None:
    seed.small(workspace)
    app = open_page("start", like=asked)
    assert "There is no search" in app.error[0].value and "![" not in app.error[0].value
    assert app.title[0].value == "Start a search"


def test_a_search_whose_data_set_is_gone_says_so(open_page: Open, workspace: Workspace) -> None:
    own = seed.Seed(workspace)
    own.sql("UPDATE searches SET spec = replace(spec, '\"training.epochs\"', '\"data.gone\"')")
    own.close()
    app = open_page("start", like="1")
    assert "no longer valid" in app.error[0].value and app.title[0].value == "Start a search"
