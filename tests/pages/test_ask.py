"""The Ask page: the conversation, what answers rest on, and what is said where none can come."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nas_engine.chat.looked_up import LookedUp
from nas_engine.commands import Ask, StopAnswer
from nas_engine.service.cost import Booking
from nas_engine.store import calling, wishes
from nas_engine.store.reader import reading
from nas_engine.store.writer import Writer
from nas_engine.supervisor import Answer
from nas_engine.workspace import Workspace
from pages._parts.all_trials import all_results
from pages._parts.chat import call_text, suggestions, totals
from pages._parts.chat_figures import errors_by_trial, learning_curves, rows_frame
from pages._parts.figures import colour
from tests.pages import seed
from tests.pages.conftest import Engine, Open, words

TOLD = LookedUp(
    "trials",
    {"filter": "verdict=accepted", "sort": "number", "limit": 5, "columns": []},
    ["number", "state", "val_mse", "model.dropout"],
    [[1, "completed", 0.4481, 0.05], [6, "completed", 0.3876, None], [7, "running", None, 0.1]],
    "history",
    "3 of 9 trials",
)
CURVES = LookedUp(
    "curves",
    {"numbers": [1, 6], "metric": "val_mse"},
    ["trial", "epoch", "val_mse"],
    [[1, 1, 0.5], [1, 2, 0.4481], [6, 1, None], [6, 2, 0.3876]],
    "curves",
)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-canary-0123456789")


def turn(
    workspace: Workspace, search_id: int, state: Any = "answered", answer: str = "", **more: Any
) -> int:
    """Keep a question and its answer, and return the id of the turn."""
    writer = Writer(workspace)
    turn_id = wishes.add_turn(
        writer, search_id, more.get("question", "Which trial is best?"), "ada"
    )
    calling.reserve_call(
        writer,
        *(search_id, None, "chat", 0, "scripted", [], Booking(1200, 0.0123), "http://x", None, 99),
        turn_id=turn_id,
    )
    if answer or state != "asked":
        found = [found.plain() for found in more.get("looked_up", ())]
        wishes.answer_so_far(writer, turn_id, answer, found)
    if "draft" in more:
        wishes.note_draft(writer, turn_id, more["draft"])
    if state not in ("asked", "answering"):
        wishes.end_turn(writer, turn_id, state, more.get("problem", ""))
    writer.close()
    return turn_id


@pytest.mark.usefixtures("key")
def test_a_conversation_is_shown_with_its_draft_its_cost_and_what_is_wrong(
    workspace: Workspace, open_page: Open
) -> None:
    search_id = seed.eventful(workspace)
    turn(workspace, search_id, answer="Trial 6 has val_mse 0.3876.", looked_up=[TOLD], draft=8)
    turn(workspace, search_id, answer="Trial 6 has val_mse 0.2111.", question="And now?")
    turn(workspace, search_id, "stopped", "Trial 1")
    turn(workspace, search_id, "failed", problem="The service broke off. Ask again.")
    page = open_page("ask", search=str(search_id))
    seen = words(page)
    assert "Which trial is best?" in seen and "ada" in seen and "And now?" in seen
    assert "Trial 6 has val_mse 0.3876." in [text.value for text in page.text]
    assert "1 claim as stored" in seen
    assert "says 0\\.2111, stored 0\\.3876" in seen
    assert "Stopped by a person" in seen
    assert "broke off" in "".join(error.value for error in page.error)
    assert "Rows used (3)" in seen
    assert "4 questions · 4,800 tokens and 0\\.0492 USD booked" in seen
    links = [link.proto.label for link in page.get("page_link")]
    assert "Draft: trial 8 → Review" in links


@pytest.mark.usefixtures("key")
def test_what_a_model_says_is_never_markdown(workspace: Workspace, open_page: Open) -> None:
    search_id = seed.eventful(workspace)
    turn(workspace, search_id, answer=seed.EVIL, question=seed.EVIL, problem=seed.EVIL)
    page = open_page("ask", search=str(search_id))
    assert [text.value for text in page.text].count(seed.EVIL) == 2
    markdown = [*page.markdown, *page.caption, *page.error, *page.warning]
    assert not [element for element in markdown if re.search(r"(?<!\\)[\[<]", element.value)]


@pytest.mark.usefixtures("key")
def test_an_answer_that_is_being_written_can_be_stopped(
    workspace: Workspace, open_page: Open, engine: Engine
) -> None:
    search_id = seed.eventful(workspace, alive=True)
    turn_id = turn(workspace, search_id, "answering", "Trial 6 is", looked_up=[TOLD, CURVES])
    page = open_page("ask", search=str(search_id))
    assert "Trial 6 is" in [text.value for text in page.text]
    assert "Writing… Looked up: trials, curves" in words(page)
    page.button(key=f"ask-stop-{turn_id}").click().run()
    assert engine.given == [(StopAnswer(turn_id=turn_id), search_id)]


@pytest.mark.usefixtures("key")
def test_an_answer_whose_engine_is_gone_says_so(workspace: Workspace, open_page: Open) -> None:
    search_id = seed.eventful(workspace, alive=False)
    turn(workspace, search_id, "answering", "Trial")
    assert "Its engine is gone" in words(open_page("ask", search=str(search_id)))


@pytest.mark.usefixtures("key")
def test_a_question_is_put_and_one_that_is_refused_stays_in_the_field(
    workspace: Workspace, open_page: Open, engine: Engine
) -> None:
    search_id = seed.small(workspace)
    page = open_page("ask", search=str(search_id))
    page.chat_input[0].set_value("Which is best?").run()
    assert engine.given == [(Ask(question="Which is best?"), search_id)]
    engine.answer = Answer(False, "The engine has not answered.", search_id)
    page.chat_input[0].set_value("And the worst?").run()
    assert "has not answered" in "".join(error.value for error in page.error)
    assert page.chat_input[0].proto.value == "And the worst?"


@pytest.mark.usefixtures("key")
def test_an_empty_page_suggests_questions_of_its_own_search(
    workspace: Workspace, open_page: Open, engine: Engine
) -> None:
    search_id = seed.eventful(workspace)
    page = open_page("ask", search=str(search_id))
    button = page.button(key="ask-suggestion-0")
    assert button.label == "How far is trial 6 from the baselines, and is that more than the noise?"
    assert "Why did trial 5 fail" in page.button(key="ask-suggestion-1").label
    assert "trials 0 and 6" in page.button(key="ask-suggestion-2").label
    button.click().run()
    assert engine.given == [(Ask(question=button.label), search_id)]


def test_without_a_key_it_says_what_to_do_and_shows_what_was_asked(
    workspace: Workspace, open_page: Open
) -> None:
    search_id = seed.small(workspace)
    turn(workspace, search_id, answer="Trial 0.")
    page = open_page("ask", search=str(search_id))
    assert "OPENROUTER_API_KEY" in page.info[0].value
    assert page.chat_input[0].disabled
    assert "Trial 0." in [text.value for text in page.text]


@pytest.mark.usefixtures("key")
def test_long_conversations_show_their_newest_part_first(
    workspace: Workspace, open_page: Open
) -> None:
    search_id = seed.small(workspace)
    for number in range(23):
        turn(workspace, search_id, answer=f"Answer {number}.")
    page = open_page("ask", search=str(search_id))
    shown = [text.value for text in page.text]
    assert "Answer 22." in shown and "Answer 3." in shown and "Answer 2." not in shown
    page.button(key=f"ask-all-{search_id}-button").click().run()
    assert "Answer 0." in [text.value for text in page.text]


# -- pure ---------------------------------------------------------------------------------------


def test_rows_become_a_table_in_which_numbers_are_numbers() -> None:
    frame = rows_frame(TOLD)
    assert [str(kind) for kind in frame.dtypes] == ["Int64", "object", "Float64", "Float64"]
    mixed = LookedUp("trial", {}, ["what", "value"], [["val_mse", 0.4], ["state", "completed"]])
    assert list(rows_frame(mixed)["value"]) == ["0.4", "completed"]
    assert list(rows_frame(LookedUp("x", {}, ["a", "b"], [])).columns) == ["a", "b"]


def test_curves_are_drawn_in_the_colours_of_their_trials() -> None:
    figure = learning_curves(CURVES, 1)
    assert figure is not None
    lines = [trace for trace in figure["data"] if trace["name"] in ("Trial 1", "Trial 6")]
    assert [line["line"]["color"] for line in lines] == [colour(1), colour(6)]
    assert (lines[0]["x"], lines[0]["y"]) == ([1, 2], [0.5, 0.4481])
    assert figure["layout"]["yaxis"]["title"]["text"].startswith("val_mse")


def test_errors_are_drawn_by_trial_over_those_that_were_accepted(workspace: Workspace) -> None:
    search_id = seed.eventful(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        figure = errors_by_trial(TOLD, all_results(reader, [search_id]), 6, search_id)
    best, *dots = figure["data"]
    assert (best["x"], best["y"]) == ([0, 1, 6, 8], pytest.approx([0.7012, 0.4481, 0.3876, 0.3876]))
    assert [(dot["x"], dot["y"]) for dot in dots] == [([1], [0.4481]), ([6], [0.3876])]
    assert dots[1]["name"] == "Trial 6 ★" and dots[1]["marker"]["symbol"] == "star"


def test_a_call_is_told_without_what_says_nothing() -> None:
    assert call_text(TOLD) == "Trials · filter verdict=accepted · sort number · limit 5"
    assert call_text(CURVES) == "Curves · numbers 1, 6 · metric val_mse"


def test_totals_name_the_budget_and_suggestions_fit_any_search(workspace: Workspace) -> None:
    search_id = seed.untouched(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        search, spend = reader.search(search_id), reader.spend(search_id)
        results = all_results(reader, [search_id])
    assert search is not None
    assert totals(0, 0, 0.0, search, spend) == ""
    assert totals(1, 20, 0.5, search, spend) == (
        "1 question · 20 tokens and 0.5000 USD booked · no limit is set"
    )
    limits = search.spec.limits.model_copy(update={"usd": 2.0})
    from dataclasses import replace

    search = replace(search, spec=search.spec.model_copy(update={"limits": limits}))
    assert "the search has used 0.0000 of 2 USD" in totals(1, 20, 0.5, search, spend)
    assert len(suggestions(search, results)) == 3
