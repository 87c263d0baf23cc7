"""Hindsight: other rules, predictions beside results, and what others would have proposed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from informer.config import Value, from_flat
from nas_engine.calibration import Opinions, Prediction, worth
from nas_engine.commands import Replay
from nas_engine.proposals import Proposal
from nas_engine.relabel import relabelled
from nas_engine.search import Rules
from nas_engine.store import proposing, wishes
from nas_engine.store.hindsight import Asked
from nas_engine.workspace import Workspace
from pages._parts.calibration import (
    FEW,
    calibration,
    costs_frame,
    evaluator_text,
    scores_frame,
    verdicts,
)
from pages._parts.what_if import MOST_ROWS, changed_frame, told, uncertain, what_if, worth_drawing
from tests.engine.test_calibration import effort
from tests.engine.test_relabel import RULES, against, first, played
from tests.pages.conftest import Engine, Open, figure, words
from tests.pages.seed import EVIL, Seed

STRICT = Rules(accept_above=0.02, reject_below=-0.005, noise_multiple=4.0)


def traces(drawing: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in drawing["data"]}


def predicted(count: int, inside: int, by: Any = "model") -> list[Prediction]:
    return [Prediction(n, by, 0.0, 0.1, 0.05 if n < inside else 0.2, 0.01) for n in range(count)]


def three() -> list[Any]:
    """Return a start, a small improvement on it, and a clear one on that."""
    start = first(0.5)
    near = against(start, 1, 0.492)
    return [start, near, against(near, 2, 0.45)]


# -- figures and tables -------------------------------------------------------------------------


def test_verdicts_that_change_have_a_symbol_and_a_colour_of_their_own() -> None:
    found = relabelled(three(), STRICT)
    drawn = traces(what_if(found, incumbent=2, search_id=7))
    changed, same = drawn["would be rejected"], drawn["accepted, as it was"]
    assert (changed["x"], changed["customdata"]) == ([1], ["7.1"])
    assert changed["marker"]["symbol"] != same["marker"]["symbol"]
    assert changed["marker"]["color"] != same["marker"]["color"]
    assert same["x"] == [0, 2] and drawn["incumbent"]["x"] == [2]
    assert "incumbent, as it was" not in drawn


def test_both_lines_of_incumbents_are_drawn() -> None:
    history = three()[:2]
    drawn = traces(what_if(relabelled(history, STRICT), incumbent=1, search_id=1))
    assert drawn["incumbent's val_mse, as it was"]["y"] == [0.5, 0.492, 0.492]
    assert drawn["incumbent's val_mse"]["y"] == [0.5, 0.5]
    assert drawn["incumbent, as it was"]["x"] == [1] and drawn["incumbent"]["x"] == [0]


def test_what_other_rules_come_to_is_told_in_words() -> None:
    history = three()[:2]
    assert told(relabelled(history, RULES), 1) == (
        "None of 2 verdicts changes. The incumbent would be trial 1 all the same."
    )
    assert told(relabelled(history, STRICT), 1) == (
        "1 of 2 verdicts change: 0 more accepted, 1 fewer. The incumbent would be trial 0 "
        "(val_mse 0.5000) instead of trial 1 (val_mse 0.4920)."
    )
    assert told([], None).startswith("None of 0 verdicts")


def test_a_row_tells_both_rules_and_both_rivals() -> None:
    (row,) = changed_frame(relabelled(three(), STRICT), 7).to_dict("records")
    assert row["Was"] == "✓ accepted: small improvement"
    assert row["Would be"] == "⊘ rejected: not distinguishable"
    assert (row["Trial"], row["Against"], row["Page"]) == (1, "trial 0", "./trial?trial=7.1")
    assert row["%"] == pytest.approx(1.6)


def test_what_cannot_be_known_is_said() -> None:
    start, near = three()[:2]
    once = dataclasses.replace(near, figures=dataclasses.replace(near.figures, tried=1))
    (sentence,) = uncertain(relabelled([start, once], STRICT))
    assert sentence.startswith("1 trial would have been trained with another seed first")
    assert uncertain(relabelled([start, near], RULES)) == []


def test_of_many_trials_those_that_change_are_among_the_drawn_and_rows_are_few() -> None:
    found = relabelled(played(1, RULES, trials=3000), Rules(accept_above=0.1, noise_multiple=4.0))
    scored = [row for row in found if row.figures.value is not None]
    drawn = worth_drawing(scored)
    assert len(drawn) <= 1000 < len(scored)
    assert any(row.changed for row in drawn)
    assert len(changed_frame(found, 1)) <= MOST_ROWS
    assert len(json.dumps(what_if(found, 1, 1))) < 200_000


def test_intervals_are_drawn_over_what_came_with_the_diagonal() -> None:
    found = [*predicted(3, 2), *predicted(2, 2, "surrogate")]
    drawing = calibration(found, search_id=4)
    drawn = traces(drawing)
    assert drawn["what came"]["x"] == drawn["what came"]["y"]
    model = drawn["Language model"]
    assert (model["x"], model["y"]) == ([5.0, 5.0, 20.0], [5.0] * 3)
    assert model["error_y"]["array"] == [5.0] * 3 and model["customdata"] == ["4.0", "4.1", "4.2"]
    assert "outside" in model["text"][2] and "inside" in model["text"][0]
    assert len({trace["marker"]["symbol"] for trace in drawing["data"][1:]}) == 2


def test_sources_are_scored_on_their_own_trials_and_on_those_of_both() -> None:
    rows = scores_frame([*predicted(4, 3), *predicted(30, 30, "surrogate")]).to_dict("records")
    assert [(row["Predicted by"], row["Trials"], row["Held %"]) for row in rows] == [
        ("Language model", 4, 75.0),
        ("Language model", 4, 75.0),
        ("Surrogate", 4, 100.0),
        ("Surrogate", 30, 100.0),
    ]


def test_few_predictions_are_no_claim() -> None:
    (few,) = verdicts(predicted(3, 3))
    assert "only 3 predictions" in few and "%" not in few
    (honest,) = verdicts(predicted(FEW, 16))
    assert "agrees with it" in honest
    (sure,) = verdicts(predicted(40, 12))
    assert "surer than it is right" in sure
    (wide,) = verdicts(predicted(60, 60))
    assert "wider than they need be" in wide


def test_nothing_spent_is_a_gap_and_no_infinity() -> None:
    rows = costs_frame(
        worth([effort(accepted=True, improvement=0.1), effort(source="llm", usd=0.5)])
    )
    tpe, llm = rows.to_dict("records")[1], rows.to_dict("records")[0]
    assert (tpe["Proposed by"], tpe["Gain %"]) == ("TPE", 10.0)
    assert tpe["Gain % per USD"] != tpe["Gain % per USD"], "a gap"
    assert llm["Gain % per USD"] == 0.0 and llm["Training"] == "–"
    assert evaluator_text(Asked(0, 0.0, 0), Opinions(0, 0)) == ""
    assert "2 of them gave another verdict" in evaluator_text(Asked(4, 0.1, 9), Opinions(3, 2))


# -- the page -----------------------------------------------------------------------------------


@pytest.fixture
def seeded(workspace: Workspace) -> Seed:
    """Seed a search with a small improvement, predictions and an answered replay."""
    seed = Seed(workspace, planner="llm", max_trials=9)
    seed.propose(0, "default")
    seed.train(0, 0.5, 0.5005, 0.501)
    proposal = seed.propose(1, "llm", 0, {"model.dropout": 0.2})
    proposing.foresee(seed.writer, proposal, 1, (-0.1, 0.1))
    seed.call(1, "used", "{}")
    seed.train(1, 0.492)
    seed.propose(2, "tpe", 1, {"model.dropout": 0.3})
    seed.train(2, 0.45)
    return seed


def replayed(seed: Seed, changes: dict[str, Value], parent: int = 1) -> int:
    number = wishes.add_replay(seed.writer, seed.id, 2, "llm", "some/model", "ada")
    proposal = Proposal(source="llm", parent=parent, changes=changes, hypothesis=EVIL, reasons=EVIL)
    config = from_flat({**seed.config(parent), **changes})
    wishes.end_replay(seed.writer, number, proposal, config, (-0.02, 0.04))
    return number


def test_the_sliders_of_the_address_give_the_verdicts_anew(seeded: Seed, open_page: Open) -> None:
    app = open_page("hindsight", search="1")
    assert "None of 3 verdicts changes" in words(app)
    assert app.button(key="hindsight-reset").disabled
    app.slider(key="hindsight-noise").set_value(3.0).run()
    assert app.query_params["noise"] == "3"
    assert "1 of 3 verdicts change" in words(app)
    assert "would be rejected" in {trace["name"] for trace in figure(app)["data"]}  # type: ignore[attr-defined]
    (table,) = [frame.value for frame in app.dataframe]
    assert list(table["Trial"]) == [1]
    app.button(key="hindsight-reset").click().run()
    assert "noise" not in app.query_params and "None of 3 verdicts" in words(app)
    again = open_page("hindsight", search="1", noise="3", accept="nonsense")
    assert "1 of 3 verdicts change" in words(again)


def test_who_was_right_warns_of_small_numbers_and_tells_the_costs(
    seeded: Seed, open_page: Open
) -> None:
    app = open_page("hindsight", search="1", tab="right")
    assert "Language model: only 1 prediction so far" in words(app)
    scores, costs = (frame.value for frame in app.dataframe)
    assert list(scores["Predicted by"]) == ["Language model", "Language model", *["Surrogate"] * 2]
    assert list(costs["Proposed by"]) == ["LLM", "TPE"]
    assert costs["Tokens"].iloc[0] == 2052


def test_a_replay_is_asked_for_and_shown_beside_what_was_proposed(
    seeded: Seed, open_page: Open, engine: Engine
) -> None:
    app = open_page("hindsight", search="1", tab="replay")
    assert "No replay yet" in words(app)
    app.number_input(key="hindsight-trial-1").set_value(2)
    app.selectbox(key="hindsight-planner").set_value("llm").run()
    app.text_input(key="hindsight-model").set_value("some/model").run()
    app.button(key="hindsight-ask").click().run()
    assert engine.given == [(Replay(number=2, planner="llm", model="some/model"), 1)]
    replayed(seeded, {"model.dropout": 0.1})
    app.run()
    text = words(app)
    assert "never trained on this task" in text and "from what is known now" in text
    proposed, would_be = (frame.value for frame in app.dataframe)
    assert list(proposed["Proposed"]) == ["0.3"] and list(would_be["Proposed"]) == ["0.1"]
    assert "](http" not in "".join(element.value for element in app.markdown)


def test_a_replay_that_was_trained_elsewhere_shows_its_result(
    seeded: Seed, open_page: Open, workspace: Workspace
) -> None:
    other = Seed(workspace, planner="random", max_trials=5)
    other.propose(0, "default")
    other.train(0, 0.5)
    other.propose(1, "random", 0, {"model.dropout": 0.4})
    other.train(1, 0.4321)
    other.close()
    replayed(seeded, {"model.dropout": 0.3})
    assert "0.4500" in words(open_page("hindsight", search="1", tab="replay"))
    replayed(seeded, {"model.dropout": 0.4})
    assert "0.4321" in words(open_page("hindsight", search="1", tab="replay"))


def test_a_replay_that_failed_says_why_and_an_open_one_is_waited_for(
    seeded: Seed, open_page: Open
) -> None:
    failed = wishes.add_replay(seeded.writer, seeded.id, 1, "tpe", "", "ada")
    wishes.fail_replay(seeded.writer, failed, "None of 600 samples was new. " + EVIL)
    app = open_page("hindsight", search="1", tab="replay")
    assert "None of 600 samples" in app.error[0].value and "](http" not in app.error[0].value
    wishes.add_replay(seeded.writer, seeded.id, 1, "rules", "", "ada")
    app = open_page("hindsight", search="1", tab="replay")
    assert "being asked" in words(app)


@pytest.mark.parametrize(
    ("tab", "sentence"),
    [
        ("whatif", "No trial has been judged yet"),
        ("right", "Nothing that was predicted has come out yet"),
        ("replay", "there is nothing to replay"),
    ],
)
def test_an_untouched_search_says_what_there_will_be(
    workspace: Workspace, open_page: Open, tab: str, sentence: str
) -> None:
    Seed(workspace, planner="tpe").close()
    assert sentence in words(open_page("hindsight", search="1", tab=tab))
