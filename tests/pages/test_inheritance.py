"""Trainings with inherited weights on the pages: told as such, and in no other figure."""

from __future__ import annotations

from informer.records import Success
from nas_engine.search import SearchSpec
from nas_engine.store import trainings
from nas_engine.store.rows import TrainingRow
from nas_engine.workspace import Workspace
from pages._parts.slots import progress_text
from tests.pages import seed
from tests.pages.conftest import Engine, Open, words

GIVEN_UP = "Begun with 93% of the weights of trial 0 it came to 0.61 in 2 epochs."


def searched(workspace: Workspace) -> None:
    """Write a search whose trial 1 was trained both ways, and trial 2 given up."""
    search = seed.Seed(workspace, inherits=True)
    search.propose(0, "default")
    search.train(0, 0.40)
    for number, value in ((1, 0.35), (2, 0.61)):
        search.propose(number, "tpe", 0, {"model.dropout": 0.1 * number})
        run = trainings.begin_run(
            search.writer, search.id, number, 2021, inherited_from=0, epochs=2
        )
        trainings.add_metrics(search.writer, search.id, number, run, seed.curve(value, 2))
        result = Success(
            **dict.fromkeys(("val_mse", "val_mae", "test_mse", "test_mae"), value),
            best_epoch=1,
            epochs=2,
            parameters=9,
            seconds=9.0,
            device="cpu",
            inherited_share=0.93,
        )
        trainings.complete(search.writer, search.id, number, run, result)
    search.train(1, 0.39)
    trainings.give_up(search.writer, search.id, 2, GIVEN_UP)
    search.judge(2)
    search.close()


def test_a_trial_tells_how_each_of_its_trainings_began(
    open_page: Open, workspace: Workspace
) -> None:
    searched(workspace)
    app = open_page("trial", trial="1.1")
    assert not app.exception
    (runs,) = [frame.value for frame in app.dataframe if "Begun" in frame.value]
    assert list(runs["Begun"]) == ["with 93% of the weights of trial 0", "from scratch"]
    assert list(runs["val_mse ↓"]) == ["0.3500", "0.3900"]
    assert "0.3900" in {metric.value for metric in app.metric}
    assert "0.3500" not in {metric.value for metric in app.metric}


def test_a_trial_that_was_given_up_has_its_page(open_page: Open, workspace: Workspace) -> None:
    searched(workspace)
    app = open_page("trial", trial="1.2")
    assert not app.exception
    (runs,) = [frame.value for frame in app.dataframe if "Begun" in frame.value]
    assert list(runs["Begun"]) == ["with 93% of the weights of trial 0"]
    assert GIVEN_UP in words(app)
    transcript = open_page("transcript", search="1")
    assert not transcript.exception
    assert "begun with 93% of the weights of trial 0: completed" in words(transcript)


def test_a_slot_says_that_weights_are_inherited() -> None:
    facts = (3, 2021, 1, 0, 9, 1, 5, 10, 2, 1.0, None, *[None] * 5, "")
    assert progress_text(TrainingRow(*facts, "inherited")) == (
        "▶ Trial 3 trains with inherited weights · seed 2021 · epoch 1 of 2 · step 5 of 10"
    )


def test_start_lets_it_be_chosen(open_page: Open, engine: Engine) -> None:
    app = open_page("start")
    app.checkbox(key="start-inherits").check().run()
    app.button(key="start-go").click().run()
    (command, _) = engine.given[0]
    spec = command.spec  # type: ignore[attr-defined]
    assert isinstance(spec, SearchSpec) and spec.inherits
