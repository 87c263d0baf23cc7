"""The timeline of a trial, the address of an exchange, what a filter found, and downloads."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from informer.config import Value, from_flat
from nas_engine.proposals import Proposal
from nas_engine.service.cost import Booking
from nas_engine.store import calling, proposing, wishes
from nas_engine.store.provenance import RoleSpend
from nas_engine.workspace import Workspace
from pages._parts.states import proposer
from pages._parts.transcript_calls import totals
from pages._parts.transcript_export import bounded
from tests.pages import seed
from tests.pages.conftest import Open, words


@pytest.fixture
def revised(workspace: Workspace) -> seed.Seed:
    """A search whose trial 1 was asked for again and edited, and whose trial 2 is a fallback."""
    own = seed.Seed(workspace, planner="llm", mode="review")
    own.propose(0, "default")
    own.train(0, 0.7)
    first: dict[str, Value] = {"model.dropout": 0.4}
    claim = "Trial 0 (0.70) is wide; trial 0 reached 0.62."
    proposal = own.propose(1, "llm", 0, first, claim, waiting=True)
    own.call(1, "used", "first answer")
    proposing.ask_again(own.writer, proposal, 1, "ada", f"Smaller steps. {seed.EVIL}")
    own.call(1, "used", "second answer")
    better = Proposal(source="llm", parent=0, changes={"model.dropout": 0.2}, hypothesis="Less.")
    proposing.propose_again(
        own.writer, proposal, 2, better, from_flat({**own.config(0), **better.changes})
    )
    edited: dict[str, Value] = {"model.dropout": 0.1}
    config = from_flat({**own.config(0), **edited})
    proposing.decide(
        own.writer, proposal, 3, "edited", "bob", "Less still.", (edited, config, "small")
    )
    moved = "UPDATE proposals SET waiting_since = decided_at - 252 WHERE number = 1"
    own.sql(moved)
    own.train(1, 0.6)
    own.propose(2, "fallback", 1, {"model.dropout": 0.3}, reasons="TPE proposes.")
    own.call(2, "failed", "", "429: too many requests")
    return own


def links(app: AppTest) -> dict[str, str]:
    return {link.value: link.proto.query_string for link in app.page_link}


def steps(app: AppTest) -> list[str]:
    return [step.label for step in app.expander if step.label.startswith("**")]


def test_versions_that_were_asked_for_again_and_edited_stand_in_the_timeline(
    open_page: Open, revised: seed.Seed
) -> None:
    app = open_page("transcript", trial="1")
    shown = steps(app)
    assert [label.partition(" · ")[0] for label in shown] == [
        *("**Planner**", "**Review**", "**Planner**", "**Review**", "**Executor**"),
        "**Evaluator**",
    ]
    assert "version 1, LLM: dropout 0\\.05 → 0\\.4" in shown[0]
    assert "asked again by ada: Smaller steps" in shown[1]
    assert "small step from trial 0: dropout 0\\.05 → 0\\.2" in shown[2]
    assert "edited by bob: Less still\\." in shown[3] and "after 4 min 12 s" in shown[3]
    text = words(app)
    assert text.index("first answer") < text.index("second answer")
    assert "Edited to: dropout 0.05 → 0.1" in text
    assert "![x]" not in "".join(shown)


def test_claims_of_a_hypothesis_are_marked_under_it(open_page: Open, revised: seed.Seed) -> None:
    text = words(open_page("transcript", trial="1"))
    assert "1 claim as stored" in text
    assert "✕ trial 0: val\\_mse: says 0\\.62, stored 0\\.7" in text


def test_a_fallback_says_plainly_that_the_language_model_gave_no_answer(
    open_page: Open, revised: seed.Seed
) -> None:
    app = open_page("transcript", trial="2")
    assert "gave no usable answer: proposed by the optimiser instead" in app.warning[0].value
    assert "429" in words(app)


def test_a_published_design_is_named_with_its_paper() -> None:
    assert proposer("portfolio", "PatchTST (Nie et al. 2023): its sizes.") == (
        "portfolio, PatchTST (Nie et al. 2023)"
    )
    assert proposer("tpe", "Sampled: as good trials.") == "TPE"


def test_the_figures_of_the_rule_stand_in_a_table(open_page: Open, revised: seed.Seed) -> None:
    figures = open_page("transcript", trial="1").dataframe[0].value.set_index("Figure")["Value"]
    assert figures["improvement over it"] == "+14.29 %"
    assert figures["accepted above"] == "+2.00 %"


def test_from_a_trial_to_its_exchange_and_back(open_page: Open, revised: seed.Seed) -> None:
    trial = open_page("trial", trial="1.1")
    assert links(trial)["Transcript"] == "search=1&trial=1"
    shown = open_page("transcript", search="1", trial="1")
    assert links(shown)["Exchange 2"] == "search=1&call=2"
    assert links(shown)["Trial"] == "trial=1.1"
    exchange = open_page("transcript", search="1", call="2")
    text = words(exchange)
    assert exchange.subheader[0].value == "Exchange 2" and "You plan the next trial" in text
    assert text.index("second answer") < text.index("first answer")
    assert [entry.value for entry in exchange.subheader] == ["Exchange 2", "Trial 1"]
    assert links(exchange)["Trial 1"] == "trial=1.1"
    exchange.number_input(key="transcript-trial").set_value(2).run()
    assert [entry.value for entry in exchange.subheader] == ["Trial 2"]


def test_a_trial_page_leads_to_each_exchange(open_page: Open, revised: seed.Seed) -> None:
    app = open_page("trial", trial="1.1")
    app.session_state["trial-exchange"] = True
    (table,) = (
        found.value
        for found in app.run().dataframe
        if "Open" in found.value and "Outcome" in found.value
    )
    assert list(table["Open"]) == [f"./transcript?search=1&call={call}" for call in (1, 2)]


def test_an_exchange_of_a_chat_stands_alone(open_page: Open, revised: seed.Seed) -> None:
    turn = wishes.add_turn(revised.writer, 1, "Which is best?", "ada")
    messages = [{"role": "user", "content": f"Which? {seed.EVIL}"}]
    call = calling.reserve_call(
        revised.writer,
        *(1, None, "chat", 0, "m", messages, Booking(9, 0.25), "http://127.0.0.1", None, 9),
        turn_id=turn,
    )
    app = open_page("transcript", search="1", call=str(call))
    text = words(app)
    assert "It belongs to a chat, and is no step of a trial." in text
    assert len(app.subheader) == 1
    everything = words(open_page("transcript", search="1"))
    assert "among them 1 of a chat (0.2500 USD booked)" in everything
    assert "Which?" not in everything


@pytest.mark.parametrize("call", ["99", "x", "-1", "9" * 30, "![x](http://198.51.100.7/a)"])
def test_an_unknown_exchange_is_a_sentence(open_page: Open, revised: seed.Seed, call: str) -> None:
    app = open_page("transcript", search="1", call=call)
    assert "Search 1 has no exchange" in app.error[0].value and "![" not in app.error[0].value


def test_a_filter_shows_where_its_words_stand(open_page: Open, revised: seed.Seed) -> None:
    app = open_page("transcript")
    app.text_input(key="transcript-text").set_value("'SMALLER steps' state=completed").run()
    assert [entry.value for entry in app.subheader] == ["Trial 1"]
    assert "Found in hint: … **Smaller steps** \\. See " in words(app)


def test_totals_tell_exchanges_beside_trials_apart() -> None:
    spent = [RoleSpend("planner", 3, 2, 100, 0.5, 0.75), RoleSpend("replay", 1, 1, 10, 0.0, 0.25)]
    assert totals(spent) == (
        "4 exchanges with language models, 3 used · 110 tokens and 0.5000 USD reported · 1.0000 "
        "USD booked, unreported calls at their worst case · among them 1 of a replay (0.2500 USD "
        "booked), which are no steps of trials"
    )


def test_downloads_are_offered_and_a_large_one_says_how_to_get_the_rest(
    open_page: Open, revised: seed.Seed
) -> None:
    app = open_page("transcript", search="1")
    labels = [button.proto.label for button in app.get("download_button")]
    assert labels == ["Markdown", "JSON Lines"] * 2
    text = bounded(iter(["one\n", "two\n", "three\n"]), 1, "jsonl", 9)
    assert text.startswith("one\ntwo\n")
    assert (
        "transcript 1 --format jsonl --output FILE" in json.loads(text.splitlines()[-1])["problem"]
    )
    assert bounded(iter(["one\n", "two\n"]), 1, "md", 8) == "one\ntwo\n"
