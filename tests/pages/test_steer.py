"""The Steer page: words become constraints, what holds is seen and removed, findings are shown."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from informer.config import Choices, Interval, Value, from_flat
from nas_engine.commands import Guide, Lift
from nas_engine.guidance import Constraint, understood
from nas_engine.search import SearchSpec
from nas_engine.service.cost import Booking
from nas_engine.space import dimensions, step_type
from nas_engine.store import calling, proposing, wishes
from nas_engine.store.steering import Proposed, keeps
from nas_engine.supervisor import Answer
from nas_engine.workspace import Workspace
from tests.pages.conftest import Engine, Open, words
from tests.pages.seed import EVIL, Seed, small

BOX = "steer-words-{}"
HALF = Constraint(key="model.dropout", high=0.3)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the search of `steered`, to be copied."""
    workspace = Workspace(tmp_path_factory.mktemp("taught") / "nas.db")
    assert steered(workspace) == 1
    return workspace.db


@pytest.fixture
def search_id(taught: Path, workspace: Workspace) -> int:
    """The search of `steered` in a workspace of the test's own."""
    workspace.db.parent.mkdir(exist_ok=True)
    shutil.copy(taught, workspace.db)
    return 1


def steered(workspace: Workspace, trials: int = 40) -> int:
    """Seed a search that has learned something and was told much, and return its id.

    The sixth trial before the last breaks a constraint, as a trial of an earlier version might.
    """
    seed = Seed(
        workspace,
        planner="hybrid",
        max_trials=60,
        guidance="Heavy tails at noon. " + EVIL,
        space={"model.attention": {"without": ("auto_correlation",)}},
    )
    writer, rng = seed.writer, random.Random(2)
    seed.propose(0, "default")
    seed.train(0, 0.5, 0.501, 0.502)
    for number in range(1, trials):
        if number == trials - 12:
            constraint = HALF.model_dump_json()
            wishes.steer(
                writer, seed.id, "dropout at most 0.3, and mind the noon", constraint, "ada"
            )
            wishes.steer(writer, seed.id, "Mind the noon. " + EVIL, "", "ada")
        if number == trials - 11:
            call(seed, number, "- trial 30, ada: " + repr("Mind the noon. " + EVIL))
        free = number < trials - 12 or number == trials - 6
        changes: dict[str, Value] = {
            "model.dropout": round(rng.choice((0.1, 0.2, 0.45, 0.5) if free else (0.1, 0.2)), 3),
            "training.optimizer_params.lr": round(10 ** rng.uniform(-4.5, -2.5), 6),
        }
        if number % 3 == 0:
            changes["model.normalisation"] = "revin"
        seed.propose(number, "llm" if number % 2 else "tpe", 0, changes)
        factor = (0.92 if number % 3 == 0 else 1.0) * (
            1.07 if float(changes["model.dropout"]) > 0.333 else 1.0
        )
        seed.train(number, 0.51 * factor * rng.gauss(1, 0.004))
    lifted = wishes.steer(writer, seed.id, "at least 3 layers", LAYERS.model_dump_json(), "bob")
    wishes.lift(writer, seed.id, lifted, "ada")
    parameters = Constraint(key="parameters", high=2_000_000)
    wishes.steer(writer, seed.id, "stay under 2 M parameters", parameters.model_dump_json(), "bob")
    proposal = seed.propose(trials, "llm", 0, {"model.skip": True}, waiting=True)
    proposing.decide(
        writer, proposal, 1, "rejected", "ada", "A skip was tried in ETTm1. " + EVIL, None
    )
    proposal = seed.propose(trials + 1, "llm", 0, {"model.skip": True}, waiting=True)
    edited: dict[str, Value] = {"model.dropout": 0.45}
    config = from_flat({**seed.config(0), **edited})
    proposing.decide(writer, proposal, 1, "edited", "ada", "", (edited, config, step_type(edited)))
    seed.close()
    return seed.id


LAYERS = Constraint(key="model.e_layers", low=3)


def call(seed: Seed, number: int, text: str) -> None:
    """Record a question to the planner that holds a text."""
    calling.reserve_call(
        seed.writer,
        *(seed.id, number, "planner", 0, "some/model"),
        messages=[{"role": "user", "content": text}],
        worst=Booking(10, 0.01),
        base_url="https://openrouter.ai/api/v1",
        temperature=None,
        max_tokens=100,
    )


def say(app: AppTest, search_id: int, text: str) -> AppTest:
    return app.text_input(key=BOX.format(search_id)).input(text).run()


def badges(app: AppTest) -> list[str]:
    return [str(element.value) for element in app.markdown if "-badge[" in str(element.value)]


def test_what_is_enforced_and_what_is_told_can_be_seen_before_it_is_sent(
    search_id: int, engine: Engine, open_page: Open
) -> None:
    app = open_page("steer", search=str(search_id))
    assert app.button(key="steer-send").disabled
    text = "stay under 1.5 M parameters, leave the learning rate alone. Prefer few layers " + EVIL
    app = say(app, search_id, text)
    shown = words(app)
    assert "parameters ≤ 1\\.5 M" in shown and "learning rate stays" in shown
    assert "at most 2,000,000 → at most 1,500,000; it replaces parameters ≤ 2 M" in shown
    assert f"Prefer few layers {EVIL}" in [element.value for element in app.text]
    app.button(key="steer-send").click().run()
    assert engine.given == [(Guide(words=text), search_id)]
    assert app.text_input(key=f"steer-words-{search_id}-1").value == "", "the box is empty again"


def test_words_that_leave_nothing_cannot_be_sent_and_stay(
    search_id: int, engine: Engine, open_page: Open
) -> None:
    app = say(open_page("steer", search=str(search_id)), search_id, "dropout at least 0.9")
    assert "leaves nothing" in words(app) and app.button(key="steer-send").disabled
    app = say(app, search_id, "dropout at least 0.4")
    assert "leaves nothing" in words(app), "beside dropout ≤ 0.3, which holds"
    app = say(app, search_id, "dropout at most 0.2")
    engine.answer = Answer(False, "The engine is busy.", search_id)
    app.button(key="steer-send").click().run()
    assert "The engine is busy" in words(app)
    assert app.text_input(key=BOX.format(search_id)).value == "dropout at most 0.2"


def test_a_planner_that_reads_no_words_is_named(workspace: Workspace, open_page: Open) -> None:
    search_id = small(workspace, 3)
    app = say(open_page("steer", search=str(search_id)), search_id, "try wilder things")
    assert "The planner tpe reads no words: they are kept, but change nothing" in words(app)
    assert "tpe reads no words. It learns from the results" in words(app)


def test_what_is_in_force_tells_how_far_it_was_kept_and_can_be_removed(
    search_id: int, engine: Engine, open_page: Open
) -> None:
    app = open_page("steer", search=str(search_id))
    shown = words(app)
    assert "⚠ 12 of 13 proposals obey · by ada" in shown and "Not kept by trial 34." in shown
    assert "✓ 1 of 1 proposals obey · by bob" in shown, "what a person edited does not count"
    offers = [caption.help for caption in app.caption]
    assert "model\\.dropout: 0 to 0\\.3; the search offers 0 to 0\\.5\\." in offers
    assert "No longer in force (1)" in shown
    assert "Heavy tails at noon. " + EVIL in shown and "In every question to the planner" in shown
    app.button(key="steer-lift-1").click().run()
    assert engine.given == [(Lift(steering_id=1), search_id)]
    (again,) = [button for button in app.button if str(button.key).startswith("steer-again-")]
    again.click().run()
    (box,) = [field for field in app.text_input if field.label == "Tell the search something"]
    assert box.value and again.label.startswith("Say again: ")


def test_the_page_says_what_of_a_person_the_planner_has_seen(
    search_id: int, open_page: Open
) -> None:
    app = open_page("steer", search=str(search_id))
    links = [str(link.proto.label) for link in app.get("page_link")]
    assert links.count("seen by the planner at trial 29") == 2, "in force, and among what is told"
    shown = [element.value for element in app.text]
    assert any(text.startswith("A skip was tried in ETTm1.") for text in shown)
    assert words(app).count("with the next proposal") == 4, "two constraints, an edit, a rejection"


def test_findings_stand_in_a_table_and_lead_to_their_trials_and_a_constraint(
    search_id: int, open_page: Open
) -> None:
    app = open_page("steer", search=str(search_id))
    table = app.dataframe[-1].value
    row = table[table["Condition"] == "normalisation = revin"].iloc[0]
    assert row["Strength"] == "● finding" and row["Effect"] == "▼ helped"
    assert row["Trials"] == "9 of 9" and row["Share"] == 100.0 and row["False rate"] < 0.05
    app.session_state[f"steer-finding-{search_id}"] = "dropout above 0.333"
    app.run()
    assert "dropout above 0\\.333 hurt in 13 of 13 trials" in words(app)
    link = next(link for link in app.get("page_link") if "13 trials for it" in link.proto.label)
    assert f"trials={search_id}.0%2C{search_id}." in str(link.proto)
    app.button(key="steer-make-constraint").click().run()
    assert app.text_input(key=f"{BOX.format(search_id)}-1").value == "dropout ≤ 0.333"
    assert "Enforced by code" in words(app)


@pytest.mark.parametrize("spec", [SearchSpec(), SearchSpec(preset="paper")], ids=["small", "paper"])
def test_every_constraint_of_the_form_is_understood_when_it_is_sent(spec: SearchSpec) -> None:
    start = spec.start()
    for key, offered in dimensions(spec).items():
        value: Value
        made = [Constraint(key=key, values=(start[key],))]
        if isinstance(offered, Interval):
            made += [
                Constraint(key=key, high=offered.high / 2),
                Constraint(key=key, low=offered.at(0.5)),
            ]
            made += [Constraint(key=key, low=offered.at(0.3), high=offered.at(0.6))]
        assert isinstance(offered, Choices | Interval)
        for value in offered.values[:-1] if isinstance(offered, Choices) else ():
            made += [Constraint(key=key, values=(value, offered.values[-1]))]  # type: ignore[union-attr]
            made += [Constraint(key=key, without=(value,))]
            if type(value) in (int, float):
                made += [
                    Constraint(key=key, low=float(value)),
                    Constraint(key=key, high=float(value)),
                ]
        for constraint in made:
            assert understood(constraint.text, spec, start).constraints == (constraint,)


def test_a_constraint_can_be_chosen_without_a_word(
    workspace: Workspace, engine: Engine, open_page: Open
) -> None:
    search_id = small(workspace, 3)
    app = open_page("steer", search=str(search_id))
    app.selectbox(key="steer-form-setting").select("model.dropout").run()
    app.number_input(key="steer-form-model-dropout-high").set_value(0.25).run()
    app.button(key="steer-form-add").click().run()
    assert engine.given == [(Guide(words="dropout ≤ 0.25"), search_id)]


@pytest.mark.parametrize(
    ("constraint", "changes", "parameters", "seconds", "kept"),
    [
        (HALF, {"model.dropout": 0.3}, None, None, True),
        (HALF, {"model.dropout": 0.31}, None, None, False),
        (Constraint(key="model.patch_len", high=8.0), {"model.patch_len": 32}, None, None, True),
        (Constraint(key="parameters", high=1000.0), {}, 1000, None, True),
        (Constraint(key="parameters", high=1000.0), {}, None, None, False),
        (Constraint(key="memory_mb", high=1.0), {}, None, None, False),
        (Constraint(key="trial_minutes", high=1.0), {}, None, 61.0, False),
        (Constraint(key="trial_minutes", high=1.0), {}, None, None, True),
    ],
)
def test_a_proposal_keeps_a_constraint_or_not(
    constraint: Constraint,
    changes: dict[str, Value],
    parameters: int | None,
    seconds: float | None,
    kept: bool,
) -> None:
    config = {**SearchSpec().start(), **changes}
    assert keeps(constraint, Proposed(1, config, parameters, seconds)) is kept


# -- findings for the next search ---------------------------------------------------------------


def test_findings_are_carried_to_a_new_search_as_words_that_can_be_edited(
    search_id: int, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-test")
    app = open_page("start", findings=str(search_id))
    app.button(key="start-carry-words").click().run()
    text = app.text_area(key="start-guidance").value
    source = f"Found in search {search_id} on ETTh1 (horizon 24): "
    support = "normalisation = revin helped in 9 of 9 trials (median 6.2 % better)"
    caution = "; other settings changed with it in all of them."
    assert text.splitlines()[0] == source + support + caution
    app.button(key="start-carry-words").click().run()
    assert app.text_area(key="start-guidance").value == text, "none stands there twice"


def test_findings_narrow_the_space_where_the_planner_reads_no_words(
    search_id: int, open_page: Open
) -> None:
    app = open_page("start", findings=str(search_id))
    app.button_group(key="start-planner").set_value("tpe").run()
    assert app.button(key="start-carry-words").disabled
    assert "The planner tpe reads no words" in words(app)
    app.button(key="start-carry-space").click().run()
    lines = app.text_area(key="start-space").value.splitlines()
    assert "model.normalisation=revin" in lines
    assert any(line.startswith("model.dropout=0") for line in lines)


def test_findings_of_a_search_that_is_not_there_are_said_to_be_unknown(
    workspace: Workspace, open_page: Open
) -> None:
    assert "There is no search 77 to carry findings from" in words(
        open_page("start", findings="77")
    )
    search_id = small(workspace)
    app = open_page("start", findings=str(search_id))
    assert "has no findings yet" in words(app)
